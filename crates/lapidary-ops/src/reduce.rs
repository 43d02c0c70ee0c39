//! What the `Reduce…` operators share: axes as operand or attribute, and folding into the elements that remain.

use crate::elementwise::broadcast::indices;
use crate::elementwise::contents;
use crate::numbers::{axis_index, check_size, floats, store, store_wide, wide};
use crate::{Contents, Datum, EvalCtx, Form, InferCtx, forms};
use lapidary_ir::{DType, Dim, Graph, Node, NodeId, Result, Shape, Tensor};

/// Version 18 (13 of `ReduceSum`) made an operand of the axes.
pub(crate) const AXES_18: Form = Form { since: 18, lift: |g, n| lift_axes(g, n, 18), lower: lower_axes };
pub(crate) const AXES_13: Form = Form { since: 13, lift: |g, n| lift_axes(g, n, 13), lower: lower_axes };

fn keeps(node: &Node) -> bool {
    node.attrs.int("keepdims") != Some(0)
}

/// The reduced axes, given those that the node names: none named means all, unless `noop_with_empty_axes`.
pub(crate) fn chosen(node: &Node, named: Option<Vec<i64>>, rank: usize) -> Option<Vec<bool>> {
    let named = named.unwrap_or_default();
    if named.is_empty() {
        return Some(vec![node.attrs.int("noop_with_empty_axes").unwrap_or(0) == 0; rank]);
    }
    let mut out = vec![false; rank];
    for a in named {
        // An axis cannot go twice.
        if std::mem::replace(out.get_mut(axis_index(a, rank)?)?, true) {
            return None;
        }
    }
    Some(out)
}

/// The most sets of axes that [`fitting`] gives: each costs a reduction.
const FITTING_MAX: usize = 8;

/// The sets of reduced axes, in number `count` if that is known, that make dims `to` of dims `from`; axes of one element count as reduced
/// where both are possible. None where there are too many.
pub(crate) fn fitting(node: &Node, from: &[Dim], to: &[Dim], count: Option<usize>) -> Vec<Vec<bool>> {
    let one = Dim::from(1);
    let keep = keeps(node);
    let mut out: Vec<Vec<bool>> = vec![];
    // With more axes there is no trying all sets; no model has them.
    if from.len() > 10 {
        return out;
    }
    for set in 0..1u32 << from.len() {
        let marks: Vec<bool> = (0..from.len()).map(|a| set >> a & 1 == 1).collect();
        let chosen = marks.iter().filter(|m| **m).count();
        let possible = match count {
            // None named means all, or none.
            Some(0) => Some(&marks) == self::chosen(node, None, from.len()).as_ref(),
            Some(n) => chosen == n,
            None => chosen > 0 || node.attrs.int("noop_with_empty_axes").unwrap_or(0) != 0 || from.is_empty(),
        };
        let each = from.iter().zip(&marks).filter(|(_, m)| keep || !**m);
        let made: Vec<&Dim> = each.map(|(d, m)| if *m { &one } else { d }).collect();
        if possible && made.iter().copied().eq(to) {
            out.push(marks);
        }
    }
    // Sets that differ in axes of one element alone give the same.
    let essence = |marks: &[bool]| -> Vec<bool> { marks.iter().zip(from).map(|(m, d)| *m && *d != one).collect() };
    let mut seen: Vec<Vec<bool>> = vec![];
    out.reverse();
    out.retain(|marks| {
        let new = !seen.contains(&essence(marks));
        seen.push(essence(marks));
        new
    });
    if out.len() > FITTING_MAX { vec![] } else { out }
}

/// The result has the operand's type, and its dims but for the reduced ones.
pub(crate) fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let t = c.ty(0)?;
    let Some(dims) = c.dims(0) else {
        c.set_tensor(0, t.dtype, Shape::Unranked);
        return Ok(());
    };
    let attribute = c.node.attrs.ints("axes").map(<[i64]>::to_vec);
    let named = if c.has(1) { c.ints(1) } else { Some(attribute.unwrap_or_default()) };
    let Some(named) = named else {
        // Axes that only the run knows: their number may be known.
        let count = c.dims(1).filter(|d| d.len() == 1).and_then(|d| d[0].as_const()).filter(|n| *n > 0 && *n <= dims.len() as i64);
        let shape = match (keeps(c.node), count) {
            (true, _) => c.fresh_shape(dims.len()),
            (false, Some(n)) => c.fresh_shape(dims.len() - n as usize),
            (false, None) => Shape::Unranked,
        };
        c.set_tensor(0, t.dtype, shape);
        return Ok(());
    };
    let Some(reduced) = chosen(c.node, Some(named.clone()), dims.len()) else {
        return Err(c.error("bad-axis", format!("axes {named:?} do not exist, or twice, in a tensor of rank {}", dims.len())).into());
    };
    let keep = keeps(c.node);
    let out = dims.iter().zip(&reduced).filter_map(|(d, r)| match (r, keep) {
        (false, _) => Some(d.clone()),
        (true, true) => Some(Dim::from(1)),
        (true, false) => None,
    });
    let shape = Shape::Ranked(out.collect());
    c.set_tensor(0, t.dtype, shape);
    Ok(())
}

/// As [`infer`]; the reduction of a vector of sizes (as the product of a shape) stays known. `fold` joins two sizes.
pub(crate) fn infer_sizes(c: &mut InferCtx<'_>, fold: impl Fn(&Dim, &Dim) -> Option<Dim>) -> Result<()> {
    infer(c)?;
    let Some(sizes) = c.contents(0).filter(|s| s.sizes.len() == 1 && contents::holds_sizes(c.dtype(0).unwrap_or(DType::Unknown))) else {
        return Ok(());
    };
    let all = if c.has(1) { c.ints(1).is_some_and(|a| !a.is_empty()) } else { c.node.attrs.int("noop_with_empty_axes").unwrap_or(0) == 0 };
    if all && let Some((first, rest)) = sizes.dims.split_first() {
        let dtype = c.dtype(0)?;
        let Some(total) = rest.iter().try_fold(first.clone(), |a, b| fold(&a, b).filter(|d| contents::fits(dtype, d))) else { return Ok(()) };
        c.set_contents(0, if keeps(c.node) { Contents::vector(vec![total]) } else { Contents::scalar(total) });
    }
    Ok(())
}

/// Where every element of the operand goes.
pub(crate) struct Reduction {
    /// Index of the result for each element.
    pub at: Vec<usize>,
    /// Sizes of the result.
    pub sizes: Vec<usize>,
    /// How many elements fall on one result, and how many results there are.
    pub terms: usize,
    pub count: usize,
}

/// The reduction that the node asks for.
pub(crate) fn plan(c: &EvalCtx<'_>) -> Result<Reduction> {
    let t = c.tensor(0)?;
    if c.has(1) && c.tensor(1)?.rank() > 1 {
        return Err(c.error("bad-axis", "the axes must be a vector").into());
    }
    let named = if c.has(1) { Some(c.ints(1)?) } else { c.node.attrs.ints("axes").map(<[i64]>::to_vec) };
    let bad = || c.error("bad-axis", format!("axes {named:?} do not exist, or twice, in a tensor of rank {}", t.rank()));
    let reduced = chosen(c.node, named.clone(), t.rank()).ok_or_else(bad)?;
    let mut plan = over(t.sizes(), &reduced);
    if !keeps(c.node) {
        plan.sizes = t.sizes().iter().zip(&reduced).filter(|(_, r)| !**r).map(|(s, _)| *s).collect();
    }
    check_size(c, &plan.sizes)?;
    Ok(plan)
}

/// The reduction of these axes, which stay as ones.
pub(crate) fn over(sizes: &[usize], reduced: &[bool]) -> Reduction {
    let kept: Vec<usize> = sizes.iter().zip(reduced).map(|(s, r)| if *r { 1 } else { *s }).collect();
    let terms = sizes.iter().zip(reduced).filter(|(_, r)| **r).map(|(s, _)| *s).product();
    Reduction { at: indices(sizes, &kept), count: kept.iter().product(), sizes: kept, terms }
}

impl Reduction {
    /// Folds the elements into `count` results that start as `first`.
    pub(crate) fn fold<A: Copy>(&self, values: &[A], first: A, f: impl Fn(A, A) -> A) -> Vec<A> {
        let mut out = vec![first; self.count];
        values.iter().zip(&self.at).for_each(|(v, at)| out[*at] = f(out[*at], *v));
        out
    }
}

/// `finish(Σ map(x), n)` in f64; integer results are truncated.
pub(crate) fn sums(c: &EvalCtx<'_>, map: fn(f64) -> f64, finish: fn(f64, f64) -> f64) -> Result<Vec<Datum>> {
    let (t, plan) = (c.tensor(0)?, plan(c)?);
    let values: Vec<f64> = floats(c, t)?.into_iter().map(map).collect();
    let mut out = plan.fold(&values, 0.0, |a, b| a + b);
    out.iter_mut().for_each(|v| *v = finish(*v, plan.terms as f64));
    if t.dtype().is_int() {
        out.iter_mut().for_each(|v| *v = v.trunc());
    }
    Ok(vec![store(t.dtype(), &plan.sizes, &out)?.into()])
}

/// As [`sums`] of floats; integers are added exactly, and wrap.
pub(crate) fn exact_sums(c: &EvalCtx<'_>, map: (fn(f64) -> f64, fn(i128) -> i128)) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    if !t.dtype().is_int() {
        return sums(c, map.0, |s, _| s);
    }
    let plan = plan(c)?;
    let values: Vec<i128> = wide(c, t)?.into_iter().map(map.1).collect();
    Ok(vec![store_wide(t.dtype(), &plan.sizes, &plan.fold(&values, 0, i128::wrapping_add))?.into()])
}

/// Folds with an operation that needs no rounding but the last, from its neutral element.
pub(crate) fn folds(c: &EvalCtx<'_>, float: (f64, fn(f64, f64) -> f64), int: (fn(DType) -> i128, fn(i128, i128) -> i128)) -> Result<Vec<Datum>> {
    let (t, plan) = (c.tensor(0)?, plan(c)?);
    if t.dtype().is_float() {
        return Ok(vec![store(t.dtype(), &plan.sizes, &plan.fold(&floats(c, t)?, float.0, float.1))?.into()]);
    }
    Ok(vec![store_wide(t.dtype(), &plan.sizes, &plan.fold(&wide(c, t)?, int.0(t.dtype()), int.1))?.into()])
}

/// The smallest and largest number of an integer type, or of bool.
pub(crate) fn range(dtype: DType) -> (i128, i128) {
    dtype.int_range().unwrap_or((0, 1))
}

fn lift_axes(g: &mut Graph, n: NodeId, since: u32) -> Result<bool> {
    forms::ints_to_operand(g, n, "axes", 1);
    forms::lifted(g, n, since)
}

fn lower_axes(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let empty = match forms::constant(g, n, 1, "axes")? {
        Some(t) => t.is_empty(),
        None => true,
    };
    if empty && g.node(n).attrs.int("noop_with_empty_axes").unwrap_or(0) != 0 {
        return Err("older versions reduce all axes where none is named".into());
    }
    forms::operand_to_ints(g, n, 1, "axes")?;
    let attrs = &mut g.node_mut(n).attrs;
    attrs.remove("noop_with_empty_axes");
    if empty {
        attrs.remove("axes");
    }
    Ok(())
}

/// The mean and variance (population) of every group, with the group of each element.
pub(crate) fn moments(values: &[f64], plan: &Reduction) -> (Vec<f64>, Vec<f64>) {
    let n = plan.terms as f64;
    let mean: Vec<f64> = plan.fold(values, 0.0, |a, b| a + b).into_iter().map(|s| s / n).collect();
    let squares: Vec<f64> = values.iter().zip(&plan.at).map(|(v, at)| (v - mean[*at]).powi(2)).collect();
    let variance = plan.fold(&squares, 0.0, |a, b| a + b).into_iter().map(|s| s / n).collect();
    (mean, variance)
}

/// The elements of a float tensor less their group's mean, divided by the root of its variance plus `epsilon`.
pub(crate) fn standardize(values: &[f64], plan: &Reduction, epsilon: f64) -> Vec<f64> {
    let (mean, variance) = moments(values, plan);
    values.iter().zip(&plan.at).map(|(v, at)| (v - mean[*at]) / (variance[*at] + epsilon).sqrt()).collect()
}

/// A parameter of one number per channel (axis 1), as the index of each element's channel.
pub(crate) fn channels(c: &EvalCtx<'_>, sizes: &[usize], parameter: &Tensor) -> Result<Vec<usize>> {
    let mut aligned = vec![1; sizes.len()];
    match aligned.get_mut(1) {
        Some(at) if sizes[1] == parameter.len() => *at = parameter.len(),
        _ => {
            let message = format!("a parameter of {} elements does not fit the channels of {sizes:?}", parameter.len());
            return Err(c.error("shape-conflict", message).into());
        }
    }
    Ok(indices(sizes, &aligned))
}

/// Refuses a parameter that does not broadcast to the shape of what it scales.
pub(crate) fn broadcasts_to(c: &EvalCtx<'_>, parameter: &[usize], sizes: &[usize]) -> Result<()> {
    let fits = parameter.len() <= sizes.len() && parameter.iter().rev().zip(sizes.iter().rev()).all(|(p, s)| *p == 1 || p == s);
    if fits {
        return Ok(());
    }
    Err(c.error("shape-conflict", format!("a parameter of sizes {parameter:?} does not broadcast to {sizes:?}")).into())
}
