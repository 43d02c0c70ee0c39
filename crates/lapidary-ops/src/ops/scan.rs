//! `Scan(s…, x…)`: runs the region `body` once for each element of the scanned operands x (the last `num_scan_inputs` ones), carrying the
//! states s. The body takes states and elements, and gives the next states and elements of the results.
//!
//! `scan_input_axes`, `scan_output_axes` name the axes that are walked (default 0), `…_directions` walk backwards where 1. Results: the
//! last states, then the stacked elements. Any element types. Source: ONNX Scan-25.

use crate::cells::{strided, strides};
use crate::regions::{formal_count, join, region, stack, stacked};
use crate::shapes::axis_in;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor, TensorType, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Scan", include_str!("scan.rs"), infer) };

fn counts(node: &lapidary_ir::Node, body: usize) -> (usize, usize) {
    let formal = formal_count(&node.regions[body]);
    let scanned = node.attrs.int("num_scan_inputs").and_then(|n| usize::try_from(n).ok()).unwrap_or(0).min(formal);
    (formal - scanned, scanned)
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
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
    let (states, scanned) = counts(c.node, body);
    let list = |name: &str, k: usize| c.node.attrs.ints(name).and_then(|v| v.get(k).copied()).unwrap_or(0);
    let mut inputs = vec![];
    let mut trips = None;
    for k in 0..scanned {
        let t = c.tensor(states + k)?;
        let axis = axis_in(c, list("scan_input_axes", k), t.rank())?;
        let size = t.sizes()[axis];
        if *trips.get_or_insert(size) != size {
            return Err(c.error("shape-conflict", format!("scanned operands have {} and {size} elements", trips.unwrap_or(0))).into());
        }
        inputs.push((t, axis, list("scan_input_directions", k) == 1));
    }
    let trips = trips.unwrap_or(0);
    let mut state: Vec<Datum> = (0..states).map(|s| c.tensor(s).map(|t| Datum::Tensor(t.clone()))).collect::<Result<_>>()?;
    let outputs = c.node.regions[body].graph.outputs();
    let mut elements: Vec<Vec<Tensor>> = vec![vec![]; outputs.len().saturating_sub(states)];
    for i in 0..trips {
        let mut formal = std::mem::take(&mut state);
        for (t, axis, backwards) in &inputs {
            formal.push(element(t, *axis, if *backwards { trips - 1 - i } else { i })?.into());
        }
        let mut results = c.run_region(body, formal)?.into_iter();
        state = results.by_ref().take(states).collect();
        for (k, d) in results.enumerate().take(elements.len()) {
            let Datum::Tensor(t) = d else { return Err(c.error("type-error", "only tensors can be stacked").into()) };
            let at = if list("scan_output_directions", k) == 1 { 0 } else { elements[k].len() };
            elements[k].insert(at, t);
        }
    }
    for (k, list_k) in elements.iter().enumerate() {
        let ty = c.node.regions[body].graph.ty(outputs[states + k]).as_tensor().cloned();
        let ty = ty.unwrap_or(TensorType::new(DType::F32, Shape::scalar()));
        state.push(stack(c, list_k, list("scan_output_axes", k), &ty)?.into());
    }
    Ok(state)
}

/// Slice `i` along an axis, without the axis.
fn element(t: &Tensor, axis: usize, i: usize) -> Result<Tensor> {
    let own = strides(t.sizes());
    let without = |axis: usize| (0..t.rank()).filter(move |a| *a != axis);
    let sizes: Vec<usize> = without(axis).map(|a| t.sizes()[a]).collect();
    let walk: Vec<isize> = without(axis).map(|a| own[a] as isize).collect();
    strided(t, &sizes, &walk, (i * own[axis]) as isize)
}
