//! A histogram over a stream, the same bit for bit however the stream is cut into batches.
//!
//! Bins are `[k·2ᵉ, (k+1)·2ᵉ)`, with `e` so that the largest magnitude has a bin number from 2048 to 4095. When a larger magnitude
//! appears, `e` grows and bins are merged in pairs, which is exact: the result is that of binning everything with the final `e`.

use std::collections::VecDeque;

/// Bin numbers stay below 2 to this power: eight bins per step of an 8-bit type over a one-sided range at the least.
const BITS: i32 = 12;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Finite values only; `count` includes zeros.
    pub count: u64,
    pub low: f64,
    pub high: f64,
    /// Exact zeros, which every quantized type holds exactly, are not in the bins.
    pub zeros: u64,
    exponent: i32,
    first: i64,
    bins: VecDeque<u64>,
}

impl Histogram {
    pub fn add(&mut self, values: impl Iterator<Item = f64>) {
        for v in values.filter(|v| v.is_finite()) {
            if self.count == 0 {
                (self.low, self.high) = (v, v);
            }
            self.count += 1;
            self.low = self.low.min(v);
            self.high = self.high.max(v);
            if v == 0.0 {
                self.zeros += 1;
            } else {
                self.put(v);
            }
        }
    }
    fn put(&mut self, v: f64) {
        if self.bins.is_empty() {
            self.exponent = exponent(v);
            self.first = index(v, self.exponent);
            self.bins.push_back(0);
        }
        if v.abs() >= 2f64.powi(self.exponent + BITS) {
            let wanted = exponent(v);
            while self.exponent < wanted {
                self.merge();
            }
        }
        let k = index(v, self.exponent);
        while k < self.first {
            self.bins.push_front(0);
            self.first -= 1;
        }
        while k >= self.first + self.bins.len() as i64 {
            self.bins.push_back(0);
        }
        self.bins[(k - self.first) as usize] += 1;
    }
    fn merge(&mut self) {
        let first = self.first.div_euclid(2);
        let mut merged = VecDeque::new();
        for (i, n) in self.bins.iter().enumerate() {
            let at = ((self.first + i as i64).div_euclid(2) - first) as usize;
            if at == merged.len() {
                merged.push_back(0);
            }
            merged[at] += n;
        }
        (self.first, self.bins, self.exponent) = (first, merged, self.exponent + 1);
    }
    /// Centres of the bins that hold something, and how many values they hold.
    pub fn centres(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let width = 2f64.powi(self.exponent);
        self.bins.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(i, n)| (((self.first + i as i64) as f64 + 0.5) * width, *n as f64))
    }
    /// The value below which a part (0 to 1) of all values lies, linear within a bin.
    pub fn quantile(&self, part: f64) -> f64 {
        let width = 2f64.powi(self.exponent);
        let wanted = part * self.count as f64;
        let mut below = 0.0;
        let mut zeros = self.zeros as f64;
        for (i, n) in self.bins.iter().enumerate() {
            let start = (self.first + i as i64) as f64 * width;
            if start >= 0.0 && zeros > 0.0 {
                below += zeros;
                zeros = 0.0;
                if below >= wanted {
                    return 0.0;
                }
            }
            let n = *n as f64;
            if below + n >= wanted && n > 0.0 {
                return (start + (wanted - below) / n * width).clamp(self.low, self.high);
            }
            below += n;
        }
        self.high
    }
}

/// The width at which `v` has a bin number of [`BITS`] bits. Subnormal magnitudes share the finest width.
fn exponent(v: f64) -> i32 {
    (v.abs().log2().floor() as i32).max(-1000) - BITS + 1
}

fn index(v: f64, exponent: i32) -> i64 {
    (v / 2f64.powi(exponent)).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_into_batches_gives_the_same() {
        let mut state = 1u64;
        let values: Vec<f64> = (0..5000)
            .map(|i| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let x = (state >> 11) as f64 / (1u64 << 53) as f64 - 0.4;
                x * if i % 97 == 0 { 40.0 } else { 1.0 } * if i % 5 == 0 { 0.0 } else { 1.0 }
            })
            .collect();
        let mut whole = Histogram::default();
        whole.add(values.iter().copied());
        for size in [1, 7, 1000] {
            let mut parts = Histogram::default();
            // Another order too: what counts is the set.
            values.chunks(size).rev().for_each(|c| parts.add(c.iter().copied()));
            let trim = |h: &Histogram| (h.exponent, h.centres().collect::<Vec<_>>(), h.zeros, h.low, h.high);
            assert_eq!(trim(&whole), trim(&parts));
        }
        assert!(whole.bins.len() <= 2 << BITS && whole.quantile(0.0) >= whole.low && whole.quantile(1.0) == whole.high);
        assert!((whole.quantile(0.5)).abs() < 0.2);
    }
}
