//! What elementwise operators share: type rules, and drivers that lift a function of numbers to tensors. Functions are called through
//! `dyn`, so that a hundred operators stay a few lines of machine code each.

pub(crate) mod broadcast;
pub(crate) mod contents;
pub(crate) mod kernels;
pub(crate) mod math;

use crate::numbers::{bools, floats, map, store, store_wide, wide};
use crate::{Datum, EvalCtx, InferCtx};
use broadcast::{broadcast_sizes, map_f32, zip2, zip2_f32};
use lapidary_ir::{DType, Dim, Node, Result, Shape, Tensor};

type Unary<'f, A, B> = &'f (dyn Fn(A) -> B + Sync);
type Binary<'f, A, B> = &'f (dyn Fn(A, A) -> B + Sync);

// ---- types

/// The result has the type and shape of operand 0.
pub(crate) fn same(c: &mut InferCtx<'_>) -> Result<()> {
    let t = c.ty(0)?;
    c.set(0, t);
    Ok(())
}

/// The result is bool, of the shape of operand 0.
pub(crate) fn same_bool(c: &mut InferCtx<'_>) -> Result<()> {
    let t = c.ty(0)?;
    c.set_tensor(0, DType::Bool, t.shape);
    Ok(())
}

/// All operands have one element type (that of the result) and broadcast to the result's shape.
pub(crate) fn broadcast(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = common_dtype(c, 0..c.input_count())?;
    broadcast_to(c, dtype)
}

/// As [`broadcast`], giving bool.
pub(crate) fn broadcast_bool(c: &mut InferCtx<'_>) -> Result<()> {
    common_dtype(c, 0..c.input_count())?;
    broadcast_to(c, DType::Bool)
}

/// Sets output 0 to `dtype` and the broadcast of all operands' shapes.
pub(crate) fn broadcast_to(c: &mut InferCtx<'_>, dtype: DType) -> Result<()> {
    let mut shapes: Vec<Vec<Dim>> = vec![];
    let mut ranked = true;
    for slot in 0..c.input_count() {
        match c.ty(slot)?.shape {
            Shape::Ranked(d) => shapes.push(d.to_vec()),
            Shape::Unranked => ranked = false,
        }
    }
    if !ranked {
        c.set_tensor(0, dtype, Shape::Unranked);
        return Ok(());
    }
    if let (Some(at), [a, b]) = (old_axis(c.node), shapes.as_mut_slice()) {
        pad(b, a.len(), at, Dim::from(1));
    }
    let shape = c.broadcast(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    c.set_tensor(0, dtype, shape);
    Ok(())
}

/// The element type that these operands must share; the first known one.
pub(crate) fn common_dtype(c: &InferCtx<'_>, slots: impl IntoIterator<Item = usize>) -> Result<DType> {
    let mut out = DType::Unknown;
    for slot in slots {
        let d = c.dtype(slot)?;
        if out == DType::Unknown {
            out = d;
        } else if d != DType::Unknown && d != out {
            return Err(c.error("type-error", format!("operands of '{}' differ in type: {out} and {d}", c.node.op)).into());
        }
    }
    Ok(out)
}

/// Before version 7, operand 1 of a binary operator was broadcast only with `broadcast=1`, its axes aligned with those of operand 0
/// from `axis` on (absent: with the last ones).
fn old_axis(node: &Node) -> Option<Option<i64>> {
    (node.op.version != 0 && node.op.version < 7 && node.attrs.int("broadcast") == Some(1)).then(|| node.attrs.int("axis"))
}

/// Appends ones so that the shape starts at `axis` of a shape of rank `rank`.
fn pad<T: Clone>(shape: &mut Vec<T>, rank: usize, axis: Option<i64>, one: T) {
    if let Some(axis) = axis.and_then(|a| crate::numbers::axis_index(a, rank)) {
        let room = rank.saturating_sub(axis + shape.len());
        shape.extend(std::iter::repeat_n(one, room));
    }
}

// ---- meanings

fn one(t: Tensor) -> Result<Vec<Datum>> {
    Ok(vec![t.into()])
}

fn not_for(c: &EvalCtx<'_>, dtype: DType) -> lapidary_ir::Diagnostics {
    c.error("type-error", format!("'{}' is not defined on {dtype} tensors", c.node.op)).into()
}

/// `f` of every element of a float tensor.
pub(crate) fn float(c: &EvalCtx<'_>, f: Unary<'_, f64, f64>) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    if !t.dtype().is_float() {
        return Err(not_for(c, t.dtype()));
    }
    if t.dtype() == DType::F32 {
        return one(map_f32(t, f)?);
    }
    one(store(t.dtype(), t.sizes(), &map(&floats(c, t)?, f))?)
}

/// `f` of every element of a float tensor, `g` of an integer one (wrapping).
pub(crate) fn number(c: &EvalCtx<'_>, f: Unary<'_, f64, f64>, g: Unary<'_, i128, i128>) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    if t.dtype().is_int() {
        return one(store_wide(t.dtype(), t.sizes(), &map(&wide(c, t)?, g))?);
    }
    float(c, f)
}

/// Whether `f` of every element.
pub(crate) fn test(c: &EvalCtx<'_>, f: Unary<'_, f64, bool>) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    one(Tensor::from_slice(t.sizes(), &map(&floats(c, t)?, f)))
}

/// The two operands of a binary operator, the second with its axes aligned as old versions ask, and the result's sizes.
pub(crate) fn operands<'a>(c: &EvalCtx<'a>) -> Result<(&'a Tensor, Tensor, Vec<usize>)> {
    let (a, mut b) = (c.tensor(0)?, c.tensor(1)?.clone());
    if let Some(axis) = old_axis(c.node) {
        let mut sizes = b.sizes().to_vec();
        pad(&mut sizes, a.rank(), axis, 1);
        b = b.reshaped(&sizes)?;
    }
    let sizes = broadcast_sizes(c, &[a.sizes(), b.sizes()])?;
    Ok((a, b, sizes))
}

fn same_types(c: &EvalCtx<'_>, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    Err(c.error("type-error", format!("operands of '{}' differ in type: {} and {}", c.node.op, a.dtype(), b.dtype())).into())
}

/// `f` of two broadcast float tensors, `g` of integer ones (wrapping).
pub(crate) fn arithmetic(c: &EvalCtx<'_>, f: Binary<'_, f64, f64>, g: Binary<'_, i128, i128>) -> Result<Vec<Datum>> {
    let (a, b, sizes) = operands(c)?;
    same_types(c, a, &b)?;
    match a.dtype() {
        DType::F32 => one(zip2_f32(&sizes, a, &b, f)?),
        d if d.is_float() => one(store(d, &sizes, &zip2(&sizes, (&floats(c, a)?, a.sizes()), (&floats(c, &b)?, b.sizes()), f))?),
        d if d.is_int() => one(store_wide(d, &sizes, &zip2(&sizes, (&wide(c, a)?, a.sizes()), (&wide(c, &b)?, b.sizes()), g))?),
        d => Err(not_for(c, d)),
    }
}

/// Whether `f` of two broadcast float tensors, `g` of integer or bool ones.
pub(crate) fn compare(c: &EvalCtx<'_>, f: Binary<'_, f64, bool>, g: Binary<'_, i128, bool>) -> Result<Vec<Datum>> {
    let (a, b, sizes) = operands(c)?;
    same_types(c, a, &b)?;
    let out = match a.dtype() {
        d if d.is_float() => zip2(&sizes, (&floats(c, a)?, a.sizes()), (&floats(c, &b)?, b.sizes()), f),
        _ => zip2(&sizes, (&wide(c, a)?, a.sizes()), (&wide(c, &b)?, b.sizes()), g),
    };
    one(Tensor::from_slice(&sizes, &out))
}

/// `f` of two broadcast bool tensors.
pub(crate) fn logic(c: &EvalCtx<'_>, f: Binary<'_, bool, bool>) -> Result<Vec<Datum>> {
    let (a, b, sizes) = operands(c)?;
    one(Tensor::from_slice(&sizes, &zip2(&sizes, (&bools(c, a)?, a.sizes()), (&bools(c, &b)?, b.sizes()), f)))
}

/// Folds any number of broadcast operands, from the left.
pub(crate) fn variadic(c: &EvalCtx<'_>, f: Binary<'_, f64, f64>, g: Binary<'_, i128, i128>) -> Result<Vec<Datum>> {
    let first = c.tensor(0)?;
    let tensors = (0..c.inputs.len()).map(|i| c.tensor(i)).collect::<Result<Vec<_>>>()?;
    let sizes = broadcast_sizes(c, &tensors.iter().map(|t| t.sizes()).collect::<Vec<_>>())?;
    tensors.iter().try_for_each(|t| same_types(c, first, t))?;
    match first.dtype() {
        d if d.is_float() => {
            let fold = fold_all(&sizes, tensors.iter().map(|t| Ok((floats(c, t)?, t.sizes()))), f)?;
            // The mean is the sum, divided before the one rounding.
            let mean = if c.node.is("Mean") { tensors.len() as f64 } else { 1.0 };
            one(store(d, &sizes, &fold.into_iter().map(|v| v / mean).collect::<Vec<_>>())?)
        }
        d if d.is_int() => one(store_wide(d, &sizes, &fold_all(&sizes, tensors.iter().map(|t| Ok((wide(c, t)?, t.sizes()))), g)?)?),
        d => Err(not_for(c, d)),
    }
}

fn fold_all<'a, A: Copy + Default + Send + Sync>(
    out: &[usize],
    operands: impl Iterator<Item = Result<(Vec<A>, &'a [usize])>>,
    f: Binary<'_, A, A>,
) -> Result<Vec<A>> {
    let mut all: Option<Vec<A>> = None;
    for operand in operands {
        let (values, sizes) = operand?;
        all = Some(match all {
            None => zip2(out, (&values, sizes), (&values, sizes), &|a, _| a),
            Some(sum) => zip2(out, (&sum, out), (&values, sizes), f),
        });
    }
    Ok(all.unwrap_or_default())
}
