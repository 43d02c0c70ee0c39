//! `LeakyRelu(x) = x if x ≥ 0 else alpha · x`, elementwise. `alpha` is 0.01 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 16. Source: the ONNX operator "LeakyRelu".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("LeakyRelu", include_str!("leaky_relu.rs"), elementwise::same)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(0.01));
    elementwise::float(c, &|x| if x < 0.0 { alpha * x } else { x })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let alpha = f64::from(c.node().attrs.float("alpha").unwrap_or(0.01));
    kernels::unary(c, &|k, x| {
        let below = kernels::scaled(k, x, alpha);
        let negative = kernels::compared(k, BinaryOp::Lt, x, 0.0);
        k.select(negative, below, x)
    })
}
