//! `Exp(x) = eˣ`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Exp".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise, forms};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Exp)),
    eval: Some(|c| elementwise::float(c, &f64::exp)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Exp", include_str!("exp.rs"), elementwise::same)
};
