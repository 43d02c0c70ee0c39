//! What a changed model is judged by against the model it came from: noise of the outputs, classes, labels. Stages of a compression,
//! sensitivities of layers and choices of formats all use these figures.

use crate::DataSource;
use lapidary_ir::{Diagnostic, Graph, Result, Tensor, nearest};
use lapidary_ops::Datum;
use serde::Serialize;

/// One figure for a model. Rows are those of the first float output with more than one element along its last axis, its classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of the rows whose largest output stands where it does in the model at the start.
    Agreement,
    /// Share of the rows whose largest output stands at the class in `labels`.
    Accuracy,
    /// exp of the mean cross entropy of the rows with the classes in `targets`; lower is better.
    Perplexity,
    /// Mean Kullback–Leibler divergence of the rows' softmax from that of the model at the start, in nats; lower is better.
    Kl,
    /// Signal to noise of the noisiest output, in dB.
    Sqnr,
    /// Largest error of an output as a part of its largest value; lower is better.
    MaxRel,
}

impl Metric {
    pub const ALL: [Metric; 6] = [Metric::Agreement, Metric::Accuracy, Metric::Perplexity, Metric::Kl, Metric::Sqnr, Metric::MaxRel];

    pub fn name(self) -> &'static str {
        match self {
            Metric::Agreement => "agreement",
            Metric::Accuracy => "accuracy",
            Metric::Perplexity => "perplexity",
            Metric::Kl => "kl",
            Metric::Sqnr => "sqnr",
            Metric::MaxRel => "max-rel",
        }
    }
    /// The metric of a name.
    ///
    /// # Errors
    /// A name that is none; the nearest one is proposed.
    pub fn parse(name: &str) -> Result<Metric> {
        let names = Metric::ALL.map(Metric::name);
        Metric::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| {
            let near = nearest(name, names).map(|n| format!("did you mean '{n}'? ")).unwrap_or_default();
            Diagnostic::error("metric", format!("there is no metric '{name}'")).help(format!("{near}there are {}", names.join(", "))).into()
        })
    }
    /// The key of the data that holds the right classes.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Metric::Accuracy => Some("labels"),
            Metric::Perplexity => Some("targets"),
            _ => None,
        }
    }
    pub fn lower_is_better(self) -> bool {
        matches!(self, Metric::Perplexity | Metric::Kl | Metric::MaxRel)
    }
    /// A figure as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Metric::Agreement | Metric::Accuracy => format!("{:.2} %", value * 100.0),
            Metric::Perplexity => format!("{value:.4}"),
            Metric::Kl | Metric::MaxRel => format!("{value:.2e}"),
            Metric::Sqnr => format!("{value:.1}"),
        }
    }
    /// The task metric that the data allow: labels or targets make it, unless an input of the model has that name; else agreement.
    pub fn of(source: &dyn DataSource, graph: &Graph, data: &str) -> Result<Metric> {
        for m in [Metric::Accuracy, Metric::Perplexity] {
            if m.key().is_some_and(|k| !graph.inputs().iter().any(|v| *graph.value(*v).name == *k))
                && source.holds(data, m.key().unwrap_or_default())?
            {
                return Ok(m);
            }
        }
        Ok(Metric::Agreement)
    }
    /// What is lost from `start` (the float model's own figure) to `now`: 0 for nothing, never negative, and of such a kind that the losses
    /// of two small changes add up to about that of both.
    pub fn loss(self, start: Option<f64>, now: Option<f64>) -> f64 {
        let now = now.unwrap_or(f64::NAN);
        let start = start.unwrap_or(now);
        let loss = match self {
            Metric::Agreement => 1.0 - now,
            Metric::Accuracy => start - now,
            Metric::Perplexity => now.ln() - start.ln(),
            Metric::Kl | Metric::MaxRel => now,
            Metric::Sqnr => 10f64.powf(-now / 10.0),
        };
        // What is no number is as bad as can be.
        if loss.is_nan() { f64::INFINITY } else { loss.max(0.0) }
    }
}

/// Classes that do not count, as PyTorch's `ignore_index`.
const IGNORED: i64 = -100;
/// Decibels are cut off here: beyond is nothing that is not noise, or nothing that is.
const DB: f64 = 300.0;

/// The outputs of two models on the same samples, summed up.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    rows: u64,
    agreed: u64,
    judged: u64,
    right: u64,
    entropy: f64,
    divergence: f64,
    outputs: Vec<Output>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Output {
    floats: bool,
    signal: f64,
    noise: f64,
    largest: f64,
    error: f64,
}

impl Sums {
    /// Adds one batch: what the model at the start gives, what the other gives, and the right classes, if `metric` needs them.
    ///
    /// # Errors
    /// Outputs of other sizes; classes that are none.
    pub fn add(&mut self, want: &[Datum], got: &[Datum], metric: Metric, classes: Option<&Datum>) -> Result<()> {
        let mut first = true;
        self.outputs.resize(self.outputs.len().max(want.len()), Output::default());
        for (i, (want, got)) in want.iter().zip(got).enumerate() {
            let (Some(want), Some(got)) = (floats(want), floats(got)) else { continue };
            if want.sizes() != got.sizes() {
                let message = format!("output {i} has sizes {:?} at the start and {:?} now: they cannot be compared", want.sizes(), got.sizes());
                return Err(Diagnostic::error("sizes-differ", message).into());
            }
            let (a, b) = (want.to_f64().unwrap_or_default(), got.to_f64().unwrap_or_default());
            if let Some(sum) = self.outputs.get_mut(i) {
                sum.add(&a, &b);
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
        for (a, b) in want.chunks(width).zip(got.chunks(width)) {
            self.agreed += u64::from(largest(a) == largest(b));
            if metric == Metric::Kl {
                self.divergence += divergence(a, b);
            }
        }
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
            self.entropy += log_sum(row) - row.get(at).copied().unwrap_or(f64::NAN);
        }
        Ok(())
    }
    /// The figure; `None` where the model or the data have none of the kind, and for noise where nothing differs.
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Agreement => self.agreement(),
            Metric::Accuracy => (self.judged > 0).then(|| self.right as f64 / self.judged as f64),
            Metric::Perplexity => (self.judged > 0).then(|| (self.entropy / self.judged as f64).exp()),
            Metric::Kl => (self.rows > 0).then(|| self.divergence / self.rows as f64),
            Metric::Sqnr => self.sqnr_db(),
            Metric::MaxRel => Some(self.max_rel()),
        }
    }
    /// Share of the rows whose largest output stands where it stood.
    pub fn agreement(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.agreed as f64 / self.rows as f64)
    }
    /// Of the noisiest output; `None` where no output differs.
    pub fn sqnr_db(&self) -> Option<f64> {
        self.outputs.iter().filter_map(Output::sqnr_db).min_by(f64::total_cmp)
    }
    /// Of each output: `None` where nothing differs, and for what is no float.
    pub fn each_sqnr_db(&self) -> Vec<Option<f64>> {
        self.outputs.iter().map(Output::sqnr_db).collect()
    }
    /// The largest error of any output as a part of its largest value.
    pub fn max_rel(&self) -> f64 {
        let part = |o: &Output| if o.error == 0.0 { 0.0 } else { o.error / o.largest };
        self.outputs.iter().filter(|o| o.floats).map(part).fold(0.0, |a, b| if b.is_nan() { f64::INFINITY } else { a.max(b) })
    }
    /// Whether every output was the same, element by element.
    pub fn equal(&self) -> bool {
        self.outputs.iter().all(|o| o.noise == 0.0)
    }
}

impl Output {
    fn add(&mut self, want: &[f64], got: &[f64]) {
        self.floats = true;
        for (x, y) in want.iter().zip(got) {
            self.signal += x * x;
            if x != y && !(x.is_nan() && y.is_nan()) {
                self.noise += (x - y) * (x - y);
                let error = (x - y).abs();
                self.error = if error.is_nan() { f64::INFINITY } else { self.error.max(error) };
            }
            if x.is_finite() {
                self.largest = self.largest.max(x.abs());
            }
        }
    }
    fn sqnr_db(&self) -> Option<f64> {
        (self.noise != 0.0).then(|| decibels(self.signal, self.noise))
    }
}

/// `10·log10(signal / noise)`, within limits; what is no number is the least.
pub fn decibels(signal: f64, noise: f64) -> f64 {
    let db = 10.0 * (signal / noise).log10();
    if db.is_nan() { -DB } else { db.clamp(-DB, DB) }
}

fn floats(d: &Datum) -> Option<&Tensor> {
    d.as_tensor().filter(|t| t.dtype().is_float())
}

/// ln Σ exp.
fn log_sum(row: &[f64]) -> f64 {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + row.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
}

/// The Kullback–Leibler divergence Σ p·(ln p − ln q) of the softmax of two rows of logits, in nats: never negative but by rounding, which is
/// cut off; infinite for what is no number.
pub fn divergence(want: &[f64], got: &[f64]) -> f64 {
    let (a, b) = (log_sum(want), log_sum(got));
    let terms = want.iter().zip(got).map(|(x, y)| {
        let p = (x - a).exp();
        if p == 0.0 { 0.0 } else { p * ((x - a) - (y - b)) }
    });
    let sum: f64 = terms.sum();
    if sum.is_nan() { f64::INFINITY } else { sum.max(0.0) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(want: &[f32], got: &[f32], width: usize, metric: Metric, classes: Option<&[i64]>) -> Sums {
        let t = |v: &[f32]| Datum::from(Tensor::from_slice(&[v.len() / width, width], v));
        let classes = classes.map(|c| Datum::from(Tensor::from_slice(&[c.len()], c)));
        let mut s = Sums::default();
        s.add(&[t(want)], &[t(got)], metric, classes.as_ref()).unwrap();
        s
    }

    #[test]
    fn figures_of_small_models() {
        let s = sums(&[1.0, 3.0, 2.0, 0.0], &[1.0, 3.0, 0.0, 2.0], 2, Metric::Kl, None);
        assert_eq!((s.agreement(), s.max_rel()), (Some(0.5), 2.0 / 3.0));
        assert!((s.sqnr_db().unwrap() - 10.0 * (14f64 / 8.0).log10()).abs() < 1e-12);
        // softmax(2, 0) against softmax(0, 2): p − q = tanh(1), times the difference of logits, 2; mean over both rows.
        assert!((s.metric(Metric::Kl).unwrap() - 1f64.tanh()).abs() < 1e-12);
        let s = sums(&[0.0; 4], &[0.0; 4], 2, Metric::Perplexity, Some(&[1, -100]));
        assert!((s.metric(Metric::Perplexity).unwrap() - 2.0).abs() < 1e-12 && s.equal() && s.sqnr_db().is_none());
        let s = sums(&[0.0, 1.0], &[f32::NAN, 1.0], 2, Metric::Kl, None);
        assert_eq!((s.agreement(), s.metric(Metric::Kl), s.max_rel()), (Some(0.0), Some(f64::INFINITY), f64::INFINITY));
    }

    #[test]
    fn losses_are_never_negative_and_names_read_back() {
        for m in Metric::ALL {
            assert_eq!(Metric::parse(m.name()).unwrap(), m);
            assert!(m.loss(Some(0.5), Some(0.5)) >= 0.0 && m.loss(Some(0.9), None) == f64::INFINITY, "{m:?}");
        }
        assert!(Metric::Perplexity.loss(Some(4.0), Some(3.9)) == 0.0);
        assert!(format!("{:?}", Metric::parse("perplexty").unwrap_err()).contains("did you mean 'perplexity'"));
    }
}
