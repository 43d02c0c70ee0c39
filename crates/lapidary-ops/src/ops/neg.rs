//! `Neg(x) = −x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: i8 i16 i32 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13. Source: the ONNX operator "Neg".

use crate::elementwise::kernels;
use crate::{InferCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::Neg)),
    eval: Some(|c| elementwise::number(c, &|x| -x, &|x| -x)),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Neg", include_str!("neg.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::contents::map1(c, |x| Some(-x));
    elementwise::same(c)
}
