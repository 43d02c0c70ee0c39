//! `Squeeze(data, axes)`: drops the axes of size 1 that `axes` (i64[k], optional) names; all of size 1 without it.
//!
//! Any element type. Source: ONNX Squeeze-25.

use crate::forms;
use crate::forms::list_to_operand;
use crate::shapes::{axes_in, move_contents};
use crate::views::reshape_view;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};

use lapidary_ir::{Result, Shape};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[list_to_operand!(13, "axes", 1), FROM_END],
    ..OpDef::base("Squeeze", include_str!("squeeze.rs"), infer)
};

/// Since version 11 axes may count from the end.
const FROM_END: Form =
    Form { since: 11, lift: |g, n| forms::lifted(g, n, 11), lower: |g, n| forms::axes_from_front(g, n, "axes", forms::rank_of(g, n, 0)) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = match (data.shape.dims(), c.has(1)) {
        (None, _) => Shape::Unranked,
        (Some(dims), true) => match c.ints(1) {
            Some(axes) => {
                let axes = axes_in(c, &axes, dims.len())?;
                for a in &axes {
                    if let Some(v) = dims[*a].as_const().filter(|v| *v != 1) {
                        return Err(c.error("shape-conflict", format!("axis {a} has size {v} and cannot be dropped")).into());
                    }
                }
                Shape::Ranked(dims.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone()).collect())
            }
            None => match c.dims(1) {
                Some([k]) if k.as_const().is_some_and(|k| k >= 0 && k <= dims.len() as i64) => {
                    let k = k.as_const().unwrap_or(0) as usize;
                    c.fresh_shape(dims.len() - k)
                }
                _ => Shape::Unranked,
            },
        },
        // A symbol may be 1 at run time: then not even the rank is known.
        (Some(dims), false) if dims.iter().any(|d| !d.is_const()) => Shape::Unranked,
        (Some(dims), false) => Shape::Ranked(dims.iter().filter(|d| d.as_const() != Some(1)).cloned().collect()),
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let data = c.tensor(0)?;
    let axes = match c.has(1) {
        true => axes_in(c, &c.ints(1)?, data.rank())?,
        false => (0..data.rank()).filter(|a| data.sizes()[*a] == 1).collect(),
    };
    if let Some(a) = axes.iter().find(|a| data.sizes()[**a] != 1) {
        return Err(c.error("shape-conflict", format!("axis {a} has size {} and cannot be dropped", data.sizes()[*a])).into());
    }
    let sizes: Vec<usize> = data.sizes().iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, s)| *s).collect();
    Ok(vec![data.reshaped(&sizes)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    reshape_view(c, &x, &y)
}
