//! Operators that move elements: what a lane of the result is, is a lane of an operand.

use super::shapes::{At, Shaped};
use super::{AxisId, Pin, split as split_size};
use crate::common::permutation;
use lapidary_ir::{Dim, Graph, NodeId};

pub fn transpose(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let perm = permutation(at.node(), x.rank()).filter(|_| y.rank() == x.rank())?;
    perm.iter().enumerate().for_each(|(j, i)| at.link(&x, *i, &y, j));
    Some(())
}

/// One dim after the other along the axis.
pub fn concat(at: &mut At<'_>) -> Option<()> {
    let y = at.output(0)?;
    let axis = y.dim(at.node().attrs.int("axis")?)?;
    let parts: Vec<Shaped> = (0..at.node().inputs().len()).map(|s| at.input(s)).collect::<Option<_>>()?;
    lay_out(at, &y, axis, &parts)
}

/// The parts of `whole` along an axis, in order.
fn lay_out(at: &mut At<'_>, whole: &Shaped, axis: usize, parts: &[Shaped]) -> Option<()> {
    let mut first = 0;
    let known = parts.iter().all(|p| p.size(axis).is_some()) && whole.size(axis).is_some();
    for p in parts {
        at.link_but(p, whole, &[axis]);
        if !known {
            at.pin(p, axis, "joins parts of unknown sizes");
            continue;
        }
        let size = p.size(axis)?;
        match (at.axis(p, axis), at.axis(whole, axis)) {
            (Some(a), Some(b)) => at.link_lanes(a, 0, b, first, size),
            // A part of one lane has none that could go.
            _ => at.pin_lanes(whole, axis, first..first + size, "has a part of one along it"),
        }
        first += size;
    }
    if !known {
        at.pin(whole, axis, "joins parts of unknown sizes");
    }
    Some(())
}

pub fn split(at: &mut At<'_>) -> Option<()> {
    let x = at.input(0)?;
    let axis = x.dim(at.int("axis", 0))?;
    let parts: Vec<Shaped> = (0..at.node().outputs().len()).map(|o| at.output(o)).collect::<Option<_>>()?;
    lay_out(at, &x, axis, &parts)
}

/// A constant range with step 1 is a row of lanes; other ranges stay.
pub fn slice(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let ranges = ranges(at.graph, at.id, &x, &|slot| at.ints(slot));
    let touched = slice_axes(at, &x)?;
    at.link_but(&x, &y, &touched);
    for d in touched {
        // An axis that is kept whole is no cut at all.
        if x.dims[d] == y.dims[d] && ranges.as_ref().and_then(|r| r.iter().find(|r| r.0 == d)).is_none_or(|r| r.1 == 0 && Some(r.2) == x.size(d)) {
            at.link(&x, d, &y, d);
            continue;
        }
        let range = ranges.as_ref().and_then(|r| r.iter().find(|r| r.0 == d)).copied();
        match (range, at.axis(&x, d), at.axis(&y, d)) {
            (Some((_, first, last)), Some(a), Some(b)) => at.link_lanes(a, first, b, 0, last - first),
            (Some((_, first, last)), Some(_), None) => at.pin_lanes(&x, d, first..last.max(first), "takes a single one of it"),
            _ => {
                at.pin(&x, d, "takes a range of it that is not constant");
                at.pin(&y, d, "takes a range of it that is not constant");
            }
        }
    }
    Some(())
}

fn slice_axes(at: &At<'_>, x: &Shaped) -> Option<Vec<usize>> {
    let axes = if at.node().op.version < 10 {
        at.node().attrs.ints("axes").map(<[i64]>::to_vec)
    } else if at.has(3) {
        Some(at.ints(3)?)
    } else {
        None
    };
    match axes {
        Some(a) => a.into_iter().map(|a| x.dim(a)).collect(),
        None => Some((0..x.rank()).collect()),
    }
}

/// The constant ranges of a Slice with step 1 along dims of constant size: dim, first, end. `None`: starts or ends are not constant.
pub fn ranges(graph: &Graph, id: NodeId, x: &Shaped, ints: &dyn Fn(usize) -> Option<Vec<i64>>) -> Option<Vec<(usize, usize, usize)>> {
    let node = graph.node(id);
    let old = node.op.version < 10;
    let get = |slot: usize, name: &str| if old { node.attrs.ints(name).map(<[i64]>::to_vec) } else { ints(slot) };
    let (starts, ends) = (get(1, "starts")?, get(2, "ends")?);
    let given = |slot: usize| node.input(slot).is_some();
    let axes = if old && node.attrs.ints("axes").is_some() || !old && given(3) { get(3, "axes")? } else { (0..starts.len() as i64).collect() };
    let steps = if !old && given(4) { ints(4)? } else { vec![1; starts.len()] };
    let mut out = vec![];
    for (i, axis) in axes.iter().enumerate() {
        let d = x.dim(*axis)?;
        let Some(size) = x.size(d).and_then(|n| i64::try_from(n).ok()) else { continue };
        if steps.get(i) != Some(&1) {
            continue;
        }
        let clamp = |v: i64| if v < 0 { v.saturating_add(size) } else { v }.clamp(0, size);
        let (first, last) = (clamp(*starts.get(i)?), clamp(*ends.get(i)?));
        out.push((d, first as usize, last.max(first) as usize));
    }
    Some(out)
}

/// A table gives its columns to whoever takes its rows; what is picked by number stays.
pub fn gather(at: &mut At<'_>) -> Option<()> {
    let (x, i, y) = (at.input(0)?, at.input(1)?, at.output(0)?);
    let axis = x.dim(at.int("axis", 0))?;
    at.pin(&x, axis, "picks from it by number");
    for d in (0..x.rank()).filter(|d| *d != axis) {
        let j = if d < axis { d } else { d + i.rank() - 1 };
        if j >= y.rank() {
            return None;
        }
        at.link(&x, d, &y, j);
        if at.constant(0) {
            at.role(&x, d, super::Role::Table);
        }
    }
    (0..i.rank()).for_each(|d| at.link(&i, d, &y, d + axis));
    Some(())
}

/// Dims that are not padded are the same.
pub fn pad(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let pads = if at.node().op.version < 11 { at.node().attrs.ints("pads")?.to_vec() } else { at.ints(1)? };
    if at.has(3) || pads.len() != 2 * x.rank() || y.rank() != x.rank() {
        return None;
    }
    for d in 0..x.rank() {
        if pads[d] == 0 && pads[d + x.rank()] == 0 {
            at.link(&x, d, &y, d);
        } else {
            at.pin(&x, d, "pads it");
            at.pin(&y, d, "pads it");
        }
    }
    Some(())
}

/// Dims that are not repeated are the same. A dim that Expand makes of 1 may have any size, since its operand says it.
pub fn expand(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let before = y.rank().checked_sub(x.rank())?;
    let tile = at.node().is("Tile");
    if tile {
        (0..before).for_each(|d| at.pin(&y, d, "repeats it"));
    }
    for d in 0..x.rank() {
        if x.dims[d] == y.dims[d + before] {
            at.link(&x, d, &y, d + before);
        } else if tile || x.dims[d].as_const() != Some(1) {
            at.pin(&x, d, "repeats it");
            at.pin(&y, d + before, "repeats it");
        }
    }
    Some(())
}

/// Batch and channels are the same, pixels stay.
pub fn resize(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    if x.rank() != y.rank() || x.rank() < 3 {
        return None;
    }
    for d in 0..x.rank() {
        if d < 2 && x.dims[d] == y.dims[d] {
            at.link(&x, d, &y, d);
        } else {
            at.pin(&x, d, "scales it");
            at.pin(&y, d, "scales it");
        }
    }
    for slot in 1..at.node().inputs().len() {
        if let Some(s) = at.input(slot) {
            at.pin_all(&s, "takes sizes by number");
        }
    }
    Some(())
}

pub fn trilu(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    at.link_all(&x, &y);
    (x.rank().saturating_sub(2)..x.rank()).for_each(|d| at.pin(&x, d, "cuts along its diagonal"));
    Some(())
}

/// Sizes as data: harmless where only shapes are computed from them, since those are rewritten; any other use needs the size as it is.
pub fn shape(at: &mut At<'_>) -> Option<()> {
    let x = at.input(0)?;
    if !only_shapes(at.graph, at.id) {
        at.pin_all(&x, "computes with its size");
    }
    if let Some(y) = at.output(0) {
        at.pin_all(&y, "lists sizes");
    }
    Some(())
}

/// Whether everything that is computed from a node's results ends in operands that say shapes.
fn only_shapes(graph: &Graph, id: NodeId) -> bool {
    const PASS: &[&str] = &["Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Identity", "Add", "Sub", "Mul", "Div", "Min", "Max"];
    let (mut work, mut seen) = (vec![id], std::collections::BTreeSet::new());
    while let Some(n) = work.pop() {
        if !seen.insert(n) {
            continue;
        }
        for o in 0..graph.node(n).outputs().len() {
            if graph.is_output(n.out(o)) {
                return false;
            }
            for (user, slot) in graph.uses(n.out(o)) {
                let node = graph.node(user);
                let says_shape = match &*node.op.name {
                    "Reshape" | "Expand" | "Tile" => slot == 1,
                    "ConstantOfShape" => true,
                    "Slice" => slot > 0,
                    "Split" => slot == 1,
                    "Resize" => slot == 3,
                    _ => false,
                };
                if says_shape && node.op.domain.is_empty() {
                    continue;
                }
                if !PASS.iter().any(|p| node.is(p)) {
                    return false;
                }
                work.push(user);
            }
        }
    }
    true
}

/// Pixels of a block become channels, or the other way: the channels that belong to one are a unit.
pub fn depth(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let up = at.node().is("DepthToSpace");
    let (deep, flat) = if up { (&x, &y) } else { (&y, &x) };
    for d in [2, 3] {
        at.pin(&x, d, "moves pixels");
        at.pin(&y, d, "moves pixels");
    }
    at.link(&x, 0, &y, 0);
    let inner = up && at.node().attrs.str("mode") == Some("CRD");
    match (at.axis(deep, 1), at.axis(flat, 1)) {
        (Some(a), Some(b)) => {
            let (many, few) = (at.c.axes[a].lanes, at.c.axes[b].lanes);
            if !many.is_multiple_of(few) {
                return None;
            }
            for l in 0..many {
                let to = if inner { l / (many / few) } else { l % few };
                at.link_lanes(a, l, b, to, 1);
            }
        }
        _ => [deep, flat].into_iter().for_each(|s| at.pin(s, 1, "moves all of it")),
    }
    Some(())
}

/// A stretch of dims that hold the same elements on both sides: numbers of the dims and the constant part of each.
struct Stretch {
    from: Vec<(usize, i64)>,
    to: Vec<(usize, i64)>,
    /// Symbols are in between: what shrinks where cannot be told.
    mixed: bool,
}

/// The result holds the operand's elements in the same order. Dims are matched from both ends; where constant sizes are taken apart or
/// merged, by common factors.
pub fn reshape(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    for s in stretches(&x.dims, &y.dims) {
        let equal = s.from.len() == 1 && s.to.len() == 1 && x.dims[s.from[0].0] == y.dims[s.to[0].0];
        if equal && !s.mixed {
            at.link(&x, s.from[0].0, &y, s.to[0].0);
            continue;
        }
        if s.mixed || refine(at, &x, &y, &s).is_none() {
            s.from.iter().for_each(|(d, _)| at.pin(&x, *d, "takes it apart"));
            s.to.iter().for_each(|(d, _)| at.pin(&y, *d, "merges it"));
        }
    }
    Some(())
}

/// Symbols and numbers of dims as factors, outermost first. (A dim `12·N` is `N` times 12: see the module.)
fn factors(dims: &[Dim]) -> Vec<(usize, Dim)> {
    let mut out = vec![];
    for (i, d) in dims.iter().enumerate() {
        match split_size(d) {
            Some((n, symbols)) => {
                if symbols.as_const().is_none() {
                    out.push((i, symbols));
                }
                if n != 1 {
                    out.push((i, Dim::from(n)));
                }
            }
            None => out.push((i, d.clone())),
        }
    }
    out
}

fn stretches(x: &[Dim], y: &[Dim]) -> Vec<Stretch> {
    let (a, b) = (factors(x), factors(y));
    let (mut out, mut tail) = (vec![], vec![]);
    let (mut i, mut j) = (0, 0);
    let (mut end_a, mut end_b) = (a.len(), b.len());
    // From the front: the shortest stretches with equal products.
    while i < end_a && j < end_b {
        let Some((m, n)) = shortest(&a[i..end_a], &b[j..end_b], false) else { break };
        out.push(stretch(&a[i..i + m], &b[j..j + n]));
        (i, j) = (i + m, j + n);
    }
    // What is not known in the middle must not hide what is known at the end.
    while i < end_a && j < end_b {
        let Some((m, n)) = shortest(&a[i..end_a], &b[j..end_b], true) else { break };
        tail.push(stretch(&a[end_a - m..end_a], &b[end_b - n..end_b]));
        (end_a, end_b) = (end_a - m, end_b - n);
    }
    if i < end_a || j < end_b {
        out.push(Stretch { mixed: true, ..stretch(&a[i..end_a], &b[j..end_b]) });
    }
    out.extend(tail.into_iter().rev());
    out
}

/// How many factors of each side, from the front or the back, have the same product; at least one of each.
fn shortest(a: &[(usize, Dim)], b: &[(usize, Dim)], back: bool) -> Option<(usize, usize)> {
    let pick = |s: &[(usize, Dim)], i: usize| if back { s[s.len() - 1 - i].1.clone() } else { s[i].1.clone() };
    let products = |s: &[(usize, Dim)]| {
        let mut p = Dim::from(1);
        (0..s.len())
            .map(|i| {
                p = &p * &pick(s, i);
                p.clone()
            })
            .collect::<Vec<Dim>>()
    };
    let (pa, pb) = (products(a), products(b));
    for (m, p) in pa.iter().enumerate() {
        if let Some(n) = pb.iter().position(|q| q == p) {
            return Some((m + 1, n + 1));
        }
    }
    None
}

fn stretch(a: &[(usize, Dim)], b: &[(usize, Dim)]) -> Stretch {
    let number = |s: &[(usize, Dim)]| s.iter().map(|(d, f)| (*d, f.as_const().unwrap_or(0))).collect::<Vec<_>>();
    let (from, to) = (number(a), number(b));
    let symbols = from.iter().chain(&to).any(|(_, n)| *n == 0);
    // One symbol that is the same on both sides has no lanes and needs no care.
    let plain = symbols && from.len() == 1 && to.len() == 1;
    if plain { Stretch { from: vec![], to: vec![], mixed: false } } else { Stretch { from, to, mixed: symbols } }
}

/// Common factors of constant sizes: `[24, 64]` and `[2, 768]` are both `[2, 12, 64]`.
fn refine(at: &mut At<'_>, x: &Shaped, y: &Shaped, s: &Stretch) -> Option<()> {
    let ends = |side: &[(usize, i64)]| -> Vec<i64> {
        // Products from the back: how many elements a step along the dim covers.
        let mut p = 1i64;
        let mut out: Vec<i64> = side
            .iter()
            .rev()
            .map(|(_, n)| {
                p = p.saturating_mul(*n);
                p
            })
            .collect();
        out.reverse();
        out
    };
    let (ea, eb) = (ends(&s.from), ends(&s.to));
    let mut cuts: Vec<i64> = ea.iter().chain(&eb).copied().chain([1]).collect();
    cuts.sort_unstable_by(|a, b| b.cmp(a));
    cuts.dedup();
    // Outermost first: sizes of the common factors.
    let mut sizes = vec![];
    for w in cuts.windows(2) {
        if w[1] == 0 || w[0] % w[1] != 0 {
            return None;
        }
        sizes.push(usize::try_from(w[0] / w[1]).ok()?);
    }
    let shared: Vec<AxisId> = sizes.iter().map(|n| at.factor(x, *n)).collect::<Option<_>>()?;
    for (side, shape, products, result) in [(&s.from, x, &ea, false), (&s.to, y, &eb, true)] {
        for (k, (dim, _)) in side.iter().enumerate() {
            let (outer, inner) = (products[k], products.get(k + 1).copied().unwrap_or(1));
            let first = cuts.iter().position(|c| *c == outer)?;
            let last = cuts.iter().position(|c| *c == inner)?;
            let parts: Vec<(AxisId, usize)> = shared[first..last].iter().copied().zip(sizes[first..last].iter().copied()).collect();
            merge(at, shape, *dim, &parts, result);
        }
    }
    Some(())
}

/// A dim is the product of factors: one of them may shrink, the others stay.
fn merge(at: &mut At<'_>, s: &Shaped, dim: usize, parts: &[(AxisId, usize)], result: bool) {
    let Some(axis) = at.axis(s, dim) else {
        for (f, _) in parts {
            let reason = at.says("merges it into a size that is not known");
            at.c.pin(*f, reason);
        }
        return;
    };
    let key = (at.id, result, dim);
    let chosen = at.c.choices.get(&key).copied().unwrap_or(0).min(parts.len().saturating_sub(1));
    let Some((factor, size)) = parts.get(chosen).copied() else { return };
    let stride: usize = parts[chosen + 1..].iter().map(|p| p.1).product();
    for l in 0..at.c.axes[axis].lanes {
        at.link_lanes(axis, l, factor, l / stride % size, 1);
    }
    for (i, (f, n)) in parts.iter().enumerate() {
        if i != chosen {
            let reason = at.says("merges it with others that may shrink");
            at.c.pins.push(Pin { axis: *f, lanes: 0..*n, reason, by_choice: true });
        }
    }
    if parts.len() > 1 {
        at.c.merges.insert(key, parts.iter().map(|p| p.0).collect());
    }
}
