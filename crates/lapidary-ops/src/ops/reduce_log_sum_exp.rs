//! `ReduceLogSumExp(x) = ln(Σ eˣ)` over the reduced axes, computed as `m + ln(Σ e^(x − m))` with the maximum `m`, which does not overflow.
//!
//! Shapes: reduced dims become 1, or go with `keepdims=0`. Axes are operand 1; without any, all are reduced, or none with
//! `noop_with_empty_axes=1`.
//!
//! Types: data, reduced: f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 13, 18, 28. Source: the ONNX operator "ReduceLogSumExp".

use crate::elementwise::kernels;
use crate::elementwise::math;
use crate::numbers::{floats, store};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, LowerCtx, OpDef, reduce};
use lapidary_ir::{DType, Result};
use lapidary_kernel::{ReduceOp, UnaryOp};

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[reduce::AXES_18],
    ..OpDef::base("ReduceLogSumExp", include_str!("reduce_log_sum_exp.rs"), reduce::infer)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (t, plan) = (c.tensor(0)?, reduce::plan(c)?);
    let values = floats(c, t)?;
    // Infinite maxima are the result by themselves; subtracting them would give NaN.
    let top = plan.fold(&values, f64::NEG_INFINITY, math::maximum);
    let base: Vec<f64> = top.iter().map(|m| if m.is_finite() { *m } else { 0.0 }).collect();
    let terms: Vec<f64> = values.iter().zip(&plan.at).map(|(v, at)| (v - base[*at]).exp()).collect();
    let sums = plan.fold(&terms, 0.0, |a, b| a + b);
    let mut out: Vec<f64> = sums.iter().zip(&base).map(|(s, m)| m + s.ln()).collect();
    if t.dtype().is_int() {
        out.iter_mut().for_each(|v| *v = v.trunc());
    }
    Ok(vec![store(t.dtype(), &plan.sizes, &out)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    rows::reduced(c, &|c, x, y, reduced| {
        let mut r = Rows::new(c, &x.dims, reduced);
        let v = r.load(x);
        // Integers are computed as real numbers and truncated.
        let v = if x.dtype.is_int() { r.k.cast(DType::F64, v) } else { v };
        let top = r.reduce(ReduceOp::Max, v);
        let endless = r.k.unary(UnaryOp::IsInf, top);
        let zero = kernels::number(&mut r.k, top, 0.0);
        let base = r.k.select(endless, zero, top);
        let base = r.keep_scalar(base);
        let d = r.k.sub(v, base);
        let e = r.k.unary(UnaryOp::Exp, d);
        let sum = r.reduce(ReduceOp::Sum, e);
        let log = r.k.unary(UnaryOp::Log, sum);
        let v = r.k.add(base, log);
        let at = r.kept(reduced, y.rank() == x.rank());
        r.store_one(y, at, v);
        c.push(r.k);
    })
}
