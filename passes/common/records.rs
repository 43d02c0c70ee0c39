//! What exporters write on nodes for their own debugging: in a small model it outweighs the weights that quantizing saves.

use lapidary_ir::{Diagnostic, Graph};
use lapidary_rewrite::{Kind, OptionSpec, Outcome, PassCtx};

pub const RECORDS: OptionSpec = OptionSpec::new("records", Kind::Bool, Some("false"), "whether the exporter's records on nodes stay");

/// What PyTorch's exporter says of each node. `name_scopes`, the module path, stays: names are recovered from it.
const KEYS: &[&str] = &["namespace", "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.fx_node", "pkg.torch.onnx.stack_trace"];

/// Drops them from the selected nodes, unless the option `records` keeps them.
pub fn drop(graph: &mut Graph, ctx: &mut PassCtx<'_>, pass: &str, out: &mut Outcome) {
    if ctx.options.flag("records") {
        return;
    }
    let mut bytes = 0;
    for id in graph.operators() {
        if ctx.selected(graph, id) {
            let metadata = &mut graph.node_mut(id).metadata;
            bytes += metadata.iter().filter(|(k, _)| KEYS.contains(&&***k)).map(|(k, v)| k.len() + v.len()).sum::<usize>();
            metadata.retain(|k, _| !KEYS.contains(&&**k));
        }
    }
    if bytes > 0 {
        out.changed = true;
        let note = Diagnostic::error("records-dropped", format!("{bytes} bytes of the exporter's records on nodes were dropped"));
        ctx.note(note.help(format!("{pass}{{records=true}} keeps them")));
    }
}
