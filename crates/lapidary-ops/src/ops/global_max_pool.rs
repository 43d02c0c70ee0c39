//! `GlobalMaxPool(x)`: the largest element over all spatial axes: x: [N, C, D…] to [N, C, 1…].
//!
//! Floats. Source: ONNX GlobalMaxPool-22.

use crate::pool::{global, infer_global, lower_global};
use crate::{Datum, EvalCtx, LowerCtx, OpDef};
use lapidary_kernel::ReduceOp;

use lapidary_ir::Result;

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("GlobalMaxPool", include_str!("global_max_pool.rs"), infer_global) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let largest = |v: &[f64]| v.iter().fold(f64::NEG_INFINITY, |m, v| if m.is_nan() || *v <= m { m } else { *v });
    Ok(vec![global(c, largest)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    lower_global(c, ReduceOp::Max, |_, v| v, |_, v, _| v)
}
