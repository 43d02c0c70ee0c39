//! `SequenceEmpty()`: a sequence of no tensors, of the element type `dtype` (default f32).
//!
//! Source: ONNX SequenceEmpty-11.

use crate::sequences::sequence_of;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Attrs, DType, Result, Shape, TensorType, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SequenceEmpty", include_str!("sequence_empty.rs"), infer) };

fn element(attrs: &Attrs) -> Type {
    let dtype = attrs.int("dtype").and_then(|v| DType::from_onnx_code(v as i32)).unwrap_or(DType::F32);
    TensorType::new(dtype, Shape::Unranked).into()
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    c.set(0, sequence_of(&element(&c.node.attrs)));
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![Datum::Sequence(element(&c.node.attrs), vec![])])
}
