//! `Shrink(x) = x + bias if x < −lambd, x − bias if x > lambd, else 0`, elementwise. `lambd` is 0.5 and `bias` 0 by default. Integers are
//! computed as real numbers and truncated.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: u8 i8 u16 i16 u32 i32 u64 i64 f16 f32 f64.
//!
//! Versions: 9. Source: the ONNX operator "Shrink".

use crate::elementwise::kernels;
use crate::numbers::{floats, map, store};
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::{DType, Result};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("Shrink", include_str!("shrink.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let lambd = f64::from(c.node.attrs.float("lambd").unwrap_or(0.5));
    let bias = f64::from(c.node.attrs.float("bias").unwrap_or(0.0));
    let shrink = |x: f64| match x {
        x if x < -lambd => x + bias,
        x if x > lambd => x - bias,
        _ => 0.0,
    };
    let t = c.tensor(0)?;
    if t.dtype().is_float() {
        return elementwise::float(c, &shrink);
    }
    Ok(vec![store(t.dtype(), t.sizes(), &map(&floats(c, t)?, &|x| shrink(x).trunc()))?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let lambd = f64::from(c.node().attrs.float("lambd").unwrap_or(0.5));
    let bias = f64::from(c.node().attrs.float("bias").unwrap_or(0.0));
    kernels::unary(c, &|k, x| {
        let dtype = k.dtype(x);
        // Integers are computed as real numbers and truncated.
        let v = if dtype.is_float() { x } else { k.cast(DType::F64, x) };
        let (up, down) = (kernels::plus(k, v, bias), kernels::plus(k, v, -bias));
        let (low, high) = (kernels::compared(k, BinaryOp::Lt, v, -lambd), kernels::compared(k, BinaryOp::Gt, v, lambd));
        let zero = kernels::number(k, v, 0.0);
        let inner = k.select(high, down, zero);
        let v = k.select(low, up, inner);
        k.cast(dtype, v)
    })
}
