//! `SequenceLength(sequence)`: how many elements it has, as an i64 scalar.
//!
//! Source: ONNX SequenceLength-11.

use crate::sequences::{scalar, sequence};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SequenceLength", include_str!("sequence_length.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    c.set(0, scalar(DType::I64));
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![Tensor::scalar(sequence(c, 0)?.1.len() as i64).into()])
}
