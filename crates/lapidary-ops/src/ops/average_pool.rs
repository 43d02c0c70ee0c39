//! `AveragePool(x)`: the mean of the elements under each step of a window over the spatial axes of x: [N, C, D…].
//!
//! Padding counts as zeros with `count_include_pad=1`, and not at all otherwise; what a step covers beyond the padding (`ceil_mode`)
//! never counts. Attributes `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`. Floats. Source: ONNX AveragePool-22.

use crate::forms;
use crate::forms::new_attribute;
use crate::pool::{Pool, infer_window, lower_window};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Graph, NodeId, Result};
use lapidary_kernel::{BinaryOp, ReduceOp};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[DILATIONS, new_attribute!(10, "ceil_mode", 0), new_attribute!(7, "count_include_pad", 0)],
    ..OpDef::base("AveragePool", include_str!("average_pool.rs"), infer)
};

/// Version 19 brought dilations.
const DILATIONS: Form = Form { since: 19, lift: |g, n| forms::lifted(g, n, 19), lower: no_dilations };

/// Takes dilations away that are all 1.
pub fn no_dilations(g: &mut Graph, n: NodeId) -> Result<(), String> {
    if g.node(n).attrs.ints("dilations").is_some_and(|d| d.iter().any(|d| *d != 1)) {
        return Err("there are no dilations in this version".into());
    }
    g.node_mut(n).attrs.remove("dilations");
    Ok(())
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(0)?;
    let shape = infer_window(c)?;
    c.set_tensor(0, dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let dtype = c.tensor(0)?.dtype();
    let include = c.node.attrs.int("count_include_pad").unwrap_or(0) != 0;
    let pool = Pool::of(c)?;
    let w = &pool.window;
    let means = pool.each(|step, covered| {
        let sum: f64 = covered.iter().map(|p| pool.values[*p]).sum();
        let within = |a: usize| {
            let padded = w.image[a] as i64 + w.pads[a].0 + w.pads[a].1;
            (0..w.kernel[a]).filter(|k| ((step[a] * w.strides[a] + k * w.dilations[a]) as i64) < padded).count()
        };
        let count = if include { (0..step.len()).map(within).product() } else { covered.len() };
        if count == 0 { 0.0 } else { sum / count as f64 }
    });
    Ok(vec![crate::numbers::store(dtype, &pool.sizes, &means)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let attrs = &c.node().attrs;
    let include = attrs.int("count_include_pad").unwrap_or(0) != 0;
    let after: Option<Vec<i64>> = include.then(|| {
        let rank = attrs.ints("kernel_shape").map_or(0, <[i64]>::len);
        attrs.ints("pads").map_or(vec![0; rank], |p| p[rank.min(p.len())..].to_vec())
    });
    lower_window(
        c,
        ReduceOp::Sum,
        |_, v| v,
        |k, v, slide, at, image, out| {
            let dtype = k.dtype(v);
            let count = slide.count(k, at, image, out, after.as_deref(), dtype);
            // A step that covers nothing but padding is 0, as in the evaluator.
            let one = k.constant(dtype, 1.0);
            let count = k.binary(BinaryOp::Max, count, one);
            k.div(v, count)
        },
    )
}
