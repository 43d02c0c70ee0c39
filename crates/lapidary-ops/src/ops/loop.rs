//! `Loop(trips, condition, v…)`: runs the region `body` up to `trips` times (i64 scalar, optional) while the condition (bool scalar,
//! optional) holds. The body takes the iteration's number, the condition and the carried values, and gives the next condition, the next
//! carried values, and elements that are stacked along a new first axis.
//!
//! Results: the last carried values, then the stacked elements. Any types. Source: ONNX Loop-25.

use crate::regions::{ITERATIONS_MAX, formal_count, join, region, stack, stacked};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor, TensorType, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Loop", include_str!("loop.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let body = region(c, c.node, "body")?;
    let carried = formal_count(&c.node.regions[body]).saturating_sub(2);
    let trips = c.symbols.fresh();
    for o in 0..c.output_count() {
        let Some(inner) = c.region_outputs.get(body).and_then(|t| t.get(o + 1)).cloned() else { continue };
        let ty = if o < carried {
            // With no trip at all the initial value stays.
            let first = if c.has(o + 2) { c.any_ty(o + 2)?.clone() } else { Type::Unknown };
            join(c.symbols, &first, &inner)
        } else {
            stacked(c.symbols, &inner, 0, trips.clone())
        };
        c.set(o, ty);
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let body = region(c, c.node, "body")?;
    let carried = formal_count(&c.node.regions[body]).saturating_sub(2);
    let one = |slot: usize| -> Result<Option<i64>> { Ok(if c.has(slot) { c.ints(slot)?.first().copied() } else { None }) };
    let trips = one(0)?.unwrap_or(i64::MAX);
    let mut go_on = one(1)?.unwrap_or(1) != 0;
    let mut state = vec![];
    for slot in 0..carried {
        match c.inputs.get(slot + 2).copied().flatten() {
            Some(d) => state.push(d.clone()),
            None => return Err(c.error("missing-operand", format!("operand {} is missing", slot + 2)).into()),
        }
    }
    let outputs = c.node.regions[body].graph.outputs();
    let mut elements: Vec<Vec<Tensor>> = vec![vec![]; outputs.len().saturating_sub(1 + carried)];
    let mut i = 0;
    while go_on && i < trips {
        if i >= ITERATIONS_MAX {
            return Err(c.unsupported(format!("a loop of more than {ITERATIONS_MAX} iterations")).into());
        }
        let mut formal = vec![Datum::Tensor(Tensor::scalar(i)), Datum::Tensor(Tensor::scalar(go_on))];
        formal.append(&mut state);
        let mut results = c.run_region(body, formal)?.into_iter();
        go_on = match results.next() {
            Some(Datum::Tensor(t)) => t.to_i64().and_then(|v| v.first().copied()).unwrap_or(0) != 0,
            _ => return Err(c.error("type-error", "the body gives no condition").into()),
        };
        state = results.by_ref().take(carried).collect();
        for (list, d) in elements.iter_mut().zip(results) {
            match d {
                Datum::Tensor(t) => list.push(t),
                _ => return Err(c.error("type-error", "only tensors can be stacked").into()),
            }
        }
        i += 1;
    }
    for (k, list) in elements.iter().enumerate() {
        let ty = c.node.regions[body].graph.ty(outputs[1 + carried + k]).as_tensor().cloned();
        let ty = ty.unwrap_or(TensorType::new(DType::F32, Shape::scalar()));
        state.push(stack(c, list, 0, &ty)?.into());
    }
    Ok(state)
}
