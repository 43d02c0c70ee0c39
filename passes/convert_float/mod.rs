//! convert-float: compute and store in 16-bit floats what can stand it, and keep the rest in f32.
//!
//! `to=f16` (10 bits of mantissa, largest number 65504) or `to=bf16` (7 bits, the range of f32). The file halves, and so does what runtimes
//! with 16-bit arithmetic read.
//!
//! * Products and convolutions (MatMul, Gemm, Conv, ConvTranspose, Einsum, RNN, GRU, LSTM, Attention) become 16-bit, and what
//!   reads a large constant (tables of embeddings).
//! * *Islands* stay in f32: softmax, norms, sums and means, exp, log, pow, roots, sines and what else loses its digits or leaves the range.
//!   `islands="A|B"` adds operators to them.
//! * All other operators follow their neighbours: 16-bit where an operand is, or where all readers want it; so segments are as long as they
//!   can be and few values are cast. A value is cast once for all its readers; a Cast that has become needless goes.
//! * `ops="A|B"` converts these operators alone, islands too when they are named. So does a selector `on(…)`.
//! * Inputs and outputs of the graph keep their types; `io=convert` changes them too.
//! * Bodies of If, Loop and Scan are converted inside; what crosses their edge stays f32, but for captured values that the body only wants
//!   in 16 bits.
//! * `storage=true` (the default for bf16) changes only how weights are stored: 16 bits, and a Cast to f32 in front of each reader. Nothing
//!   computes in 16 bits, and every runtime that knows Cast loads it.
//! * `products=true` rounds the factors of products (MatMul, Gemm, Conv, Attention) and nothing else: a Cast to 16 bits and one back to f32
//!   in front of each; sums, and what follows them, are f32. That is what CPUs with BF16 instructions compute, and what
//!   `compile --precision bf16` compiles. An Attention whose number of keys is known gives its weights, and a MatMul multiplies them by the
//!   values, so that they are rounded as well. Products that would gain nothing stay as they are, for reasons that `--why` tells: depthwise
//!   convolutions, few channels and columns, and (unless `winograd=false`) 3 × 3 convolutions that Winograd's algorithm computes faster in f32.
//!
//! Weights are rounded to nearest even. Numbers beyond the type's largest become the largest (`overflow=infinity`: infinity), as masks of
//! -1e9 should; the ledger names each tensor in which that happens, and those that lose digits because they are very small (subnormal). An
//! elementwise operator with a constant that would become 0 (the 1e-12 of a norm) stays in f32, as does a division by what is too large.
//!
//! Left alone: what is quantized already, operators of other domains, operators that have no 16-bit form. The opset rises where an operator
//! got its bf16 form later (Conv: 22).
//!
//! ONNX Runtime 1.31 on CPUs loads any f16 model (it casts where it has no kernel) but has next to no bf16 kernels: of a model that computes
//! in bf16 it refuses MatMul, Gemm, Conv, Add and most others at load ("NOT_IMPLEMENTED"). Hence `storage=true` there; `storage=false` is for
//! runtimes on accelerators and for `lapidary compile`.

mod apply;
mod attention;
#[cfg(test)]
mod golden;
mod plan;
mod products;
mod rounding;

use crate::common::nothing_done;
use lapidary_ir::{DType, Diagnostic, Graph, Result, nearest};
use lapidary_ops::schema;
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

pub(crate) const NAME: &str = "convert-float";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("to", Kind::Choice(&["f16", "bf16"]), Some("f16"), "the type of 16 bits"),
    OptionSpec::new("islands", Kind::Words, None, "operators that stay in f32 besides the usual ones, separated by |"),
    OptionSpec::new("ops", Kind::Words, None, "the operators to convert, separated by | (default: all but the islands)"),
    OptionSpec::new("io", Kind::Choice(&["keep", "convert"]), Some("keep"), "whether inputs and outputs of the graph keep their types"),
    OptionSpec::new("storage", Kind::Bool, None, "whether only the weights are stored in 16 bits (default: true for bf16, false for f16)"),
    OptionSpec::new("products", Kind::Bool, Some("false"), "whether only the factors of products are rounded, and sums stay in f32"),
    OptionSpec::new("winograd", Kind::Bool, Some("true"), "whether products=true leaves out convolutions for which Winograd's algorithm pays"),
    OptionSpec::new("overflow", Kind::Choice(&["largest", "infinity"]), Some("largest"), "what a constant beyond the largest number becomes"),
];

/// What is in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Operands and results.
    Compute,
    /// Weights, as they are stored.
    Storage,
    /// The factors of products.
    Products,
}

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let to = if ctx.options.text("to") == Some("bf16") { DType::BF16 } else { DType::F16 };
    let storage = if ctx.options.get("storage").is_some() { ctx.options.flag("storage") } else { to == DType::BF16 };
    let convert_io = ctx.options.text("io") == Some("convert");
    let products = ctx.options.flag("products");
    let form = match (products, storage) {
        (true, _) => Form::Products,
        (false, true) => Form::Storage,
        (false, false) => Form::Compute,
    };
    if products && ctx.options.get("storage").is_some() {
        let d = Diagnostic::error("pass-option", "products=true says already what is in 16 bits and what is not, and 'storage' says it again");
        return Err(d.help("leave out one of them").into());
    }
    if form != Form::Compute && convert_io {
        let option = if products { "products" } else { "storage" };
        let d = Diagnostic::error("pass-option", format!("{option}=true leaves every result in f32, and io=convert changes its inputs"));
        return Err(d.help(format!("write {option}=false, or leave out io")).into());
    }
    let policy = plan::Policy {
        to,
        islands: operators(ctx, "islands")?.unwrap_or_default(),
        ops: operators(ctx, "ops")?,
        convert_io,
        form,
        winograd: ctx.options.flag("winograd"),
        target: ctx.target_opset,
    };
    // What a selection names stays as it is named.
    if form == Form::Products && policy.ops.is_none() && !ctx.has_selection() {
        graph.operators().into_iter().for_each(|id| attention::take_apart(graph, id));
        graph.sweep();
    }
    let plan = plan::plan(graph, ctx, &policy);
    let mut out = Outcome::default();
    if plan.nodes() == 0 {
        nothing_done(ctx, NAME)?;
        return match &policy.ops {
            Some(ops) => {
                let d = Diagnostic::error("nothing-done", format!("no {} computes in f32 and has a form in {to}", ops.join(", ")));
                Err(ctx
                    .misses
                    .iter()
                    .filter(|m| m.rule == NAME)
                    .take(3)
                    .fold(d, |d, m| d.note(format!("{} '{}': {}", m.op, m.node, m.reason)))
                    .into())
            }
            None => Ok(out),
        };
    }
    if to == DType::BF16 {
        ctx.raise_opset(13, "Cast knows bf16 since then");
    }
    if form == Form::Compute
        && let Some((opset, op)) = plan.opset()
    {
        ctx.raise_opset(opset, &format!("{op} has a form in {to} since then"));
    }
    let mut work = apply::Work::new(to, form, ctx.options.text("overflow") == Some("infinity"));
    work.graph(graph, &plan, apply::Edges { inputs: convert_io, outputs: convert_io })?;
    graph.sweep();
    out.touch("nodes", if form == Form::Storage { 0 } else { plan.nodes() });
    out.touch("weights", work.weights);
    // What reads only f32 constants may have none to store.
    if !out.changed {
        nothing_done(ctx, NAME)?;
    }
    work.notes().into_iter().for_each(|n| ctx.note(n));
    Ok(out)
}

/// The operators that an option names.
///
/// # Errors
/// One that ONNX does not have.
fn operators(ctx: &PassCtx<'_>, option: &str) -> Result<Option<Vec<String>>> {
    if ctx.options.get(option).is_none() {
        return Ok(None);
    }
    let names: Vec<String> = ctx.options.words(option).into_iter().map(str::to_string).collect();
    for name in &names {
        if schema::versions("", name).is_empty() {
            let d = Diagnostic::error("unknown-operator", format!("'{option}' names '{name}', which is no operator of ONNX"));
            let known = schema::SCHEMAS.iter().filter(|s| s.domain.is_empty()).map(|s| s.name);
            return Err(match nearest(name, known) {
                Some(n) => d.help(format!("did you mean '{n}'?")),
                None => d.help("`lapidary ops` lists them"),
            }
            .into());
        }
    }
    Ok(Some(names))
}
