//! Finding the layers of a residual stream.

use lapidary_ir::{Attrs, Graph, NodeId, OpName, ValueId};
use lapidary_rewrite::origin;
use std::collections::{BTreeMap, BTreeSet};

/// What lies between two values of the stream.
pub struct Layer {
    pub start: ValueId,
    /// Of the same type as `start`.
    pub end: ValueId,
    pub nodes: BTreeSet<NodeId>,
    /// Why it has to stay.
    pub refused: Option<String>,
}

/// A sum of the stream and something that is computed from it.
struct Block {
    stream: ValueId,
    sum: NodeId,
    /// The operators of what is added, sorted: blocks that do the same have the same.
    signature: Vec<String>,
}

impl Layer {
    /// The end becomes the start. The nodes in between are dead then, and stay until the next sweep.
    pub fn remove(&self, graph: &mut Graph, pass: &str) {
        if !graph.is_output(self.end) {
            graph.replace_uses(self.end, self.start);
            return;
        }
        // An output keeps its name.
        let (name, ty) = (graph.value(self.end).name.clone(), graph.ty(self.end).as_tensor().cloned());
        let version = lapidary_ops::schema::newest("", "Identity").map_or(1, |s| s.since);
        let Some(ty) = ty else { return };
        let new = graph.add_op(OpName::onnx("Identity", version), [self.start], Attrs::new(), &name, ty);
        graph.node_mut(new.node).origin = origin(pass, [name.clone()]);
        graph.replace_uses(self.end, new);
        let fresh = graph.value(new).name.clone();
        graph.value_mut(self.end).name = fresh;
        graph.value_mut(new).name = name;
    }
}

/// All layers, in the graph's order.
pub fn find(graph: &Graph) -> Vec<Layer> {
    let blocks: Vec<Block> = graph.operators().into_iter().filter_map(|id| block(graph, id)).collect();
    let mut out = vec![];
    let mut first = 0;
    while first < blocks.len() {
        // A chain: each block's stream is the sum before it, perhaps through norms or activations.
        let mut last = first;
        let mut ends: Vec<ValueId> = vec![];
        while let Some(next) = blocks.get(last + 1).filter(|n| follows(graph, blocks[last].sum.out(0), n.stream).is_some()) {
            ends.push(next.stream);
            last += 1;
        }
        let chain = &blocks[first..=last];
        ends.push(tail(graph, chain, &blocks[last], &ends));
        let period = period(chain);
        for (part, ends) in chain.chunks(period).zip(ends.chunks(period)) {
            if let (Some(head), Some(end)) = (part.first(), ends.last())
                && part.len() == period
                && graph.ty(head.stream) == graph.ty(*end)
            {
                out.push(layer(graph, head.stream, *end));
            }
        }
        first = last + 1;
    }
    out
}

/// The shortest number of blocks that repeats along a chain; each block by itself when none does.
fn period(chain: &[Block]) -> usize {
    let repeats = |p: &usize| chain.len().is_multiple_of(*p) && (*p..chain.len()).all(|i| chain[i].signature == chain[i - p].signature);
    (1..=chain.len() / 2).find(repeats).unwrap_or(1)
}

fn block(graph: &Graph, id: NodeId) -> Option<Block> {
    let node = graph.node(id);
    if !node.is("Add") {
        return None;
    }
    let (a, b) = (node.input(0)?, node.input(1)?);
    if graph.as_constant(a).is_some() || graph.as_constant(b).is_some() || a == b {
        return None;
    }
    let same = |v: ValueId| graph.ty(v).dims().is_some() && graph.ty(v) == graph.ty(id.out(0));
    [(a, b), (b, a)].into_iter().find_map(|(stream, branch)| {
        let inside = if same(stream) { between(graph, stream, branch)? } else { return None };
        let weighted = |n: &NodeId| {
            let n = graph.node(*n);
            ["MatMul", "Gemm", "Conv"].iter().any(|o| n.is(o)) && n.input(1).is_some_and(|w| graph.as_constant(w).is_some())
        };
        if !inside.iter().any(weighted) {
            return None;
        }
        let mut signature: Vec<String> = inside.iter().map(|n| graph.node(*n).op.to_string()).collect();
        signature.sort();
        Some(Block { stream, sum: id, signature })
    })
}

/// The nodes on ways from one value to another; `None` when there is no way.
fn between(graph: &Graph, from: ValueId, to: ValueId) -> Option<BTreeSet<NodeId>> {
    let (mut above, mut work) = (BTreeSet::new(), vec![to.node]);
    while let Some(n) = work.pop() {
        if n != from.node && above.insert(n) {
            work.extend(graph.node(n).inputs().iter().flatten().map(|v| v.node));
        }
    }
    let mut out = BTreeSet::new();
    let mut work: Vec<NodeId> = graph.uses(from).into_iter().map(|u| u.0).collect();
    while let Some(n) = work.pop() {
        if above.contains(&n) && out.insert(n) {
            for o in 0..graph.node(n).outputs().len() {
                work.extend(graph.uses(n.out(o)).into_iter().map(|u| u.0));
            }
        }
    }
    out.contains(&to.node).then_some(out)
}

/// The operators from a sum to a value of the same type that is nothing but it, normalised or activated.
fn follows(graph: &Graph, sum: ValueId, value: ValueId) -> Option<Vec<String>> {
    let (mut at, mut ops) = (value, vec![]);
    while at != sum {
        let node = graph.node(at.node);
        let computed = node.inputs().iter().flatten().filter(|v| graph.as_constant(**v).is_none()).count();
        if at.output != 0 || computed != 1 || graph.ty(at) != graph.ty(sum) || ops.len() > 2 {
            return None;
        }
        ops.push(node.op.to_string());
        at = node.input(0)?;
    }
    ops.reverse();
    Some(ops)
}

/// The end of the last block of a chain: behind what the other sums of the chain are followed by.
fn tail(graph: &Graph, chain: &[Block], last: &Block, ends: &[ValueId]) -> ValueId {
    let mut at = last.sum.out(0);
    let pattern = match (chain.len().checked_sub(2).and_then(|i| chain.get(i)), ends.last()) {
        (Some(before), Some(end)) => follows(graph, before.sum.out(0), *end).unwrap_or_default(),
        // A single block: a lone activation behind the sum belongs to it, where the stream came through one as well.
        _ => match graph.uses(at).as_slice() {
            [(user, 0)] if graph.node(*user).op == graph.node(last.stream.node).op => vec![graph.node(*user).op.to_string()],
            _ => vec![],
        },
    };
    for op in pattern {
        match graph.uses(at).as_slice() {
            [(user, 0)] if graph.node(*user).op.to_string() == op => at = user.out(0),
            _ => return last.sum.out(0),
        }
    }
    at
}

fn layer(graph: &Graph, start: ValueId, end: ValueId) -> Layer {
    let nodes = between(graph, start, end).unwrap_or_default();
    let mut shown: BTreeMap<NodeId, ValueId> = BTreeMap::new();
    for o in graph.outputs().iter().filter(|o| **o != end) {
        shown.insert(o.node, *o);
    }
    let inner = nodes.iter().find_map(|n| shown.get(n));
    let refused = inner.map(|v| format!("'{}', which is computed in it, is an output of the model", graph.value(*v).name));
    Layer { start, end, nodes, refused }
}
