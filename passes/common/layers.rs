//! Constant weights as matrices: what the passes that change weights (quantize, sparsify, factorize, prune) have in common.
//!
//! Every such weight is seen as a matrix of *rows* (outputs) by *columns* (inputs), however the operator stores it, and written back in the
//! operator's own layout and element type.

use faer::{Mat, MatRef};
use lapidary_ir::{DType, Graph, NodeId, Result, Tensor, ValueId};
use lapidary_rewrite::{Kind, OptionSpec, PassCtx, origin};
use std::collections::{BTreeMap, BTreeSet};

/// How an operator stores its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// MatMul, or Gemm without `transB`: `[columns, rows]`.
    InputsFirst,
    /// Gemm with `transB`: `[rows, columns]`.
    OutputsFirst,
    /// Conv: `[rows, channels of a group, kernel…]`; columns run over the group's channels, then the kernel.
    Conv { groups: usize },
    /// A table that Gather takes rows from: `[rows, columns]`.
    Table,
}

/// A constant weight and the nodes that multiply by it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The weight's name.
    pub name: String,
    pub weight: ValueId,
    pub form: Form,
    /// Nodes that read the weight in this form, with the value that each multiplies it by (row numbers for a table).
    pub readers: Vec<(NodeId, ValueId)>,
    pub rows: usize,
    pub columns: usize,
}

/// Which weights a pass covers when it is not told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The last weighted node before each graph output.
    pub head: bool,
    /// Tables of Gather.
    pub embeddings: bool,
}

pub const HEAD: OptionSpec = OptionSpec::new("head", Kind::Bool, Some("false"), "whether the last weights before each output are included");
pub const EMBEDDINGS: OptionSpec = OptionSpec::new("embeddings", Kind::Bool, Some("false"), "whether tables of Gather are included");

impl Scope {
    /// What the options `head` and `embeddings` say. A selector `on(…)` names what it wants: the head too, when it matches.
    pub fn of(ctx: &PassCtx<'_>) -> Scope {
        Scope { head: ctx.options.flag("head") || ctx.has_selection(), embeddings: ctx.options.flag("embeddings") }
    }
}

/// The weights that a pass covers, in the graph's order. What is left alone is recorded as a miss of `pass`, with its reason.
pub fn find(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, scope: Scope) -> Vec<Layer> {
    let heads = if scope.head { BTreeSet::new() } else { heads(graph) };
    let mut order: Vec<(ValueId, Form)> = vec![];
    let mut found: BTreeMap<(ValueId, Form), Layer> = BTreeMap::new();
    for id in graph.operators() {
        let Some((slot, form)) = role(graph, id) else { continue };
        if !ctx.selected(graph, id) || (form == Form::Table && !scope.embeddings) {
            continue;
        }
        match candidate(graph, id, slot, form) {
            Ok(_) if heads.contains(&id) => ctx.miss(pass, graph, id, "it is the head: head=true includes it"),
            Ok((input, rows, columns)) => {
                let Some(weight) = graph.node(id).input(slot) else { continue };
                let layer = found.entry((weight, form)).or_insert_with(|| {
                    order.push((weight, form));
                    let name = graph.value(weight).name.to_string();
                    Layer { name, weight, form, readers: vec![], rows, columns }
                });
                layer.readers.push((id, input));
            }
            Err(reason) => ctx.miss(pass, graph, id, reason),
        }
    }
    // A weight that others read too would be stored twice once it is changed for some.
    order.retain(|key| {
        let layer = &found[key];
        let shared = graph.use_count(layer.weight) != layer.readers.len();
        if shared {
            ctx.miss(pass, graph, layer.readers[0].0, "other nodes share its weight, and would keep the old one");
        }
        !shared
    });
    order.iter().filter_map(|key| found.remove(key)).collect()
}

/// The operand slot of the weight and its form, for operators that have weights.
fn role(graph: &Graph, id: NodeId) -> Option<(usize, Form)> {
    let node = graph.node(id);
    if node.is("MatMul") {
        Some((1, Form::InputsFirst))
    } else if node.is("Gemm") {
        Some((1, if node.attrs.int("transB").unwrap_or(0) == 1 { Form::OutputsFirst } else { Form::InputsFirst }))
    } else if node.is("Conv") {
        Some((1, Form::Conv { groups: node.attrs.int("group").and_then(|g| usize::try_from(g).ok()).filter(|g| *g > 0).unwrap_or(1) }))
    } else if node.is("Gather") && node.attrs.int("axis").unwrap_or(0) == 0 && graph.as_constant(node.input(0)?).is_some_and(|t| t.rank() == 2) {
        Some((0, Form::Table))
    } else {
        None
    }
}

/// The value that the weight multiplies, and rows and columns; or why this node's weight is none to change.
fn candidate(graph: &Graph, id: NodeId, slot: usize, form: Form) -> Result<(ValueId, usize, usize), &'static str> {
    let node = graph.node(id);
    let (Some(w), Some(x)) = (node.input(slot), node.input(1 - slot)) else { return Err("an operand is omitted") };
    let Some(t) = graph.as_constant(w) else {
        let quantized = graph.producer(w).is("DequantizeLinear");
        return Err(if quantized { "its weight is quantized already" } else { "it multiplies two activations" });
    };
    if !matches!(t.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
        return Err("its weight is no floating-point constant");
    }
    if graph.as_constant(x).is_some() {
        return Err("both operands are constant");
    }
    if node.is("Gemm") && node.attrs.int("transA").unwrap_or(0) != 0 {
        return Err("its first operand is transposed");
    }
    let s = t.sizes();
    let (rows, columns) = match (form, s.len()) {
        (Form::InputsFirst, 2) => (s[1], s[0]),
        (Form::OutputsFirst | Form::Table, 2) => (s[0], s[1]),
        (Form::Conv { groups }, 3..) if s[0].is_multiple_of(groups) => (s[0], s[1..].iter().product()),
        _ => return Err("its weight is no matrix"),
    };
    if rows == 0 || columns == 0 {
        return Err("its weight is empty");
    }
    Ok((x, rows, columns))
}

/// The last weighted node before each graph output.
fn heads(graph: &Graph) -> BTreeSet<NodeId> {
    let order = graph.operators();
    let mut out = BTreeSet::new();
    for output in graph.outputs() {
        let mut reaches = BTreeSet::from([output.node]);
        for id in order.iter().rev() {
            if !reaches.contains(id) {
                continue;
            }
            if role(graph, *id).is_some_and(|(slot, form)| form != Form::Table && candidate(graph, *id, slot, form).is_ok()) {
                out.insert(*id);
                break;
            }
            reaches.extend(graph.node(*id).inputs().iter().flatten().map(|v| v.node));
        }
    }
    out
}

impl Layer {
    /// How many groups of rows read different columns.
    pub fn groups(&self) -> usize {
        if let Form::Conv { groups } = self.form { groups } else { 1 }
    }
    /// The operand slot that the weight stands in.
    pub fn slot(&self) -> usize {
        if self.form == Form::Table { 0 } else { 1 }
    }
    /// The weight as rows × columns.
    pub fn matrix(&self, graph: &Graph) -> Mat<f64> {
        let values = graph.as_constant(self.weight).and_then(|t| t.to_f64()).unwrap_or_default();
        let (rows, columns) = (self.rows, self.columns);
        match self.form {
            Form::InputsFirst => Mat::from_fn(rows, columns, |r, c| values[c * rows + r]),
            _ => Mat::from_fn(rows, columns, |r, c| values[r * columns + c]),
        }
    }
    /// A matrix in the operator's layout, as values of the weight's sizes.
    pub fn stored(&self, m: MatRef<'_, f64>) -> Vec<f64> {
        match self.form {
            Form::InputsFirst => (0..self.columns).flat_map(|c| (0..self.rows).map(move |r| m[(r, c)])).collect(),
            _ => (0..self.rows).flat_map(|r| (0..self.columns).map(move |c| m[(r, c)])).collect(),
        }
    }
    /// Replaces the weight by a matrix of the same size, in the same layout and element type, under the same name.
    pub fn replace(&mut self, graph: &mut Graph, pass: &str, m: MatRef<'_, f64>) -> Result<()> {
        let Some(old) = graph.as_constant(self.weight).cloned() else { return Ok(()) };
        let tensor = Tensor::from_f64(old.dtype(), old.sizes(), &self.stored(m))?;
        let fresh = graph.fresh_name(&self.name);
        let new = graph.add_const(fresh.clone(), tensor);
        graph.node_mut(new.node).origin = origin(pass, [self.name.as_str().into()]);
        for (node, _) in &self.readers {
            graph.set_input(*node, self.slot(), Some(new));
        }
        graph.value_mut(self.weight).name = fresh;
        graph.value_mut(new).name = self.name.as_str().into();
        graph.detach_if_dead(self.weight.node);
        self.weight = new;
        Ok(())
    }
}
