//! `Min(a, b, …)`: the smallest, elementwise. NaN when any is NaN.
//!
//! Shapes: any number of operands, broadcast as in numpy; the result has their common shape.
//!
//! Types: data_0, min: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 8, 12, 13. Source: the ONNX operator "Min".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{InferCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::fold_op(c, BinaryOp::Min)),
    eval: Some(|c| elementwise::variadic(c, &math::minimum, &|a, b| a.min(b))),
    commutative: true,
    forms: &[forms::VARIADIC, forms::CONSUMED_INPUTS],
    ..OpDef::base("Min", include_str!("min.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast(c)?;
    if c.input_count() == 2 && elementwise::contents::holds_sizes(c.dtype(0)?) {
        elementwise::contents::map2(c, |a, b| Some(a.minimum(b)));
    }
    Ok(())
}
