//! Which weights go, given a score for each.

use faer::Mat;
use lapidary_ir::{Diagnostic, Result};
use lapidary_rewrite::PassCtx;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// A part of all.
    Free(f64),
    /// `keep` of every `of` neighbours in a row stay.
    Neighbours { keep: usize, of: usize },
    /// A part of all blocks.
    Blocks { ratio: f64, rows: usize, columns: usize },
}

impl Pattern {
    /// What the options `ratio` and `pattern` say.
    pub fn of(ctx: &PassCtx<'_>) -> Result<Pattern> {
        let wrong = |text: String, help: &str| Err(Diagnostic::error("pass-option", text).help(help).into());
        let given = ctx.options.float("ratio");
        let ratio = given.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&ratio) {
            return wrong(format!("'ratio' is {ratio}"), "it is the part that becomes zero, from 0 to 1");
        }
        let Some(text) = ctx.options.text("pattern") else { return Ok(Pattern::Free(ratio)) };
        let pair = |separator: char| -> Option<(usize, usize)> {
            let (a, b) = text.split_once(separator)?;
            Some((a.trim().parse().ok()?, b.trim().parse().ok()?))
        };
        match (pair(':'), pair('x')) {
            (Some((keep, of)), _) if keep < of && of <= 1024 => match given {
                Some(_) => wrong(format!("both ratio={ratio} and pattern=\"{text}\" are given"), "a pattern N:M says how many weights go by itself"),
                None => Ok(Pattern::Neighbours { keep, of }),
            },
            (_, Some((rows @ 1..=4096, columns @ 1..=4096))) => Ok(Pattern::Blocks { ratio, rows, columns }),
            _ => wrong(
                format!("pattern \"{text}\" is none"),
                "write \"2:4\" to keep 2 of 4 neighbours, or \"1x16\" for blocks of 1 output by 16 inputs",
            ),
        }
    }
    /// Sets the weights with the lowest scores to zero: in each row by itself (`by_row`), or in the whole matrix. Of equal scores the
    /// earlier goes first.
    pub fn apply(&self, w: &mut Mat<f64>, scores: &Mat<f64>, by_row: bool) {
        let (rows, columns) = (w.nrows(), w.ncols());
        match *self {
            Pattern::Free(ratio) if by_row => {
                // Rounded down, as the authors of Wanda do.
                let count = (columns as f64 * ratio) as usize;
                for r in 0..rows {
                    lowest((0..columns).map(|c| (scores[(r, c)], (r, c))), count).for_each(|at| w[at] = 0.0);
                }
            }
            Pattern::Free(ratio) => {
                let all = (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c)));
                let count = ((rows * columns) as f64 * ratio).round_ties_even() as usize;
                lowest(all.map(|at| (scores[at], at)), count).for_each(|at| w[at] = 0.0);
            }
            Pattern::Neighbours { keep, of } => {
                for r in 0..rows {
                    for first in (0..columns).step_by(of) {
                        let last = (first + of).min(columns);
                        lowest((first..last).map(|c| (scores[(r, c)], (r, c))), (last - first).saturating_sub(keep)).for_each(|at| w[at] = 0.0);
                    }
                }
            }
            Pattern::Blocks { ratio, rows: high, columns: wide } => {
                let corners = (0..rows).step_by(high).flat_map(|r| (0..columns).step_by(wide).map(move |c| (r, c)));
                let inside = |(r, c): (usize, usize)| (r..(r + high).min(rows)).flat_map(move |r| (c..(c + wide).min(columns)).map(move |c| (r, c)));
                // By the mean: blocks at the edge are smaller.
                let mean = |at| inside(at).map(|i| scores[i]).sum::<f64>() / inside(at).count() as f64;
                let blocks: Vec<_> = corners.map(|at| (mean(at), at)).collect();
                let count = (blocks.len() as f64 * ratio).round_ties_even() as usize;
                lowest(blocks.into_iter(), count).for_each(|at| inside(at).for_each(|i| w[i] = 0.0));
            }
        }
    }
}

/// The places of the `count` lowest scores.
fn lowest(scores: impl Iterator<Item = (f64, (usize, usize))>, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut all: Vec<_> = scores.collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().take(count).map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(pattern: Pattern, by_row: bool) -> Vec<Vec<usize>> {
        let mut w = Mat::from_fn(2, 8, |r, c| (1 + r * 8 + (c * 5) % 8) as f64);
        let scores = w.clone();
        pattern.apply(&mut w, &scores, by_row);
        (0..2).map(|r| (0..8).filter(|c| w[(r, *c)] == 0.0).collect()).collect()
    }

    #[test]
    fn patterns_remove_what_they_say() {
        assert_eq!(zeros(Pattern::Free(0.5), false), [vec![0, 1, 2, 3, 4, 5, 6, 7], vec![]]);
        assert_eq!(zeros(Pattern::Free(0.5), true), [vec![0, 2, 5, 7], vec![0, 2, 5, 7]]);
        assert_eq!(zeros(Pattern::Neighbours { keep: 2, of: 4 }, true), [vec![0, 2, 5, 7], vec![0, 2, 5, 7]]);
        assert_eq!(zeros(Pattern::Blocks { ratio: 0.25, rows: 1, columns: 4 }, false), [vec![0, 1, 2, 3], vec![]]);
    }
}
