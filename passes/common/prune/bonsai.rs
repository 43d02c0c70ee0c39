//! Scores by regression: random tenths of the units are switched off together, and what the outputs lose is explained as a sum over the units
//! that were missing. Far fewer runs than one for each unit. Source: Dery et al., "Everybody prune now: structured pruning of LLMs with only
//! forward passes" (2024), with balanced draws in place of a mask and its complement.

use super::{Candidate, measure};
use crate::common::coupling::{Coupling, Unit};
use crate::common::linalg::inverse;
use faer::Mat;
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Kind, OptionSpec, PassCtx};
use std::collections::BTreeSet;

/// The part of the units that is off in each run.
const PARTS: usize = 10;
/// Strengths of the ridge, relative to the mean diagonal; that with the least error on what was left out is taken.
const RIDGES: [f64; 5] = [1e-2, 1e-1, 1.0, 1e1, 1e2];

pub const RUNS: OptionSpec = OptionSpec::new("runs", Kind::Int, Some("200"), "how many random parts of the model score=bonsai switches off");

pub fn scores(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, c: &Coupling, found: &[Candidate]) -> Result<Vec<Vec<f64>>> {
    let runs = ctx.options.int("runs").unwrap_or(200);
    let Some(runs) = usize::try_from(runs).ok().filter(|r| (PARTS..=100_000).contains(r)) else {
        return Err(Diagnostic::error("pass-option", format!("'runs' is {runs}: regression needs {PARTS} or more")).into());
    };
    // A unit that stands alone in its group cannot go.
    let units: Vec<Unit> = found.iter().flat_map(|f| f.group.units.iter().copied()).collect();
    let sets = draws(&units, runs).into_iter().map(|set| survivable(found, set)).collect::<Vec<_>>();
    let losses = measure::losses(graph, ctx, pass, c, &found.iter().collect::<Vec<_>>(), &sets)?;
    if losses.iter().any(|l| !l.is_finite()) {
        return Err(Diagnostic::error("not-finite", "outputs are not finite without some of the units: no regression can be made of that").into());
    }
    let off = Mat::from_fn(runs, units.len(), |r, u| if sets[r].contains(&units[u]) { 1.0 } else { 0.0 });
    let values = ridge(&off, &losses).ok_or_else(|| Diagnostic::error("no-regression", "the losses of the runs do not determine a regression"))?;
    let mut values = values.into_iter();
    Ok(found.iter().map(|f| values.by_ref().take(f.group.units.len()).collect()).collect())
}

/// Random sets of a tenth of the units. Ten of them together are all units, so that each is off equally often.
fn draws(units: &[Unit], runs: usize) -> Vec<BTreeSet<Unit>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    // Steps of a linear congruential generator (Knuth, MMIX); the upper bits are the better ones.
    let mut below = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) % n.max(1) as u64) as usize
    };
    let mut out: Vec<BTreeSet<Unit>> = vec![];
    while out.len() < runs {
        let mut order = units.to_vec();
        for i in (1..order.len()).rev() {
            order.swap(i, below(i + 1));
        }
        let mut parts = vec![BTreeSet::new(); PARTS];
        order.into_iter().enumerate().for_each(|(i, u)| {
            parts[i % PARTS].insert(u);
        });
        out.extend(parts);
    }
    out.truncate(runs);
    out
}

/// A set without the first unit of every group of which it would take everything.
fn survivable(found: &[Candidate], mut set: BTreeSet<Unit>) -> BTreeSet<Unit> {
    for f in found.iter().filter(|f| f.group.pinned == 0) {
        if f.group.units.iter().all(|u| set.contains(u))
            && let Some(first) = f.group.units.first()
        {
            set.remove(first);
        }
    }
    set
}

/// The coefficients of a ridge regression with an intercept, by the dual form (runs × runs), its strength chosen by leaving one out.
fn ridge(x: &Mat<f64>, y: &[f64]) -> Option<Vec<f64>> {
    let (m, n) = (x.nrows(), x.ncols());
    let mean = |v: &mut dyn Iterator<Item = f64>, n: usize| v.sum::<f64>() / n.max(1) as f64;
    let means: Vec<f64> = (0..n).map(|j| mean(&mut x.col(j).iter().copied(), m)).collect();
    let centred = Mat::from_fn(m, n, |i, j| x[(i, j)] - means[j]);
    let offset = mean(&mut y.iter().copied(), m);
    let target = Mat::from_fn(m, 1, |i, _| y[i] - offset);
    let gram = &centred * centred.transpose();
    let scale = mean(&mut (0..m).map(|i| gram[(i, i)]), m).max(f64::MIN_POSITIVE);
    let mut best: Option<(f64, Mat<f64>)> = None;
    for strength in RIDGES {
        let damped = Mat::from_fn(m, m, |i, j| gram[(i, j)] + if i == j { strength * scale } else { 0.0 });
        let Some(inverse) = inverse(damped.as_ref()) else { continue };
        let weights = &inverse * &target;
        let error: f64 = (0..m).map(|i| (weights[(i, 0)] / inverse[(i, i)]).powi(2)).sum();
        if best.as_ref().is_none_or(|b| error < b.0) {
            best = Some((error, weights));
        }
    }
    let weights = best?.1;
    let out = centred.transpose() * weights;
    Some((0..n).map(|j| out[(j, 0)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Importances that were planted come back in their order.
    #[test]
    fn regression_finds_what_was_planted() {
        let units: Vec<Unit> = (0..60).collect();
        let truth = |u: &Unit| ((u * 37) % 60) as f64;
        let sets = draws(&units, 200);
        let y: Vec<f64> = sets.iter().map(|s| s.iter().map(truth).sum::<f64>() + s.len() as f64 * 0.1).collect();
        let x = Mat::from_fn(200, 60, |r, u| if sets[r].contains(&u) { 1.0 } else { 0.0 });
        let found = ridge(&x, &y).unwrap();
        let rank = |v: &dyn Fn(usize) -> f64, u: usize| (0..60).filter(|o| v(*o) < v(u)).count() as f64;
        let squares: f64 = (0..60).map(|u| (rank(&|o| found[o], u) - rank(&|o| truth(&o), u)).powi(2)).sum();
        let spearman = 1.0 - 6.0 * squares / (60.0 * (3600.0 - 1.0));
        assert!(spearman > 0.9, "{spearman}");
    }

    #[test]
    fn every_unit_is_off_equally_often() {
        let sets = draws(&(0..25).collect::<Vec<_>>(), 20);
        assert!((0..25).all(|u| sets.iter().filter(|s| s.contains(&u)).count() == 2));
    }
}
