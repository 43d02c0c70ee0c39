//! `ConvInteger(x, w, x_zero, w_zero)`: the convolution of `x - x_zero` and `w - w_zero`, in i32. Padding is `x_zero`.
//!
//! x: [N, C, D…], w: [M, C/G, K…] of i8 or u8; `x_zero` a scalar, `w_zero` a scalar or [M]. Attributes as of Conv.
//! Source: ONNX ConvInteger-10.

use crate::cells::room;
use crate::ops::conv::{Plan, conv_shape};
use crate::ops::mat_mul_integer::centred;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("ConvInteger", include_str!("conv_integer.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let shape = conv_shape(c, 1)?;
    c.set_tensor(0, DType::I32, shape);
    Ok(())
}

/// The convolution of two integer operands with zero points in the given slots.
pub fn integer_conv(c: &EvalCtx<'_>, x: &Tensor, w: &Tensor, zeros: (usize, usize)) -> Result<(Vec<i64>, Vec<usize>)> {
    let plan = Plan::of(c, x.sizes(), w.sizes())?;
    room(c, DType::F64, &plan.sizes)?;
    let (xs, ws) = (centred(c, x, zeros.0, 0)?, centred(c, w, zeros.1, w.rank() - 1)?);
    Ok((plan.sums(&|at, run: &mut [i64]| run.copy_from_slice(&ws[at..at + run.len()]), &|at| xs[at]), plan.sizes))
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (out, sizes) = integer_conv(c, c.tensor(0)?, c.tensor(1)?, (2, 3))?;
    Ok(vec![Tensor::from_i64(DType::I32, &sizes, &out)?.into()])
}
