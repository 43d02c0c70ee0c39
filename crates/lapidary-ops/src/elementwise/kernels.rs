//! Lowering of elementwise operators: one kernel over the result's points. 16-bit floats are computed in f32 and rounded once, as the
//! evaluator does.

use crate::{LowerCtx, Operand};
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{BinaryOp, ExprId, Index, KernelBuilder, UnaryOp};

/// The type in which values of a type are computed.
pub(crate) fn wider(dtype: DType) -> DType {
    if dtype.is_float() && dtype.bits() <= 16 { DType::F32 } else { dtype }
}

/// Refuses operands and results that kernels cannot hold: strings, complex numbers and powers of two.
pub(crate) fn check(c: &LowerCtx<'_>, all: &[&Operand]) -> Result<()> {
    let odd = |d: DType| matches!(d, DType::Unknown | DType::String | DType::C64 | DType::C128 | DType::F8E8M0);
    match all.iter().find(|o| odd(o.dtype)) {
        Some(o) => Err(c.unsupported(format!("there is no native code for {} tensors in '{}'", o.dtype, c.node().op)).into()),
        None => Ok(()),
    }
}

/// Loads an element and widens it.
pub(crate) fn load(k: &mut KernelBuilder, x: &Operand, at: Vec<Index>) -> ExprId {
    let v = k.load(x.buffer, x.dtype, at);
    k.cast(wider(x.dtype), v)
}

/// Stores at the parallel points, rounded to the result's type.
pub(crate) fn store(k: &mut KernelBuilder, y: &Operand, at: Vec<Index>, v: ExprId) {
    let v = k.cast(y.dtype, v);
    k.store(y.buffer, at, v);
}

/// One parallel axis per dim.
pub(crate) fn points(k: &mut KernelBuilder, dims: &[Dim]) -> Vec<Index> {
    k.parallel_all("i", dims).into_iter().map(Into::into).collect()
}

/// `y = f(operands)` at every point of the result, the operands broadcast and widened.
pub(crate) fn map(c: &mut LowerCtx<'_>, slots: &[usize], f: &dyn Fn(&mut KernelBuilder, &[ExprId]) -> ExprId) -> Result<()> {
    if super::old_axis(c.node()).flatten().is_some() {
        return Err(c.unsupported("broadcasting along 'axis' is lowered in its newer form only").into());
    }
    let y = c.output(0)?;
    let operands = slots.iter().map(|s| c.input(*s)).collect::<Result<Vec<_>>>()?;
    check(c, &operands.iter().chain([&y]).collect::<Vec<_>>())?;
    for x in &operands {
        let lead = y.rank().saturating_sub(x.rank());
        for (d, whole) in x.dims.iter().zip(&y.dims[lead..]) {
            c.check_equal(d, whole, true);
        }
    }
    let mut k = c.kernel();
    let at = points(&mut k, &y.dims);
    let values: Vec<ExprId> = operands
        .iter()
        .map(|x| {
            let at = k.broadcast(&at, &y.dims, &x.dims);
            load(&mut k, x, at)
        })
        .collect();
    let v = f(&mut k, &values);
    store(&mut k, &y, at, v);
    c.push(k);
    Ok(())
}

/// `y = f(x)`.
pub(crate) fn unary(c: &mut LowerCtx<'_>, f: &dyn Fn(&mut KernelBuilder, ExprId) -> ExprId) -> Result<()> {
    map(c, &[0], &|k, v| f(k, v[0]))
}

/// `y = op(x)`.
pub(crate) fn unary_op(c: &mut LowerCtx<'_>, op: UnaryOp) -> Result<()> {
    unary(c, &|k, x| k.unary(op, x))
}

/// `y = op(a, b)`.
pub(crate) fn binary_op(c: &mut LowerCtx<'_>, op: BinaryOp) -> Result<()> {
    map(c, &[0, 1], &|k, v| k.binary(op, v[0], v[1]))
}

/// `y = op(op(a, b), …)`, of any number of operands.
pub(crate) fn fold_op(c: &mut LowerCtx<'_>, op: BinaryOp) -> Result<()> {
    let slots: Vec<usize> = (0..c.node().inputs().len()).collect();
    map(c, &slots, &|k, v| v[1..].iter().fold(v[0], |a, b| k.binary(op, a, *b)))
}

// ---- expressions

/// A constant of the type of `like`.
pub(crate) fn number(k: &mut KernelBuilder, like: ExprId, v: f64) -> ExprId {
    let dtype = k.dtype(like);
    k.constant(dtype, v)
}

/// `x · factor`; just `x` where the factor is 1, which is how alpha is mostly left.
pub(crate) fn scaled(k: &mut KernelBuilder, x: ExprId, factor: f64) -> ExprId {
    if factor == 1.0 {
        return x;
    }
    let f = number(k, x, factor);
    k.mul(x, f)
}

/// `x + term`
pub(crate) fn plus(k: &mut KernelBuilder, x: ExprId, term: f64) -> ExprId {
    let t = number(k, x, term);
    k.add(x, t)
}

/// `max(low, min(high, x))`; NaN stays.
pub(crate) fn clamped(k: &mut KernelBuilder, x: ExprId, low: f64, high: f64) -> ExprId {
    let (l, h) = (number(k, x, low), number(k, x, high));
    let x = k.binary(BinaryOp::Max, x, l);
    k.binary(BinaryOp::Min, x, h)
}

/// Whether `op(x, bound)`.
pub(crate) fn compared(k: &mut KernelBuilder, op: BinaryOp, x: ExprId, bound: f64) -> ExprId {
    let b = number(k, x, bound);
    k.binary(op, x, b)
}

/// `eˣ − 1`, by its series near zero, where the difference would lose the digits.
pub(crate) fn exp_minus_one(k: &mut KernelBuilder, x: ExprId) -> ExprId {
    let e = k.unary(UnaryOp::Exp, x);
    let far = plus(k, e, -1.0);
    let s = scaled(k, x, 1.0 / 24.0);
    let s = plus(k, s, 1.0 / 6.0);
    let s = k.mul(s, x);
    let s = plus(k, s, 0.5);
    let s = k.mul(s, x);
    let s = plus(k, s, 1.0);
    let near = k.mul(s, x);
    let size = k.unary(UnaryOp::Abs, x);
    let small = compared(k, BinaryOp::Lt, size, 0.02);
    k.select(small, near, far)
}

/// `ln(1 + eˣ)`, without overflow, and with the series of the logarithm where `e^−|x|` is small.
pub(crate) fn softplus(k: &mut KernelBuilder, x: ExprId) -> ExprId {
    let size = k.unary(UnaryOp::Abs, x);
    let size = k.unary(UnaryOp::Neg, size);
    let e = k.unary(UnaryOp::Exp, size);
    let one = plus(k, e, 1.0);
    let far = k.unary(UnaryOp::Log, one);
    let s = scaled(k, e, 1.0 / 3.0);
    let s = plus(k, s, -0.5);
    let s = k.mul(s, e);
    let s = plus(k, s, 1.0);
    let near = k.mul(s, e);
    let small = compared(k, BinaryOp::Lt, e, 0.01);
    let log = k.select(small, near, far);
    let zero = number(k, x, 0.0);
    let top = k.binary(BinaryOp::Max, x, zero);
    k.add(top, log)
}
