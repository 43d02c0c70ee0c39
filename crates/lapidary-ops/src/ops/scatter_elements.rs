//! `ScatterElements(data, indices, updates)`: a copy of `data` with `out[i, indices[i, j, k], k] = updates[i, j, k]`, the index standing
//! at `axis` (default 0, here 1). `reduction` (`none`, `add`, `mul`, `max`, `min`) combines instead of overwriting.
//!
//! Indices are i32 or i64. Any element type; reductions on numbers. Source: ONNX ScatterElements-18.

use crate::cells::{Cells, CellsMut};
use crate::forms;
use crate::forms::new_attribute;
use crate::lower::Operand;
use crate::ops::gather_elements::places;
use crate::shapes::move_contents;
use crate::views::{axis_of, gather_view};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Result, Tensor};
use lapidary_kernel::{Index, KernelBuilder};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[MORE_REDUCTIONS, new_attribute!(16, "reduction", "none"), SCATTER],
    ..OpDef::base("ScatterElements", include_str!("scatter_elements.rs"), infer)
};

/// Version 18 brought the reductions `max` and `min`.
pub const MORE_REDUCTIONS: Form = Form {
    since: 18,
    lift: |g, n| forms::lifted(g, n, 18),
    lower: |g, n| match g.node(n).attrs.str("reduction") {
        Some(r @ ("max" | "min")) => Err(format!("reduction '{r}' exists since version 18 only")),
        _ => Ok(()),
    },
};

/// Before version 11 the operator was called Scatter.
const SCATTER: Form = Form {
    since: 11,
    lift: |g, n| forms::lifted(g, n, 11),
    lower: |g, n| {
        forms::rename(g, n, "Scatter", 9);
        Ok(())
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    c.set(0, data);
    if reduction(c.node.attrs.str("reduction")).is_none() {
        move_contents(c, &[0, 2], eval);
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, index, updates) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    if updates.sizes() != index.sizes() || updates.dtype() != data.dtype() {
        return Err(c.error("shape-conflict", format!("updates {updates:?} do not fit indices {:?}", index.sizes())).into());
    }
    let places = places(c, data.sizes(), index.sizes(), &c.ints(1)?)?;
    Ok(vec![scatter(c, data, updates, &places, 1)?.into()])
}

/// The combining function, or `None` for overwriting.
pub fn reduction(name: Option<&str>) -> Option<&str> {
    name.filter(|n| *n != "none")
}

/// A copy of `data` in which runs of `run` elements from `places` on are overwritten by, or combined with, those of `updates`.
pub fn scatter(c: &EvalCtx<'_>, data: &Tensor, updates: &Tensor, places: &[usize], run: usize) -> Result<Tensor> {
    let Some(how) = reduction(c.node.attrs.str("reduction")) else {
        let mut out = CellsMut::copy(data);
        let cells = Cells::of(updates);
        places.iter().enumerate().for_each(|(u, p)| out.put_run(*p, &cells, u * run, run));
        return out.finish(data.sizes());
    };
    let combined = |what: &str| c.error("reduction", format!("reduction '{what}' is not known")).help("it is one of none, add, mul, max, min");
    let pairs = places.iter().enumerate().flat_map(|(u, p)| (0..run).map(move |r| (u * run + r, p + r)));
    if data.dtype() == DType::U64 || data.dtype().is_int() || data.dtype() == DType::Bool {
        let wrong = || c.error("type-error", "operands are not of one integer type");
        let mut out = data.to_i64().ok_or_else(wrong)?;
        let values = updates.to_i64().ok_or_else(wrong)?;
        let unsigned = data.dtype() == DType::U64;
        for (u, p) in pairs {
            let (a, b) = (out[p], values[u]);
            let less = if unsigned { (a as u64) < b as u64 } else { a < b };
            out[p] = match how {
                "add" => a.wrapping_add(b),
                "mul" => a.wrapping_mul(b),
                "max" => {
                    if less {
                        b
                    } else {
                        a
                    }
                }
                "min" => {
                    if less {
                        a
                    } else {
                        b
                    }
                }
                other => return Err(combined(other).into()),
            };
        }
        return Tensor::from_i64(data.dtype(), data.sizes(), &out);
    }
    let wrong = || c.error("type-error", format!("elements of type {} cannot be combined", data.dtype()));
    let mut out = data.to_f64().ok_or_else(wrong)?;
    let values = updates.to_f64().ok_or_else(wrong)?;
    for (u, p) in pairs {
        let (a, b) = (out[p], values[u]);
        out[p] = match how {
            "add" => a + b,
            "mul" => a * b,
            "max" => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            "min" => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            other => return Err(combined(other).into()),
        };
    }
    Tensor::from_f64(data.dtype(), data.sizes(), &out)
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (data, index, updates, y) = (c.input(0)?, c.input(1)?, c.input(2)?, c.output(0)?);
    let axis = axis_of(c, c.node().attrs.int("axis").unwrap_or(0), data.rank())?;
    lower_scatter(c, &data, &updates, &y, |k, at| {
        let v = k.load(index.buffer, index.dtype, at.to_vec());
        let mut to = at.to_vec();
        to[axis] = k.wrapped_index(v, &data.dims[axis]);
        to
    })
}

/// A copy of `data`, and then each element of `updates` stored where `place` says, one after the other, so that the last one stays.
pub fn lower_scatter(
    c: &mut LowerCtx<'_>,
    data: &Operand,
    updates: &Operand,
    y: &Operand,
    place: impl FnOnce(&mut KernelBuilder, &[Index]) -> Vec<Index>,
) -> Result<()> {
    if let Some(r) = reduction(c.node().attrs.str("reduction")) {
        return Err(c.unsupported(format!("reduction '{r}' is not compiled")).into());
    }
    gather_view(c, data, y, |_, at| (at.to_vec(), vec![]))?;
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &updates.dims).into_iter().map(Into::into).collect();
    let to = place(&mut k, &at);
    let v = k.load(updates.buffer, updates.dtype, at);
    k.store(y.buffer, to, v);
    k.kernel_mut().serial = true;
    c.push(k);
    Ok(())
}
