//! `ReduceSum(x) = Σ x` over the reduced axes. Floats are summed in f64 and rounded once; integers wrap. Nothing sums to 0.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13. Source: the ONNX operator "ReduceSum".

use crate::elementwise::contents;
use crate::rows;
use crate::{LowerCtx, OpDef, reduce};
use lapidary_ir::Result;
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| reduce::exact_sums(c, (|x| x, |x| x))),
    forms: &[reduce::AXES_13],
    ..OpDef::base("ReduceSum", include_str!("reduce_sum.rs"), |c| reduce::infer_sizes(c, contents::add))
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduction(c, ReduceOp::Sum, &|_, x| x, &|_, s| s)
}
