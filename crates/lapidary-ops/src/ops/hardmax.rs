//! `Hardmax(x)` is 1 at the first largest element and 0 elsewhere, along `axis` (default −1).
//!
//! Before version 13 the default axis is 1, and the operand is seen as a matrix whose rows are the axes from there on.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13. Source: the ONNX operator "Hardmax".

use crate::{Datum, EvalCtx, OpDef, elementwise, softmax};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), forms: &[softmax::AXIS], ..OpDef::base("Hardmax", include_str!("hardmax.rs"), elementwise::same) };

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
