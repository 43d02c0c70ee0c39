//! `MatMulInteger(a, b, a_zero, b_zero)`: the matrix product of `a - a_zero` and `b - b_zero`, in i32.
//!
//! a, b: i8 or u8; zero points (optional): a scalar, or one for each row of a, for each column of b. Source: ONNX MatMulInteger-10.

use crate::cells::room;
use crate::ops::mat_mul::{Plan, product_shape};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("MatMulInteger", include_str!("mat_mul_integer.rs"), infer) };

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
