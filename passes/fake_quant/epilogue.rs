//! What a library computes where a convolution ends.

use super::place::MOVEMENT;
use lapidary_ir::{Graph, NodeId, ValueId};
use std::collections::BTreeMap;

/// Operators that compute each element from the elements at its place.
const ELEMENTWISE: &[&str] = &[
    "Abs",
    "Add",
    "BatchNormalization",
    "Celu",
    "Clip",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
];

/// Operators that average: what a range leaves out would move the mean of a channel.
const AVERAGES: &[&str] = &["AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"];

/// Operators that multiply codes.
const LAYERS: &[&str] = &["Conv", "Gemm", "MatMul"];

/// Far more than any activation that an exporter spells out.
const OPERATORS_MAX: usize = 16;

/// In which order operators are computed; those that came later are not in it.
pub type Order = BTreeMap<NodeId, usize>;

/// What is to be quantized of the result `v` of a convolution, if anything.
pub fn written(g: &Graph, v: ValueId, order: &Order) -> Option<ValueId> {
    let end = end(g, v, order);
    let averaged = g.uses(end).iter().any(|(user, _)| AVERAGES.iter().any(|a| g.node(*user).is(a)));
    (!g.is_output(end) && !averaged && serves(g, end)).then_some(end)
}

/// Whether codes of a value are multiplied, perhaps after they were moved, or added to the result of another convolution.
fn serves(g: &Graph, v: ValueId) -> bool {
    let (mut moved, mut at) = (vec![v], 0);
    while let Some(value) = moved.get(at).copied() {
        for (user, _) in g.uses(value) {
            let node = g.node(user);
            if LAYERS.iter().any(|l| node.is(l)) || value == v && node.is("Add") {
                return true;
            }
            if MOVEMENT.iter().any(|m| node.is(m)) && !moved.contains(&user.out(0)) {
                moved.push(user.out(0));
            }
        }
        at += 1;
    }
    false
}

/// The last value that elementwise operators make of `v` such that nothing else reads what lies between; `v` itself where there is none.
/// Their other operands are computed before `v`, or lie between themselves: `x · Sigmoid(x)` reads `x` twice.
fn end(g: &Graph, v: ValueId, order: &Order) -> ValueId {
    let (mut between, mut best) = (vec![v], v);
    while between.len() <= OPERATORS_MAX {
        let Some(next) = between.iter().flat_map(|b| g.uses(*b)).map(|(user, _)| user).find(|user| joins(g, *user, &between, order)) else { break };
        between.push(next.out(0));
        // The last is the end if it alone is read elsewhere.
        let read_inside = |b: &ValueId| !g.is_output(*b) && g.uses(*b).iter().all(|(user, _)| between.contains(&user.out(0)));
        if between.iter().filter(|b| **b != next.out(0)).all(read_inside) {
            best = next.out(0);
        }
    }
    best
}

fn joins(g: &Graph, user: NodeId, between: &[ValueId], order: &Order) -> bool {
    let node = g.node(user);
    let known = |o: &ValueId| between.contains(o) || order.get(&o.node) < order.get(&between[0].node);
    node.op.domain.is_empty() && ELEMENTWISE.contains(&&*node.op.name) && !between.contains(&user.out(0)) && node.inputs().iter().flatten().all(known)
}
