//! The model as it was before anything was quantized, for passes that make up for what quantizing did.

use lapidary_ir::Graph;
use lapidary_rewrite::PassCtx;

/// What a quantizing pass leaves. Constants are shared with the graph, not copied.
pub struct Reference(pub Graph);

/// Keeps the graph as the reference unless an earlier pass kept one. Quantizing passes call it before they change anything but names, and
/// after what moves scales from layer to layer, which the reference must have too.
pub fn keep(graph: &Graph, ctx: &mut PassCtx<'_>) {
    if ctx.get::<Reference>().is_none() {
        ctx.put(Reference(graph.clone()));
    }
}
