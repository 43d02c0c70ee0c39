//! Opset differences: lifting operators to their newest forms after reading, lowering them to the wanted opset before writing.
//!
//! The forms themselves stand with the operators in `lapidary-ops`; the versions in [`crate::schemas`]. A version without a form is a
//! compatible one (more types, new attributes with neutral defaults): only its number changes.

use crate::codes;
use crate::schemas::since_version;
use lapidary_ir::{Diagnostic, Diagnostics, Graph, Name, NodeId, OpName, Result};
use lapidary_ops::OpDef;
use std::collections::BTreeMap;

/// Turns every operator of an older form into the newest that it has, in subgraphs too. Nodes that have no newer form stay.
pub fn lift(graph: &mut Graph) -> Result<()> {
    for id in graph.operators() {
        let mut regions = std::mem::take(&mut graph.node_mut(id).regions);
        let inner = regions.iter_mut().try_for_each(|r| lift(&mut r.graph));
        graph.node_mut(id).regions = regions;
        inner?;
        if let Some(def) = lapidary_ops::find(&graph.node(id).op) {
            lift_node(graph, id, def)?;
        }
    }
    Ok(())
}

pub(crate) fn lift_node(graph: &mut Graph, id: NodeId, def: &OpDef) -> Result<()> {
    if graph.node(id).op.version == 0 {
        return Ok(());
    }
    // Newest first in the list, oldest first here.
    for form in def.forms.iter().rev() {
        if form.since <= graph.node(id).op.version {
            continue;
        }
        if !(form.lift)(graph, id)? {
            return Ok(());
        }
        set_version(graph, id, form.since);
    }
    // A lift may have made another operator of the node.
    if graph.node(id).op.is(def.name) || *graph.node(id).op.domain == *def.domain {
        let newest = crate::schemas::newest_version(&graph.node(id).op.domain, &graph.node(id).op.name);
        let now = graph.node(id).op.version;
        set_version(graph, id, newest.max(now));
    }
    Ok(())
}

fn set_version(graph: &mut Graph, id: NodeId, version: u32) {
    let op = &graph.node(id).op;
    if op.version != version {
        let op = OpName { version, ..op.clone() };
        graph.node_mut(id).op = op;
    }
}

/// Turns every operator into its form at the opsets `targets`, in subgraphs too; `sources` are the opsets that the file came with.
///
/// # Errors
/// All nodes that have no such form, with the reasons.
pub fn lower_to(graph: &mut Graph, targets: &BTreeMap<Name, u32>, sources: &BTreeMap<Name, u32>) -> Result<()> {
    let mut errors = vec![];
    lower_graph(graph, targets, sources, &mut errors)?;
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)) }
}

fn lower_graph(graph: &mut Graph, targets: &BTreeMap<Name, u32>, sources: &BTreeMap<Name, u32>, errors: &mut Vec<Diagnostic>) -> Result<()> {
    for id in graph.topological()?.into_iter().filter(|n| !is_core(graph, *n)).collect::<Vec<_>>() {
        let mut regions = std::mem::take(&mut graph.node_mut(id).regions);
        let inner = regions.iter_mut().try_for_each(|r| lower_graph(&mut r.graph, targets, sources, errors));
        graph.node_mut(id).regions = regions;
        inner?;
        if let Err(reason) = lower_node(graph, id, targets, sources)? {
            let node = graph.node(id);
            let opset = targets.get(&node.op.domain).copied().unwrap_or(1);
            errors.push(
                Diagnostic::error(codes::NO_FORM, format!("'{}' cannot be written at opset {opset}: {reason}", node.op))
                    .at(node)
                    .help("choose a newer opset with --target-opset"),
            );
        }
    }
    Ok(())
}

fn is_core(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).is_input() || graph.node(id).is_const()
}

/// More forms than any operator has.
const ROUNDS_MAX: usize = 64;

/// The inner result says why the node has no form at its target.
fn lower_node(graph: &mut Graph, id: NodeId, targets: &BTreeMap<Name, u32>, sources: &BTreeMap<Name, u32>) -> Result<Result<(), String>> {
    // A form may turn the node into another operator (which then has its own forms), so this repeats.
    for _ in 0..ROUNDS_MAX {
        let op = graph.node(id).op.clone();
        if op.version == 0 {
            return Ok(Ok(()));
        }
        let Some(&target) = targets.get(&op.domain) else { return Ok(Ok(())) };
        let (want, missing) = match since_version(&op.domain, &op.name, target) {
            None => return Ok(Ok(())),
            Some(Ok(want)) => (want, None),
            // It stood like this in the file; it may leave like this.
            Some(Err(_)) if sources.get(&op.domain) == Some(&target) && op.version == target => return Ok(Ok(())),
            Some(Err(reason)) => (0, Some(reason)),
        };
        let def = lapidary_ops::find(&op);
        if op.version < want {
            if let Some(def) = def {
                lift_node(graph, id, def)?;
            }
            if graph.node(id).op.version > op.version {
                continue;
            }
            if def.is_some_and(|d| d.forms.iter().any(|f| f.since > op.version && f.since <= want)) {
                return Ok(Err(format!("the node has the form of version {}, and no newer one", op.version)));
            }
            set_version(graph, id, want);
            return Ok(Ok(()));
        }
        if op.version == want {
            return Ok(Ok(()));
        }
        let form = def.and_then(|d| d.forms.iter().find(|f| f.since <= op.version && f.since > want));
        match form {
            Some(form) => {
                if let Err(reason) = (form.lower)(graph, id) {
                    return Ok(Err(reason));
                }
                // The form before the change; anything from `want` up to here is compatible with it.
                if graph.node(id).op == op {
                    set_version(graph, id, form.since - 1);
                }
                if graph.node(id).op.version >= op.version && graph.node(id).op.name == op.name {
                    return Ok(Err(format!("its form of version {} could not be undone", form.since)));
                }
            }
            None if missing.is_some() => return Ok(Err(missing.unwrap_or_default())),
            None => {
                set_version(graph, id, want);
                return Ok(Ok(()));
            }
        }
    }
    Ok(Err("its forms lead into each other without end".into()))
}
