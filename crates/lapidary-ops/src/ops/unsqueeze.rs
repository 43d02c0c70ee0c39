//! `Unsqueeze(data, axes)`: inserts axes of size 1, so that they stand at `axes` (i64[k]) of the result.
//!
//! Any element type. Source: ONNX Unsqueeze-25.

use crate::forms;
use crate::forms::list_to_operand;
use crate::shapes::{MAX_RANK, axes_in, move_contents};
use crate::views::reshape_view;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};

use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[list_to_operand!(13, "axes", 1), FROM_END],
    ..OpDef::base("Unsqueeze", include_str!("unsqueeze.rs"), infer)
};

/// Since version 11 axes may count from the end.
const FROM_END: Form = Form {
    since: 11,
    lift: |g, n| forms::lifted(g, n, 11),
    lower: |g, n| {
        let more = g.node(n).attrs.ints("axes").map_or(0, <[i64]>::len);
        forms::axes_from_front(g, n, "axes", forms::rank_of(g, n, 0).map(|r| r + more))
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = match (data.shape.dims(), c.ints(1)) {
        (Some(dims), Some(axes)) => Shape::Ranked(inserted(axes_in(c, &axes, dims.len() + axes.len())?, dims, Dim::from(1)).into()),
        (Some(dims), None) => match c.dims(1) {
            Some([k]) => match k.as_const().filter(|k| (0..MAX_RANK as i64).contains(k)) {
                Some(k) => c.fresh_shape(dims.len() + k as usize),
                None => Shape::Unranked,
            },
            _ => Shape::Unranked,
        },
        _ => Shape::Unranked,
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn inserted<T: Clone>(axes: Vec<usize>, sizes: &[T], one: T) -> Vec<T> {
    let mut left = sizes.iter().cloned();
    (0..sizes.len() + axes.len()).filter_map(|i| if axes.contains(&i) { Some(one.clone()) } else { left.next() }).collect()
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, axes) = (c.tensor(0)?, c.ints(1)?);
    let axes = axes_in(c, &axes, data.rank() + axes.len())?;
    Ok(vec![data.reshaped(&inserted(axes, data.sizes(), 1))?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    reshape_view(c, &x, &y)
}
