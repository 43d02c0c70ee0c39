//! `BitShift(a, b) = a << b` or, with `direction="RIGHT"`, `a >> b`, elementwise on integers. Bits that leave the type are lost; a right shift
//! keeps the sign. A shift by a negative number, or by the type's width or more, moves all bits out.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: X, Y, Z: u8 i8 u16 i16 u32 i32 u64 i64.
//!
//! Versions: 11, 28. Source: the ONNX operator "BitShift".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("BitShift", include_str!("bit_shift.rs"), elementwise::broadcast) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let bits = c.tensor(0)?.dtype().bits() as i128;
    let inside = |b: i128| (0..bits).contains(&b);
    match c.node.attrs.str("direction") {
        Some("LEFT") => elementwise::arithmetic(c, &|_, _| f64::NAN, &|a, b| if inside(b) { a << b } else { 0 }),
        Some("RIGHT") => elementwise::arithmetic(c, &|_, _| f64::NAN, &|a, b| a >> if inside(b) { b } else { 127 }),
        _ => Err(c.error("bad-attribute", "'direction' must be \"LEFT\" or \"RIGHT\"").into()),
    }
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let right = c.node().attrs.str("direction") == Some("RIGHT");
    kernels::map(c, &[0, 1], &|k, v| {
        let dtype = k.dtype(v[0]);
        if !right {
            return k.binary(BinaryOp::Shl, v[0], v[1]);
        }
        if !dtype.is_signed_int() {
            return k.binary(BinaryOp::Shr, v[0], v[1]);
        }
        // Shifts out of range leave the sign alone.
        let last = k.int(dtype, dtype.bits() as i64 - 1);
        let (negative, far) = (kernels::compared(k, BinaryOp::Lt, v[1], 0.0), k.binary(BinaryOp::Gt, v[1], last));
        let out = k.binary(BinaryOp::Or, negative, far);
        let by = k.select(out, last, v[1]);
        k.binary(BinaryOp::Shr, v[0], by)
    })
}
