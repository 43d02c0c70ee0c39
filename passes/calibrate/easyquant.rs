//! EasyQuant's refinement: the scale of each value at which what the layers make of it changes direction least.

use crate::common::activations::{batch_size, vectors};
use crate::common::layers::{self, Layer, Scope};
use crate::common::quant::{Range, activation};
use faer::{Mat, MatRef};
use lapidary_ir::{DType, Graph, NodeId, Result, ValueId};
use lapidary_rewrite::PassCtx;
use std::collections::BTreeMap;

/// Scales tried, from half to double; the one that stood before is among them.
const STEPS: usize = 100;
/// Samples that are looked at, as in the paper.
const SAMPLES: usize = 50;
/// Input vectors that are looked at for each layer.
const VECTORS: usize = 256;

/// Inner products of results before and after, over all vectors so far, for each scale.
#[derive(Clone, Copy, Default)]
struct Agreement {
    product: f64,
    before: f64,
    after: f64,
}

impl Agreement {
    fn cosine(&self) -> f64 {
        if self.before * self.after > 0.0 { self.product / (self.before * self.after).sqrt() } else { 0.0 }
    }
}

pub fn refine(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, ranges: &mut BTreeMap<String, Range>) -> Result<()> {
    let data = ctx.options.required(pass, "data")?.to_string();
    let misses = ctx.misses.len();
    let found = layers::find(graph, ctx, pass, Scope { head: true, embeddings: false });
    // Layers are only measured here: those that cannot be changed are no misses.
    ctx.misses.truncate(misses);
    let mut readers: BTreeMap<ValueId, Vec<(&Layer, NodeId)>> = BTreeMap::new();
    for layer in &found {
        layer
            .readers
            .iter()
            .filter(|(_, x)| ranges.contains_key(&*graph.value(*x).name))
            .for_each(|(n, x)| readers.entry(*x).or_default().push((layer, *n)));
    }
    let batch = batch_size(graph, ctx.options.int("batch").unwrap_or(8))?;
    let mut samples = ctx.data.open(&data, graph, Some(batch))?;
    let mut runner = ctx.executor.load(graph, &readers.keys().copied().collect::<Vec<_>>())?;
    let mut agreements: BTreeMap<NodeId, (usize, [Agreement; STEPS])> = BTreeMap::new();
    let (mut seen, mut failed) = (0, None);
    while let Some(inputs) = samples.next()?.filter(|_| seen < SAMPLES) {
        seen += batch;
        runner.run(inputs, &mut |value, datum| {
            let (Some(t), Some(users)) = (datum.as_tensor(), readers.get(&value)) else { return };
            let range = ranges[&*graph.value(value).name];
            for (layer, node) in users {
                let (looked, sums) = agreements.entry(*node).or_insert((0, [Agreement::default(); STEPS]));
                if *looked >= VECTORS * layer.groups() {
                    continue;
                }
                let weight = layer.matrix(graph);
                let rows = layer.rows / layer.groups();
                let result = vectors(graph, layer, *node, t, &mut |g, x| {
                    let x = x.subrows(0, x.nrows().min((VECTORS * layer.groups()).saturating_sub(*looked)));
                    *looked += x.nrows();
                    if x.nrows() > 0 {
                        compare(weight.as_ref().subrows(g * rows, rows), x, range, sums);
                    }
                });
                if let Err(e) = result {
                    failed.get_or_insert(e);
                }
            }
        })?;
    }
    if let Some(e) = failed {
        return Err(e);
    }
    for (value, users) in &readers {
        let mean = |i: usize| users.iter().filter_map(|(_, n)| agreements.get(n)).map(|(_, sums)| sums[i].cosine()).sum::<f64>();
        let start = STEPS / 3;
        let best = (0..STEPS).fold(start, |best, i| if mean(i) > mean(best) { i } else { best });
        if let Some(range) = ranges.get_mut(&*graph.value(*value).name) {
            *range = scaled(*range, best);
        }
    }
    Ok(())
}

/// Step 33 of 99 is the range as it was.
fn scaled(range: Range, step: usize) -> Range {
    let by = 0.5 + 1.5 * step as f64 / (STEPS - 1) as f64;
    Range { low: range.low * by, high: range.high * by }
}

fn compare(weight: MatRef<'_, f64>, x: MatRef<'_, f64>, range: Range, sums: &mut [Agreement; STEPS]) {
    let before = x * weight.transpose();
    for (step, sum) in sums.iter_mut().enumerate() {
        let p = activation(scaled(range, step), DType::U8);
        let (scale, zero) = (f64::from(p.scale), p.zero_point as f64);
        let rounded = Mat::from_fn(x.nrows(), x.ncols(), |i, j| (((x[(i, j)] / scale).round_ties_even() + zero).clamp(0.0, 255.0) - zero) * scale);
        let after = &rounded * weight.transpose();
        for j in 0..before.ncols() {
            for (a, b) in before.col(j).iter().zip(after.col(j).iter()) {
                sum.product += a * b;
                sum.before += a * a;
                sum.after += b * b;
            }
        }
    }
}
