//! `Sigmoid(x) = 1 / (1 + e⁻ˣ)`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Sigmoid".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{OpDef, elementwise, forms};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Sigmoid)),
    eval: Some(|c| elementwise::float(c, &math::sigmoid)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Sigmoid", include_str!("sigmoid.rs"), elementwise::same)
};
