use crate::common::{is_random, replace_by_constant};
use lapidary_ir::{Graph, Result, Tensor};
use lapidary_ops::infer_types;
use lapidary_rewrite::{Outcome, PassCtx, for_each_graph};

const NAME: &str = "known-value";

/// Small integer values that shape inference knows in full (`Shape` of constant dims and what is computed from it) become constants.
pub fn known_values(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = Outcome::default();
    infer_types(graph)?;
    for_each_graph(graph, &mut |g, _| {
        let facts = infer_types(g)?;
        for id in g.operators() {
            let node = g.node(id);
            if node.is("Constant") || node.outputs().len() != 1 || !ctx.selected(g, id) || is_random(g, id) {
                continue;
            }
            let value = id.out(0);
            let Some(contents) = facts.contents.get(&value) else { continue };
            let Some(ints) = contents.as_ints() else { continue };
            let dtype = g.dtype(value);
            if g.use_count(value) == 0 || !(dtype.is_int() || dtype == lapidary_ir::DType::Bool) {
                continue;
            }
            if g.is_output(value) {
                ctx.miss(NAME, g, id, "it is an output of the graph");
                continue;
            }
            let tensor = Tensor::from_i64(dtype, &contents.sizes, &ints)?;
            replace_by_constant(g, value, tensor, NAME);
            out.touch(NAME, 1);
        }
        g.sweep();
        Ok(())
    })?;
    Ok(out)
}
