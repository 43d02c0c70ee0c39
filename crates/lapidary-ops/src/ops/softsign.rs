//! `Softsign(x) = x / (1 + |x|)`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 22. Source: the ONNX operator "Softsign".

use crate::{OpDef, elementwise};

pub static DEF: OpDef = OpDef {
    eval: Some(|c| elementwise::float(c, &|x| x / (1.0 + x.abs()))),
    ..OpDef::base("Softsign", include_str!("softsign.rs"), elementwise::same)
};
