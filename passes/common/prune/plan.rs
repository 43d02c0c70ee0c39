//! How many units of each group go, and which.

use super::{Candidate, Order};
use crate::common::coupling::Unit;
use lapidary_ir::{Diagnostic, Result};
use lapidary_rewrite::{Kind, OptionSpec, PassCtx};

/// How much goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many units in all.
    Count(usize),
    /// The part of the units, 0 to 1.
    Ratio(f64),
}

impl Amount {
    pub const RATIO: OptionSpec = OptionSpec::new("ratio", Kind::Float, None, "the part that goes, 0 to 1");
    pub const COUNT: OptionSpec = OptionSpec::new("count", Kind::Int, None, "how many go, in all");
    pub const SCOPE: &'static [&'static str] = &["layer", "global", "normalized"];

    /// From the options `count` and `ratio`, of which one must be given.
    pub fn of(ctx: &PassCtx<'_>, pass: &str) -> Result<Amount> {
        let wrong = |message: String| Err(Diagnostic::error("pass-option", message).into());
        match (ctx.options.int("count"), ctx.options.float("ratio")) {
            (Some(_), Some(_)) => wrong("both count and ratio are given".into()),
            (Some(n), None) => match usize::try_from(n) {
                Ok(n) => Ok(Amount::Count(n)),
                Err(_) => wrong(format!("'count' is {n}, which is no number of anything")),
            },
            (None, Some(r)) if (0.0..1.0).contains(&r) => Ok(Amount::Ratio(r)),
            (None, Some(r)) => wrong(format!("'ratio' is {r}, which is not from 0 up to 1: something must be left")),
            (None, None) => {
                let d = Diagnostic::error("missing-option", format!("pass '{pass}' does not know how much to remove"));
                Err(d.help(format!("write {pass}{{ratio=0.25}}; `lapidary passes {pass}` explains it")).into())
            }
        }
    }
}

/// For each candidate, the units that go: the lowest scores, of equal ones the earlier. At least one unit of each group stays.
pub fn choose(ctx: &PassCtx<'_>, order: &Order, found: &[Candidate], scores: &[Vec<f64>]) -> Result<Vec<Vec<Unit>>> {
    let multiple = match ctx.options.int("multiple") {
        None => 1,
        Some(n) => usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| ctx.error("pass-option", format!("'multiple' is {n}")))?,
    };
    let scope = ctx.options.text("scope").unwrap_or("layer");
    let size = |f: &Candidate| f.group.units.len() + f.group.pinned;
    let most = |f: &Candidate| f.group.units.len().min(size(f) - 1);
    let mut counts: Vec<usize> = vec![0; found.len()];
    match order.amount {
        Amount::Ratio(r) if scope == "layer" => {
            for (n, f) in counts.iter_mut().zip(found) {
                *n = (size(f) as f64 * r).round() as usize;
            }
        }
        amount => {
            let total: usize = found.iter().map(size).sum();
            let budget = if let Amount::Ratio(r) = amount { (total as f64 * r).round() as usize } else { 0 };
            let budget = if let Amount::Count(n) = amount { n } else { budget };
            let possible: usize = found.iter().map(most).sum();
            if budget > possible {
                let message = format!("{budget} {} are to go, but no more than {possible} can", found[0].what.plural());
                return Err(Diagnostic::error("too-many", message).help("one of each layer stays; layers go with prune-layers").into());
            }
            let mut all: Vec<(f64, usize)> = vec![];
            for (i, s) in scores.iter().enumerate() {
                let mean = s.iter().sum::<f64>() / s.len().max(1) as f64;
                let by = if scope == "normalized" && mean > 0.0 { mean } else { 1.0 };
                all.extend(s.iter().map(|v| (v / by, i)));
            }
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut left = budget;
            for (_, i) in all {
                if left > 0 && counts[i] < most(&found[i]) {
                    counts[i] += 1;
                    left -= 1;
                }
            }
        }
    }
    let mut out = vec![];
    for ((n, f), s) in counts.into_iter().zip(found).zip(scores) {
        let n = rounded(size(f), n.min(most(f)), most(f), multiple);
        let mut order: Vec<usize> = (0..s.len()).collect();
        order.sort_by(|a, b| s[*a].total_cmp(&s[*b]).then(a.cmp(b)));
        let mut gone: Vec<Unit> = order[..n].iter().map(|i| f.group.units[*i]).collect();
        gone.sort_unstable();
        out.push(gone);
    }
    Ok(out)
}

/// How many go, so that what is left is the nearest multiple; small groups are not rounded.
fn rounded(size: usize, gone: usize, most: usize, multiple: usize) -> usize {
    if multiple < 2 || size < 4 * multiple || gone == 0 {
        return gone;
    }
    let left = ((size - gone + multiple / 2) / multiple * multiple).clamp(multiple, size);
    (size - left).min(most)
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn what_is_left_is_a_multiple() {
        assert_eq!(rounded(256, 77, 255, 8), 80);
        assert_eq!(rounded(256, 0, 255, 8), 0);
        assert_eq!(rounded(256, 255, 255, 8), 248);
        assert_eq!(rounded(16, 5, 15, 8), 5);
        assert_eq!(rounded(256, 77, 60, 8), 60);
    }
}
