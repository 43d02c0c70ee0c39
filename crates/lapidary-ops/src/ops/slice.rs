//! `Slice(data, starts, ends, axes, steps)`: along each of `axes` (default: the first ones) the elements from `start` up to `end`
//! (exclusive) in steps of `step` (default 1), which may be negative. Starts and ends below zero count from the end; both are clamped.
//!
//! Index operands are i32 or i64 vectors. Any element type. Source: ONNX Slice-13.

use crate::cells::{room, strided, strides};
use crate::forms;
use crate::lower::Operand;
use crate::run_time::{List, on_axis};
use crate::shapes::{Report, axes_in, move_contents};
use crate::views::{axis_of, gather_view};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Graph, NodeId, Result, Shape};
use lapidary_kernel::{BinaryOp, Index};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), forms: &[OPERANDS], ..OpDef::base("Slice", include_str!("slice.rs"), infer) };

/// Version 10 made operands of starts, ends and axes, and brought steps.
const OPERANDS: Form = Form {
    since: 10,
    lift: |g, n| {
        for (slot, name) in [(1, "starts"), (2, "ends"), (3, "axes")] {
            forms::ints_to_operand(g, n, name, slot);
        }
        forms::lifted(g, n, 10)
    },
    lower: older,
};

fn older(g: &mut Graph, n: NodeId) -> Result<(), String> {
    if let Some(steps) = forms::constant(g, n, 4, "steps")? {
        if steps.to_i64().is_none_or(|s| s.iter().any(|s| *s != 1)) {
            return Err("steps other than 1 exist since version 10 only".into());
        }
        forms::drop_operand(g, n, 4);
    }
    for (slot, name) in [(3, "axes"), (2, "ends"), (1, "starts")] {
        forms::operand_to_ints(g, n, slot, name)?;
    }
    forms::axes_from_front(g, n, "axes", forms::rank_of(g, n, 0))
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let Some(dims) = data.shape.dims() else {
        c.set_tensor(0, data.dtype, Shape::Unranked);
        return Ok(());
    };
    let (starts, ends) = (c.contents(1), c.contents(2));
    let count = starts.as_ref().or(ends.as_ref()).map(|s| s.dims.len()).or_else(|| usize::try_from(c.dims(1)?.first()?.as_const()?).ok());
    let axes = match (c.has(3), count) {
        (true, _) => c.ints(3),
        (false, n) => n.map(|n| (0..n as i64).collect()),
    };
    let Some(axes) = axes else {
        let shape = c.fresh_shape(dims.len());
        c.set_tensor(0, data.dtype, shape);
        return Ok(());
    };
    let axes = axes_in(c, &axes, dims.len())?;
    let steps = if c.has(4) { c.ints(4) } else { Some(vec![1; axes.len()]) };
    let mut out = dims.to_vec();
    for (i, axis) in axes.iter().enumerate() {
        let start = starts.as_ref().map(|s| s.dims.get(i));
        let end = ends.as_ref().map(|s| s.dims.get(i));
        let step = steps.as_ref().map(|s| s.get(i).copied());
        if [start.map(|s| s.is_none()), end.map(|s| s.is_none()), step.map(|s| s.is_none())].contains(&Some(true)) {
            return Err(c.error("slice", format!("starts, ends, axes and steps differ in length: {} axes", axes.len())).into());
        }
        let known = match (start.flatten(), end.flatten(), step.flatten()) {
            (_, _, Some(0)) => return Err(c.error("slice", "a step is 0").into()),
            (Some(s), Some(e), Some(k)) => length(&dims[*axis], s, e, k),
            _ => None,
        };
        out[*axis] = known.unwrap_or_else(|| c.symbols.fresh());
    }
    c.set_tensor(0, data.dtype, Shape::Ranked(out.into()));
    move_contents(c, &[0], eval);
    Ok(())
}

/// Starts, axes or steps are read by the kernel.
fn lower_read(c: &mut LowerCtx<'_>, x: &Operand, y: &Operand, [starts, axes, steps]: &[List; 3]) -> Result<()> {
    if starts.len() != axes.len() || steps.len() != axes.len() {
        return Err(c.unsupported("starts, axes and steps differ in length").into());
    }
    let dims = x.dims.clone();
    gather_view(c, x, y, |k, at| {
        let mut from = vec![];
        for (axis, (i, size)) in at.iter().zip(&dims).enumerate() {
            let start = on_axis(k, axes, (starts, 0), axis, dims.len(), 0);
            let step = on_axis(k, axes, (steps, 0), axis, dims.len(), 1);
            let (zero, n) = (k.int(DType::I64, 0), k.index(Index::from(size.clone())));
            let (from_end, negative) = (k.add(start, n), k.binary(BinaryOp::Lt, start, zero));
            let start = k.select(negative, from_end, start);
            let start = k.binary(BinaryOp::Max, start, zero);
            // Backwards, the first element is at most the last one.
            let (backwards, one) = (k.binary(BinaryOp::Lt, step, zero), k.int(DType::I64, 1));
            let last = k.sub(n, one);
            let highest = k.select(backwards, last, n);
            let start = k.binary(BinaryOp::Min, start, highest);
            let i = k.index(i.clone());
            let far = k.mul(i, step);
            from.push(Index::value(k.add(start, far)));
        }
        let guard = from.iter().cloned().zip(dims.iter().cloned()).collect();
        (from, guard)
    })
}

/// How many elements a slice of an axis of size `d` has; `None` when the sign of a bound is not known.
fn length(d: &Dim, start: &Dim, end: &Dim, step: i64) -> Option<Dim> {
    let zero = Dim::from(0);
    if let (Some(d), Some(s), Some(e)) = (d.as_const(), start.as_const(), end.as_const()) {
        return Some(Dim::from(bounds(d, s, e, step).1));
    }
    let from_end = |v: &Dim| (-v).known_non_negative() && v.as_const() != Some(0);
    if step == 1 {
        // The last k, and all but the last k, without the detour over clamped bounds.
        let to_end = end.as_const().is_some_and(|e| e >= i32::MAX as i64) || end == d;
        if from_end(start) && to_end {
            return Some(d.minimum(&-start));
        }
        if start.as_const() == Some(0) && to_end {
            return Some(d.clone());
        }
    }
    let clamp = |v: &Dim, low: i64, high: &Dim| -> Option<Dim> {
        let v = if v.known_non_negative() {
            v.clone()
        } else if from_end(v) {
            if v.as_const().is_some_and(|v| v <= i32::MIN as i64) {
                return Some(Dim::from(low));
            }
            d + v
        } else {
            return None;
        };
        if v.as_const().is_some_and(|v| v >= i32::MAX as i64) {
            return Some(high.clone());
        }
        Some(v.minimum(high).maximum(&Dim::from(low)))
    };
    if step > 0 {
        let (s, e) = (clamp(start, 0, d)?, clamp(end, 0, d)?);
        return Some((&e - &s).maximum(&zero).ceil_div(&Dim::from(step)));
    }
    let last = d - &Dim::from(1);
    let (s, e) = (clamp(start, -1, &last)?, clamp(end, -1, &last)?);
    Some((&s - &e).maximum(&zero).ceil_div(&Dim::from(step.checked_neg()?)))
}

/// First index and number of elements.
fn bounds(d: i64, start: i64, end: i64, step: i64) -> (i64, i64) {
    let wrap = |v: i64| if v < 0 { v.saturating_add(d) } else { v };
    if step > 0 {
        let (s, e) = (wrap(start).clamp(0, d), wrap(end).clamp(0, d));
        (s, (e - s).max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as i64)
    } else {
        let (s, e) = (wrap(start).min(d - 1).max(-1), wrap(end).min(d - 1).max(-1));
        (s.max(0), (s - e).max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as i64)
    }
}

fn checked(c: &impl Report, starts: &[i64], ends: &[i64], axes: &[usize], steps: &[i64]) -> Result<()> {
    if starts.len() != ends.len() || starts.len() != axes.len() || starts.len() != steps.len() {
        let message = format!("{} starts, {} ends, {} axes and {} steps", starts.len(), ends.len(), axes.len(), steps.len());
        return Err(c.report("slice", message).into());
    }
    if steps.contains(&0) {
        return Err(c.report("slice", "a step is 0".into()).into());
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, starts, ends) = (c.tensor(0)?, c.ints(1)?, c.ints(2)?);
    let axes = if c.has(3) { c.ints(3)? } else { (0..starts.len() as i64).collect() };
    let axes = axes_in(c, &axes, data.rank())?;
    let steps = if c.has(4) { c.ints(4)? } else { vec![1; axes.len()] };
    checked(c, &starts, &ends, &axes, &steps)?;
    let mut sizes = data.sizes().to_vec();
    let mut walk: Vec<isize> = strides(data.sizes()).into_iter().map(|s| s as isize).collect();
    let mut offset = 0;
    for (i, axis) in axes.iter().enumerate() {
        let (first, count) = bounds(data.sizes()[*axis] as i64, starts[i], ends[i], steps[i]);
        offset += first as isize * walk[*axis];
        // With one element or none the step does not matter, and may be too large to multiply.
        walk[*axis] = if count > 1 { walk[*axis] * steps[i] as isize } else { 0 };
        sizes[*axis] = count as usize;
    }
    room(c, data.dtype(), &sizes)?;
    Ok(vec![strided(data, &sizes, &walk, offset)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let first = List::of(c, 1, "where the slice starts")?;
    let axes = if c.has(3) { List::of(c, 3, "which axes are sliced")? } else { List::first(first.len()) };
    let steps = if c.has(4) { List::of(c, 4, "the step of the slice")? } else { List::ones(first.len()) };
    if first.is_read() || axes.is_read() || steps.is_read() {
        return lower_read(c, &x, &y, &[first, axes, steps]);
    }
    let starts = c.sizes(1, "where the slice starts")?;
    let ints = |v: Vec<Dim>| v.iter().map(Dim::as_const).collect::<Option<Vec<i64>>>();
    let axes = if c.has(3) { ints(c.sizes(3, "which axes are sliced")?) } else { Some((0..starts.len() as i64).collect()) };
    let steps = if c.has(4) { ints(c.sizes(4, "the step of the slice")?) } else { Some(vec![1; starts.len()]) };
    let (Some(axes), Some(steps)) = (axes, steps) else {
        return Err(c.unsupported("axes and steps of the slice must be constants").into());
    };
    let mut first = vec![(Dim::from(0), 1); x.rank()];
    for ((start, axis), step) in starts.iter().zip(axes).zip(steps) {
        let axis = axis_of(c, axis, x.rank())?;
        let size = &x.dims[axis];
        let from_front = if start.known_non_negative() {
            start.clone()
        } else if (-start).known_non_negative() {
            (size + start).maximum(&Dim::from(0))
        } else {
            return Err(c.unsupported(format!("the sign of the slice's start {start} is not known")).into());
        };
        let last = if step > 0 { size.clone() } else { size - &Dim::from(1) };
        first[axis] = (from_front.minimum(&last), step);
    }
    gather_view(c, &x, &y, |_, at| {
        let from = at.iter().zip(&first).map(|(i, (start, step))| i.scale(&Dim::from(*step)).add_dim(start)).collect();
        (from, vec![])
    })
}
