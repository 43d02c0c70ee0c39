//! Conversion between element types, as `Cast` and `CastLike` define it.

use crate::elementwise::{contents, kernels};
use crate::numbers::{bools, check_size, floats, wide};
use crate::{EvalCtx, InferCtx, LowerCtx};
use bytes::Bytes;
use lapidary_ir::{DType, Dim, Result, Tensor};
use lapidary_kernel::{BinaryOp, UnaryOp};

/// The names that ONNX gives element types in `TensorProto.DataType`, for those that old versions of `Cast` name.
const NAMES: &[(&str, DType)] = &[
    ("FLOAT", DType::F32),
    ("UINT8", DType::U8),
    ("INT8", DType::I8),
    ("UINT16", DType::U16),
    ("INT16", DType::I16),
    ("INT32", DType::I32),
    ("INT64", DType::I64),
    ("STRING", DType::String),
    ("BOOL", DType::Bool),
    ("FLOAT16", DType::F16),
    ("DOUBLE", DType::F64),
    ("UINT32", DType::U32),
    ("UINT64", DType::U64),
    ("COMPLEX64", DType::C64),
    ("COMPLEX128", DType::C128),
];

pub(crate) fn from_onnx_name(name: &str) -> Option<DType> {
    NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, d)| *d)
}

pub(crate) fn onnx_name(dtype: DType) -> Option<&'static str> {
    NAMES.iter().find(|(_, d)| *d == dtype).map(|(n, _)| *n)
}

/// Sizes stay known through casts between integers that hold them; numbers through any cast to an integer type that fits them.
pub(crate) fn infer_contents(c: &mut InferCtx<'_>, from: DType, to: DType) {
    if from.is_float() || !(to.is_int() || to == DType::Bool) {
        return;
    }
    contents::map1(c, |x| match (to, x.as_const()) {
        (DType::Bool, Some(v)) => Some(Dim::from((v != 0) as i64)),
        (DType::Bool, None) => contents::less(&Dim::from(0), x),
        (_, Some(v)) => to.int_range().filter(|(low, high)| (*low..=*high).contains(&v.into())).map(|_| x.clone()),
        _ => contents::holds_sizes(to).then(|| x.clone()),
    });
}

/// `t` in the element type `to`.
pub(crate) fn cast(c: &EvalCtx<'_>, t: &Tensor, to: DType) -> Result<Tensor> {
    if t.dtype() == to {
        return Ok(t.clone());
    }
    check_size(c, t.sizes())?;
    if let Some(strings) = t.as_strings() {
        return from_strings(c, t, strings, to);
    }
    if to == DType::String {
        return to_strings(c, t);
    }
    if !t.dtype().is_float() && to.is_int() {
        return Tensor::from_i64(to, t.sizes(), &t.to_i64().unwrap_or_default());
    }
    if t.dtype() == DType::I64 && to == DType::F32 {
        return Tensor::from_i64(to, t.sizes(), &t.to_i64().unwrap_or_default()); // one rounding
    }
    if t.dtype() == DType::U64 && to == DType::F32 {
        return Ok(Tensor::from_slice(t.sizes(), &t.to_vec::<u64>().unwrap_or_default().into_iter().map(|v| v as f32).collect::<Vec<_>>()));
    }
    from_floats(c, t.sizes(), floats(c, t)?, to)
}

/// Real numbers in the element type `to`, by the rules of `Cast` and its attributes.
pub(crate) fn from_floats(c: &EvalCtx<'_>, sizes: &[usize], mut values: Vec<f64>, to: DType) -> Result<Tensor> {
    if to.is_int() {
        values.iter_mut().for_each(|v| *v = v.trunc());
    }
    // As ONNX's reference has it: integers of less than a byte wrap, and e2m1, which has no NaN, gets a negative zero.
    if to.is_int() && to.is_packed() {
        return Tensor::from_i64(to, sizes, &values.iter().map(|v| *v as i64).collect::<Vec<_>>());
    }
    if to == DType::F4E2M1 {
        values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = -0.0);
    }
    if to == DType::F8E8M0 {
        let mode = c.node.attrs.str("round_mode").unwrap_or("up");
        values.iter_mut().for_each(|v| *v = power_of_two(*v, mode));
    }
    let out = crate::numbers::store(to, sizes, &values)?;
    if c.node.attrs.int("saturate") != Some(0) {
        return Ok(out);
    }
    let Some((limit, code)) = overflow(to) else { return Ok(out) };
    let mut bytes = out.bytes().to_vec();
    for (b, v) in bytes.iter_mut().zip(&values) {
        if v.abs() >= limit {
            *b = code | if v.is_sign_negative() { 0x80 } else { 0 };
        }
    }
    Tensor::new(to, sizes, bytes)
}

/// The first magnitude that rounds past the largest number of a float of 8 bits, and the code of what it becomes where it does not saturate.
fn overflow(to: DType) -> Option<(f64, u8)> {
    match to {
        DType::F8E4M3FN => Some((464.0f64.next_up(), 0x7f)),
        DType::F8E5M2 => Some((61440.0, 0x7c)),
        DType::F8E4M3FNUZ => Some((248.0, 0x80)),
        DType::F8E5M2FNUZ => Some((61440.0, 0x80)),
        _ => None,
    }
}

/// One kernel that converts. What does not saturate becomes NaN before it is converted.
pub(crate) fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let to = c.output(0)?.dtype;
    let open = if c.node().attrs.int("saturate") == Some(0) { overflow(to) } else { None };
    if open.is_some() && to == DType::F8E5M2 {
        return Err(c.unsupported("there is no native code for casts to f8e5m2 that give infinity").into());
    }
    // Integers of less than a byte wrap; a cast of floats alone would saturate.
    let wraps = to.is_packed() && to.is_int();
    kernels::unary(c, &|k, x| {
        let from = k.dtype(x);
        let mut v = if wraps && from.is_float() { k.cast(DType::I32, x) } else { x };
        if to == DType::F4E2M1 && from.is_float() {
            let (nan, zero) = (k.unary(UnaryOp::IsNan, v), kernels::number(k, v, -0.0));
            v = k.select(nan, zero, v);
        }
        if let Some((limit, _)) = open {
            let wide = if from.is_float() { from } else { DType::F64 };
            v = k.cast(wide, v);
            let (size, nan) = (k.unary(UnaryOp::Abs, v), kernels::number(k, v, f64::NAN));
            let beyond = kernels::compared(k, BinaryOp::Ge, size, limit);
            v = k.select(beyond, nan, v);
        }
        k.cast(to, v)
    })
}

/// The power of two that f8e8m0 stores for `v`: the sign is lost.
fn power_of_two(v: f64, mode: &str) -> f64 {
    let v = v.abs();
    if !v.is_finite() || v == 0.0 {
        return v;
    }
    let low = 2f64.powi(v.log2().floor() as i32);
    // The logarithm may be off by one next to a power of two.
    let low = if low > v {
        low / 2.0
    } else if low * 2.0 <= v {
        low * 2.0
    } else {
        low
    };
    match mode {
        _ if low == v => v,
        "down" => low,
        "nearest" if v < 1.5 * low => low,
        _ => low * 2.0,
    }
}

fn from_strings(c: &EvalCtx<'_>, t: &Tensor, strings: &[Bytes], to: DType) -> Result<Tensor> {
    let bad = |s: &Bytes| c.error("bad-number", format!("'{}' is not a number of type {to}", String::from_utf8_lossy(s)));
    let text = |s: &Bytes| std::str::from_utf8(s).ok().map(|s| s.trim().to_string());
    if to.is_int() {
        let parse = |s: &Bytes| text(s)?.parse::<i128>().ok().or_else(|| text(s)?.parse::<f64>().ok().map(|v| v.trunc() as i128));
        let values = strings.iter().map(|s| Ok(parse(s).ok_or_else(|| bad(s))? as i64)).collect::<Result<Vec<_>>>()?;
        return Tensor::from_i64(to, t.sizes(), &values);
    }
    let values = strings.iter().map(|s| text(s).and_then(|s| s.parse::<f64>().ok()).ok_or_else(|| bad(s).into())).collect::<Result<Vec<_>>>()?;
    from_floats(c, t.sizes(), values, to)
}

fn to_strings(c: &EvalCtx<'_>, t: &Tensor) -> Result<Tensor> {
    let strings: Vec<String> = match t.dtype() {
        DType::F32 => {
            t.to_vec::<f32>().unwrap_or_default().into_iter().map(|v| plain(v.is_finite(), f64::from(v), format!("{v}"), format!("{v:e}"))).collect()
        }
        d if d.is_float() => floats(c, t)?.into_iter().map(|v| plain(v.is_finite(), v, format!("{v}"), format!("{v:e}"))).collect(),
        DType::Bool => bools(c, t)?.into_iter().map(|v| (v as u8).to_string()).collect(),
        _ => wide(c, t)?.into_iter().map(|v| v.to_string()).collect(),
    };
    Tensor::strings(t.sizes(), strings.into_iter().map(Bytes::from).collect())
}

/// The shortest decimal that reads back, as C++ and numpy print it: an exponent of two digits at least below 1e-4 and from 1e16 on.
fn plain(finite: bool, v: f64, decimal: String, scientific: String) -> String {
    if !finite {
        return if v.is_nan() {
            "NaN".into()
        } else if v > 0.0 {
            "INF".into()
        } else {
            "-INF".into()
        };
    }
    if v == 0.0 || (1e-4..1e16).contains(&v.abs()) {
        return if decimal.contains('.') { decimal } else { decimal + ".0" };
    }
    match scientific.split_once('e') {
        Some((m, e)) => {
            let (sign, digits) = e.strip_prefix('-').map_or(("+", e), |d| ("-", d));
            format!("{m}e{sign}{digits:0>2}")
        }
        None => scientific,
    }
}
