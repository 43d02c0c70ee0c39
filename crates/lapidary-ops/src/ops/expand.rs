//! `Expand(x, shape)`: `x` repeated by broadcasting with `shape` (i64[r]), both ways: an entry 1 keeps the dim of `x`.
//!
//! Any element type. Source: ONNX Expand-13.

use crate::cells::room;
use crate::shapes::{broadcast_sizes, expand, move_contents, shape_from, size_of};
use crate::views::gather_view;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};

use lapidary_ir::{Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Expand", include_str!("expand.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let known = c.contents(1).is_some();
    let wanted = shape_from(c, 1);
    let shape = match (data.shape.dims(), wanted.dims()) {
        (Some(a), Some(b)) if known => c.broadcast(&[a, b])?,
        (Some(a), Some(b)) => c.fresh_shape(a.len().max(b.len())),
        _ => Shape::Unranked,
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let data = c.tensor(0)?;
    let wanted = c.ints(1)?.into_iter().map(|v| size_of(c, "an entry of the shape", v)).collect::<Result<Vec<_>>>()?;
    let sizes = broadcast_sizes(c, data.sizes(), &wanted)?;
    room(c, data.dtype(), &sizes)?;
    Ok(vec![expand(data, &sizes)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let lead = y.rank() - x.rank();
    for (d, r) in x.dims.iter().zip(&y.dims[lead..]) {
        c.check_equal(d, r, true);
    }
    gather_view(c, &x, &y, |k, at| (k.broadcast(at, &y.dims, &x.dims), vec![]))
}
