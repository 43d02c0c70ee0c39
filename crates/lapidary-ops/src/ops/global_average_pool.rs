//! `GlobalAveragePool(x)`: the mean over all spatial axes: x: [N, C, D…] to [N, C, 1…].
//!
//! Floats. Source: ONNX GlobalAveragePool-22.

use crate::pool::{global, infer_global};
use crate::{Datum, EvalCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("GlobalAveragePool", include_str!("global_average_pool.rs"), infer_global) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![global(c, |v| v.iter().sum::<f64>() / v.len() as f64)?.into()])
}
