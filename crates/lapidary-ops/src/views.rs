//! Kernels that only move elements: one load, one store. Fusion composes them into the indices of their readers.

use crate::lower::{LowerCtx, Operand};
use lapidary_ir::{Dim, Result};
use lapidary_kernel::{AxisId, Guard, Index, KernelBuilder};

/// `y[i…] = x[source(i…)]`, one point per element of the result. Where the guard that `source` gives fails, the element is `otherwise`
/// (by default 0).
pub fn gather_view(
    c: &mut LowerCtx<'_>,
    x: &Operand,
    y: &Operand,
    source: impl FnOnce(&mut KernelBuilder, &[Index]) -> (Vec<Index>, Guard),
) -> Result<()> {
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let (from, guard) = source(&mut k, &at);
    let v = k.load_guarded(x.buffer, x.dtype, from, guard, None);
    k.store(y.buffer, at, v);
    c.push(k);
    Ok(())
}

/// The same elements in row-major order under other dims (Reshape, Flatten, Squeeze, …). Where the two shapes split into common factors,
/// there is one axis for each factor, so that both sides are affine and the kernel can be read in either direction.
pub fn reshape_view(c: &mut LowerCtx<'_>, x: &Operand, y: &Operand) -> Result<()> {
    let (from, to): (Dim, Dim) = (x.dims.iter().fold(Dim::from(1), |a, d| &a * d), y.dims.iter().fold(Dim::from(1), |a, d| &a * d));
    c.check_equal(&from, &to, false);
    let Some(factors) = common_factors(&x.dims, &y.dims) else {
        let (xd, yd) = (x.dims.clone(), y.dims.clone());
        return gather_view(c, x, y, |k, at| (k.delinearize(&lapidary_kernel::linearize(at, &yd), &xd), vec![]));
    };
    let mut k = c.kernel();
    let axes: Vec<AxisId> = factors.iter().enumerate().map(|(i, f)| k.parallel(&format!("i{i}"), f.extent.clone())).collect();
    let side = |dims: usize, pick: fn(&Factor) -> usize| -> Vec<Index> {
        let mut out = vec![Index::from(0); dims];
        let mut radix = vec![Dim::from(1); dims];
        for (f, a) in factors.iter().zip(&axes).rev() {
            let d = pick(f);
            out[d] = out[d].add(&Index::from(*a).scale(&radix[d]));
            radix[d] = &radix[d] * &f.extent;
        }
        out
    };
    let (load, store) = (side(x.rank(), |f| f.left), side(y.rank(), |f| f.right));
    let v = k.load(x.buffer, x.dtype, load);
    k.store(y.buffer, store, v);
    c.push(k);
    Ok(())
}

/// A factor of both shapes: its size, the dim of the left shape that it is part of, and that of the right.
struct Factor {
    extent: Dim,
    left: usize,
    right: usize,
}

/// Splits two shapes of equal element count into common factors, outermost first.
fn common_factors(left: &[Dim], right: &[Dim]) -> Option<Vec<Factor>> {
    let one = Dim::from(1);
    let mut out = vec![];
    let (mut i, mut j) = (0, 0);
    let (mut a, mut b) = (left.first().cloned().unwrap_or(one.clone()), right.first().cloned().unwrap_or(one.clone()));
    loop {
        if a == one && i + 1 < left.len() {
            i += 1;
            a = left[i].clone();
            continue;
        }
        if b == one && j + 1 < right.len() {
            j += 1;
            b = right[j].clone();
            continue;
        }
        if a == one && b == one {
            return Some(out);
        }
        if a == one || b == one || i >= left.len() || j >= right.len() {
            return None;
        }
        let (extent, rest_a, rest_b) = if a == b {
            (a.clone(), one.clone(), one.clone())
        } else if let Some(q) = b.exact_div(&a) {
            (a.clone(), one.clone(), q)
        } else if let Some(q) = a.exact_div(&b) {
            (b.clone(), q, one.clone())
        } else {
            return None;
        };
        out.push(Factor { extent, left: i, right: j });
        (a, b) = (rest_a, rest_b);
    }
}

/// An axis attribute that may count from the end; the type rules have checked its range.
pub fn axis_of(c: &LowerCtx<'_>, axis: i64, rank: usize) -> Result<usize> {
    let a = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(a).ok().filter(|a| *a < rank).ok_or_else(|| c.unsupported(format!("axis {axis} is outside of rank {rank}")).into())
}
