//! `Atanh(x) = artanh x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 9, 22. Source: the ONNX operator "Atanh".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Atanh)),
    eval: Some(|c| elementwise::float(c, &f64::atanh)),
    ..OpDef::base("Atanh", include_str!("atanh.rs"), elementwise::same)
};
