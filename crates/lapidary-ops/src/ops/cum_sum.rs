//! `CumSum(x)[i] = Σ x[0..=i]` along `axis` (operand 1). `exclusive=1` leaves `x[i]` itself out, `reverse=1` sums from the end. Integers
//! wrap.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: x, y: u32 i32 u64 i64 f16 bf16 f32 f64; axis: i32 i64.
//!
//! Versions: 11, 14. Source: the ONNX operator "CumSum".

use crate::elementwise::kernels;
use crate::lanes::Lanes;
use crate::numbers::axis_index;
use crate::numbers::{eval_axis, floats, store, store_wide, wide};
use crate::rows;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::{Dim, Result};
use lapidary_kernel::{Index, ReduceOp};

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("CumSum", include_str!("cum_sum.rs"), elementwise::same) };

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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let axis = c.sizes(1, "the axis")?.first().and_then(|d| d.as_const()).and_then(|a| axis_index(a, x.rank()));
    let axis = axis.ok_or_else(|| c.unsupported("the axis does not exist"))?;
    let flag = |name| c.node().attrs.int(name) == Some(1);
    let (exclusive, reverse) = (flag("exclusive"), flag("reverse"));
    // A triangular sum: quadratic in the axis, but every point by itself.
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let back = k.axis("j", x.dims[axis].clone());
    let step = Index::from(back).add_dim(&Dim::from(exclusive as i64));
    let mut from = at.clone();
    from[axis] = if reverse { at[axis].add(&step) } else { at[axis].sub(&step) };
    let guard = vec![(from[axis].clone(), x.dims[axis].clone())];
    let v = k.load_guarded(x.buffer, x.dtype, from, guard, None);
    let sum = k.reduce(ReduceOp::Sum, kernels::wider(x.dtype), &[back], v);
    kernels::store(&mut k, &y, at, sum);
    c.push(k);
    Ok(())
}
