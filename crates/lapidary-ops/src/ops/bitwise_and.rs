//! `BitwiseAnd(a, b) = a & b`, elementwise: the bitwise and of integers.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B, C: u8 i8 u16 i16 u32 i32 u64 i64.
//!
//! Versions: 18. Source: the ONNX operator "BitwiseAnd".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::BitAnd)),
    eval: Some(|c| elementwise::arithmetic(c, &|_, _| f64::NAN, &|a, b| a & b)),
    commutative: true,
    ..OpDef::base("BitwiseAnd", include_str!("bitwise_and.rs"), elementwise::broadcast)
};
