//! `Size(data)`: how many elements the operand has, as an i64 scalar.
//!
//! Source: ONNX Size-25.

use crate::{Contents, Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Size", include_str!("size.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    c.set_tensor(0, DType::I64, Shape::scalar());
    if let Some(n) = c.ty(0)?.shape.elements() {
        c.set_contents(0, Contents::scalar(n));
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![Tensor::scalar(c.tensor(0)?.len() as i64).into()])
}
