//! `Abs(x) = |x|`, elementwise. The most negative integer is its own absolute value.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Abs".

use crate::elementwise::kernels;
use crate::{InferCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Abs)),
    eval: Some(|c| elementwise::number(c, &f64::abs, &i128::abs)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Abs", include_str!("abs.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::contents::map1(c, |x| if x.known_non_negative() { Some(x.clone()) } else { x.as_const()?.checked_abs().map(Into::into) });
    elementwise::same(c)
}
