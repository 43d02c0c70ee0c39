//! `QuantizeLinear(x, scale, zero_point) = saturate(round(x / scale) + zero_point)`; halves are rounded to even. To 8-bit and smaller
//! floats `x / scale` is rounded as `Cast` does.
//!
//! The scale is one number, or one for each index of `axis` (default 1), or with `block_size=B` one for every `B` neighbours along `axis`.
//! The result has the type of the zero point, else `output_dtype`, else u8. The division is done in f32 unless `precision` names another
//! type.
//!
//! Shapes: the result has the shape of `x`.
//!
//! Types: x: i32 f16 bf16 f32; y_scale: i32 f8e8m0 f16 bf16 f32; y_zero_point, y: u2 i2 u4 i4 u8 i8 u16 i16 f4e2m1 f8e4m3fn f8e4m3fnuz
//! f8e5m2 f8e5m2fnuz.
//!
//! Versions: 10, 13, 19, 21, 23, 24, 25, 28. Source: the ONNX operator "QuantizeLinear".

use crate::{Datum, EvalCtx, InferCtx, OpDef, quantize};
use lapidary_ir::{DType, Node, Result};

pub static DEF: OpDef = OpDef {
    lower: Some(quantize::lower_quantize),
    eval: Some(eval),
    forms: &[quantize::BLOCKS, quantize::AXIS],
    ..OpDef::base("QuantizeLinear", include_str!("quantize_linear.rs"), infer)
};

/// The type that the result has, given that of the zero point.
fn target(node: &Node, zero_point: Option<DType>) -> DType {
    zero_point.or_else(|| quantize::named_type(node, "output_dtype")).unwrap_or(DType::U8)
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let zero_point = if c.has(2) { Some(c.dtype(2)?) } else { None };
    let shape = c.ty(0)?.shape;
    c.set_tensor(0, target(c.node, zero_point), shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, scale, zero) = (c.tensor(0)?, c.tensor(1)?, c.optional(2)?);
    Ok(vec![quantize::quantize(c, x, scale, zero, target(c.node, zero.map(|z| z.dtype())))?.into()])
}
