//! `Gather(data, indices)`: `out[a…, i…, b…] = data[a…, indices[i…], b…]`, the index standing at `axis` (default 0).
//!
//! Indices are i32 or i64 in `-s..s` for an axis of size s, negative ones from the end. Any element type. Source: ONNX Gather-13.

use crate::cells::{Cells, CellsMut, around, room};
use crate::shapes::{axis_in, index_in, move_contents};
use crate::views::{axis_of, gather_view};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};

use lapidary_ir::{Result, Shape};
use lapidary_kernel::Index;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Gather", include_str!("gather.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = match (data.shape.dims(), c.dims(1)) {
        (Some(dims), Some(index)) => {
            let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), dims.len())?;
            if let (Some(size), Some(indices)) = (dims[axis].as_const(), c.ints(1)) {
                indices.iter().try_for_each(|i| index_in(c, *i, size.max(0) as usize).map(|_| ()))?;
            }
            Shape::Ranked(dims[..axis].iter().chain(index).chain(&dims[axis + 1..]).cloned().collect())
        }
        _ => Shape::Unranked,
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, index, places) = (c.tensor(0)?, c.tensor(1)?, c.ints(1)?);
    let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), data.rank())?;
    let (blocks, size, run) = around(data.sizes(), axis);
    let sizes = [&data.sizes()[..axis], index.sizes(), &data.sizes()[axis + 1..]].concat();
    let mut out = CellsMut::empty(data.dtype(), room(c, data.dtype(), &sizes)?);
    let places = places.into_iter().map(|i| index_in(c, i, size)).collect::<Result<Vec<_>>>()?;
    let cells = Cells::of(data);
    for block in 0..blocks {
        places.iter().for_each(|p| out.push_run(&cells, (block * size + p) * run, run));
    }
    Ok(vec![out.finish(&sizes)?.into()])
}

/// Indices outside of the axis are clamped into it: a library never reads beyond its buffers.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, indices, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let axis = axis_of(c, c.node().attrs.int("axis").unwrap_or(0), x.rank())?;
    // One place that is known is a slice, which whoever reads it can read where it lies.
    let place = match (c.contents(1).and_then(|v| v.as_ints()).as_deref(), x.dims[axis].as_const()) {
        (Some(&[i]), Some(size)) if (-size..size).contains(&i) => Some(if i < 0 { i + size } else { i }),
        _ => None,
    };
    gather_view(c, &x, &y, |k, at| {
        let picked = at[axis..axis + indices.rank()].to_vec();
        let mut from = at[..axis].to_vec();
        from.push(match place {
            Some(i) => Index::from(i),
            None => {
                let v = k.load(indices.buffer, indices.dtype, picked);
                k.wrapped_index(v, &x.dims[axis])
            }
        });
        from.extend_from_slice(&at[axis + indices.rank()..]);
        (from, vec![])
    })
}
