//! fake-quant: round weights and activations to 8 bits, in place, in floats.
//!
//! Puts QuantizeLinear and DequantizeLinear around what Conv, Gemm and MatMul read: the graph computes what the quantized model will
//! compute, and `fold-quant` then stores it that way. Activations take the ranges that `calibrate` found.
//!
//! * Weights: constant, int8, symmetric, one scale per output channel (`granularity=tensor`: one for all), codes in [-127, 127].
//! * Activations: uint8 with a zero point (`profile=tensorrt`: int8, symmetric). One pair of nodes per value, shared by its readers.
//! * What a Conv writes is quantized too, behind its Relu or Clip: runtimes run integer convolutions only then. A value that data movement
//!   (Reshape, Transpose, MaxPool, …) makes of a quantized one keeps its scale, so that the movement can run on bytes.
//! * `embeddings=true`: tables of Gather are quantized as weights are, one scale per column.
//!
//! Left alone, with the reason in the ledger: products of two activations (attention scores lose most by 8 bits), weights that are not
//! float32 constants, values that calibration did not see, what is quantized already.

mod place;

use crate::common::{nothing_done, quant::Statistics, reference};
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

pub(crate) const NAME: &str = "fake-quant";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("weights", Kind::Choice(&["int8"]), Some("int8"), "the type of weights"),
    OptionSpec::new("activations", Kind::Choice(&["uint8", "int8"]), None, "the type of activations (default: the profile's)"),
    OptionSpec::new("granularity", Kind::Choice(&["channel", "tensor"]), Some("channel"), "one scale per output channel, or per weight"),
    OptionSpec::new("profile", Kind::Choice(&["ort", "tensorrt", "openvino"]), Some("ort"), "the runtime whose conventions are followed"),
    OptionSpec::new("ops", Kind::Words, Some("Conv|Gemm|MatMul"), "the operators to quantize, separated by |"),
    OptionSpec::new("embeddings", Kind::Bool, Some("true"), "whether tables of Gather are quantized"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let Some(statistics) = ctx.get::<Statistics>().cloned() else {
        let d = Diagnostic::error("no-statistics", "fake-quant needs to know which values appear, and no calibrate ran before it");
        return Err(d.help("write calibrate{data=\"…\"}, fake-quant, fold-quant").into());
    };
    reference::keep(graph, ctx);
    let out = place::place(graph, ctx, &statistics)?;
    if !out.changed {
        nothing_done(ctx, NAME)?;
    }
    Ok(out)
}
