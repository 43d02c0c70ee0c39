//! What exporters write on nodes for their own debugging: in a small model it outweighs the weights that quantizing saves.

use lapidary_ir::{Diagnostic, Graph};
use lapidary_rewrite::{Kind, OptionSpec, Outcome, PassCtx};

pub const RECORDS: OptionSpec = OptionSpec::new("records", Kind::Bool, Some("false"), "whether the exporter's records on nodes stay");

/// What PyTorch's exporter says of each node. `name_scopes`, the module path, stays: names are recovered from it.
const KEYS: &[&str] = &["namespace", "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.fx_node", "pkg.torch.onnx.stack_trace"];

const SCOPES: &str = "pkg.torch.onnx.name_scopes";

/// Drops them from the selected nodes, unless the option `records` keeps them. Module paths go too where operators work on integers: those
/// hold no weights that a name would be looked up for.
pub fn drop(graph: &mut Graph, ctx: &mut PassCtx<'_>, pass: &str, out: &mut Outcome) {
    if ctx.options.flag("records") {
        return;
    }
    let (mut bytes, mut nodes) = (0, 0);
    let integers = graph.operators().iter().any(|n| graph.node(*n).is("QLinearConv") || graph.node(*n).is("MatMulInteger"));
    let goes = |k: &str| KEYS.contains(&k) || integers && k == SCOPES;
    for id in graph.operators() {
        if ctx.selected(graph, id) {
            let metadata = &mut graph.node_mut(id).metadata;
            bytes += metadata.iter().filter(|(k, _)| goes(k)).map(|(k, v)| k.len() + v.len()).sum::<usize>();
            nodes += usize::from(metadata.keys().any(|k| goes(k)));
            metadata.retain(|k, _| !goes(k));
        }
    }
    if bytes > 0 {
        out.touch("records", nodes);
        let note = Diagnostic::error("records-dropped", format!("{bytes} bytes of the exporter's records on nodes were dropped"));
        ctx.note(note.help(format!("{pass}{{records=true}} keeps them")));
    }
}
