//! `Compress(x, condition)`: the slices of `x` along `axis` for which `condition` (bool[k]) is true; without `axis` the elements of the
//! flattened operand. Slices beyond the end of `condition` are dropped.
//!
//! Any element type. Source: ONNX Compress-11.

use crate::cells::{Cells, CellsMut, around};
use crate::shapes::axis_in;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Compress", include_str!("compress.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let kept = c.ints(1).map(|v| v.iter().filter(|v| **v != 0).count());
    let kept = kept.map_or_else(|| c.symbols.fresh(), Dim::from);
    let shape = match (x.shape.dims(), c.node.attrs.int("axis")) {
        (_, None) => Shape::of([kept]),
        (Some(dims), Some(axis)) => {
            let mut out = dims.to_vec();
            out[axis_in(c, axis, dims.len())?] = kept;
            Shape::Ranked(out.into())
        }
        (None, Some(_)) => Shape::Unranked,
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, condition) = (c.tensor(0)?, c.ints(1)?);
    let mut sizes = x.sizes().to_vec();
    let axis = match c.node.attrs.int("axis") {
        Some(a) => axis_in(c, a, x.rank())?,
        None => {
            sizes = vec![x.len()];
            0
        }
    };
    let (blocks, size, run) = around(&sizes, axis);
    let kept: Vec<usize> = condition.iter().enumerate().filter(|(_, v)| **v != 0).map(|(i, _)| i).collect();
    if let Some(i) = kept.iter().find(|i| **i >= size) {
        return Err(c.error("index-range", format!("condition {i} is true, but the axis has {size} slices")).into());
    }
    let (cells, mut out) = (Cells::of(x), CellsMut::empty(x.dtype(), blocks * kept.len() * run));
    for b in 0..blocks {
        kept.iter().for_each(|k| out.push_run(&cells, (b * size + k) * run, run));
    }
    sizes[axis] = kept.len();
    Ok(vec![out.finish(&sizes)?.into()])
}
