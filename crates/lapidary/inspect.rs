//! Figures of a model, as data.

use crate::Model;
use lapidary_ir::{Graph, NodeId};
use lapidary_rewrite::{graph_bytes, graph_multiply_adds, multiply_adds, node_count};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What `lapidary inspect` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub name: String,
    pub opsets: BTreeMap<String, u32>,
    pub ir_version: u32,
    pub producer: String,
    pub inputs: Vec<PortSummary>,
    pub outputs: Vec<PortSummary>,
    /// Operators of the graph and of the bodies within.
    pub nodes: usize,
    pub operators: Vec<OperatorSummary>,
    /// Elements of floating-point constants with more than one element, and of all constants.
    pub parameters: u64,
    pub constant_bytes: u64,
    /// With symbols counted as 1, or as given.
    pub multiply_adds: i64,
    /// The same in terms of the model's sizes.
    pub multiply_adds_symbolic: String,
    pub functions: usize,
    pub metadata: Vec<(String, String)>,
    pub external_data: bool,
    /// Whether the whole model compiles to native code as it is.
    pub native: bool,
    /// Why not, per operator.
    pub native_problems: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PortSummary {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct OperatorSummary {
    pub op: String,
    pub count: usize,
    pub multiply_adds: i64,
    /// `yes`, or why not.
    pub native: String,
}

/// Collects the figures. `sizes` gives symbols numbers for multiply-adds.
pub fn summary(model: &Model, sizes: &BTreeMap<String, i64>) -> Summary {
    let (graph, onnx) = (model.graph(), model.onnx());
    let eval = |d: &lapidary_ir::Dim| d.eval(&|n| Some(sizes.get(n).copied().unwrap_or(1))).unwrap_or(0);
    let problems = native_problems(model);
    let mut operators: BTreeMap<String, OperatorSummary> = BTreeMap::new();
    count(graph, &mut |g, id| {
        let node = g.node(id);
        let op = node.op.to_string();
        let entry = operators.entry(op.clone()).or_insert_with(|| {
            let native = match (lapidary_ops::find(&node.op), problems.get(&op)) {
                (None, _) if model.onnx().functions.iter().any(|f| f.name() == &*node.op.name) => "a function of the model".into(),
                (None, _) => "unknown operator".into(),
                (_, Some(why)) => why.clone(),
                _ => "yes".into(),
            };
            OperatorSummary { op, count: 0, multiply_adds: 0, native }
        });
        entry.count += 1;
        if node.regions.is_empty() {
            entry.multiply_adds = entry.multiply_adds.saturating_add(multiply_adds(g, id).map_or(0, |d| eval(&d)));
        }
    });
    let mut operators: Vec<OperatorSummary> = operators.into_values().collect();
    operators.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.op.cmp(&b.op)));
    let macs = graph_multiply_adds(graph);
    let port = |p: crate::arrays::Port| PortSummary { name: p.name, ty: p.ty.to_string() };
    let about = &onnx.about;
    let producer = [about.producer_name.as_deref(), about.producer_version.as_deref()];
    Summary {
        name: graph.name.to_string(),
        opsets: onnx.opsets.iter().map(|(d, v)| (if d.is_empty() { "ai.onnx".into() } else { d.to_string() }, *v)).collect(),
        ir_version: onnx.ir_version,
        producer: producer.into_iter().flatten().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" "),
        inputs: model.inputs().into_iter().map(port).collect(),
        outputs: model.outputs().into_iter().map(port).collect(),
        nodes: node_count(graph),
        operators,
        parameters: parameters(graph),
        constant_bytes: graph_bytes(graph),
        multiply_adds: eval(&macs),
        multiply_adds_symbolic: macs.to_string(),
        functions: onnx.functions.len(),
        metadata: onnx.metadata.clone(),
        external_data: onnx.external,
        native: problems.is_empty(),
        native_problems: problems.into_iter().map(|(op, why)| if op.is_empty() { why } else { format!("{op}: {why}") }).collect(),
        notes: onnx.notes.iter().map(|d| d.to_string()).collect(),
    }
}

fn count(graph: &Graph, f: &mut dyn FnMut(&Graph, NodeId)) {
    for id in graph.operators() {
        let node = graph.node(id);
        if !node.is("Constant") {
            f(graph, id);
        }
        node.regions.iter().for_each(|r| count(&r.graph, f));
    }
}

/// Trained numbers: elements of floating-point constants; scalars and integer constants are shapes, axes and the like. A tensor that
/// several nodes share counts once.
fn parameters(graph: &Graph) -> u64 {
    fn collect(graph: &Graph, seen: &mut BTreeSet<(usize, usize)>) -> u64 {
        let mut sum = 0;
        for id in graph.node_ids() {
            let node = graph.node(id);
            if let Some(t) = node.attrs.tensor("value")
                && (t.dtype().is_float() || (t.dtype().is_int() && t.dtype().bits() <= 8))
                && t.len() > 1
                && seen.insert((t.bytes().as_ptr() as usize, t.byte_size()))
            {
                sum += t.len() as u64;
            }
            sum += node.regions.iter().map(|r| collect(&r.graph, seen)).sum::<u64>();
        }
        sum
    }
    collect(graph, &mut BTreeSet::new())
}

/// What keeps the model, as it is, from being compiled: the first reason per operator; general reasons under an empty name.
fn native_problems(model: &Model) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut expanded = model.clone();
    // Functions that cannot be expanded are unknown operators below.
    let _ = expanded.expand();
    let mut graph = expanded.graph().clone();
    let lowered = crate::model::facts(&mut graph).and_then(|facts| lapidary_lower::lower_graph(&graph, &facts));
    if let Err(e) = lowered {
        for d in e.0 {
            out.entry(d.place.op.unwrap_or_default()).or_insert(d.message);
        }
    }
    out
}
