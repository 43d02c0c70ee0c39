//! Weights that ONNX Runtime's operators keep as bytes of packed codes: reading them as tensors of small integers, and multiplying by what
//! they stand for.

use crate::lower::Operand;
use crate::ops::mat_mul::{lower_product, product};
use crate::slide::accumulator;
use crate::{EvalCtx, InferCtx, LowerCtx};
use lapidary_ir::{DType, Diagnostic, Dim, Node, Result, Shape, Tensor};
use lapidary_kernel::{BinaryOp, ExprId, Index, KernelBuilder, ReduceOp, UnaryOp};

/// What the codes of NF4 stand for: quantiles of the normal distribution, with an exact zero. Source: Dettmers et al., appendix E.
pub const NF4: [f32; 16] = [
    -1.0,
    -0.6961928,
    -0.52507305,
    -0.3949175,
    -0.28444138,
    -0.18477343,
    -0.091050036,
    0.0,
    0.0795803,
    0.1609302,
    0.2461123,
    0.33791524,
    0.44070983,
    0.562617,
    0.72295684,
    1.0,
];
/// What the codes of bitsandbytes' FP4 stand for: a sign, two bits of exponent, one of mantissa, divided by the largest.
pub const FP4: [f32; 16] =
    [0.0, 0.005208333, 0.6666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25, 0.0, -0.005208333, -0.6666667, -1.0, -0.33333333, -0.5, -0.16666667, -0.25];

/// What such an operator says in its attributes: a weight of `k` inputs and `n` outputs, `block` inputs to a scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub k: usize,
    pub n: usize,
    pub block: usize,
    /// Activations are rounded to 8 bits first.
    pub rounded: bool,
}

impl Extents {
    /// # Errors
    /// An extent is absent, not positive, or so large that the weight would not fit memory.
    pub fn of(node: &Node) -> Result<Extents, Diagnostic> {
        let extent = |name: &str| {
            let found = node.attrs.int(name).filter(|v| (1..=1 << 31).contains(v)).and_then(|v| usize::try_from(v).ok());
            found.ok_or_else(|| Diagnostic::error("bad-attribute", format!("the attribute '{name}' is absent or no size")).at(node))
        };
        let e = Extents { k: extent("K")?, n: extent("N")?, block: extent("block_size")?, rounded: false };
        match e.k.checked_mul(e.n).filter(|n| *n <= 1 << 40) {
            Some(_) => Ok(e),
            None => Err(Diagnostic::error("bad-attribute", format!("a weight of {} by {} elements fits no memory", e.k, e.n)).at(node)),
        }
    }
}

/// The type of codes of so many bits; `None` where ONNX has none.
pub(crate) fn codes(bits: i64) -> Option<DType> {
    match bits {
        2 => Some(DType::U2),
        4 => Some(DType::U4),
        8 => Some(DType::U8),
        _ => None,
    }
}

/// The type of the result: `n` elements where the operand has `k`.
pub(crate) fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let e = Extents::of(c.node)?;
    let a = c.ty(0)?;
    let shape = match a.shape.dims().and_then(|d| d.split_last()) {
        Some((k, outer)) => {
            c.same("the inner sizes of the product", k, &Dim::from(e.k))?;
            Shape::Ranked(outer.iter().cloned().chain([Dim::from(e.n)]).collect())
        }
        None if a.shape.rank() == Some(0) => return Err(c.error("shape-conflict", "an operand is a scalar").into()),
        None => Shape::Unranked,
    };
    c.set_tensor(0, a.dtype, shape);
    Ok(())
}

/// The product of the first operand with the weight `[k, n]` that `values` holds, plus a bias of one element per output.
pub(crate) fn multiply(c: &EvalCtx<'_>, e: Extents, values: &[f64], bias: Option<&Tensor>) -> Result<Tensor> {
    let a = c.tensor(0)?;
    let w = Tensor::from_f64(wide(a.dtype()), &[e.k, e.n], values)?;
    let y = match e.rounded && a.dtype() == DType::F32 {
        true => product(c, &rounded(c, e, a)?, &w)?,
        false => product(c, a, &w)?,
    };
    let Some(bias) = bias else { return Ok(y) };
    let (Some(mut sums), Some(b)) = (y.to_f64(), bias.to_f64().filter(|b| b.len() == e.n)) else {
        return Err(c.error("shape-conflict", format!("the bias has sizes {:?}, not [{}]", bias.sizes(), e.n)).into());
    };
    sums.iter_mut().enumerate().for_each(|(i, v)| *v += b[i % e.n]);
    Tensor::from_f64(y.dtype(), y.sizes(), &sums)
}

/// The codes of the largest magnitude.
const MOST: f32 = 127.0;

/// Activations as 8 bits hold them: `round(x · 127 / most) · most / 127` of blocks along the last axis, `most` the largest magnitude of a block.
pub(crate) fn rounded(c: &EvalCtx<'_>, e: Extents, a: &Tensor) -> Result<Tensor> {
    let Some(mut values) = a.to_vec::<f32>() else { return Err(c.unsupported("activations of this type are not rounded").into()) };
    for block in values.chunks_mut(e.k).flat_map(|row| row.chunks_mut(e.block)) {
        let most = block.iter().fold(0f32, |m, v| m.max(v.abs()));
        let by = if most == 0.0 { 0.0 } else { MOST / most };
        block.iter_mut().for_each(|v| *v = (*v * by).round_ties_even() * (most / MOST));
    }
    Ok(Tensor::from_slice(a.sizes(), &values))
}

/// The kernels that round activations as [`rounded`] does: codes and scales, and their products, which whoever multiplies codes takes apart again.
fn round_rows(c: &mut LowerCtx<'_>, e: Extents, a: &Operand) -> Operand {
    let (block, blocks) = (Dim::from(e.block), Dim::from(e.k.div_ceil(e.block)));
    let lead: Vec<Dim> = a.dims[..a.dims.len() - 1].to_vec();
    let with = |last: Dim| lead.iter().cloned().chain([last]).collect::<Vec<_>>();
    let scales = c.temp("row_scales", DType::F32, &with(blocks.clone()));
    let codes = c.temp("codes", DType::I8, &with(&blocks * &block));
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &scales.dims).into_iter().map(Into::into).collect();
    let j = k.axis("j", block.clone());
    let of = |i: Index| lead.iter().enumerate().map(|(d, _)| at[d].clone()).chain([i]).collect::<Vec<Index>>();
    let place = at[lead.len()].scale(&block).add(&j.into());
    let v = k.load_guarded(a.buffer, DType::F32, of(place.clone()), vec![(place.clone(), Dim::from(e.k))], None);
    let magnitude = k.unary(UnaryOp::Abs, v);
    let most = k.reduce(ReduceOp::Max, DType::F32, &[j], magnitude);
    let (zero, whole) = (k.constant(DType::F32, 0.0), k.constant(DType::F32, f64::from(MOST)));
    let scale = k.div(most, whole);
    k.store(scales.buffer, at.clone(), scale);
    let by = k.div(whole, most);
    let nothing = k.binary(BinaryOp::Eq, most, zero);
    let by = k.select(nothing, zero, by);
    let code = k.mul(v, by);
    let code = k.unary(UnaryOp::Round, code);
    let code = k.cast(DType::I8, code);
    k.store_along(codes.buffer, of(place), &[j], code);
    c.push(k);

    let y = c.temp("rounded", DType::F32, &a.dims);
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let mut by = at.clone();
    if let Some(last) = by.last_mut() {
        *last = k.floor_div(last, &block);
    }
    let (v, s) = (k.load(codes.buffer, DType::I8, at.clone()), k.load(scales.buffer, DType::F32, by));
    let v = k.cast(DType::F32, v);
    let v = k.mul(v, s);
    k.store(y.buffer, at, v);
    c.push(k);
    y
}

/// Weights are made in the type that they are multiplied in.
fn wide(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::F32 }
}

/// The kernels of a product with a weight of which `element` makes the one at input `k`, output `n`.
pub(crate) fn lower(
    c: &mut LowerCtx<'_>,
    e: Extents,
    bias: Option<Operand>,
    element: impl FnOnce(&mut KernelBuilder, &Index, &Index) -> ExprId,
) -> Result<()> {
    let (mut a, y) = (c.input(0)?, c.output(0)?);
    if let Some(b) = &bias {
        holds(c, b, &[e.n], "its bias")?;
    }
    if e.rounded && a.dtype == DType::F32 {
        a = round_rows(c, e, &a);
    }
    let w = c.temp("weight", y.dtype, &[Dim::from(e.k), Dim::from(e.n)]);
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &w.dims).into_iter().map(Into::into).collect();
    let v = element(&mut k, &at[0], &at[1]);
    let v = k.cast(w.dtype, v);
    k.store(w.buffer, at, v);
    c.push(k);
    let plus = |k: &mut KernelBuilder, v: ExprId, column: Option<&Index>| match (&bias, column) {
        (Some(b), Some(n)) => {
            let b = k.load(b.buffer, b.dtype, [n.clone()]);
            let dtype = k.dtype(v);
            let b = k.cast(dtype, b);
            k.add(v, b)
        }
        _ => v,
    };
    lower_product(c, &a, &w, &y, accumulator(y.dtype), |_, u, v, _, _| (u, v), |k, v, _, column| plus(k, v, column))
}

/// Refuses an operand of other sizes, or not known ones: kernels read it without asking. A matrix may be flat.
pub(crate) fn holds(c: &LowerCtx<'_>, x: &Operand, sizes: &[usize], what: &str) -> Result<()> {
    let known: Option<Vec<usize>> = x.dims.iter().map(|d| usize::try_from(d.as_const()?).ok()).collect();
    match known {
        Some(k) if k == sizes || k == [sizes.iter().product::<usize>()] => Ok(()),
        _ => Err(c.unsupported(format!("{what} should be {sizes:?}")).into()),
    }
}

/// The bytes of a constant operand, read as codes of another type: rows of as many codes as their bytes hold, at least `least`.
pub(crate) fn reread(c: &mut LowerCtx<'_>, slot: usize, name: &str, dtype: DType, rows: usize, least: usize) -> Result<Operand> {
    let Some(t) = c.constant(slot).cloned() else {
        return Err(c.unsupported(format!("operand {slot} is only known at run time")).into());
    };
    let count = t.byte_size() * 8 / dtype.bits();
    if t.dtype() != DType::U8 || rows == 0 || !count.is_multiple_of(rows) || count / rows < least {
        return Err(c.unsupported(format!("operand {slot} is no array of packed codes")).into());
    }
    let codes = Tensor::new(dtype, &[rows, count / rows], t.bytes().clone())?;
    Ok(c.constant_buffer(name, codes))
}
