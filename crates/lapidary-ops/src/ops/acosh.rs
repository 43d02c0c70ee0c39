//! `Acosh(x) = arcosh x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 9, 22. Source: the ONNX operator "Acosh".

use crate::{OpDef, elementwise};

pub static DEF: OpDef =
    OpDef { eval: Some(|c| elementwise::float(c, &f64::acosh)), ..OpDef::base("Acosh", include_str!("acosh.rs"), elementwise::same) };
