//! Numpy broadcasting of tensors: sizes, and loops over several operands with strides of zero where one is repeated.

use crate::EvalCtx;
use crate::numbers::{PARALLEL, check_size};
use lapidary_ir::{DType, Result, Tensor};
use rayon::prelude::*;

/// The sizes that all operands broadcast to; the largest result is limited by the evaluation's options.
pub(crate) fn broadcast_sizes(c: &EvalCtx<'_>, operands: &[&[usize]]) -> Result<Vec<usize>> {
    let rank = operands.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1usize; rank];
    for sizes in operands {
        for (at, s) in out[rank - sizes.len()..].iter_mut().zip(*sizes) {
            match (*at, *s) {
                (_, 1) => {}
                (1, s) => *at = s,
                (a, s) if a == s => {}
                (a, s) => return Err(c.error("shape-conflict", format!("shapes {operands:?} cannot be broadcast: {a} and {s} differ")).into()),
            }
        }
    }
    check_size(c, &out)?;
    Ok(out)
}

/// A loop nest over the result, adjacent axes merged wherever every operand allows. The innermost axis is a row, in which each operand
/// advances by 0 or 1.
pub(crate) struct Plan<const N: usize> {
    outer: Vec<(usize, [usize; N])>,
    row: usize,
    step: [usize; N],
}

impl<const N: usize> Plan<N> {
    /// `operands` must broadcast to `out`.
    pub(crate) fn new(out: &[usize], operands: [&[usize]; N]) -> Plan<N> {
        let mut axes: Vec<(usize, [usize; N])> = vec![];
        let mut stride = [1usize; N];
        for axis in (0..out.len()).rev() {
            let mut here = [0usize; N];
            for k in 0..N {
                let lead = out.len() - operands[k].len();
                let size = if axis < lead { 1 } else { operands[k][axis - lead] };
                if size != 1 {
                    here[k] = stride[k];
                    stride[k] *= size;
                }
            }
            match axes.last_mut() {
                _ if out[axis] == 1 => {}
                Some((size, inner)) if (0..N).all(|k| here[k] == inner[k] * *size) => *size *= out[axis],
                _ => axes.push((out[axis], here)),
            }
        }
        let (row, step) = if axes.is_empty() { (1, [0; N]) } else { axes.remove(0) };
        Plan { outer: axes, row, step }
    }
    /// Where each operand's row number `row` starts.
    fn starts(&self, mut row: usize) -> [usize; N] {
        let mut at = [0usize; N];
        for (size, strides) in &self.outer {
            let i = row % size;
            row /= size;
            (0..N).for_each(|k| at[k] += i * strides[k]);
        }
        at
    }
    /// Fills `count` results by rows: `fill(row, starts, steps)`.
    fn run<O: Copy + Default + Send>(&self, count: usize, fill: impl Fn(&mut [O], [usize; N], [usize; N]) + Sync) -> Vec<O> {
        let mut out = vec![O::default(); count];
        let row = self.row.max(1);
        if row > 2 * PARALLEL {
            // Long rows are shared out in pieces.
            for (i, row) in out.chunks_mut(row).enumerate() {
                let starts = self.starts(i);
                row.par_chunks_mut(PARALLEL).enumerate().for_each(|(p, piece)| {
                    let at = std::array::from_fn(|k| starts[k] + p * PARALLEL * self.step[k]);
                    fill(piece, at, self.step);
                });
            }
            return out;
        }
        let rows = out.par_chunks_mut(row).with_min_len((PARALLEL / row).max(1));
        rows.enumerate().for_each(|(i, row)| fill(row, self.starts(i), self.step));
        out
    }
}

/// `f` of two broadcast operands, given with their sizes.
pub(crate) fn zip2<A: Copy + Sync, O: Copy + Default + Send>(
    out: &[usize],
    (a, a_sizes): (&[A], &[usize]),
    (b, b_sizes): (&[A], &[usize]),
    f: &(dyn Fn(A, A) -> O + Sync),
) -> Vec<O> {
    Plan::new(out, [a_sizes, b_sizes]).run(out.iter().product(), |row, [x, y], [dx, dy]| {
        row.iter_mut().enumerate().for_each(|(i, o)| *o = f(a[x + i * dx], b[y + i * dy]));
    })
}

/// As [`zip2`] of f32 tensors, from bytes to bytes: activations of real models are large, and their f64 copies larger.
pub(crate) fn zip2_f32(out: &[usize], a: &Tensor, b: &Tensor, f: &(dyn Fn(f64, f64) -> f64 + Sync)) -> Result<Tensor> {
    let (x, y) = (a.bytes().as_chunks::<4>().0, b.bytes().as_chunks::<4>().0);
    let read = |b: [u8; 4]| f64::from(f32::from_le_bytes(b));
    let bytes = Plan::new(out, [a.sizes(), b.sizes()]).run(out.iter().product(), |row, [i, j], [di, dj]| {
        row.iter_mut().enumerate().for_each(|(k, o)| *o = (f(read(x[i + k * di]), read(y[j + k * dj])) as f32).to_le_bytes());
    });
    Tensor::new(DType::F32, out, bytes.into_flattened())
}

/// `f` of every element of an f32 tensor, from bytes to bytes.
pub(crate) fn map_f32(t: &Tensor, f: &(dyn Fn(f64) -> f64 + Sync)) -> Result<Tensor> {
    let x = t.bytes().as_chunks::<4>().0;
    let bytes = Plan::new(&[x.len()], [&[x.len()]]).run(x.len(), |row, [i], _| {
        row.iter_mut().zip(&x[i..]).for_each(|(o, v)| *o = (f(f64::from(f32::from_le_bytes(*v))) as f32).to_le_bytes());
    });
    Tensor::new(DType::F32, t.sizes(), bytes.into_flattened())
}

/// The operand's index for every element of the result: for operands that are not plain numbers, and for per-axis parameters.
pub(crate) fn indices(out: &[usize], sizes: &[usize]) -> Vec<usize> {
    Plan::new(out, [sizes]).run(out.iter().product(), |row, [x], [dx]| row.iter_mut().enumerate().for_each(|(i, o)| *o = x + i * dx))
}
