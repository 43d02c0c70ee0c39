//! `BitwiseNot(x) = ~x`, elementwise. All bits are inverted.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: u8 i8 u16 i16 u32 i32 u64 i64.
//!
//! Versions: 18. Source: the ONNX operator "BitwiseNot".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::BitNot)),
    eval: Some(|c| elementwise::number(c, &|x| x, &|x| !x)),
    ..OpDef::base("BitwiseNot", include_str!("bitwise_not.rs"), elementwise::same)
};
