//! `LogSoftmax(x) = x − ln(Σ eˣ)` along `axis` (default −1). The maximum is subtracted first, so that nothing overflows.
//!
//! Before version 13 the default axis is 1, and the operand is seen as a matrix whose rows are the axes from there on.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13. Source: the ONNX operator "LogSoftmax".

use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise, softmax};
use lapidary_ir::Result;
use lapidary_kernel::{ReduceOp, UnaryOp};

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[softmax::AXIS],
    ..OpDef::base("LogSoftmax", include_str!("log_softmax.rs"), elementwise::same)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    softmax::eval(c, &|lane, out| {
        let top = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = lane.iter().map(|x| (x - top).exp()).sum();
        out.iter_mut().zip(lane).for_each(|(o, x)| *o = x - top - sum.ln());
    })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let reduced = softmax::rows(c, x.rank())?;
    let mut r = Rows::new(c, &x.dims, &reduced);
    let v = r.load(&x);
    let top = r.reduce(ReduceOp::Max, v);
    let d = r.k.sub(v, top);
    let e = r.k.unary(UnaryOp::Exp, d);
    let sum = r.reduce(ReduceOp::Sum, e);
    let log = r.k.unary(UnaryOp::Log, sum);
    let log = r.keep_scalar(log);
    let v = r.k.sub(d, log);
    r.store(&y, v);
    c.push(r.k);
    Ok(())
}
