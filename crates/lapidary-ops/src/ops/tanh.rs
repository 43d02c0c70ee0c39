//! `Tanh(x) = tanh x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Tanh".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise, forms};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Tanh)),
    eval: Some(|c| elementwise::float(c, &f64::tanh)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Tanh", include_str!("tanh.rs"), elementwise::same)
};
