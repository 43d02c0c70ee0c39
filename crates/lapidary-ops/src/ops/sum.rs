//! `Sum(a, b, …) = a + b + …`, elementwise.
//!
//! Shapes: any number of operands, broadcast as in numpy; the result has their common shape.
//!
//! Types: data_0, sum: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 8, 13. Source: the ONNX operator "Sum".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise, forms};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::fold_op(c, BinaryOp::Add)),
    eval: Some(|c| elementwise::variadic(c, &|a, b| a + b, &|a, b| a + b)),
    commutative: true,
    forms: &[forms::VARIADIC, forms::CONSUMED_INPUTS],
    ..OpDef::base("Sum", include_str!("sum.rs"), elementwise::broadcast)
};
