//! `HardSwish(x) = x · max(0, min(1, x/6 + 1/2))`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 14, 22. Source: the ONNX operator "HardSwish".

use crate::elementwise::kernels;
use crate::{LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| elementwise::float(c, &|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))),
    ..OpDef::base("HardSwish", include_str!("hard_swish.rs"), elementwise::same)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::unary(c, &|k, x| {
        let gate = kernels::scaled(k, x, 1.0 / 6.0);
        let gate = kernels::plus(k, gate, 0.5);
        let gate = kernels::clamped(k, gate, 0.0, 1.0);
        k.mul(x, gate)
    })
}
