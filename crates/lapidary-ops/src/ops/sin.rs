//! `Sin(x) = sin x`, elementwise. In radians.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 7, 22. Source: the ONNX operator "Sin".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Sin)),
    eval: Some(|c| elementwise::float(c, &f64::sin)),
    ..OpDef::base("Sin", include_str!("sin.rs"), elementwise::same)
};
