//! `GatherND(data, indices)`: each vector along the last axis of `indices` (i64) names a place in `data`, or a slice when it is shorter
//! than the rank: `out[b…, i…] = data[b…, indices[b…, i…, :]]`, with `batch_dims` (default 0) leading axes b shared.
//!
//! Any element type. Source: ONNX GatherND-13.

use crate::cells::{Cells, CellsMut, room, strides};
use crate::forms::new_attribute;
use crate::shapes::{index_in, move_contents};
use crate::views::gather_view;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::Index;

use lapidary_ir::{Result, Shape};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[new_attribute!(12, "batch_dims", 0)],
    ..OpDef::base("GatherND", include_str!("gather_nd.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let batch = usize::try_from(c.node.attrs.int("batch_dims").unwrap_or(0)).unwrap_or(usize::MAX);
    let shape = match (data.shape.dims(), c.dims(1)) {
        (Some(dims), Some([outer @ .., k])) => match k.as_const().and_then(|k| usize::try_from(k).ok()) {
            Some(k) => match batch.checked_add(k).and_then(|used| dims.get(used..)) {
                Some(rest) if batch <= outer.len() => Shape::Ranked(outer.iter().chain(rest).cloned().collect()),
                _ => {
                    let message = format!("{batch} batch dims and index vectors of {k} do not fit data of rank {}", dims.len());
                    return Err(c.error("shape-conflict", message).into());
                }
            },
            None => Shape::Unranked,
        },
        _ => Shape::Unranked,
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, index, indices) = (c.tensor(0)?, c.tensor(1)?, c.ints(1)?);
    let batch = usize::try_from(c.node.attrs.int("batch_dims").unwrap_or(0)).unwrap_or(usize::MAX);
    let misfit = || c.error("shape-conflict", format!("indices {:?} do not fit data {:?}", index.sizes(), data.sizes()));
    let Some((k, outer)) = index.sizes().split_last() else { return Err(misfit().into()) };
    if batch > outer.len() || batch > data.rank() || *k > data.rank() - batch || outer[..batch] != data.sizes()[..batch] {
        return Err(misfit().into());
    }
    let walk = strides(data.sizes());
    let run: usize = data.sizes()[batch + k..].iter().product();
    let sizes = [outer, &data.sizes()[batch + k..]].concat();
    let mut out = CellsMut::empty(data.dtype(), room(c, data.dtype(), &sizes)?);
    let cells = Cells::of(data);
    let vectors: usize = outer.iter().product();
    let per_batch = vectors.checked_div(outer[..batch].iter().product()).unwrap_or(0);
    let batch_stride: usize = data.sizes()[batch..].iter().product();
    for v in 0..vectors {
        let mut place = v.checked_div(per_batch).unwrap_or(0) * batch_stride;
        for j in 0..*k {
            place += index_in(c, indices[v * k + j], data.sizes()[batch + j])? * walk[batch + j];
        }
        out.push_run(&cells, place, run);
    }
    Ok(vec![out.finish(&sizes)?.into()])
}

/// Indices outside of their axes are clamped into them.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, indices, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let batch = usize::try_from(c.node().attrs.int("batch_dims").unwrap_or(0)).unwrap_or(0);
    let depth = indices.dims.last().and_then(|d| d.as_const()).and_then(|d| usize::try_from(d).ok());
    let depth = depth
        .filter(|d| batch + d <= x.rank() && indices.rank() > batch)
        .ok_or_else(|| c.unsupported("the length of an index is only known at run time"))?;
    gather_view(c, &x, &y, |k, at| {
        let tuple = &at[..indices.rank() - 1];
        let mut from = at[..batch].to_vec();
        for i in 0..depth {
            let mut place = tuple.to_vec();
            place.push(Index::from(i as i64));
            let v = k.load(indices.buffer, indices.dtype, place);
            from.push(k.wrapped_index(v, &x.dims[batch + i]));
        }
        from.extend_from_slice(&at[indices.rank() - 1..]);
        (from, vec![])
    })
}
