//! `MatMul(a, b)`: the matrix product of the last two axes, the others broadcast. A vector on the left is a row, on the right a column,
//! and its axis does not stand in the result.
//!
//! Floats, accumulated in f64; integers, which wrap. Source: ONNX MatMul-13.

use crate::cells::room;
use crate::contract::{Extents, Reals, contract};
use crate::lower::Operand;
use crate::shapes::{Report, broadcast_sizes, broadcast_strides};
use crate::slide::accumulator;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::{ExprId, Index, KernelBuilder, ReduceOp};

use lapidary_ir::{DType, Dim, Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("MatMul", include_str!("mat_mul.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let a = c.ty(0)?;
    let b = c.ty(1)?;
    let dtype = if a.dtype == DType::Unknown { b.dtype } else { a.dtype };
    let shape = match (a.shape.dims(), b.shape.dims()) {
        (Some(a), Some(b)) => product_shape(c, a, b)?,
        _ => Shape::Unranked,
    };
    c.set_tensor(0, dtype, shape);
    Ok(())
}

/// The shape of a matrix product.
pub fn product_shape(c: &InferCtx<'_>, a: &[Dim], b: &[Dim]) -> Result<Shape> {
    let (Some((ka, a_outer)), false) = (a.split_last(), b.is_empty()) else {
        return Err(c.error("shape-conflict", "an operand is a scalar").into());
    };
    let kb = if b.len() == 1 { &b[0] } else { &b[b.len() - 2] };
    c.same("the inner sizes of the product", ka, kb)?;
    let (a_batch, row) = if a.len() == 1 { (&[][..], None) } else { (&a_outer[..a.len() - 2], a_outer.last()) };
    let (b_batch, column) = if b.len() == 1 { (&[][..], None) } else { (&b[..b.len() - 2], b.last()) };
    let Shape::Ranked(mut out) = c.broadcast(&[a_batch, b_batch])? else { return Ok(Shape::Unranked) };
    out.extend(row.into_iter().chain(column).cloned());
    Ok(Shape::Ranked(out))
}

/// How two operands of a matrix product are walked.
pub struct Plan {
    pub extents: Extents,
    /// The sizes of the result.
    pub sizes: Vec<usize>,
    /// Where the matrix of each operand begins, by batch.
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Plan {
    pub fn of(c: &impl Report, a: &[usize], b: &[usize]) -> Result<Plan> {
        let misfit = || c.report("shape-conflict", format!("shapes {a:?} and {b:?} cannot be multiplied"));
        if a.is_empty() || b.is_empty() {
            return Err(misfit().into());
        }
        let left = if a.len() == 1 { vec![1, a[0]] } else { a.to_vec() };
        let right = if b.len() == 1 { vec![b[0], 1] } else { b.to_vec() };
        let ((a_batch, am), (b_batch, bm)) = (left.split_at(left.len() - 2), right.split_at(right.len() - 2));
        if am[1] != bm[0] {
            return Err(misfit().into());
        }
        let batch = broadcast_sizes(c, a_batch, b_batch)?;
        let starts = |own: &[usize], matrix: usize| {
            let walk = broadcast_strides(own, &batch);
            let mut out = vec![];
            crate::cells::visit(&batch, |at| out.push(at.iter().zip(&walk).map(|(i, s)| i * *s as usize).sum::<usize>() * matrix));
            out
        };
        let extents = Extents { batch: batch.iter().product(), rows: am[0], columns: bm[1], depth: am[1] };
        let (left, right) = (starts(a_batch, am[0] * am[1]), starts(b_batch, bm[0] * bm[1]));
        let mut sizes = batch;
        sizes.extend((a.len() > 1).then_some(am[0]));
        sizes.extend((b.len() > 1).then_some(bm[1]));
        Ok(Plan { extents, sizes, left, right })
    }
    /// The product of operands that `a` and `b` hold, row-major.
    pub fn reals(&self, a: &Reals, b: &Reals) -> Vec<f64> {
        let e = self.extents;
        contract(e, &|batch, i, k, run: &mut [f64]| a.fill(self.left[batch] + i * e.depth + k, 1, run), &|batch, k, j, run: &mut [f64]| {
            b.fill(self.right[batch] + k * e.columns + j, 1, run)
        })
    }
    pub fn integers(&self, a: &[i64], b: &[i64]) -> Vec<i64> {
        let e = self.extents;
        contract(
            e,
            &|batch, i, k, run: &mut [i64]| run.copy_from_slice(&a[self.left[batch] + i * e.depth + k..][..run.len()]),
            &|batch, k, j, run: &mut [i64]| run.copy_from_slice(&b[self.right[batch] + k * e.columns + j..][..run.len()]),
        )
    }
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (a, b) = (c.tensor(0)?, c.tensor(1)?);
    Ok(vec![product(c, a, b)?.into()])
}

/// The matrix product of two tensors of one type.
pub fn product(c: &EvalCtx<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let plan = Plan::of(c, a.sizes(), b.sizes())?;
    room(c, DType::F64, &plan.sizes)?;
    if let (Some(x), Some(y)) = (a.to_i64(), b.to_i64()) {
        return Tensor::from_i64(a.dtype(), &plan.sizes, &plan.integers(&x, &y));
    }
    let (x, y) = (reals(c, a)?, reals(c, b)?);
    crate::numbers::store(a.dtype(), &plan.sizes, &plan.reals(&x, &y))
}

/// The elements of a tensor that must be real.
pub fn reals(c: &EvalCtx<'_>, t: &Tensor) -> Result<Reals> {
    Reals::of(t).ok_or_else(|| c.error("type-error", format!("elements of type {} cannot be multiplied", t.dtype())).into())
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (a, b, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    lower_product(c, &a, &b, &y, accumulator(y.dtype), |_, u, v, _, _| (u, v), |_, v, _, _| v)
}

/// The kernel of a matrix product: `end(Σ a'·b')`, where `terms` makes a' and b' of the elements, and both are given the row and the
/// column. Sums are of type `sum`.
pub fn lower_product(
    c: &mut LowerCtx<'_>,
    a: &Operand,
    b: &Operand,
    y: &Operand,
    sum: DType,
    terms: impl FnOnce(&mut KernelBuilder, ExprId, ExprId, Option<&Index>, Option<&Index>) -> (ExprId, ExprId),
    end: impl FnOnce(&mut KernelBuilder, ExprId, Option<&Index>, Option<&Index>) -> ExprId,
) -> Result<()> {
    let (row, column) = (a.rank() > 1, b.rank() > 1);
    let depth = a.dims[a.rank() - 1].clone();
    c.check_equal(&depth, &b.dims[b.rank().saturating_sub(2).min(b.rank() - 1)], false);
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let inner = k.axis("k", depth);
    let batch = y.rank() - usize::from(row) - usize::from(column);
    let (outer, m, n) = (&at[..batch], row.then(|| at[batch].clone()), column.then(|| at[at.len() - 1].clone()));
    let side = |k: &KernelBuilder, dims: &[Dim], matrix: usize| {
        let own = &dims[..dims.len() - matrix];
        for (d, r) in own.iter().rev().zip(y.dims[..batch].iter().rev()) {
            debug_assert!(!d.is_const() || !r.is_const() || d == r || d.as_const() == Some(1));
        }
        k.broadcast(outer, &y.dims[..batch], own)
    };
    let (mut left, mut right) = (side(&k, &a.dims, a.rank().min(2)), side(&k, &b.dims, b.rank().min(2)));
    left.extend(m.clone());
    left.push(inner.into());
    right.push(inner.into());
    right.extend(n.clone());
    let (u, v) = (k.load(a.buffer, a.dtype, left), k.load(b.buffer, b.dtype, right));
    let (u, v) = (k.cast(sum, u), k.cast(sum, v));
    let (u, v) = terms(&mut k, u, v, m.as_ref(), n.as_ref());
    let v = k.mul(u, v);
    let v = k.reduce(ReduceOp::Sum, sum, &[inner], v);
    let v = end(&mut k, v, m.as_ref(), n.as_ref());
    let v = k.cast(y.dtype, v);
    k.store(y.buffer, at, v);
    for (x, matrix) in [(a, a.rank().min(2)), (b, b.rank().min(2))] {
        let own = &x.dims[..x.rank() - matrix];
        for (d, r) in own.iter().rev().zip(y.dims[..batch].iter().rev()) {
            c.check_equal(d, r, true);
        }
    }
    c.push(k);
    Ok(())
}
