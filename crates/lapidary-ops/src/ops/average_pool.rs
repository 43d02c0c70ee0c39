//! `AveragePool(x)`: the mean of the elements under each step of a window over the spatial axes of x: [N, C, D…].
//!
//! Padding counts as zeros with `count_include_pad=1`, and not at all otherwise; what a step covers beyond the padding (`ceil_mode`)
//! never counts. Attributes `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`. Floats. Source: ONNX AveragePool-22.

use crate::pool::{Pool, infer_window};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("AveragePool", include_str!("average_pool.rs"), infer) };

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
