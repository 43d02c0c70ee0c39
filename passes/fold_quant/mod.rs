//! fold-quant: store what `fake-quant` rounded as integers.
//!
//! * A constant behind a QuantizeLinear becomes the int8 constant `W_quantized` with one DequantizeLinear.
//! * The bias of a Conv or Gemm with quantized operands becomes int32 with the scale of the product (`scale_x · scale_w`). A bias that does
//!   not fit raises the scale of its weights first.
//! * A table is dequantized behind its Gather: rows are looked up as bytes.
//! * A Relu or Clip in front of a QuantizeLinear goes where the quantizer's own saturation does the same.
//!
//! * Records of the exporter on every node (traces, class names; not the module path, which names are recovered from) go: in a small model
//!   they outweigh the weights saved. `records=true` keeps them.
//!
//! The result is a model in the form that ONNX Runtime and others recognise and run in integers. Scales per channel need opset 13: the
//! target rises to it, and the ledger says so.

mod bias;
mod fold;

use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

pub(crate) const NAME: &str = "fold-quant";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "format",
        Kind::Choice(&["qdq", "qoperator"]),
        Some("qdq"),
        "how integers are written: operators between pairs of nodes, or operators on integers",
    ),
    OptionSpec::new("records", Kind::Bool, Some("false"), "whether the exporter's records on nodes stay"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    if ctx.options.text("format") == Some("qoperator") {
        let d = Diagnostic::unsupported("qoperator", "the form with integer operators is not written yet");
        return Err(d.help("use format=qdq, which runtimes fuse into the same kernels").into());
    }
    let mut out = Outcome::default();
    bias::raise_weight_scales(graph, ctx, &mut out)?;
    fold::weights(graph, ctx, &mut out)?;
    bias::quantize(graph, ctx, &mut out)?;
    fold::tables(graph, ctx, &mut out);
    fold::activations(graph, ctx, &mut out);
    if !ctx.options.flag("records") {
        drop_records(graph, ctx, &mut out);
    }
    graph.sweep();
    let (quantizers, per_channel) = fold::forms(graph);
    if quantizers {
        ctx.raise_opset(10, "QuantizeLinear and DequantizeLinear came with it");
    }
    if per_channel {
        ctx.raise_opset(13, "scales per channel came with it");
    }
    Ok(out)
}

/// What PyTorch's exporter says of each node for its own debugging. `name_scopes`, the module path, stays.
const RECORDS: &[&str] = &["namespace", "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.fx_node", "pkg.torch.onnx.stack_trace"];

fn drop_records(graph: &mut Graph, ctx: &mut PassCtx<'_>, out: &mut Outcome) {
    let mut bytes = 0;
    for id in graph.operators() {
        if ctx.selected(graph, id) {
            let metadata = &mut graph.node_mut(id).metadata;
            bytes += metadata.iter().filter(|(k, _)| RECORDS.contains(&&***k)).map(|(k, v)| k.len() + v.len()).sum::<usize>();
            metadata.retain(|k, _| !RECORDS.contains(&&**k));
        }
    }
    if bytes > 0 {
        out.changed = true;
        ctx.note(
            Diagnostic::error("records-dropped", format!("{bytes} bytes of the exporter's records on nodes were dropped"))
                .help("fold-quant{records=true} keeps them"),
        );
    }
}
