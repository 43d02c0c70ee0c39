//! `Size(data)`: how many elements the operand has, as an i64 scalar.
//!
//! Source: ONNX Size-25.

use crate::{Contents, Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Result, Shape, Tensor};
use lapidary_kernel::Index;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Size", include_str!("size.rs"), infer) };

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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let y = c.output(0)?;
    let x = c.node().input(0).and_then(|v| c.graph.ty(v).dims());
    let dims = x.ok_or_else(|| c.unsupported("the rank is only known at run time"))?;
    let mut k = c.kernel();
    let v = k.index(Index::from(dims.iter().fold(Dim::from(1), |a, d| &a * d)));
    k.store(y.buffer, [], v);
    c.push(k);
    Ok(())
}
