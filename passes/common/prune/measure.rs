//! Scores from data: what flows into the weights that read a unit, and what the outputs lose without it.

use super::Candidate;
use super::score::{lanes, per_unit};
use crate::common::activations::batch_size;
use crate::common::coupling::{AxisId, Coupling, Role, Sum, Unit};
use lapidary_ir::{Attrs, DType, Diagnostic, Graph, OpName, Result, Tensor, TensorType, Type, ValueId};
use lapidary_ops::Datum;
use lapidary_rewrite::PassCtx;
use lapidary_rewrite::metric::divergence;
use std::collections::{BTreeMap, BTreeSet};

/// How outputs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Squared error over squared values.
    Error,
    /// Divergence of the softmax along the last axis.
    Divergence,
}

impl Metric {
    pub fn of(ctx: &PassCtx<'_>) -> Metric {
        if ctx.options.text("metric") == Some("kl") { Metric::Divergence } else { Metric::Error }
    }
}

/// The sums whose operand has lanes of the group.
fn sums<'a>(c: &'a Coupling, f: &'a Candidate) -> impl Iterator<Item = &'a Sum> {
    c.sums.iter().filter(|s| f.group.axes.iter().any(|(a, _)| *a == s.axis))
}

/// For each unit the mean absolute value of what its readers see; weighted: `Σ rms(x) · ‖w‖` over its lanes.
pub fn activations(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, c: &Coupling, found: &[Candidate], weighted: bool) -> Result<Vec<Vec<f64>>> {
    let data = ctx.options.required(pass, "data")?.to_string();
    let batch = batch_size(graph, ctx.options.int("batch").unwrap_or(8))?;
    let mut seen: BTreeMap<AxisId, (Vec<f64>, f64)> = BTreeMap::new();
    let mut at: BTreeMap<ValueId, BTreeSet<AxisId>> = BTreeMap::new();
    for s in found.iter().flat_map(|f| sums(c, f)) {
        if let Some(v) = graph.node(s.node).input(s.slot) {
            at.entry(v).or_default().insert(s.axis);
            seen.insert(s.axis, (vec![0.0; c.axes[s.axis].lanes], 0.0));
        }
    }
    let (source, executor) = (ctx.data, ctx.executor);
    let mut samples = source.open(&data, graph, Some(batch))?;
    let mut runner = executor.load(graph, &at.keys().copied().collect::<Vec<_>>())?;
    let mut batches = 0;
    while let Some(inputs) = samples.next()? {
        batches += 1;
        runner.run(inputs, &mut |value, datum| {
            let Some((t, values)) = datum.as_tensor().and_then(|t| Some((t, t.to_f64()?))) else { return };
            for axis in at.get(&value).into_iter().flatten() {
                let (a, Some((sums, count))) = (&c.axes[*axis], seen.get_mut(axis)) else { continue };
                let (Some(n), inner) = (t.sizes().get(a.dim), t.sizes().iter().skip(a.dim + 1).product::<usize>().max(1)) else { continue };
                for (i, v) in values.iter().enumerate() {
                    sums[i / inner % n % a.lanes] += if weighted { v * v } else { v.abs() };
                }
                *count += values.len() as f64 / a.lanes as f64;
            }
        })?;
    }
    no_samples(batches, &data)?;
    if let Some(axis) = seen.iter().find(|(_, s)| s.0.iter().any(|v| !v.is_finite())).map(|s| *s.0) {
        let name = c.name(graph, c.axes[axis].place);
        return Err(Diagnostic::error("not-finite", format!("elements of '{name}' are not finite on the data")).value(name).into());
    }
    let mut out = vec![];
    for f in found {
        let parts = sums(c, f).filter_map(|s| {
            let (total, count) = seen.get(&s.axis)?;
            let mut values: Vec<f64> = total.iter().map(|v| v / count.max(1.0)).collect();
            if weighted {
                let norms = s.weight.and_then(|w| lanes(graph, c, w, 2)).map(|(n, _)| n).filter(|n| n.len() == values.len());
                for (i, v) in values.iter_mut().enumerate() {
                    *v = v.sqrt() * norms.as_ref().map_or(1.0, |n| n[i].sqrt());
                }
            }
            Some((s.axis, values, 1))
        });
        let (sums, counts) = per_unit(c, &f.group, parts);
        out.push(sums.iter().zip(&counts).map(|(s, n)| if weighted { *s } else { s / n.max(1.0) }).collect());
    }
    Ok(out)
}

fn no_samples(batches: usize, data: &str) -> Result<()> {
    if batches == 0 {
        return Err(Diagnostic::error("no-samples", format!("'{data}' holds no samples")).into());
    }
    Ok(())
}

/// A model in which units can be switched off by inputs: one factor before each sum, of zeros and ones.
struct Switches {
    graph: Graph,
    /// For each added input: the axis that it multiplies, and its type.
    masks: Vec<(AxisId, DType, Vec<usize>)>,
}

impl Switches {
    fn new(graph: &Graph, c: &Coupling, found: &[&Candidate]) -> Result<Switches> {
        let (mut g, mut masks) = (graph.clone(), vec![]);
        for s in found.iter().flat_map(|f| sums(c, f)) {
            let Some(x) = g.node(s.node).input(s.slot) else { continue };
            let (Some(rank), dtype) = (g.ty(x).rank(), g.dtype(x)) else { continue };
            let mut sizes = vec![1; rank];
            sizes[c.axes[s.axis].dim] = c.axes[s.axis].lanes;
            let name = g.fresh_name("mask");
            let mask = g.add_input(name, Type::tensor(dtype, sizes.iter().copied()));
            let ty = g.ty(x).as_tensor().cloned().unwrap_or(TensorType::new(dtype, lapidary_ir::Shape::Unranked));
            let version = lapidary_ops::schema::newest("", "Mul").map_or(14, |s| s.since);
            let masked = g.add_op(OpName::onnx("Mul", version), [x, mask], Attrs::new(), "masked", ty);
            g.set_input(s.node, s.slot, Some(masked));
            masks.push((s.axis, dtype, sizes));
        }
        Ok(Switches { graph: g, masks })
    }
    /// The masks that switch units off.
    fn without(&self, c: &Coupling, gone: &BTreeSet<Unit>) -> Result<Vec<Datum>> {
        let mask = |(axis, dtype, sizes): &(AxisId, DType, Vec<usize>)| {
            let values: Vec<f64> = c.units(*axis).iter().map(|u| if gone.contains(u) { 0.0 } else { 1.0 }).collect();
            Ok(Datum::from(Tensor::from_f64(*dtype, sizes, &values)?))
        };
        self.masks.iter().map(mask).collect()
    }
}

/// Whether zeros before the sums are the same as absence: where nothing else counts lanes or feeds them back.
fn can_switch(c: &Coupling, f: &Candidate) -> bool {
    !f.group.has(c, Role::Statistic)
        && !f.group.has(c, Role::State)
        && sums(c, f).next().is_some()
        && sums(c, f).all(|s| c.axes[s.axis].size.is_const())
}

/// What the outputs lose without each unit, one at a time: the mean over the batches.
pub fn ablations(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, c: &Coupling, found: &[Candidate]) -> Result<Vec<Vec<f64>>> {
    let mut out = vec![vec![]; found.len()];
    for switched in [true, false] {
        let some: Vec<usize> = (0..found.len()).filter(|i| can_switch(c, &found[*i]) == switched).collect();
        let sets: Vec<BTreeSet<Unit>> = some.iter().flat_map(|i| found[*i].group.units.iter().map(|u| BTreeSet::from([*u]))).collect();
        let mut losses = losses(graph, ctx, pass, c, &some.iter().map(|i| &found[*i]).collect::<Vec<_>>(), &sets)?.into_iter();
        for i in some {
            out[i] = losses.by_ref().take(found[i].group.units.len()).collect();
        }
    }
    Ok(out)
}

/// What the outputs lose without each set of units, which belong to the given candidates: the mean over the batches. Units are switched off
/// in one model where they can be; otherwise each set is cut out of a model of its own.
pub fn losses(graph: &Graph, ctx: &PassCtx<'_>, pass: &str, c: &Coupling, of: &[&Candidate], sets: &[BTreeSet<Unit>]) -> Result<Vec<f64>> {
    let data = ctx.options.required(pass, "data")?.to_string();
    let batch = batch_size(graph, ctx.options.int("batch").unwrap_or(8))?;
    let metric = Metric::of(ctx);
    let (source, executor) = (ctx.data, ctx.executor);
    let mut out = vec![0.0; sets.len()];
    let mut batches = 0;
    if sets.is_empty() {
        return Ok(out);
    }
    if of.iter().all(|f| can_switch(c, f)) {
        let model = Switches::new(graph, c, of)?;
        let whole = model.without(c, &BTreeSet::new())?;
        let mut samples = source.open(&data, graph, Some(batch))?;
        let mut runner = executor.load(&model.graph, &[])?;
        while let Some(inputs) = samples.next()? {
            batches += 1;
            let given = |masks: Vec<Datum>| inputs.iter().cloned().chain(masks).collect::<Vec<Datum>>();
            let base = runner.run(given(whole.clone()), &mut |_, _| ())?;
            for (loss, set) in out.iter_mut().zip(sets) {
                *loss += distance(metric, &base, &runner.run(given(model.without(c, set)?), &mut |_, _| ())?);
            }
        }
    } else {
        let mut full = executor.load(graph, &[])?;
        for (loss, set) in out.iter_mut().zip(sets) {
            let mut cut = graph.clone();
            c.cut(&mut cut, set, pass)?;
            let mut less = executor.load(&cut, &[])?;
            let mut samples = source.open(&data, graph, Some(batch))?;
            batches = 0;
            while let Some(inputs) = samples.next()? {
                batches += 1;
                let base = full.run(inputs.clone(), &mut |_, _| ())?;
                *loss += distance(metric, &base, &less.run(inputs, &mut |_, _| ())?);
            }
        }
    }
    no_samples(batches, &data)?;
    out.iter_mut().for_each(|l| *l /= batches.max(1) as f64);
    Ok(out)
}

/// How far results are from those of the whole model, summed over the floating-point outputs.
pub fn distance(metric: Metric, base: &[Datum], now: &[Datum]) -> f64 {
    let mut out = 0.0;
    for (a, b) in base.iter().zip(now) {
        let (Some(a), Some(b)) = (a.as_tensor(), b.as_tensor()) else { continue };
        let (Some(x), Some(y)) = (a.to_f64().filter(|_| a.dtype().is_float()), b.to_f64()) else { continue };
        out += match metric {
            Metric::Error => {
                let error: f64 = x.iter().zip(&y).map(|(p, q)| (p - q) * (p - q)).sum();
                error / x.iter().map(|v| v * v).sum::<f64>().max(f64::MIN_POSITIVE)
            }
            Metric::Divergence => {
                let row = a.sizes().last().copied().unwrap_or(1).max(1);
                let rows = (x.len() / row).max(1);
                x.chunks(row).zip(y.chunks(row)).map(|(p, q)| divergence(p, q)).sum::<f64>() / rows as f64
            }
        };
    }
    // What is not a number any more is worse than anything.
    if out.is_nan() { f64::INFINITY } else { out }
}
