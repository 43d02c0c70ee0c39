//! `IsNaN(x)` is whether `x ≠ x`, elementwise.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X: f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz f16 bf16 f32 f64; Y: bool.
//!
//! Versions: 9, 13, 20. Source: the ONNX operator "IsNaN".

use crate::elementwise::kernels;
use crate::{OpDef, elementwise};
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| kernels::unary_op(c, UnaryOp::IsNan)),
    eval: Some(|c| elementwise::test(c, &f64::is_nan)),
    ..OpDef::base("IsNaN", include_str!("is_nan.rs"), elementwise::same_bool)
};
