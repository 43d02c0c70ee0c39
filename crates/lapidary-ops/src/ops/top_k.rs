//! `TopK(x, k)` are the `k` largest elements along `axis` (default −1), or the smallest with `largest=0`, sorted from the first on, and
//! their indices. Of equal elements the lower index comes first; NaN counts as largest.
//!
//! Before version 10 `k` is an attribute; `sorted=0` leaves the order open, and is sorted here.
//!
//! Shapes: both results have the operand's shape with `k` at the axis.
//!
//! Types: X, Values: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64; Indices: i64.
//!
//! Versions: 1, 10, 11, 24. Source: the ONNX operator "TopK".

use crate::elementwise::kernels;
use crate::lanes::Lanes;
use crate::numbers::{check_size, eval_axis, floats, infer_axis, store, store_wide, wide};
use crate::rows;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef, forms};
use lapidary_ir::{Attr, DType, Dim, Result, Shape, Tensor};
use lapidary_kernel::{BinaryOp, Index, ReduceOp, Stmt, UnaryOp};
use std::cmp::Ordering;

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), forms: &[ORDER, COUNT], ..OpDef::base("TopK", include_str!("top_k.rs"), infer) };

/// Version 11 brought `largest` and `sorted`.
const ORDER: Form = Form {
    since: 11,
    lift: |g, n| forms::lifted(g, n, 11),
    lower: |g, n| {
        if g.node(n).attrs.int("largest") == Some(0) {
            return Err("before version 11, only the largest elements can be found".into());
        }
        let attrs = &mut g.node_mut(n).attrs;
        attrs.remove("largest");
        attrs.remove("sorted");
        Ok(())
    },
};

/// Version 10 made an operand of `k`.
const COUNT: Form = Form {
    since: 10,
    lift: |g, n| {
        if let Some(Attr::Int(k)) = g.node_mut(n).attrs.remove("k") {
            forms::set_constant(g, n, 1, "k", Tensor::from_vec(vec![k]));
        }
        forms::lifted(g, n, 10)
    },
    lower: |g, n| {
        let k = forms::constant(g, n, 1, "k")?.and_then(|t| t.to_i64()?.first().copied()).ok_or("'k' is missing")?;
        forms::drop_operand(g, n, 1);
        g.node_mut(n).attrs.set("k", k);
        Ok(())
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let t = c.ty(0)?;
    let mut shape = t.shape;
    if let Shape::Ranked(dims) = &mut shape {
        let axis = infer_axis(c, c.node.attrs.int("axis").unwrap_or(-1), dims.len())?;
        let k = match c.contents(1).and_then(|k| k.dims.first().cloned()) {
            Some(k) => k,
            None => c.node.attrs.int("k").map(Dim::from).unwrap_or_else(|| c.symbols.fresh()),
        };
        if let (Some(k), Some(n)) = (k.as_const(), dims[axis].as_const())
            && !(0..=n).contains(&k)
        {
            return Err(c.error("shape-conflict", format!("{k} elements are asked for of {n}")).into());
        }
        dims[axis] = k;
    }
    c.set_tensor(0, t.dtype, shape.clone());
    c.set_tensor(1, DType::I64, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    let axis = eval_axis(c, c.node.attrs.int("axis").unwrap_or(-1), t.rank())?;
    let k = match c.node.attrs.int("k") {
        Some(k) if !c.has(1) => k,
        _ => c.ints(1)?.first().copied().unwrap_or(0),
    };
    let lanes = Lanes::of(t.sizes(), axis);
    let k = usize::try_from(k).ok().filter(|k| *k <= lanes.len);
    let k = k.ok_or_else(|| c.error("shape-conflict", format!("'k' does not lie in 0..={}", lanes.len)))?;
    let mut sizes = t.sizes().to_vec();
    sizes[axis] = k;
    check_size(c, &sizes)?;
    let largest = c.node.attrs.int("largest") != Some(0);
    if t.dtype().is_int() {
        let out = pick(&lanes, &wide(c, t)?, k, largest, Ord::cmp);
        let (values, at): (Vec<i128>, Vec<i64>) = out.into_iter().unzip();
        return Ok(vec![store_wide(t.dtype(), &sizes, &values)?.into(), Tensor::from_slice(&sizes, &at).into()]);
    }
    let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    let (values, at): (Vec<f64>, Vec<i64>) = pick(&lanes, &floats(c, t)?, k, largest, order).into_iter().unzip();
    Ok(vec![store(t.dtype(), &sizes, &values)?.into(), Tensor::from_slice(&sizes, &at).into()])
}

fn pick<T: Copy + Default + Send + Sync>(
    lanes: &Lanes,
    values: &[T],
    k: usize,
    largest: bool,
    order: impl Fn(&T, &T) -> Ordering + Sync,
) -> Vec<(T, i64)> {
    lanes.map(values, k, &|lane: &[T], out: &mut [(T, i64)]| {
        let mut at: Vec<usize> = (0..lane.len()).collect();
        at.sort_by(|a, b| if largest { order(&lane[*b], &lane[*a]) } else { order(&lane[*a], &lane[*b]) });
        out.iter_mut().zip(at).for_each(|(o, i)| *o = (lane[i], i as i64));
    })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, values) = rows::ends(c)?;
    let at_axis = rows::axis(c, -1, x.rank())?;
    let largest = c.node().attrs.int("largest") != Some(0);
    let indices = if c.wants(1) { Some(c.output(1)?) } else { None };
    // Every element counts those that come before it: quadratic in the axis, but with no order between points.
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let j = k.axis("j", x.dims[at_axis].clone());
    let own = kernels::load(&mut k, &x, at.clone());
    let mut there = at.clone();
    there[at_axis] = j.into();
    let other = kernels::load(&mut k, &x, there);
    let (here, there) = (k.index(at[at_axis].clone()), k.index(j.into()));
    let earlier = k.binary(BinaryOp::Lt, there, here);
    let mut before = k.binary(if largest { BinaryOp::Gt } else { BinaryOp::Lt }, other, own);
    let mut tie = k.binary(BinaryOp::Eq, other, own);
    if x.dtype.is_float() {
        // NaN counts as largest.
        let (a, b) = (k.unary(UnaryOp::IsNan, other), k.unary(UnaryOp::IsNan, own));
        let (first, second) = if largest { (a, b) } else { (b, a) };
        let second = k.unary(UnaryOp::Not, second);
        let one = k.binary(BinaryOp::And, first, second);
        before = k.binary(BinaryOp::Or, before, one);
        let both = k.binary(BinaryOp::And, a, b);
        tie = k.binary(BinaryOp::Or, tie, both);
    }
    let tie = k.binary(BinaryOp::And, tie, earlier);
    let before = k.binary(BinaryOp::Or, before, tie);
    let one = k.cast(DType::I64, before);
    let rank = k.reduce(ReduceOp::Sum, DType::I64, &[j], one);
    let mut to = at.clone();
    to[at_axis] = Index::value(rank);
    let guard = vec![(Index::value(rank), values.dims[at_axis].clone())];
    let own = k.cast(values.dtype, own);
    let mut stores = vec![(values.buffer, own)];
    if let Some(i) = indices {
        stores.push((i.buffer, here));
    }
    for (buffer, value) in stores {
        k.kernel_mut().body.push(Stmt::Store { buffer, index: to.clone(), axes: vec![], guard: guard.clone(), value });
    }
    c.push(k);
    Ok(())
}
