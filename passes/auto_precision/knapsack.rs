//! One choice per layer such that costs stay within a budget and the sum of losses is least: dynamic programming over the costs that sums
//! can have, which is exact.

/// A way to store a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub cost: u64,
    pub loss: f64,
}

/// What [`choose`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// For each layer, which of its choices.
    pub picks: Vec<usize>,
    pub cost: u64,
    pub loss: f64,
    /// Costs are counted in units of so much, rounded up: 1 where the result is exact.
    pub unit: u64,
}

/// States that are kept behind each layer. Where sums can have more costs than that, they are counted in larger units.
const STATES: u64 = 20_000;

/// A sum of costs that no cheaper sum loses less than; from which state of the layer before it came, and with which choice.
#[derive(Clone, Copy)]
struct State {
    cost: u64,
    loss: f64,
    from: u32,
    pick: u32,
}

/// The picks of the least loss within `budget`; of equal ones the cheapest. `None` where even the cheapest cost more.
pub fn choose(layers: &[Vec<Choice>], budget: u64) -> Option<Chosen> {
    let least: u64 = layers.iter().map(|l| l.iter().map(|c| c.cost).min().unwrap_or(0)).sum();
    if least > budget || layers.iter().any(Vec::is_empty) {
        return None;
    }
    let unit = unit(layers, budget);
    // Rounding up must not make the cheapest choice too dear.
    let room = (budget / unit).max(layers.iter().map(|l| l.iter().map(|c| c.cost.div_ceil(unit)).min().unwrap_or(0)).sum());
    let mut table: Vec<Vec<State>> = vec![vec![State { cost: 0, loss: 0.0, from: 0, pick: 0 }]];
    for layer in layers {
        let mut next = vec![];
        for (from, s) in table.last()?.iter().enumerate() {
            for (pick, c) in layer.iter().enumerate() {
                let cost = s.cost + c.cost.div_ceil(unit);
                if cost <= room {
                    next.push(State { cost, loss: s.loss + c.loss.min(f64::MAX / 1e6), from: from as u32, pick: pick as u32 });
                }
            }
        }
        next.sort_by(|a, b| a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss)).then(a.from.cmp(&b.from)).then(a.pick.cmp(&b.pick)));
        let mut best = f64::INFINITY;
        next.retain(|s| {
            let keep = s.loss < best;
            best = best.min(s.loss);
            keep
        });
        table.push(next);
    }
    // The last state loses least.
    let mut at = table.last()?.len().checked_sub(1)?;
    let mut picks = vec![0; layers.len()];
    for (i, states) in table.iter().enumerate().skip(1).rev() {
        let s = states.get(at)?;
        picks[i - 1] = s.pick as usize;
        at = s.from as usize;
    }
    let picked: Vec<Choice> = layers.iter().zip(&picks).filter_map(|(l, p)| l.get(*p).copied()).collect();
    Some(Chosen { cost: picked.iter().map(|c| c.cost).sum(), loss: picked.iter().map(|c| c.loss).sum(), picks, unit })
}

/// The largest unit that divides all costs; a larger one where the budget has too many of those.
fn unit(layers: &[Vec<Choice>], budget: u64) -> u64 {
    fn gcd(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let common = layers.iter().flatten().fold(0, |g, c| gcd(g, c.cost)).max(1);
    let steps = (budget / common).min(layers.iter().fold(0u64, |n, l| n.saturating_add(l.iter().map(|c| c.cost / common).max().unwrap_or(0))));
    if steps <= STATES { common } else { common * steps.div_ceil(STATES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brute(layers: &[Vec<Choice>], budget: u64) -> Option<f64> {
        let mut sums = vec![(0u64, 0f64)];
        for l in layers {
            sums = sums.iter().flat_map(|(cost, loss)| l.iter().map(move |c| (cost + c.cost, loss + c.loss))).collect();
        }
        sums.into_iter().filter(|(cost, _)| *cost <= budget).map(|(_, loss)| loss).min_by(f64::total_cmp)
    }

    #[test]
    fn equals_trying_everything_on_up_to_eight_layers() {
        let mut state = 88172645463325252u64;
        let mut next = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % n
        };
        let mut refused = 0;
        for round in 0..400 {
            let (count, formats) = (1 + round % 8, 2 + next(3) as usize);
            let layers: Vec<Vec<Choice>> =
                (0..count).map(|_| (0..formats).map(|_| Choice { cost: 1 + next(900), loss: next(1000) as f64 / 7.0 }).collect()).collect();
            let budget = next(600 * count as u64);
            let found = choose(&layers, budget);
            let (want, got) = (brute(&layers, budget), found.as_ref().map(|c| c.loss));
            assert_eq!(want.is_some(), got.is_some(), "{layers:?} within {budget}");
            refused += usize::from(want.is_none());
            let (Some(want), Some(found)) = (want, found) else { continue };
            assert!((want - found.loss).abs() < 1e-9 && found.cost <= budget, "{layers:?} within {budget}: {found:?}, best {want}");
            assert_eq!(found.picks.iter().zip(&layers).map(|(p, l)| l[*p].cost).sum::<u64>(), found.cost);
        }
        assert!(refused > 10 && refused < 300);
    }

    #[test]
    fn many_large_layers_stay_within_the_budget() {
        let layers: Vec<Vec<Choice>> = (0..300u64)
            .map(|i| {
                [2u64, 3, 4, 8]
                    .iter()
                    .map(|b| Choice { cost: b * (1_000_003 + 7919 * i), loss: (0.25f64).powi(*b as i32) * (1 + i % 17) as f64 })
                    .collect()
            })
            .collect();
        let weights: u64 = (0..300u64).map(|i| 1_000_003 + 7919 * i).sum();
        let found = choose(&layers, 3 * weights).unwrap();
        let uniform: f64 = layers.iter().map(|l| l[1].loss).sum();
        assert!(found.cost <= 3 * weights && found.loss < uniform && found.unit > 1, "{} {uniform}", found.loss);
        assert_eq!(found, choose(&layers, 3 * weights).unwrap());
    }

    #[test]
    fn infinite_losses_are_avoided_and_do_not_spread() {
        let layers = vec![vec![Choice { cost: 1, loss: f64::INFINITY }, Choice { cost: 2, loss: 0.5 }]; 3];
        assert_eq!(choose(&layers, 6).unwrap().picks, [1, 1, 1]);
        assert_eq!(choose(&layers, 5).unwrap().picks.iter().sum::<usize>(), 2);
        assert!(choose(&layers, 2).is_none());
    }
}
