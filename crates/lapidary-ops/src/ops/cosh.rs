//! `Cosh(x) = cosh x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 9, 22. Source: the ONNX operator "Cosh".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Cosh)),
    eval: Some(|c| elementwise::float(c, &f64::cosh)),
    ..OpDef::base("Cosh", include_str!("cosh.rs"), elementwise::same)
};
