//! `HardSigmoid(x) = max(0, min(1, alpha · x + beta))`, elementwise. `alpha` is 0.2 and `beta` 0.5 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 22. Source: the ONNX operator "HardSigmoid".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("HardSigmoid", include_str!("hard_sigmoid.rs"), elementwise::same)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(0.2));
    let beta = f64::from(c.node.attrs.float("beta").unwrap_or(0.5));
    elementwise::float(c, &|x| (alpha * x + beta).clamp(0.0, 1.0))
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let alpha = f64::from(c.node().attrs.float("alpha").unwrap_or(0.2));
    let beta = f64::from(c.node().attrs.float("beta").unwrap_or(0.5));
    kernels::unary(c, &|k, x| {
        let v = kernels::scaled(k, x, alpha);
        let v = kernels::plus(k, v, beta);
        kernels::clamped(k, v, 0.0, 1.0)
    })
}
