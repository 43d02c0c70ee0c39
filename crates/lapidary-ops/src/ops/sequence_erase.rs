//! `SequenceErase(sequence, position)`: the sequence without the element at a position (integer scalar, default: the last).
//!
//! Source: ONNX SequenceErase-11.

use crate::sequences::{position, sequence};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SequenceErase", include_str!("sequence_erase.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = c.any_ty(0)?.clone();
    c.set(0, ty);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (ty, all) = sequence(c, 0)?;
    let mut out = all.to_vec();
    out.remove(position(c, 1, all.len(), false)?);
    Ok(vec![Datum::Sequence(ty.clone(), out)])
}
