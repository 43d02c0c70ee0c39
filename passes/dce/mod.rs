//! dce: drop what no output needs.
//!
//! Removes nodes from which no graph output is reached, outputs of nodes that nothing uses (where the operator may omit them), and
//! values that bodies of If, Loop and Scan capture without using. Graph inputs stay: they are the model's interface.

use lapidary_ir::{Graph, NodeId, Result};
use lapidary_ops::schema::{self, Arity};
use lapidary_rewrite::{Effect, Outcome, Pass, PassCtx, Run, for_each_graph};

pub static PASS: Pass = Pass { name: "dce", source: include_str!("mod.rs"), effect: Effect::Exact, options: &[], rules: &[], run: Run::Code(run) };

fn run(graph: &mut Graph, _: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = Outcome::default();
    // Inner graphs come first, so a capture that only dead nodes used is gone before the outer graph is swept.
    for_each_graph(graph, &mut |g, _| {
        out.touch("dead-node", sweep(g));
        for id in g.operators() {
            out.touch("unused-capture", drop_captures(g, id));
            out.touch("unused-output", drop_outputs(g, id));
        }
        out.touch("dead-node", sweep(g));
        Ok(())
    })?;
    Ok(out)
}

/// Sweeps; counts operators alone, since a constant that goes with its last user is no news.
fn sweep(g: &mut Graph) -> usize {
    let count = |g: &Graph| g.node_ids().filter(|n| !g.node(*n).is_const()).count();
    let before = count(g);
    g.sweep();
    before - count(g)
}

fn drop_captures(g: &mut Graph, id: NodeId) -> usize {
    let mut dropped = vec![];
    for region in &mut g.node_mut(id).regions {
        let inputs = region.graph.inputs().to_vec();
        let formal = inputs.len().saturating_sub(region.captures.len());
        let captures = std::mem::take(&mut region.captures);
        for (slot, value) in captures.into_iter().zip(inputs[formal..].iter()) {
            if region.graph.use_count(*value) == 0 {
                region.graph.remove_input(*value);
                dropped.push(slot);
            } else {
                region.captures.push(slot);
            }
        }
        region.graph.sweep();
    }
    for slot in &dropped {
        let needed = g.node(id).regions.iter().any(|r| r.captures.contains(slot));
        if !needed {
            g.set_input(id, *slot as usize, None);
        }
    }
    dropped.len()
}

/// Takes trailing outputs away that are optional in the operator's schema and unused.
fn drop_outputs(g: &mut Graph, id: NodeId) -> usize {
    let node = g.node(id);
    let Some(schema) = schema::exact(&node.op) else { return 0 };
    let needed = schema.outputs.iter().filter(|o| o.arity == Arity::One).count();
    let variadic = schema.outputs.iter().any(|o| matches!(o.arity, Arity::Variadic { .. }));
    let before = node.outputs().len();
    if variadic || before <= needed.max(1) {
        return 0;
    }
    g.truncate_outputs(id, needed.max(1));
    before - g.node(id).outputs().len()
}
