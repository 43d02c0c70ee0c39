//! `Split(x, split)`: cuts `x` along `axis` (default 0) into parts of the sizes in `split` (i64[k]); without it into `num_outputs` equal
//! parts, the last one smaller when they cannot be equal.
//!
//! Any element type. Source: ONNX Split-18.

use crate::cells::{strided, strides};
use crate::forms;
use crate::forms::list_to_operand;
use crate::shapes::{axis_in, move_contents, size_of};
use crate::views::{axis_of, gather_view};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Dim, Graph, NodeId, Result, Shape};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[PARTS, list_to_operand!(13, "split", 1)],
    ..OpDef::base("Split", include_str!("split.rs"), infer)
};

/// Version 18 brought `num_outputs`, and asks for it where no sizes are given.
const PARTS: Form = Form {
    since: 18,
    lift: |g, n| {
        if g.node(n).input(1).is_none() {
            let count = g.node(n).outputs().len() as i64;
            g.node_mut(n).attrs.set("num_outputs", count);
        }
        forms::lifted(g, n, 18)
    },
    lower: older,
};

fn older(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let Some(count) = g.node(n).attrs.int("num_outputs") else { return Ok(()) };
    let axis = g.node(n).attrs.int("axis").unwrap_or(0);
    let dims = g.node(n).input(0).and_then(|v| g.ty(v).dims());
    let size = dims.and_then(|d| crate::numbers::axis_index(axis, d.len()).map(|a| d[a].clone()));
    let equal = size.is_some_and(|s| s.exact_div(&Dim::from(count)).is_some());
    if !equal || count != g.node(n).outputs().len() as i64 {
        return Err("before version 18, parts must be equal or have given sizes".into());
    }
    g.node_mut(n).attrs.remove("num_outputs");
    Ok(())
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let (data, count) = (c.ty(0)?, c.output_count());
    let Some(dims) = data.shape.dims() else {
        (0..count).for_each(|o| c.set_tensor(o, data.dtype, Shape::Unranked));
        return Ok(());
    };
    let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), dims.len())?;
    let parts = match (c.has(1), c.contents(1)) {
        (true, Some(parts)) => {
            let sum = parts.dims.iter().fold(Dim::from(0), |a, d| &a + d);
            c.same(&format!("the parts add up to {sum}, the axis has {}", dims[axis]), &sum, &dims[axis])?;
            if parts.dims.len() != count {
                return Err(c.error("arity", format!("{} parts for {count} outputs", parts.dims.len())).into());
            }
            parts.dims
        }
        (true, None) => (0..count).map(|_| c.symbols.fresh()).collect(),
        (false, _) => {
            let n = part_count(c.node.attrs.int("num_outputs"), count);
            let part = dims[axis].ceil_div(&Dim::from(n));
            let last = &dims[axis] - &(&part * &Dim::from(n as i64 - 1));
            // With a symbolic axis that parts do not divide, the last may even be empty.
            let last = if last.is_const() || last.known_non_negative() { last } else { last.maximum(&Dim::from(0)) };
            (0..count).map(|i| if i + 1 == n { last.clone() } else { part.clone() }).collect()
        }
    };
    for (o, part) in parts.into_iter().enumerate() {
        let shape = dims.iter().enumerate().map(|(i, d)| if i == axis { part.clone() } else { d.clone() }).collect();
        c.set_tensor(o, data.dtype, Shape::Ranked(shape));
    }
    move_contents(c, &[0], eval);
    Ok(())
}

fn part_count(num_outputs: Option<i64>, outputs: usize) -> usize {
    num_outputs.and_then(|n| usize::try_from(n).ok()).unwrap_or(outputs).max(1)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let data = c.tensor(0)?;
    let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), data.rank())?;
    let size = data.sizes()[axis];
    let parts = match c.has(1) {
        true => c.ints(1)?.into_iter().map(|v| size_of(c, "a part", v)).collect::<Result<Vec<_>>>()?,
        false => {
            let n = part_count(c.node.attrs.int("num_outputs"), c.node.outputs().len());
            let part = size.div_ceil(n);
            (0..n).map(|i| part.min(size.saturating_sub(i.saturating_mul(part)))).collect()
        }
    };
    if parts.iter().try_fold(0usize, |a, p| a.checked_add(*p)) != Some(size) {
        return Err(c.error("shape-conflict", format!("parts {parts:?} do not add up to the axis of {size}")).into());
    }
    let steps = strides(data.sizes());
    let signed: Vec<isize> = steps.iter().map(|s| *s as isize).collect();
    let mut start = 0;
    let mut out = vec![];
    for part in parts {
        let mut sizes = data.sizes().to_vec();
        sizes[axis] = part;
        out.push(strided(data, &sizes, &signed, (start * steps[axis]) as isize)?.into());
        start += part;
    }
    Ok(out)
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let x = c.input(0)?;
    let axis = axis_of(c, c.node().attrs.int("axis").unwrap_or(0), x.rank())?;
    let mut start = Dim::from(0);
    for output in 0..c.node().outputs().len() {
        let dims = c.graph.ty(c.id.out(output)).dims();
        let size = dims.and_then(|d| d.get(axis)).cloned().ok_or_else(|| c.unsupported("the size of a part is only known at run time"))?;
        if c.wants(output) {
            let y = c.output(output)?;
            let start = start.clone();
            gather_view(c, &x, &y, move |_, at| {
                let mut from = at.to_vec();
                from[axis] = from[axis].add_dim(&start);
                (from, vec![])
            })?;
        }
        start = &start + &size;
    }
    Ok(())
}
