//! `IsInf(x)` is whether `x = ±∞`, elementwise. `detect_negative=0` and `detect_positive=0` leave one side out.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X: f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz f16 bf16 f32 f64; Y: bool.
//!
//! Versions: 10, 20. Source: the ONNX operator "IsInf".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::{DType, Result};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("IsInf", include_str!("is_inf.rs"), elementwise::same_bool) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let wanted = |name| c.node.attrs.int(name).unwrap_or(1) != 0;
    let (negative, positive) = (wanted("detect_negative"), wanted("detect_positive"));
    elementwise::test(c, &|x| (negative && x == f64::NEG_INFINITY) || (positive && x == f64::INFINITY))
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let wanted = |name| c.node().attrs.int(name).unwrap_or(1) != 0;
    let (negative, positive) = (wanted("detect_negative"), wanted("detect_positive"));
    kernels::unary(c, &|k, x| {
        let low = kernels::compared(k, BinaryOp::Eq, x, f64::NEG_INFINITY);
        let high = kernels::compared(k, BinaryOp::Eq, x, f64::INFINITY);
        match (negative, positive) {
            (true, true) => k.binary(BinaryOp::Or, low, high),
            (true, false) => low,
            (false, true) => high,
            (false, false) => k.int(DType::Bool, 0),
        }
    })
}
