//! What `QuantizeLinear`, `DequantizeLinear` and their kin share: which scale belongs to which element, and the arithmetic.

use crate::elementwise::kernels;
use crate::numbers::{axis_index, floats, store, store_wide};
use crate::{EvalCtx, Form, LowerCtx, Operand, cast, forms};
use lapidary_ir::{Attrs, DType, Dim, Graph, Node, NodeId, Result, Tensor};
use lapidary_kernel::{ExprId, Index, KernelBuilder, UnaryOp};

/// Version 21 brought blocks and the attribute `output_dtype`; 23 `precision`.
pub(crate) const BLOCKS: Form = Form { since: 21, lift: |g, n| forms::lifted(g, n, 21), lower: lower_blocks };
/// Version 13 brought one scale per index of an axis.
pub(crate) const AXIS: Form = Form { since: 13, lift: |g, n| forms::lifted(g, n, 13), lower: lower_axis };

/// The element type that an attribute names by its ONNX code, if it does.
pub(crate) fn named_type(node: &Node, name: &str) -> Option<DType> {
    DType::from_onnx_code(i32::try_from(node.attrs.int(name)?).ok()?).filter(|d| *d != DType::Unknown)
}

/// Which element of scale and zero point belongs to each element of `x`.
pub(crate) enum Granularity {
    Tensor,
    /// One for each index of the axis.
    Axis(usize),
    /// One for every so many neighbours along the axis.
    Block(usize, usize),
}

/// How a scale of `scale` sizes covers a tensor of `sizes`; `None` when it does not fit.
pub(crate) fn granularity(attrs: &Attrs, sizes: &[usize], scale: &[usize]) -> Option<Granularity> {
    let block = usize::try_from(attrs.int("block_size").unwrap_or(0)).ok()?;
    let axis = axis_index(attrs.int("axis").unwrap_or(1), sizes.len());
    if block > 0 {
        let axis = axis?;
        let fits =
            scale.len() == sizes.len() && sizes.iter().zip(scale).enumerate().all(|(a, (n, s))| *s == if a == axis { n.div_ceil(block) } else { *n });
        return fits.then_some(Granularity::Block(axis, block));
    }
    if scale.iter().product::<usize>() == 1 && scale.len() <= 1 {
        return Some(Granularity::Tensor);
    }
    let axis = axis?;
    (scale.len() == 1 && scale[0] == sizes[axis]).then_some(Granularity::Axis(axis))
}

/// For each element of `x` the index of its scale.
fn scale_indices(c: &EvalCtx<'_>, x: &Tensor, scale: &Tensor, zero: Option<&Tensor>) -> Result<Vec<usize>> {
    if let Some(z) = zero
        && z.len() != scale.len()
    {
        return Err(c.error("shape-conflict", format!("scale {:?} and zero point {:?} differ in shape", scale.sizes(), z.sizes())).into());
    }
    let Some(g) = granularity(&c.node.attrs, x.sizes(), scale.sizes()) else {
        let message = format!("a scale of sizes {:?} does not fit a tensor of sizes {:?}", scale.sizes(), x.sizes());
        return Err(c.error("shape-conflict", message).into());
    };
    let (axis, block) = match g {
        Granularity::Tensor => return Ok(vec![0; x.len()]),
        Granularity::Axis(axis) => (axis, 0),
        Granularity::Block(axis, block) => (axis, block),
    };
    let n = x.sizes()[axis];
    let inner: usize = x.sizes()[axis + 1..].iter().product();
    Ok((0..x.len())
        .map(|i| {
            let (k, at, outer) = (i % inner, i / inner % n, i / inner / n);
            if block == 0 { at } else { (outer * n.div_ceil(block) + at / block) * inner + k }
        })
        .collect())
}

/// Rounds to a float type: what an operation in that type does to its result.
fn rounded(dtype: DType, v: f64) -> f64 {
    match dtype {
        DType::F16 | DType::BF16 => lapidary_ir::round_16(dtype, v),
        DType::F64 => v,
        _ => f64::from(v as f32),
    }
}

/// `saturate(round(x / scale) + zero)` in the type `to`.
pub(crate) fn quantize(c: &EvalCtx<'_>, x: &Tensor, scale: &Tensor, zero: Option<&Tensor>, to: DType) -> Result<Tensor> {
    let at = scale_indices(c, x, scale, zero)?;
    let precision = named_type(c.node, "precision").unwrap_or(DType::F32);
    let (values, scales) = (floats(c, x)?, floats(c, scale)?);
    let zeros = match zero {
        Some(z) if to.is_int() => floats(c, z)?,
        _ => vec![0.0; scale.len()],
    };
    let ratio = |(v, k): (&f64, &usize)| rounded(precision, rounded(precision, *v) / rounded(precision, scales[*k]));
    let Some((low, high)) = to.int_range() else {
        return cast::from_floats(c, x.sizes(), values.iter().zip(&at).map(ratio).collect(), to);
    };
    let (low, high) = (low as f64, high as f64);
    let out: Vec<f64> = values.iter().zip(&at).map(|p| (ratio(p).round_ties_even() + zeros[*p.1]).clamp(low, high)).collect();
    store(to, x.sizes(), &out)
}

/// `(x - zero) · scale` in the type `to`.
pub(crate) fn dequantize(c: &EvalCtx<'_>, x: &Tensor, scale: &Tensor, zero: Option<&Tensor>, to: DType) -> Result<Tensor> {
    let at = scale_indices(c, x, scale, zero)?;
    let (values, scales) = (floats(c, x)?, floats(c, scale)?);
    let zeros = match zero {
        Some(z) => floats(c, z)?,
        None => vec![0.0; scale.len()],
    };
    let out: Vec<f64> = values.iter().zip(&at).map(|(v, k)| (v - zeros[*k]) * scales[*k]).collect();
    if to.is_int() {
        return store_wide(to, x.sizes(), &out.iter().map(|v| *v as i128).collect::<Vec<_>>());
    }
    store(to, x.sizes(), &out)
}

fn lower_blocks(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let node = g.node(n);
    if node.attrs.int("block_size").unwrap_or(0) != 0 {
        return Err("before version 21, a scale cannot belong to a block".into());
    }
    if named_type(node, "output_dtype").is_some() && !(node.is("QuantizeLinear") && node.input(2).is_some()) {
        return Err("before version 21, the result's type cannot be named".into());
    }
    let attrs = &mut g.node_mut(n).attrs;
    for name in ["block_size", "output_dtype", "precision"] {
        attrs.remove(name);
    }
    Ok(())
}

fn lower_axis(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let scale = g.node(n).input(1).and_then(|v| g.ty(v).dims());
    if !scale.is_some_and(|d| d.iter().all(|d| d.as_const() == Some(1))) {
        return Err("before version 13, there is one scale for the tensor".into());
    }
    g.node_mut(n).attrs.remove("axis");
    Ok(())
}

// ---- kernels

/// Where the scale of the element at `at` stands.
fn scale_at(c: &LowerCtx<'_>, k: &KernelBuilder, at: &[Index], scale: &Operand) -> Result<Vec<Index>> {
    let block = c.node().attrs.int("block_size").unwrap_or(0);
    let axis = axis_index(c.node().attrs.int("axis").unwrap_or(1), at.len());
    let missing = || c.unsupported("'axis' does not exist");
    if block > 0 {
        let axis = axis.ok_or_else(missing)?;
        let mut at = at.to_vec();
        at[axis] = k.floor_div(&at[axis], &Dim::from(block));
        return Ok(at);
    }
    match &scale.dims[..] {
        [] => Ok(vec![]),
        [one] if one.as_const() == Some(1) => Ok(vec![Index::from(0)]),
        [_] => Ok(vec![at[axis.ok_or_else(missing)?].clone()]),
        _ => Err(c.unsupported("a scale of this shape is not compiled").into()),
    }
}

pub(crate) fn lower_quantize(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, scale) = (c.input(0)?, c.input(1)?);
    let zero = if c.has(2) { Some(c.input(2)?) } else { None };
    let y = c.output(0)?;
    quantizer(c, &x, &scale, zero.as_ref(), &y)
}

/// `y = saturate(round(x / scale) + zero)`
pub(crate) fn quantizer(c: &mut LowerCtx<'_>, x: &Operand, scale: &Operand, zero: Option<&Operand>, y: &Operand) -> Result<()> {
    kernels::check(c, &[x, scale, y])?;
    let precision = named_type(c.node(), "precision").filter(|d| d.is_float() && d.bits() >= 16).unwrap_or(DType::F32);
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let own = scale_at(c, &k, &at, scale)?;
    let (v, s) = (k.load(x.buffer, x.dtype, at.clone()), k.load(scale.buffer, scale.dtype, own));
    let (v, s) = (k.cast(precision, v), k.cast(precision, s));
    let v = k.div(v, s);
    let v = if y.dtype.is_float() { v } else { k.unary(UnaryOp::Round, v) };
    let v = k.cast(DType::F32, v);
    let v = match zero {
        Some(z) => {
            let own = scale_at(c, &k, &at, z)?;
            let z = k.load(z.buffer, z.dtype, own);
            let z = k.cast(DType::F32, z);
            k.add(v, z)
        }
        None => v,
    };
    let v = match y.dtype.int_range() {
        Some((low, high)) if y.dtype.is_packed() => kernels::clamped(&mut k, v, low as f64, high as f64),
        _ => v, // the cast saturates
    };
    kernels::store(&mut k, y, at, v);
    c.push(k);
    Ok(())
}

/// `y = (x - zero) · scale`
pub(crate) fn lower_dequantize(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, scale, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let none = c.constant(2).and_then(|z| z.to_f64()).is_some_and(|z| z.iter().all(|z| *z == 0.0));
    let zero = if c.has(2) && !none { Some(c.input(2)?) } else { None };
    kernels::check(c, &[&x, &y])?;
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let own = scale_at(c, &k, &at, &scale)?;
    let v = k.load(x.buffer, x.dtype, at.clone());
    let v = match &zero {
        Some(z) => {
            let own = scale_at(c, &k, &at, z)?;
            let z = k.load(z.buffer, z.dtype, own);
            difference(&mut k, v, z)
        }
        None => v,
    };
    let v = k.cast(DType::F32, v);
    let s = k.load(scale.buffer, scale.dtype, own);
    let s = k.cast(DType::F32, s);
    let v = k.mul(v, s);
    kernels::store(&mut k, &y, at, v);
    c.push(k);
    Ok(())
}

/// `v - zero`, exactly, in i32; of floats in f32.
fn difference(k: &mut KernelBuilder, v: ExprId, zero: ExprId) -> ExprId {
    if k.dtype(v).is_float() {
        let (v, zero) = (k.cast(DType::F32, v), k.cast(DType::F32, zero));
        return k.sub(v, zero);
    }
    let (v, zero) = (k.cast(DType::I32, v), k.cast(DType::I32, zero));
    k.sub(v, zero)
}
