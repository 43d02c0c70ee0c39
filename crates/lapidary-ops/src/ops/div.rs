//! `Div(a, b) = a / b`, elementwise. The quotient of integers is rounded towards zero; an integer divided by zero, which ONNX leaves open,
//! gives zero here.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B, C: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 7, 13, 14. Source: the ONNX operator "Div".

use crate::elementwise::kernels;
use crate::{InferCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::Div)),
    eval: Some(|c| elementwise::arithmetic(c, &|a, b| a / b, &|a, b| if b == 0 { 0 } else { a / b })),
    forms: &[forms::BROADCAST, forms::CONSUMED_INPUTS],
    ..OpDef::base("Div", include_str!("div.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast(c)?;
    if elementwise::contents::holds_sizes(c.dtype(0)?) {
        elementwise::contents::map2(c, elementwise::contents::div);
    }
    Ok(())
}
