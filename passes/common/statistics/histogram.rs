//! A histogram over a stream, the same bit for bit however the stream is cut into batches or files.
//!
//! Bins are `[k·2ᵉ, (k+1)·2ᵉ)`, with `e` so that the largest magnitude has a bin number from 2048 to 4095. When a larger magnitude
//! appears, `e` grows and bins are merged in pairs, which is exact: the result is that of binning everything with the final `e`.

use serde::{Deserialize, Serialize};

/// Bin numbers lie below 2 to this power: eight bins per step of an 8-bit type over a one-sided range at the least.
const BITS: i32 = 12;
const REACH: i64 = 1 << BITS;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Histogram {
    /// Finite values only; `count` includes zeros.
    pub count: u64,
    pub low: f64,
    pub high: f64,
    /// Exact zeros, which every quantized type holds exactly, are not in the bins.
    pub zeros: u64,
    exponent: i32,
    /// From this magnitude on, bins must grow; 2^(exponent + BITS).
    limit: f64,
    /// Bins -4096 to 4095; none before a value other than zero appeared.
    bins: Vec<u64>,
}

/// As written to files: from the first bin that holds something to the last.
#[derive(Serialize, Deserialize)]
struct Stored {
    count: u64,
    low: f64,
    high: f64,
    zeros: u64,
    exponent: i32,
    first: i64,
    bins: Vec<u64>,
}

impl From<Histogram> for Stored {
    fn from(h: Histogram) -> Stored {
        let first = h.bins.iter().position(|n| *n > 0).unwrap_or(0);
        let end = h.bins.iter().rposition(|n| *n > 0).map_or(0, |i| i + 1);
        let bins = h.bins.get(first..end).map(<[u64]>::to_vec).unwrap_or_default();
        let first = if bins.is_empty() { 0 } else { first as i64 - REACH };
        Stored { count: h.count, low: h.low, high: h.high, zeros: h.zeros, exponent: h.exponent, first, bins }
    }
}

impl From<Stored> for Histogram {
    fn from(s: Stored) -> Histogram {
        let mut h = Histogram { count: s.count, low: s.low, high: s.high, zeros: s.zeros, ..Histogram::default() };
        if !s.bins.is_empty() {
            h.start(s.exponent);
            for (i, n) in s.bins.into_iter().enumerate() {
                // A file may say anything: what lies beyond the bins goes into the last.
                h.bins[(s.first.saturating_add(i as i64).clamp(-REACH, REACH - 1) + REACH) as usize] += n;
            }
        }
        h
    }
}

impl Histogram {
    pub fn add(&mut self, values: impl Iterator<Item = f64>) {
        let (mut low, mut high, mut count, mut zeros) = (f64::INFINITY, f64::NEG_INFINITY, 0u64, 0u64);
        let mut scale = 2f64.powi(-self.exponent);
        for v in values.filter(|v| v.is_finite()) {
            count += 1;
            low = low.min(v);
            high = high.max(v);
            if v == 0.0 {
                zeros += 1;
                continue;
            }
            if v.abs() >= self.limit {
                self.reach(exponent(v));
                scale = 2f64.powi(-self.exponent);
            }
            let k = (v * scale).floor() as i64 + REACH;
            self.bins[k as usize] += 1;
        }
        self.range(count, low, high);
        self.zeros += zeros;
    }
    /// As [`Histogram::add`], for finite values of which `low` and `high` are the ends: nothing is looked at twice that one look tells.
    pub fn add_between(&mut self, values: &[f32], low: f32, high: f32) {
        let largest = f64::from(low.abs().max(high.abs()));
        let zeros = values.iter().filter(|v| **v == 0.0).count() as u64;
        if zeros < values.len() as u64 {
            if largest >= self.limit {
                self.reach(exponent(largest));
            }
            let scale = 2f64.powi(-self.exponent);
            let bins = &mut self.bins[..2 * REACH as usize];
            for v in values {
                let t = f64::from(*v) * scale;
                // Truncated, then one less where that was upwards: `floor` would be a call.
                let k = t as i32;
                let k = k - i32::from(t < f64::from(k));
                bins[(k + REACH as i32) as usize & (2 * REACH as usize - 1)] += 1;
            }
            bins[REACH as usize] -= zeros;
        }
        self.range(values.len() as u64, f64::from(low), f64::from(high));
        self.zeros += zeros;
    }
    /// Adds what another histogram holds: the result is that of one histogram over both streams.
    pub fn merge(&mut self, other: &Histogram) {
        if !other.bins.is_empty() {
            self.reach(other.exponent);
            let mut other = other.clone();
            other.reach(self.exponent);
            self.bins.iter_mut().zip(&other.bins).for_each(|(a, b)| *a += b);
        }
        self.range(other.count, other.low, other.high);
        self.zeros += other.zeros;
    }
    /// Counts every bin that holds anything once.
    pub fn flatten(&mut self) {
        self.bins.iter_mut().for_each(|n| *n = (*n).min(1));
        self.zeros = self.zeros.min(1);
        self.count = self.zeros + self.bins.iter().sum::<u64>();
    }
    fn range(&mut self, count: u64, low: f64, high: f64) {
        if count > 0 {
            // Zero has one sign, or the order of the parts would show.
            let (low, high) = (low + 0.0, high + 0.0);
            (self.low, self.high) = if self.count == 0 { (low, high) } else { (self.low.min(low), self.high.max(high)) };
            self.count += count;
        }
    }
    fn start(&mut self, exponent: i32) {
        (self.exponent, self.limit) = (exponent, 2f64.powi(exponent + BITS));
        self.bins = vec![0; 2 * REACH as usize];
    }
    /// Makes the bins at least `2^exponent` wide.
    fn reach(&mut self, exponent: i32) {
        if self.bins.is_empty() {
            self.start(exponent);
        }
        // Beyond this many doublings everything lies in the two bins beside zero.
        let steps = exponent.saturating_sub(self.exponent).max(0);
        for _ in 0..steps.min(BITS + 1) {
            let mut merged = vec![0; self.bins.len()];
            for (i, n) in self.bins.iter().enumerate() {
                merged[((i as i64 - REACH).div_euclid(2) + REACH) as usize] += n;
            }
            self.bins = merged;
        }
        self.exponent += steps;
        self.limit = 2f64.powi(self.exponent + BITS);
    }
    pub fn width(&self) -> f64 {
        2f64.powi(self.exponent)
    }
    fn filled(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.bins.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (i as i64 - REACH, *n))
    }
    /// Centres of the bins that hold something, and how many values they hold.
    pub fn centres(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let width = self.width();
        self.filled().map(move |(k, n)| ((k as f64 + 0.5) * width, n as f64))
    }
    /// Counts by magnitude, zeros left out: element `i` counts `|v|` from `i` to `i + 1` widths, up to the largest that appeared.
    pub fn magnitudes(&self) -> Vec<f64> {
        let mut out: Vec<f64> = vec![];
        for (k, n) in self.filled() {
            let i = if k < 0 { -k - 1 } else { k } as usize;
            if out.len() <= i {
                out.resize(i + 1, 0.0);
            }
            out[i] += n as f64;
        }
        out
    }
    /// The value below which a part (0 to 1) of all values lies, linear within a bin.
    pub fn quantile(&self, part: f64) -> f64 {
        let width = self.width();
        let wanted = part * self.count as f64;
        let mut below = 0.0;
        let mut zeros = self.zeros as f64;
        for (k, n) in self.filled() {
            let start = k as f64 * width;
            if start >= 0.0 && zeros > 0.0 {
                below += zeros;
                zeros = 0.0;
                if below >= wanted {
                    return 0.0;
                }
            }
            let n = n as f64;
            if below + n >= wanted {
                return (start + (wanted - below) / n * width).clamp(self.low, self.high);
            }
            below += n;
        }
        self.high
    }
}

/// The exponent of the width at which `v` has a bin number of [`BITS`] bits. Subnormal magnitudes share the finest width.
fn exponent(v: f64) -> i32 {
    let biased = ((v.to_bits() >> 52) & 0x7ff) as i32;
    (biased - 1023).max(-1000) - BITS + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<f64> {
        let mut state = 1u64;
        (0..5000)
            .map(|i| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let x = (state >> 11) as f64 / (1u64 << 53) as f64 - 0.4;
                x * if i % 97 == 0 { 40.0 } else { 1.0 } * if i % 5 == 0 { 0.0 } else { 1.0 } * if i == 77 { 1e-300 } else { 1.0 }
            })
            .collect()
    }

    #[test]
    fn any_split_into_batches_gives_the_same() {
        let mut whole = Histogram::default();
        whole.add(values().into_iter());
        for size in [1, 7, 1000] {
            let mut parts = Histogram::default();
            // Another order too: what counts is the set.
            values().chunks(size).rev().for_each(|c| parts.add(c.iter().copied()));
            assert_eq!(whole, parts);
        }
        assert!(whole.quantile(0.0) >= whole.low && whole.quantile(1.0) == whole.high);
        assert!((whole.quantile(0.5)).abs() < 0.2);
        assert_eq!(whole.magnitudes().iter().sum::<f64>() as u64 + whole.zeros, whole.count);
    }

    #[test]
    fn both_ways_of_adding_give_the_same() {
        let values: Vec<f32> = values().into_iter().map(|v| v as f32).chain([1e-42, -1e-42, -0.0, 3.5e37, -1e-30]).collect();
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.add(values.iter().map(|v| f64::from(*v)));
        for part in values.chunks(100) {
            let (low, high) = part.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
            other.add_between(part, low, high);
        }
        assert_eq!(one, other);
    }

    #[test]
    fn merged_parts_are_the_whole_in_any_order_and_through_files() {
        let mut whole = Histogram::default();
        whole.add(values().into_iter());
        let parts: Vec<Histogram> = values()
            .chunks(613)
            .map(|c| {
                let mut h = Histogram::default();
                h.add(c.iter().copied());
                serde_json::from_str(&serde_json::to_string(&h).unwrap()).unwrap()
            })
            .chain([Histogram::default()])
            .collect();
        let (mut forwards, mut backwards) = (Histogram::default(), Histogram::default());
        parts.iter().for_each(|p| forwards.merge(p));
        parts.iter().rev().for_each(|p| backwards.merge(p));
        assert_eq!(forwards, whole);
        assert_eq!(serde_json::to_string(&backwards).unwrap(), serde_json::to_string(&whole).unwrap());
    }
}
