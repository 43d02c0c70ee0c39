//! `Unique(x)`: the different elements of the flattened operand, or its different slices along `axis`, sorted (`sorted=1`, the default)
//! or in order of first appearance.
//!
//! Further outputs, all i64 vectors: where each first appears, which one each element or slice of the operand is, how often each
//! appears. Real numbers and strings. Source: ONNX Unique-28.

use crate::cells::{Cells, CellsMut, around};
use crate::shapes::axis_in;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor};
use std::cmp::Ordering;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Unique", include_str!("unique.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let count = c.symbols.fresh();
    let shape = match (x.shape.dims(), c.node.attrs.int("axis")) {
        (_, None) => Shape::of([count.clone()]),
        (Some(dims), Some(axis)) => {
            let mut out = dims.to_vec();
            out[axis_in(c, axis, dims.len())?] = count.clone();
            Shape::Ranked(out.into())
        }
        (None, Some(_)) => Shape::Unranked,
    };
    let inverse = match (x.shape.dims(), c.node.attrs.int("axis")) {
        (Some(dims), Some(axis)) => dims[axis_in(c, axis, dims.len())?].clone(),
        _ => x.shape.elements().unwrap_or_else(|| c.symbols.fresh()),
    };
    c.set_tensor(0, x.dtype, shape);
    c.set_tensor(1, DType::I64, Shape::of([count.clone()]));
    c.set_tensor(2, DType::I64, Shape::of([inverse]));
    c.set_tensor(3, DType::I64, Shape::of([count]));
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let (axis, flat) = match c.node.attrs.int("axis") {
        Some(a) => (axis_in(c, a, x.rank())?, x.clone()),
        None => (0, x.reshaped(&[x.len()])?),
    };
    let (blocks, size, run) = around(flat.sizes(), axis);
    let compare = comparison(c, &flat)?;
    let places = |s: usize| (0..blocks).flat_map(move |b| (0..run).map(move |r| (b * size + s) * run + r));
    let slices = |a: usize, b: usize| places(a).zip(places(b)).map(|(p, q)| compare(p, q)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|a, b| slices(*a, *b)); // stable: the first of equal ones leads
    let mut groups: Vec<Vec<usize>> = vec![];
    for s in order {
        match groups.last_mut() {
            Some(g) if slices(g[0], s).is_eq() => g.push(s),
            _ => groups.push(vec![s]),
        }
    }
    if c.node.attrs.int("sorted").unwrap_or(1) == 0 {
        groups.sort_by_key(|g| g[0]);
    }
    let mut inverse = vec![0i64; size];
    for (g, members) in groups.iter().enumerate() {
        members.iter().for_each(|m| inverse[*m] = g as i64);
    }
    let mut sizes = flat.sizes().to_vec();
    sizes[axis] = groups.len();
    let (cells, mut out) = (Cells::of(&flat), CellsMut::empty(flat.dtype(), sizes.iter().product()));
    for b in 0..blocks {
        groups.iter().for_each(|g| out.push_run(&cells, (b * size + g[0]) * run, run));
    }
    let firsts = groups.iter().map(|g| g[0] as i64).collect();
    let counts = groups.iter().map(|g| g.len() as i64).collect();
    Ok(vec![out.finish(&sizes)?.into(), Tensor::from_vec(firsts).into(), Tensor::from_vec(inverse).into(), Tensor::from_vec(counts).into()])
}

type Compare = Box<dyn Fn(usize, usize) -> Ordering>;

fn comparison(c: &EvalCtx<'_>, x: &Tensor) -> Result<Compare> {
    if let Some(s) = x.as_strings() {
        let s = s.to_vec();
        return Ok(Box::new(move |a, b| s[a].cmp(&s[b])));
    }
    if let Some(v) = x.to_i64() {
        let unsigned = x.dtype() == DType::U64;
        return Ok(Box::new(move |a, b| if unsigned { (v[a] as u64).cmp(&(v[b] as u64)) } else { v[a].cmp(&v[b]) }));
    }
    match x.to_f64() {
        // NaN equals NaN here, and comes last; the two zeros are one.
        Some(v) => Ok(Box::new(move |a, b| v[a].partial_cmp(&v[b]).unwrap_or_else(|| v[a].is_nan().cmp(&v[b].is_nan())))),
        None => Err(c.error("type-error", format!("elements of type {} have no order", x.dtype())).into()),
    }
}
