//! `Mean(a, b, …) = (a + b + …) / n`, elementwise over `n` operands.
//!
//! Shapes: any number of operands, broadcast as in numpy; the result has their common shape.
//!
//! Types: data_0, mean: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 8, 13. Source: the ONNX operator "Mean".

use crate::{OpDef, elementwise, forms};

pub static DEF: OpDef = OpDef {
    eval: Some(|c| elementwise::variadic(c, &|a, b| a + b, &|a, b| a + b)),
    commutative: true,
    forms: &[forms::VARIADIC, forms::CONSUMED_INPUTS],
    ..OpDef::base("Mean", include_str!("mean.rs"), elementwise::broadcast)
};
