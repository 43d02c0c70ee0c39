//! `Selu(x) = gamma · (x if x > 0 else alpha · (eˣ − 1))`, elementwise. `alpha` is 1.67326319 and `gamma` 1.05070102 by default.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 22. Source: the ONNX operator "Selu".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("Selu", include_str!("selu.rs"), elementwise::same)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let alpha = f64::from(c.node.attrs.float("alpha").unwrap_or(1.673_263_2));
    let gamma = f64::from(c.node.attrs.float("gamma").unwrap_or(1.050_701));
    elementwise::float(c, &|x| gamma * if x > 0.0 { x } else { alpha * x.exp_m1() })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let alpha = f64::from(c.node().attrs.float("alpha").unwrap_or(1.673_263_2));
    let gamma = f64::from(c.node().attrs.float("gamma").unwrap_or(1.050_701));
    kernels::unary(c, &|k, x| {
        let below = kernels::exp_minus_one(k, x);
        let below = kernels::scaled(k, below, alpha * gamma);
        let above = kernels::scaled(k, x, gamma);
        let negative = kernels::compared(k, BinaryOp::Lt, x, 0.0);
        k.select(negative, below, above)
    })
}
