//! `LogSoftmax(x) = x − ln(Σ eˣ)` along `axis` (default −1). The maximum is subtracted first, so that nothing overflows.
//!
//! Before version 13 the default axis is 1, and the operand is seen as a matrix whose rows are the axes from there on.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13. Source: the ONNX operator "LogSoftmax".

use crate::{Datum, EvalCtx, OpDef, elementwise, softmax};
use lapidary_ir::Result;

pub static DEF: OpDef =
    OpDef { eval: Some(eval), forms: &[softmax::AXIS], ..OpDef::base("LogSoftmax", include_str!("log_softmax.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    softmax::eval(c, &|lane, out| {
        let top = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = lane.iter().map(|x| (x - top).exp()).sum();
        out.iter_mut().zip(lane).for_each(|(o, x)| *o = x - top - sum.ln());
    })
}
