//! `Pow(a, b) = aᵇ`, elementwise. The result has the type of `a`; `b` may have another type. Integers wrap; a real power of an integer is
//! truncated.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: X, Z: i32 i64 f16 bf16 f32 f64; Y: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 7, 12, 13, 15. Source: the ONNX operator "Pow".

use crate::elementwise::broadcast::zip2;
use crate::elementwise::math::int_pow;
use crate::numbers::{floats, store, store_wide, wide};
use crate::{Datum, EvalCtx, InferCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), forms: &[forms::BROADCAST], ..OpDef::base("Pow", include_str!("pow.rs"), infer) };

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
    let mut out = zip2(&sizes, (&floats(c, a)?, a.sizes()), (&floats(c, &b)?, b.sizes()), &f64::powf);
    if a.dtype().is_int() {
        out.iter_mut().for_each(|v| *v = v.trunc());
    }
    Ok(vec![store(a.dtype(), &sizes, &out)?.into()])
}
