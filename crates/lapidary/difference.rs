//! Two models side by side: where their values part, and what differs between their graphs.

use crate::arrays::Files;
use crate::native::NativeExecutor;
use crate::{Backend, Model, PassOptions, Result};
use lapidary_ir::{Graph, NodeId, Tolerance};
use lapidary_ops::Datum;
use lapidary_passes::sensitivity;
pub use lapidary_passes::sensitivity::{Deviation, Explained, Pair};
use lapidary_rewrite::{DataSource, Evaluator, Executor, Metric, Samples};
use serde::Serialize;
use std::collections::BTreeMap;

/// How to compare the values of two models.
pub struct Options {
    pub tolerance: Tolerance,
    /// What the outputs are judged by.
    pub metric: Metric,
    /// For how many values the effect on the outputs is measured: those that lose most by themselves.
    pub effects: usize,
    /// Samples run at a time, and used at most.
    pub batch: usize,
    pub samples: usize,
    pub backend: Backend,
}

impl Default for Options {
    fn default() -> Options {
        Options { tolerance: Tolerance::default(), metric: Metric::Sqnr, effects: 0, batch: 8, samples: usize::MAX, backend: Backend::Eval }
    }
}

/// Where the samples come from.
pub enum Source<'a> {
    /// As a `data=` option names them.
    Files(&'a str),
    /// One batch, in the order of the first model's inputs.
    Inputs(&'a [Datum]),
}

/// Runs both models on the same samples and compares every value that corresponds: of the same name, or of the name or place that a
/// quantizer or an optimizer gave it. Besides, the second model is run on the first one's values, which tells what is lost where from
/// what is handed on.
///
/// # Errors
/// Models of other inputs; data that do not fit; operators that nothing can run.
pub fn explain(a: &Model, b: &Model, source: &Source<'_>, options: &Options, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<Explained> {
    let ready = |m: &Model| -> Result<Model> {
        let mut m = m.executable()?.into_owned();
        m.run_pipeline(&crate::parse_pipeline("lift-constants")?, PassOptions::default())?;
        Ok(m)
    };
    let (a, b) = (ready(a)?, ready(b)?);
    let (evaluator, native, files) = (Evaluator::default(), NativeExecutor::default(), Files::default());
    let executor: &dyn Executor = if options.backend == Backend::Native { &native } else { &evaluator };
    let open = || -> Result<Box<dyn Samples + '_>> {
        match (source, options.metric.key()) {
            (Source::Inputs(inputs), _) => Ok(Box::new(std::iter::once(inputs.to_vec()))),
            (Source::Files(data), Some(key)) => files.open_with(data, a.graph(), key, Some(options.batch)),
            (Source::Files(data), None) => files.open(data, a.graph(), Some(options.batch)),
        }
    };
    let with = sensitivity::Comparison {
        executor,
        open: &open,
        samples: options.samples,
        tolerance: options.tolerance,
        metric: options.metric,
        effects: options.effects,
    };
    sensitivity::explain(a.graph(), b.graph(), &with, progress)
}

/// What two graphs do not have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GraphDifference {
    /// Lines of the text form that only the first has.
    pub removed: Vec<String>,
    /// Lines of the text form that only the second has.
    pub added: Vec<String>,
    /// Operators and how many of them each graph has, where the counts differ.
    pub operators: Vec<(String, usize, usize)>,
}

impl GraphDifference {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// Compares the texts of two graphs line by line; the order of lines does not count, the names of values do.
pub fn graphs(a: &Model, b: &Model) -> GraphDifference {
    let (x, y) = (a.to_text(), b.to_text());
    let count = |text: &str| {
        let mut out: BTreeMap<String, i64> = BTreeMap::new();
        text.lines().map(without_comment).for_each(|l| *out.entry(l).or_default() += 1);
        out
    };
    let (left, right) = (count(&x), count(&y));
    let only = |text: &str, own: &BTreeMap<String, i64>, other: &BTreeMap<String, i64>| {
        let mut surplus: BTreeMap<&String, i64> = own.iter().map(|(l, n)| (l, n - other.get(l).copied().unwrap_or(0))).collect();
        let mut lines = vec![];
        for line in text.lines().map(without_comment) {
            if let Some(n) = surplus.get_mut(&line)
                && *n > 0
            {
                *n -= 1;
                lines.push(line.trim().to_string());
            }
        }
        lines
    };
    let (ops_a, ops_b) = (operators(a.graph()), operators(b.graph()));
    let names: std::collections::BTreeSet<&String> = ops_a.keys().chain(ops_b.keys()).collect();
    let operators = names.into_iter().map(|n| (n.clone(), ops_a.get(n).copied().unwrap_or(0), ops_b.get(n).copied().unwrap_or(0)));
    GraphDifference { removed: only(&x, &left, &right), added: only(&y, &right, &left), operators: operators.filter(|(_, p, q)| p != q).collect() }
}

fn without_comment(line: &str) -> String {
    line.rsplit_once("   // ").map_or(line, |(l, _)| l).trim_end().to_string()
}

fn operators(graph: &Graph) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    fn walk(graph: &Graph, out: &mut BTreeMap<String, usize>) {
        let nodes: Vec<NodeId> = graph.operators();
        for id in nodes {
            *out.entry(graph.node(id).op.to_string()).or_default() += 1;
            graph.node(id).regions.iter().for_each(|r| walk(&r.graph, out));
        }
    }
    walk(graph, &mut out);
    out
}
