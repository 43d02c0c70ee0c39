//! `ConvInteger(x, w, x_zero, w_zero)`: the convolution of `x - x_zero` and `w - w_zero`, in i32. Padding is `x_zero`.
//!
//! x: [N, C, D…], w: [M, C/G, K…] of i8 or u8; `x_zero` a scalar, `w_zero` a scalar or [M]. Attributes as of Conv.
//! Source: ONNX ConvInteger-10.

use crate::cells::room;
use crate::ops::conv::{Convolution, lower_conv};
use crate::ops::conv::{Plan, conv_shape};
use crate::ops::mat_mul_integer::centred;
use crate::ops::mat_mul_integer::{less_zero, zero_points};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Result, Tensor};
use lapidary_kernel::{Index, KernelBuilder};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("ConvInteger", include_str!("conv_integer.rs"), infer) };

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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, w, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let (zx, zw) = (zero_points(c, 2)?, zero_points(c, 3)?);
    let terms = |k: &mut KernelBuilder, u, v, channel: &Index| (less_zero(k, u, zx.as_ref(), None), less_zero(k, v, zw.as_ref(), Some(channel)));
    lower_conv(c, Convolution { x: &x, w: &w, y: &y, sum: DType::I32, padding: zx.as_ref() }, terms, |_, v, _| v)
}
