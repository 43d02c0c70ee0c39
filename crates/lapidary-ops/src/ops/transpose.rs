//! `Transpose(data)`: axis `i` of the result is axis `perm[i]` of the operand; without `perm` the axes are reversed.
//!
//! Any element type. Source: ONNX Transpose-25.

use crate::cells::{room, strided, strides};
use crate::shapes::{Report, axes_in, move_contents};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Attrs, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Transpose", include_str!("transpose.rs"), infer) };

fn perm(c: &impl Report, attrs: &Attrs, rank: usize) -> Result<Vec<usize>> {
    match attrs.ints("perm") {
        None => Ok((0..rank).rev().collect()),
        Some(p) if p.len() != rank => Err(c.report("axis-range", format!("perm has {} entries, the operand has rank {rank}", p.len())).into()),
        Some(p) => axes_in(c, p, rank),
    }
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let shape = match data.shape.dims() {
        Some(dims) => Shape::Ranked(perm(c, &c.node.attrs, dims.len())?.into_iter().map(|p| dims[p].clone()).collect()),
        None => match c.node.attrs.ints("perm") {
            Some(p) => c.fresh_shape(p.len()),
            None => Shape::Unranked,
        },
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let data = c.tensor(0)?;
    let perm = perm(c, &c.node.attrs, data.rank())?;
    let own = strides(data.sizes());
    let sizes: Vec<usize> = perm.iter().map(|p| data.sizes()[*p]).collect();
    let steps: Vec<isize> = perm.iter().map(|p| own[*p] as isize).collect();
    room(c, data.dtype(), &sizes)?;
    Ok(vec![strided(data, &sizes, &steps, 0)?.into()])
}
