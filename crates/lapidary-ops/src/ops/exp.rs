//! `Exp(x) = eˣ`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Exp".

use crate::{OpDef, elementwise, forms};

pub static DEF: OpDef = OpDef {
    eval: Some(|c| elementwise::float(c, &f64::exp)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Exp", include_str!("exp.rs"), elementwise::same)
};
