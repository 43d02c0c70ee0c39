//! `EyeLike(x)`: ones on the diagonal `j - i = k` (attribute, default 0), zeros elsewhere, of the shape of the matrix `x`.
//!
//! The element type is the attribute `dtype`, or that of `x`. Source: ONNX EyeLike-22.

use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Attrs, DType, Dim, Result, Tensor};
use lapidary_kernel::Index;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("EyeLike", include_str!("eye_like.rs"), infer) };

fn dtype(attrs: &Attrs, of_x: DType) -> DType {
    attrs.int("dtype").and_then(|v| DType::from_onnx_code(v as i32)).unwrap_or(of_x)
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    c.set_tensor(0, dtype(&c.node.attrs, x.dtype), x.shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let k = c.node.attrs.int("k").unwrap_or(0);
    let &[rows, columns] = x.sizes() else { return Err(c.error("shape-conflict", "the operand is not a matrix").into()) };
    let values: Vec<i64> = (0..rows * columns).map(|e| ((e % columns) as i64 - (e / columns) as i64 == k) as i64).collect();
    Ok(vec![Tensor::from_i64(dtype(&c.node.attrs, x.dtype()), x.sizes(), &values)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let y = c.output(0)?;
    let diagonal = c.node().attrs.int("k").unwrap_or(0);
    let mut k = c.kernel();
    let (i, j) = (k.parallel("i", y.dims[0].clone()), k.parallel("j", y.dims[1].clone()));
    let distance = Index::from(j).sub(&i.into()).add_dim(&Dim::from(diagonal.saturating_neg()));
    let on = k.within(vec![(distance, Dim::from(1))]);
    let v = k.cast(y.dtype, on);
    k.store(y.buffer, [i.into(), j.into()], v);
    c.push(k);
    Ok(())
}
