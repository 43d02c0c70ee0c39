//! `CenterCropPad(x, shape)`: brings `axes` (default: all) to the sizes in `shape` (i64[k]): what is too long is cropped around the centre,
//! what is too short gets zeros at both sides, the odd one at the end.
//!
//! Any element type. Source: ONNX CenterCropPad-18.

use crate::cells::{CellsMut, room, strided, strides};
use crate::shapes::{axes_in, place, size_of};
use crate::views::gather_view;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Dim, Result, Shape, Tensor};
use lapidary_kernel::Index;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("CenterCropPad", include_str!("center_crop_pad.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let shape = match (x.shape.dims(), c.contents(1)) {
        (Some(dims), Some(wanted)) => {
            let all: Vec<i64> = (0..dims.len() as i64).collect();
            let axes = axes_in(c, c.node.attrs.ints("axes").unwrap_or(&all), dims.len())?;
            if axes.len() != wanted.dims.len() {
                return Err(c.error("shape-conflict", format!("{} sizes for {} axes", wanted.dims.len(), axes.len())).into());
            }
            let mut out = dims.to_vec();
            axes.iter().zip(wanted.dims).for_each(|(a, d)| out[*a] = d);
            Shape::Ranked(out.into())
        }
        (Some(dims), None) => c.fresh_shape(dims.len()),
        (None, _) => Shape::Unranked,
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, wanted) = (c.tensor(0)?, c.ints(1)?);
    let all: Vec<i64> = (0..x.rank() as i64).collect();
    let axes = axes_in(c, c.node.attrs.ints("axes").unwrap_or(&all), x.rank())?;
    if axes.len() != wanted.len() {
        return Err(c.error("shape-conflict", format!("{} sizes for {} axes", wanted.len(), axes.len())).into());
    }
    let (mut kept, mut sizes) = (x.sizes().to_vec(), x.sizes().to_vec());
    let (mut offset, mut corner) = (0, vec![0; x.rank()]);
    let walk = strides(x.sizes());
    for (a, want) in axes.into_iter().zip(wanted) {
        let (have, want) = (x.sizes()[a], size_of(c, "a size", want)?);
        sizes[a] = want;
        kept[a] = have.min(want);
        offset += have.saturating_sub(want) / 2 * walk[a];
        corner[a] = want.saturating_sub(have) / 2;
    }
    room(c, x.dtype(), &sizes)?;
    let steps: Vec<isize> = walk.iter().map(|s| *s as isize).collect();
    let middle = strided(x, &kept, &steps, offset as isize)?;
    let mut out = CellsMut::copy(&Tensor::zeros(x.dtype(), &sizes)?);
    place(&mut out, &sizes, &middle, &corner);
    Ok(vec![out.finish(&sizes)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let two = Dim::from(2);
    // Cropping moves the reader inwards, padding outwards; both halves are rounded down.
    let shift = |have: &Dim, want: &Dim| {
        let zero = Dim::from(0);
        &(have - want).maximum(&zero).floor_div(&two) - &(want - have).maximum(&zero).floor_div(&two)
    };
    let moves: Vec<Dim> = x.dims.iter().zip(&y.dims).map(|(h, w)| shift(h, w)).collect();
    gather_view(c, &x, &y, |_, at| {
        let from: Vec<Index> = at.iter().zip(&moves).map(|(i, m)| i.add_dim(m)).collect();
        let guard = from.iter().cloned().zip(x.dims.iter().cloned()).collect();
        (from, guard)
    })
}
