//! `GlobalAveragePool(x)`: the mean over all spatial axes: x: [N, C, D…] to [N, C, 1…].
//!
//! Floats. Source: ONNX GlobalAveragePool-22.

use crate::pool::{global, infer_global, lower_global};
use crate::{Datum, EvalCtx, LowerCtx, OpDef};
use lapidary_kernel::ReduceOp;

use lapidary_ir::Result;

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("GlobalAveragePool", include_str!("global_average_pool.rs"), infer_global) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![global(c, |v| v.iter().sum::<f64>() / v.len() as f64)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    lower_global(c, ReduceOp::Sum, |_, v| v, |k, v, n| k.div(v, n))
}
