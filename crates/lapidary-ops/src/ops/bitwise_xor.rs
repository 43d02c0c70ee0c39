//! `BitwiseXor(a, b) = a ^ b`, elementwise: the bitwise exclusive or of integers.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B, C: u8 i8 u16 i16 u32 i32 u64 i64.
//!
//! Versions: 18. Source: the ONNX operator "BitwiseXor".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::BitXor)),
    eval: Some(|c| elementwise::arithmetic(c, &|_, _| f64::NAN, &|a, b| a ^ b)),
    commutative: true,
    ..OpDef::base("BitwiseXor", include_str!("bitwise_xor.rs"), elementwise::broadcast)
};
