//! `Identity(x) = x`, of any type, containers included.

use crate::{EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Identity", include_str!("identity.rs"), infer) };

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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let mut k = c.kernel();
    let at: Vec<lapidary_kernel::Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let v = k.load(x.buffer, x.dtype, at.clone());
    k.store(y.buffer, at, v);
    c.push(k);
    Ok(())
}
