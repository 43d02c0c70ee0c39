//! factorize-low-rank: replace a weight by a product of smaller ones.
//!
//! A matrix of m × n becomes m × k times k × n: two products with k·(m + n) instead of m·n multiply-adds. A weight stays as it is, with a
//! line in the ledger, where that would be no fewer.
//!
//! * `svd` (the default): the k largest singular values stay, which is the best approximation of the weight itself. Needs no data.
//! * `svd-llm`: the best approximation of what the layer computes on `data`. Source: Wang et al., "SVD-LLM" (2024): with `XXᵀ = S·Sᵀ`, the
//!   singular values of `W·S` are the losses of leaving each out.
//! * `tucker`: convolutions as 1×1, k×k, 1×1, with fewer channels in between (Kim et al., "Compression of deep convolutional neural networks",
//!   2015: Tucker-2 by higher-order orthogonal iteration). Other weights stay.
//!
//! How far to go is said by one of `rank` (k itself), `energy` (the part of the squared singular values that stays, 0 to 1) and `ratio` (the
//! part of each weight's parameters that stays; the default, 0.6). Both factors carry the root of the singular values.
//!
//! Convolutions under `svd` and `svd-llm` become one of the same kernel with k channels, and a 1×1. Covers MatMul, Gemm and Conv but the
//! head (`head=true` includes it); grouped convolutions stay.

mod factors;
mod tucker;

use crate::common::activations::{BATCH, DATA, SEQUENTIAL, each_layer};
use crate::common::layers::{self, Form, HEAD, Layer, Scope};
use crate::common::nothing_done;
use factors::{Target, split};
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "factorize-low-rank";

/// Parameters before and after, over the weights that were factorized.
#[derive(Default)]
struct Sum {
    count: usize,
    before: usize,
    after: usize,
}

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "method",
        Kind::Choice(&["svd", "svd-llm", "tucker"]),
        Some("svd"),
        "what is kept best: the weight, the layer's result, a convolution's channels",
    ),
    OptionSpec::new("rank", Kind::Int, None, "how many singular values stay"),
    OptionSpec::new("energy", Kind::Float, None, "the part of the squared singular values that stays, 0 to 1"),
    OptionSpec::new("ratio", Kind::Float, None, "the part of each weight's parameters that stays, 0 to 1 (the default, 0.6)"),
    DATA,
    BATCH,
    SEQUENTIAL,
    HEAD,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let target = Target::of(ctx)?;
    let method = ctx.options.text("method").unwrap_or("svd").to_string();
    let mut found = layers::find(graph, ctx, NAME, Scope::of(ctx));
    found.retain(|l| match (l.form, method.as_str()) {
        (Form::Conv { groups: 2.. }, _) => {
            ctx.miss(NAME, graph, l.readers[0].0, "its groups are small already");
            false
        }
        (Form::Conv { .. }, _) => true,
        (_, "tucker") => {
            ctx.miss(NAME, graph, l.readers[0].0, "Tucker's factors are those of a convolution");
            false
        }
        _ => true,
    });
    let mut sum = Sum::default();
    let mut store = |graph: &mut Graph, ctx: &mut PassCtx<'_>, layer: &Layer, factors: Option<factors::Factors>| -> Result<()> {
        match factors {
            Some(f) if f.parameters() < layer.rows * layer.columns => {
                sum.count += 1;
                sum.before += layer.rows * layer.columns;
                sum.after += f.parameters();
                f.write(graph, NAME, layer)
            }
            Some(f) => {
                let text =
                    format!("its factors of rank {} would have {} parameters, it has {}", f.rank(), f.parameters(), layer.rows * layer.columns);
                ctx.miss(NAME, graph, layer.readers[0].0, text);
                Ok(())
            }
            None => {
                ctx.miss(NAME, graph, layer.readers[0].0, "its singular values could not be computed");
                Ok(())
            }
        }
    };
    match method.as_str() {
        "svd-llm" => each_layer(graph, ctx, NAME, &mut found, true, &mut |graph, ctx, layer, seen| {
            let factors = factors::of_results(layer.matrix(graph).as_ref(), seen, &target);
            store(graph, ctx, layer, factors)
        })?,
        "tucker" => {
            for layer in &found {
                let factors = tucker::factors(graph, layer, &target);
                store(graph, ctx, layer, factors)?;
            }
        }
        _ => {
            for layer in &found {
                let factors = split(layer.matrix(graph).as_ref(), &target);
                store(graph, ctx, layer, factors)?;
            }
        }
    }
    let mut out = Outcome::default();
    out.touch("weights", sum.count);
    if sum.count == 0 {
        nothing_done(ctx, NAME)?;
    } else {
        let kept = 100.0 * sum.after as f64 / sum.before as f64;
        ctx.note(Diagnostic::error("factors", format!("{} weights keep {kept:.1} % of their {} parameters", sum.count, sum.before)));
        graph.sweep();
    }
    Ok(out)
}
