//! `Transpose(data)`: axis `i` of the result is axis `perm[i]` of the operand; without `perm` the axes are reversed.
//!
//! Any element type. Source: ONNX Transpose-25.

use crate::cells::{room, strided, strides};
use crate::shapes::{Report, axes_in, move_contents};
use crate::views::{axis_of, gather_view};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::Index;

use lapidary_ir::{Attrs, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Transpose", include_str!("transpose.rs"), infer) };

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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let perm: Vec<usize> = match c.node().attrs.ints("perm") {
        Some(p) => p.iter().map(|a| axis_of(c, *a, x.rank())).collect::<Result<_>>()?,
        None => (0..x.rank()).rev().collect(),
    };
    gather_view(c, &x, &y, |_, at| {
        let mut from = vec![Index::from(0); at.len()];
        perm.iter().zip(at).for_each(|(p, i)| from[*p] = i.clone());
        (from, vec![])
    })
}
