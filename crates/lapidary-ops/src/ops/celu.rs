//! `Celu(x) = max(0, x) + min(0, alpha · (e^(x/alpha) − 1))`, elementwise. `alpha` is 1 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 12, 28. Source: the ONNX operator "Celu".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("Celu", include_str!("celu.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(1.0));
    elementwise::float(c, &|x| if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let alpha = f64::from(c.node().attrs.float("alpha").unwrap_or(1.0));
    kernels::unary(c, &|k, x| {
        let below = kernels::scaled(k, x, 1.0 / alpha);
        let below = kernels::exp_minus_one(k, below);
        let below = kernels::scaled(k, below, alpha);
        let negative = kernels::compared(k, BinaryOp::Lt, x, 0.0);
        k.select(negative, below, x)
    })
}
