//! Sums of products: the one loop behind MatMul, Gemm, Einsum, convolutions and recurrent layers.
//!
//! `out[b, i, j] = Σ_k left[b, i, k] · right[b, k, j]`, the operands given as functions that fill runs of k (left) or j (right), so that
//! a convolution never builds its column matrix. Tiles of both operands are packed as f64, for caches; each sum runs over k in order,
//! in chunks of `CHUNK` whose sums are added in order: the result does not depend on the number of threads.

use lapidary_ir::{DType, Element, Tensor};
use rayon::prelude::*;

/// Numbers that can be multiplied and added.
pub trait Number: Copy + Send + Sync {
    const ZERO: Self;
    fn add_product(self, a: Self, b: Self) -> Self;
    fn plus(self, other: Self) -> Self;
}
impl Number for f64 {
    const ZERO: f64 = 0.0;
    #[inline(always)]
    fn add_product(self, a: f64, b: f64) -> f64 {
        self + a * b
    }
    #[inline(always)]
    fn plus(self, other: f64) -> f64 {
        self + other
    }
}
/// Wraps, as two's complement does.
impl Number for i64 {
    const ZERO: i64 = 0;
    #[inline(always)]
    fn add_product(self, a: i64, b: i64) -> i64 {
        self.wrapping_add(a.wrapping_mul(b))
    }
    #[inline(always)]
    fn plus(self, other: i64) -> i64 {
        self.wrapping_add(other)
    }
}

/// The extents of a contraction.
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    pub batch: usize,
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
}

/// Register tile: 4 rows of 4 columns are eight vectors of two f64, which every x86-64 has twice over.
const ROWS: usize = 4;
const COLUMNS: usize = 4;
/// Elements of k that are packed at a time: 4 columns of 256 f64 are 8 KiB, a quarter of a first-level cache.
const CHUNK: usize = 256;
/// Tile of the result that one task computes: its packed left operand, 128·256 f64, is a quarter of a second-level cache.
const TILE_ROWS: usize = 128;
const TILE_COLUMNS: usize = 128;

/// The contraction, row-major: `batch · rows · columns` numbers.
///
/// `left(b, i, k, run)` fills `run` with `left[b, i, k..]`, `right(b, k, j, run)` with `right[b, k, j..]`.
pub fn contract<T: Number>(
    e: Extents,
    left: &(impl Fn(usize, usize, usize, &mut [T]) + Sync),
    right: &(impl Fn(usize, usize, usize, &mut [T]) + Sync),
) -> Vec<T> {
    let mut out = vec![T::ZERO; e.batch * e.rows * e.columns];
    let (tall, wide) = (e.rows.div_ceil(TILE_ROWS), e.columns.div_ceil(TILE_COLUMNS));
    let tiles: Vec<Vec<T>> = (0..e.batch * tall * wide)
        .into_par_iter()
        .map(|t| tile(e, (t / (tall * wide), t / wide % tall * TILE_ROWS, t % wide * TILE_COLUMNS), left, right))
        .collect();
    for (t, values) in tiles.iter().enumerate() {
        let (b, i0, j0) = (t / (tall * wide), t / wide % tall * TILE_ROWS, t % wide * TILE_COLUMNS);
        let n = TILE_COLUMNS.min(e.columns - j0);
        for (i, row) in values.chunks_exact(n).enumerate() {
            let at = (b * e.rows + i0 + i) * e.columns + j0;
            out[at..at + n].copy_from_slice(row);
        }
    }
    out
}

fn tile<T: Number>(
    e: Extents,
    (b, i0, j0): (usize, usize, usize),
    left: &impl Fn(usize, usize, usize, &mut [T]),
    right: &impl Fn(usize, usize, usize, &mut [T]),
) -> Vec<T> {
    let (m, n) = (TILE_ROWS.min(e.rows - i0), TILE_COLUMNS.min(e.columns - j0));
    let (mp, np) = (m.div_ceil(ROWS), n.div_ceil(COLUMNS));
    let mut out = vec![T::ZERO; m * n];
    let depth = CHUNK.min(e.depth);
    // Panels: for each group of rows (columns) all of k, the group's numbers side by side.
    let mut a = vec![T::ZERO; mp * ROWS * depth];
    let mut w = vec![T::ZERO; np * COLUMNS * depth];
    let mut run = vec![T::ZERO; depth.max(n)];
    for k0 in (0..e.depth).step_by(CHUNK) {
        let k = CHUNK.min(e.depth - k0);
        for i in 0..m {
            left(b, i0 + i, k0, &mut run[..k]);
            let panel = &mut a[i / ROWS * ROWS * k..][..ROWS * k];
            panel.chunks_exact_mut(ROWS).zip(&run).for_each(|(p, v)| p[i % ROWS] = *v);
        }
        for p in 0..k {
            right(b, k0 + p, j0, &mut run[..n]);
            for (q, group) in run[..n].chunks(COLUMNS).enumerate() {
                w[(q * k + p) * COLUMNS..][..group.len()].copy_from_slice(group);
            }
        }
        for (q, panel) in w[..np * COLUMNS * k].chunks_exact(COLUMNS * k).enumerate() {
            for (r, rows) in a[..mp * ROWS * k].chunks_exact(ROWS * k).enumerate() {
                let sums = block(rows, panel);
                for (i, sum) in sums.iter().enumerate().take(m - r * ROWS) {
                    let start = (r * ROWS + i) * n + q * COLUMNS;
                    let end = (start + COLUMNS).min((r * ROWS + i) * n + n);
                    out[start..end].iter_mut().zip(sum).for_each(|(o, s)| *o = o.plus(*s));
                }
            }
        }
    }
    out
}

/// The register tile: sums over the whole chunk.
#[inline(always)]
fn block<T: Number>(a: &[T], w: &[T]) -> [[T; COLUMNS]; ROWS] {
    let mut sums = [[T::ZERO; COLUMNS]; ROWS];
    for (a, w) in a.chunks_exact(ROWS).zip(w.chunks_exact(COLUMNS)) {
        let (Ok(a), Ok(w)): (Result<[T; ROWS], _>, Result<[T; COLUMNS], _>) = (a.try_into(), w.try_into()) else { continue };
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                sums[i][j] = sums[i][j].add_product(a[i], w[j]);
            }
        }
    }
    sums
}

/// The elements of a real tensor as f64, converted where they are read: weights are not copied as a whole.
pub enum Reals {
    F32(bytes::Bytes),
    Other(Vec<f64>),
}

impl Reals {
    /// `None` for strings and complex numbers.
    pub fn of(t: &Tensor) -> Option<Reals> {
        match t.dtype() {
            DType::F32 => Some(Reals::F32(t.bytes().clone())),
            _ => Some(Reals::Other(t.to_f64()?)),
        }
    }
    #[inline]
    pub fn get(&self, at: usize) -> f64 {
        match self {
            Reals::F32(b) => f32::read(&b[at * 4..]) as f64,
            Reals::Other(v) => v[at],
        }
    }
    /// Fills `run` with the elements from `start` on, `step` apart.
    #[inline]
    pub fn fill(&self, start: usize, step: usize, run: &mut [f64]) {
        match self {
            Reals::F32(b) if step == 1 => {
                let bytes = b[start * 4..(start + run.len()) * 4].chunks_exact(4);
                run.iter_mut().zip(bytes).for_each(|(r, b)| *r = f32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64);
            }
            Reals::Other(v) if step == 1 => run.copy_from_slice(&v[start..start + run.len()]),
            _ => run.iter_mut().enumerate().for_each(|(i, r)| *r = self.get(start + i * step)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_extents_give_what_the_definition_says() {
        for (rows, columns, depth) in [(1, 1, 1), (5, 7, 3), (130, 129, 300), (3, 0, 2), (2, 2, 0)] {
            let e = Extents { batch: 2, rows, columns, depth };
            let at = |b: usize, i: usize, k: usize| ((b * 31 + i * 7 + k * 3) % 11) as i64 - 5;
            let left = |b: usize, i: usize, k: usize, run: &mut [i64]| run.iter_mut().enumerate().for_each(|(d, r)| *r = at(b, i, k + d));
            let right = |b: usize, k: usize, j: usize, run: &mut [i64]| run.iter_mut().enumerate().for_each(|(d, r)| *r = at(b, j + d, k));
            let out = contract(e, &left, &right);
            let sum = |b, i, j| (0..depth).map(|k| at(b, i, k) * at(b, j, k)).sum::<i64>();
            let all = (0..2).flat_map(|b| (0..rows).flat_map(move |i| (0..columns).map(move |j| (b, i, j))));
            assert!(all.zip(&out).all(|((b, i, j), o)| sum(b, i, j) == *o), "{e:?}");
        }
    }
}
