//! `Hardmax(x)` is 1 at the first largest element and 0 elsewhere, along `axis` (default −1).
//!
//! Before version 13 the default axis is 1, and the operand is seen as a matrix whose rows are the axes from there on.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13. Source: the ONNX operator "Hardmax".

use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise, softmax};
use lapidary_ir::Result;
use lapidary_kernel::{BinaryOp, ReduceOp};

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), forms: &[softmax::AXIS], ..OpDef::base("Hardmax", include_str!("hardmax.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    softmax::eval(c, &|lane, out| {
        let mut best = 0;
        for (i, x) in lane.iter().enumerate() {
            if *x > lane[best] {
                best = i;
            }
        }
        out.iter_mut().enumerate().for_each(|(i, o)| *o = (i == best) as u8 as f64);
    })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let reduced = softmax::rows(c, x.rank())?;
    if reduced.iter().filter(|r| **r).count() != 1 {
        return Err(c.unsupported("'Hardmax' is lowered along one axis").into());
    }
    let mut r = Rows::new(c, &x.dims, &reduced);
    let v = r.load(&x);
    let top = r.reduce(ReduceOp::Max, v);
    let hit = r.k.binary(BinaryOp::Eq, v, top);
    let best = rows::position(&mut r, hit, false);
    let j = r.k.index(r.local[0].into());
    let dtype = r.k.dtype(best);
    let j = r.k.cast(dtype, j);
    let here = r.k.binary(BinaryOp::Eq, j, best);
    let v = r.k.cast(y.dtype, here);
    r.store(&y, v);
    c.push(r.k);
    Ok(())
}
