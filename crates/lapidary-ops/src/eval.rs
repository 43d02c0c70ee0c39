use crate::find;
use lapidary_ir::{Diagnostic, Graph, Node, Result, Tensor, Type, ValueId};
use rustc_hash::FxHashMap;

/// What a value is at run time.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    Tensor(Tensor),
    /// The type of the elements, for empty sequences, and the elements.
    Sequence(Type, Vec<Datum>),
    Optional(Type, Option<Box<Datum>>),
}

impl From<Tensor> for Datum {
    fn from(t: Tensor) -> Datum {
        Datum::Tensor(t)
    }
}

impl Datum {
    pub fn as_tensor(&self) -> Option<&Tensor> {
        match self {
            Datum::Tensor(t) => Some(t),
            _ => None,
        }
    }
}

/// What one operator's `eval` sees.
pub struct EvalCtx<'a> {
    pub node: &'a Node,
    pub inputs: &'a [Option<&'a Datum>],
    options: &'a EvalOptions,
}

impl<'a> EvalCtx<'a> {
    pub fn new(node: &'a Node, inputs: &'a [Option<&'a Datum>], options: &'a EvalOptions) -> EvalCtx<'a> {
        EvalCtx { node, inputs, options }
    }
    pub fn has(&self, slot: usize) -> bool {
        self.inputs.get(slot).is_some_and(Option::is_some)
    }
    /// A tensor operand that must be there.
    pub fn tensor(&self, slot: usize) -> Result<&'a Tensor> {
        match self.inputs.get(slot).copied().flatten() {
            Some(Datum::Tensor(t)) => Ok(t),
            Some(_) => Err(self.error("type-error", format!("operand {slot} is not a tensor")).into()),
            None => Err(self.error("missing-operand", format!("operand {slot} is missing")).into()),
        }
    }
    /// A tensor operand that may be omitted.
    pub fn optional(&self, slot: usize) -> Result<Option<&'a Tensor>> {
        if self.has(slot) { self.tensor(slot).map(Some) } else { Ok(None) }
    }
    /// The elements of an integer operand.
    pub fn ints(&self, slot: usize) -> Result<Vec<i64>> {
        let t = self.tensor(slot)?;
        t.to_i64().ok_or_else(|| self.error("type-error", format!("operand {slot} is {}, not integer", t.dtype())).into())
    }
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message).at(self.node)
    }
    pub fn unsupported(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::unsupported("eval", message).at(self.node)
    }
    /// Runs the node's region `index` on formal arguments; captured values are taken from the node's own operands.
    pub fn run_region(&self, index: usize, formal: Vec<Datum>) -> Result<Vec<Datum>> {
        let region = &self.node.regions[index];
        let mut inputs = formal;
        for slot in &region.captures {
            match self.inputs.get(*slot as usize).copied().flatten() {
                Some(d) => inputs.push(d.clone()),
                None => return Err(self.error("missing-operand", format!("captured operand {slot} is missing")).into()),
            }
        }
        evaluate_with(&region.graph, inputs, self.options, &mut |_, _| {})
    }
    pub fn options(&self) -> &'a EvalOptions {
        self.options
    }
}

/// Limits of an evaluation.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// A single result larger than this many bytes is refused.
    pub max_value_bytes: usize,
}

impl Default for EvalOptions {
    fn default() -> EvalOptions {
        EvalOptions { max_value_bytes: 8 << 30 }
    }
}

/// Runs the graph on `inputs` (in the order of the graph's inputs) and gives its outputs.
pub fn evaluate(graph: &Graph, inputs: Vec<Datum>) -> Result<Vec<Datum>> {
    evaluate_with(graph, inputs, &EvalOptions::default(), &mut |_, _| {})
}

/// As [`evaluate`]; `tap` sees every value as it is made, constants excepted. Values are dropped after their last use.
pub fn evaluate_with(graph: &Graph, inputs: Vec<Datum>, options: &EvalOptions, tap: &mut dyn FnMut(ValueId, &Datum)) -> Result<Vec<Datum>> {
    if inputs.len() != graph.inputs().len() {
        let message = format!("the graph takes {} inputs, {} were given", graph.inputs().len(), inputs.len());
        return Err(Diagnostic::error("input-count", message).into());
    }
    let mut values: FxHashMap<ValueId, Datum> = graph.inputs().iter().copied().zip(inputs).collect();
    graph.inputs().iter().for_each(|i| tap(*i, &values[i]));
    let order = graph.topological()?;
    let mut left: FxHashMap<ValueId, usize> = FxHashMap::default();
    for id in &order {
        graph.node(*id).inputs().iter().flatten().for_each(|v| *left.entry(*v).or_default() += 1);
    }
    graph.outputs().iter().for_each(|v| *left.entry(*v).or_default() += 1);
    for id in order {
        let node = graph.node(id);
        if node.is_input() {
            continue;
        }
        if node.is_const() {
            if let Some(t) = graph.as_constant(id.out(0)) {
                values.insert(id.out(0), Datum::Tensor((**t).clone()));
            }
            continue;
        }
        if node.inputs().is_empty() && (0..node.outputs().len()).all(|o| !left.contains_key(&id.out(o))) {
            continue; // detached, waiting for a sweep
        }
        let results = {
            let operands: Vec<Option<&Datum>> = node.inputs().iter().map(|v| v.and_then(|v| values.get(&v))).collect();
            evaluate_node(node, &operands, options)?
        };
        for (o, d) in results.into_iter().enumerate().take(node.outputs().len()) {
            tap(id.out(o), &d);
            if left.contains_key(&id.out(o)) {
                values.insert(id.out(o), d);
            }
        }
        for v in node.inputs().iter().flatten() {
            if let Some(n) = left.get_mut(v) {
                *n -= 1;
                if *n == 0 {
                    values.remove(v);
                }
            }
        }
    }
    let mut out = vec![];
    for o in graph.outputs() {
        match values.get(o) {
            Some(d) => out.push(d.clone()),
            None => return Err(Diagnostic::error("no-value", "an output was not computed").at(graph.producer(*o)).into()),
        }
    }
    Ok(out)
}

/// Applies one operator to its operands.
pub fn evaluate_node(node: &Node, inputs: &[Option<&Datum>], options: &EvalOptions) -> Result<Vec<Datum>> {
    let Some(def) = find(&node.op) else {
        let message = format!("operator '{}' is not known", node.op);
        let near = lapidary_ir::nearest(&node.op.name, crate::OPS.iter().map(|d| d.name));
        let d = Diagnostic::unsupported("unknown-operator", message).at(node);
        return Err(match near {
            Some(n) => d.help(format!("the nearest known operator is '{n}'; `lapidary ops` lists all")),
            None => d.help("`lapidary ops` lists the operators that are known"),
        }
        .into());
    };
    match def.eval {
        Some(eval) => eval(&EvalCtx { node, inputs, options }),
        None => Err(Diagnostic::unsupported("no-evaluator", format!("the evaluator has no rule for '{}' yet", node.op)).at(node).into()),
    }
}
