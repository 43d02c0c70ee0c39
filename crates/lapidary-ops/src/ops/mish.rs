//! `Mish(x) = x · tanh(ln(1 + eˣ))`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 18, 22. Source: the ONNX operator "Mish".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| elementwise::float(c, &|x| x * math::softplus(x).tanh())),
    ..OpDef::base("Mish", include_str!("mish.rs"), elementwise::same)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::unary(c, &|k, x| {
        let s = kernels::softplus(k, x);
        let t = k.unary(UnaryOp::Tanh, s);
        k.mul(x, t)
    })
}
