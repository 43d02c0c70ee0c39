//! What calibration notes about values: gathered over a stream in memory that does not grow with it, written to files, merged.

mod histogram;

pub use histogram::Histogram;

use super::activations::batch_size;
use lapidary_ir::{DType, Diagnostic, Diagnostics, Graph, NodeId, Result, Tensor, ValueId};
use lapidary_rewrite::{DataSource, Executor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What appeared, by value name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observations {
    /// What ran the model: results are promised equal for equal executors only.
    pub executor: String,
    pub samples: u64,
    pub values: BTreeMap<String, Observed>,
}

/// What one value was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub histogram: Histogram,
    pub not_finite: u64,
    /// Exponentially averaged ends of the batches; what was merged has none, an average depends on the order.
    pub moving: Option<(f64, f64)>,
    /// The value follows from the inputs' sizes alone (masks, positions). How often it was computed says how the samples were cut into
    /// batches, not how they are distributed: each bin that holds anything counts once.
    pub from_sizes: bool,
}

/// The first line of a file of observations.
const HEADER: &str = "lapidary-statistics 1";

impl Observations {
    /// Runs the model over all samples of `data` and notes every float value that is no constant.
    ///
    /// # Errors
    /// Data that cannot be read or does not fit; no samples at all.
    pub fn gather(graph: &Graph, executor: &dyn Executor, source: &dyn DataSource, data: &str, batch: i64) -> Result<Observations> {
        let batch = batch_size(graph, batch)?;
        let mut out = Observations { executor: executor.name().into(), ..Observations::default() };
        let mut samples = source.open(data, graph, Some(batch))?;
        let mut runner = executor.load(graph, &float_values(graph))?;
        let mut seen: BTreeMap<ValueId, Observed> = BTreeMap::new();
        let (mut waiting, mut bytes) = (vec![], 0);
        while let Some(inputs) = samples.next()? {
            out.samples += inputs.iter().find_map(|d| d.as_tensor()?.sizes().first().copied()).unwrap_or(1) as u64;
            runner.run(inputs, &mut |v, d| {
                if let Some(t) = d.as_tensor() {
                    bytes += t.byte_size();
                    waiting.push((v, t.clone()));
                }
                // What the evaluator would forget is not kept for long.
                if bytes > WAITING_MAX {
                    note(&mut seen, &mut waiting);
                    bytes = 0;
                }
            })?;
            note(&mut seen, &mut waiting);
            bytes = 0;
        }
        if out.samples == 0 {
            return Err(Diagnostic::error("no-samples", format!("'{data}' holds no samples")).into());
        }
        let content = from_content(graph);
        for (v, mut o) in seen {
            o.from_sizes = !content.contains(&v.node);
            o.settle();
            out.values.insert(graph.value(v).name.to_string(), o);
        }
        Ok(out)
    }
    /// Adds observations of the same model on other samples. The order of merging changes nothing.
    ///
    /// # Errors
    /// Observations of another executor or of other values.
    pub fn merge(&mut self, other: &Observations) -> Result<()> {
        let differ =
            |what: String| Diagnostics::from(Diagnostic::error("statistics", what).help("merge statistics of one model, gathered in the same way"));
        if self.executor != other.executor {
            return Err(differ(format!("one was gathered on '{}', another on '{}'", self.executor, other.executor)));
        }
        let missing = |a: &Observations, b: &Observations| a.values.keys().find(|k| !b.values.contains_key(*k)).cloned();
        if let Some(name) = missing(self, other).or_else(|| missing(other, self)) {
            return Err(differ(format!("only one of them has the value '{name}'")));
        }
        self.samples += other.samples;
        for (name, o) in &other.values {
            let own = self.values.entry(name.clone()).or_default();
            own.histogram.merge(&o.histogram);
            own.not_finite += o.not_finite;
            own.from_sizes |= o.from_sizes;
            own.moving = None;
            own.settle();
        }
        Ok(())
    }
    /// As a file holds it: a line with the version, then one line of JSON for each value.
    pub fn to_text(&self) -> String {
        let line = |v: serde_json::Result<String>| v.unwrap_or_default() + "\n";
        let mut out = format!("{HEADER}\n") + &line(serde_json::to_string(&(&self.executor, self.samples)));
        self.values.iter().for_each(|v| out += &line(serde_json::to_string(&v)));
        out
    }
    /// Reads [`Observations::to_text`].
    /// What a file holds.
    ///
    /// # Errors
    /// Bytes that are no statistics.
    pub fn read(bytes: &[u8], path: &str) -> Result<Observations> {
        let text = std::str::from_utf8(bytes).map_err(|_| Diagnostic::error("statistics", "this is no text").file(path))?;
        Observations::parse(text)
    }
    pub fn parse(text: &str) -> Result<Observations> {
        let wrong = |n: usize, what: String| {
            Diagnostics::from(Diagnostic::error("statistics", format!("line {n}: {what}")).help("`lapidary calib collect` writes such files"))
        };
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(wrong(1, format!("this is no file of statistics: it does not begin with '{HEADER}'")));
        }
        let (executor, samples) = serde_json::from_str(lines.next().unwrap_or_default()).map_err(|e| wrong(2, e.to_string()))?;
        let mut out = Observations { executor, samples, values: BTreeMap::new() };
        for (i, line) in lines.enumerate() {
            let (name, observed): (String, Observed) = serde_json::from_str(line).map_err(|e| wrong(i + 3, e.to_string()))?;
            out.values.insert(name, observed);
        }
        Ok(out)
    }
}

/// Bytes of values that wait to be noted, so that there is work for all cores.
const WAITING_MAX: usize = 256 << 20;

/// Notes values, each on a core of its own.
fn note(seen: &mut BTreeMap<ValueId, Observed>, waiting: &mut Vec<(ValueId, Tensor)>) {
    let work: Vec<_> = waiting.drain(..).map(|(v, t)| (v, seen.remove(&v).unwrap_or_default(), t)).collect();
    let done = work.into_par_iter().map(|(v, mut o, t)| {
        o.add(&t);
        (v, o)
    });
    seen.extend(done.collect::<Vec<_>>());
}

impl Observed {
    fn settle(&mut self) {
        if self.from_sizes {
            self.histogram.flatten();
            self.not_finite = self.not_finite.min(1);
        }
    }
    fn add(&mut self, t: &Tensor) {
        match t.dtype() {
            // Nearly everything is.
            DType::F32 => self.add_floats(t.bytes()),
            _ => self.add_values(Tensor::to_f64(t).unwrap_or_default().into_iter()),
        }
    }
    /// In parts that stay in a core's cache, each looked at for its ends first.
    fn add_floats(&mut self, bytes: &[u8]) {
        const PART: usize = 4096;
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        let mut values = [0f32; PART];
        for part in bytes.chunks(PART * 4) {
            let values = &mut values[..part.len() / 4];
            values.iter_mut().zip(part.chunks_exact(4)).for_each(|(v, c)| *v = f32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            let (mut a, mut b, mut strange) = (f32::INFINITY, f32::NEG_INFINITY, 0);
            for v in values.iter() {
                a = if *v < a { *v } else { a };
                b = if *v > b { *v } else { b };
                strange += u64::from(!v.is_finite());
            }
            if strange == 0 {
                self.histogram.add_between(values, a, b);
            } else {
                self.not_finite += strange;
                let finite = || values.iter().copied().filter(|v| v.is_finite());
                (a, b) = finite().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
                self.histogram.add(finite().map(f64::from));
            }
            (low, high) = (low.min(a), high.max(b));
        }
        self.average(f64::from(low), f64::from(high));
    }
    fn average(&mut self, low: f64, high: f64) {
        if low <= high {
            self.moving = Some(self.moving.map_or((low, high), |(a, b)| (0.99 * a + 0.01 * low, 0.99 * b + 0.01 * high)));
        }
    }
    fn add_values(&mut self, values: impl Iterator<Item = f64>) {
        let (mut low, mut high, mut not_finite) = (f64::INFINITY, f64::NEG_INFINITY, 0);
        let noted = values.inspect(|v| {
            if v.is_finite() {
                low = low.min(*v);
                high = high.max(*v);
            } else {
                not_finite += 1;
            }
        });
        self.histogram.add(noted);
        self.not_finite += not_finite;
        self.average(low, high);
    }
}

/// Nodes whose results depend on what the inputs hold, not on their sizes alone.
fn from_content(graph: &Graph) -> BTreeSet<NodeId> {
    let mut out: BTreeSet<NodeId> = graph.inputs().iter().map(|v| v.node).collect();
    for id in graph.operators() {
        let node = graph.node(id);
        let reads = node.inputs().iter().flatten().any(|v| out.contains(&v.node));
        if (reads && !node.is("Shape") && !node.is("Size")) || super::is_random(graph, id) {
            out.insert(id);
        }
    }
    out
}

/// Every float value that is not constant.
fn float_values(graph: &Graph) -> Vec<ValueId> {
    let mut out = vec![];
    for id in graph.node_ids().filter(|n| !graph.node(*n).is_const() && !graph.node(*n).is("Constant")) {
        for (i, v) in graph.node(id).outputs().iter().enumerate() {
            if matches!(v.ty.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
                out.push(id.out(i));
            }
        }
    }
    out
}
