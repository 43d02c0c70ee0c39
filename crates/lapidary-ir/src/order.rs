use crate::{Diagnostic, Graph, NodeId, Result};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Kahn's algorithm with a heap on positions, so that the order is the file's wherever dependencies allow.
pub fn topological(g: &Graph) -> Result<Vec<NodeId>> {
    let mut waiting: FxHashMap<NodeId, usize> = g.node_ids().map(|n| (n, g.node(n).inputs().iter().flatten().count())).collect();
    let mut ready: BinaryHeap<Reverse<(u64, NodeId)>> =
        waiting.iter().filter(|(_, c)| **c == 0).map(|(n, _)| Reverse((g.node(*n).position, *n))).collect();
    let mut out = Vec::with_capacity(waiting.len());
    while let Some(Reverse((_, n))) = ready.pop() {
        out.push(n);
        for user in g.users(n) {
            if let Some(left) = waiting.get_mut(&user) {
                *left -= 1;
                if *left == 0 {
                    ready.push(Reverse((g.node(user).position, user)));
                }
            }
        }
    }
    if out.len() == waiting.len() {
        return Ok(out);
    }
    let mut stuck: Vec<NodeId> = waiting.into_iter().filter(|(_, c)| *c > 0).map(|(n, _)| n).collect();
    stuck.sort_by_key(|n| (g.node(*n).position, *n));
    Err(cycle_error(g, &stuck).into())
}

/// Walks backwards among nodes that wait for each other until one repeats: that is a cycle.
fn cycle_error(g: &Graph, stuck: &[NodeId]) -> Diagnostic {
    let within: rustc_hash::FxHashSet<NodeId> = stuck.iter().copied().collect();
    let mut path = vec![stuck[0]];
    loop {
        let last = path[path.len() - 1];
        let Some(next) = g.node(last).inputs().iter().flatten().map(|v| v.node).find(|n| within.contains(n)) else { break };
        if let Some(start) = path.iter().position(|n| *n == next) {
            path.drain(..start);
            break;
        }
        path.push(next);
    }
    path.reverse();
    let names: Vec<String> = path.iter().take(8).map(|n| format!("{} '{}'", g.node(*n).op, g.node(*n).label())).collect();
    let more = if path.len() > 8 { " → …" } else { "" };
    Diagnostic::error("cyclic-graph", format!("the graph has a cycle: {}{more} → back to the first", names.join(" → ")))
        .at(g.node(path[0]))
        .help("a node cannot depend on its own output; check the file with the tool that wrote it")
}
