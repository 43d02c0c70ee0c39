//! `OptionalHasElement(x)`: whether the optional holds something, as a bool scalar; false without an operand, true for anything that is
//! no optional.
//!
//! Source: ONNX OptionalHasElement-18.

use crate::sequences::{bool_datum, scalar};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("OptionalHasElement", include_str!("optional_has_element.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    c.set(0, scalar(DType::Bool));
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let held = !matches!(c.inputs.first().copied().flatten(), None | Some(Datum::Optional(_, None)));
    Ok(vec![bool_datum(held)])
}
