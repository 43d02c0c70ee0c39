//! Attention whose weights are rounded, too: the operator has no place for that, so its last product becomes a MatMul, of which both factors can be.

use super::NAME;
use super::products::{LEAST_COLUMNS, LEAST_SUM};
use lapidary_ir::{DType, Dim, Graph, NodeId, NodeSpec, Type, Value, ValueId};
use lapidary_rewrite::{newest_op, origin, replace_value};

/// The stage of the scores that follows softmax, as `qk_matmul_output_mode` counts.
const WEIGHTS: i64 = 3;

/// `Attention(q, k, v, …)` → `MatMul(w, v)` of its weights `w`, where their product gains by factors of 16 bits: heads of their own for k and v,
/// and a number of keys that is known.
pub fn take_apart(graph: &mut Graph, id: NodeId) {
    let Some((weights, v)) = weights(graph, id) else { return };
    let node = graph.node(id).clone();
    let base = graph.value(id.out(0)).name.clone();
    let value = |graph: &mut Graph, part: &str, ty: Type| Value { name: graph.fresh_name(&format!("{base}_{part}")), ty };
    let (whole, weights) = (value(graph, "direct", graph.ty(id.out(0)).clone()), value(graph, "weights", weights));
    let outputs = vec![whole, Value::new("", Type::Unknown), Value::new("", Type::Unknown), weights];
    let from = || origin(NAME, [node.label().into()]);
    let spec = NodeSpec { inputs: node.inputs().to_vec(), ..NodeSpec::new(node.op.clone(), [], outputs) };
    let spec = spec.attrs(node.attrs.clone().with("qk_matmul_output_mode", WEIGHTS)).name(format!("{}_weights", node.label()));
    let attention = graph.add(NodeSpec { position: Some(node.position), origin: from(), ..spec });
    let product = Value { name: graph.fresh_name(&base), ty: graph.ty(id.out(0)).clone() };
    let spec = NodeSpec::new(newest_op("MatMul"), [attention.out(WEIGHTS as usize), v], vec![product]).name(node.label());
    let y = graph.add(NodeSpec { position: Some(node.position), origin: from(), ..spec });
    replace_value(graph, id.out(0), y.out(0));
    graph.detach_if_dead(id);
}

/// The type of the weights, and the values that they are multiplied by.
fn weights(graph: &Graph, id: NodeId) -> Option<(Type, ValueId)> {
    let node = graph.node(id);
    let (q, k, v) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let alone = (1..node.outputs().len()).all(|o| graph.use_count(id.out(o)) == 0);
    let floats = [q, v].into_iter().all(|x| graph.dtype(x) == DType::F32 && !graph.producer(x).is("DequantizeLinear"));
    if !node.is("Attention") || !alone || node.input(4).is_some() || !floats {
        return None;
    }
    let ([batch, heads, queries, _], [_, of_keys, keys, _], [.., width]) = (graph.ty(q).dims()?, graph.ty(k).dims()?, graph.ty(v).dims()?) else {
        return None;
    };
    let several = |d: &Dim, least: i64| d.as_const().is_some_and(|d| d >= least);
    let gains = heads == of_keys && several(keys, LEAST_SUM) && several(width, LEAST_COLUMNS) && queries.as_const() != Some(1);
    gains.then(|| (Type::tensor(DType::F32, [batch.clone(), heads.clone(), queries.clone(), keys.clone()]), v))
}
