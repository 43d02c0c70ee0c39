//! `OptionalGetElement(x)`: what the optional holds; an error when it is empty. Anything else is given back as it is.
//!
//! Source: ONNX OptionalGetElement-18.

use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Result, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("OptionalGetElement", include_str!("optional_get_element.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = match c.any_ty(0)? {
        Type::Optional(t) => (**t).clone(),
        other => other.clone(),
    };
    c.set(0, ty);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    match c.inputs.first().copied().flatten() {
        Some(Datum::Optional(_, Some(d))) => Ok(vec![(**d).clone()]),
        Some(Datum::Optional(_, None)) | None => Err(c.error("empty-optional", "the optional is empty").into()),
        Some(d) => Ok(vec![d.clone()]),
    }
}
