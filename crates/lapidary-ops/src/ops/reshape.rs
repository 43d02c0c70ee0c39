//! `Reshape(data, shape)`: the same elements in row-major order, in other dims.
//!
//! `shape` is i64[r]. One entry may be -1: it takes what is left. An entry 0 copies the dim of `data` at its place, or means an empty
//! axis with `allowzero=1`. Any element type. Source: ONNX Reshape-25.

use crate::forms;
use crate::forms::{list_to_operand, new_attribute};
use crate::shapes::{MAX_RANK, move_contents, size_of};
use crate::views::reshape_view;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};

use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[new_attribute!(14, "allowzero", 0), list_to_operand!(5, "shape", 1), forms::CONSUMED_INPUTS],
    ..OpDef::base("Reshape", include_str!("reshape.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = match c.contents(1) {
        Some(wanted) => resolve(c, data.shape.dims(), &wanted.dims)?,
        None => match c.dims(1) {
            Some([n]) => match n.as_const().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= MAX_RANK) {
                Some(rank) => c.fresh_shape(rank),
                None => Shape::Unranked,
            },
            _ => Shape::Unranked,
        },
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn resolve(c: &mut InferCtx<'_>, data: Option<&[Dim]>, wanted: &[Dim]) -> Result<Shape> {
    let allow_zero = c.node.attrs.int("allowzero").unwrap_or(0) != 0;
    let (mut out, mut open) = (vec![], None);
    for (i, d) in wanted.iter().enumerate() {
        out.push(match d.as_const() {
            Some(-1) if open.is_some() => return Err(c.error("reshape", "more than one entry of the shape is -1").into()),
            Some(-1) => {
                open = Some(i);
                Dim::from(1)
            }
            Some(0) if !allow_zero => match data {
                Some(dims) => match dims.get(i) {
                    Some(d) => d.clone(),
                    None => {
                        let message = format!("entry {i} of the shape is 0, but the operand has only {} dims", dims.len());
                        return Err(c.error("reshape", message).into());
                    }
                },
                None => c.symbols.fresh(),
            },
            Some(v) if v < 0 => return Err(c.error("reshape", format!("entry {i} of the shape is {v}")).into()),
            _ => d.clone(),
        });
    }
    let total = data.map(|d| d.iter().fold(Dim::from(1), |a, d| &a * d));
    let given = out.iter().fold(Dim::from(1), |a, d| &a * d);
    let mismatch = |c: &InferCtx<'_>| c.error("reshape", format!("{:?} cannot be reshaped to {wanted:?}", data.unwrap_or(&[])));
    match (open, total) {
        (Some(i), None) => out[i] = c.symbols.fresh(),
        (Some(i), Some(total)) => match (total.as_const(), given.as_const()) {
            (Some(t), Some(0)) if t != 0 => return Err(mismatch(c).into()),
            (_, Some(0)) => out[i] = Dim::from(0),
            (Some(t), Some(g)) if t % g != 0 => return Err(mismatch(c).into()),
            _ => out[i] = cancel(data.unwrap_or(&[]), &out, i).unwrap_or_else(|| total.floor_div(&given)),
        },
        (None, Some(total)) => {
            if let (Some(t), Some(g)) = (total.as_const(), given.as_const())
                && t != g
            {
                return Err(mismatch(c).into());
            }
        }
        (None, None) => {}
    }
    Ok(Shape::Ranked(out.into()))
}

/// The open dim by striking out factors that stand on both sides: exact even where a polynomial division has no closed form, such as
/// `max(N, M)·8 / max(N, M)`.
fn cancel(data: &[Dim], out: &[Dim], open: usize) -> Option<Dim> {
    let mut top: Vec<Dim> = data.to_vec();
    let mut bottom = Dim::from(1);
    for (_, d) in out.iter().enumerate().filter(|(i, _)| *i != open) {
        match top.iter().position(|t| t == d) {
            Some(at) => {
                top.remove(at);
            }
            None => bottom = &bottom * d,
        }
    }
    top.iter().fold(Dim::from(1), |a, d| &a * d).exact_div(&bottom)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, wanted) = (c.tensor(0)?, c.ints(1)?);
    let allow_zero = c.node.attrs.int("allowzero").unwrap_or(0) != 0;
    let mut sizes = vec![];
    let mut open = None;
    for (i, v) in wanted.iter().enumerate() {
        sizes.push(match v {
            -1 if open.is_some() => return Err(c.error("reshape", "more than one entry of the shape is -1").into()),
            -1 => {
                open = Some(i);
                1
            }
            0 if !allow_zero => *data.sizes().get(i).ok_or_else(|| c.error("reshape", format!("entry {i} of the shape is 0, beyond the rank")))?,
            v => size_of(c, "an entry of the shape", *v)?,
        });
    }
    let given = sizes.iter().try_fold(1usize, |a, s| a.checked_mul(*s)).unwrap_or(usize::MAX);
    if let Some(i) = open {
        sizes[i] = data.len().checked_div(given).unwrap_or(0);
    }
    if sizes.iter().try_fold(1usize, |a, s| a.checked_mul(*s)) != Some(data.len()) {
        return Err(c.error("reshape", format!("{:?} cannot be reshaped to {wanted:?}", data.sizes())).into());
    }
    Ok(vec![data.reshaped(&sizes)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    reshape_view(c, &x, &y)
}
