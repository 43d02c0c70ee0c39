//! `DynamicQuantizeLinear(x)` are `x` quantized to u8, its scale `(max − min) / 255` and its zero point `round(−min / scale)`, with the
//! range widened to include zero. A tensor of zeros has the scale 1.
//!
//! Shapes: the first result has the shape of `x`, the others are scalars.
//!
//! Types: x: f32; y, y_zero_point: u8.
//!
//! Versions: 11. Source: the ONNX operator "DynamicQuantizeLinear".

use crate::numbers::floats;
use crate::{Datum, EvalCtx, InferCtx, OpDef, quantize};
use lapidary_ir::{DType, Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("DynamicQuantizeLinear", include_str!("dynamic_quantize_linear.rs"), infer) };

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
