//! `Mul(a, b) = a · b`, elementwise. Integers wrap.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B, C: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 7, 13, 14. Source: the ONNX operator "Mul".

use crate::elementwise::kernels;
use crate::{InferCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::Mul)),
    eval: Some(|c| elementwise::arithmetic(c, &|a, b| a * b, &|a, b| a.wrapping_mul(b))),
    commutative: true,
    forms: &[forms::BROADCAST, forms::CONSUMED_INPUTS],
    ..OpDef::base("Mul", include_str!("mul.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast(c)?;
    if elementwise::contents::holds_sizes(c.dtype(0)?) {
        elementwise::contents::map2(c, elementwise::contents::mul);
    }
    Ok(())
}
