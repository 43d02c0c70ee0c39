//! `Mish(x) = x · tanh(ln(1 + eˣ))`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 18, 22. Source: the ONNX operator "Mish".

use crate::elementwise::math;
use crate::{OpDef, elementwise};

pub static DEF: OpDef = OpDef {
    eval: Some(|c| elementwise::float(c, &|x| x * math::softplus(x).tanh())),
    ..OpDef::base("Mish", include_str!("mish.rs"), elementwise::same)
};
