//! `Reciprocal(x) = 1 / x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Reciprocal".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise, forms};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Reciprocal)),
    eval: Some(|c| elementwise::float(c, &f64::recip)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Reciprocal", include_str!("reciprocal.rs"), elementwise::same)
};
