//! `SequenceAt(sequence, position)`: the element at a position (integer scalar, negative from the end).
//!
//! Source: ONNX SequenceAt-11.

use crate::sequences::{element_type, position, sequence};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SequenceAt", include_str!("sequence_at.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = element_type(c, 0)?;
    c.set(0, ty);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (_, all) = sequence(c, 0)?;
    Ok(vec![all[position(c, 1, all.len(), false)?].clone()])
}
