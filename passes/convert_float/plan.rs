//! Which nodes compute in 16 bits.

use super::NAME;
use super::{Form, products, rounding};
use lapidary_ir::{DType, Graph, Node, NodeId, Type, ValueId};
use lapidary_ops::schema::{self, Param};
use lapidary_rewrite::PassCtx;
use std::collections::{BTreeMap, BTreeSet};

/// Operators that stay in f32, with the reason. Sorted.
const ISLANDS: &[(&str, &str)] = &[
    ("Acosh", "its result has more digits than 16 bits"),
    ("BatchNormalization", "a variance needs the digits of f32"),
    ("Cos", "large angles need the digits of f32"),
    ("Cosh", "an exponential leaves the range of 16 bits"),
    ("CumProd", "a product of many needs the range of f32"),
    ("CumSum", "a sum of many needs the digits of f32"),
    ("DFT", "a sum of many needs the digits of f32"),
    ("DequantizeLinear", "it belongs to a quantized computation"),
    ("Det", "a product of many needs the range of f32"),
    ("DynamicQuantizeLinear", "it belongs to a quantized computation"),
    ("Exp", "an exponential leaves the range of 16 bits"),
    ("GlobalAveragePool", "a mean of many needs the digits of f32"),
    ("GlobalLpPool", "a sum of many needs the digits of f32"),
    ("GridSample", "places need the digits of f32"),
    ("GroupNormalization", "a variance needs the digits of f32"),
    ("InstanceNormalization", "a variance needs the digits of f32"),
    ("LRN", "a sum of squares needs the range of f32"),
    ("LayerNormalization", "a variance needs the digits of f32"),
    ("Log", "a logarithm needs the digits of f32"),
    ("LogSoftmax", "a sum of exponentials needs the digits of f32"),
    ("LpNormalization", "a sum of powers needs the range of f32"),
    ("LpPool", "a sum of powers needs the range of f32"),
    ("Mean", "a mean needs the range of f32"),
    ("MeanVarianceNormalization", "a variance needs the digits of f32"),
    ("Pow", "a power leaves the range of 16 bits"),
    ("QuantizeLinear", "it belongs to a quantized computation"),
    ("RMSNormalization", "a sum of squares needs the range of f32"),
    ("Range", "numbers that count need the digits of f32"),
    ("Reciprocal", "the reciprocal of a small number leaves the range of 16 bits"),
    ("ReduceL1", "a sum of many needs the digits of f32"),
    ("ReduceL2", "a sum of squares needs the range of f32"),
    ("ReduceLogSum", "a sum of many needs the digits of f32"),
    ("ReduceLogSumExp", "a sum of exponentials needs the range of f32"),
    ("ReduceMean", "a mean of many needs the digits of f32"),
    ("ReduceProd", "a product of many needs the range of f32"),
    ("ReduceSum", "a sum of many needs the digits of f32"),
    ("ReduceSumSquare", "a sum of squares needs the range of f32"),
    ("RoiAlign", "places need the digits of f32"),
    ("STFT", "a sum of many needs the digits of f32"),
    ("Sin", "large angles need the digits of f32"),
    ("Sinh", "an exponential leaves the range of 16 bits"),
    ("Softmax", "a sum of exponentials needs the digits of f32"),
    ("SoftmaxCrossEntropyLoss", "a sum of exponentials needs the digits of f32"),
    ("Softplus", "an exponential leaves the range of 16 bits"),
    ("Sqrt", "a root belongs to the norm around it"),
    ("Tan", "large angles need the digits of f32"),
    ("Upsample", "it has no form in 16 bits that all runtimes know"),
];

/// Operators worth converting for themselves: the others follow them.
const HEAVY: &[&str] = &["Attention", "Conv", "ConvTranspose", "DeformConv", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"];

/// Elements of a constant that make its reader worth converting, as if it were one of [`HEAVY`]: tables of embeddings.
const LARGE: usize = 4096;

/// What the options ask for.
pub struct Policy {
    pub to: DType,
    pub islands: Vec<String>,
    pub ops: Option<Vec<String>>,
    pub convert_io: bool,
    pub form: Form,
    /// Whether convolutions that Winograd's algorithm computes stay as they are.
    pub winograd: bool,
    pub target: u32,
}

/// What becomes of a graph.
#[derive(Default)]
pub struct Plan {
    /// Nodes that compute in 16 bits, with their slots of operands and of results that change.
    pub low: BTreeMap<NodeId, Slots>,
    /// Plans for the bodies of a node, in their order.
    pub bodies: BTreeMap<NodeId, Vec<Plan>>,
    /// Operand slots through which bodies take a captured value in 16 bits.
    pub captured: BTreeMap<NodeId, BTreeSet<usize>>,
    /// The opset from which the node's form in 16 bits exists, where that is above the target.
    needs: BTreeMap<NodeId, (u32, String)>,
}

#[derive(Clone, Default)]
pub struct Slots {
    pub inputs: BTreeSet<usize>,
    pub outputs: BTreeSet<usize>,
}

impl Plan {
    /// Nodes that compute in 16 bits, those of bodies too.
    pub fn nodes(&self) -> usize {
        self.low.len() + self.bodies.values().flatten().map(Plan::nodes).sum::<usize>()
    }
    /// The opset that the conversion needs beyond the target, and for which operator.
    pub fn opset(&self) -> Option<(u32, String)> {
        let own = self.low.keys().filter_map(|n| self.needs.get(n)).cloned();
        own.chain(self.bodies.values().flatten().filter_map(Plan::opset)).max()
    }
    /// Whether the operand in this slot is wanted in 16 bits; `None`: any type will do.
    pub fn wants(&self, graph: &Graph, node: NodeId, slot: usize) -> Option<bool> {
        if graph.node(node).is("Cast") {
            return None;
        }
        let low = |s: &Slots| s.inputs.contains(&slot);
        Some(self.low.get(&node).is_some_and(low) || self.captured.get(&node).is_some_and(|c| c.contains(&slot)))
    }
    /// Whether all who read the value want it in 16 bits, and someone does.
    fn wanted(&self, graph: &Graph, value: ValueId, output: bool) -> bool {
        if graph.is_output(value) && !output {
            return false;
        }
        let wants: Vec<bool> = graph.uses(value).into_iter().filter_map(|(n, slot)| self.wants(graph, n, slot)).collect();
        wants.iter().all(|w| *w) && (!wants.is_empty() || graph.is_output(value))
    }
}

pub fn plan(graph: &Graph, ctx: &mut PassCtx<'_>, policy: &Policy) -> Plan {
    body(graph, ctx, policy, policy.convert_io)
}

/// How a node may take part.
enum Role {
    /// Not at all: no floats, or wanted in f32.
    Apart,
    /// In 16 bits, whatever its neighbours are.
    Heavy,
    /// As its neighbours.
    Follows,
    /// A Cast or ConstantOfShape that makes f32 of something else: 16 bits where all want them.
    Maker,
}

fn body(graph: &Graph, ctx: &mut PassCtx<'_>, policy: &Policy, convert_io: bool) -> Plan {
    let mut plan = Plan::default();
    let order = graph.operators();
    let mut follows: BTreeMap<NodeId, (bool, Slots)> = BTreeMap::new();
    for id in &order {
        if !graph.node(*id).regions.is_empty() {
            bodies(graph, ctx, policy, &mut plan, *id);
            continue;
        }
        let named = policy.ops.as_ref().is_none_or(|o| o.contains(&graph.node(*id).op.name.to_string())) && ctx.selected(graph, *id);
        let found = match policy.form {
            Form::Products if !named => continue,
            Form::Products => products::factors(graph, *id, policy.winograd),
            _ => slots(graph, *id, policy, &mut plan),
        };
        let slots = match found {
            Ok(Some(slots)) => slots,
            Ok(None) => continue,
            Err(reason) => {
                if named {
                    ctx.miss(NAME, graph, *id, format!("it stays in f32: {reason}"));
                }
                continue;
            }
        };
        let role = if policy.form == Form::Products { Role::Heavy } else { role(graph, ctx, policy, *id) };
        match role {
            Role::Apart => {}
            Role::Heavy => {
                plan.low.insert(*id, slots);
            }
            Role::Follows => {
                follows.insert(*id, (false, slots));
            }
            Role::Maker => {
                follows.insert(*id, (true, slots));
            }
        }
    }
    let inputs: BTreeSet<ValueId> = if convert_io { graph.inputs().iter().copied().collect() } else { BTreeSet::new() };
    // Downwards: an operand that is in 16 bits makes a follower so.
    for id in &order {
        let Some((false, slots)) = follows.get(id) else { continue };
        let low = slots.inputs.iter().filter_map(|s| graph.node(*id).input(*s)).any(|v| {
            let made = plan.low.get(&v.node).is_some_and(|s| s.outputs.contains(&(v.output as usize)));
            made || (inputs.contains(&v) && graph.dtype(v) == DType::F32)
        });
        if low && let Some((_, slots)) = follows.remove(id) {
            plan.low.insert(*id, slots);
        }
    }
    // Upwards: what is read in 16 bits alone can be made so.
    for id in order.iter().rev() {
        let Some((_, slots)) = follows.get(id) else { continue };
        if !slots.outputs.is_empty() && slots.outputs.iter().all(|o| plan.wanted(graph, id.out(*o), convert_io)) {
            let slots = slots.clone();
            plan.low.insert(*id, slots);
        }
    }
    plan
}

/// Plans the bodies of a node, and what they capture.
fn bodies(graph: &Graph, ctx: &mut PassCtx<'_>, policy: &Policy, plan: &mut Plan, id: NodeId) {
    let node = graph.node(id);
    let inner: Vec<Plan> = node.regions.iter().map(|r| body(&r.graph, ctx, policy, false)).collect();
    let mut captured: BTreeMap<usize, bool> = BTreeMap::new();
    for (region, p) in node.regions.iter().zip(&inner) {
        let inputs = region.graph.inputs();
        let formal = inputs.len().saturating_sub(region.captures.len());
        for (slot, v) in region.captures.iter().zip(&inputs[formal..]) {
            let low = region.graph.dtype(*v) == DType::F32 && p.wanted(&region.graph, *v, false);
            captured.entry(*slot as usize).and_modify(|l| *l &= low).or_insert(low);
        }
    }
    // Each body rounds its own factors; what crosses its edge stays f32.
    if policy.form == Form::Products {
        captured.clear();
    }
    plan.captured.insert(id, captured.into_iter().filter(|(_, low)| *low).map(|(s, _)| s).collect());
    plan.bodies.insert(id, inner);
}

fn role(graph: &Graph, ctx: &PassCtx<'_>, policy: &Policy, id: NodeId) -> Role {
    let node = graph.node(id);
    let named = policy.ops.as_ref().map(|ops| ops.contains(&node.op.name.to_string()));
    if !ctx.selected(graph, id) || named == Some(false) {
        return Role::Apart;
    }
    if node.is("Cast") || node.is("ConstantOfShape") {
        return Role::Maker;
    }
    // A table is worth it for its size.
    let large = node.inputs().iter().flatten().filter_map(|v| graph.as_constant(*v)).any(|t| t.dtype() == DType::F32 && t.len() >= LARGE);
    let computes = (0..node.outputs().len()).any(|o| graph.dtype(id.out(o)) == DType::F32);
    if computes && (large || named == Some(true) || ctx.has_selection()) || HEAVY.contains(&&*node.op.name) { Role::Heavy } else { Role::Follows }
}

/// The slots of a node that can change together, or why none can. `None`: it has no f32.
fn slots(graph: &Graph, id: NodeId, policy: &Policy, plan: &mut Plan) -> Result<Option<Slots>, String> {
    let node = graph.node(id);
    let f32_in: Vec<(usize, ValueId)> =
        node.inputs().iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?))).filter(|(_, v)| graph.dtype(*v) == DType::F32).collect();
    let f32_out: Vec<usize> = (0..node.outputs().len()).filter(|o| graph.dtype(id.out(*o)) == DType::F32).collect();
    if f32_in.is_empty() && f32_out.is_empty() || node.is("Constant") {
        return Ok(None);
    }
    if !node.op.domain.is_empty() {
        return Err(format!("what '{}' does in {} is not known", node.op, policy.to));
    }
    let name = &*node.op.name;
    let asked = policy.ops.as_ref().is_some_and(|o| o.iter().any(|n| n == name));
    if policy.islands.iter().any(|i| i == name) {
        return Err("'islands' names it".into());
    }
    if let (Ok(i), false) = (ISLANDS.binary_search_by_key(&name, |i| i.0), asked) {
        return Err(ISLANDS[i].1.into());
    }
    if node.is("Cast") {
        // What it reads may be of any type.
        return Ok((!f32_out.is_empty()).then(|| Slots { inputs: BTreeSet::new(), outputs: f32_out.into_iter().collect() }));
    }
    if f32_in.iter().any(|(_, v)| graph.producer(*v).is("DequantizeLinear")) {
        return Err("its operands are quantized".into());
    }
    let schema = schema::exact(&node.op).or_else(|| schema::newest("", name)).ok_or("ONNX does not describe it")?;
    let param = |input: bool, slot: usize| if input { schema.input(slot) } else { schema.output(slot) };
    let first = f32_out.first().map(|o| param(false, *o)).or_else(|| f32_in.first().map(|(i, _)| param(true, *i))).flatten();
    let first = first.ok_or("ONNX does not describe its operands")?;
    if f32_out.iter().any(|o| param(false, *o).is_none_or(|p| p.var != first.var)) {
        return Err("its results are of several types".into());
    }
    if policy.form == Form::Compute {
        need(node, first, policy, plan, id)?;
    } else if !first.types.accept(&Type::tensor(DType::F16, [0i64; 0])) {
        return Err("it takes f32 alone".into());
    }
    let container = |v: ValueId| !matches!(graph.ty(v), Type::Tensor(_) | Type::Unknown);
    if node.inputs().iter().flatten().any(|v| container(*v)) || (0..node.outputs().len()).any(|o| container(id.out(o))) {
        return Err("it keeps tensors in a container".into());
    }
    // The parts of an Attention may differ in type by its schema, and not where runtimes expand it.
    let inputs: BTreeSet<usize> =
        f32_in.iter().filter(|(i, _)| node.is("Attention") || param(true, *i).is_some_and(|p| p.var == first.var)).map(|(i, _)| *i).collect();
    if inputs.is_empty() && !node.is("ConstantOfShape") {
        return Err("the type of its result does not follow an operand".into());
    }
    if let Some(reason) = small_constants(graph, node, &inputs, policy) {
        return Err(reason);
    }
    Ok(Some(Slots { inputs, outputs: f32_out.into_iter().collect() }))
}

/// Records the opset from which a node's type variable can be the 16-bit type.
fn need(node: &Node, var: &Param, policy: &Policy, plan: &mut Plan, id: NodeId) -> Result<(), String> {
    let name = &*node.op.name;
    let takes = |s: &schema::Schema| {
        let all = s.outputs.iter().chain(s.inputs);
        all.into_iter().filter(|p| p.name == var.name).any(|p| p.types.tensors().any(|d| d == policy.to))
    };
    let now = schema::find("", name, policy.target).map_or(0, |s| s.since);
    let found = schema::versions("", name).iter().filter(|s| s.since >= now).find(|s| takes(s));
    let Some(found) = found else { return Err(format!("it has no form in {}", policy.to)) };
    if found.since > policy.target {
        plan.needs.insert(id, (found.since, name.to_string()));
    }
    Ok(())
}

/// Why the constants of an elementwise operator forbid 16 bits, if they do.
fn small_constants(graph: &Graph, node: &Node, inputs: &BTreeSet<usize>, policy: &Policy) -> Option<String> {
    for slot in inputs {
        let Some(t) = node.input(*slot).and_then(|v| graph.as_constant(v)).filter(|t| t.len() == 1) else { continue };
        let Some((v, (_, loss))) = t.to_vec::<f32>().and_then(|v| v.first().copied()).zip(rounding::convert(t, policy.to, false).ok()) else {
            continue;
        };
        if loss.zero > 0 {
            return Some(format!("its constant {v:e} is 0 in {}", policy.to));
        }
        if loss.overflow > 0 && node.is("Div") && *slot == 1 {
            return Some(format!("it divides by {v:e}, which is beyond {}", policy.to));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_name_operators() {
        assert!(ISLANDS.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(HEAVY.windows(2).all(|w| w[0] < w[1]));
        let all = ISLANDS.iter().map(|i| i.0).chain(HEAVY.iter().copied());
        all.for_each(|name| assert!(!schema::versions("", name).is_empty(), "ONNX has no {name}"));
    }
}
