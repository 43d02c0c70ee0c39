//! prune-width: make layers narrower: the inner width of feed-forward blocks, hidden units of MLPs and of LSTM, GRU and RNN.
//!
//! A unit goes with the row of the weight that makes it, its bias, its gate (both sides of a gated unit), and the column of every weight
//! that reads it. With `hidden=true` the columns of the residual stream go instead: embeddings, every layer norm, and the rows and columns
//! of all weights that write and read the stream, in one cut through the whole model.
//!
//! A layer norm then takes its statistics over what is left, as a model of that width does; for a root mean square norm too. That is
//! another function than the old one with zeros in the stream, and what training afterwards expects (Muralidharan et al., "Compact language
//! models via pruning and knowledge distillation", 2024).
//!
//! `ratio` is the part of each layer that goes (`scope=layer`), or of all units, lowest scores first (`scope=global`, or
//! `scope=normalized`: scores divided by their layer's mean). Of 64 units and more a multiple of 16 is left.
//!
//! Scores: `wanda`: the root mean square of the unit on `data` times the norm of the weights that read it. `activation`: its mean absolute
//! value on `data`. `l1`, `l2`: the norm of the weights that make it: no data needed, and for feed-forward blocks hardly better than
//! chance. `ablation`: what the outputs lose without it (one run of the data for each unit). `bonsai`: the same by regression over
//! `runs` random tenths of the units that are off together (Dery et al., 2024). The default is `wanda` where `data` is given,
//! else `l1`.

use crate::common::activations::{BATCH, DATA};
use crate::common::prune::{self, Amount, METRIC, MULTIPLE, Order, RUNS, What};
use lapidary_ir::{Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "prune-width";

const SCORES: &[&str] = &["l1", "l2", "activation", "wanda", "ablation", "bonsai"];
const OPTIONS: &[OptionSpec] = &[
    Amount::RATIO,
    OptionSpec::new("score", Kind::Choice(SCORES), None, "what a unit is worth (default: wanda with data, l1 without)"),
    OptionSpec::new("scope", Kind::Choice(Amount::SCOPE), Some("layer"), "within what scores are compared"),
    OptionSpec::new("hidden", Kind::Bool, Some("false"), "whether the residual stream gets narrower, instead of what is inside of blocks"),
    METRIC,
    RUNS,
    MULTIPLE,
    DATA,
    BATCH,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let amount = Amount::of(ctx, NAME)?;
    let what = if ctx.options.flag("hidden") { What::Hidden } else { What::Width };
    prune::run(graph, ctx, &Order { pass: NAME, what: vec![what], amount })
}
