//! `LessOrEqual(a, b) = a ≤ b`, elementwise. False where either is NaN.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64; C: bool.
//!
//! Versions: 12, 16. Source: the ONNX operator "LessOrEqual".

use crate::elementwise::kernels;
use crate::{InferCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::Le)),
    eval: Some(|c| elementwise::compare(c, &|a, b| a <= b, &|a, b| a <= b)),
    ..OpDef::base("LessOrEqual", include_str!("less_or_equal.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast_bool(c)?;
    elementwise::contents::map2(c, |a, b| elementwise::contents::negate(elementwise::contents::less(b, a)));
    Ok(())
}
