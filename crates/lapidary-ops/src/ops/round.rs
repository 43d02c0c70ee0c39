//! `Round(x)` is the integer nearest to `x`, elementwise. Halves go to the even neighbour.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 11, 22. Source: the ONNX operator "Round".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Round)),
    eval: Some(|c| elementwise::float(c, &f64::round_ties_even)),
    ..OpDef::base("Round", include_str!("round.rs"), elementwise::same)
};
