//! `ConcatFromSequence(sequence)`: its tensors one after the other along `axis`, or stacked along a new `axis` with `new_axis=1`.
//!
//! Any element type. Source: ONNX ConcatFromSequence-11.

use crate::regions::stack;
use crate::sequences::{element_type, sequence};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("ConcatFromSequence", include_str!("concat_from_sequence.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = element_type(c, 0)?.dtype();
    c.set_tensor(0, dtype, Shape::Unranked);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (_, all) = sequence(c, 0)?;
    let parts: Vec<&Tensor> = all.iter().filter_map(Datum::as_tensor).collect();
    let axis = c.node.attrs.int("axis").unwrap_or(0);
    if c.node.attrs.int("new_axis").unwrap_or(0) == 0 {
        return Ok(vec![crate::ops::concat::join(c, &parts, axis)?.into()]);
    }
    let Some(first) = parts.first() else { return Err(c.error("missing-operand", "the sequence is empty").into()) };
    let copies: Vec<Tensor> = parts.iter().map(|t| (*t).clone()).collect();
    Ok(vec![stack(c, &copies, axis, &first.ty())?.into()])
}
