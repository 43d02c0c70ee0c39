//! trigger-crash: fail on purpose, to see what a bug leaves behind.
//!
//! The manager turns any panic of a pass into a message and keeps the graph before the pass, with the passes that were still to run, in
//! `lapidary-crash-PASS.lap`. This pass shows that on a model of yours, and tests it; it changes nothing and never succeeds.

use lapidary_ir::{Graph, Result};
use lapidary_rewrite::{Effect, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass =
    Pass { name: "trigger-crash", source: include_str!("mod.rs"), effect: Effect::Exact, options: &[], rules: &[], run: Run::Code(run) };

fn run(_: &mut Graph, _: &mut PassCtx<'_>) -> Result<Outcome> {
    panic!("this pass fails on purpose")
}
