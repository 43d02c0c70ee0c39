//! `Sqrt(x) = √x`, elementwise. NaN below zero.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Sqrt".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise, forms};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Sqrt)),
    eval: Some(|c| elementwise::float(c, &f64::sqrt)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Sqrt", include_str!("sqrt.rs"), elementwise::same)
};
