//! canonicalize: say the same in the fewest and plainest operators, bit for bit.
//!
//! Removes operators that do nothing (Identity, inference-time Dropout, products with one, slices of everything, padding by nothing, …),
//! merges chains of transposes, reshapes and casts, replaces shape arithmetic whose result is known by constants, and takes the branch of
//! an If whose condition is constant. Nothing here changes a bit of a result; `simplify-arithmetic` goes further, within rounding.

mod arithmetic;
mod casts;
mod control;
mod movement;
mod reshapes;
mod shapes;
mod transposes;

use lapidary_ir::{Graph, Result};
use lapidary_rewrite::{Effect, Outcome, Pass, PassCtx, Rule, Run, apply_rules};

pub static PASS: Pass =
    Pass { name: "canonicalize", source: include_str!("mod.rs"), effect: Effect::Exact, options: &[], rules: RULES, run: Run::Code(run) };

static RULES: &[Rule] = &[
    arithmetic::IDENTITY,
    arithmetic::DROPOUT,
    arithmetic::TIMES_ONE,
    arithmetic::MINUS_ZERO,
    arithmetic::PLUS_INTEGER_ZERO,
    arithmetic::SINGLE_OPERAND,
    arithmetic::NOT_NOT,
    casts::CAST_SAME,
    casts::CAST_CAST,
    movement::SLICE_ALL,
    movement::EXPAND_SAME,
    movement::PAD_NOTHING,
    movement::CONCAT_EMPTY,
    movement::SPLIT_ONE,
    reshapes::RESHAPE_SAME,
    reshapes::RESHAPE_CHAIN,
    reshapes::RESHAPE_KNOWN,
    transposes::TRANSPOSE_SAME,
    transposes::TRANSPOSE_TRANSPOSE,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = control::constant_ifs(graph, ctx)?;
    out.merge(shapes::known_values(graph, ctx)?);
    out.merge(apply_rules(graph, RULES, ctx)?);
    Ok(out)
}
