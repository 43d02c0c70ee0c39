//! `MatMulInteger(a, b, a_zero, b_zero)`: the matrix product of `a - a_zero` and `b - b_zero`, in i32.
//!
//! a, b: i8 or u8; zero points (optional): a scalar, or one for each row of a, for each column of b. Source: ONNX MatMulInteger-10.

use crate::cells::room;
use crate::lower::Operand;
use crate::ops::mat_mul::lower_product;
use crate::ops::mat_mul::{Plan, product_shape};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor};
use lapidary_kernel::{ExprId, Index, KernelBuilder};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("MatMulInteger", include_str!("mat_mul_integer.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let shape = match (c.dims(0), c.dims(1)) {
        (Some(a), Some(b)) => product_shape(c, a, b)?,
        _ => Shape::Unranked,
    };
    c.set_tensor(0, DType::I32, shape);
    Ok(())
}

/// The elements less their zero points, which the operand in `slot` holds: one in all, or one for each index along the axis that lies
/// `from_end` axes before the last.
pub fn centred(c: &EvalCtx<'_>, t: &Tensor, slot: usize, from_end: usize) -> Result<Vec<i64>> {
    let mut values = t.to_i64().ok_or_else(|| c.error("type-error", format!("elements of type {} are not integers", t.dtype())))?;
    let Some(zero) = c.optional(slot)? else { return Ok(values) };
    let zeros = c.ints(slot)?;
    if zeros.len() == 1 {
        values.iter_mut().for_each(|v| *v -= zeros[0]);
        return Ok(values);
    }
    let misfit = || c.error("shape-conflict", format!("zero points of shape {:?} do not fit {:?}", zero.sizes(), t.sizes()));
    let axis = t.rank().checked_sub(from_end + 1).ok_or_else(misfit)?;
    let (_, size, run) = crate::cells::around(t.sizes(), axis);
    if zeros.len() == size {
        values.iter_mut().enumerate().for_each(|(i, v)| *v -= zeros[i / run.max(1) % size]);
    } else {
        // One for each row or column of each matrix of the batch.
        let lead: usize = t.sizes()[..axis.saturating_sub(1 - from_end.min(1))].iter().product();
        let matrix = t.len() / lead.max(1);
        if zeros.len() != lead * size {
            return Err(misfit().into());
        }
        values.iter_mut().enumerate().for_each(|(i, v)| *v -= zeros[i / matrix.max(1) * size + i / run.max(1) % size]);
    }
    Ok(values)
}

/// The product of two integer operands with zero points in the given slots.
pub fn integer_product(c: &EvalCtx<'_>, a: &Tensor, b: &Tensor, zeros: (usize, usize)) -> Result<(Vec<i64>, Vec<usize>)> {
    let plan = Plan::of(c, a.sizes(), b.sizes())?;
    room(c, DType::F64, &plan.sizes)?;
    let x = centred(c, a, zeros.0, if a.rank() == 1 { 0 } else { 1 })?;
    let y = centred(c, b, zeros.1, 0)?;
    Ok((plan.integers(&x, &y), plan.sizes))
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (out, sizes) = integer_product(c, c.tensor(0)?, c.tensor(1)?, (2, 3))?;
    Ok(vec![Tensor::from_i64(DType::I32, &sizes, &out)?.into()])
}

/// The zero points of an operand, to be read in a kernel; `None` where there are none, or they are 0 for certain.
pub fn zero_points(c: &mut LowerCtx<'_>, slot: usize) -> Result<Option<Operand>> {
    let nothing = c.constant(slot).and_then(|t| t.to_i64()).is_some_and(|v| v.iter().all(|z| *z == 0));
    if !c.has(slot) || nothing {
        return Ok(None);
    }
    let z = c.input(slot)?;
    if z.rank() > 1 {
        return Err(c.unsupported("zero points of each matrix of a batch are not compiled").into());
    }
    Ok(Some(z))
}

/// The element of a scale or zero point: the only one, or the one of this row or column.
pub fn at_line(k: &mut KernelBuilder, p: &Operand, line: Option<&Index>) -> ExprId {
    let index = match (&p.dims[..], line) {
        ([], _) => vec![],
        ([d], Some(i)) if d.as_const() != Some(1) => vec![i.clone()],
        _ => vec![Index::from(0)],
    };
    k.load(p.buffer, p.dtype, index)
}

/// `v` less its zero point.
pub fn less_zero(k: &mut KernelBuilder, v: ExprId, zero: Option<&Operand>, line: Option<&Index>) -> ExprId {
    let Some(z) = zero else { return v };
    let z = at_line(k, z, line);
    let dtype = k.dtype(v);
    let z = k.cast(dtype, z);
    k.sub(v, z)
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (a, b, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let (za, zb) = (zero_points(c, 2)?, zero_points(c, 3)?);
    let terms = |k: &mut KernelBuilder, u, v, row: Option<&Index>, column: Option<&Index>| {
        (less_zero(k, u, za.as_ref(), row), less_zero(k, v, zb.as_ref(), column))
    };
    lower_product(c, &a, &b, &y, DType::I32, terms, |_, v, _, _| v)
}
