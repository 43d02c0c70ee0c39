//! fold-quant: store what `fake-quant` rounded as integers.
//!
//! * A constant behind a QuantizeLinear becomes the int8 constant `W_quantized` with one DequantizeLinear.
//! * The bias of a Conv or Gemm with quantized operands becomes int32 with the scale of the product (`scale_x · scale_w`). A bias that does
//!   not fit raises the scale of its weights first. `bias=float` leaves biases as they are, and then no result differs by one bit from the
//!   graph before: what was trained with such pairs stays what it was. `auto` is `int32`, but `float` where `fake-quant` had a profile of
//!   TensorRT or OpenVINO, which take no others.
//! * A table is dequantized behind its Gather: rows are looked up as bytes.
//! * A Relu or Clip in front of a QuantizeLinear goes where the quantizer's own saturation does the same.
//!
//! * Records of the exporter on every node (traces, class names; not the module path, which names are recovered from, except
//!   with operators on integers) and its list of parameters go: in a small model
//!   they outweigh the weights saved. `records=true` keeps them.
//!
//! How integers are written (`format`):
//!
//! * `qdq`: operators in floats between DequantizeLinear and QuantizeLinear, the form that ONNX Runtime, TensorRT, OpenVINO and others
//!   recognise and run in integers.
//! * `qoperator`: operators on integers. QLinearConv where a Conv's result is quantized, QLinearMatMul where a MatMul's is, else MatMulInteger
//!   (and an Add of the int32 bias) with one scaling of its sums; what moves elements (Reshape, MaxPool, …) moves codes. ONNX Runtime runs
//!   it as it stands; a code differs from the other form by one at most, where the number lies in the middle of two. Smaller: no bias has a
//!   scale, and there are half as many nodes.
//! * `auto` (the default): `qdq`, but `qoperator` where the pairs with their scales would take more than a fifth of the codes' bytes, so
//!   that the file would miss 30 % of the floats'. That is so in nets of many small convolutions. Models with less than 16 KiB of codes and
//!   `fake-quant` profiles of other runtimes stay `qdq`. The ledger says when.
//!
//! Scales per channel need opset 13: the target rises to it, and the ledger says so.

mod bias;
mod fold;

use crate::common::integer;
use crate::common::quant::{Profile, raise_opset};
use crate::common::records::{self, RECORDS};
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

pub(crate) const NAME: &str = "fold-quant";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "format",
        Kind::Choice(&["auto", "qdq", "qoperator"]),
        Some("auto"),
        "how integers are written: operators between pairs of nodes, or operators on integers (auto: see above)",
    ),
    OptionSpec::new("bias", Kind::Choice(&["auto", "int32", "float"]), Some("auto"), "how the bias of a Conv or Gemm is stored (auto: see above)"),
    RECORDS,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = Outcome::default();
    let ort = ctx.get::<Profile>().is_none_or(|p| *p == Profile::Ort);
    let int_biases = match ctx.options.text("bias") {
        Some("int32") => true,
        Some("float") => false,
        _ => ort,
    };
    if int_biases {
        bias::raise_weight_scales(graph, ctx, &mut out)?;
    }
    fold::weights(graph, ctx, &mut out)?;
    if int_biases {
        bias::quantize(graph, ctx, &mut out)?;
    }
    fold::tables(graph, ctx, &mut out);
    fold::activations(graph, ctx, &mut out);
    let auto = ctx.options.text("format") == Some("auto");
    if ctx.options.text("format") == Some("qoperator") || auto && ort && !ctx.has_selection() && integer::pairs_outweigh(graph) {
        integer::write(graph, ctx, NAME, &mut out)?;
        if auto {
            let message = "the pairs of nodes around integers would weigh more than a fifth of the codes: written as operators on integers";
            ctx.note(Diagnostic::error("qoperator", message).help("fold-quant{format=qdq} keeps the pairs, for runtimes that want them"));
        }
    }
    records::drop(graph, ctx, NAME, &mut out);
    graph.sweep();
    raise_opset(graph, ctx);
    Ok(out)
}
