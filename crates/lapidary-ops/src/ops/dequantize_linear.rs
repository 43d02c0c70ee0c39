//! `DequantizeLinear(x, scale, zero_point) = (x − zero_point) · scale`.
//!
//! The scale is one number, or one for each index of `axis` (default 1), or with `block_size=B` one for every `B` neighbours along `axis`.
//! The result has the type `output_dtype`, else that of the scale; an absent zero point is 0.
//!
//! Shapes: the result has the shape of `x`.
//!
//! Types: x, x_zero_point: u2 i2 u4 i4 u8 i8 u16 i16 i32 f4e2m1 f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz; x_scale: f8e8m0 f16 bf16 f32; y: f16
//! bf16 f32.
//!
//! Versions: 10, 13, 19, 21, 23, 24, 25, 28. Source: the ONNX operator "DequantizeLinear".

use crate::{Datum, EvalCtx, InferCtx, OpDef, quantize};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    lower: Some(quantize::lower_dequantize),
    eval: Some(eval),
    forms: &[quantize::BLOCKS, quantize::AXIS],
    ..OpDef::base("DequantizeLinear", include_str!("dequantize_linear.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = quantize::named_type(c.node, "output_dtype").unwrap_or(c.dtype(1)?);
    let shape = c.ty(0)?.shape;
    c.set_tensor(0, dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, scale, zero) = (c.tensor(0)?, c.tensor(1)?, c.optional(2)?);
    let dtype = quantize::named_type(c.node, "output_dtype").unwrap_or(scale.dtype());
    Ok(vec![quantize::dequantize(c, x, scale, zero, dtype)?.into()])
}
