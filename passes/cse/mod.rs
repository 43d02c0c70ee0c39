//! cse: compute and store equal things once.
//!
//! Two nodes of the same operator with equal attributes and equal operands give equal results: the later one goes. Constants of equal
//! type and content become one. Operators that draw random numbers, and those that are not known, are left alone. Bodies of If, Loop
//! and Scan are treated each for itself.

use crate::common::is_random;
use lapidary_ir::{Graph, NodeId, Result, ValueId};
use lapidary_ops::{find, schema};
use lapidary_rewrite::{Effect, Outcome, Pass, PassCtx, Run, check_replacement, for_each_graph, replace_value};
use rustc_hash::FxHashMap;

pub static PASS: Pass = Pass { name: "cse", source: include_str!("mod.rs"), effect: Effect::Exact, options: &[], rules: &[], run: Run::Code(run) };

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = Outcome::default();
    for_each_graph(graph, &mut |g, _| {
        merge_constants(g, &mut out);
        merge_nodes(g, ctx, &mut out)?;
        g.sweep();
        Ok(())
    })?;
    Ok(out)
}

fn merge_constants(g: &mut Graph, out: &mut Outcome) {
    let mut seen: FxHashMap<u64, Vec<ValueId>> = FxHashMap::default();
    let mut constants: Vec<NodeId> = g.node_ids().filter(|n| g.node(*n).is_const() && g.use_count(n.out(0)) > 0).collect();
    constants.sort_by_key(|n| (g.node(*n).position, *n));
    for id in constants {
        let value = id.out(0);
        let Some(tensor) = g.as_constant(value).cloned() else { continue };
        let same = seen.entry(tensor.content_hash()).or_default();
        // The hash says "perhaps": the content decides.
        match same.iter().find(|v| g.as_constant(**v) == Some(&tensor)) {
            Some(first) if !g.is_output(value) => {
                g.replace_uses(value, *first);
                out.touch("equal-constants", 1);
            }
            Some(_) => {}
            None => same.push(value),
        }
    }
}

fn merge_nodes(g: &mut Graph, ctx: &PassCtx<'_>, out: &mut Outcome) -> Result<()> {
    type Key = (lapidary_ir::OpName, Vec<Option<ValueId>>, usize);
    let mut seen: FxHashMap<Key, Vec<NodeId>> = FxHashMap::default();
    for id in g.topological()? {
        let node = g.node(id);
        let known = schema::exact(&node.op).is_some() || find(&node.op).is_some();
        if node.is_input() || node.is_const() || !node.regions.is_empty() || !known || is_random(g, id) || !ctx.selected(g, id) {
            continue;
        }
        let mut inputs = node.inputs().to_vec();
        if find(&node.op).is_some_and(|d| d.commutative) {
            inputs.sort();
        }
        let same = seen.entry((node.op.clone(), inputs, node.outputs().len())).or_default();
        let Some(first) = same.iter().copied().find(|f| g.node(*f).attrs == node.attrs) else {
            same.push(id);
            continue;
        };
        let outputs = 0..g.node(id).outputs().len();
        let used = |o: &usize| g.use_count(id.out(*o)) > 0;
        if !outputs.clone().filter(used).all(|o| check_replacement(g, id.out(o), first.out(o)).is_ok()) {
            continue;
        }
        let used: Vec<usize> = outputs.filter(used).collect();
        if used.is_empty() {
            continue;
        }
        for o in used {
            replace_value(g, id.out(o), first.out(o));
        }
        g.detach_if_dead(id);
        out.touch("equal-nodes", 1);
    }
    Ok(())
}
