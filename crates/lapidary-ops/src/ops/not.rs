//! `Not(x) = ¬x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: bool.
//!
//! Versions: 1. Source: the ONNX operator "Not".

use crate::elementwise::kernels;
use crate::numbers::bools;
use crate::{Datum, EvalCtx, InferCtx, OpDef, elementwise};
use lapidary_ir::{Result, Tensor};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef =
    OpDef { lower: Some(|c| kernels::unary_op(c, UnaryOp::Not)), eval: Some(eval), ..OpDef::base("Not", include_str!("not.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::contents::map1(c, |x| elementwise::contents::negate(Some(x.clone())));
    elementwise::same(c)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    let out: Vec<bool> = bools(c, t)?.into_iter().map(|x| !x).collect();
    Ok(vec![Tensor::from_slice(t.sizes(), &out).into()])
}
