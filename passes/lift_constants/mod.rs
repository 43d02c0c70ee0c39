//! lift-constants: turn `Constant` nodes into stored constants.
//!
//! Some exporters (PaddlePaddle's among them) keep weights in `Constant` nodes. They mean the same as initializers, but many tools see
//! only the latter: quantizers silently leave such weights alone. A `Constant` that is itself an output of the graph stays.

use crate::common::replace_by_constant;
use lapidary_ir::{Graph, Result};
use lapidary_rewrite::{Effect, Outcome, Pass, PassCtx, Run, for_each_graph};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Exact, options: &[], rules: &[], run: Run::Code(run) };

const NAME: &str = "lift-constants";

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = Outcome::default();
    for_each_graph(graph, &mut |g, _| {
        for id in g.topological()? {
            if !g.node(id).is("Constant") || !ctx.selected(g, id) || g.use_count(id.out(0)) == 0 {
                continue;
            }
            match g.as_constant(id.out(0)).cloned() {
                _ if g.is_output(id.out(0)) => ctx.miss(NAME, g, id, "it is an output of the graph"),
                None => ctx.miss(NAME, g, id, "it holds no dense tensor"),
                Some(t) => {
                    replace_by_constant(g, id.out(0), t, NAME);
                    out.touch(NAME, 1);
                }
            }
        }
        g.sweep();
        Ok(())
    })?;
    Ok(out)
}
