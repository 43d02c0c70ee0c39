//! `CastLike(x, y)` is `x` in the element type of `y`, as `Cast` gives it.
//!
//! Shapes: the result has the shape of `x`; that of `y` does not matter.
//!
//! Types: input: all element types; target_type, output: all element types.
//!
//! Versions: 15, 19, 21, 23, 24, 25. Source: the ONNX operator "CastLike".

use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef, cast};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("CastLike", include_str!("cast_like.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let (from, to) = (c.ty(0)?, c.dtype(1)?);
    cast::infer_contents(c, from.dtype, to);
    c.set_tensor(0, to, from.shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![cast::cast(c, c.tensor(0)?, c.tensor(1)?.dtype())?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    cast::lower(c)
}
