//! What `ArgMax` and `ArgMin` share.

use crate::lanes::Lanes;
use crate::numbers::{eval_axis, floats, infer_axis, wide};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, forms};
use lapidary_ir::{DType, Dim, Result, Shape, Tensor};
use lapidary_kernel::{BinaryOp, ReduceOp, UnaryOp};

/// Version 12 brought `select_last_index`.
pub(crate) const LAST: Form = Form {
    since: 12,
    lift: |g, n| forms::lifted(g, n, 12),
    lower: |g, n| match g.node_mut(n).attrs.remove("select_last_index") {
        Some(lapidary_ir::Attr::Int(v)) if v != 0 => Err("before version 12, only the first index can be found".into()),
        _ => Ok(()),
    },
};

pub(crate) fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let mut shape = c.ty(0)?.shape;
    if let Shape::Ranked(dims) = &mut shape {
        let axis = infer_axis(c, c.node.attrs.int("axis").unwrap_or(0), dims.len())?;
        if c.node.attrs.int("keepdims") == Some(0) {
            dims.remove(axis);
        } else {
            dims[axis] = Dim::from(1);
        }
    }
    c.set_tensor(0, DType::I64, shape);
    Ok(())
}

/// `better(a, b)`: whether `a` is taken rather than `b`.
pub(crate) fn eval(c: &EvalCtx<'_>, better: &(dyn Fn(f64, f64) -> bool + Sync)) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    let axis = eval_axis(c, c.node.attrs.int("axis").unwrap_or(0), t.rank())?;
    let lanes = Lanes::of(t.sizes(), axis);
    if lanes.len == 0 && lanes.outer * lanes.inner > 0 {
        return Err(c.error("empty-axis", format!("axis {axis} of '{}' has no elements", c.node.op)).into());
    }
    let last = c.node.attrs.int("select_last_index") == Some(1);
    let out = if matches!(t.dtype(), DType::I64 | DType::U64) {
        // Beyond 2^53 neighbours are equal as f64: the order decides through the difference, which is exact in i128.
        let pick = |a: i128, b: i128| better((a - b) as f64, 0.0);
        lanes.map(&wide(c, t)?, 1, &|lane, out| out[0] = best(lane, last, &pick))
    } else {
        let pick = |a: f64, b: f64| !b.is_nan() && (a.is_nan() || better(a, b));
        lanes.map(&floats(c, t)?, 1, &|lane, out| out[0] = best(lane, last, &pick))
    };
    let mut sizes = t.sizes().to_vec();
    if c.node.attrs.int("keepdims") == Some(0) {
        sizes.remove(axis);
    } else {
        sizes[axis] = 1;
    }
    Ok(vec![Tensor::from_slice(&sizes, &out).into()])
}

fn best<T: Copy>(lane: &[T], last: bool, better: &dyn Fn(T, T) -> bool) -> i64 {
    let mut at = 0;
    for i in 1..lane.len() {
        // The last of equals is the one that the best so far does not beat.
        if if last { !better(lane[at], lane[i]) } else { better(lane[i], lane[at]) } {
            at = i;
        }
    }
    at as i64
}

/// The extreme of the row, then the first (or last) position that has it.
pub(crate) fn lower(c: &mut LowerCtx<'_>, op: ReduceOp) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let axis = rows::axis(c, 0, x.rank())?;
    let last = c.node().attrs.int("select_last_index") == Some(1);
    let reduced = rows::mark(x.rank(), |a| a == axis);
    let mut r = Rows::new(c, &x.dims, &reduced);
    let v = r.load(&x);
    let top = r.reduce(op, v);
    let mut hit = r.k.binary(BinaryOp::Eq, v, top);
    if x.dtype.is_float() {
        // Where a NaN won, nothing equals it.
        let nan = r.k.unary(UnaryOp::IsNan, v);
        hit = r.k.binary(BinaryOp::Or, hit, nan);
    }
    let v = rows::position(&mut r, hit, last);
    let at = r.kept(&reduced, y.rank() == x.rank());
    r.store_one(&y, at, v);
    c.push(r.k);
    Ok(())
}
