//! What quantizing one layer alone does to a model: at the layer, at the outputs, to a metric. The model is made ready once, with weights as
//! inputs; samples are streamed, and what comes before a changed layer is computed once for each batch.

mod formats;
mod pairs;
mod rig;

pub use formats::Format;
pub use pairs::{Comparison, Deviation, Explained, Pair, PairEffect, Read, explain};

use super::activations::batch_size;
use super::layers::{self, Form, Layer, Scope};
use super::modules;
use super::quant::Range;
use lapidary_ir::{Diagnostic, Graph, Result, Tensor, ValueId};
use lapidary_ops::Datum;
use lapidary_rewrite::metric::decibels;
use lapidary_rewrite::{Metric, PassCtx, Sums, multiply_adds};
use rig::{Loaded, Values, cut, extract, instrument};
use serde::Serialize;
use std::collections::BTreeMap;

/// What to measure.
pub struct Plan<'a> {
    /// As the text of a `data=` option.
    pub data: &'a str,
    pub formats: Vec<Format>,
    /// Inputs that share a scale where weights alone are quantized.
    pub block: usize,
    /// Samples run at a time; memory grows with it.
    pub batch: usize,
    /// Samples used at most.
    pub samples: usize,
    pub metric: Metric,
}

/// Every layer in every format.
#[derive(Clone, Debug, Serialize)]
pub struct Sensitivities {
    pub metric: Metric,
    /// The metric of the model as it is; absent where it only compares.
    pub start: Option<f64>,
    pub formats: Vec<Format>,
    pub samples: u64,
    /// What ran the model.
    pub executor: String,
    /// How many parts the model was cut into.
    pub parts: usize,
    /// The names of the outputs.
    pub outputs: Vec<String>,
    /// In the order of the graph.
    pub layers: Vec<Profile>,
}

/// A layer, and what each format does to it.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// The weight's name.
    pub weight: String,
    /// The node that multiplies by it (the first), and its operator.
    pub node: String,
    pub op: String,
    /// The module that the exporter says it belongs to.
    pub module: Option<String>,
    pub rows: usize,
    pub columns: usize,
    /// For all symbolic sizes 1.
    pub multiply_adds: Option<i64>,
    pub effects: Vec<Effect>,
}

/// A layer in a format, all others as they are. Signal-to-noise ratios are absent where nothing differs.
#[derive(Clone, Debug, Serialize)]
pub struct Effect {
    pub format: Format,
    /// Of the weight in a file.
    pub bytes: u64,
    /// Bits of a weight's code.
    pub bits: u32,
    pub weight_db: Option<f64>,
    /// Of what the layer computes from unchanged inputs.
    pub layer_db: Option<f64>,
    /// Of each output of the model, and of the noisiest.
    pub outputs_db: Vec<Option<f64>>,
    pub output_db: Option<f64>,
    pub max_rel: f64,
    pub agreement: Option<f64>,
    pub metric: Option<f64>,
    /// What is lost by the metric; 0 for nothing.
    pub loss: f64,
}

impl Effect {
    /// Of a layer that stays as it is.
    pub fn nothing() -> Effect {
        let (format, bytes, bits) = (Format::Float, 0, 32);
        let none = (None, None, None, None, None);
        let (weight_db, layer_db, output_db, agreement, metric) = none;
        Effect { format, bytes, bits, weight_db, layer_db, outputs_db: vec![], output_db, max_rel: 0.0, agreement, metric, loss: 0.0 }
    }
}

/// How many parts the model is cut into, where it has as many places for that.
const PARTS: usize = 4;
/// Quantized weights that are kept for the next batch instead of being made again, in bytes.
const KEPT: usize = 512 << 20;

/// Signal and noise of a value.
#[derive(Clone, Copy, Debug, Default)]
struct Noise(f64, f64);

impl Noise {
    fn add(&mut self, want: &Tensor, got: &Tensor) {
        for (x, y) in want.to_f64().unwrap_or_default().iter().zip(got.to_f64().unwrap_or_default()) {
            self.0 += x * x;
            if *x != y && !(x.is_nan() && y.is_nan()) {
                self.1 += (x - y) * (x - y);
            }
        }
    }
    /// As `add`, without elements that stand for "masked", which would drown what matters.
    fn add_unmasked(&mut self, want: &Tensor, got: &Tensor) {
        const MASKED: f64 = 1e9;
        let (want, got) = (want.to_f64().unwrap_or_default(), got.to_f64().unwrap_or_default());
        for (x, y) in want.iter().zip(got).filter(|(x, _)| x.abs() < MASKED) {
            self.0 += x * x;
            self.1 += (x - y) * (x - y);
        }
    }
    fn db(self) -> Option<f64> {
        (self.1 != 0.0).then(|| decibels(self.0, self.1))
    }
}

/// Measures every weight of a model, heads too and with `embeddings` tables of Gather. What is left out is recorded as a miss of
/// `sensitivity`.
///
/// # Errors
/// As [`measure`]; a model without weights.
pub fn measure_all(
    graph: &Graph,
    ctx: &mut PassCtx<'_>,
    embeddings: bool,
    plan: &Plan<'_>,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Sensitivities> {
    let found = layers::find(graph, ctx, "sensitivity", Scope { head: true, embeddings });
    if found.is_empty() {
        let d = Diagnostic::error("no-layers", "the model has no constant weights of MatMul, Gemm or Conv in floats");
        let reasons = ctx.misses.iter().take(3).map(|m| format!("{} '{}': {}", m.op, m.node, m.reason));
        return Err(reasons
            .fold(d, Diagnostic::note)
            .help("a model that is quantized already is explained with --quantized, beside its float model")
            .into());
    }
    measure(graph, ctx, &found, plan, progress)
}

/// Measures every layer in every format of the plan. `progress` is called with what is being done, and steps done of how many.
///
/// # Errors
/// No data, data that does not fit the model, inputs of layers that are not finite.
pub fn measure(
    graph: &Graph,
    ctx: &mut PassCtx<'_>,
    layers: &[Layer],
    plan: &Plan<'_>,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Sensitivities> {
    let int8 = plan.formats.contains(&Format::Int8);
    let batch = batch_size(graph, plan.batch as i64)?;
    let executor = ctx.executor;
    let (mut rig, mut bench) = (graph.clone(), Bench::of(graph, layers));
    let settings = instrument(&mut rig, layers, int8);
    let own = instrument(&mut bench.graph, &bench.layers, int8);
    bench.graph.sweep();
    progress("making the model ready", 0, 0);
    let inputs: Vec<ValueId> = bench.inputs.clone();
    let mut watched = executor.load(graph, &inputs)?;
    let ranges = if int8 {
        progress("ranges", 0, 0);
        ranges(graph, ctx, layers, plan, batch, &mut *watched)?
    } else {
        vec![None; layers.len()]
    };
    let parts = cut(&rig, &settings, if layers.len() >= 2 * PARTS { PARTS } else { 1 });
    let mut loaded = Loaded::new(&rig, &parts, executor)?;
    let mut alone = executor.load(&bench.graph, &[])?;

    let mut store = Weights { graph, layers, plan, kept: BTreeMap::new(), bytes: 0 };
    let count = layers.len() * plan.formats.len();
    let (mut start, mut sums, mut noise) = (Sums::default(), vec![Sums::default(); count], vec![Noise::default(); count]);
    let mut seen = 0u64;
    let mut samples = Batches::open(ctx, graph, plan, batch)?;
    while let Some((given, classes)) = samples.next()? {
        seen += samples.last as u64;
        // The layers by themselves, all at once in each format.
        let mut read = Values::new();
        watched.run(given.clone(), &mut |v, d| drop(read.insert(v, d.clone())))?;
        let fed: Vec<Datum> = inputs.iter().filter_map(|v| read.get(v).cloned()).collect();
        if fed.len() == inputs.len() {
            let want = alone.run(own.after(&fed), &mut |_, _| {})?;
            for (f, format) in plan.formats.iter().enumerate() {
                let mut now = own.clone();
                for (i, range) in ranges.iter().enumerate() {
                    if let Some(w) = store.get(i, f)? {
                        now.set(i, w, range.filter(|_| *format == Format::Int8));
                    }
                }
                let got = alone.run(now.after(&fed), &mut |_, _| {})?;
                for ((layer, want), got) in bench.of_output.iter().zip(&want).zip(&got) {
                    if let (Some(want), Some(got)) = (want.as_tensor(), got.as_tensor()) {
                        noise[layer * plan.formats.len() + f].add(want, got);
                    }
                }
            }
        }
        // The model with one layer changed at a time.
        let (want, before) = loaded.run(0, &settings.after(&given), &Values::new())?;
        start.add(&want, &want, plan.metric, classes.as_ref())?;
        for (i, range) in ranges.iter().enumerate() {
            for (f, format) in plan.formats.iter().enumerate() {
                let at = i * plan.formats.len() + f;
                progress(&format!("{seen} samples"), at, count);
                let got = match store.get(i, f)? {
                    None => want.clone(),
                    Some(w) => {
                        let mut now = settings.clone();
                        now.set(i, w, range.filter(|_| *format == Format::Int8));
                        loaded.run(parts.of_layer.get(i).copied().unwrap_or(0), &now.after(&given), &before)?.0
                    }
                };
                sums[at].add(&want, &got, plan.metric, classes.as_ref())?;
            }
        }
    }
    let first = start.metric(plan.metric).filter(|_| plan.metric.key().is_some());
    let mut out = vec![];
    for (i, layer) in layers.iter().enumerate() {
        let Some((node, _)) = layer.readers.first() else { continue };
        let w = layer.matrix(graph);
        let dtype = graph.dtype(layer.weight);
        let effects = plan.formats.iter().enumerate().map(|(f, format)| {
            let sum = &sums[i * plan.formats.len() + f];
            let metric = sum.metric(plan.metric);
            let mut of_weight = Noise::default();
            if let Some(q) = format.round(&w, dtype, plan.block) {
                for c in 0..w.ncols() {
                    w.col(c)
                        .iter()
                        .zip(q.col(c).iter())
                        .for_each(|(a, b)| (of_weight.0, of_weight.1) = (of_weight.0 + a * a, of_weight.1 + (a - b) * (a - b)));
                }
            }
            // Where nothing differs there is no noise to speak of.
            let loss = if sum.equal() { 0.0 } else { plan.metric.loss(first, metric) };
            Effect {
                format: *format,
                bytes: format.bytes(layer.rows, layer.columns, dtype, plan.block),
                bits: format.code_bits(dtype),
                weight_db: of_weight.db(),
                layer_db: noise[i * plan.formats.len() + f].db(),
                outputs_db: sum.each_sqnr_db(),
                output_db: sum.sqnr_db(),
                max_rel: sum.max_rel(),
                agreement: sum.agreement(),
                metric,
                loss,
            }
        });
        out.push(Profile {
            weight: layer.name.clone(),
            node: graph.node(*node).label().to_string(),
            op: graph.node(*node).op.to_string(),
            module: modules::scopes(graph, *node).into_iter().next(),
            rows: layer.rows,
            columns: layer.columns,
            multiply_adds: multiply_adds(graph, *node).and_then(|d| d.eval(&|_| Some(1))),
            effects: effects.collect(),
        });
    }
    Ok(Sensitivities {
        metric: plan.metric,
        start: first,
        formats: plan.formats.clone(),
        samples: seen,
        executor: executor.name().into(),
        parts: parts.parts.len(),
        outputs: graph.outputs().iter().map(|v| graph.value(*v).name.to_string()).collect(),
        layers: out,
    })
}

/// The layers' nodes alone: what they are fed is given.
struct Bench {
    graph: Graph,
    /// As in the model, with the nodes and values of `graph`.
    layers: Vec<Layer>,
    /// The values of the model that are fed.
    inputs: Vec<ValueId>,
    /// The layer of each output.
    of_output: Vec<usize>,
}

impl Bench {
    fn of(graph: &Graph, layers: &[Layer]) -> Bench {
        let owner: BTreeMap<_, usize> = layers.iter().enumerate().flat_map(|(i, l)| l.readers.iter().map(move |(n, _)| (*n, i))).collect();
        let nodes: Vec<_> = graph.operators().into_iter().filter(|n| owner.contains_key(n)).collect();
        let outputs: Vec<ValueId> = nodes.iter().map(|n| n.out(0)).collect();
        // One layer may feed another: each is fed what the model computes.
        let e = extract(graph, &nodes, &outputs, true);
        let own = |l: &Layer| Layer {
            weight: e.values.get(&l.weight).copied().unwrap_or(l.weight),
            readers: l.readers.iter().filter_map(|(n, x)| Some((*e.nodes.get(n)?, *e.values.get(x)?))).collect(),
            ..l.clone()
        };
        let layers = layers.iter().map(own).collect();
        Bench { layers, of_output: nodes.iter().map(|n| owner[n]).collect(), graph: e.graph, inputs: e.inputs }
    }
}

/// Quantized weights, made when they are asked for.
struct Weights<'a> {
    graph: &'a Graph,
    layers: &'a [Layer],
    plan: &'a Plan<'a>,
    kept: BTreeMap<(usize, usize), Tensor>,
    bytes: usize,
}

impl Weights<'_> {
    fn get(&mut self, layer: usize, format: usize) -> Result<Option<Tensor>> {
        if let Some(t) = self.kept.get(&(layer, format)) {
            return Ok(Some(t.clone()));
        }
        let l = &self.layers[layer];
        let Some(old) = self.graph.as_constant(l.weight) else { return Ok(None) };
        let Some(m) = self.plan.formats[format].round(&l.matrix(self.graph), old.dtype(), self.plan.block) else { return Ok(None) };
        let t = Tensor::from_f64(old.dtype(), old.sizes(), &l.stored(m.as_ref()))?;
        if self.bytes + t.byte_size() <= KEPT {
            self.bytes += t.byte_size();
            self.kept.insert((layer, format), t.clone());
        }
        Ok(Some(t))
    }
}

/// The data of a plan: inputs and, where the metric needs them, classes.
struct Batches<'a> {
    samples: Box<dyn lapidary_rewrite::Samples + 'a>,
    inputs: usize,
    left: usize,
    /// Samples in the last batch.
    last: usize,
}

impl<'a> Batches<'a> {
    fn open(ctx: &PassCtx<'a>, graph: &Graph, plan: &Plan<'_>, batch: usize) -> Result<Batches<'a>> {
        let source = ctx.data;
        let samples = match plan.metric.key() {
            Some(key) => source.open_with(plan.data, graph, key, Some(batch))?,
            None => source.open(plan.data, graph, Some(batch))?,
        };
        Ok(Batches::new(samples, graph, plan.samples))
    }
    fn new(samples: Box<dyn lapidary_rewrite::Samples + 'a>, graph: &Graph, most: usize) -> Batches<'a> {
        Batches { samples, inputs: graph.inputs().len(), left: most, last: 0 }
    }
    fn next(&mut self) -> Result<Option<(Vec<Datum>, Option<Datum>)>> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(mut given) = self.samples.next()? else { return Ok(None) };
        let classes = if given.len() > self.inputs { given.split_off(self.inputs).pop() } else { None };
        self.last = given.iter().find_map(|d| d.as_tensor()?.sizes().first().copied()).unwrap_or(1).max(1);
        self.left = self.left.saturating_sub(self.last);
        Ok(Some((given, classes)))
    }
}

/// The smallest and largest element of what each layer multiplies its weight by; `None` for tables.
fn ranges(
    graph: &Graph,
    ctx: &PassCtx<'_>,
    layers: &[Layer],
    plan: &Plan<'_>,
    batch: usize,
    runner: &mut dyn lapidary_rewrite::Runner,
) -> Result<Vec<Option<Range>>> {
    let mut seen: BTreeMap<ValueId, (f64, f64, bool)> = BTreeMap::new();
    let mut samples = Batches::open(ctx, graph, plan, batch)?;
    while let Some((given, _)) = samples.next()? {
        runner.run(given, &mut |v, d| {
            let values = d.as_tensor().and_then(Tensor::to_f64).unwrap_or_default();
            let (low, high, finite) = seen.entry(v).or_insert((f64::INFINITY, f64::NEG_INFINITY, true));
            for x in values {
                (*low, *high, *finite) = (low.min(x), high.max(x), *finite && x.is_finite());
            }
        })?;
    }
    let range = |l: &Layer| {
        if l.form == Form::Table {
            return Ok(None);
        }
        let mut all: Option<Range> = None;
        for (node, x) in &l.readers {
            let Some((low, high, finite)) = seen.get(x).copied() else { continue };
            if !finite {
                let d = Diagnostic::error("not-finite", format!("elements of '{}' are not finite on the data", graph.value(*x).name));
                return Err(d.at(graph.node(*node)).help("leave int8 out of the formats, or mend the data").into());
            }
            let r = all.unwrap_or(Range::new(low, high));
            all = Some(Range::new(r.low.min(low), r.high.max(high)));
        }
        Ok(all)
    };
    layers.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapidary_ir::text::{ParseOptions, parse};
    use lapidary_ops::evaluate_with;
    use lapidary_rewrite::{Evaluator, InMemory};

    /// Nine products in a row with a shortcut, cut into several parts.
    fn model() -> Graph {
        let mut text = "graph @g(%x: f32[N, 8]) {\n".to_string();
        for i in 0..9 {
            text += &format!("  const %w{i} : f32[8, 8] = random({i})\n");
        }
        text += "  %a0 = MatMul(%x, %w0)\n";
        for i in 1..9 {
            text += &format!("  %t{i} = Tanh(%a{})\n  %m{i} = MatMul(%t{i}, %w{i})\n  %a{i} = Add(%m{i}, %a{})\n", i - 1, i - 1);
        }
        let newest = |domain: &str, name: &str| lapidary_ops::schema::newest(domain, name).map_or(0, |s| s.since);
        let mut g = parse(&(text + "  return %a8, %t4\n}\n"), &ParseOptions { newest: &newest, ..ParseOptions::default() }).unwrap();
        lapidary_ops::infer_types(&mut g).unwrap();
        g
    }

    #[test]
    fn every_figure_equals_that_of_changing_the_model() {
        let g = model();
        let batches: Vec<Vec<Datum>> =
            (20..23).map(|s| vec![Tensor::random(lapidary_ir::DType::F32, &[5, 8], s, Some((-1.0, 1.0))).unwrap().into()]).collect();
        let (data, evaluator) = (InMemory(batches.clone()), Evaluator::default());
        let mut ctx = PassCtx::new(&evaluator, &data, 20);
        let formats = vec![Format::Weights(3), Format::Float, Format::Int8];
        let plan = Plan { data: "", formats, block: 4, batch: 5, samples: 100, metric: Metric::Kl };
        let found = measure_all(&g, &mut ctx, false, &plan, &mut |_, _, _| {}).unwrap();
        assert!(found.parts > 2 && found.layers.len() == 9 && found.samples == 15, "{} parts", found.parts);
        for (i, layer) in found.layers.iter().enumerate() {
            assert_eq!((layer.weight.clone(), layer.effects[1].output_db, layer.effects[1].loss), (format!("w{i}"), None, 0.0));
            assert!(layer.effects[2].layer_db.unwrap() > 30.0 && layer.effects[2].output_db.unwrap() > 30.0);
            // The same by changing the weight in a copy of the model.
            let mut changed = g.clone();
            let mut all = layers::find(&changed, &mut PassCtx::new(&evaluator, &data, 20), "", Scope { head: true, embeddings: false });
            let rounded = Format::Weights(3).round(&all[i].matrix(&g), lapidary_ir::DType::F32, 4).unwrap();
            all[i].replace(&mut changed, "", rounded.as_ref()).unwrap();
            let mut sums = Sums::default();
            for b in &batches {
                let run = |g: &Graph| evaluate_with(g, b.clone(), &Default::default(), &mut |_, _| {}).unwrap();
                sums.add(&run(&g), &run(&changed), Metric::Kl, None).unwrap();
            }
            assert_eq!(layer.effects[0].metric, sums.metric(Metric::Kl), "layer {i}");
            assert_eq!(layer.effects[0].outputs_db, sums.each_sqnr_db(), "layer {i}");
        }
        // A layer behind an output does not change it.
        assert!(found.layers[8].effects[0].outputs_db[1].is_none() && found.layers[2].effects[0].outputs_db[1].is_some());
    }

    #[test]
    fn inputs_that_are_not_finite_are_named() {
        let g = model();
        let data = InMemory(vec![vec![Tensor::from_slice(&[1, 8], &[f32::NAN; 8]).into()]]);
        let evaluator = Evaluator::default();
        let plan = Plan { data: "", formats: vec![Format::Int8], block: 4, batch: 5, samples: 100, metric: Metric::Sqnr };
        let e = measure_all(&g, &mut PassCtx::new(&evaluator, &data, 20), false, &plan, &mut |_, _, _| {}).unwrap_err();
        assert!(e.0[0].message.contains("'x' are not finite"), "{e}");
    }
}
