//! prune-channels: remove channels of convolutions.
//!
//! A channel goes with everything that belongs to it: the filter that makes it, its bias and batch norm, its place in residual sums and
//! concatenations, and what reads it: the inputs of the next weights, all columns of a Gemm behind a Flatten, the group of a depthwise
//! convolution. Channels that a residual sum ties go together or not at all. What is left is an ordinary smaller model, without masks.
//!
//! `ratio` is the part of each layer's channels that goes (`scope=layer`), or of all channels, the lowest scores first (`scope=global`;
//! `scope=normalized` divides scores by their layer's mean before). Of layers with 64 channels and more, a multiple of 16 is left.
//!
//! Scores: `l1`, `l2`: the norm of the filters (Li et al., "Pruning filters for efficient convnets", 2017). `bn-gamma`: the scale of the
//! batch norm behind (Liu et al., "Network slimming", 2017); prune before batch norms are folded. `activation`: the mean absolute value of
//! the channel on `data`. `wanda`: that of the channel, as root mean square, times the norm of the weights that read it. `ablation`: what
//! the outputs lose without the channel, one at a time (one run of the data per channel). `bonsai`: the same by regression over `runs`
//! random tenths of the channels that are off together.
//!
//! Channels that the model's inputs or outputs show stay, as do those that an operator needs which is not known to this analysis: they are
//! listed with the reason.

use crate::common::activations::{BATCH, DATA};
use crate::common::prune::{self, Amount, METRIC, MULTIPLE, Order, RUNS, What};
use lapidary_ir::{Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "prune-channels";

const SCORES: &[&str] = &["l1", "l2", "bn-gamma", "activation", "wanda", "ablation", "bonsai"];
const OPTIONS: &[OptionSpec] = &[
    Amount::RATIO,
    OptionSpec::new("score", Kind::Choice(SCORES), Some("l1"), "what a channel is worth"),
    OptionSpec::new("scope", Kind::Choice(Amount::SCOPE), Some("layer"), "within what scores are compared"),
    METRIC,
    RUNS,
    MULTIPLE,
    DATA,
    BATCH,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let amount = Amount::of(ctx, NAME)?;
    prune::run(graph, ctx, &Order { pass: NAME, what: vec![What::Channels], amount })
}
