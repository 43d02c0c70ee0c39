//! `Sign(x)` is −1, 0 or 1 as `x` is negative, zero or positive: `Sign(x) = x / |x|`, elementwise. NaN stays NaN.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 9, 13. Source: the ONNX operator "Sign".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Sign)),
    eval: Some(|c| elementwise::number(c, &math::sign, &i128::signum)),
    ..OpDef::base("Sign", include_str!("sign.rs"), elementwise::same)
};
