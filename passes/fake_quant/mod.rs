//! fake-quant: round weights and activations to few bits, in place, in floats.
//!
//! Puts QuantizeLinear and DequantizeLinear around what Conv, Gemm and MatMul read: the graph computes what the quantized model will
//! compute, and `fold-quant` then stores it that way. Activations take the ranges that `calibrate` found.
//!
//! * Weights: constant, int8 (`weights=`: int4, int16), symmetric, codes in [-127, 127]. One scale per output channel, or (`granularity=`)
//!   one for all (`tensor`), or one for each `block` inputs (32) of a matrix (`block`; a Conv keeps one per channel).
//! * Activations: uint8 with a zero point (`activations=`: int8, int16, int4 are symmetric, uint16 and uint4 have zero points). One pair of
//!   nodes per value, shared by its readers.
//! * What a Conv writes is quantized too, behind its Relu or Clip: runtimes run integer convolutions only then. A value that data movement
//!   (Reshape, Transpose, MaxPool, …) makes of a quantized one keeps its scale, so that the movement can run on bytes.
//! * `embeddings=true`: tables of Gather are quantized to int8, one scale per column.
//!
//! Only 8 bits run in integers; other types cost what floats cost at run time, and ONNX has them from opset 21 on, as blocks.
//!
//! The profiles differ as the runtimes do:
//!
//! | | `ort` | `tensorrt` | `openvino` | `native` |
//! |---|---|---|---|---|
//! | activations unless `activations=` says otherwise | uint8 | int8, symmetric: no zero points | uint8 | uint8 |
//! | other types | all | none but int8 | 8 and 16 bits | all |
//! | weights | all | int8, one scale per channel or tensor | int8, int4 | all |
//! | what Conv writes | behind Relu or Clip | behind Relu or Clip | behind Relu or Clip | behind all elementwise operators |
//! | biases (`fold-quant`) | int32 | floats | floats | floats |
//! | tables of Gather | int8 | floats | int8 | int8 |
//! | `fold-quant{format=auto}` | either form | QDQ | QDQ | QDQ |
//!
//! `native` is for libraries that `lapidary compile` makes: they compute HardSwish, SiLU or the sum of a residual block where the convolution
//! ends, and round once, at the first value that several read. It stays in floats where no layer multiplies or adds its codes, and where it is
//! averaged (GlobalAveragePool). ONNX Runtime would run such convolutions in floats.
//!
//! Training on: the graph between `fake-quant` and `fold-quant` is an ordinary float graph. A trainer takes it over as it is, with the
//! weights as parameters in front of their QuantizeLinear. The gradient of a pair is the straight-through one: that of the identity where
//! `x / scale + zero_point` lies within the codes, zero outside; scales may be trained or not. `fold-quant{bias=float}` then stores what was
//! trained without changing one bit of any result; so it does with graphs that other tools trained and exported with such pairs.
//!
//! Left alone, with the reason in the ledger: products of two activations (attention scores lose most by 8 bits), weights that are not
//! float32 constants, values that calibration did not see, what is quantized already; convolutions of 4-bit activations, which ONNX Runtime
//! would fuse into an operator that it does not have.

mod epilogue;
mod place;

use crate::common::{
    nothing_done,
    quant::{Statistics, raise_opset},
    reference,
};
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

pub(crate) const NAME: &str = "fake-quant";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("weights", Kind::Choice(&["int8", "int4", "int16"]), Some("int8"), "the type of weights"),
    OptionSpec::new(
        "activations",
        Kind::Choice(&["uint8", "int8", "uint16", "int16", "uint4", "int4"]),
        None,
        "the type of activations (default: the profile's)",
    ),
    OptionSpec::new("granularity", Kind::Choice(&["channel", "tensor", "block"]), Some("channel"), "what of a weight shares a scale"),
    OptionSpec::new("block", Kind::Int, Some("32"), "inputs that share a scale with granularity=block"),
    OptionSpec::new("profile", Kind::Choice(&["ort", "tensorrt", "openvino", "native"]), Some("ort"), "the runtime whose conventions are followed"),
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
    raise_opset(graph, ctx);
    Ok(out)
}
