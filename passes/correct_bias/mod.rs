//! correct-bias: make up for the mean error that quantizing left in each channel.
//!
//! Rounded weights and activations shift what a layer computes, channel by channel, and the shifts add up from layer to layer. On `data`, the
//! mean of each output channel of Conv, Gemm and MatMul is compared with that of the float model, and the difference added to the bias.
//! Layers are corrected in the order of their depth, each after all before it (`sequential=false`: all at once, from one run of the data,
//! without what corrections do to each other). Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
//! Correction" (2019), the empirical form.
//!
//! The float model is the one that the quantizing pass before found (`quantize-weights{…}, correct-bias{data=…}`; `fake-quant` and
//! `quantize-dynamic` keep it too), or the file `reference="FLOAT.onnx"` for models that were quantized elsewhere. Layers are matched by the
//! names of their outputs, then by their own names.
//!
//! The correction goes into the bias where there is one: a constant third operand, an int32 bias behind a DequantizeLinear (rounded to its
//! scale), an Add of a constant behind the product. A convolution without one gets one, int32 where its operands are quantized; elsewhere an
//! Add is put behind the layer.
//!
//! When the outputs on `data` end up farther from the float model's than before, nothing is changed, and the ledger says so. Layers whose
//! weights are as they were stay as they are.

mod add;
#[cfg(test)]
mod golden;
mod measure;
mod sites;

use crate::common::activations::{BATCH, DATA, SEQUENTIAL};
use crate::common::nothing_done;
use crate::common::reference::Reference;
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_ops::infer_types;
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

pub(crate) const NAME: &str = "correct-bias";

const OPTIONS: &[OptionSpec] = &[
    DATA,
    BATCH,
    SEQUENTIAL,
    OptionSpec::new("reference", Kind::Text, None, "the float model's file (default: what the quantizing pass before found)"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    ctx.options.required(NAME, "data")?;
    let float = reference(graph, ctx)?;
    let sites = sites::find(graph, &float, ctx);
    let mut out = Outcome::default();
    if sites.is_empty() {
        nothing_done(ctx, NAME)?;
        return Ok(out);
    }
    let found = measure::corrections(graph, &float, ctx, &sites)?;
    if found.error_after > found.error_before {
        let text = format!(
            "nothing is corrected: on the data the outputs' squared error would rise from {:.3e} to {:.3e} of their power",
            found.error_before, found.error_after
        );
        ctx.note(Diagnostic::error("no-gain", text));
        return Ok(out);
    }
    for (site, delta) in sites.iter().zip(&found.deltas) {
        out.touch(add::correct(graph, site, delta)?, 1);
    }
    graph.sweep();
    let text = format!(
        "the mean error of {} channels falls from {:.3e} to {:.3e} of their power, the outputs' squared error from {:.3e} to {:.3e}",
        found.deltas.iter().map(Vec::len).sum::<usize>(),
        found.shift_before,
        found.shift_after,
        found.error_before,
        found.error_after
    );
    ctx.note(Diagnostic::error("corrected", text));
    Ok(out)
}

/// The float model: the named file, or what an earlier pass kept.
fn reference(graph: &Graph, ctx: &mut PassCtx<'_>) -> Result<Graph> {
    let mut float = match (ctx.options.text("reference"), ctx.get::<Reference>()) {
        (Some(path), _) => ctx.data.model(path)?,
        (None, Some(kept)) => kept.0.clone(),
        (None, None) => {
            let d = Diagnostic::error("no-reference", "correct-bias compares with the float model, and no pass before it kept one");
            return Err(d
                .help("write it behind a quantizing pass, quantize-weights{…}, correct-bias{data=…}, or name a file: reference=\"FLOAT.onnx\"")
                .into());
        }
    };
    infer_types(&mut float)?;
    let names = |g: &Graph| g.inputs().iter().map(|v| g.value(*v).name.to_string()).collect::<Vec<_>>();
    if names(&float) != names(graph) {
        let text = format!("the float model reads {}, this one {}", names(&float).join(", "), names(graph).join(", "));
        return Err(Diagnostic::error("other-model", text).help("the reference must be the model that was quantized").into());
    }
    Ok(float)
}
