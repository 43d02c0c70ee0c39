//! `CumProd(x, axis)`: running products, `y[i] = Π x[0..=i]` along `axis`. `exclusive=1` leaves `x[i]` itself out, `reverse=1` starts at the
//! end. Integers wrap.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: x, y: u32 i32 u64 i64 f16 bf16 f32 f64; axis: i32 i64.
//!
//! Versions: 26. Source: the ONNX operator "CumProd".
//!
//! ```lap
//! input %x : f32[N, T] = [[1, 2, 3], [4, 5, 6]]
//! const %axis : i64[] = 1
//! %y = CumProd(%x, %axis)
//! // %y : f32[N, T] = [[1, 2, 6], [4, 20, 120]]
//! %z = CumProd(%x, %axis) {exclusive=1, reverse=1}
//! // %z : f32[N, T] = [[6, 3, 1], [30, 6, 1]]
//! ```

use crate::running::{self, Running};
use crate::{OpDef, elementwise};
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    eval: Some(|c| running::eval(c, &PRODUCT)),
    lower: Some(|c| running::lower(c, &PRODUCT)),
    ..OpDef::base("CumProd", include_str!("cum_prod.rs"), elementwise::same)
};

const PRODUCT: Running = Running { op: ReduceOp::Product, start: 1, float: |a, b| a * b, int: i128::wrapping_mul };
