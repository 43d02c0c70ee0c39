//! smooth-quant: make activations easier to quantize, at the weights' expense.
//!
//! In large language models a few channels of a layer's input are a hundred times the others, and 8 bits for all leave the others nothing.
//! Each channel is divided by `s = max|x|^alpha / max|w|^(1-alpha)`, in the normalization or layer before, and the weights are multiplied.
//! Source: Xiao et al., "SmoothQuant" (2023). Run it before `calibrate`.
//!
//! The scales are rounded to powers of two: then no bit of any result changes, and the loss against free scales is below what 8 bits show.
//!
//! Weights pay for what activations gain, and where no channel stands out they pay in vain: `least=4` leaves alone the inputs whose largest
//! channel is less than four times the median one.
//!
//! Covers MatMul, Gemm and Conv whose input nothing else reads (all its readers are scaled together) and comes from a normalization, a
//! layer, or attention over the values of one; the others are listed with the reason.

use crate::common::activations::{BATCH, DATA, observe};
use crate::common::layers::{self, Scope};
use crate::common::nothing_done;
use crate::common::scaling::{joints, power_of_two};
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Exact, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "smooth-quant";

const OPTIONS: &[OptionSpec] = &[
    DATA,
    BATCH,
    OptionSpec::new("alpha", Kind::Float, Some("0.5"), "how much goes to the weights, 0 to 1: more where activations are worse"),
    OptionSpec::new("least", Kind::Float, Some("0"), "scale only where the largest channel is at least so many times the median one"),
    OptionSpec::new("ops", Kind::Words, Some("Conv|Gemm|MatMul"), "the operators whose inputs are scaled, separated by |"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let alpha = ctx.options.float("alpha").unwrap_or(0.5);
    if !(0.0..=1.0).contains(&alpha) {
        return Err(Diagnostic::error("pass-option", format!("'alpha' is {alpha}, which is not from 0 to 1")).into());
    }
    let least = ctx.options.float("least").unwrap_or(0.0);
    let mut found = layers::find(graph, ctx, NAME, Scope { head: true, embeddings: false });
    let ops: Vec<String> = ctx.options.words("ops").into_iter().map(str::to_string).collect();
    found.retain(|l| l.readers.iter().all(|(n, _)| ops.iter().any(|o| graph.node(*n).is(o))));
    let joints = joints(graph, ctx, NAME, &found);
    let first: Vec<&layers::Layer> = joints.iter().map(|j| &found[j.members[0]]).collect();
    let seen = if first.is_empty() { vec![] } else { observe(graph, ctx, NAME, &first, false)? };
    let mut out = Outcome::default();
    for (joint, seen) in joints.iter().zip(&seen) {
        let (mut x, mut w) = (vec![0f64; joint.channels], vec![0f64; joint.channels]);
        let layer = &found[joint.members[0]];
        for (i, v) in seen.max_abs.iter().enumerate() {
            let at = layer.channel(i / layer.columns * (layer.rows / layer.groups()), i % layer.columns, joint.channels);
            x[at] = x[at].max(*v);
        }
        for layer in joint.members.iter().map(|i| &found[*i]) {
            let m = layer.matrix(graph);
            for r in 0..m.nrows() {
                for c in 0..m.ncols() {
                    let at = layer.channel(r, c, joint.channels);
                    w[at] = w[at].max(m[(r, c)].abs());
                }
            }
        }
        let scales = scales(&x, &w, alpha);
        let spread = spread(&x);
        if spread < least {
            let reason = format!("its inputs are not scaled: the largest channel is {spread:.1} times the median one, less than {least}");
            ctx.miss(NAME, graph, layer.readers[0].0, reason);
            continue;
        }
        if scales.iter().any(|s| *s != 1.0) {
            joint.scale(graph, NAME, &mut found, &scales)?;
            out.touch("inputs", 1);
        }
    }
    if joints.is_empty() {
        nothing_done(ctx, NAME)?;
    }
    Ok(out)
}

/// How many times the median the largest is.
fn spread(x: &[f64]) -> f64 {
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (median, largest) = (sorted.get(sorted.len() / 2).copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
    if median > 0.0 { largest / median } else { f64::INFINITY }
}

/// What each channel of the inputs is divided by, from the largest magnitudes of its inputs and weights. A channel without inputs or without
/// weights is left as it is: the quotient is 0, infinite or no number.
fn scales(x: &[f64], w: &[f64], alpha: f64) -> Vec<f64> {
    x.iter().zip(w).map(|(x, w)| power_of_two(x.powf(alpha) / w.powf(1.0 - alpha))).collect()
}

#[cfg(test)]
mod tests {
    use super::scales;
    use crate::common::golden::Golden;

    #[test]
    fn scales_are_those_of_the_paper_as_powers_of_two() {
        let golden = Golden::read();
        let largest = |name: &str, rows: usize| -> Vec<f64> {
            let m = golden.matrix(name, rows);
            (0..m.ncols()).map(|c| m.col(c).iter().fold(0.0, |a: f64, v| a.max(v.abs()))).collect()
        };
        for alpha in [0.25, 0.5, 0.75] {
            assert_eq!(scales(&largest("awq.x", 100), &largest("awq.w", 8), alpha), golden.reals(&format!("smooth.{alpha}")));
        }
    }
}
