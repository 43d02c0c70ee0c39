//! `Mod(a, b) = a − b · ⌊a / b⌋` on integers, the remainder with the sign of `b`; with `fmod=1`, the remainder with the sign of `a`, as C's
//! `fmod`. An integer modulo zero, which ONNX leaves open, gives zero here.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B, C: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 10, 13, 28. Source: the ONNX operator "Mod".

use crate::elementwise::kernels;
use crate::elementwise::math::{float_mod, floor_mod};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("Mod", include_str!("modulo.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast(c)?;
    let truncates = c.node.attrs.int("fmod") == Some(1);
    if elementwise::contents::holds_sizes(c.dtype(0)?) {
        elementwise::contents::map2(c, |a, b| {
            let plain = b.as_const() != Some(0) && (!truncates || (a.known_non_negative() && b.known_non_negative()));
            plain.then(|| a.modulo(b))
        });
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    if c.node.attrs.int("fmod") == Some(1) {
        return elementwise::arithmetic(c, &|a, b| a % b, &|a, b| if b == 0 { 0 } else { a % b });
    }
    elementwise::arithmetic(c, &float_mod, &floor_mod)
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let op = if c.node().attrs.int("fmod") == Some(1) { BinaryOp::Rem } else { BinaryOp::Mod };
    kernels::binary_op(c, op)
}
