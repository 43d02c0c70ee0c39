//! Remembers the forms that nodes had before they were lifted, so that a node that nothing touched is written exactly as it was read,
//! also where lowering has no rule or several answers.

use crate::model::GraphExtras;
use crate::opset;
use crate::schemas::since_version;
use lapidary_ir::{Attrs, Graph, Name, NodeId, OpName, Result, Tensor, Value, ValueId};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A node before and after lifting.
#[derive(Clone, Debug)]
pub(crate) struct Lifted {
    before: Form,
    after: Form,
    /// Results at the end that only the old form has.
    lost: Vec<Value>,
}

/// What a node says, with operands by name.
#[derive(Clone, Debug, PartialEq)]
struct Form {
    op: OpName,
    attrs: Attrs,
    inputs: Vec<Option<Name>>,
    outputs: Vec<Name>,
    /// Contents of the operands that lifting made, lest a pass changed them.
    made: Vec<Arc<Tensor>>,
}

impl Form {
    fn of(graph: &Graph, id: NodeId, made: &dyn Fn(&str) -> bool) -> Form {
        let node = graph.node(id);
        let named = |v: ValueId| graph.value(v).name.clone();
        let constants = node.inputs().iter().flatten().filter(|v| made(&graph.value(**v).name));
        Form {
            op: node.op.clone(),
            attrs: node.attrs.clone(),
            inputs: node.inputs().iter().map(|v| v.map(named)).collect(),
            outputs: node.outputs().iter().map(|v| v.name.clone()).collect(),
            made: constants.filter_map(|v| graph.as_constant(*v).cloned()).collect(),
        }
    }
}

fn key(graph: &Graph, id: NodeId) -> Option<Name> {
    graph.node(id).outputs().iter().map(|v| v.name.clone()).find(|n| !n.is_empty())
}

/// Lifts a graph and its subgraphs, and keeps what the nodes were that had an older form.
pub(crate) fn lift(graph: &mut Graph, extras: &mut GraphExtras) -> Result<()> {
    for id in graph.operators() {
        if !graph.node(id).regions.is_empty() {
            let mut regions = std::mem::take(&mut graph.node_mut(id).regions);
            let owner = key(graph, id).unwrap_or_default();
            let inner = regions.iter_mut().try_for_each(|r| lift(&mut r.graph, extras.regions.entry((owner.clone(), r.name.clone())).or_default()));
            graph.node_mut(id).regions = regions;
            inner?;
        }
        let Some(def) = lapidary_ops::find(&graph.node(id).op) else { continue };
        if !def.forms.iter().any(|f| f.since > graph.node(id).op.version) {
            opset::lift_node(graph, id, def)?;
            continue;
        }
        let before = Form::of(graph, id, &|_| false);
        let results = graph.node(id).outputs().to_vec();
        // Nothing is removed while lifting, so new nodes have new indices.
        let bound = graph.node_ids().map(NodeId::index).max().unwrap_or(0);
        opset::lift_node(graph, id, def)?;
        let made: Vec<Name> = graph.node_ids().filter(|n| n.index() > bound).filter_map(|n| key(graph, n)).collect();
        let after = Form::of(graph, id, &|name| made.iter().any(|m| **m == *name));
        extras.made_by_lifting.extend(made);
        // Kept also where nothing but the version changed: there may be several ways back.
        if let Some(key) = key(graph, id) {
            let lost = results.into_iter().skip(after.outputs.len()).collect();
            extras.lifted.insert(key, Lifted { before, after, lost });
        }
    }
    Ok(())
}

/// Puts nodes that still are as lifting left them back into the form that they had, where that is the form of the target opset.
pub(crate) fn restore(graph: &mut Graph, extras: &GraphExtras, targets: &BTreeMap<Name, u32>) {
    let owners: BTreeSet<&Name> = extras.regions.keys().map(|(owner, _)| owner).collect();
    if extras.lifted.is_empty() && owners.is_empty() {
        return;
    }
    let values: FxHashMap<Name, ValueId> = graph.values_by_name();
    for owner in owners {
        let Some(id) = values.get(owner).map(|v| v.node) else { continue };
        for region in &mut graph.node_mut(id).regions {
            if let Some(inner) = extras.regions.get(&(owner.clone(), region.name.clone())) {
                restore(&mut region.graph, inner, targets);
            }
        }
    }
    for (key, Lifted { before, after, lost }) in &extras.lifted {
        let Some(id) = values.get(key).map(|v| v.node) else { continue };
        let wanted = targets.get(&before.op.domain).and_then(|t| since_version(&before.op.domain, &before.op.name, *t));
        if wanted != Some(Ok(before.op.version)) || Form::of(graph, id, &|name| extras.made_by_lifting.contains(name)) != *after {
            continue;
        }
        let operands: Option<Vec<Option<ValueId>>> =
            before.inputs.iter().map(|name| name.as_ref().map_or(Some(None), |n| values.get(n).map(|v| Some(*v)))).collect();
        let Some(operands) = operands else { continue };
        // A pass may have taken the name of a result that was gone.
        if lost.iter().any(|v| values.contains_key(&v.name) && !v.name.is_empty()) {
            continue;
        }
        let old: Vec<NodeId> = graph.node(id).inputs().iter().flatten().map(|v| v.node).collect();
        graph.set_inputs(id, operands);
        let node = graph.node_mut(id);
        node.op = before.op.clone();
        node.attrs = before.attrs.clone();
        for value in lost {
            graph.add_node_output(id, value.clone());
        }
        // What lifting put in between goes; the writer leaves it out once nothing uses it.
        let made = |n: &NodeId| key_is_made(graph, *n, extras);
        let dead: Vec<NodeId> = old.into_iter().filter(made).collect();
        dead.into_iter().for_each(|n| graph.detach_if_dead(n));
    }
}

/// Whether lifting made this node.
pub(crate) fn key_is_made(graph: &Graph, id: NodeId, extras: &GraphExtras) -> bool {
    key(graph, id).is_some_and(|k| extras.made_by_lifting.contains(&k))
}
