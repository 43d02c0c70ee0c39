//! Two models side by side: where their values part, and what differs between their graphs.

use crate::{Model, Result};
use lapidary_ir::{Comparison, Graph, NodeId, Tolerance, compare};
use lapidary_ops::Datum;
use serde::Serialize;
use std::collections::BTreeMap;

/// One value that both models compute under the same name.
#[derive(Clone, Debug, Serialize)]
pub struct ValueDifference {
    pub name: String,
    /// The operator that makes it in the second model.
    pub op: String,
    pub is_output: bool,
    pub equal: bool,
    /// Why the two cannot be compared, if so.
    pub problem: Option<String>,
    pub max_abs: f64,
    pub max_rel: f64,
    /// Absent where nothing differs, or where types do.
    pub sqnr_db: Option<f64>,
}

/// Evaluates both models on the same inputs and compares every value whose name both have, in the second model's order. The inputs must be
/// those of both.
pub fn values(a: &Model, b: &Model, inputs: &[Datum], tolerance: Tolerance) -> Result<Vec<ValueDifference>> {
    let mut first: BTreeMap<String, Datum> = BTreeMap::new();
    let wanted: std::collections::BTreeSet<String> = crate::text::value_names(b.graph()).iter().map(|n| n.to_string()).collect();
    a.evaluate_each(inputs.to_vec(), &mut |name, d| {
        if wanted.contains(name) {
            first.insert(name.to_string(), d.clone());
        }
    })?;
    let graph = b.graph();
    let by_name = graph.values_by_name();
    let mut out = vec![];
    b.evaluate_each(inputs.to_vec(), &mut |name, d| {
        let (Some(Datum::Tensor(want)), Datum::Tensor(got)) = (first.get(name), d) else { return };
        let id = by_name.get(name);
        if id.is_some_and(|v| graph.producer(*v).is_input()) {
            return;
        }
        out.push(difference(name, id.map_or(String::new(), |v| graph.producer(*v).op.to_string()), id.is_some_and(|v| graph.is_output(*v)), {
            compare(got, want, tolerance)
        }));
    })?;
    Ok(out)
}

fn difference(name: &str, op: String, is_output: bool, c: Comparison) -> ValueDifference {
    ValueDifference {
        name: name.into(),
        op,
        is_output,
        equal: c.passed,
        problem: c.problem,
        max_abs: c.max_abs,
        max_rel: c.max_rel,
        sqnr_db: c.sqnr_db.filter(|v| v.is_finite()),
    }
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
