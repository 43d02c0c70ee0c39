//! `QLinearMatMul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero)`: the matrix product of the numbers that a and b stand for,
//! `(a - a_zero) · a_scale`, quantized again: `saturate(round(y / y_scale) + y_zero)`, ties to even.
//!
//! a, b, y: i8, u8 or floats of 8 bits; scales and zero points scalars, one for each row of a, or one for each column of b.
//! Source: ONNX QLinearMatMul-21.

use crate::lower::Operand;
use crate::ops::mat_mul::lower_product;
use crate::ops::mat_mul::product_shape;
use crate::ops::mat_mul_integer::integer_product;
use crate::ops::mat_mul_integer::{at_line, less_zero, zero_points};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor};
use lapidary_kernel::{BinaryOp, ExprId, Index, KernelBuilder, UnaryOp};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("QLinearMatMul", include_str!("q_linear_mat_mul.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(7)?;
    let shape = match (c.dims(0), c.dims(3)) {
        (Some(a), Some(b)) => product_shape(c, a, b)?,
        _ => Shape::Unranked,
    };
    c.set_tensor(0, dtype, shape);
    Ok(())
}

/// The scales in `slot`, as f32.
pub fn scales(c: &EvalCtx<'_>, slot: usize) -> Result<Vec<f32>> {
    let found = c.tensor(slot)?.to_f64().filter(|v| !v.is_empty());
    let found = found.ok_or_else(|| c.error("type-error", format!("operand {slot} holds no scales")))?;
    Ok(found.into_iter().map(|v| v as f32).collect())
}

/// Sums in units of `scale(i)` to the integer type of the zero point in `slot`. Sums, scales and their products are rounded to f32, as ONNX Runtime
/// does: which way a product falls that is nearly halfway between two codes is part of what the operator means.
pub fn requantize(c: &EvalCtx<'_>, sums: &[i64], sizes: &[usize], scale: impl Fn(usize) -> f32, slot: usize) -> Result<Tensor> {
    let zero = c.tensor(slot)?;
    let z = zero.to_f64().and_then(|v| v.first().copied()).unwrap_or(0.0);
    let Some((low, high)) = zero.dtype().int_range() else {
        return Err(c.unsupported(format!("results of type {} are not evaluated", zero.dtype())).into());
    };
    let values = sums.iter().enumerate().map(|(i, s)| (f64::from((*s as f32 * scale(i)).round_ties_even()) + z).clamp(low as f64, high as f64));
    Tensor::from_f64(zero.dtype(), sizes, &values.collect::<Vec<_>>())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (a, b) = (c.tensor(0)?, c.tensor(3)?);
    if a.dtype() == DType::F64 || a.dtype().is_float() {
        return Err(c.unsupported(format!("operands of type {} are not evaluated", a.dtype())).into());
    }
    let (sums, sizes) = integer_product(c, a, b, (2, 5))?;
    let (sa, sb, sy) = (scales(c, 1)?, scales(c, 4)?, scales(c, 6)?);
    let columns = if b.rank() > 1 { b.sizes()[b.rank() - 1] } else { 1 }.max(1);
    let at = |s: &[f32], i: usize| if s.len() == 1 { s[0] } else { s[i % s.len()] };
    let scale = |i: usize| at(&sa, i / columns) * at(&sb, i % columns) / sy[0];
    Ok(vec![requantize(c, &sums, &sizes, scale, 7)?.into()])
}

/// A sum of products of integers as an integer of the result's type: `saturate(round(sum · scale) + zero)`.
pub fn round_to(k: &mut KernelBuilder, sum: ExprId, scale: ExprId, zero: &Operand) -> ExprId {
    let v = k.cast(DType::F32, sum);
    let v = k.mul(v, scale);
    let v = k.unary(UnaryOp::Round, v);
    let z = at_line(k, zero, None);
    let z = k.cast(DType::F32, z);
    let v = k.add(v, z);
    let (low, high) = zero.dtype.int_range().unwrap_or((0, 0));
    let (low, high) = (k.constant(DType::F32, low as f64), k.constant(DType::F32, high as f64));
    let v = k.binary(BinaryOp::Max, v, low);
    let v = k.binary(BinaryOp::Min, v, high);
    k.cast(zero.dtype, v)
}

/// A scale as f32.
pub fn scale_of(k: &mut KernelBuilder, scale: &Operand, line: Option<&Index>) -> ExprId {
    let s = at_line(k, scale, line);
    k.cast(DType::F32, s)
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (a, b, y) = (c.input(0)?, c.input(3)?, c.output(0)?);
    let (za, zb, zero) = (zero_points(c, 2)?, zero_points(c, 5)?, c.input(7)?);
    let (sa, sb, sy) = (c.input(1)?, c.input(4)?, c.input(6)?);
    if !a.dtype.is_int() || !zero.dtype.is_int() || [&sa, &sb, &sy].iter().any(|s| s.rank() > 1) {
        return Err(c.unsupported("only integers with one scale for each row or column are compiled").into());
    }
    let terms = |k: &mut KernelBuilder, u, v, row: Option<&Index>, column: Option<&Index>| {
        (less_zero(k, u, za.as_ref(), row), less_zero(k, v, zb.as_ref(), column))
    };
    lower_product(c, &a, &b, &y, DType::I32, terms, |k, v, row, column| {
        let (sa, sb, sy) = (scale_of(k, &sa, row), scale_of(k, &sb, column), scale_of(k, &sy, None));
        let s = k.mul(sa, sb);
        let s = k.div(s, sy);
        round_to(k, v, s, &zero)
    })
}
