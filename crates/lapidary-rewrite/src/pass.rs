use crate::options::{OptionSpec, Options};
use crate::rule::Rule;
use crate::selector::Selector;
use crate::{DataSource, Executor, Limits};
use lapidary_ir::{Diagnostic, Diagnostics, Graph, Name, NodeId, Result};
use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};

/// Something that changes a graph.
pub struct Pass {
    /// The name in pipelines: lower case words with hyphens.
    pub name: &'static str,
    /// The manual page, by convention the module comment of the pass's own file (`include_str!`).
    pub source: &'static str,
    pub effect: Effect,
    pub options: &'static [OptionSpec],
    /// The pattern rules that the pass applies, for listings and `--why`.
    pub rules: &'static [Rule],
    pub run: Run,
}

/// How a pass does its work.
pub enum Run {
    /// It applies its rules until none fits, and does nothing else.
    Rules,
    Code(fn(&mut Graph, &mut PassCtx<'_>) -> Result<Outcome>),
}

impl Pass {
    pub fn apply(&self, graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
        match self.run {
            Run::Rules => crate::apply_rules(graph, self.rules, ctx),
            Run::Code(run) => run(graph, ctx),
        }
    }
    /// The manual page as text: the leading `//!` lines of [`Pass::source`].
    pub fn manual(&self) -> String {
        let lines = self.source.lines().take_while(|l| l.starts_with("//!"));
        lines.map(|l| l.trim_start_matches("//!").strip_prefix(' ').unwrap_or("")).collect::<Vec<_>>().join("\n")
    }
}

/// What a pass may do to results. Tested by `--check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The same bits, but for NaN payloads.
    Exact,
    /// The same within rounding: 1e-12 (f64), 1e-5 (f32), 2e-3 (f16), 1.6e-2 (bf16) of the largest value of each output.
    Rounding,
    /// Another function on purpose: the error is measured and shown.
    Lossy,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// Whether the graph (or what the context stores for later passes) differs from before.
    pub changed: bool,
    /// Nodes touched, by rule (or by the pass's own name for what is not a rule).
    pub touched: BTreeMap<String, usize>,
}

impl Outcome {
    pub fn touch(&mut self, rule: &str, count: usize) {
        if count > 0 {
            self.changed = true;
            *self.touched.entry(rule.to_string()).or_default() += count;
        }
    }
    pub fn merge(&mut self, other: Outcome) {
        self.changed |= other.changed;
        for (rule, count) in other.touched {
            *self.touched.entry(rule).or_default() += count;
        }
    }
}

/// A rule that fitted a place and was not applied there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Miss {
    pub rule: String,
    pub node: String,
    pub op: String,
    pub reason: String,
}

/// What a pass works with, besides the graph.
pub struct PassCtx<'a> {
    /// The version of ONNX's default operator set that the result is written in: the input's for `opt`, the newest for `compile`.
    pub target_opset: u32,
    /// Why the target opset was raised, if it was.
    pub raised: Vec<Diagnostic>,
    pub options: Options,
    /// Restricts the pass to the nodes that match; `None`: the whole graph.
    pub selection: Vec<Selector>,
    pub executor: &'a dyn Executor,
    /// Opens calibration data by the text that an option gave.
    pub data: &'a dyn DataSource,
    pub limits: Limits,
    /// What a default policy left alone, with the reason; remarks that belong into the ledger.
    pub notes: Vec<Diagnostic>,
    pub misses: Vec<Miss>,
    /// The rule whose misses are wanted in detail (`--why`): near misses of its pattern are recorded too.
    pub why: Option<String>,
    /// Files to write beside the model, for passes that make more than a graph: whoever ran the passes writes them, once all went well.
    pub files: Vec<SideFile>,
    store: Store,
}

/// A file that belongs to a result besides the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideFile {
    /// As the pass's option gave it; folders on the way may be missing.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// Results that one pass leaves for later ones, by type.
pub type Store = HashMap<TypeId, Box<dyn Any>>;

impl<'a> PassCtx<'a> {
    pub fn new(executor: &'a dyn Executor, data: &'a dyn DataSource, target_opset: u32) -> PassCtx<'a> {
        PassCtx {
            target_opset,
            raised: vec![],
            options: Options::default(),
            selection: vec![],
            executor,
            data,
            limits: Limits::default(),
            notes: vec![],
            misses: vec![],
            why: None,
            files: vec![],
            store: Store::default(),
        }
    }
    /// Whether the pass may touch this node.
    pub fn selected(&self, graph: &Graph, node: NodeId) -> bool {
        self.selection.iter().all(|s| s.matches(graph.node(node)))
    }
    pub fn has_selection(&self) -> bool {
        !self.selection.is_empty()
    }
    pub fn note(&mut self, note: Diagnostic) {
        self.notes.push(Diagnostic { severity: lapidary_ir::Severity::Note, ..note });
    }
    pub fn miss(&mut self, rule: &str, graph: &Graph, node: NodeId, reason: impl Into<String>) {
        let n = graph.node(node);
        let miss = Miss { rule: rule.into(), node: n.label().into(), op: n.op.to_string(), reason: reason.into() };
        if !self.misses.contains(&miss) {
            self.misses.push(miss);
        }
    }
    /// Makes the written opset at least `opset`, and says why.
    pub fn raise_opset(&mut self, opset: u32, because: &str) {
        if self.target_opset < opset {
            let message = format!("the opset rises from {} to {opset}: {because}", self.target_opset);
            self.raised.push(Diagnostic { severity: lapidary_ir::Severity::Note, ..Diagnostic::error("opset-raised", message) });
            self.target_opset = opset;
        }
    }
    /// Leaves a result for later passes.
    pub fn put<T: Any>(&mut self, value: T) {
        self.store.insert(TypeId::of::<T>(), Box::new(value));
    }
    /// What an earlier pass left.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.store.get(&TypeId::of::<T>())?.downcast_ref()
    }
    pub fn take<T: Any>(&mut self) -> Option<T> {
        self.store.remove(&TypeId::of::<T>())?.downcast().ok().map(|b| *b)
    }
    /// An error about how the pass was called.
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostics {
        Diagnostic::error(code, message).into()
    }
}

/// Calls `f` on the graph and on every graph nested in it, innermost first. The flag tells whether the graph is nested.
pub fn for_each_graph(graph: &mut Graph, f: &mut dyn FnMut(&mut Graph, bool) -> Result<()>) -> Result<()> {
    visit(graph, f, 0)
}

fn visit(graph: &mut Graph, f: &mut dyn FnMut(&mut Graph, bool) -> Result<()>, depth: usize) -> Result<()> {
    let owners: Vec<NodeId> = graph.node_ids().filter(|n| !graph.node(*n).regions.is_empty()).collect();
    for id in owners {
        let mut regions = std::mem::take(&mut graph.node_mut(id).regions);
        let mut result = Ok(());
        for region in &mut regions {
            result = result.and_then(|()| visit(&mut region.graph, f, depth + 1));
        }
        graph.node_mut(id).regions = regions;
        result?;
    }
    f(graph, depth > 0)
}

/// Where a new node comes from: the rule and the labels of what it replaces.
pub fn origin(rule: &str, from: impl IntoIterator<Item = Name>) -> lapidary_ir::Origin {
    lapidary_ir::Origin::Rule { rule: rule.into(), from: from.into_iter().collect() }
}
