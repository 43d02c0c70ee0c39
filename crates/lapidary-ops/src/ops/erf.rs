//! `Erf(x) = 2/√π · ∫₀ˣ e^(−t²) dt`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 9, 13. Source: the ONNX operator "Erf".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Erf)),
    eval: Some(|c| elementwise::float(c, &math::erf)),
    ..OpDef::base("Erf", include_str!("erf.rs"), elementwise::same)
};
