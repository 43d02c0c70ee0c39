//! `Tan(x) = tan x`, elementwise. In radians.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 7, 22. Source: the ONNX operator "Tan".

use crate::{OpDef, elementwise};

pub static DEF: OpDef = OpDef { eval: Some(|c| elementwise::float(c, &f64::tan)), ..OpDef::base("Tan", include_str!("tan.rs"), elementwise::same) };
