//! `BitShift(a, b) = a << b` or, with `direction="RIGHT"`, `a >> b`, elementwise on integers. Bits that leave the type are lost; a right shift
//! keeps the sign. A shift by a negative number, or by the type's width or more, moves all bits out.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: X, Y, Z: u8 i8 u16 i16 u32 i32 u64 i64.
//!
//! Versions: 11, 28. Source: the ONNX operator "BitShift".

use crate::{Datum, EvalCtx, OpDef, elementwise};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("BitShift", include_str!("bit_shift.rs"), elementwise::broadcast) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let bits = c.tensor(0)?.dtype().bits() as i128;
    let inside = |b: i128| (0..bits).contains(&b);
    match c.node.attrs.str("direction") {
        Some("LEFT") => elementwise::arithmetic(c, &|_, _| f64::NAN, &|a, b| if inside(b) { a << b } else { 0 }),
        Some("RIGHT") => elementwise::arithmetic(c, &|_, _| f64::NAN, &|a, b| a >> if inside(b) { b } else { 127 }),
        _ => Err(c.error("bad-attribute", "'direction' must be \"LEFT\" or \"RIGHT\"").into()),
    }
}
