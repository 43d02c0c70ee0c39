//! `Ceil(x) = ⌈x⌉`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Ceil".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise, forms};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Ceil)),
    eval: Some(|c| elementwise::float(c, &f64::ceil)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Ceil", include_str!("ceil.rs"), elementwise::same)
};
