//! `Relu(x) = max(x, 0)`, elementwise. NaN stays NaN.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: i8 i16 i32 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 13, 14. Source: the ONNX operator "Relu".

use crate::elementwise::kernels;
use crate::{LowerCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| elementwise::number(c, &|x| if x < 0.0 { 0.0 } else { x }, &|x| x.max(0))),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Relu", include_str!("relu.rs"), elementwise::same)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::unary(c, &|k, x| {
        let zero = kernels::number(k, x, 0.0);
        k.binary(BinaryOp::Max, x, zero)
    })
}
