//! `ReduceL2(x) = √(Σ x²)` over the reduced axes. Integers are truncated.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13, 18. Source: the ONNX operator "ReduceL2".

use crate::rows;
use crate::{LowerCtx, OpDef, reduce};
use lapidary_ir::Result;
use lapidary_kernel::{ReduceOp, UnaryOp};

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| reduce::sums(c, |x| x * x, |s, _| s.sqrt())),
    forms: &[reduce::AXES_18],
    ..OpDef::base("ReduceL2", include_str!("reduce_l2.rs"), reduce::infer)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduction(c, ReduceOp::Sum, &|k, x| k.mul(x, x), &|r, s| r.k.unary(UnaryOp::Sqrt, s))
}
