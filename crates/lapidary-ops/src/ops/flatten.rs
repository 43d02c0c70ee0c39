//! `Flatten(data)`: a matrix whose rows are the dims before `axis` (default 1), multiplied, and whose columns are the rest.
//!
//! `axis` may equal the rank. Any element type. Source: ONNX Flatten-25.

use crate::forms;
use crate::shapes::{Report, move_contents};
use crate::views::reshape_view;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Attrs, Dim, Graph, NodeId, Result, Shape};

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), forms: &[FROM_END], ..OpDef::base("Flatten", include_str!("flatten.rs"), infer) };

/// Since version 11 the axis may count from the end.
const FROM_END: Form = Form { since: 11, lift: |g, n| forms::lifted(g, n, 11), lower: older };

fn older(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let Some(axis) = g.node(n).attrs.int("axis").filter(|a| *a < 0) else { return Ok(()) };
    let rank = forms::rank_of(g, n, 0).ok_or("the axis counts from the end, and the rank is not known")?;
    g.node_mut(n).attrs.set("axis", axis + rank as i64);
    Ok(())
}

fn axis(c: &impl Report, attrs: &Attrs, rank: usize) -> Result<usize> {
    let axis = attrs.int("axis").unwrap_or(1);
    let at = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(at) {
        Ok(a) if a <= rank => Ok(a),
        _ => Err(c.report("axis-range", format!("axis {axis} is not within 0..={rank}")).into()),
    }
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = match data.shape.dims() {
        Some(dims) => {
            let at = axis(c, &c.node.attrs, dims.len())?;
            let product = |d: &[Dim]| d.iter().fold(Dim::from(1), |a, d| &a * d);
            Shape::of([product(&dims[..at]), product(&dims[at..])])
        }
        None => c.fresh_shape(2),
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let data = c.tensor(0)?;
    let (rows, columns) = data.sizes().split_at(axis(c, &c.node.attrs, data.rank())?);
    Ok(vec![data.reshaped(&[rows.iter().product(), columns.iter().product()])?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    reshape_view(c, &x, &y)
}
