//! `MaxPool(x)`: the largest element under each step of a window over the spatial axes of x: [N, C, D…]. Padding is never the largest.
//!
//! A second output gives where it lies, as i64 positions in the whole operand (column-major in space with `storage_order=1`).
//! Attributes `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`, `ceil_mode`. Floats, i8, u8. Source: ONNX MaxPool-22.

use crate::forms;
use crate::forms::new_attribute;
use crate::ops::conv::unravel;
use crate::pool::{Pool, infer_window, lower_window};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::ReduceOp;

use lapidary_ir::{DType, Result, Tensor};

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), forms: &[DILATIONS, INDICES], ..OpDef::base("MaxPool", include_str!("max_pool.rs"), infer) };

/// Version 10 brought dilations and the ceil mode.
const DILATIONS: Form = new_attribute!(10, "ceil_mode", 0; then crate::ops::average_pool::no_dilations);

/// Version 8 brought the second result.
const INDICES: Form = Form {
    since: 8,
    lift: |g, n| forms::lifted(g, n, 8),
    lower: |g, n| {
        if g.node(n).outputs().len() > 1 && g.use_count(n.out(1)) > 0 {
            return Err("the positions of the largest exist since version 8 only".into());
        }
        g.truncate_outputs(n, 1);
        g.node_mut(n).attrs.remove("storage_order");
        Ok(())
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(0)?;
    let shape = infer_window(c)?;
    c.set_tensor(0, dtype, shape.clone());
    c.set_tensor(1, DType::I64, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let dtype = c.tensor(0)?.dtype();
    let pool = Pool::of(c)?;
    let lowest = dtype.int_range().map_or(f64::NEG_INFINITY, |(low, _)| low as f64);
    let found = pool.each(|_, covered| {
        let mut best: Option<usize> = None;
        for p in covered {
            let v = pool.values[*p];
            if best.is_none_or(|b| v > pool.values[b] || (v.is_nan() && !pool.values[b].is_nan())) {
                best = Some(*p);
            }
        }
        best
    });
    let values: Vec<f64> = found.iter().map(|p| p.map_or(lowest, |p| pool.values[p])).collect();
    let by_column = c.node.attrs.int("storage_order").unwrap_or(0) == 1;
    let pixels: usize = pool.window.image.iter().product();
    let place = |p: usize| {
        if !by_column {
            return p as i64;
        }
        let index = unravel(p % pixels, &pool.window.image);
        let spatial = index.iter().zip(&pool.window.image).rev().fold(0, |at, (i, s)| at * s + i);
        (p / pixels * pixels + spatial) as i64
    };
    let places: Vec<i64> = found.iter().map(|p| p.map_or(-1, place)).collect();
    Ok(vec![crate::numbers::store(dtype, &pool.sizes, &values)?.into(), Tensor::from_slice(&pool.sizes, &places).into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    if c.wants(1) {
        return Err(c.unsupported("there is no native code for the indices of MaxPool yet").into());
    }
    lower_window(c, ReduceOp::Max, |_, v| v, |_, v, _, _, _, _| v)
}
