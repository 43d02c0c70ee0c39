//! quantize-dynamic: weights in 8 bits, activations quantized as they come, products in integers. Needs no data.
//!
//! * MatMul, Gemm: DynamicQuantizeLinear, MatMulInteger, and the product with both scales. Conv: ConvInteger in the same way. A value that
//!   several nodes read is quantized once.
//! * Activations are uint8 with one scale per value, found on each run. `activations=token`: one scale per row (the last axis), symmetric, so
//!   that a row with large elements does not cost the others their digits (as LLM.int8() does; Dettmers et al., 2022). It is written in
//!   standard operators (Abs, ReduceMax, Div, Round, Cast). Convolutions have no rows: theirs keep one scale.
//! * Weights are int8, symmetric, one scale per output channel (`granularity=tensor`: one per matrix), codes in [-127, 127].
//!   `weights=uint8`: with a zero point. A convolution's then is 128, the only one for all channels that runtimes take.
//! * `reduce_range=true`: weights of 7 bits, [-64, 64] or [0, 127]. CPUs without VNNI add two products of u8 and i8 in 16 bits, which 8 bits
//!   can overflow.
//! * LSTM, GRU and RNN: their weights are int8 behind a DequantizeLinear and the node computes in floats. (DynamicQuantizeLSTM, which would
//!   not, is ONNX Runtime's own.)
//! * `embeddings=true` (default): tables that Gather takes rows from are int8 with one scale per row.
//! * The exporter's records on nodes go, as with `fold-quant`; `records=true` keeps them.
//!
//! Every weight is covered, the head too; `ops="A|B"` or a selector `on(…)` narrows it. Weights and scales are those of ONNX Runtime's
//! `quantize_dynamic`. What `decompose-outliers` split off stays in floats: `decompose-outliers{data=…}, quantize-dynamic{activations=token}`
//! is LLM.int8() with the outliers of the data.
//!
//! Left alone, with the reason in the ledger: products of two activations, weights that are not f32, not finite, or shared with nodes that
//! need them as they are, transposed convolutions, bodies of If, Loop and Scan. The opset rises to 11, where DynamicQuantizeLinear came in.

mod codes;
#[cfg(test)]
mod golden;
mod write;

use crate::common::layers::{self, EMBEDDINGS, Form, Layer, Scope};
use crate::common::nothing_done;
use crate::common::quant::STAYS_FLOAT;
use crate::common::records::{self, RECORDS};
use crate::common::reference;
use codes::Kind as Codes;
use lapidary_ir::{DType, Diagnostic, Graph, NodeId, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

pub(crate) const NAME: &str = "quantize-dynamic";

/// What the option `ops` may name.
const OPS: &[&str] = &["Conv", "GRU", "Gemm", "LSTM", "MatMul", "RNN"];
const RECURRENT: &[&str] = &["GRU", "LSTM", "RNN"];

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("activations", Kind::Choice(&["tensor", "token"]), Some("tensor"), "one scale for a value, or one for each of its rows"),
    OptionSpec::new("weights", Kind::Choice(&["int8", "uint8"]), Some("int8"), "the type of weights"),
    OptionSpec::new("granularity", Kind::Choice(&["channel", "tensor"]), Some("channel"), "one scale per output channel, or per weight"),
    OptionSpec::new("reduce_range", Kind::Bool, Some("false"), "whether weights have 7 bits, for CPUs without VNNI"),
    OptionSpec::new("ops", Kind::Words, Some("Conv|GRU|Gemm|LSTM|MatMul|RNN"), "the operators to quantize, separated by |"),
    OptionSpec { default: Some("true"), ..EMBEDDINGS },
    RECORDS,
];

/// Tables of fewer elements are not worth the nodes that it takes.
const TABLE: usize = 1024;

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let ops: Vec<String> = ctx.options.words("ops").into_iter().map(str::to_string).collect();
    if let Some(unknown) = ops.iter().find(|o| !OPS.contains(&o.as_str())) {
        let d = Diagnostic::error("pass-option", format!("'ops' names '{unknown}', which has no form with quantized weights here"));
        return Err(d.help(format!("it takes {}", OPS.join(", "))).into());
    }
    let kind = Codes {
        unsigned: ctx.options.text("weights") == Some("uint8"),
        per_channel: ctx.options.text("granularity") != Some("tensor"),
        reduced: ctx.options.flag("reduce_range"),
    };
    let rows = ctx.options.text("activations") == Some("token");
    let scope = Scope { head: true, embeddings: ctx.options.flag("embeddings") };
    let found = layers::find(graph, ctx, NAME, scope);
    let recurrent: Vec<NodeId> = graph.operators().into_iter().filter(|n| is_one_of(graph, *n, RECURRENT, &ops) && ctx.selected(graph, *n)).collect();
    transposed(graph, ctx);
    reference::keep(graph, ctx);
    let mut out = Outcome::default();
    let mut writer = write::Writer::new(kind, rows);
    for layer in &found {
        let name = graph.node(layer.readers[0].0).op.name.to_string();
        if layer.form != Form::Table && !ops.contains(&name) {
            continue;
        }
        match fits(graph, layer) {
            Ok(()) => {
                writer.layer(graph, layer)?;
                out.touch(&name, layer.readers.len());
            }
            Err(reason) => ctx.miss(NAME, graph, layer.readers[0].0, reason),
        }
    }
    let mut per_channel = false;
    for id in recurrent {
        match writer.recurrent(graph, id)? {
            Ok(()) => {
                per_channel |= kind.per_channel;
                out.touch(&graph.node(id).op.name, 1);
            }
            Err(reason) => ctx.miss(NAME, graph, id, reason),
        }
    }
    if !out.changed {
        nothing_done(ctx, NAME)?;
        return Ok(out);
    }
    graph.sweep();
    records::drop(graph, ctx, NAME, &mut out);
    ctx.raise_opset(11, "DynamicQuantizeLinear and MatMulInteger came with it");
    if per_channel {
        ctx.raise_opset(13, "scales per channel came with it");
    }
    let text = format!("{} weights take {} bytes instead of {} as f32", writer.weights, writer.bytes, 4 * writer.weights);
    ctx.note(Diagnostic::error("weights-size", text));
    Ok(out)
}

fn is_one_of(graph: &Graph, id: NodeId, names: &[&str], ops: &[String]) -> bool {
    let op = &graph.node(id).op;
    op.domain.is_empty() && names.contains(&&*op.name) && ops.iter().any(|o| **o == *op.name)
}

/// Why a layer stays as it is, if it does.
fn fits(graph: &Graph, layer: &Layer) -> Result<(), &'static str> {
    let Some(t) = graph.as_constant(layer.weight) else { return Err("its weight is no constant") };
    if t.dtype() != DType::F32 {
        return Err("its weight is not f32");
    }
    let stays = |n: NodeId| graph.node(n).metadata.get(STAYS_FLOAT.0).is_some_and(|p| **p == *STAYS_FLOAT.1);
    if layer.readers.iter().any(|(n, _)| stays(*n)) {
        return Err("it holds what was split off to stay in floats");
    }
    if layer.form == Form::Table && t.len() < TABLE {
        return Err("its table is too small to be worth it");
    }
    if layer.form != Form::Table && layer.readers.iter().any(|(_, x)| graph.dtype(*x) != DType::F32) {
        return Err("it does not compute in f32");
    }
    let bias = |n: NodeId| graph.node(n).input(2);
    if matches!(layer.form, Form::Conv { .. }) && layer.readers.iter().filter_map(|(n, _)| bias(*n)).any(|b| graph.as_constant(b).is_none()) {
        return Err("its bias is computed");
    }
    if !t.to_vec::<f32>().is_some_and(|v| v.iter().all(|v| v.is_finite())) {
        return Err("its weight has elements that are not finite");
    }
    Ok(())
}

/// Transposed convolutions have weights, and no integer form.
fn transposed(graph: &Graph, ctx: &mut PassCtx<'_>) {
    for id in graph.operators() {
        if graph.node(id).is("ConvTranspose") && ctx.selected(graph, id) {
            ctx.miss(NAME, graph, id, "ONNX has no transposed convolution of integers");
        }
    }
}
