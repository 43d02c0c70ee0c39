//! `ReduceLogSum(x) = ln(Σ x)` over the reduced axes.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13, 18, 28. Source: the ONNX operator "ReduceLogSum".

use crate::rows;
use crate::{LowerCtx, OpDef, reduce};
use lapidary_ir::Result;
use lapidary_kernel::{ReduceOp, UnaryOp};

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| reduce::sums(c, |x| x, |s, _| s.ln())),
    forms: &[reduce::AXES_18],
    ..OpDef::base("ReduceLogSum", include_str!("reduce_log_sum.rs"), reduce::infer)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduction(c, ReduceOp::Sum, &|_, x| x, &|r, s| r.k.unary(UnaryOp::Log, s))
}
