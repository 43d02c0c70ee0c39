//! `Swish(x) = x / (1 + e^(−alpha · x))`, elementwise. `alpha` is 1 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 24. Source: the ONNX operator "Swish".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("Swish", include_str!("swish.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(1.0));
    elementwise::float(c, &|x| x * math::sigmoid(alpha * x))
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let alpha = f64::from(c.node().attrs.float("alpha").unwrap_or(1.0));
    kernels::unary(c, &|k, x| {
        let gate = kernels::scaled(k, x, alpha);
        let gate = k.unary(UnaryOp::Sigmoid, gate);
        k.mul(x, gate)
    })
}
