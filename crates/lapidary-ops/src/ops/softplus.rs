//! `Softplus(x) = ln(1 + eˣ)`, elementwise. Computed as `max(x, 0) + ln(1 + e^−|x|)`, which does not overflow.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 22. Source: the ONNX operator "Softplus".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::{LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| elementwise::float(c, &math::softplus)),
    ..OpDef::base("Softplus", include_str!("softplus.rs"), elementwise::same)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::unary(c, &kernels::softplus)
}
