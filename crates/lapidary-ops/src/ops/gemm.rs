//! `Gemm(a, b, c) = alpha · a' · b' + beta · c`: a' is the matrix `a`, transposed with `transA=1`, b' likewise; `c` (optional) is broadcast
//! to the result. `alpha` and `beta` are 1 by default.
//!
//! Floats, accumulated in f64 and rounded once; integers, which wrap. Source: ONNX Gemm-13.

use crate::cells::room;
use crate::contract::{Extents, contract};
use crate::forms;
use crate::ops::mat_mul::reals;
use crate::shapes::{broadcast_sizes, expand};
use crate::slide::accumulator;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::{Index, KernelBuilder, ReduceOp};

use lapidary_ir::{DType, Dim, Result, Shape, Tensor};

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), forms: &[OPTIONAL, BROADCAST], ..OpDef::base("Gemm", include_str!("gemm.rs"), infer) };

/// Since version 11 operand c may be omitted.
const OPTIONAL: Form = Form {
    since: 11,
    lift: |g, n| forms::lifted(g, n, 11),
    lower: |g, n| {
        if g.node(n).input(2).is_none() {
            let dtype = g.node(n).input(0).map_or(DType::Unknown, |v| g.dtype(v));
            let zero = Tensor::zeros(dtype, &[1]).map_err(|_| "operand c is required before version 11")?;
            forms::set_constant(g, n, 2, "c", zero);
        }
        Ok(())
    },
};

/// Before version 7 `broadcast=1` asked for what has been usual since.
const BROADCAST: Form = Form {
    since: 7,
    lift: |g, n| {
        g.node_mut(n).attrs.remove("broadcast");
        forms::lifted(g, n, 7)
    },
    lower: |g, n| {
        g.node_mut(n).attrs.set("broadcast", 1);
        Ok(())
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let (a, b) = (c.ty(0)?, c.ty(1)?);
    let dtype = if a.dtype == DType::Unknown { b.dtype } else { a.dtype };
    let turned =
        |name: &str, d: &[Dim]| if c.node.attrs.int(name).unwrap_or(0) != 0 { [d[1].clone(), d[0].clone()] } else { [d[0].clone(), d[1].clone()] };
    for (name, ty) in [("a", &a), ("b", &b)] {
        if let Some(r) = ty.shape.rank().filter(|r| *r != 2) {
            return Err(c.error("shape-conflict", format!("operand '{name}' has rank {r}, not 2")).into());
        }
    }
    let a = a.shape.dims().map(|d| turned("transA", d));
    let b = b.shape.dims().map(|d| turned("transB", d));
    if let (Some(a), Some(b)) = (&a, &b) {
        c.same("the inner sizes of the product", &a[1], &b[0])?;
    }
    let rows = a.map_or_else(|| c.symbols.fresh(), |a| a[0].clone());
    let columns = b.map_or_else(|| c.symbols.fresh(), |b| b[1].clone());
    c.set_tensor(0, dtype, Shape::of([rows, columns]));
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (a, b, bias) = (c.tensor(0)?, c.tensor(1)?, c.optional(2)?);
    let attrs = &c.node.attrs;
    let (ta, tb) = (attrs.int("transA").unwrap_or(0) != 0, attrs.int("transB").unwrap_or(0) != 0);
    let (alpha, beta) = (attrs.float("alpha").unwrap_or(1.0) as f64, attrs.float("beta").unwrap_or(1.0) as f64);
    let (&[a0, a1], &[b0, b1]) = (a.sizes(), b.sizes()) else { return Err(c.error("shape-conflict", "an operand is not a matrix").into()) };
    let (rows, depth) = if ta { (a1, a0) } else { (a0, a1) };
    let (inner, columns) = if tb { (b1, b0) } else { (b0, b1) };
    if inner != depth {
        return Err(c.error("shape-conflict", format!("the inner sizes {depth} and {inner} differ")).into());
    }
    let sizes = [rows, columns];
    room(c, DType::F64, &sizes)?;
    let e = Extents { batch: 1, rows, columns, depth };
    let bias = match bias {
        Some(t) if broadcast_sizes(c, t.sizes(), &sizes)? == sizes => Some(expand(t, &sizes)?),
        Some(t) => return Err(c.error("shape-conflict", format!("c of shape {:?} cannot be broadcast to {sizes:?}", t.sizes())).into()),
        None => None,
    };
    if let (Some(x), Some(y)) = (a.to_i64(), b.to_i64()) {
        let left = |_: usize, i: usize, k: usize, run: &mut [i64]| {
            run.iter_mut().enumerate().for_each(|(d, r)| *r = x[if ta { (k + d) * rows + i } else { i * depth + k + d }]);
        };
        let right = |_: usize, k: usize, j: usize, run: &mut [i64]| {
            run.iter_mut().enumerate().for_each(|(d, r)| *r = y[if tb { (j + d) * depth + k } else { k * columns + j + d }]);
        };
        let mut out = contract(e, &left, &right);
        let scaled = |v: i64, by: f64| if by == 1.0 { v } else { (v as f64 * by) as i64 };
        out.iter_mut().for_each(|v| *v = scaled(*v, alpha));
        if let Some(bias) = bias.and_then(|b| b.to_i64()) {
            out.iter_mut().zip(bias).for_each(|(o, v)| *o = o.wrapping_add(scaled(v, beta)));
        }
        return Ok(vec![Tensor::from_i64(a.dtype(), &sizes, &out)?.into()]);
    }
    let (x, y) = (reals(c, a)?, reals(c, b)?);
    let left = |_: usize, i: usize, k: usize, run: &mut [f64]| if ta { x.fill(k * rows + i, rows, run) } else { x.fill(i * depth + k, 1, run) };
    let right = |_: usize, k: usize, j: usize, run: &mut [f64]| if tb { y.fill(j * depth + k, depth, run) } else { y.fill(k * columns + j, 1, run) };
    let mut out = contract(e, &left, &right);
    if alpha != 1.0 {
        out.iter_mut().for_each(|v| *v *= alpha);
    }
    if let Some(bias) = bias {
        let bias = reals(c, &bias)?;
        out.iter_mut().enumerate().for_each(|(i, v)| *v += beta * bias.get(i));
    }
    Ok(vec![crate::numbers::store(a.dtype(), &sizes, &out)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (a, b, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let bias = if c.has(2) { Some(c.input(2)?) } else { None };
    let attrs = &c.node().attrs;
    let (ta, tb) = (attrs.int("transA").unwrap_or(0) != 0, attrs.int("transB").unwrap_or(0) != 0);
    let (alpha, beta) = (attrs.float("alpha").unwrap_or(1.0) as f64, attrs.float("beta").unwrap_or(1.0) as f64);
    if !y.dtype.is_float() && (alpha, beta) != (1.0, 1.0) {
        return Err(c.unsupported("there is no native code for a Gemm of integers with factors").into());
    }
    let depth = a.dims[usize::from(!ta)].clone();
    c.check_equal(&depth, &b.dims[usize::from(tb)], false);
    let mut k = c.kernel();
    let (i, j) = (k.parallel("i", y.dims[0].clone()), k.parallel("j", y.dims[1].clone()));
    let inner = k.axis("k", depth);
    let turned = |turn: bool, r: Index, s: Index| if turn { [s, r] } else { [r, s] };
    let sum = accumulator(y.dtype);
    let u = k.load(a.buffer, a.dtype, turned(ta, i.into(), inner.into()));
    let v = k.load(b.buffer, b.dtype, turned(tb, inner.into(), j.into()));
    let (u, v) = (k.cast(sum, u), k.cast(sum, v));
    let v = k.mul(u, v);
    let mut v = k.reduce(ReduceOp::Sum, sum, &[inner], v);
    let scaled = |k: &mut KernelBuilder, v, by: f64| {
        if by == 1.0 {
            return v;
        }
        let by = k.constant(sum, by);
        k.mul(v, by)
    };
    v = scaled(&mut k, v, alpha);
    if let Some(bias) = bias {
        let at = k.broadcast(&[i.into(), j.into()], &y.dims, &bias.dims);
        let w = k.load(bias.buffer, bias.dtype, at);
        let w = k.cast(sum, w);
        let w = scaled(&mut k, w, beta);
        v = k.add(v, w);
    }
    let v = k.cast(y.dtype, v);
    k.store(y.buffer, [i.into(), j.into()], v);
    c.push(k);
    Ok(())
}
