//! `Gelu(x) = x · Φ(x)`, elementwise. `Φ` is the normal distribution function: `½ (1 + erf(x/√2))`, or with `approximate="tanh"`, `½ (1 +
//! tanh(√(2/π) (x + 0.044715 x³)))`.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 20. Source: the ONNX operator "Gelu".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("Gelu", include_str!("gelu.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    match c.node.attrs.str("approximate").unwrap_or("none") {
        "none" => elementwise::float(c, &|x| 0.5 * x * (1.0 + math::erf(x * std::f64::consts::FRAC_1_SQRT_2))),
        "tanh" => {
            let k = (2.0 / std::f64::consts::PI).sqrt();
            elementwise::float(c, &|x| 0.5 * x * (1.0 + (k * (x + 0.044715 * x * x * x)).tanh()))
        }
        other => Err(c.error("bad-attribute", format!("'approximate' is \"{other}\"")).help("\"none\" and \"tanh\" are known").into()),
    }
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let tanh = c.node().attrs.str("approximate") == Some("tanh");
    kernels::unary(c, &|k, x| {
        let gate = if tanh {
            let square = k.mul(x, x);
            let inner = kernels::scaled(k, square, 0.044715);
            let inner = kernels::plus(k, inner, 1.0);
            let inner = k.mul(inner, x);
            let inner = kernels::scaled(k, inner, (2.0 / std::f64::consts::PI).sqrt());
            k.unary(UnaryOp::Tanh, inner)
        } else {
            let inner = kernels::scaled(k, x, std::f64::consts::FRAC_1_SQRT_2);
            k.unary(UnaryOp::Erf, inner)
        };
        let gate = kernels::plus(k, gate, 1.0);
        let half = kernels::scaled(k, x, 0.5);
        k.mul(half, gate)
    })
}
