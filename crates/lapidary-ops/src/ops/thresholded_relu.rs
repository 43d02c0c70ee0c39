//! `ThresholdedRelu(x) = x if x > alpha else 0`, elementwise. `alpha` is 1 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 10, 22. Source: the ONNX operator "ThresholdedRelu".

use crate::{Datum, EvalCtx, OpDef, elementwise};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("ThresholdedRelu", include_str!("thresholded_relu.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(1.0));
    elementwise::float(c, &|x| if x > alpha || x.is_nan() { x } else { 0.0 })
}
