//! `SequenceConstruct(x₀, x₁, …)`: the sequence of the operands.
//!
//! Tensors of one element type. Source: ONNX SequenceConstruct-11.

use crate::sequences::{sequence_of, shapeless, type_of};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Result, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SequenceConstruct", include_str!("sequence_construct.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = sequence_of(c.any_ty(0)?);
    c.set(0, ty);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let all: Vec<Datum> = c.inputs.iter().flatten().map(|d| (*d).clone()).collect();
    let ty = all.first().map_or(Type::Unknown, |d| shapeless(&type_of(d)));
    Ok(vec![Datum::Sequence(ty, all)])
}
