//! `CumSum(x)[i] = Σ x[0..=i]` along `axis` (operand 1). `exclusive=1` leaves `x[i]` itself out, `reverse=1` sums from the end. Integers
//! wrap.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: x, y: u32 i32 u64 i64 f16 bf16 f32 f64; axis: i32 i64.
//!
//! Versions: 11, 14. Source: the ONNX operator "CumSum".

use crate::lanes::Lanes;
use crate::numbers::{eval_axis, floats, store, store_wide, wide};
use crate::{Datum, EvalCtx, OpDef, elementwise};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("CumSum", include_str!("cum_sum.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    let axis = c.ints(1)?.first().copied().unwrap_or(0);
    let lanes = Lanes::of(t.sizes(), eval_axis(c, axis, t.rank())?);
    let flag = |name| c.node.attrs.int(name) == Some(1);
    let (exclusive, reverse) = (flag("exclusive"), flag("reverse"));
    if t.dtype().is_int() {
        let out = lanes.map(&wide(c, t)?, lanes.len, &|lane, out| running(lane, out, 0, exclusive, reverse, i128::wrapping_add));
        return Ok(vec![store_wide(t.dtype(), t.sizes(), &out)?.into()]);
    }
    let out = lanes.map(&floats(c, t)?, lanes.len, &|lane, out| running(lane, out, 0.0, exclusive, reverse, |a, b| a + b));
    Ok(vec![store(t.dtype(), t.sizes(), &out)?.into()])
}

fn running<T: Copy>(lane: &[T], out: &mut [T], mut sum: T, exclusive: bool, reverse: bool, add: impl Fn(T, T) -> T) {
    for k in 0..lane.len() {
        let i = if reverse { lane.len() - 1 - k } else { k };
        let before = sum;
        sum = add(sum, lane[i]);
        out[i] = if exclusive { before } else { sum };
    }
}
