//! `LpPool(x)`: the p-norm `(Σ |x|^p)^(1/p)` of the elements under each step of a window over the spatial axes of x: [N, C, D…].
//!
//! `p` is 2 by default. Attributes `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`, `ceil_mode`. Floats.
//! Source: ONNX LpPool-22.

use crate::forms;
use crate::forms::new_attribute;
use crate::pool::lower_window;
use crate::pool::{Pool, infer_window};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::Result;
use lapidary_kernel::{BinaryOp, ExprId, KernelBuilder, ReduceOp, UnaryOp};

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), forms: &[DILATIONS, WHOLE_P], ..OpDef::base("LpPool", include_str!("lp_pool.rs"), infer) };

/// Version 18 brought dilations and the ceil mode.
const DILATIONS: Form = new_attribute!(18, "ceil_mode", 0; then crate::ops::average_pool::no_dilations);

/// Before version 2 `p` was a float.
pub const WHOLE_P: Form = Form {
    since: 2,
    lift: |g, n| match g.node(n).attrs.float("p") {
        Some(p) if p.fract() != 0.0 => Ok(false),
        Some(p) => {
            g.node_mut(n).attrs.set("p", p as i64);
            forms::lifted(g, n, 2)
        }
        None => forms::lifted(g, n, 2),
    },
    lower: |g, n| {
        if let Some(p) = g.node(n).attrs.int("p") {
            g.node_mut(n).attrs.set("p", p as f32);
        }
        Ok(())
    },
};

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

/// `|v|^p`.
pub fn power(k: &mut KernelBuilder, v: ExprId, p: f64) -> ExprId {
    let v = k.unary(UnaryOp::Abs, v);
    let p = k.constant(k.dtype(v), p);
    k.binary(BinaryOp::Pow, v, p)
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let p = c.node().attrs.int("p").unwrap_or(2) as f64;
    lower_window(c, ReduceOp::Sum, move |k, v| power(k, v, p), move |k, v, _, _, _, _| power(k, v, 1.0 / p))
}
