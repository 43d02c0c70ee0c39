//! `ReduceProd(x) = Π x` over the reduced axes. Nothing gives 1.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13, 18. Source: the ONNX operator "ReduceProd".

use crate::elementwise::contents;
use crate::rows;
use crate::{LowerCtx, OpDef, reduce};
use lapidary_ir::Result;
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| reduce::folds(c, (1.0, |a, b| a * b), (|_| 1, i128::wrapping_mul))),
    forms: &[reduce::AXES_18],
    ..OpDef::base("ReduceProd", include_str!("reduce_prod.rs"), |c| reduce::infer_sizes(c, contents::mul))
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduction(c, ReduceOp::Product, &|_, x| x, &|_, s| s)
}
