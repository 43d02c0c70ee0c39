//! Operators that work along one axis: every lane (the elements that differ in that axis alone) is handled as a slice.

use rayon::prelude::*;

/// How many lanes lie before and behind the axis, and how long they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lanes {
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
}

impl Lanes {
    /// The lanes of `axis`, which must exist.
    pub(crate) fn of(sizes: &[usize], axis: usize) -> Lanes {
        Lanes { outer: sizes[..axis].iter().product(), len: sizes[axis], inner: sizes[axis + 1..].iter().product() }
    }
    /// The shape seen as a matrix whose rows are the axes from `axis` on.
    pub(crate) fn rows(sizes: &[usize], axis: usize) -> Lanes {
        Lanes { outer: sizes[..axis].iter().product(), len: sizes[axis..].iter().product(), inner: 1 }
    }
    /// Replaces every lane of `values` by one of `len` elements that `f(lane, result)` fills; lanes are handed in order of their place.
    pub(crate) fn map<A, B>(&self, values: &[A], len: usize, f: &(dyn Fn(&[A], &mut [B]) + Sync)) -> Vec<B>
    where
        A: Copy + Sync + Send,
        B: Copy + Default + Send,
    {
        let mut out = vec![B::default(); self.outer * len * self.inner];
        if out.is_empty() {
            return out;
        }
        out.par_chunks_mut(len * self.inner).enumerate().for_each(|(o, chunk)| {
            let block = &values[o * self.len * self.inner..(o + 1) * self.len * self.inner];
            if self.inner == 1 {
                return f(block, chunk);
            }
            let mut result = vec![B::default(); len];
            for i in 0..self.inner {
                let lane: Vec<A> = block.iter().skip(i).step_by(self.inner).copied().collect();
                f(&lane, &mut result);
                chunk.iter_mut().skip(i).step_by(self.inner).zip(&result).for_each(|(to, v)| *to = *v);
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;

    #[test]
    fn a_lane_runs_along_its_axis() {
        let reversed = |a: &[i32], b: &mut [i32]| a.iter().rev().zip(b).for_each(|(x, y)| *y = *x);
        let values: Vec<i32> = (0..12).collect();
        assert_eq!(Lanes::of(&[2, 3, 2], 1).map(&values, 3, &reversed), [4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7]);
        assert_eq!(Lanes::rows(&[2, 3, 2], 1).map(&values, 1, &|a, b| b[0] = a.len()), [6, 6]);
    }
}
