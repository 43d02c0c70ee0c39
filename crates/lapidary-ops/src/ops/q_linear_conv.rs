//! `QLinearConv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, b)`: the convolution of the numbers that x and w stand for,
//! quantized again: `saturate(round(y / y_scale) + y_zero)`, ties to even.
//!
//! x: [N, C, D…], w: [M, C/G, K…] of i8 or u8; `w_scale` and `w_zero` scalars or [M]; b: i32[M] in units of `x_scale · w_scale`.
//! Attributes as of Conv. Source: ONNX QLinearConv-10.

use crate::ops::conv::{Convolution, conv_shape, lower_conv};
use crate::ops::conv_integer::integer_conv;
use crate::ops::mat_mul_integer::{at_line, less_zero, zero_points};
use crate::ops::q_linear_mat_mul::{requantize, round_to, scale_of, scales};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Result};
use lapidary_kernel::{Index, KernelBuilder};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("QLinearConv", include_str!("q_linear_conv.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(7)?;
    let shape = conv_shape(c, 3)?;
    c.set_tensor(0, dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (mut sums, sizes) = integer_conv(c, c.tensor(0)?, c.tensor(3)?, (2, 5))?;
    let (sx, sw, sy) = (scales(c, 1)?, scales(c, 4)?, scales(c, 6)?);
    let (channels, run) = (sizes[1], sizes[2..].iter().product::<usize>().max(1));
    if c.has(8) {
        let bias = c.ints(8)?;
        if bias.len() != channels {
            return Err(c.error("shape-conflict", format!("{} biases for {channels} channels", bias.len())).into());
        }
        sums.iter_mut().enumerate().for_each(|(i, s)| *s += bias[i / run % channels]);
    }
    if sw.len() != 1 && sw.len() != channels {
        return Err(c.error("shape-conflict", format!("{} scales for {channels} channels", sw.len())).into());
    }
    let scale = |i: usize| sx[0] * sw[if sw.len() == 1 { 0 } else { i / run % channels }] / sy[0];
    Ok(vec![requantize(c, &sums, &sizes, scale, 7)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, w, y) = (c.input(0)?, c.input(3)?, c.output(0)?);
    let (zx, zw, zero) = (zero_points(c, 2)?, zero_points(c, 5)?, c.input(7)?);
    let (sx, sw, sy) = (c.input(1)?, c.input(4)?, c.input(6)?);
    let bias = if c.has(8) { Some(c.input(8)?) } else { None };
    let terms = |k: &mut KernelBuilder, u, v, channel: &Index| (less_zero(k, u, zx.as_ref(), None), less_zero(k, v, zw.as_ref(), Some(channel)));
    lower_conv(c, Convolution { x: &x, w: &w, y: &y, sum: DType::I32, padding: zx.as_ref() }, terms, |k, v, channel| {
        let v = match &bias {
            Some(b) => {
                let b = at_line(k, b, Some(channel));
                k.add(v, b)
            }
            None => v,
        };
        let (sx, sw, sy) = (scale_of(k, &sx, None), scale_of(k, &sw, Some(channel)), scale_of(k, &sy, None));
        let s = k.mul(sx, sw);
        let s = k.div(s, sy);
        round_to(k, v, s, &zero)
    })
}
