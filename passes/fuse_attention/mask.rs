//! What hides keys from queries: what it is, and what can be proved of it.

use crate::common::neutral;
use lapidary_ir::{DType, Dim, Tensor, ValueId};
use lapidary_rewrite::pattern::splat;
use lapidary_rewrite::{Match, Reason, ensure};

pub enum Mask {
    None,
    /// Keys after the query are hidden; this value says so.
    Causal(ValueId),
    /// Added, or true where a key is seen.
    Value(ValueId),
    /// True where a key is hidden.
    Not(ValueId),
}

const UNSEEN: &str = "the mask may hide all keys of a query, where softmax gives NaN and Attention zeros";

/// `?mask`, added to the scores; a query may be without keys.
pub fn added(m: &Match<'_>) -> Result<Mask, Reason> {
    let v = m.value("mask")?;
    Ok(if added_causal(m, v) { Mask::Causal(v) } else { Mask::Value(v) })
}

/// `?mask`, added to the scores; each query must be left a key.
pub fn added_and_seen(m: &Match<'_>) -> Result<Mask, Reason> {
    let v = m.value("mask")?;
    if added_causal(m, v) {
        return Ok(Mask::Causal(v));
    }
    let seen = |t: &Tensor| rows_any(t, |x| x > f64::NEG_INFINITY);
    ensure(finite(m, v, DEPTH) || m.graph.as_constant(v).is_some_and(|t| seen(t)), UNSEEN)?;
    Ok(Mask::Value(v))
}

/// `Where(?keep, scores, ?fill)`.
pub fn kept(m: &Match<'_>) -> Result<Mask, Reason> {
    fill(m)?;
    let v = m.value("keep")?;
    if causal(m, v, true, DEPTH) {
        return Ok(Mask::Causal(v));
    }
    ensure(m.graph.as_constant(v).is_some_and(|t| rows_any(t, |x| x != 0.0)), UNSEEN)?;
    Ok(Mask::Value(v))
}

/// `Where(?hide, ?fill, scores)`.
pub fn hidden(m: &Match<'_>) -> Result<Mask, Reason> {
    fill(m)?;
    let v = m.value("hide")?;
    if causal(m, v, false, DEPTH) {
        return Ok(Mask::Causal(v));
    }
    ensure(m.graph.as_constant(v).is_some_and(|t| rows_any(t, |x| x == 0.0)), UNSEEN)?;
    Ok(Mask::Not(v))
}

/// The lowest number of 32 bits hides as -inf does where each query sees a key: the difference to any score of use is beyond `exp`.
const LOWEST: f64 = -1e38;

fn fill(m: &Match<'_>) -> Result<(), Reason> {
    let fill = splat(m.constant_here("fill")?);
    ensure(fill.is_some_and(|f| f <= LOWEST), "hidden scores are not -inf: they may weigh in")
}

/// Whether Attention takes a mask on scores of [batch, heads, queries, keys].
pub fn check(m: &Match<'_>, mask: &Mask, [batch, heads, queries, keys]: [&Dim; 4]) -> Result<(), Reason> {
    let v = match mask {
        Mask::None => return Ok(()),
        Mask::Causal(v) | Mask::Value(v) | Mask::Not(v) => *v,
    };
    let dims = m.dims_of(v)?;
    let one = Dim::from(1);
    let broadcasts = |i: usize, whole: &Dim| dims.len() < i || dims[dims.len() - i] == one || dims[dims.len() - i] == *whole;
    ensure(dims.len() <= 4 && broadcasts(4, batch) && broadcasts(3, heads), "the mask widens the scores")?;
    ensure(dims.ends_with(&[queries.clone(), keys.clone()]), "the mask is broadcast along queries or keys")?;
    // With fewer queries than keys, runtimes differ in which key a query stands at.
    ensure(!matches!(mask, Mask::Causal(_)) || queries == keys, "queries and keys are not known to be as many")
}

/// How many nodes a proof follows upwards.
const DEPTH: u32 = 16;

/// Whether a value is provably nowhere infinite or NaN.
fn finite(m: &Match<'_>, v: ValueId, depth: u32) -> bool {
    if let Some(t) = m.graph.as_constant(v) {
        return t.to_f64().is_some_and(|e| e.iter().all(|x| x.is_finite()));
    }
    let n = m.graph.node(v.node);
    let at = |slot: usize| depth > 0 && n.input(slot).is_some_and(|x| finite(m, x, depth - 1));
    match &*n.op.name {
        _ if !n.op.domain.is_empty() => false,
        "Where" => at(1) && at(2),
        "Expand" | "Unsqueeze" | "Squeeze" | "Reshape" | "Transpose" | "Slice" | "Identity" | "Tile" => at(0),
        // Every integer is finite in 32 bits; fewer may not hold it.
        "Cast" => n.input(0).map(|x| m.graph.dtype(x)).is_some_and(|from| from == DType::Bool || (from.is_int() && m.graph.dtype(v).bits() >= 32)),
        _ => false,
    }
}

/// Whether every row of a constant (last axis) holds an element that passes.
fn rows_any(t: &Tensor, passes: impl Fn(f64) -> bool) -> bool {
    let (Some(values), Some(&row)) = (t.to_f64(), t.sizes().last()) else { return false };
    row > 0 && values.chunks(row).all(|r| r.iter().any(|x| passes(*x)))
}

/// `-inf` above the diagonal, 0 elsewhere.
fn added_causal(m: &Match<'_>, v: ValueId) -> bool {
    if let Some(t) = m.graph.as_constant(v) {
        return triangle(t, |x, seen| x == if seen { 0.0 } else { f64::NEG_INFINITY });
    }
    let n = m.graph.node(v.node);
    let (Some(c), Some(a), Some(b), true) = (n.input(0), n.input(1), n.input(2), n.is("Where")) else { return false };
    if m.graph.ty(c).dims() != m.graph.ty(v).dims() {
        return false; // the constants widen it
    }
    let is = |x: ValueId, number: f64| m.graph.as_constant(x).is_some_and(|t| neutral(t, number));
    (is(a, 0.0) && is(b, f64::NEG_INFINITY) && causal(m, c, true, DEPTH)) || (is(a, f64::NEG_INFINITY) && is(b, 0.0) && causal(m, c, false, DEPTH))
}

/// Whether the elements of all matrices of a constant are as `fits(element, column ≤ row)` wants them.
fn triangle(t: &Tensor, fits: impl Fn(f64, bool) -> bool) -> bool {
    let (Some(values), [.., rows, columns]) = (t.to_f64(), t.sizes()) else { return false };
    let place = |i: usize| (i / columns % rows, i % columns);
    !values.is_empty() && values.iter().enumerate().all(|(i, x)| fits(*x, place(i).1 <= place(i).0))
}

/// Whether a condition [queries, keys] provably equals `key ≤ query`, or its opposite where `keep` is false.
fn causal(m: &Match<'_>, v: ValueId, keep: bool, depth: u32) -> bool {
    if let Some(t) = m.graph.as_constant(v) {
        return triangle(t, |x, seen| (x != 0.0) == (seen == keep));
    }
    let n = m.graph.node(v.node);
    let (Some(a), b, Some(depth)) = (n.input(0), n.input(1), depth.checked_sub(1)) else { return false };
    let compared = |key: Option<ValueId>, query: Option<ValueId>| {
        let (Some(k), Some(q)) = (key.and_then(|v| counted(m, v, DEPTH)), query.and_then(|v| counted(m, v, DEPTH))) else { return false };
        k.axis == 1 && q.axis == 2 && k.start == q.start
    };
    match &*n.op.name {
        _ if !n.op.domain.is_empty() => false,
        "Not" => causal(m, a, !keep, depth),
        "LessOrEqual" => keep && compared(Some(a), b),
        "GreaterOrEqual" => keep && compared(b, Some(a)),
        "Greater" => !keep && compared(Some(a), b),
        "Less" => !keep && compared(b, Some(a)),
        // Of a triangle of ones: 0 is hidden, 1 is kept.
        "Equal" => {
            b.and_then(|b| m.graph.as_constant(b)).is_some_and(|c| c.len() == 1 && neutral(c, if keep { 1.0 } else { 0.0 })) && ones_below(m, a)
        }
        "Cast" => keep && m.graph.dtype(v) == DType::Bool && ones_below(m, a),
        "Unsqueeze" | "Expand" => {
            let tail = |v: ValueId| m.graph.ty(v).dims().and_then(|d| Some(d[d.len().checked_sub(2)?..].to_vec()));
            tail(a).is_some() && tail(a) == tail(v) && causal(m, a, keep, depth)
        }
        _ => false,
    }
}

/// Ones on and below the diagonal, zeros above: `Trilu` of a tensor of ones.
fn ones_below(m: &Match<'_>, v: ValueId) -> bool {
    if let Some(t) = m.graph.as_constant(v) {
        return triangle(t, |x, seen| x == f64::from(seen));
    }
    let n = m.graph.node(v.node);
    let diagonal = n.input(1).is_none_or(|k| m.ints_of(k).is_some_and(|k| k == [0]));
    let of = n.input(0).filter(|_| n.is("Trilu") && n.attrs.int("upper") == Some(0) && diagonal);
    of.is_some_and(|x| {
        let source = m.graph.node(x.node);
        let filled = if source.is("Expand") { source.input(0) } else { Some(x) };
        let shape_of_ones = source.is("ConstantOfShape") && source.attrs.tensor("value").is_some_and(|t| neutral(t, 1.0));
        shape_of_ones || filled.and_then(|c| m.graph.as_constant(c)).is_some_and(|t| neutral(t, 1.0))
    })
}

/// `start, start + 1, …` along one axis, counted from the last as 1.
struct Counted {
    start: Dim,
    axis: usize,
}

/// Reads a `Range` in steps of one, also where axes of size 1 stand around its own.
fn counted(m: &Match<'_>, v: ValueId, depth: u32) -> Option<Counted> {
    let n = m.graph.node(v.node);
    let dims = m.graph.ty(v).dims()?;
    if n.is("Range") {
        let first = |slot: usize| m.contents_of(n.input(slot)?)?.dims.first().cloned();
        return (first(2)?.as_const() == Some(1)).then_some(Counted { start: first(0)?, axis: 1 });
    }
    if let Some(values) = m.graph.as_constant(v).filter(|t| t.dtype().is_int()).and_then(|t| t.to_i64()) {
        let start = *values.first()?;
        let steps = values.iter().enumerate().all(|(i, x)| i64::try_from(i).is_ok_and(|i| Some(*x) == start.checked_add(i)));
        return (steps && values.len() > 1).then_some(Counted { start: Dim::from(start), axis: own_axis(dims)? });
    }
    let inner = n.input(0)?;
    if (n.is("Unsqueeze") || n.is("Reshape")) && n.op.domain.is_empty() {
        let before = counted(m, inner, depth.checked_sub(1)?)?;
        own_axis(m.graph.ty(inner).dims()?)?;
        return Some(Counted { axis: own_axis(dims)?, ..before });
    }
    None
}

/// The only axis whose size is not 1, counted from the last as 1.
fn own_axis(dims: &[Dim]) -> Option<usize> {
    let mut long = dims.iter().rev().enumerate().filter(|(_, d)| d.as_const() != Some(1));
    let (axis, _) = long.next()?;
    long.next().is_none().then_some(axis + 1)
}
