//! Elements of any type as things that can be moved: what Transpose, Gather, Pad and the like do, whatever the elements are.

use crate::EvalCtx;
use bytes::Bytes;
use lapidary_ir::{DType, Result, Tensor};
use std::borrow::Cow;

/// The elements of a tensor, for reading: `width` bytes each (packed ones unpacked to a byte each), or strings.
pub struct Cells<'a> {
    width: usize,
    raw: Cow<'a, [u8]>,
    strings: &'a [Bytes],
}

impl<'a> Cells<'a> {
    pub fn of(t: &'a Tensor) -> Cells<'a> {
        let raw = match t.unpack() {
            Some(codes) => Cow::Owned(codes),
            None => Cow::Borrowed(&**t.bytes()),
        };
        Cells { width: width(t.dtype()), raw, strings: t.as_strings().unwrap_or(&[]) }
    }
}

fn width(dtype: DType) -> usize {
    dtype.bits().div_ceil(8)
}

/// Elements for writing, in the same form; [`CellsMut::finish`] packs them.
pub struct CellsMut {
    dtype: DType,
    width: usize,
    raw: Vec<u8>,
    strings: Vec<Bytes>,
}

impl CellsMut {
    /// None yet, with room for `count`.
    pub fn empty(dtype: DType, count: usize) -> CellsMut {
        let (raw, strings) = if dtype == DType::String { (0, count) } else { (count * width(dtype), 0) };
        CellsMut { dtype, width: width(dtype), raw: Vec::with_capacity(raw), strings: Vec::with_capacity(strings) }
    }
    /// A copy of a tensor's elements.
    pub fn copy(t: &Tensor) -> CellsMut {
        let cells = Cells::of(t);
        CellsMut { dtype: t.dtype(), width: cells.width, raw: cells.raw.to_vec(), strings: cells.strings.to_vec() }
    }
    /// Appends `count` elements of `from`, beginning at `start`.
    pub fn push_run(&mut self, from: &Cells<'_>, start: usize, count: usize) {
        if count == 0 {
            // An empty run may begin anywhere, even beyond the end.
        } else if self.dtype == DType::String {
            self.strings.extend_from_slice(&from.strings[start..start + count]);
        } else {
            self.raw.extend_from_slice(&from.raw[start * self.width..(start + count) * self.width]);
        }
    }
    pub fn push(&mut self, from: &Cells<'_>, at: usize) {
        self.push_run(from, at, 1);
    }
    /// Appends a zero, or an empty string.
    pub fn push_zero(&mut self) {
        if self.dtype == DType::String {
            self.strings.push(Bytes::new());
        } else {
            self.raw.resize(self.raw.len() + self.width, 0);
        }
    }
    /// Overwrites the elements from `at` on with `count` elements of `from`, beginning at `start`.
    pub fn put_run(&mut self, at: usize, from: &Cells<'_>, start: usize, count: usize) {
        if count == 0 {
            // As in `push_run`.
        } else if self.dtype == DType::String {
            self.strings[at..at + count].clone_from_slice(&from.strings[start..start + count]);
        } else {
            let w = self.width;
            self.raw[at * w..(at + count) * w].copy_from_slice(&from.raw[start * w..(start + count) * w]);
        }
    }
    pub fn put(&mut self, at: usize, from: &Cells<'_>, start: usize) {
        self.put_run(at, from, start, 1);
    }
    pub fn finish(self, sizes: &[usize]) -> Result<Tensor> {
        if self.dtype == DType::String {
            return Tensor::strings(sizes, self.strings);
        }
        if !self.dtype.is_packed() {
            return Tensor::new(self.dtype, sizes, self.raw);
        }
        let bits = self.dtype.bits();
        let packed = self.raw.chunks(8 / bits).map(|c| c.iter().enumerate().fold(0, |b, (i, v)| b | (v << (i * bits))));
        Tensor::new(self.dtype, sizes, packed.collect::<Vec<u8>>())
    }
}

/// A view of `t`: element `(i, j, …)` of the result is element `offset + i·strides[0] + j·strides[1] + …` of `t`. The caller has made
/// sure that all of these exist.
pub fn strided(t: &Tensor, sizes: &[usize], strides: &[isize], offset: isize) -> Result<Tensor> {
    let count: usize = sizes.iter().product();
    let mut out = CellsMut::empty(t.dtype(), count);
    if count == 0 {
        return out.finish(sizes);
    }
    let from = Cells::of(t);
    let (inner, step) = match (sizes.last(), strides.last()) {
        (Some(n), Some(s)) => (*n, *s),
        _ => (1, 1),
    };
    let outer = &sizes[..sizes.len().saturating_sub(1)];
    visit(outer, |index| {
        let start = index.iter().zip(strides).fold(offset, |o, (i, s)| o + *i as isize * s);
        if step == 1 {
            out.push_run(&from, start as usize, inner);
        } else {
            (0..inner as isize).for_each(|i| out.push(&from, (start + i * step) as usize));
        }
    });
    out.finish(sizes)
}

/// The elements of `t` at the given places, in that order.
pub fn pick(t: &Tensor, sizes: &[usize], places: impl IntoIterator<Item = usize>) -> Result<Tensor> {
    let mut out = CellsMut::empty(t.dtype(), sizes.iter().product());
    let from = Cells::of(t);
    places.into_iter().for_each(|p| out.push(&from, p));
    out.finish(sizes)
}

/// Calls `f` with every index of a box of these sizes, the last axis fastest; once with no index for rank 0.
pub fn visit(sizes: &[usize], mut f: impl FnMut(&[usize])) {
    if sizes.contains(&0) {
        return;
    }
    let mut index = vec![0; sizes.len()];
    loop {
        f(&index);
        let Some(axis) = (0..sizes.len()).rev().find(|a| index[*a] + 1 < sizes[*a]) else { return };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

/// How far apart neighbours along each axis lie in a row-major tensor.
pub fn strides(sizes: &[usize]) -> Vec<usize> {
    let mut out = vec![1; sizes.len()];
    for axis in (1..sizes.len()).rev() {
        out[axis - 1] = out[axis] * sizes[axis].max(1);
    }
    out
}

/// Sizes split at an axis: how many blocks before it, how long it is, how many elements after it.
pub fn around(sizes: &[usize], axis: usize) -> (usize, usize, usize) {
    (sizes[..axis].iter().product(), sizes[axis], sizes[axis + 1..].iter().product())
}

/// The element count of a result of this type, refused before it is allocated when it is larger than the evaluation allows.
pub fn room(c: &EvalCtx<'_>, dtype: DType, sizes: &[usize]) -> Result<usize> {
    let count = sizes.iter().try_fold(1usize, |a, s| a.checked_mul(*s));
    // A string costs its header at least.
    let bytes = count.and_then(|n| if dtype == DType::String { n.checked_mul(32) } else { dtype.bytes_for(n) });
    match (count, bytes) {
        (Some(n), Some(b)) if b <= c.options().max_value_bytes => Ok(n),
        _ => {
            let message = format!("the result {dtype}{sizes:?} is larger than {} bytes", c.options().max_value_bytes);
            Err(c.unsupported(message).into())
        }
    }
}
