//! `LpPool(x)`: the p-norm `(Σ |x|^p)^(1/p)` of the elements under each step of a window over the spatial axes of x: [N, C, D…].
//!
//! `p` is 2 by default. Attributes `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`, `ceil_mode`. Floats.
//! Source: ONNX LpPool-22.

use crate::pool::{Pool, infer_window};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("LpPool", include_str!("lp_pool.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(0)?;
    let shape = infer_window(c)?;
    c.set_tensor(0, dtype, shape);
    Ok(())
}

/// The p-norm.
pub fn norm(values: impl Iterator<Item = f64>, p: f64) -> f64 {
    values.map(|v| v.abs().powf(p)).sum::<f64>().powf(1.0 / p)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let dtype = c.tensor(0)?.dtype();
    let p = c.node.attrs.int("p").unwrap_or(2) as f64;
    let pool = Pool::of(c)?;
    let norms = pool.each(|_, covered| norm(covered.iter().map(|i| pool.values[*i]), p));
    Ok(vec![crate::numbers::store(dtype, &pool.sizes, &norms)?.into()])
}
