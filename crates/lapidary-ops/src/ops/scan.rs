//! `Scan(s…, x…)`: runs the region `body` once for each element of the scanned operands x (the last `num_scan_inputs` ones), carrying the
//! states s. The body takes states and elements, and gives the next states and elements of the results.
//!
//! `scan_input_axes`, `scan_output_axes` name the axes that are walked (default 0), `…_directions` walk backwards where 1. Results: the
//! last states, then the stacked elements. Any element types. Source: ONNX Scan-25.

use crate::cells::{strided, strides};
use crate::regions::{formal_count, join, region, stack, stacked};
use crate::shapes::axis_in;
use crate::{Datum, EvalCtx, Form, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor, TensorType, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), forms: &[BATCHES], ..OpDef::base("Scan", include_str!("scan.rs"), infer) };

/// Before version 9 all operands had a batch axis, and lengths came first. Such nodes stay as they are.
const BATCHES: Form = Form { since: 9, lift: |_, _| Ok(false), lower: |_, _| Err("before version 9, Scan runs over batches".into()) };

fn counts(node: &lapidary_ir::Node, body: usize) -> (usize, usize) {
    let formal = formal_count(&node.regions[body]);
    let scanned = node.attrs.int("num_scan_inputs").and_then(|n| usize::try_from(n).ok()).unwrap_or(0).min(formal);
    (formal - scanned, scanned)
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    if c.node.op.version == 8 {
        return Ok(()); // types as declared: only old files have this form
    }
    let body = region(c, c.node, "body")?;
    let (states, scanned) = counts(c.node, body);
    let input_axes = c.node.attrs.ints("scan_input_axes").unwrap_or(&[]);
    let mut trips = None;
    for k in 0..scanned {
        if let Some(dims) = c.dims(states + k)
            && trips.is_none()
        {
            trips = Some(dims[axis_in(c, input_axes.get(k).copied().unwrap_or(0), dims.len())?].clone());
        }
    }
    let trips = trips.unwrap_or_else(|| c.symbols.fresh());
    let output_axes = c.node.attrs.ints("scan_output_axes").unwrap_or(&[]);
    for o in 0..c.output_count() {
        let Some(inner) = c.region_outputs.get(body).and_then(|t| t.get(o)).cloned() else { continue };
        let ty = if o < states {
            let first = if c.has(o) { c.any_ty(o)?.clone() } else { Type::Unknown };
            join(c.symbols, &first, &inner)
        } else {
            stacked(c.symbols, &inner, output_axes.get(o - states).copied().unwrap_or(0), trips.clone())
        };
        c.set(o, ty);
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let body = region(c, c.node, "body")?;
    if c.node.op.version == 8 {
        return eval_batches(c, body);
    }
    let (states, scanned) = counts(c.node, body);
    let mut inputs = vec![];
    let mut trips = None;
    for k in 0..scanned {
        let t = c.tensor(states + k)?;
        let axis = axis_in(c, entry(c, "scan_input_axes", k), t.rank())?;
        let size = t.sizes()[axis];
        if *trips.get_or_insert(size) != size {
            return Err(c.error("shape-conflict", format!("scanned operands have {} and {size} elements", trips.unwrap_or(0))).into());
        }
        inputs.push((t.clone(), axis, entry(c, "scan_input_directions", k) == 1));
    }
    let state: Vec<Datum> = (0..states).map(|s| c.tensor(s).map(|t| Datum::Tensor(t.clone()))).collect::<Result<_>>()?;
    let (mut state, elements) = walk(c, body, state, &inputs, trips.unwrap_or(0))?;
    let outputs = c.node.regions[body].graph.outputs();
    for (k, list) in elements.iter().enumerate() {
        let ty = c.node.regions[body].graph.ty(outputs[states + k]).as_tensor().cloned();
        let ty = ty.unwrap_or(TensorType::new(DType::F32, Shape::scalar()));
        state.push(stack(c, list, entry(c, "scan_output_axes", k), &ty)?.into());
    }
    Ok(state)
}

/// Entry `k` of a list attribute; 0 where absent.
fn entry(c: &EvalCtx<'_>, name: &str, k: usize) -> i64 {
    c.node.attrs.ints(name).and_then(|v| v.get(k).copied()).unwrap_or(0)
}

/// Runs the body `trips` times. Gives the last states, and the elements of each result in order.
fn walk(
    c: &EvalCtx<'_>,
    body: usize,
    mut state: Vec<Datum>,
    inputs: &[(Tensor, usize, bool)],
    trips: usize,
) -> Result<(Vec<Datum>, Vec<Vec<Tensor>>)> {
    let states = state.len();
    let mut elements: Vec<Vec<Tensor>> = vec![vec![]; c.node.regions[body].graph.outputs().len().saturating_sub(states)];
    for i in 0..trips {
        let mut formal = std::mem::take(&mut state);
        for (t, axis, backwards) in inputs {
            formal.push(element(t, *axis, if *backwards { trips - 1 - i } else { i })?.into());
        }
        let mut results = c.run_region(body, formal)?.into_iter();
        state = results.by_ref().take(states).collect();
        for (k, d) in results.enumerate().take(elements.len()) {
            let Datum::Tensor(t) = d else { return Err(c.error("type-error", "only tensors can be stacked").into()) };
            let at = if entry(c, "scan_output_directions", k) == 1 { 0 } else { elements[k].len() };
            elements[k].insert(at, t);
        }
    }
    Ok((state, elements))
}

/// The form of version 8: operand 0 holds the lengths of the sequences (optional), and all others have a batch axis first.
fn eval_batches(c: &EvalCtx<'_>, body: usize) -> Result<Vec<Datum>> {
    let (states, scanned) = counts(c.node, body);
    let lengths = if c.has(0) { Some(c.ints(0)?) } else { None };
    let operand = |slot: usize| -> Result<&Tensor> {
        let t = c.tensor(slot + 1)?;
        if t.rank() == 0 || t.sizes()[0] != c.tensor(1)?.sizes().first().copied().unwrap_or(0) {
            return Err(c.error("shape-conflict", format!("operand {} has no batch axis like operand 1", slot + 1)).into());
        }
        Ok(t)
    };
    let batch = if states + scanned > 0 { operand(0)?.sizes()[0] } else { 0 };
    let mut results: Vec<Vec<Tensor>> = vec![];
    for b in 0..batch {
        let state = (0..states).map(|s| Ok(Datum::Tensor(element(operand(s)?, 0, b)?))).collect::<Result<Vec<_>>>()?;
        let mut inputs = vec![];
        for k in 0..scanned {
            let t = element(operand(states + k)?, 0, b)?;
            axis_in(c, 0, t.rank())?;
            inputs.push((t, 0, entry(c, "directions", k) == 1));
        }
        let steps = inputs.iter().map(|(t, ..)| t.sizes()[0]).min().unwrap_or(0);
        let trips = lengths.as_ref().and_then(|l| l.get(b)).map_or(steps, |l| usize::try_from(*l).unwrap_or(0).min(steps));
        let (state, mut elements) = walk(c, body, state, &inputs, trips)?;
        let mut all: Vec<Tensor> = state.into_iter().filter_map(|d| d.as_tensor().cloned()).collect();
        for list in &mut elements {
            // Shorter sequences end in zeros.
            if let Some(first) = list.first() {
                let zeros = Tensor::zeros(first.dtype(), first.sizes())?;
                list.resize(steps, zeros);
            }
            let ty = list.first().map_or(TensorType::new(DType::F32, Shape::scalar()), Tensor::ty);
            all.push(stack(c, list, 0, &ty)?);
        }
        results.resize(all.len(), vec![]);
        results.iter_mut().zip(all).for_each(|(r, t)| r.push(t));
    }
    let ty = TensorType::new(DType::F32, Shape::scalar());
    results.iter().map(|r| Ok(stack(c, r, 0, &ty)?.into())).collect()
}

/// Slice `i` along an axis, without the axis.
fn element(t: &Tensor, axis: usize, i: usize) -> Result<Tensor> {
    let own = strides(t.sizes());
    let without = |axis: usize| (0..t.rank()).filter(move |a| *a != axis);
    let sizes: Vec<usize> = without(axis).map(|a| t.sizes()[a]).collect();
    let walk: Vec<isize> = without(axis).map(|a| own[a] as isize).collect();
    strided(t, &sizes, &walk, (i * own[axis]) as isize)
}
