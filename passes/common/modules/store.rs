//! Writes changed weights where the old ones stood, and nowhere else.

use super::quantized::{self, Loss};
use super::{Reader, Site};
use faer::Mat;
use lapidary_ir::{Diagnostic, Graph, NodeId, NodeSpec, Result, Tensor, Value, ValueId};
use lapidary_rewrite::origin;
use std::collections::{BTreeMap, BTreeSet};

/// Puts a tensor in the place of a constant, for some of its uses. It takes over the name when nobody reads the old one any more.
pub fn swap(graph: &mut Graph, pass: &str, constant: ValueId, tensor: Tensor, uses: &[(NodeId, usize)]) -> ValueId {
    let name = graph.value(constant).name.clone();
    let fresh = graph.fresh_name(&name);
    let new = graph.add_const(fresh.clone(), tensor);
    graph.node_mut(new.node).origin = origin(pass, [name.clone()]);
    for (node, slot) in uses {
        graph.set_input(*node, *slot, Some(new));
    }
    if graph.use_count(constant) == 0 && !graph.is_output(constant) {
        graph.value_mut(constant).name = fresh;
        graph.value_mut(new).name = name;
        graph.detach_if_dead(constant.node);
    }
    new
}

/// Stores a matrix for some readers of a site. Gives what rounding to codes lost.
pub fn store(graph: &mut Graph, pass: &str, site: &Site, readers: &[usize], m: &Mat<f64>) -> Result<Option<Loss>> {
    let mut readers: Vec<Reader> = readers.iter().filter_map(|r| site.readers.get(*r)).cloned().collect();
    separate(graph, pass, &mut readers);
    // What reads the constant itself.
    let entries: BTreeSet<(NodeId, usize)> = readers.iter().map(|r| r.path.last().map_or((r.node, r.slot), |n| (*n, 0))).collect();
    let entries: Vec<(NodeId, usize)> = entries.into_iter().collect();
    let values = site.stored(m);
    let not_stored = || Diagnostic::error("quantized-weight", format!("'{}' is quantized in a way that cannot be written again", site.name));
    if site.dequantize.is_none() {
        let Some(old) = graph.as_constant(site.constant) else { return Ok(None) };
        let tensor = Tensor::from_f64(old.dtype(), old.sizes(), &values)?;
        swap(graph, pass, site.constant, tensor, &entries);
        return Ok(None);
    }
    let nodes: BTreeSet<NodeId> = readers.iter().filter_map(|r| r.path.iter().copied().find(|n| graph.node(*n).is("DequantizeLinear"))).collect();
    let Some(first) = nodes.first() else { return Err(not_stored().into()) };
    let Some((operands, loss)) = quantized::write(graph, *first, &values)? else { return Err(not_stored().into()) };
    for (slot, tensor) in operands {
        let Some(old) = graph.node(*first).input(slot) else { continue };
        let uses: Vec<(NodeId, usize)> = if slot == 0 { entries.clone() } else { nodes.iter().map(|n| (*n, slot)).collect() };
        swap(graph, pass, old, tensor, &uses);
    }
    Ok(Some(loss))
}

/// Gives the readers a path of their own where others use it too.
fn separate(graph: &mut Graph, pass: &str, readers: &mut [Reader]) {
    let mut own: BTreeSet<NodeId> = readers.iter().flat_map(|r| r.path.iter().copied()).collect();
    let ends: BTreeSet<NodeId> = readers.iter().map(|r| r.node).collect();
    let shared = |id: &NodeId| {
        let out = id.out(0);
        graph.is_output(out) || graph.uses(out).iter().any(|(n, _)| !own.contains(n) && !ends.contains(n))
    };
    // Below a shared node everything is copied, above it only what hangs on it.
    if !own.iter().any(shared) {
        return;
    }
    own.clear();
    let mut copies: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    for reader in readers.iter_mut() {
        let mut below = None;
        for id in reader.path.iter_mut().rev() {
            let copy = *copies.entry(*id).or_insert_with(|| copied(graph, pass, *id));
            if let Some(value) = below {
                graph.set_input(copy, 0, Some(value));
            }
            below = Some(copy.out(0));
            *id = copy;
        }
        if let Some(value) = below {
            graph.set_input(reader.node, reader.slot, Some(value));
        }
    }
}

fn copied(graph: &mut Graph, pass: &str, id: NodeId) -> NodeId {
    let node = graph.node(id).clone();
    let outputs = node.outputs().iter().map(|o| Value { name: graph.fresh_name(&o.name), ty: o.ty.clone() }).collect();
    let spec = NodeSpec::new(node.op.clone(), [], outputs).attrs(node.attrs.clone()).name(node.name.clone());
    let from = origin(pass, [node.label().into()]);
    graph.add(NodeSpec { inputs: node.inputs().to_vec(), position: Some(node.position), origin: from, ..spec })
}
