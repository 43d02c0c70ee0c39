//! `Attention(q, k, v, mask, past_key, past_value, lengths)`: `softmax(softcap(scale · q·kᵀ) + bias) · v` for each head.
//!
//! q: [batch, heads, T, size] or [batch, T, heads·size] with `q_num_heads`, `kv_num_heads`; k, v likewise with S steps, and with fewer heads
//! that are shared in turn. The past, [batch, heads, P, size], stands before k and v. `mask` (bool, or added) is broadcast to
//! [batch, heads, T, P + S]; a shorter last axis is filled with what masks. `is_causal`, `left_window_size`, `right_window_size` mask by
//! position, counted from the past's end or from `lengths - T`; `lengths` (i64[batch]) masks the padding of k. A row without any key gives
//! zeros. Results: y in q's form, present key and value, and the scores at the stage that `qk_matmul_output_mode` names: raw, capped,
//! biased, softmax. Floats. Source: ONNX Attention-25, arXiv:1706.03762.

use crate::cells::room;
use crate::contract::{Extents, contract};
use crate::forms;
use crate::forms::new_attribute;
use crate::lower::Operand;
use crate::numbers::{floats, store};
use crate::shapes::{Report, broadcast_sizes, broadcast_strides, size_of};
use crate::slide::accumulator;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Attrs, DType, Dim, Result, Shape, Tensor};
use lapidary_kernel::{AxisId, BinaryOp, ExprId, Index, KernelBuilder, ReduceOp, UnaryOp};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[new_attribute!(25, "left_window_size", -1; "right_window_size", -1), LENGTHS],
    ..OpDef::base("Attention", include_str!("attention.rs"), infer)
};

/// Version 24 brought the lengths.
const LENGTHS: Form = Form {
    since: 24,
    lift: |g, n| forms::lifted(g, n, 24),
    lower: |g, n| if g.node(n).input(6).is_some() { Err("lengths exist since version 24 only".into()) } else { Ok(()) },
};

fn heads(c: &impl Report, attrs: &Attrs, name: &str) -> Result<usize> {
    match size_of(c, name, attrs.int(name).unwrap_or(0))? {
        0 => Err(c.report("missing-attribute", format!("operands of rank 3 need the attribute '{name}'")).into()),
        h => Ok(h),
    }
}

/// Batch, heads, steps, size of an operand's dims.
fn split_dims(c: &InferCtx<'_>, dims: &[Dim], name: &str) -> Result<[Dim; 4]> {
    match dims {
        [b, h, t, s] => Ok([b.clone(), h.clone(), t.clone(), s.clone()]),
        [b, t, hidden] => {
            let h = Dim::from(heads(c, &c.node.attrs, name)?);
            Ok([b.clone(), h.clone(), t.clone(), hidden.floor_div(&h)])
        }
        _ => Err(c.error("shape-conflict", format!("operands have rank {}, not 3 or 4", dims.len())).into()),
    }
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let q = c.ty(0)?;
    let (Some(qd), Some(kd), Some(vd)) = (q.shape.dims(), c.dims(1), c.dims(2)) else {
        (0..4).for_each(|o| c.set_tensor(o, q.dtype, Shape::Unranked));
        return Ok(());
    };
    let (qs, ks, vs) = (split_dims(c, qd, "q_num_heads")?, split_dims(c, kd, "kv_num_heads")?, split_dims(c, vd, "kv_num_heads")?);
    c.same("sizes of a head of q and k", &qs[3], &ks[3])?;
    c.same("steps of k and v", &ks[2], &vs[2])?;
    let total = match c.dims(4) {
        Some([_, _, past, _]) => past + &ks[2],
        _ if c.has(4) => c.symbols.fresh(),
        _ => ks[2].clone(),
    };
    let [b, h, t, _] = qs;
    let y = if qd.len() == 3 { Shape::of([b.clone(), t.clone(), &h * &vs[3]]) } else { Shape::of([b.clone(), h.clone(), t.clone(), vs[3].clone()]) };
    c.set_tensor(0, q.dtype, y);
    c.set_tensor(1, q.dtype, Shape::of([b.clone(), ks[1].clone(), total.clone(), ks[3].clone()]));
    let dtype = c.dtype(2)?;
    c.set_tensor(2, dtype, Shape::of([b.clone(), vs[1].clone(), total.clone(), vs[3].clone()]));
    c.set_tensor(3, q.dtype, Shape::of([b, h, t, total]));
    Ok(())
}

/// An operand as [batch, heads, steps, size], row-major.
struct Heads {
    values: Vec<f64>,
    batch: usize,
    heads: usize,
    steps: usize,
    size: usize,
}

impl Heads {
    fn of(c: &EvalCtx<'_>, t: &Tensor, name: &str) -> Result<Heads> {
        let values = floats(c, t)?;
        match *t.sizes() {
            [batch, heads, steps, size] => Ok(Heads { values, batch, heads, steps, size }),
            [batch, steps, hidden] => {
                let heads = heads(c, &c.node.attrs, name)?;
                if hidden % heads != 0 {
                    return Err(c.error("attribute-value", format!("{name} is {heads}, for {hidden} numbers")).into());
                }
                let size = hidden / heads;
                let mut sorted = Vec::with_capacity(values.len());
                for b in 0..batch {
                    for h in 0..heads {
                        (0..steps).for_each(|t| sorted.extend_from_slice(&values[((b * steps + t) * heads + h) * size..][..size]));
                    }
                }
                Ok(Heads { values: sorted, batch, heads, steps, size })
            }
            _ => Err(c.error("shape-conflict", format!("an operand has rank {}, not 3 or 4", t.rank())).into()),
        }
    }
    /// With the steps of `past` before its own.
    fn after(self, c: &EvalCtx<'_>, past: &Tensor) -> Result<Heads> {
        let &[batch, heads, steps, size] = past.sizes() else { return Err(c.error("shape-conflict", "the past has not rank 4").into()) };
        if (batch, heads, size) != (self.batch, self.heads, self.size) {
            return Err(c.error("shape-conflict", format!("a past of shape {:?} does not fit {batch} × {heads} heads", past.sizes())).into());
        }
        let old = floats(c, past)?;
        let mut values = Vec::with_capacity(old.len() + self.values.len());
        for p in 0..batch * heads {
            values.extend_from_slice(&old[p * steps * size..][..steps * size]);
            values.extend_from_slice(&self.values[p * self.steps * size..][..self.steps * size]);
        }
        Ok(Heads { values, steps: steps + self.steps, ..self })
    }
    fn sizes(&self) -> [usize; 4] {
        [self.batch, self.heads, self.steps, self.size]
    }
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let attrs = &c.node.attrs;
    let (qt, vt) = (c.tensor(0)?, c.tensor(2)?);
    let q = Heads::of(c, qt, "q_num_heads")?;
    let (mut k, mut v) = (Heads::of(c, c.tensor(1)?, "kv_num_heads")?, Heads::of(c, vt, "kv_num_heads")?);
    let past = c.optional(4)?.map_or(0, |p| p.sizes().get(2).copied().unwrap_or(0));
    if let (Some(pk), Some(pv)) = (c.optional(4)?, c.optional(5)?) {
        (k, v) = (k.after(c, pk)?, v.after(c, pv)?);
    }
    let fits = q.batch == k.batch && k.batch == v.batch && k.heads == v.heads && k.steps == v.steps && q.size == k.size;
    if !fits || k.heads == 0 || q.heads % k.heads != 0 {
        let message = format!("q {:?}, k {:?} and v {:?} do not fit", q.sizes(), k.sizes(), v.sizes());
        return Err(c.error("shape-conflict", message).into());
    }
    let sizes = [q.batch, q.heads, q.steps, k.steps];
    room(c, DType::F64, &sizes)?;
    let lengths = if c.has(6) { Some(c.ints(6)?) } else { None };
    if lengths.as_ref().is_some_and(|l| l.len() != q.batch) {
        return Err(c.error("shape-conflict", format!("lengths for a batch of {} are expected", q.batch)).into());
    }
    let scale = attrs.float("scale").map_or(1.0 / (q.size as f64).sqrt(), f64::from);
    let shared = q.heads / k.heads;
    // The key head that serves a query head: neighbours share one.
    let head = |p: usize| p / q.heads * k.heads + p % q.heads / shared;
    let scores = Extents { batch: q.batch * q.heads, rows: q.steps, columns: k.steps, depth: q.size };
    let mut qk = contract(
        scores,
        &|p, i, d, run: &mut [f64]| run.copy_from_slice(&q.values[(p * q.steps + i) * q.size + d..][..run.len()]),
        &|p, d, j, run: &mut [f64]| run.iter_mut().enumerate().for_each(|(n, v)| *v = k.values[(head(p) * k.steps + j + n) * k.size + d]),
    );
    qk.iter_mut().for_each(|s| *s *= scale);
    let mode = attrs.int("qk_matmul_output_mode").unwrap_or(0);
    let wanted = c.node.outputs().len() > 3;
    let mut shown = (wanted && mode == 0).then(|| qk.clone());
    let cap = attrs.float("softcap").unwrap_or(0.0) as f64;
    if cap > 0.0 {
        qk.iter_mut().for_each(|s| *s = cap * (*s / cap).tanh());
    }
    if wanted && mode == 1 {
        shown = Some(qk.clone());
    }
    if let Some(mask) = c.optional(3)? {
        add_mask(c, &mut qk, &sizes, mask)?;
    }
    hide_by_position(c, &mut qk, &sizes, past, lengths.as_deref());
    if wanted && mode == 2 {
        shown = Some(qk.clone());
    }
    qk.chunks_exact_mut(k.steps.max(1)).for_each(softmax_row);
    let mixed = Extents { batch: q.batch * q.heads, rows: q.steps, columns: v.size, depth: k.steps };
    let y = contract(
        mixed,
        &|p, i, j, run: &mut [f64]| run.copy_from_slice(&qk[(p * q.steps + i) * k.steps + j..][..run.len()]),
        &|p, j, d, run: &mut [f64]| run.copy_from_slice(&v.values[(head(p) * v.steps + j) * v.size + d..][..run.len()]),
    );
    let y = if qt.rank() == 4 {
        store(qt.dtype(), &[q.batch, q.heads, q.steps, v.size], &y)?
    } else {
        let mut sorted = Vec::with_capacity(y.len());
        for (b, t) in (0..q.batch).flat_map(|b| (0..q.steps).map(move |t| (b, t))) {
            (0..q.heads).for_each(|h| sorted.extend_from_slice(&y[((b * q.heads + h) * q.steps + t) * v.size..][..v.size]));
        }
        store(qt.dtype(), &[q.batch, q.steps, q.heads * v.size], &sorted)?
    };
    let present = [store(qt.dtype(), &k.sizes(), &k.values)?.into(), store(vt.dtype(), &v.sizes(), &v.values)?.into()];
    Ok([y.into()].into_iter().chain(present).chain([store(qt.dtype(), &sizes, &shown.unwrap_or(qk))?.into()]).collect())
}

/// Adds a mask that broadcasts to the scores, its last axis filled up with what masks.
fn add_mask(c: &EvalCtx<'_>, scores: &mut [f64], sizes: &[usize; 4], mask: &Tensor) -> Result<()> {
    let hidden = f64::NEG_INFINITY;
    let values: Vec<f64> = match mask.dtype() {
        DType::Bool => mask.to_i64().unwrap_or_default().into_iter().map(|v| if v != 0 { 0.0 } else { hidden }).collect(),
        _ => floats(c, mask)?,
    };
    let last = mask.sizes().last().copied().unwrap_or(1);
    // One key for all is broadcasting, unless there are fewer keys in the mask than there are.
    let short = last < sizes[3] && last != 1;
    let mut padded = mask.sizes().to_vec();
    if short && let Some(l) = padded.last_mut() {
        *l = sizes[3];
    }
    if broadcast_sizes(c, &padded, sizes)? != *sizes {
        return Err(c.error("shape-conflict", format!("a mask of shape {:?} cannot be broadcast to {sizes:?}", mask.sizes())).into());
    }
    let walk = broadcast_strides(mask.sizes(), &[sizes[0], sizes[1], sizes[2], last.max(1)]);
    let mut at = 0;
    crate::cells::visit(sizes, |index| {
        let place: usize = index.iter().zip(&walk).map(|(i, s)| i * *s as usize).sum();
        scores[at] += if short && index[3] >= last { hidden } else { values[place] };
        at += 1;
    });
    Ok(())
}

/// Hides keys that the causal order, a window or the padding excludes.
fn hide_by_position(c: &EvalCtx<'_>, scores: &mut [f64], sizes: &[usize; 4], past: usize, lengths: Option<&[i64]>) {
    let attrs = &c.node.attrs;
    let causal = attrs.int("is_causal").unwrap_or(0) != 0;
    let window = |name: &str| attrs.int(name).filter(|w| *w >= 0);
    let (left, right) = (window("left_window_size"), window("right_window_size"));
    let mut at = 0;
    crate::cells::visit(sizes, |index| {
        let (i, j) = (index[2] as i64, index[3] as i64);
        let length = lengths.map(|l| l[index[0]]);
        let position = i + length.map_or(past as i64, |l| l - sizes[2] as i64);
        let seen = (!causal || j <= position)
            && left.is_none_or(|w| position - j <= w)
            && right.is_none_or(|w| j - position <= w)
            && length.is_none_or(|l| j < l);
        if !seen {
            scores[at] = f64::NEG_INFINITY;
        }
        at += 1;
    });
}

/// Softmax in place; zeros where everything is hidden.
fn softmax_row(row: &mut [f64]) {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        row.fill(0.0);
        return;
    }
    row.iter_mut().for_each(|v| *v = (*v - largest).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|v| *v /= sum);
}

/// Three kernels, as of MatMul, Softmax, MatMul, so that what is known of those holds of this; and copies of the past.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (q, k0, v0) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let attrs = c.node().attrs.clone();
    let count = |name: &str, x: &Operand| match x.rank() {
        4 => x.dims[1].clone(),
        _ => Dim::from(attrs.int(name).unwrap_or(1).max(1)),
    };
    let (heads, shared_heads) = (count("q_num_heads", &q), count("kv_num_heads", &k0));
    let per = heads.floor_div(&shared_heads);
    let (k, v) = if c.has(4) {
        (present(c, 4, 1, &k0, &shared_heads)?, present(c, 5, 2, &v0, &shared_heads)?)
    } else {
        for (o, x) in [(1, &k0), (2, &v0)] {
            if c.wants(o) {
                let to = c.output(o)?;
                copy_heads(c, x, &to, &Dim::from(0))?;
            }
        }
        (k0, v0)
    };
    let steps = |x: &Operand| if x.rank() == 4 { x.dims[2].clone() } else { x.dims[1].clone() };
    let size = |x: &Operand, h: &Dim| if x.rank() == 4 { x.dims[3].clone() } else { x.dims[2].floor_div(h) };
    let (batch, rows, columns) = (q.dims[0].clone(), steps(&q), steps(&k));
    let (depth, width) = (size(&q, &heads), size(&v, &shared_heads));
    let sum = accumulator(q.dtype);
    let all = [batch.clone(), heads.clone(), rows.clone(), columns.clone()];
    let scores = c.temp("scores", sum, &all);
    let extras = Extras::of(c, &all)?;
    let shown = attrs.int("qk_matmul_output_mode").unwrap_or(0);
    if c.wants(3) && shown != 3 && (shown != 0 || attrs.float("softcap").unwrap_or(0.0) != 0.0 || extras.any()) {
        return Err(c.unsupported("scores before softmax are not compiled as a result").into());
    }

    // q·kᵀ, scaled, capped, masked.
    let mut b = c.kernel();
    let (n, g, h) = (b.parallel("n", batch.clone()), b.parallel("g", shared_heads.clone()), b.parallel("h", per.clone()));
    let (i, j) = (b.parallel("i", rows.clone()), b.parallel("j", columns.clone()));
    let head = Index::from(g).scale(&per).add(&h.into());
    let d = b.axis("d", depth.clone());
    let left = b.load(q.buffer, q.dtype, at(&q, n, &head, i, d, &depth));
    let right = b.load(k.buffer, k.dtype, at(&k, n, &g.into(), j, d, &depth));
    let (left, right) = (b.cast(sum, left), b.cast(sum, right));
    let product = b.mul(left, right);
    let mut s = b.reduce(ReduceOp::Sum, sum, &[d], product);
    let scale = match (attrs.float("scale"), depth.as_const()) {
        (Some(s), _) => b.constant(sum, s as f64),
        (None, Some(d)) => b.constant(sum, 1.0 / (d as f64).sqrt()),
        (None, None) => {
            let d = b.index(Index::from(depth.clone()));
            let d = b.cast(sum, d);
            let d = b.unary(UnaryOp::Sqrt, d);
            b.unary(UnaryOp::Reciprocal, d)
        }
    };
    s = b.mul(s, scale);
    let cap = attrs.float("softcap").unwrap_or(0.0) as f64;
    if cap > 0.0 {
        let cap = b.constant(sum, cap);
        s = b.div(s, cap);
        s = b.unary(UnaryOp::Tanh, s);
        s = b.mul(s, cap);
    }
    let index: Vec<Index> = vec![n.into(), head, i.into(), j.into()];
    s = extras.apply(&mut b, s, &index, &all);
    b.store(scores.buffer, index, s);
    c.push(b);

    // Softmax along the keys; a row without any key is zeros.
    let weights = if c.wants(3) && shown == 3 { c.output(3)? } else { c.temp("weights", sum, &all) };
    let mut b = c.kernel();
    let at_row: Vec<Index> = b.parallel_all("i", &all[..3]).into_iter().map(Into::into).collect();
    let j = b.axis("j", columns.clone());
    let index: Vec<Index> = at_row.into_iter().chain([j.into()]).collect();
    let s = b.load(scores.buffer, sum, index.clone());
    let mut largest = b.reduce(ReduceOp::Max, sum, &[j], s);
    let zero = b.constant(sum, 0.0);
    if extras.any() {
        let lowest = b.constant(sum, f64::NEG_INFINITY);
        let nothing = b.binary(BinaryOp::Eq, largest, lowest);
        largest = b.select(nothing, zero, largest);
    }
    let e = b.sub(s, largest);
    let e = b.unary(UnaryOp::Exp, e);
    let e = b.keep(&[j], e);
    let mut total = b.reduce(ReduceOp::Sum, sum, &[j], e);
    if extras.any() {
        let (none, one) = (b.binary(BinaryOp::Eq, total, zero), b.constant(sum, 1.0));
        total = b.select(none, one, total);
    }
    // One division for each row, where that rounds to more digits than anyone keeps.
    let e = if sum.bits() > 16 {
        let share = b.unary(UnaryOp::Reciprocal, total);
        let share = b.keep(&[], share);
        b.mul(e, share)
    } else {
        b.div(e, total)
    };
    let e = b.cast(weights.dtype, e);
    b.store_along(weights.buffer, index, &[j], e);
    c.push(b);

    if c.wants(3) && shown == 0 {
        let to = c.output(3)?;
        crate::views::gather_view(c, &scores, &to, |_, at| (at.to_vec(), vec![]))?;
    }
    if !c.wants(0) {
        return Ok(());
    }

    // ·v
    let y = c.output(0)?;
    let mut b = c.kernel();
    let (n, g, h) = (b.parallel("n", batch), b.parallel("g", shared_heads), b.parallel("h", per.clone()));
    let (i, d) = (b.parallel("i", rows), b.parallel("d", width.clone()));
    let head = Index::from(g).scale(&per).add(&h.into());
    let j = b.axis("j", columns);
    let left = b.load(weights.buffer, weights.dtype, [n.into(), head.clone(), i.into(), j.into()]);
    let right = b.load(v.buffer, v.dtype, at(&v, n, &g.into(), j, d, &width));
    let (left, right) = (b.cast(sum, left), b.cast(sum, right));
    let product = b.mul(left, right);
    let s = b.reduce(ReduceOp::Sum, sum, &[j], product);
    let s = b.cast(y.dtype, s);
    let to = at(&y, n, &head, i, d, &width);
    b.store(y.buffer, to, s);
    c.push(b);
    Ok(())
}

/// The index into an operand of either form.
fn at(x: &Operand, batch: AxisId, head: &Index, step: AxisId, d: AxisId, size: &Dim) -> Vec<Index> {
    match x.rank() {
        4 => vec![batch.into(), head.clone(), step.into(), d.into()],
        _ => vec![batch.into(), step.into(), head.scale(size).add(&d.into())],
    }
}

/// The past and the new steps in one buffer, [batch, heads, steps, size].
fn present(c: &mut LowerCtx<'_>, past: usize, output: usize, new: &Operand, heads: &Dim) -> Result<Operand> {
    let old = c.input(past)?;
    let (steps, size) = match new.rank() {
        4 => (new.dims[2].clone(), new.dims[3].clone()),
        _ => (new.dims[1].clone(), new.dims[2].floor_div(heads)),
    };
    let to = if c.wants(output) {
        c.output(output)?
    } else {
        c.temp(if output == 1 { "keys" } else { "values" }, new.dtype, &[new.dims[0].clone(), heads.clone(), &old.dims[2] + &steps, size])
    };
    copy_heads(c, &old, &to, &Dim::from(0))?;
    copy_heads(c, new, &to, &old.dims[2])?;
    Ok(to)
}

/// Stores an operand of either form into [batch, heads, steps, size], from step `first` on.
fn copy_heads(c: &mut LowerCtx<'_>, x: &Operand, to: &Operand, first: &Dim) -> Result<()> {
    let mut b = c.kernel();
    let steps = if x.rank() == 4 { x.dims[2].clone() } else { x.dims[1].clone() };
    let (n, h) = (b.parallel("n", to.dims[0].clone()), b.parallel("h", to.dims[1].clone()));
    let (t, d) = (b.parallel("t", steps), b.parallel("d", to.dims[3].clone()));
    let v = b.load(x.buffer, x.dtype, at(x, n, &h.into(), t, d, &to.dims[3]));
    b.store(to.buffer, [n.into(), h.into(), Index::from(t).add_dim(first), d.into()], v);
    c.push(b);
    Ok(())
}

/// What changes scores: a mask, and rules of position.
struct Extras {
    mask: Option<Operand>,
    lengths: Option<Operand>,
    causal: bool,
    left: Option<i64>,
    right: Option<i64>,
    /// The steps before the first query, without lengths.
    past: Dim,
}

impl Extras {
    fn of(c: &mut LowerCtx<'_>, all: &[Dim; 4]) -> Result<Extras> {
        let attrs = c.node().attrs.clone();
        let window = |name: &str| attrs.int(name).filter(|w| *w >= 0);
        let past = c.node().input(4).and_then(|v| Some(c.graph.ty(v).dims()?.get(2)?.clone())).unwrap_or(Dim::from(0));
        let mask = if c.has(3) { Some(c.input(3)?) } else { None };
        if let Some(m) = &mask {
            let lead = 4usize.checked_sub(m.rank()).ok_or_else(|| c.unsupported("the mask has more than 4 axes"))?;
            for (d, a) in m.dims.iter().zip(&all[lead..]).take(m.rank().saturating_sub(1)) {
                c.check_equal(d, a, true);
            }
        }
        let lengths = if c.has(6) { Some(c.input(6)?) } else { None };
        let causal = attrs.int("is_causal").unwrap_or(0) != 0;
        Ok(Extras { mask, lengths, causal, left: window("left_window_size"), right: window("right_window_size"), past })
    }
    fn any(&self) -> bool {
        self.mask.is_some() || self.lengths.is_some() || self.causal || self.left.is_some() || self.right.is_some()
    }
    /// The score of the point (batch, head, query, key).
    fn apply(&self, b: &mut KernelBuilder, mut s: ExprId, index: &[Index], all: &[Dim; 4]) -> ExprId {
        let sum = b.dtype(s);
        let lowest = b.constant(sum, f64::NEG_INFINITY);
        if let Some(m) = &self.mask {
            let from = b.broadcast(index, all, &m.dims);
            // Keys beyond the end of the mask are hidden.
            let guard = match m.dims.last() {
                Some(d) if d.as_const() != Some(1) => vec![(index[3].clone(), d.clone())],
                _ => vec![],
            };
            if m.dtype == DType::Bool {
                let v = b.load_guarded(m.buffer, m.dtype, from, guard, None);
                s = b.select(v, s, lowest);
            } else {
                let outside = b.constant(m.dtype, f64::NEG_INFINITY);
                let v = b.load_guarded(m.buffer, m.dtype, from, guard, Some(outside));
                let v = b.cast(sum, v);
                s = b.add(s, v);
            }
        }
        if !(self.causal || self.left.is_some() || self.right.is_some() || self.lengths.is_some()) {
            return s;
        }
        let key = b.index(index[3].clone());
        let length = self.lengths.as_ref().map(|l| {
            let v = b.load(l.buffer, l.dtype, [index[0].clone()]);
            b.cast(DType::I64, v)
        });
        let position = match length {
            Some(l) => {
                let own = b.index(index[2].add_dim(&-&all[2]));
                b.add(l, own)
            }
            None => b.index(index[2].add_dim(&self.past)),
        };
        let mut hide = |b: &mut KernelBuilder, seen: ExprId| s = b.select(seen, s, lowest);
        if self.causal {
            let seen = b.binary(BinaryOp::Le, key, position);
            hide(b, seen);
        }
        let distance = b.sub(position, key);
        if let Some(w) = self.left {
            let w = b.int(DType::I64, w);
            let seen = b.binary(BinaryOp::Le, distance, w);
            hide(b, seen);
        }
        if let Some(w) = self.right {
            let w = b.int(DType::I64, -w);
            let seen = b.binary(BinaryOp::Ge, distance, w);
            hide(b, seen);
        }
        if let Some(l) = length {
            let seen = b.binary(BinaryOp::Lt, key, l);
            hide(b, seen);
        }
        s
    }
}
