//! `Cos(x) = cos x`, elementwise. In radians.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 7, 22. Source: the ONNX operator "Cos".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Cos)),
    eval: Some(|c| elementwise::float(c, &f64::cos)),
    ..OpDef::base("Cos", include_str!("cos.rs"), elementwise::same)
};
