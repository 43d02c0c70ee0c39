//! `ReduceMin(x) = min x` over the reduced axes. NaN wins. Nothing gives ∞, or the type's largest number.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: bool u8 i8 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 12, 13, 18, 20. Source: the ONNX operator "ReduceMin".

use crate::elementwise::math;
use crate::rows;
use crate::{LowerCtx, OpDef, reduce};
use lapidary_ir::Result;
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| reduce::folds(c, (f64::INFINITY, math::minimum), (|d| reduce::range(d).1, i128::min))),
    forms: &[reduce::AXES_18],
    ..OpDef::base("ReduceMin", include_str!("reduce_min.rs"), |c| reduce::infer_sizes(c, |a, b| Some(a.minimum(b))))
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduction(c, ReduceOp::Min, &|_, x| x, &|_, s| s)
}
