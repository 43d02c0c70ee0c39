//! Calls of model-local functions → the nodes of their bodies.
//!
//! Works on messages, since that is how functions are kept. Every name of a body becomes one of its own per call: `CALL/name`.

use crate::codes;
use crate::import::domain;
use crate::model::Model;
use crate::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::read::{ReadOptions, model_from_proto};
use crate::schemas::since_version;
use crate::write::{WriteOptions, model_to_proto};
use lapidary_ir::{Diagnostic, Result};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How far expanding may go before the file is taken for a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpandLimits {
    /// Functions that call functions.
    pub call_depth: usize,
    /// Nodes afterwards: this many times the nodes of the file (bodies included) …
    pub growth: usize,
    /// … and this many more.
    pub slack: usize,
}

impl Default for ExpandLimits {
    fn default() -> Self {
        ExpandLimits { call_depth: 100, growth: 64, slack: 10_000 }
    }
}

/// The model without functions: each call is replaced by the function's body, calls in bodies and subgraphs included.
///
/// # Errors
/// A function that calls itself; more depth or nodes than `limits` allow; a body that needs another version of an operator than the
/// model's opset gives.
pub fn expand_functions(model: &Model, limits: &ExpandLimits) -> Result<Model> {
    if model.functions.is_empty() {
        return Ok(model.clone());
    }
    let mut proto = model_to_proto(model, &WriteOptions::default())?;
    expand(&mut proto, limits)?;
    let mut out = model_from_proto(proto, &ReadOptions { keep_defaults: !model.defaults.is_empty(), ..ReadOptions::default() })?;
    out.external = model.external;
    out.notes.splice(0..0, model.notes.iter().cloned());
    Ok(out)
}

type Key = (String, String, String);

fn key_of_call(n: &NodeProto) -> Key {
    (domain(n.domain()).to_owned(), n.op_type().to_owned(), n.overload().to_owned())
}

/// Replaces every call in the graph of `model` and takes the functions out of it.
pub(crate) fn expand(model: &mut ModelProto, limits: &ExpandLimits) -> Result<()> {
    let functions: HashMap<Key, FunctionProto> = std::mem::take(&mut model.functions)
        .into_iter()
        .map(|f| ((domain(f.domain()).to_owned(), f.name().to_owned(), f.overload().to_owned()), f))
        .collect();
    let Some(mut graph) = model.graph.take() else { return Ok(()) };
    let mut taken = HashSet::new();
    collect_names(&graph, &mut taken);
    let source: usize = nodes_of(&graph.node) + functions.values().map(|f| nodes_of(&f.node)).sum::<usize>();
    let mut e = Expander {
        functions: &functions,
        opsets: model.opset_import.iter().map(|o| (domain(o.domain()).to_owned(), o.version())).collect(),
        added: BTreeMap::new(),
        taken,
        left: source.saturating_mul(limits.growth).saturating_add(limits.slack),
        limits,
    };
    e.graph(&mut graph, &mut vec![])?;
    let added = e.added;
    model.graph = Some(graph);
    model.opset_import.extend(added.into_iter().map(|(d, v)| OperatorSetIdProto { domain: Some(d), version: Some(v) }));
    // The functions' own domains go with the functions, unless something else is of that domain.
    let mut used = HashSet::new();
    model.graph.iter().for_each(|g| collect_domains(&g.node, &mut used));
    model.opset_import.retain(|o| domain(o.domain()).is_empty() || used.contains(domain(o.domain())) || !functions.keys().any(|k| k.0 == o.domain()));
    Ok(())
}

fn nodes_of(nodes: &[NodeProto]) -> usize {
    nodes.iter().map(|n| 1 + n.attribute.iter().flat_map(graphs).map(|g| nodes_of(&g.node)).sum::<usize>()).sum()
}

fn graphs(a: &AttributeProto) -> impl Iterator<Item = &GraphProto> {
    a.g.iter().chain(&a.graphs)
}

fn collect_domains(nodes: &[NodeProto], used: &mut HashSet<String>) {
    for n in nodes {
        used.insert(domain(n.domain()).to_owned());
        n.attribute.iter().flat_map(graphs).for_each(|g| collect_domains(&g.node, used));
    }
}

fn collect_names(g: &GraphProto, taken: &mut HashSet<String>) {
    taken.extend(g.input.iter().map(|v| v.name().to_owned()));
    taken.extend(g.initializer.iter().map(|t| t.name().to_owned()));
    taken.extend(g.sparse_initializer.iter().filter_map(|s| s.values.as_ref()).map(|t| t.name().to_owned()));
    for n in &g.node {
        taken.extend(n.output.iter().cloned());
        n.attribute.iter().flat_map(graphs).for_each(|g| collect_names(g, taken));
    }
}

struct Expander<'a> {
    functions: &'a HashMap<Key, FunctionProto>,
    opsets: BTreeMap<String, i64>,
    /// Operator sets that only functions import.
    added: BTreeMap<String, i64>,
    /// Every name of a value so far.
    taken: HashSet<String>,
    /// Nodes that may still be made.
    left: usize,
    limits: &'a ExpandLimits,
}

impl Expander<'_> {
    fn graph(&mut self, g: &mut GraphProto, calls: &mut Vec<Key>) -> Result<()> {
        g.node = self.nodes(std::mem::take(&mut g.node), calls)?;
        Ok(())
    }

    /// `calls` are the functions around, outermost first.
    fn nodes(&mut self, nodes: Vec<NodeProto>, calls: &mut Vec<Key>) -> Result<Vec<NodeProto>> {
        let mut out = vec![];
        for mut n in nodes {
            for a in &mut n.attribute {
                a.g.iter_mut().chain(&mut a.graphs).try_for_each(|g| self.graph(g, calls))?;
            }
            let key = key_of_call(&n);
            let Some(f) = self.functions.get(&key) else {
                out.push(n);
                continue;
            };
            let problem = |message: String| {
                let mut d = Diagnostic::error(codes::FUNCTION, message);
                d.place.op = Some(n.op_type().to_owned());
                d.place.node = Some(n.name().to_owned());
                d
            };
            if calls.contains(&key) {
                return Err(problem(format!("function '{}' of '{}' calls itself", key.1, key.0)).help("ONNX functions cannot recurse").into());
            }
            if calls.len() >= self.limits.call_depth {
                return Err(problem(format!("functions call each other more than {} deep", self.limits.call_depth)).into());
            }
            self.left = self.left.checked_sub(nodes_of(&f.node)).ok_or_else(|| {
                problem(format!("expanding function '{}' of '{}' makes more nodes than the limit allows", key.1, key.0))
                    .help("functions that call functions several times multiply; export the model without them")
            })?;
            self.check_opsets(f).map_err(&problem)?;
            let body = self.body(f, &n).map_err(&problem)?;
            calls.push(key);
            out.append(&mut self.nodes(body, calls)?);
            calls.pop();
        }
        Ok(out)
    }

    /// The body's operators must mean the same at the model's opsets.
    fn check_opsets(&mut self, f: &FunctionProto) -> Result<(), String> {
        for import in &f.opset_import {
            let name = domain(import.domain());
            let Some(&ours) = self.opsets.get(name) else {
                self.opsets.insert(name.to_owned(), import.version());
                self.added.insert(name.to_owned(), import.version());
                continue;
            };
            if ours == import.version() {
                continue;
            }
            let mut operators: Vec<&str> = vec![];
            operators_of(&f.node, name, &mut operators);
            for op in operators {
                let at = |opset: i64| since_version(name, op, u32::try_from(opset).unwrap_or(u32::MAX));
                if at(ours) != at(import.version()) {
                    let theirs = import.version();
                    return Err(format!(
                        "function '{}' uses '{op}' of opset {theirs}, and the model's opset {ours} has another form of it",
                        f.name()
                    ));
                }
            }
        }
        Ok(())
    }

    /// The nodes of the body for one call: operands and results are the call's, other names are fresh, references to attributes resolved.
    fn body(&mut self, f: &FunctionProto, call: &NodeProto) -> Result<Vec<NodeProto>, String> {
        if call.input.len() > f.input.len() || call.output.len() > f.output.len() {
            return Err(format!("the call has more operands or results than function '{}'", f.name()));
        }
        let label = [call.name(), call.output.first().map_or("", String::as_str), f.name()].into_iter().find(|l| !l.is_empty()).unwrap_or("");
        let mut names: HashMap<String, String> = HashMap::new();
        for (i, formal) in f.input.iter().enumerate() {
            names.insert(formal.clone(), call.input.get(i).cloned().unwrap_or_default());
        }
        let mut out = vec![];
        for (i, formal) in f.output.iter().enumerate() {
            let actual = call.output.get(i).filter(|o| !o.is_empty()).cloned();
            match (names.get(formal), actual) {
                // A result that is an operand passed through.
                (Some(source), Some(actual)) => out.push(NodeProto {
                    op_type: Some("Identity".into()),
                    input: vec![source.clone()],
                    output: vec![actual],
                    name: Some(format!("{label}/{formal}")),
                    ..NodeProto::default()
                }),
                (None, Some(actual)) => {
                    names.insert(formal.clone(), actual);
                }
                (_, None) => {}
            }
        }
        let attributes: HashMap<&str, &AttributeProto> = f.attribute_proto.iter().chain(&call.attribute).map(|a| (a.name(), a)).collect();
        for n in &f.node {
            let mut n = n.clone();
            self.rename(&mut n, label, &mut names, &attributes);
            out.push(n);
        }
        Ok(out)
    }

    fn rename(&mut self, n: &mut NodeProto, label: &str, names: &mut HashMap<String, String>, attributes: &HashMap<&str, &AttributeProto>) {
        for input in n.input.iter_mut().filter(|i| !i.is_empty()) {
            // An operand that nothing in the body produces stays: reading the result will name it.
            if let Some(name) = names.get(input.as_str()) {
                input.clone_from(name);
            }
        }
        for output in n.output.iter_mut().filter(|o| !o.is_empty()) {
            *output = self.name(output, label, names);
        }
        if !n.name().is_empty() {
            n.name = Some(format!("{label}/{}", n.name()));
        }
        n.attribute = std::mem::take(&mut n.attribute)
            .into_iter()
            .filter_map(|mut a| {
                if a.ref_attr_name().is_empty() {
                    return Some(a);
                }
                // A reference to an attribute that the call leaves out leaves the node's attribute out.
                let mut given = (*attributes.get(a.ref_attr_name())?).clone();
                given.name = a.name.take();
                Some(given)
            })
            .collect();
        for g in n.attribute.iter_mut().flat_map(|a| a.g.iter_mut().chain(&mut a.graphs)) {
            // A subgraph's names are seen inside it only.
            let mut inner = names.clone();
            for v in &mut g.input {
                v.name = Some(self.name(v.name(), label, &mut inner));
            }
            for t in g.initializer.iter_mut().chain(g.sparse_initializer.iter_mut().filter_map(|s| s.values.as_mut())) {
                t.name = Some(self.fresh(t.name(), label, &mut inner));
            }
            for n in &mut g.node {
                self.rename(n, label, &mut inner, attributes);
            }
            for v in g.output.iter_mut().chain(&mut g.value_info) {
                if let Some(name) = inner.get(v.name()) {
                    v.name = Some(name.clone());
                }
            }
        }
    }

    /// The name that stands for `local`: known already for results, otherwise fresh.
    fn name(&mut self, local: &str, label: &str, names: &mut HashMap<String, String>) -> String {
        match names.get(local) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => self.fresh(local, label, names),
        }
    }

    fn fresh(&mut self, local: &str, label: &str, names: &mut HashMap<String, String>) -> String {
        let wanted = format!("{label}/{local}");
        let name = match self.taken.contains(&wanted) {
            false => wanted,
            true => (1u64..).map(|i| format!("{wanted}_{i}")).find(|n| !self.taken.contains(n)).unwrap_or_default(),
        };
        self.taken.insert(name.clone());
        names.insert(local.to_owned(), name.clone());
        name
    }
}

fn operators_of<'a>(nodes: &'a [NodeProto], of: &str, out: &mut Vec<&'a str>) {
    for n in nodes {
        if domain(n.domain()) == of {
            out.push(n.op_type());
        }
        n.attribute.iter().flat_map(graphs).for_each(|g| operators_of(&g.node, of, out));
    }
}
