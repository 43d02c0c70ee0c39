//! prune-layers: remove whole layers: blocks that add something to a residual stream.
//!
//! A layer is what lies between a value and a later one of the same type, where the later one is the earlier one plus what is computed from
//! it: an attention and its feed-forward block in a transformer (found as what repeats), a bottleneck in a residual network. Removing it
//! makes the later value the earlier one, exactly. Norms and activations behind the sum belong to the layer.
//!
//! `count` layers go, those with the lowest scores; `layers="3|5"` names them instead, by the numbers that the ledger of a run with `count`
//! lists with their scores. Layers in which another output of the model is computed stay, such as those of a cache of
//! keys and values, as do blocks that change the size of the stream.
//!
//! Scores, on `data`: `influence` is `1 − E cos(before, after)` of the vectors of the stream (block influence; Men et al., "ShortGPT: Layers
//! in large language models are more redundant than you expect", 2024). `ablation` is what the outputs lose without the layer, as squared
//! error or, with `metric=kl`, as divergence of the probabilities.

mod blocks;

use crate::common::activations::{BATCH, DATA, batch_size};
use crate::common::nothing_done;
use crate::common::prune::{METRIC, measure, parameters};
use blocks::Layer;
use lapidary_ir::{Diagnostic, Graph, Result, Tensor, ValueId};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};
use std::collections::BTreeMap;

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "prune-layers";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("count", Kind::Int, None, "how many layers go"),
    OptionSpec::new("layers", Kind::Words, None, "which layers go, by number from 0 on"),
    OptionSpec::new("score", Kind::Choice(&["influence", "ablation"]), Some("influence"), "what a layer is worth"),
    METRIC,
    DATA,
    BATCH,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let before = parameters(graph);
    let all = blocks::find(graph);
    let mut free: Vec<usize> = vec![];
    for (i, layer) in all.iter().enumerate() {
        if !layer.nodes.iter().any(|n| ctx.selected(graph, *n)) {
            continue;
        }
        match &layer.refused {
            Some(reason) => ctx.miss(NAME, graph, layer.end.node, format!("layer {i}: {reason}")),
            None => free.push(i),
        }
    }
    let mut out = Outcome::default();
    let mut scores: BTreeMap<usize, f64> = BTreeMap::new();
    let mut gone: Vec<usize> = match (ctx.options.int("count"), named(ctx)?) {
        (Some(_), Some(_)) => return Err(ctx.error("pass-option", "both count and layers are given")),
        (None, None) => {
            let d = Diagnostic::error("missing-option", format!("pass '{NAME}' does not know which layers to remove"));
            return Err(d.help(format!("write {NAME}{{count=2, data=…}}; `lapidary passes {NAME}` explains it")).into());
        }
        (None, Some(named)) => {
            for n in &named {
                let why = match all.get(*n) {
                    None => format!("the model has {} layers that can be told apart", all.len()),
                    Some(l) => match &l.refused {
                        Some(reason) => reason.clone(),
                        None if free.contains(n) => continue,
                        None => "it is not selected".into(),
                    },
                };
                return Err(Diagnostic::error("no-such-layer", format!("layer {n} cannot be removed: {why}")).into());
            }
            named
        }
        (Some(count), None) => {
            if free.is_empty() {
                nothing_done(ctx, NAME)?;
                return Ok(out);
            }
            let count = usize::try_from(count).ok().filter(|c| *c < all.len() && *c <= free.len());
            let Some(count) = count else {
                let message = format!(
                    "'count' is {}, but the model has {} layers, and {} can go",
                    ctx.options.int("count").unwrap_or(0),
                    all.len(),
                    free.len()
                );
                return Err(Diagnostic::error("too-many", message).help("at least one layer stays").into());
            };
            let values =
                if ctx.options.text("score") == Some("ablation") { ablation(graph, ctx, &all, &free)? } else { influence(graph, ctx, &all, &free)? };
            scores = free.iter().copied().zip(values).collect();
            let mut order = free.clone();
            order.sort_by(|a, b| scores[a].total_cmp(&scores[b]).then(a.cmp(b)));
            order.truncate(count);
            order
        }
    };
    gone.sort_unstable();
    gone.dedup();
    for (i, score) in &scores {
        let fate = if gone.contains(i) { ": removed" } else { "" };
        ctx.note(Diagnostic::error("layer", format!("layer {i}, up to '{}': {score:.4}{fate}", graph.value(all[*i].end).name)));
    }
    // From the end: what a layer is replaced by may be the end of another that goes.
    for i in gone.iter().rev() {
        all[*i].remove(graph, NAME);
    }
    graph.sweep();
    out.touch("layers", gone.len());
    let after = parameters(graph);
    let share = 100.0 * after as f64 / before.max(1) as f64;
    ctx.note(Diagnostic::error("parameters", format!("{after} parameters of {before} are left ({share:.2} %)")));
    Ok(out)
}

/// The numbers of the option `layers`.
fn named(ctx: &PassCtx<'_>) -> Result<Option<Vec<usize>>> {
    if ctx.options.get("layers").is_none() {
        return Ok(None);
    }
    let words = ctx.options.words("layers");
    let numbers: Option<Vec<usize>> = words.iter().map(|w| w.trim().parse().ok()).collect();
    numbers.filter(|n| !n.is_empty()).map(Some).ok_or_else(|| ctx.error("pass-option", "'layers' takes numbers of layers, such as \"3|5\""))
}

/// `1 − E cos` between the vectors before and after each layer.
fn influence(graph: &Graph, ctx: &mut PassCtx<'_>, all: &[Layer], free: &[usize]) -> Result<Vec<f64>> {
    let data = ctx.options.required(NAME, "data")?.to_string();
    let batch = batch_size(graph, ctx.options.int("batch").unwrap_or(8))?;
    let taps: Vec<ValueId> = free.iter().flat_map(|i| [all[*i].start, all[*i].end]).collect();
    let (source, executor) = (ctx.data, ctx.executor);
    let mut samples = source.open(&data, graph, Some(batch))?;
    let mut runner = executor.load(graph, &taps)?;
    let mut sums = vec![(0.0, 0u64); free.len()];
    let mut batches = 0;
    while let Some(inputs) = samples.next()? {
        batches += 1;
        let mut seen: BTreeMap<ValueId, Tensor> = BTreeMap::new();
        runner.run(inputs, &mut |value, datum| {
            if let Some(t) = datum.as_tensor() {
                seen.insert(value, t.clone());
            }
        })?;
        for (sum, i) in sums.iter_mut().zip(free) {
            if let (Some(a), Some(b)) = (seen.get(&all[*i].start), seen.get(&all[*i].end)) {
                cosines(a, b, sum);
            }
        }
    }
    if batches == 0 {
        return Err(Diagnostic::error("no-samples", format!("'{data}' holds no samples")).into());
    }
    Ok(sums.iter().map(|(s, n)| 1.0 - s / (*n).max(1) as f64).collect())
}

/// Adds the cosines of corresponding vectors: along the channels of an image, else along the last axis.
fn cosines(a: &Tensor, b: &Tensor, sum: &mut (f64, u64)) {
    let (Some(x), Some(y)) = (a.to_f64(), b.to_f64()) else { return };
    let axis = if a.rank() >= 4 { 1 } else { a.rank().saturating_sub(1) };
    let (Some(n), true) = (a.sizes().get(axis).copied(), a.sizes() == b.sizes()) else { return };
    let inner: usize = a.sizes()[axis + 1..].iter().product();
    for outer in 0..x.len() / (n * inner).max(1) {
        for k in 0..inner {
            let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
            for i in 0..n {
                let at = (outer * n + i) * inner + k;
                xy += x[at] * y[at];
                xx += x[at] * x[at];
                yy += y[at] * y[at];
            }
            if xx > 0.0 && yy > 0.0 {
                sum.0 += xy / (xx * yy).sqrt();
                sum.1 += 1;
            }
        }
    }
}

/// What the outputs lose without each layer.
fn ablation(graph: &Graph, ctx: &mut PassCtx<'_>, all: &[Layer], free: &[usize]) -> Result<Vec<f64>> {
    let data = ctx.options.required(NAME, "data")?.to_string();
    let batch = batch_size(graph, ctx.options.int("batch").unwrap_or(8))?;
    let metric = measure::Metric::of(ctx);
    let (source, executor) = (ctx.data, ctx.executor);
    let mut full = executor.load(graph, &[])?;
    let mut out = vec![];
    for i in free {
        let mut cut = graph.clone();
        all[*i].remove(&mut cut, NAME);
        cut.sweep();
        let mut less = executor.load(&cut, &[])?;
        let mut samples = source.open(&data, graph, Some(batch))?;
        let (mut loss, mut batches) = (0.0, 0);
        while let Some(inputs) = samples.next()? {
            batches += 1;
            let base = full.run(inputs.clone(), &mut |_, _| ())?;
            loss += measure::distance(metric, &base, &less.run(inputs, &mut |_, _| ())?);
        }
        if batches == 0 {
            return Err(Diagnostic::error("no-samples", format!("'{data}' holds no samples")).into());
        }
        out.push(loss / f64::from(batches));
    }
    Ok(out)
}
