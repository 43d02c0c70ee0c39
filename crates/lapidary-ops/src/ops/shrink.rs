//! `Shrink(x) = x + bias if x < −lambd, x − bias if x > lambd, else 0`, elementwise. `lambd` is 0.5 and `bias` 0 by default. Integers are
//! computed as real numbers and truncated.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: u8 i8 u16 i16 u32 i32 u64 i64 f16 f32 f64.
//!
//! Versions: 9. Source: the ONNX operator "Shrink".

use crate::numbers::{floats, map, store};
use crate::{Datum, EvalCtx, OpDef, elementwise};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Shrink", include_str!("shrink.rs"), elementwise::same) };

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
