//! `Pow(a, b) = aᵇ`, elementwise. The result has the type of `a`; `b` may have another type. Integers wrap; a real power of an integer is
//! truncated.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: X, Z: i32 i64 f16 bf16 f32 f64; Y: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 7, 12, 13, 15. Source: the ONNX operator "Pow".

use crate::elementwise::broadcast::{zip2, zip2_f32};
use crate::elementwise::kernels;
use crate::elementwise::math::int_pow;
use crate::numbers::{floats, store, store_wide, wide};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef, elementwise, forms};
use lapidary_ir::{DType, Result};
use lapidary_kernel::{BinaryOp, UnaryOp};

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), forms: &[forms::BROADCAST], ..OpDef::base("Pow", include_str!("pow.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(0)?;
    elementwise::broadcast_to(c, dtype)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (a, b, sizes) = elementwise::operands(c)?;
    if a.dtype().is_int() && b.dtype().is_int() {
        let out = zip2(&sizes, (&wide(c, a)?, a.sizes()), (&wide(c, &b)?, b.sizes()), &int_pow);
        return Ok(vec![store_wide(a.dtype(), &sizes, &out)?.into()]);
    }
    if a.dtype() == DType::F32 && b.dtype() == DType::F32 {
        return Ok(vec![zip2_f32(&sizes, a, &b, &f64::powf)?.into()]);
    }
    let mut out = zip2(&sizes, (&floats(c, a)?, a.sizes()), (&floats(c, &b)?, b.sizes()), &f64::powf);
    if a.dtype().is_int() {
        out.iter_mut().for_each(|v| *v = v.trunc());
    }
    Ok(vec![store(a.dtype(), &sizes, &out)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let exponent = c.constant(1).filter(|t| t.len() == 1).and_then(|t| t.to_f64()?.first().copied());
    kernels::map(c, &[0, 1], &|k, v| {
        let (x, dtype) = (v[0], k.dtype(v[0]));
        // The exponents that models have: products are exact to the last place, and a power is dear.
        match exponent {
            Some(1.0) => return x,
            Some(2.0) => return k.mul(x, x),
            Some(3.0) => {
                let square = k.mul(x, x);
                return k.mul(square, x);
            }
            Some(0.5) if dtype.is_float() => return k.unary(UnaryOp::Sqrt, x),
            Some(-1.0) if dtype.is_float() => return k.unary(UnaryOp::Reciprocal, x),
            _ => {}
        }
        if dtype.is_int() {
            let (a, b) = (k.cast(DType::F64, x), k.cast(DType::F64, v[1]));
            let real = k.binary(BinaryOp::Pow, a, b);
            let real = k.cast(dtype, real);
            if k.dtype(v[1]).is_float() {
                return real;
            }
            // Integers wrap, but for negative exponents, whose powers are fractions.
            let b = k.cast(dtype, v[1]);
            let whole = k.binary(BinaryOp::Pow, x, b);
            let negative = kernels::compared(k, BinaryOp::Lt, v[1], 0.0);
            return k.select(negative, real, whole);
        }
        let b = k.cast(dtype, v[1]);
        k.binary(BinaryOp::Pow, x, b)
    })
}
