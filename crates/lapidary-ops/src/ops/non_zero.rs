//! `NonZero(x)`: the indices of the elements that are not zero, as i64[rank, count], in row-major order.
//!
//! Any numeric type, bool and strings (not empty). Source: ONNX NonZero-13.

use crate::cells::visit;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{DType, Dim, Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("NonZero", include_str!("non_zero.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let rank = c.ty(0)?.shape.rank().map(Dim::from);
    let rank = rank.unwrap_or_else(|| c.symbols.fresh());
    let count = c.symbols.fresh();
    c.set_tensor(0, DType::I64, Shape::of([rank, count]));
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let hits: Vec<bool> = match (x.as_strings(), x.to_f64()) {
        (Some(s), _) => s.iter().map(|b| !b.is_empty()).collect(),
        (_, Some(v)) => v.into_iter().map(|v| v != 0.0).collect(),
        // Complex numbers: zero when both parts are.
        _ => x.bytes().chunks_exact(x.dtype().bits() / 8).map(|b| b.iter().any(|v| v & 0x7f != 0)).collect(),
    };
    let (mut found, mut at) = (vec![vec![]; x.rank()], 0);
    visit(x.sizes(), |index| {
        if hits[at] {
            found.iter_mut().zip(index).for_each(|(f, i)| f.push(*i as i64));
        }
        at += 1;
    });
    let count = hits.iter().filter(|h| **h).count();
    let count = if x.rank() == 0 { 0 } else { count };
    Ok(vec![Tensor::from_slice(&[x.rank(), count], &found.concat()).into()])
}
