//! `Softsign(x) = x / (1 + |x|)`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 22. Source: the ONNX operator "Softsign".

use crate::elementwise::kernels;
use crate::{LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| elementwise::float(c, &|x| x / (1.0 + x.abs()))),
    ..OpDef::base("Softsign", include_str!("softsign.rs"), elementwise::same)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::unary(c, &|k, x| {
        let size = k.unary(UnaryOp::Abs, x);
        let below = kernels::plus(k, size, 1.0);
        k.div(x, below)
    })
}
