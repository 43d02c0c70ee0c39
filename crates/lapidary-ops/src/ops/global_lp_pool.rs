//! `GlobalLpPool(x)`: the p-norm (`p`, default 2) over all spatial axes: x: [N, C, D…] to [N, C, 1…].
//!
//! Floats. Source: ONNX GlobalLpPool-22.

use crate::ops::lp_pool::norm;
use crate::pool::{global, infer_global};
use crate::{Datum, EvalCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    forms: &[crate::ops::lp_pool::WHOLE_P],
    ..OpDef::base("GlobalLpPool", include_str!("global_lp_pool.rs"), infer_global)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let p = c.node.attrs.int("p").unwrap_or(2) as f64;
    Ok(vec![global(c, |v| norm(v.iter().copied(), p))?.into()])
}
