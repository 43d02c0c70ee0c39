//! `GatherElements(data, indices)`: `out[i, j, k] = data[i, indices[i, j, k], k]`, the index standing at `axis` (default 0, here 1).
//!
//! `indices` (i32, i64) has the rank of `data`, and no other axis longer than it has; the result has its shape. Any element type.
//! Source: ONNX GatherElements-13.

use crate::cells::{pick, room, strides, visit};
use crate::shapes::{axis_in, index_in, move_contents};
use crate::views::{axis_of, gather_view};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};

use lapidary_ir::{Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("GatherElements", include_str!("gather_elements.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = c.dims(1).map_or(Shape::Unranked, |d| Shape::Ranked(d.into()));
    if let (Some(r), Some(d)) = (data.shape.rank(), shape.rank()) {
        axis_in(c, c.node.attrs.int("axis").unwrap_or(0), r)?;
        if r != d {
            return Err(c.error("shape-conflict", format!("data has rank {r}, indices have rank {d}")).into());
        }
    }
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, index) = (c.tensor(0)?, c.tensor(1)?);
    let places = places(c, data.sizes(), index.sizes(), &c.ints(1)?)?;
    room(c, data.dtype(), index.sizes())?;
    Ok(vec![pick(data, index.sizes(), places)?.into()])
}

/// The element of a tensor of `sizes` that each element of an index tensor stands for.
pub fn places(c: &EvalCtx<'_>, sizes: &[usize], index_sizes: &[usize], indices: &[i64]) -> Result<Vec<usize>> {
    let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), sizes.len())?;
    let fits = index_sizes.len() == sizes.len() && (0..sizes.len()).all(|a| a == axis || index_sizes[a] <= sizes[a]);
    if !fits {
        return Err(c.error("shape-conflict", format!("indices of shape {index_sizes:?} do not fit data of shape {sizes:?}")).into());
    }
    let walk = strides(sizes);
    let mut out = Vec::with_capacity(indices.len());
    let mut wrong = Ok(());
    visit(index_sizes, |at| {
        let mut place = 0;
        for a in 0..at.len() {
            let i = if a != axis {
                at[a]
            } else {
                match index_in(c, indices[out.len()], sizes[a]) {
                    Ok(i) => i,
                    Err(e) => {
                        wrong = Err(e);
                        0
                    }
                }
            };
            place += i * walk[a];
        }
        out.push(place);
    });
    wrong.map(|()| out)
}

/// Indices outside of the axis are clamped into it.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, indices, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let axis = axis_of(c, c.node().attrs.int("axis").unwrap_or(0), x.rank())?;
    gather_view(c, &x, &y, |k, at| {
        let v = k.load(indices.buffer, indices.dtype, at.to_vec());
        let mut from = at.to_vec();
        from[axis] = k.wrapped_index(v, &x.dims[axis]);
        (from, vec![])
    })
}
