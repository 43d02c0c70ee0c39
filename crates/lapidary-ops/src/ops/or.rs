//! `Or(a, b) = a ∨ b`, elementwise.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B: bool; C: bool.
//!
//! Versions: 1, 7. Source: the ONNX operator "Or".

use crate::elementwise::kernels;
use crate::{InferCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::Or)),
    eval: Some(|c| elementwise::logic(c, &|a, b| a || b)),
    commutative: true,
    forms: &[forms::BROADCAST],
    ..OpDef::base("Or", include_str!("or.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast_bool(c)?;
    elementwise::contents::map2(c, |a, b| Some(a.as_const()?.max(b.as_const()?).into()));
    Ok(())
}
