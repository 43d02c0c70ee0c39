//! Ranges from histograms.

use crate::common::quant::{Range, activation};
use crate::common::statistics::Histogram;
use lapidary_ir::DType;

/// Tries ranges from 30 % of what appeared up to all of it, both ends by themselves but not too differently, and takes the one with the
/// least error in the codes of an unsigned type. Fewer bits clip more: 4 bits start at 10 %.
pub fn least_error(h: &Histogram, dtype: DType) -> Range {
    const STEPS: i32 = 36;
    let least = if dtype.bits() < 8 { 0.1 } else { 0.3 };
    let whole = Range::new(h.low, h.high);
    let bins: Vec<(f64, f64)> = h.centres().collect();
    let most = dtype.int_range().map_or(255.0, |r| r.1 as f64);
    let error = |r: Range| -> f64 {
        let p = activation(r, dtype);
        let (scale, zero) = (f64::from(p.scale), p.zero_point as f64);
        bins.iter().map(|(x, n)| n * (((x / scale).round_ties_even() + zero).clamp(0.0, most) - zero).mul_add(scale, -x).abs().powf(2.4)).sum()
    };
    let part = |i: i32| least + (1.0 - least) * f64::from(i) / f64::from(STEPS - 1);
    let mut best = (error(whole), whole);
    for i in 0..STEPS {
        let one_sided = whole.low == 0.0 || whole.high == 0.0;
        let others: Vec<i32> = if one_sided { vec![i] } else { (-3..=3).map(|d| i + 5 * d).filter(|j| (0..STEPS).contains(j)).collect() };
        for j in others {
            let r = Range { low: whole.low * part(i), high: whole.high * part(j) };
            let e = error(r);
            if e < best.0 {
                best = (e, r);
            }
        }
    }
    best.1
}

/// What appeared within `threshold` of zero.
fn within(h: &Histogram, threshold: f64) -> Range {
    Range::new(h.low.max(-threshold), h.high.min(threshold))
}

/// The threshold at which magnitudes in 128 steps tell most about magnitudes as they are.
pub fn entropy(h: &Histogram) -> Range {
    const LEVELS: usize = 128;
    /// Bins between thresholds that are tried: finer than a step of the result.
    const STRIDE: usize = 8;
    let counts = h.magnitudes();
    if counts.len() <= LEVELS {
        return Range::new(h.low, h.high);
    }
    let total: f64 = counts.iter().sum();
    let mut best = (f64::INFINITY, counts.len());
    let mut inside: f64 = counts[..LEVELS].iter().sum();
    let mut from = LEVELS;
    for end in (LEVELS..=counts.len()).rev().step_by(STRIDE).collect::<Vec<_>>().into_iter().rev() {
        inside += counts[from..end].iter().sum::<f64>();
        from = end;
        let divergence = divergence(&counts[..end], total - inside, LEVELS);
        // Of equally good ranges the widest: few values leave most bins empty, and any cut through emptiness looks perfect.
        if divergence <= best.0 + 1e-9 {
            best = (divergence, end);
        }
    }
    within(h, best.1 as f64 * h.width())
}

/// Kullback-Leibler divergence of counts, with `outliers` in the last bin, from the same counts evened out within `levels` groups.
fn divergence(counts: &[f64], outliers: f64, levels: usize) -> f64 {
    /// What a bin without counts is taken to hold, so that the logarithm exists (ONNX Runtime and MXNet smooth so).
    const LITTLE: f64 = 1e-4;
    let last = counts.len() - 1;
    let inside: f64 = counts.iter().sum();
    let (p_sum, q_sum) = (inside + outliers, inside.max(LITTLE));
    let mut out = 0.0;
    for level in 0..levels {
        let (a, b) = (level * counts.len() / levels, (level + 1) * counts.len() / levels);
        let filled = counts[a..b].iter().filter(|c| **c > 0.0).count();
        let even = counts[a..b].iter().sum::<f64>() / filled.max(1) as f64;
        for (i, c) in counts[a..b].iter().enumerate() {
            let p = if a + i == last { c + outliers } else { *c };
            if p > 0.0 {
                let q = if *c > 0.0 { even } else { LITTLE };
                out += p / p_sum * (p / p_sum / (q / q_sum)).ln();
            }
        }
    }
    out
}

/// The scale at which rounding to it, and fitting it to the codes, no longer change each other.
pub fn admm(h: &Histogram) -> Range {
    const ROUNDS: usize = 300;
    let bins: Vec<(f64, f64)> = h.centres().collect();
    let mut scale = h.low.abs().max(h.high.abs()) / (127.0 * 2.5);
    for _ in 0..ROUNDS {
        let (mut product, mut square) = (0.0, 0.0);
        for (x, n) in &bins {
            let q = (x / scale).round_ties_even().clamp(-127.0, 127.0);
            product += n * q * x;
            square += n * q * q;
        }
        if square == 0.0 || product <= 0.0 {
            return Range::new(h.low, h.high);
        }
        let next = product / square;
        let settled = (next - scale).abs() <= 1e-12 * scale;
        scale = next;
        if settled {
            break;
        }
    }
    within(h, 127.0 * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 000 values of a normal distribution, 20 of them thirty times as large.
    fn with_outliers() -> (Histogram, Vec<f64>) {
        let mut state = 7u64;
        let mut unit = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let values: Vec<f64> = (0..100_000)
            .map(|i| {
                let x = (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
                if i % 5000 == 0 { 30.0 * x } else { x }
            })
            .collect();
        let mut h = Histogram::default();
        h.add(values.iter().copied());
        (h, values)
    }

    fn mean_squared_error(values: &[f64], r: Range) -> f64 {
        let scale = r.low.abs().max(r.high.abs()) / 127.0;
        values.iter().map(|x| ((x / scale).round_ties_even().clamp(-127.0, 127.0) * scale - x).powi(2)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn outliers_are_clipped_and_the_rest_gains() {
        let (h, values) = with_outliers();
        let all = mean_squared_error(&values, Range::new(h.low, h.high));
        let admm = mean_squared_error(&values, admm(&h));
        // No scale is better than the best of many.
        let best = (1..=400).map(|i| mean_squared_error(&values, within(&h, h.low.abs().max(h.high) * f64::from(i) / 400.0))).fold(all, f64::min);
        assert!(admm < all && admm < best * 1.05, "{admm} {best} {all}");
        let entropy = entropy(&h);
        assert!(entropy.high < h.high / 4.0 && entropy.high > 2.0, "{entropy:?} of {} to {}", h.low, h.high);
    }

    #[test]
    fn without_outliers_nearly_everything_stays() {
        let mut h = Histogram::default();
        h.add((0..10_000).map(|i| f64::from(i) / 10_000.0));
        for r in [entropy(&h), least_error(&h, DType::U8), admm(&h)] {
            assert!(r.high > 0.97 && r.low == 0.0, "{r:?}");
        }
        assert_eq!(entropy(&Histogram::default()), Range { low: 0.0, high: 0.0 });
        assert_eq!(admm(&Histogram::default()), Range { low: 0.0, high: 0.0 });
    }
}
