//! `Elu(x) = x if x ≥ 0 else alpha · (eˣ − 1)`, elementwise. `alpha` is 1 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 22. Source: the ONNX operator "Elu".

use crate::{Datum, EvalCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), forms: &[forms::CONSUMED_INPUTS], ..OpDef::base("Elu", include_str!("elu.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(1.0));
    elementwise::float(c, &|x| if x < 0.0 { alpha * x.exp_m1() } else { x })
}
