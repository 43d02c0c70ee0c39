//! `Equal(a, b) = (a = b)`, elementwise. NaN equals nothing; strings are equal byte for byte.
//!
//! Shapes: the operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: A, B: bool u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64 string; C: bool.
//!
//! Versions: 1, 7, 11, 13, 19. Source: the ONNX operator "Equal".

use crate::elementwise::broadcast::indices;
use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, InferCtx, OpDef, elementwise, forms};
use lapidary_ir::{Result, Tensor};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::binary_op(c, BinaryOp::Eq)),
    eval: Some(eval),
    commutative: true,
    forms: &[forms::BROADCAST],
    ..OpDef::base("Equal", include_str!("equal.rs"), infer)
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::broadcast_bool(c)?;
    elementwise::contents::map2(c, elementwise::contents::equal);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (a, b, sizes) = elementwise::operands(c)?;
    let (Some(x), Some(y)) = (a.as_strings(), b.as_strings()) else {
        return elementwise::compare(c, &|a, b| a == b, &|a, b| a == b);
    };
    let pairs = indices(&sizes, a.sizes()).into_iter().zip(indices(&sizes, b.sizes()));
    let out: Vec<bool> = pairs.map(|(i, j)| x[i] == y[j]).collect();
    Ok(vec![Tensor::from_slice(&sizes, &out).into()])
}
