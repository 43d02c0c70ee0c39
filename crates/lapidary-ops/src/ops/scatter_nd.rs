//! `ScatterND(data, indices, updates)`: a copy of `data` with `out[indices[i…, :]] = updates[i…]`; index vectors (i64) shorter than the
//! rank name slices. `reduction` (`none`, `add`, `mul`, `max`, `min`) combines instead of overwriting.
//!
//! Any element type; reductions on numbers. Source: ONNX ScatterND-18.

use crate::cells::strides;
use crate::forms::new_attribute;
use crate::ops::scatter_elements::lower_scatter;
use crate::ops::scatter_elements::{reduction, scatter};
use crate::shapes::{index_in, move_contents};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Dim, Result};
use lapidary_kernel::Index;

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[MORE, new_attribute!(16, "reduction", "none")],
    ..OpDef::base("ScatterND", include_str!("scatter_nd.rs"), infer)
};

/// Version 18 brought the reductions `max` and `min`.
const MORE: Form = crate::ops::scatter_elements::MORE_REDUCTIONS;

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    c.set(0, data);
    if reduction(c.node.attrs.str("reduction")).is_none() {
        move_contents(c, &[0, 2], eval);
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, index, updates, indices) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?, c.ints(1)?);
    let misfit =
        || c.error("shape-conflict", format!("indices {:?} and updates {:?} do not fit data {:?}", index.sizes(), updates.sizes(), data.sizes()));
    let Some((k, outer)) = index.sizes().split_last() else { return Err(misfit().into()) };
    if *k > data.rank() || updates.dtype() != data.dtype() || *updates.sizes() != *[outer, &data.sizes()[*k..]].concat() {
        return Err(misfit().into());
    }
    let walk = strides(data.sizes());
    let run = data.sizes()[*k..].iter().product();
    let mut places = vec![];
    for v in 0..outer.iter().product() {
        let mut place = 0;
        for j in 0..*k {
            place += index_in(c, indices[v * k + j], data.sizes()[j])? * walk[j];
        }
        places.push(place);
    }
    Ok(vec![scatter(c, data, updates, &places, run)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (data, index, updates, y) = (c.input(0)?, c.input(1)?, c.input(2)?, c.output(0)?);
    let depth = index.dims.last().and_then(Dim::as_const).and_then(|k| usize::try_from(k).ok()).filter(|k| *k <= data.rank());
    let depth = depth.ok_or_else(|| c.unsupported("the length of index vectors is only known at run time"))?;
    let outer = index.rank() - 1;
    lower_scatter(c, &data, &updates, &y, |k, at| {
        let mut to: Vec<Index> = vec![];
        for j in 0..depth {
            let from: Vec<Index> = at[..outer].iter().cloned().chain([Index::from(j as i64)]).collect();
            let v = k.load(index.buffer, index.dtype, from);
            to.push(k.wrapped_index(v, &data.dims[j]));
        }
        to.extend_from_slice(&at[outer..]);
        to
    })
}
