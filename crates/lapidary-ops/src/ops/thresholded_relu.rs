//! `ThresholdedRelu(x) = x if x > alpha else 0`, elementwise. `alpha` is 1 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 10, 22. Source: the ONNX operator "ThresholdedRelu".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("ThresholdedRelu", include_str!("thresholded_relu.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(1.0));
    elementwise::float(c, &|x| if x > alpha || x.is_nan() { x } else { 0.0 })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let alpha = f64::from(c.node().attrs.float("alpha").unwrap_or(1.0));
    kernels::unary(c, &|k, x| {
        let low = kernels::compared(k, BinaryOp::Le, x, alpha);
        let zero = kernels::number(k, x, 0.0);
        k.select(low, zero, x)
    })
}
