//! `Optional(x)`: an optional that holds `x`; without an operand an empty one of the attribute `type`.
//!
//! Source: ONNX Optional-15.

use crate::sequences::type_of;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Attr, Attrs, Result, Type};
use std::sync::Arc;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Optional", include_str!("optional.rs"), infer) };

fn declared(attrs: &Attrs) -> Type {
    match attrs.get("type") {
        Some(Attr::Type(t)) => t.clone(),
        _ => Type::Unknown,
    }
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = if c.has(0) { c.any_ty(0)?.clone() } else { declared(&c.node.attrs) };
    c.set(0, Type::Optional(Arc::new(ty)));
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![match c.inputs.first().copied().flatten() {
        Some(d) => Datum::Optional(type_of(d), Some(Box::new(d.clone()))),
        None => Datum::Optional(declared(&c.node.attrs), None),
    }])
}
