//! `Xor(a, b) = a ≠ b`, elementwise on truth values.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B: bool; C: bool.
//!
//! Versions: 1, 7. Source: the ONNX operator "Xor".

use crate::elementwise::kernels;
use crate::{InferCtx, OpDef, elementwise, forms};
use lapidary_ir::{Dim, Result};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::Xor)),
    eval: Some(|c| elementwise::logic(c, &|a, b| a != b)),
    commutative: true,
    forms: &[forms::BROADCAST],
    ..OpDef::base("Xor", include_str!("xor.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast_bool(c)?;
    elementwise::contents::map2(c, |a, b| Some(Dim::from((a.as_const()? != b.as_const()?) as i64)));
    Ok(())
}
