//! `ReduceMean(x) = Σ x / n` over the reduced axes. Integers are truncated.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13, 18. Source: the ONNX operator "ReduceMean".

use crate::rows;
use crate::{LowerCtx, OpDef, reduce};
use lapidary_ir::Result;
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| reduce::sums(c, |x| x, |s, n| s / n)),
    forms: &[reduce::AXES_18],
    ..OpDef::base("ReduceMean", include_str!("reduce_mean.rs"), reduce::infer)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduction(c, ReduceOp::Sum, &|_, x| x, &|r, s| {
        let dtype = r.k.dtype(s);
        let n = r.count(dtype);
        r.k.div(s, n)
    })
}
