//! prune-heads: remove heads of attention.
//!
//! A head goes with its part of the query, key, value and output weights and biases, and the constants that say how many heads there are
//! follow; layers may be left with different numbers of heads. Where several heads of the query share one of keys and values (GQA, MQA),
//! they go together. Both the operator `Attention` and its parts (MatMul, Softmax, MatMul between Reshapes) are understood.
//!
//! `count` says how many heads go in all, `ratio` which part of them; at least one head of each layer stays. Scores are compared over all
//! layers (`scope=global`), as they are, within layers (`scope=layer`, with a ratio), or divided by their layer's mean
//! (`scope=normalized`).
//!
//! Scores: `ablation`: what the outputs lose on `data` without the head, one at a time, as squared error or, with `metric=kl`, as divergence
//! of the probabilities (for language models). `magnitude`: the root mean square of the head's query, key and value weights. `activation`:
//! the mean absolute value of what it gives. `wanda`: that, as root mean square, times the norm of the output weights that read it.
//! `bonsai`: what the outputs lose, by regression over `runs` random tenths of the heads that are off together (Dery et al., 2024).
//! After Michel et al., "Are sixteen heads really better than one?" (2019), with forward runs in place of gradients.

use crate::common::activations::{BATCH, DATA};
use crate::common::prune::{self, Amount, METRIC, Order, RUNS, What};
use lapidary_ir::{Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "prune-heads";

const SCORES: &[&str] = &["ablation", "bonsai", "magnitude", "activation", "wanda"];
const OPTIONS: &[OptionSpec] = &[
    Amount::COUNT,
    Amount::RATIO,
    OptionSpec::new("score", Kind::Choice(SCORES), Some("ablation"), "what a head is worth"),
    OptionSpec::new("scope", Kind::Choice(Amount::SCOPE), Some("global"), "within what scores are compared"),
    METRIC,
    RUNS,
    DATA,
    BATCH,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let amount = Amount::of(ctx, NAME)?;
    prune::run(graph, ctx, &Order { pass: NAME, what: vec![What::Heads], amount })
}
