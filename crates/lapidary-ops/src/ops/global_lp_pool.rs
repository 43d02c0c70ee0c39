//! `GlobalLpPool(x)`: the p-norm (`p`, default 2) over all spatial axes: x: [N, C, D…] to [N, C, 1…].
//!
//! Floats. Source: ONNX GlobalLpPool-22.

use crate::ops::lp_pool::norm;
use crate::ops::lp_pool::power;
use crate::pool::lower_global;
use crate::pool::{global, infer_global};
use crate::{Datum, EvalCtx, LowerCtx, OpDef};
use lapidary_ir::Result;
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[crate::ops::lp_pool::WHOLE_P],
    ..OpDef::base("GlobalLpPool", include_str!("global_lp_pool.rs"), infer_global)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let p = c.node.attrs.int("p").unwrap_or(2) as f64;
    Ok(vec![global(c, |v| norm(v.iter().copied(), p))?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let p = c.node().attrs.int("p").unwrap_or(2) as f64;
    lower_global(c, ReduceOp::Sum, move |k, v| power(k, v, p), move |k, v, _| power(k, v, 1.0 / p))
}
