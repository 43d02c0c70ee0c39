//! `Acosh(x) = arcosh x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 9, 22. Source: the ONNX operator "Acosh".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Acosh)),
    eval: Some(|c| elementwise::float(c, &f64::acosh)),
    ..OpDef::base("Acosh", include_str!("acosh.rs"), elementwise::same)
};
