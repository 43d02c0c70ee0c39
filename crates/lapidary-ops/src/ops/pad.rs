//! `Pad(data, pads, value, axes)`: `pads` (i64[2k]: all beginnings, then all ends) elements more at both sides of each of `axes`
//! (default: all); negative pads cut off. `mode` says what they are: `constant` (`value`, default zero), `reflect` (mirrored without
//! the edge), `edge` (repeated), `wrap` (periodic).
//!
//! Any element type. Source: ONNX Pad-25.

use crate::cells::{Cells, CellsMut, room, strides, visit};
use crate::forms;
use crate::lower::Operand;
use crate::run_time::{List, on_axis};
use crate::shapes::{axes_in, move_contents};
use crate::views::axis_of;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Graph, NodeId, Result, Shape, Tensor};
use lapidary_kernel::{BinaryOp, Index, KernelBuilder};

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), forms: &[WRAP, AXES, OPERANDS, NAMED], ..OpDef::base("Pad", include_str!("pad.rs"), infer) };

/// Version 19 brought the mode `wrap`.
const WRAP: Form = Form {
    since: 19,
    lift: |g, n| forms::lifted(g, n, 19),
    lower: |g, n| if g.node(n).attrs.str("mode") == Some("wrap") { Err("mode 'wrap' exists since version 19 only".into()) } else { Ok(()) },
};

/// Version 18 brought axes.
const AXES: Form = Form { since: 18, lift: |g, n| forms::lifted(g, n, 18), lower: all_axes };

/// Version 11 made operands of pads and value.
const OPERANDS: Form = Form { since: 11, lift: to_operands, lower: to_attributes };

/// Before version 2 pads were called paddings.
const NAMED: Form = Form {
    since: 2,
    lift: |g, n| {
        if let Some(v) = g.node_mut(n).attrs.remove("paddings") {
            g.node_mut(n).attrs.set("pads", v);
        }
        forms::lifted(g, n, 2)
    },
    lower: |g, n| {
        if let Some(v) = g.node_mut(n).attrs.remove("pads") {
            g.node_mut(n).attrs.set("paddings", v);
        }
        Ok(())
    },
};

fn all_axes(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let Some(axes) = forms::constant(g, n, 3, "axes")?.and_then(|t| t.to_i64()) else { return Ok(()) };
    let pads = forms::constant(g, n, 1, "pads")?.and_then(|t| t.to_i64()).ok_or("'pads' is missing")?;
    let rank = forms::rank_of(g, n, 0).ok_or("'axes' exists since version 18 only, and the rank is not known")?;
    let mut all = vec![0; 2 * rank];
    for (i, axis) in axes.iter().enumerate() {
        let a = crate::numbers::axis_index(*axis, rank).ok_or("an axis does not exist")?;
        (all[a], all[a + rank]) = match (pads.get(i), pads.get(i + axes.len())) {
            (Some(b), Some(e)) => (*b, *e),
            _ => return Err("pads and axes differ in length".into()),
        };
    }
    forms::drop_operand(g, n, 3);
    forms::set_constant(g, n, 1, "pads", Tensor::from_vec(all));
    Ok(())
}

fn to_operands(g: &mut Graph, n: NodeId) -> Result<bool> {
    forms::ints_to_operand(g, n, "pads", 1);
    if let Some(value) = g.node(n).attrs.float("value") {
        let Some(x) = g.node(n).input(0) else { return Ok(false) };
        let dtype = g.dtype(x);
        if dtype == DType::Unknown {
            return Ok(false);
        }
        g.node_mut(n).attrs.remove("value");
        forms::set_constant(g, n, 2, "value", Tensor::from_f64(dtype, &[], &[value as f64])?);
    }
    forms::lifted(g, n, 11)
}

fn to_attributes(g: &mut Graph, n: NodeId) -> Result<(), String> {
    if let Some(value) = forms::constant(g, n, 2, "value")? {
        let v = value.to_f64().and_then(|v| v.first().copied()).ok_or("the value is not a number")?;
        if v as f32 as f64 != v && !v.is_nan() {
            return Err(format!("before version 11 the value is f32, which cannot hold {v}"));
        }
        forms::drop_operand(g, n, 2);
        g.node_mut(n).attrs.set("value", v as f32);
    }
    forms::operand_to_ints(g, n, 1, "pads")
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    let axes = if c.has(3) { c.ints(3) } else { data.shape.rank().map(|r| (0..r as i64).collect()) };
    let shape = match (data.shape.dims(), c.contents(1), axes) {
        (Some(dims), Some(pads), Some(axes)) => {
            let axes = axes_in(c, &axes, dims.len())?;
            if pads.dims.len() != 2 * axes.len() {
                return Err(c.error("shape-conflict", format!("{} pads for {} axes", pads.dims.len(), axes.len())).into());
            }
            let mut out = dims.to_vec();
            for (i, a) in axes.iter().enumerate() {
                out[*a] = &(&out[*a] + &pads.dims[i]) + &pads.dims[i + axes.len()];
                if out[*a].as_const().is_some_and(|v| v < 0) {
                    return Err(c.error("negative-size", format!("pads cut more off axis {a} than it has")).into());
                }
            }
            Shape::Ranked(out.into())
        }
        (Some(dims), ..) => c.fresh_shape(dims.len()),
        (None, ..) => Shape::Unranked,
    };
    c.set_tensor(0, data.dtype, shape);
    move_contents(c, &[0, 2], eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (data, pads, value) = (c.tensor(0)?, c.ints(1)?, c.optional(2)?);
    let rank = data.rank();
    let axes = if c.has(3) { axes_in(c, &c.ints(3)?, rank)? } else { (0..rank).collect() };
    if pads.len() != 2 * axes.len() {
        return Err(c.error("shape-conflict", format!("{} pads for {} axes", pads.len(), axes.len())).into());
    }
    if let Some(v) = value
        && (v.is_empty() || v.dtype() != data.dtype())
    {
        return Err(c.error("type-error", format!("the value {v:?} is not one {}", data.dtype())).into());
    }
    let mut around = vec![(0i64, 0i64); rank];
    axes.iter().enumerate().for_each(|(i, a)| around[*a] = (pads[i], pads[i + axes.len()]));
    let mut sizes = vec![];
    for (size, (before, after)) in data.sizes().iter().zip(&around) {
        let padded = (*size as i64).saturating_add(*before).saturating_add(*after);
        sizes.push(usize::try_from(padded).map_err(|_| c.error("negative-size", format!("pads {pads:?} cut off more than there is")))?);
    }
    let count = room(c, data.dtype(), &sizes)?;
    let mode = c.node.attrs.str("mode").unwrap_or("constant");
    let mut sources = vec![];
    for (axis, (before, after)) in around.iter().enumerate() {
        sources.push(axis_sources(c, mode, data.sizes()[axis] as i64, *before, *after)?);
    }
    let walk = strides(data.sizes());
    let (cells, fill) = (Cells::of(data), value.map(Cells::of));
    let mut out = CellsMut::empty(data.dtype(), count);
    visit(&sizes, |at| match at.iter().enumerate().try_fold(0, |p, (a, i)| Some(p + sources[a][*i]? * walk[a])) {
        Some(place) => out.push(&cells, place),
        None => match &fill {
            Some(f) => out.push(f, 0),
            None => out.push_zero(),
        },
    });
    Ok(vec![out.finish(&sizes)?.into()])
}

/// Where each element along an axis of the result comes from; `None` for the constant.
fn axis_sources(c: &EvalCtx<'_>, mode: &str, size: i64, before: i64, after: i64) -> Result<Vec<Option<usize>>> {
    // What negative pads leave of the axis: mirrors and periods are those of this part.
    let (low, high) = ((-before).max(0), size - (-after).max(0));
    let n = high - low;
    let total = size + before + after;
    if n <= 0 && total > 0 && mode != "constant" {
        return Err(c.error("pad", format!("mode '{mode}' has nothing to repeat along an empty axis")).into());
    }
    let source = |i: i64| -> Option<i64> {
        let j = i - before - low;
        Some(
            low + match mode {
                _ if (0..n).contains(&j) => j,
                "reflect" => {
                    let period = (2 * (n - 1)).max(1);
                    let k = j.rem_euclid(period);
                    if k < n { k } else { period - k }
                }
                "edge" => j.clamp(0, n - 1),
                "wrap" => j.rem_euclid(n),
                _ => return None,
            },
        )
    };
    if !["constant", "reflect", "edge", "wrap"].contains(&mode) {
        return Err(c.error("pad", format!("mode '{mode}' is not known")).help("it is one of constant, reflect, edge, wrap").into());
    }
    Ok((0..total).map(|i| source(i).and_then(|s| usize::try_from(s).ok())).collect())
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let mode = c.node().attrs.str("mode").unwrap_or("constant").to_owned();
    let amounts = List::of(c, 1, "how much is padded")?;
    let padded = if c.has(3) { List::of(c, 3, "which axes are padded")? } else { List::first(x.rank()) };
    if amounts.is_read() || padded.is_read() {
        if amounts.len() != 2 * padded.len() {
            return Err(c.unsupported(format!("{} pads for {} axes", amounts.len(), padded.len())).into());
        }
        return fill(c, &x, &y, &mode, |k, i, axis| {
            let before = on_axis(k, &padded, (&amounts, 0), axis, x.rank(), 0);
            let i = k.index(i.clone());
            Index::value(k.sub(i, before))
        });
    }
    let pads = c.sizes(1, "how much is padded")?;
    let axes = if c.has(3) {
        let found = c.sizes(3, "which axes are padded")?;
        found.iter().filter_map(Dim::as_const).map(|a| axis_of(c, a, x.rank())).collect::<Result<Vec<_>>>()?
    } else {
        (0..x.rank()).collect()
    };
    if pads.len() != 2 * axes.len() {
        return Err(c.unsupported(format!("{} pads for {} axes", pads.len(), axes.len())).into());
    }
    let mut before = vec![Dim::from(0); x.rank()];
    axes.iter().zip(&pads).for_each(|(a, p)| before[*a] = p.clone());
    fill(c, &x, &y, &mode, |_, i, axis| i.add_dim(&-&before[axis]))
}

/// Fills the result; `source(i, axis)` is where element `i` of an axis comes from, or would, outside of the operand.
fn fill(c: &mut LowerCtx<'_>, x: &Operand, y: &Operand, mode: &str, source: impl Fn(&mut KernelBuilder, &Index, usize) -> Index) -> Result<()> {
    let fill = if c.has(2) { Some(c.input(2)?) } else { None };
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let mut from: Vec<Index> = vec![];
    for (axis, i) in at.iter().enumerate() {
        from.push(source(&mut k, i, axis));
    }
    let v = match mode {
        "constant" => {
            let otherwise = match fill {
                Some(f) => Some(match c.constant(2).and_then(|t| t.to_f64()).and_then(|v| v.first().copied()) {
                    Some(v) => k.constant(x.dtype, v),
                    None => k.load(f.buffer, f.dtype, vec![Index::from(0); f.rank()]),
                }),
                None => None,
            };
            let guard = from.iter().cloned().zip(x.dims.iter().cloned()).collect();
            k.load_guarded(x.buffer, x.dtype, from, guard, otherwise)
        }
        "edge" | "reflect" | "wrap" => {
            for (i, d) in from.iter_mut().zip(&x.dims) {
                *i = folded(&mut k, mode, i, d);
            }
            k.load(x.buffer, x.dtype, from)
        }
        _ => return Err(c.unsupported(format!("there is no padding mode '{mode}'")).into()),
    };
    k.store(y.buffer, at, v);
    c.push(k);
    Ok(())
}

/// The position within `0..size` that a position outside stands for.
fn folded(k: &mut KernelBuilder, mode: &str, i: &Index, size: &Dim) -> Index {
    if i.known_within(size, &|a| k.extent(a)) {
        return i.clone();
    }
    let (v, one) = (k.index(i.clone()), Dim::from(1));
    let (zero, last) = (k.int(DType::I64, 0), k.index(Index::from(size - &one)));
    let v = match mode {
        "wrap" => {
            let n = k.index(Index::from(size.clone()));
            k.binary(BinaryOp::Mod, v, n)
        }
        "reflect" => {
            // A triangle wave of period 2·(size − 1); a single element repeats.
            let period = k.index(Index::from((&(size - &one) * &Dim::from(2)).maximum(&one)));
            let v = k.binary(BinaryOp::Mod, v, period);
            let back = k.sub(period, v);
            k.binary(BinaryOp::Min, v, back)
        }
        _ => v,
    };
    let v = k.binary(BinaryOp::Max, v, zero);
    Index::value(k.binary(BinaryOp::Min, v, last))
}
