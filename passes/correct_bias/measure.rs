//! Means of both models on the data, and what to add.
//!
//! The quantized model runs as a copy in which every layer's correction is an input: it is made ready once, however many depths there are.

use super::sites::Site;
use crate::common::activations::batch_size;
use lapidary_ir::{Attrs, DType, Diagnostic, Graph, NodeSpec, Result, Tensor, Type, Value, ValueId};
use lapidary_ops::Datum;
use lapidary_rewrite::{PassCtx, Runner, newest_op};
use std::collections::BTreeMap;

pub struct Found {
    /// What each channel of each site lacks.
    pub deltas: Vec<Vec<f64>>,
    /// Squared mean errors of channels, in parts of their power; before and after.
    pub shift_before: f64,
    pub shift_after: f64,
    /// Squared errors of the outputs, in parts of their power.
    pub error_before: f64,
    pub error_after: f64,
}

/// Sums over everything but channels.
#[derive(Clone, Default)]
struct Sums {
    sum: Vec<f64>,
    squares: f64,
    count: f64,
}

impl Sums {
    fn add(&mut self, site: &Site, t: &Tensor) -> Result<()> {
        let axis = site.axis.unwrap_or(t.rank().saturating_sub(1));
        let values = t.to_f64().filter(|_| t.sizes().get(axis) == Some(&site.channels));
        let Some(values) = values else {
            return Err(Diagnostic::error("shape-conflict", format!("a layer of {} channels gave {:?}", site.channels, t.sizes())).into());
        };
        let inner = t.sizes()[axis + 1..].iter().product::<usize>().max(1);
        self.sum.resize(site.channels, 0.0);
        for (i, v) in values.iter().enumerate() {
            self.sum[i / inner % site.channels] += v;
            self.squares += v * v;
        }
        self.count += (values.len() / site.channels) as f64;
        Ok(())
    }
    fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|s| s / self.count.max(1.0)).collect()
    }
}

pub fn corrections(graph: &Graph, float: &Graph, ctx: &mut PassCtx<'_>, sites: &[Site]) -> Result<Found> {
    let (source, executor) = (ctx.data, ctx.executor);
    let data = ctx.options.text("data").unwrap_or_default().to_string();
    let batch = Some(batch_size(graph, ctx.options.int("batch").unwrap_or(8))?);
    let (copy, seen) = probe(graph, sites);
    let mut reference = executor.load(float, &sites.iter().map(|s| s.float).collect::<Vec<_>>())?;
    let mut runner = executor.load(&copy, &seen)?;
    let mut deltas: Vec<Vec<f64>> = sites.iter().map(|s| vec![0.0; s.channels]).collect();
    let float_values: Vec<ValueId> = sites.iter().map(|s| s.float).collect();

    // Both models, side by side.
    let mut wanted = vec![Sums::default(); sites.len()];
    let both = |deltas: &[Vec<f64>], wanted: &mut Vec<Sums>, reference: &mut dyn Runner, runner: &mut dyn Runner| -> Result<(Vec<Sums>, f64)> {
        let mut here = vec![Sums::default(); sites.len()];
        wanted.iter_mut().for_each(|w| *w = Sums::default());
        let (mut error, mut power, mut batches) = (0.0, 0.0, 0);
        let mut samples = source.open(&data, graph, batch)?;
        while let Some(inputs) = samples.next()? {
            batches += 1;
            let right = tapped(reference, inputs.clone(), &float_values, sites, wanted)?;
            let got = tapped(runner, with_deltas(inputs, deltas, sites), &seen, sites, &mut here)?;
            for (a, b) in right.iter().zip(&got) {
                let (Some(a), Some(b)) = (real(a), real(b)) else { continue };
                power += a.iter().map(|v| v * v).sum::<f64>();
                error += a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
            }
        }
        if batches == 0 {
            return Err(Diagnostic::error("no-samples", format!("'{data}' holds no samples")).into());
        }
        Ok((here, if power > 0.0 { error / power } else { error }))
    };
    let (first, error_before) = both(&deltas, &mut wanted, &mut *reference, &mut *runner)?;
    let shift_before = shift(&wanted, &first);
    let deepest = sites.iter().map(|s| s.depth).max().unwrap_or(0);
    if ctx.options.flag("sequential") {
        for depth in 0..=deepest {
            let here = if depth == 0 {
                first.clone()
            } else {
                let mut here = vec![Sums::default(); sites.len()];
                let mut samples = source.open(&data, graph, batch)?;
                while let Some(inputs) = samples.next()? {
                    tapped(&mut *runner, with_deltas(inputs, &deltas, sites), &seen, sites, &mut here)?;
                }
                here
            };
            sites.iter().enumerate().filter(|(_, s)| s.depth == depth).for_each(|(i, _)| toward(&mut deltas[i], &wanted[i], &here[i]));
        }
    } else {
        (0..sites.len()).for_each(|i| toward(&mut deltas[i], &wanted[i], &first[i]));
    }
    for (site, delta) in sites.iter().zip(&deltas) {
        if delta.iter().any(|d| !d.is_finite()) {
            let name = &graph.value(site.here).name;
            let d = Diagnostic::error("not-finite", format!("the mean of '{name}' is not finite on the calibration data")).value(&**name);
            return Err(d.help("leave the layer out with on(…), or mend the data").into());
        }
    }
    let (last, error_after) = both(&deltas, &mut wanted, &mut *reference, &mut *runner)?;
    Ok(Found { shift_after: shift(&wanted, &last), deltas, shift_before, error_before, error_after })
}

fn toward(delta: &mut [f64], wanted: &Sums, here: &Sums) {
    delta.iter_mut().zip(wanted.mean()).zip(here.mean()).for_each(|((d, want), have)| *d += want - have);
}

/// The squared mean errors of all channels against the power of what they are errors of, the mean over layers.
fn shift(wanted: &[Sums], here: &[Sums]) -> f64 {
    let part = |(w, h): (&Sums, &Sums)| {
        let error = w.mean().iter().zip(h.mean()).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let power = w.squares / w.count.max(1.0);
        if power > 0.0 { error / power } else { 0.0 }
    };
    wanted.iter().zip(here).map(part).sum::<f64>() / wanted.len().max(1) as f64
}

/// Runs once and adds what the sites show.
fn tapped(runner: &mut dyn Runner, inputs: Vec<Datum>, values: &[ValueId], sites: &[Site], into: &mut [Sums]) -> Result<Vec<Datum>> {
    let places: BTreeMap<ValueId, Vec<usize>> = values.iter().enumerate().fold(BTreeMap::new(), |mut m, (i, v)| {
        m.entry(*v).or_insert_with(Vec::new).push(i);
        m
    });
    let mut failed = None;
    let out = runner.run(inputs, &mut |v, datum| {
        let Some(t) = datum.as_tensor() else { return };
        for i in places.get(&v).into_iter().flatten() {
            if let Err(e) = into[*i].add(&sites[*i], t) {
                failed.get_or_insert(e);
            }
        }
    })?;
    failed.map_or(Ok(out), Err)
}

fn real(d: &Datum) -> Option<Vec<f64>> {
    d.as_tensor().filter(|t| t.dtype().is_float()).and_then(|t| t.to_f64())
}

/// A copy in which an input is added to each site's value, and the sums.
fn probe(graph: &Graph, sites: &[Site]) -> (Graph, Vec<ValueId>) {
    let mut g = graph.clone();
    let mut sums = vec![];
    for (i, site) in sites.iter().enumerate() {
        let ty = g.ty(site.here).clone();
        let dims = site.sizes();
        let name = g.fresh_name(&format!("correction_{i}"));
        let delta = g.add_input(name, Type::tensor(DType::F32, dims.iter().map(|d| *d as i64)));
        let name = g.fresh_name(&format!("corrected_{i}"));
        let position = Some(g.node(site.here.node).position);
        let spec = NodeSpec::new(newest_op("Add"), [], vec![Value { name, ty }]).attrs(Attrs::new());
        let sum = g.add(NodeSpec { position, ..spec });
        g.replace_uses(site.here, sum.out(0));
        g.set_inputs(sum, [Some(site.here), Some(delta)]);
        sums.push(sum.out(0));
    }
    (g, sums)
}

fn with_deltas(mut inputs: Vec<Datum>, deltas: &[Vec<f64>], sites: &[Site]) -> Vec<Datum> {
    for (site, delta) in sites.iter().zip(deltas) {
        inputs.push(Tensor::from_slice(&site.sizes(), &delta.iter().map(|d| *d as f32).collect::<Vec<_>>()).into());
    }
    inputs
}
