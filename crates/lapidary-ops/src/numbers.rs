//! Reading tensors as numbers and storing numbers as tensors. Floats are computed in f64 and rounded once; integers in i128, which holds
//! every sum and product of two 64-bit numbers, and are wrapped on storing.

use crate::EvalCtx;
use lapidary_ir::{DType, Result, Tensor};
use rayon::prelude::*;

/// Fewer elements than this are not worth a second thread.
pub(crate) const PARALLEL: usize = 1 << 15;

/// The elements of a real tensor as f64, which is exact for all but 64-bit integers.
pub(crate) fn floats(c: &EvalCtx<'_>, t: &Tensor) -> Result<Vec<f64>> {
    if t.dtype() == DType::F32 {
        return Ok(t.bytes().par_chunks_exact(4).with_min_len(PARALLEL).map(|b| f64::from(<f32 as lapidary_ir::Element>::read(b))).collect());
    }
    t.to_f64().ok_or_else(|| c.unsupported(format!("'{}' is not evaluated on {} tensors", c.node.op, t.dtype())).into())
}

/// The elements of an integer or bool tensor, each with its own value.
pub(crate) fn wide(c: &EvalCtx<'_>, t: &Tensor) -> Result<Vec<i128>> {
    let unsigned = t.dtype() == DType::U64;
    let ints = t.to_i64().ok_or_else(|| c.unsupported(format!("'{}' is not evaluated on {} tensors", c.node.op, t.dtype())))?;
    Ok(ints.into_iter().map(|v| if unsigned { (v as u64).into() } else { v.into() }).collect())
}

/// The elements of a bool tensor.
pub(crate) fn bools(c: &EvalCtx<'_>, t: &Tensor) -> Result<Vec<bool>> {
    t.to_vec().ok_or_else(|| c.error("type-error", format!("a bool tensor is expected, not {}", t.dtype())).into())
}

/// Rounds to `dtype`: floats to nearest even, integers likewise and saturating.
pub(crate) fn store(dtype: DType, sizes: &[usize], values: &[f64]) -> Result<Tensor> {
    match dtype {
        DType::F32 => {
            let mut bytes = vec![0u8; values.len() * 4];
            let pairs = bytes.par_chunks_exact_mut(4).with_min_len(PARALLEL).zip(values);
            pairs.for_each(|(b, v)| b.copy_from_slice(&(*v as f32).to_le_bytes()));
            Tensor::new(dtype, sizes, bytes)
        }
        _ => Tensor::from_f64(dtype, sizes, values),
    }
}

/// Wraps to the integer type `dtype`.
pub(crate) fn store_wide(dtype: DType, sizes: &[usize], values: &[i128]) -> Result<Tensor> {
    Tensor::from_i64(dtype, sizes, &values.iter().map(|v| *v as i64).collect::<Vec<_>>())
}

/// `f` of every element, in parallel where it pays; the order is kept.
pub(crate) fn map<A: Copy + Sync, B: Send>(values: &[A], f: &(dyn Fn(A) -> B + Sync)) -> Vec<B> {
    values.par_iter().with_min_len(PARALLEL).map(|v| f(*v)).collect()
}

/// Refuses results of more elements than the evaluation allows, before anything is allocated. Working storage is 8 bytes an element.
pub(crate) fn check_size(c: &EvalCtx<'_>, sizes: &[usize]) -> Result<usize> {
    let count = sizes.iter().try_fold(1usize, |a, s| a.checked_mul(*s));
    match count {
        Some(n) if n.checked_mul(8).is_some_and(|b| b <= c.options().max_value_bytes) => Ok(n),
        _ => Err(c.unsupported(format!("a result of sizes {sizes:?} is larger than the evaluation's limit")).into()),
    }
}

/// An axis as a node gives it (negative ones count from the end) as an index.
pub(crate) fn axis_index(axis: i64, rank: usize) -> Option<usize> {
    let r = i64::try_from(rank).ok()?;
    let a = if axis < 0 { axis.checked_add(r)? } else { axis };
    (0..r).contains(&a).then_some(a as usize)
}

/// As [`axis_index`], with an error that names the node.
pub(crate) fn eval_axis(c: &EvalCtx<'_>, axis: i64, rank: usize) -> Result<usize> {
    axis_index(axis, rank).ok_or_else(|| c.error("bad-axis", format!("axis {axis} does not exist in a tensor of rank {rank}")).into())
}

/// As [`axis_index`], with an error that names the node.
pub(crate) fn infer_axis(c: &crate::InferCtx<'_>, axis: i64, rank: usize) -> Result<usize> {
    axis_index(axis, rank).ok_or_else(|| c.error("bad-axis", format!("axis {axis} does not exist in a tensor of rank {rank}")).into())
}
