//! `CumSum(x, axis)`: running sums, `y[i] = Σ x[0..=i]` along `axis`. `exclusive=1` leaves `x[i]` itself out, `reverse=1` starts at the
//! end. Integers wrap.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: x, y: u32 i32 u64 i64 f16 bf16 f32 f64; axis: i32 i64.
//!
//! Versions: 11, 14. Source: the ONNX operator "CumSum".
//!
//! ```lap
//! input %x : f32[N, T] = [[1, 2, 3], [4, 5, 6]]
//! const %axis : i64[] = 1
//! %y = CumSum(%x, %axis)
//! // %y : f32[N, T] = [[1, 3, 6], [4, 9, 15]]
//! %z = CumSum(%x, %axis) {exclusive=1, reverse=1}
//! // %z : f32[N, T] = [[5, 3, 0], [11, 6, 0]]
//! ```

use crate::running::{self, Running};
use crate::{OpDef, elementwise};
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    eval: Some(|c| running::eval(c, &SUM)),
    lower: Some(|c| running::lower(c, &SUM)),
    ..OpDef::base("CumSum", include_str!("cum_sum.rs"), elementwise::same)
};

const SUM: Running = Running { op: ReduceOp::Sum, start: 0, float: |a, b| a + b, int: i128::wrapping_add };
