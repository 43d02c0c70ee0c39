//! `Tile(x, repeats)`: `x` repeated `repeats[i]` (i64) times along axis `i`, one copy after the other.
//!
//! Any element type. Source: ONNX Tile-13.

use crate::cells::{pick, room, strides, visit};
use crate::forms;
use crate::shapes::{move_contents, size_of};
use crate::views::gather_view;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Graph, NodeId, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), forms: &[REPEATS], ..OpDef::base("Tile", include_str!("tile.rs"), infer) };

/// Before version 6 one axis was tiled: operands tiles and axis, both scalars.
const REPEATS: Form = Form { since: 6, lift: newer, lower: |_, _| Err("before version 6, only one axis is tiled".into()) };

fn newer(g: &mut Graph, n: NodeId) -> Result<bool> {
    let one = |slot: usize| g.node(n).input(slot).and_then(|v| g.as_constant(v)?.to_f64()?.first().copied());
    let (Some(tiles), Some(axis), Some(rank)) = (one(1), one(2), forms::rank_of(g, n, 0)) else { return Ok(false) };
    let Some(axis) = crate::numbers::axis_index(axis as i64, rank) else { return Ok(false) };
    let mut repeats = vec![1i64; rank];
    repeats[axis] = tiles as i64;
    forms::drop_operand(g, n, 2);
    forms::set_constant(g, n, 1, "repeats", lapidary_ir::Tensor::from_vec(repeats));
    forms::lifted(g, n, 6)
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = match (data.shape.dims(), c.contents(1)) {
        (Some(dims), Some(repeats)) => {
            if repeats.dims.len() != dims.len() {
                return Err(c.error("shape-conflict", format!("{} repeats for rank {}", repeats.dims.len(), dims.len())).into());
            }
            Shape::Ranked(dims.iter().zip(&repeats.dims).map(|(d, r)| d * r).collect())
        }
        (Some(dims), None) => c.fresh_shape(dims.len()),
        (None, _) => Shape::Unranked,
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, repeats) = (c.tensor(0)?, c.ints(1)?);
    if repeats.len() != data.rank() {
        return Err(c.error("shape-conflict", format!("{} repeats for rank {}", repeats.len(), data.rank())).into());
    }
    let repeats = repeats.into_iter().map(|v| size_of(c, "a repeat", v)).collect::<Result<Vec<_>>>()?;
    let sizes: Vec<usize> = data.sizes().iter().zip(&repeats).map(|(s, r)| s.saturating_mul(*r)).collect();
    let mut places = Vec::with_capacity(room(c, data.dtype(), &sizes)?);
    let walk = strides(data.sizes());
    visit(&sizes, |at| places.push((0..at.len()).map(|a| at[a] % data.sizes()[a] * walk[a]).sum()));
    Ok(vec![pick(data, &sizes, places)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    gather_view(c, &x, &y, |k, at| (at.iter().zip(&x.dims).map(|(i, d)| k.modulo(i, d)).collect(), vec![]))
}
