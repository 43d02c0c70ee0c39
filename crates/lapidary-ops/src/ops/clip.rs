//! `Clip(x, min, max) = min(max(x, min), max)`, elementwise; an absent bound does not bind. Where `min > max`, the result is `max`. NaN
//! stays NaN.
//!
//! Before version 11 the bounds are attributes.
//!
//! Shapes: the bounds are scalars; the result has the shape of `x`.
//!
//! Types: input, min, max, output: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 11, 12, 13. Source: the ONNX operator "Clip".

use crate::elementwise::kernels;
use crate::elementwise::{self, contents};
use crate::numbers::{floats, wide};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef, forms};
use lapidary_ir::{Attr, DType, Graph, NodeId, Result, Tensor};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), forms: &[BOUNDS, forms::CONSUMED_INPUTS], ..OpDef::base("Clip", include_str!("clip.rs"), infer) };

/// Version 11 made operands of the bounds.
const BOUNDS: Form = Form { since: 11, lift: newer, lower: older };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let bound = |slot: usize| if c.has(slot) { c.contents(slot).filter(|b| b.dims.len() == 1).map(|b| Some(b.dims[0].clone())) } else { Some(None) };
    if let (Some(low), Some(high)) = (bound(1), bound(2))
        && contents::holds_sizes(c.dtype(0)?)
    {
        contents::map1(c, |x| {
            let x = low.as_ref().map_or(x.clone(), |l| x.maximum(l));
            Some(high.as_ref().map_or(x.clone(), |h| x.minimum(h)))
        });
    }
    elementwise::same(c)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let scalar = |slot: usize| -> Result<Option<&Tensor>> {
        match c.optional(slot)? {
            Some(t) if t.len() != 1 => Err(c.error("shape-conflict", "a bound of 'Clip' must be a scalar").into()),
            other => Ok(other),
        }
    };
    let (low, high) = (scalar(1)?, scalar(2)?);
    if c.tensor(0)?.dtype().is_int() {
        let bound = |t: Option<&Tensor>| t.map(|t| wide(c, t)).transpose().map(|v| v.map(|v| v[0]));
        let (low, high) = (bound(low)?.unwrap_or(i128::MIN), bound(high)?.unwrap_or(i128::MAX));
        return elementwise::number(c, &|x| x, &|x| x.max(low).min(high));
    }
    let bound = |t: Option<&Tensor>, name| match t {
        Some(t) => floats(c, t).map(|v| v[0]),
        None => Ok(c.node.attrs.float(name).map_or(f64::NAN, f64::from)),
    };
    // A bound that is NaN, as an absent one, does not bind: comparisons with it are false.
    let (low, high) = (bound(low, "min")?, bound(high, "max")?);
    elementwise::float(c, &|x| {
        let x = if x < low { low } else { x };
        if x > high { high } else { x }
    })
}

fn newer(g: &mut Graph, n: NodeId) -> Result<bool> {
    let dtype = g.node(n).input(0).map_or(DType::Unknown, |v| g.dtype(v));
    let bounds = ["min", "max"].map(|name| g.node(n).attrs.float(name));
    if bounds.iter().any(Option::is_some) && !dtype.is_float() {
        return Ok(false);
    }
    for (slot, name) in [(1, "min"), (2, "max")] {
        if let Some(Attr::Float(v)) = g.node_mut(n).attrs.remove(name) {
            forms::set_constant(g, n, slot, name, Tensor::from_f64(dtype, &[], &[f64::from(v)])?);
        }
    }
    forms::lifted(g, n, 11)
}

fn older(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let bounds = [(2, "max"), (1, "min")].map(|(slot, name)| (slot, name, forms::constant(g, n, slot, name)));
    if g.node(n).input(0).is_none_or(|v| !g.dtype(v).is_float()) {
        return Err("before version 11, only floats can be clipped".into());
    }
    for (slot, name, bound) in bounds {
        if let Some(t) = bound? {
            let value = t.to_f64().and_then(|v| v.first().copied()).ok_or_else(|| format!("'{name}' is not a number"))?;
            forms::drop_operand(g, n, slot);
            g.node_mut(n).attrs.set(name, value as f32);
        }
    }
    Ok(())
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let attribute = |name| c.node().attrs.float(name).map(f64::from);
    let attributes = [attribute("min"), attribute("max")];
    let slots: Vec<usize> = (0..3).filter(|s| c.has(*s)).collect();
    let given = [1, 2].map(|s| slots.iter().position(|x| *x == s));
    kernels::map(c, &slots, &|k, v| {
        let bound = |k: &mut lapidary_kernel::KernelBuilder, i: usize| {
            given[i].map(|slot| v[slot]).or_else(|| attributes[i].map(|a| kernels::number(k, v[0], a)))
        };
        let (low, high) = (bound(k, 0), bound(k, 1));
        let x = low.map_or(v[0], |l| k.binary(BinaryOp::Max, v[0], l));
        high.map_or(x, |h| k.binary(BinaryOp::Min, x, h))
    })
}
