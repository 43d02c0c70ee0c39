//! `LeakyRelu(x) = x if x ≥ 0 else alpha · x`, elementwise. `alpha` is 0.01 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 16. Source: the ONNX operator "LeakyRelu".

use crate::{Datum, EvalCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;

pub static DEF: OpDef =
    OpDef { eval: Some(eval), forms: &[forms::CONSUMED_INPUTS], ..OpDef::base("LeakyRelu", include_str!("leaky_relu.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(0.01));
    elementwise::float(c, &|x| if x < 0.0 { alpha * x } else { x })
}
