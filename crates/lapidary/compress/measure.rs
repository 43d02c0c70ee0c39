//! What stages are judged by: classes, labels, noise, bytes, and, where a gate asks, latency. Everything comes from the data given.

use super::Figures;
use crate::arrays::{Arrays, Files, Port};
use crate::{Backend, Model, PassOptions, native};
use lapidary_ir::{Diagnostic, Result, Tensor, Type};
use lapidary_ops::Datum;
use lapidary_rewrite::{DataSource, Evaluator, Executor, Samples, graph_bytes, node_count};
use serde::Serialize;
use std::time::Instant;

/// Which metric the data allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Share of the rows whose largest output stands where it does in the model at the start.
    Agreement,
    /// Share of the rows whose largest output stands at the class in `labels`.
    Accuracy,
    /// exp of the mean cross entropy of the rows with the classes in `targets`; lower is better.
    Perplexity,
}

impl Metric {
    /// The key of the data that holds the right classes.
    fn key(self) -> Option<&'static str> {
        match self {
            Metric::Agreement => None,
            Metric::Accuracy => Some("labels"),
            Metric::Perplexity => Some("targets"),
        }
    }
    /// Labels or targets make the metric, unless an input of the model has that name.
    pub fn of(model: &Model, data: &str) -> Result<Metric> {
        let files = Files::default().expand(data)?;
        let names = files.first().map(|f| Arrays::open(f)).transpose()?.map(|a| a.names()).unwrap_or_default();
        let inputs = model.inputs();
        let has = |m: Metric| m.key().is_some_and(|k| names.iter().any(|n| n == k) && !inputs.iter().any(|p| p.name == k));
        Ok([Metric::Accuracy, Metric::Perplexity].into_iter().find(|m| has(*m)).unwrap_or(Metric::Agreement))
    }
}

/// Samples that are run at once.
const BATCH: usize = 16;
/// Classes that do not count, as PyTorch's `ignore_index`.
const IGNORED: i64 = -100;
/// Decibels are cut off here: beyond is nothing that is not noise, or nothing that is.
const DB: f64 = 300.0;

/// Runs `model` and `start` side by side over all data.
pub fn figures(start: &Model, model: &Model, data: &str, metric: Metric, backend: Backend) -> Result<Figures> {
    let (evaluator, native) = (Evaluator::default(), native::NativeExecutor::default());
    let executor: &dyn Executor = if backend == Backend::Native { &native } else { &evaluator };
    let (start, candidate) = (start.executable()?, model.executable()?);
    let mut reference = executor.load(start.graph(), &[])?;
    let mut runner = executor.load(candidate.graph(), &[])?;
    let mut ports = start.inputs();
    let inputs = ports.len();
    ports.extend(metric.key().map(|name| Port { name: name.into(), ty: Type::Unknown }));
    let mut samples = Files::default().stream(data, ports, Some(BATCH))?;
    let mut sums = Sums::default();
    while let Some(mut batch) = samples.next()? {
        let classes = batch.split_off(inputs);
        let want = reference.run(batch.clone(), &mut |_, _| {})?;
        let got = runner.run(batch, &mut |_, _| {})?;
        sums.add(&want, &got, metric, classes.first())?;
    }
    let g = model.graph();
    Ok(Figures {
        metric: sums.metric(metric),
        lower_is_better: metric == Metric::Perplexity,
        agreement: (sums.rows > 0).then(|| sums.agreed as f64 / sums.rows as f64),
        sqnr_db: sums.sqnr_db(),
        bytes: graph_bytes(g),
        nodes: node_count(g),
        latency_ms: None,
        latency_before_ms: None,
    })
}

#[derive(Default)]
struct Sums {
    rows: u64,
    agreed: u64,
    judged: u64,
    right: u64,
    entropy: f64,
    /// Signal and noise of each float output.
    energy: Vec<(f64, f64)>,
}

impl Sums {
    fn add(&mut self, want: &[Datum], got: &[Datum], metric: Metric, classes: Option<&Datum>) -> Result<()> {
        let mut first = true;
        for (i, (want, got)) in want.iter().zip(got).enumerate() {
            let (Some(want), Some(got)) = (floats(want), floats(got)) else { continue };
            if self.energy.len() <= i {
                self.energy.resize(i + 1, (0.0, 0.0));
            }
            let (a, b) = (want.to_f64().unwrap_or_default(), got.to_f64().unwrap_or_default());
            if want.sizes() != got.sizes() {
                let message = format!("output {i} has sizes {:?} at the start and {:?} now: they cannot be compared", want.sizes(), got.sizes());
                return Err(Diagnostic::error("sizes-differ", message).into());
            }
            if let Some(sum) = self.energy.get_mut(i) {
                sum.0 += a.iter().map(|v| v * v).sum::<f64>();
                sum.1 += a.iter().zip(&b).map(|(x, y)| if x == y || x.is_nan() && y.is_nan() { 0.0 } else { (x - y) * (x - y) }).sum::<f64>();
            }
            let width = want.sizes().last().copied().unwrap_or(1);
            if first && width > 1 {
                first = false;
                self.classes(&a, &b, width, metric, classes)?;
            }
        }
        Ok(())
    }
    /// Rows of the first output that has classes: its last axis.
    fn classes(&mut self, want: &[f64], got: &[f64], width: usize, metric: Metric, classes: Option<&Datum>) -> Result<()> {
        let rows = want.len() / width;
        self.rows += rows as u64;
        self.agreed += want.chunks(width).zip(got.chunks(width)).filter(|(a, b)| largest(a) == largest(b)).count() as u64;
        let (Some(name), Some(classes)) = (metric.key(), classes) else { return Ok(()) };
        let Some(classes) = classes.as_tensor().and_then(Tensor::to_i64) else {
            return Err(Diagnostic::error("classes", format!("'{name}' in the data holds no integers")).help("store class numbers, from 0").into());
        };
        if classes.len() != rows {
            let message = format!("'{name}' has {} classes for {rows} rows of the first output with classes", classes.len());
            return Err(Diagnostic::error("classes", message).help("one class per row: the output's shape without its last axis").into());
        }
        for (row, class) in got.chunks(width).zip(classes).filter(|(_, c)| *c != IGNORED) {
            let Some(at) = usize::try_from(class).ok().filter(|c| *c < width) else {
                return Err(Diagnostic::error("classes", format!("'{name}' holds class {class}, but the output has {width}")).into());
            };
            self.judged += 1;
            self.right += u64::from(largest(row) == Some(at));
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let all: f64 = row.iter().map(|v| (v - top).exp()).sum();
            self.entropy += top + all.ln() - row.get(at).copied().unwrap_or(f64::NAN);
        }
        Ok(())
    }
    fn metric(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Agreement => (self.rows > 0).then(|| self.agreed as f64 / self.rows as f64),
            Metric::Accuracy => (self.judged > 0).then(|| self.right as f64 / self.judged as f64),
            Metric::Perplexity => (self.judged > 0).then(|| (self.entropy / self.judged as f64).exp()),
        }
    }
    /// Of the noisiest output; `None` where no output differs.
    fn sqnr_db(&self) -> Option<f64> {
        let noisy = self.energy.iter().filter(|(_, noise)| *noise != 0.0);
        let db = noisy.map(|(signal, noise)| {
            let db = 10.0 * (signal / noise).log10();
            if db.is_nan() { -DB } else { db.clamp(-DB, DB) }
        });
        db.min_by(f64::total_cmp)
    }
}

fn floats(d: &Datum) -> Option<&Tensor> {
    d.as_tensor().filter(|t| t.dtype().is_float())
}

/// Where the largest value stands, the first of equals; `None` for a row that is not all numbers.
fn largest(row: &[f64]) -> Option<usize> {
    if row.iter().any(|v| v.is_nan()) {
        return None;
    }
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if row.get(best).is_some_and(|b| v > b) {
            best = i;
        }
    }
    Some(best)
}

/// How long and how often latency is measured.
const SECONDS: f64 = 2.0;
const ROUNDS: usize = 15;

/// Median milliseconds of one run on one thread, natively, of both models: runs take turns, so that what else the machine does meets both.
/// The first sample of the data is the input.
pub fn latency(before: &Model, after: &Model, data: &str, jobs: usize) -> Result<(f64, f64)> {
    let why = |mut e: lapidary_ir::Diagnostics| {
        for d in &mut e.0 {
            d.notes.push("a gate asks for faster=true, which is measured in native code".into());
        }
        e
    };
    let (a, b) = (prepared(before, jobs).map_err(why)?, prepared(after, jobs).map_err(why)?);
    let inputs = {
        let files = Files::default();
        let mut samples = files.open(data, before.graph(), Some(1))?;
        samples.next()?.unwrap_or_default()
    };
    let inputs = native::tensors(&inputs)?;
    let (mut a, mut b) = (a.library.context(1, None)?, b.library.context(1, None)?);
    let mut times = [vec![], vec![]];
    let start = Instant::now();
    for round in 0.. {
        for (context, times) in [&mut a, &mut b].into_iter().zip(&mut times) {
            let one = Instant::now();
            context.run_in_place(&inputs)?;
            // The first two rounds warm up.
            if round >= 2 {
                times.push(one.elapsed().as_secs_f64() * 1e3);
            }
        }
        if round >= ROUNDS + 2 && start.elapsed().as_secs_f64() > SECONDS || round > 20_000 {
            break;
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let [x, y] = &mut times;
    Ok((median(x), median(y)))
}

/// Native code as `lapidary bench` makes it.
fn prepared(model: &Model, jobs: usize) -> Result<native::Loaded> {
    let mut model = model.clone();
    model.expand()?;
    model.run_pipeline(&crate::level(2)?, PassOptions { target_opset: Some(crate::NEWEST_OPSET), ..PassOptions::default() })?;
    model.load(jobs)
}
