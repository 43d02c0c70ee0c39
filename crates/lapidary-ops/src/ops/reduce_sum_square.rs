//! `ReduceSumSquare(x) = Σ x²` over the reduced axes.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13, 18. Source: the ONNX operator "ReduceSumSquare".

use crate::rows;
use crate::{LowerCtx, OpDef, reduce};
use lapidary_ir::Result;
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| reduce::exact_sums(c, (|x| x * x, |x| x.wrapping_mul(x)))),
    forms: &[reduce::AXES_18],
    ..OpDef::base("ReduceSumSquare", include_str!("reduce_sum_square.rs"), reduce::infer)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduction(c, ReduceOp::Sum, &|k, x| k.mul(x, x), &|_, s| s)
}
