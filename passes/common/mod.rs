//! What several passes need.

use lapidary_ir::{Graph, NodeId, Tensor, Value, ValueId};
use std::sync::Arc;

/// Operators whose results differ from run to run: never folded or merged.
pub fn is_random(graph: &Graph, id: NodeId) -> bool {
    let n = graph.node(id);
    let named = ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"];
    // Dropout draws only in training mode, which needs its third operand.
    named.iter().any(|o| n.is(o))
        || (n.is("Dropout") && n.input(2).is_some())
        || n.regions.iter().any(|r| r.graph.node_ids().any(|i| is_random(&r.graph, i)))
}

/// Puts a constant where a value was: all its uses become uses of a new constant of the same name. Not for graph outputs.
pub fn replace_by_constant(graph: &mut Graph, value: ValueId, tensor: impl Into<Arc<Tensor>>, rule: &str) -> ValueId {
    let name = graph.value(value).name.clone();
    let fresh = graph.fresh_name(&name);
    let label = graph.producer(value).label().into();
    let new = graph.add_const(fresh.clone(), tensor);
    graph.node_mut(new.node).origin = lapidary_rewrite::origin(rule, [label]);
    graph.replace_uses(value, new);
    let ty = graph.ty(value).clone();
    *graph.value_mut(value) = Value { name: fresh, ty };
    graph.value_mut(new).name = name;
    graph.detach_if_dead(value.node);
    new
}
