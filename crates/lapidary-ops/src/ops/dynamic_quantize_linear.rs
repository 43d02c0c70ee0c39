//! `DynamicQuantizeLinear(x)` are `x` quantized to u8, its scale `(max − min) / 255` and its zero point `round(−min / scale)`, with the
//! range widened to include zero. A tensor of zeros has the scale 1.
//!
//! Shapes: the first result has the shape of `x`, the others are scalars.
//!
//! Types: x: f32; y, y_zero_point: u8.
//!
//! Versions: 11. Source: the ONNX operator "DynamicQuantizeLinear".

use crate::elementwise::kernels;
use crate::numbers::floats;
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef, quantize};
use lapidary_ir::{DType, Result, Shape, Tensor};
use lapidary_kernel::{BinaryOp, ReduceOp, UnaryOp};

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("DynamicQuantizeLinear", include_str!("dynamic_quantize_linear.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let shape = c.ty(0)?.shape;
    c.set_tensor(0, DType::U8, shape);
    c.set_tensor(1, DType::F32, Shape::scalar());
    c.set_tensor(2, DType::U8, Shape::scalar());
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    // In f32 throughout, as ONNX defines it: the scale is a result.
    let (low, high) = floats(c, x)?.iter().fold((0f32, 0f32), |(l, h), v| (l.min(*v as f32), h.max(*v as f32)));
    let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
    let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even() as u8;
    let (scale, zero) = (Tensor::scalar(scale), Tensor::scalar(zero));
    let y = quantize::quantize(c, x, &scale, Some(&zero), DType::U8)?;
    Ok(vec![y.into(), scale.into(), zero.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let x = c.input(0)?;
    let [y, scale, zero] = [c.output(0)?, c.output(1)?, c.output(2)?];
    let mut r = Rows::new(c, &x.dims, &rows::mark(x.rank(), |_| true));
    let v = r.load(&x);
    let (low, high) = (r.reduce(ReduceOp::Min, v), r.reduce(ReduceOp::Max, v));
    let nil = kernels::number(&mut r.k, v, 0.0);
    let (low, high) = (r.k.binary(BinaryOp::Min, low, nil), r.k.binary(BinaryOp::Max, high, nil));
    let range = r.k.sub(high, low);
    let steps = kernels::number(&mut r.k, v, 255.0);
    let step = r.k.div(range, steps);
    let (one, wide) = (kernels::number(&mut r.k, v, 1.0), r.k.binary(BinaryOp::Gt, high, low));
    let step = r.k.select(wide, step, one);
    let offset = r.k.unary(UnaryOp::Neg, low);
    let offset = r.k.div(offset, step);
    let offset = kernels::clamped(&mut r.k, offset, 0.0, 255.0);
    let offset = r.k.unary(UnaryOp::Round, offset);
    r.store_one(&scale, vec![], step);
    r.store_one(&zero, vec![], offset);
    c.push(r.k);
    quantize::quantizer(c, &x, &scale, Some(&zero), &y)
}
