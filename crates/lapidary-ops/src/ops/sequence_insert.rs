//! `SequenceInsert(sequence, x, position)`: the sequence with a tensor inserted before a position (integer scalar, default: the end).
//!
//! Source: ONNX SequenceInsert-11.

use crate::sequences::{position, sequence, shapeless};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Result, Type};
use std::sync::Arc;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SequenceInsert", include_str!("sequence_insert.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = match c.any_ty(0)? {
        Type::Sequence(t) => Type::Sequence(Arc::new(shapeless(t))),
        other => other.clone(),
    };
    c.set(0, ty);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (ty, all) = sequence(c, 0)?;
    let mut out = all.to_vec();
    out.insert(position(c, 2, all.len(), true)?, c.tensor(1)?.clone().into());
    Ok(vec![Datum::Sequence(ty.clone(), out)])
}
