//! `Identity(x) = x`, of any type, containers included.

use crate::{EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Identity", include_str!("identity.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = c.any_ty(0)?.clone();
    c.set(0, ty);
    if let Some(contents) = c.contents(0) {
        c.set_contents(0, contents);
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<crate::Datum>> {
    match c.inputs.first().copied().flatten() {
        Some(d) => Ok(vec![d.clone()]),
        None => Err(c.error("missing-operand", "operand 0 is missing").into()),
    }
}
