//! Tensors as text: `[[1, 2], [3, 4]]`, `"text"`, `splat(0.5)`, `random(7)`, `bytes("0a0b")`, `#9f3a1c2204be77d1`.

use super::ParseOptions;
use super::lexer::{Lexer, Token};
use crate::{DType, Diagnostic, Result, Tensor, TensorType};
use std::fmt::Write;
use std::sync::Arc;

/// Lists nest at most this deep, so that no stack can overflow.
const RANK_MAX: usize = 64;

/// Appends the tensor's elements, or its hash when it has more than `inline_elements` that are not all equal.
/// Gives whether the hash stands for it.
pub(super) fn write_tensor(out: &mut String, t: &Tensor, inline_elements: usize) -> bool {
    if t.rank() <= RANK_MAX && t.len() <= inline_elements {
        match element_texts(t) {
            Some(texts) => write_list(out, t.sizes(), &texts),
            None => write_bytes(out, t),
        }
        return false;
    }
    if let Some(text) = splat_text(t) {
        let _ = write!(out, "splat({text})");
        return false;
    }
    let _ = write!(out, "#{:016x}", t.content_hash());
    true
}

fn write_list(out: &mut String, sizes: &[usize], texts: &[String]) {
    let Some((first, inner)) = sizes.split_first() else {
        out.push_str(texts.first().map_or("", |s| s));
        return;
    };
    out.push('[');
    if !texts.is_empty() {
        for (i, part) in texts.chunks(texts.len() / first.max(&1)).enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            write_list(out, inner, part);
        }
    }
    out.push(']');
}

/// What no literal gives back bit for bit: odd NaNs, complex numbers, non-zero padding.
fn write_bytes(out: &mut String, t: &Tensor) {
    out.push_str("bytes(\"");
    for b in t.bytes() {
        let _ = write!(out, "{b:02x}");
    }
    out.push_str("\")");
}

/// A float without a trailing `.0`, as the type says that it is one.
fn float_text(v: impl std::fmt::Debug) -> String {
    let s = format!("{v:?}").to_lowercase();
    s.strip_suffix(".0").map(str::to_string).unwrap_or(s)
}

/// One text per element; `None` when they would not read back to the same bits.
fn element_texts(t: &Tensor) -> Option<Vec<String>> {
    let texts: Vec<String> = match t.dtype() {
        DType::String => t.as_strings()?.iter().map(|s| quoted(s)).collect(),
        DType::Bool => t.to_i64()?.iter().map(|v| if *v != 0 { "true" } else { "false" }.to_string()).collect(),
        DType::U64 => t.to_vec::<u64>()?.iter().map(u64::to_string).collect(),
        DType::F64 => t.to_f64()?.into_iter().map(float_text).collect(),
        d if d.is_float() => t.to_f64()?.into_iter().map(|v| float_text(v as f32)).collect(),
        d if d.is_int() => t.to_i64()?.iter().map(i64::to_string).collect(),
        _ => return None,
    };
    if t.dtype() == DType::String {
        return Some(texts);
    }
    let scalars: Vec<Scalar> = texts.iter().map(|s| Scalar::bare(s)).collect();
    (build(t.dtype(), t.sizes(), &scalars).as_ref() == Ok(t)).then_some(texts)
}

fn quoted(bytes: &[u8]) -> String {
    let mut s = String::new();
    super::write_string(&mut s, bytes);
    s
}

/// What one element of a `splat` takes in memory.
fn splat_bytes(dtype: DType) -> usize {
    if dtype == DType::String { size_of::<bytes::Bytes>() } else { dtype.bits().div_ceil(8) }
}

/// The text of the one element that the tensor repeats, unless it is so large that a text made of such would not be read.
fn splat_text(t: &Tensor) -> Option<String> {
    if t.len().saturating_mul(splat_bytes(t.dtype())) > super::SPLAT_BYTES_MAX {
        return None;
    }
    let one = if let Some(strings) = t.as_strings() {
        let first = strings.first().filter(|f| strings.iter().all(|s| s == *f))?;
        Tensor::strings(&[], vec![first.clone()]).ok()?
    } else if t.dtype().is_packed() {
        let (last, head) = t.bytes().split_last()?;
        if head.iter().any(|b| *b != head[0]) {
            return None;
        }
        let mask = (1u8 << t.dtype().bits()) - 1;
        Tensor::new(t.dtype(), &[], vec![head.first().unwrap_or(last) & mask]).ok()?
    } else {
        let size = t.dtype().bits() / 8;
        let first = t.bytes().get(..size)?;
        if t.bytes().chunks_exact(size).any(|c| c != first) {
            return None;
        }
        Tensor::new(t.dtype(), &[], first.to_vec()).ok()?
    };
    let text = element_texts(&one)?.pop()?;
    (splat(t.sizes(), &one).as_ref() == Ok(t)).then_some(text)
}

/// One element repeated.
fn splat(sizes: &[usize], one: &Tensor) -> Result<Tensor> {
    let zeros = Tensor::zeros(one.dtype(), sizes)?;
    if let Some(s) = one.as_strings() {
        return Tensor::strings(sizes, vec![s.first().cloned().unwrap_or_default(); zeros.len()]);
    }
    if one.dtype().is_packed() {
        let code = one.unpack().and_then(|c| c.first().copied()).unwrap_or(0);
        let bits = one.dtype().bits();
        let (per, count) = (8 / bits, zeros.len());
        let byte = |n: usize| (0..n.min(per)).fold(0u8, |b, i| b | code << (i * bits));
        let data: Vec<u8> = (0..count.div_ceil(per)).map(|i| byte(count - i * per)).collect();
        return Tensor::new(one.dtype(), sizes, data);
    }
    Tensor::new(one.dtype(), sizes, one.bytes().repeat(zeros.len()))
}

/// One element as written.
#[derive(Clone, Debug)]
struct Scalar {
    negative: bool,
    /// A number, or `true`, `false`, `inf`, `nan`; ignored for strings.
    text: String,
    string: Option<Vec<u8>>,
}

impl Scalar {
    fn bare(text: &str) -> Scalar {
        match text.strip_prefix('-') {
            Some(rest) => Scalar { negative: true, text: rest.into(), string: None },
            None => Scalar { negative: false, text: text.into(), string: None },
        }
    }
    fn shown(&self) -> String {
        match &self.string {
            Some(s) => quoted(s),
            None => format!("{}{}", if self.negative { "-" } else { "" }, self.text),
        }
    }
    fn number<T: std::str::FromStr>(&self) -> Option<T> {
        self.shown().parse().ok().filter(|_| self.string.is_none())
    }
}

/// The tensor of these elements. The message of an error says which element does not fit.
fn build(dtype: DType, sizes: &[usize], scalars: &[Scalar]) -> Result<Tensor> {
    let fail = |s: &Scalar| Diagnostic::error("ir-text", format!("'{}' is no {dtype}", s.shown()));
    fn all<T>(scalars: &[Scalar], f: impl Fn(&Scalar) -> Option<T>, fail: impl Fn(&Scalar) -> Diagnostic) -> Result<Vec<T>> {
        scalars.iter().map(|s| f(s).ok_or_else(|| fail(s).into())).collect()
    }
    match dtype {
        DType::String => Tensor::strings(sizes, all(scalars, |s| s.string.clone().map(Into::into), fail)?),
        DType::Bool => {
            let value = |s: &Scalar| match (s.negative, s.text.as_str()) {
                (false, "true" | "1") => Some(1),
                (false, "false" | "0") => Some(0),
                _ => None,
            };
            Tensor::from_i64(dtype, sizes, &all(scalars, value, fail)?)
        }
        DType::F32 => {
            let values: Vec<f32> = all(scalars, Scalar::number, fail)?;
            Tensor::new(dtype, sizes, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
        }
        d if d.is_float() => Tensor::from_f64(dtype, sizes, &all(scalars, Scalar::number, fail)?),
        d if d.is_int() => {
            let (low, high) = d.int_range().unwrap_or((0, 0));
            let value = |s: &Scalar| s.number::<i128>().filter(|v| (low..=high).contains(v)).map(|v| v as i64);
            Tensor::from_i64(dtype, sizes, &all(scalars, value, fail)?)
        }
        _ => Err(Diagnostic::error("ir-text", format!("{dtype} has no literals")).help("write bytes(\"...\") with hexadecimal digits").into()),
    }
}

/// Reads what [`write_tensor`] writes. `ty` is what the text has declared already.
pub(super) fn read_tensor(lexer: &mut Lexer, ty: &TensorType, options: &ParseOptions) -> Result<Arc<Tensor>> {
    let start = lexer.peek_range()?.start;
    let at = |lexer: &Lexer, message: String| lexer.error(start..lexer.last_range().end, message);
    let Some(sizes) = ty.shape.sizes() else {
        lexer.next()?;
        return Err(at(lexer, "a constant needs a type with constant sizes".into()).into());
    };
    // What a few letters may make up is limited for the whole text, as each could ask for all memory. `random` goes through f64.
    let take = |lexer: &mut Lexer, element_bytes: usize| -> Result<()> {
        let count = sizes.iter().try_fold(1usize, |a, s| a.checked_mul(*s));
        let total = count.and_then(|n| n.checked_mul(element_bytes)).and_then(|b| b.checked_add(lexer.made_bytes));
        match total.filter(|t| *t <= options.constant_bytes_max) {
            Some(total) => lexer.made_bytes = total,
            None => return Err(at(lexer, format!("'splat' and 'random' may make up at most {} bytes", options.constant_bytes_max)).into()),
        }
        Ok(())
    };
    let tensor = match lexer.peek()?.clone() {
        Token::Hash(hash) => {
            lexer.next()?;
            let found = (options.tensors)(hash).ok_or_else(|| {
                at(lexer, format!("no tensor has the content hash '#{hash:016x}'")).help("give the .safetensors file that was written with this text")
            })?;
            if found.ty() != *ty {
                return Err(at(lexer, format!("the tensor '#{hash:016x}' is {}, not {ty}", found.ty())).into());
            }
            return Ok(found);
        }
        Token::Word("splat") => {
            lexer.next()?;
            lexer.expect('(')?;
            let one = read_scalar(lexer)?;
            lexer.expect(')')?;
            take(lexer, splat_bytes(ty.dtype))?;
            build(ty.dtype, &[], &[one]).and_then(|one| splat(&sizes, &one))
        }
        Token::Word("random") => {
            lexer.next()?;
            lexer.expect('(')?;
            let seed = read_scalar(lexer)?;
            let range = if lexer.eat(',')? {
                let low = read_scalar(lexer)?;
                lexer.expect(',')?;
                Some((low, read_scalar(lexer)?))
            } else {
                None
            };
            lexer.expect(')')?;
            let seed = seed.number::<u64>().ok_or_else(|| at(lexer, "the seed of 'random' is an integer ≥ 0".into()))?;
            let range = match range {
                None => None,
                Some((low, high)) => match (low.number::<f64>(), high.number::<f64>()) {
                    (Some(low), Some(high)) if low <= high && low.is_finite() && high.is_finite() => Some((low, high)),
                    _ => return Err(at(lexer, "the range of 'random' is two numbers, the lower first".into()).into()),
                },
            };
            take(lexer, 8)?;
            Tensor::random(ty.dtype, &sizes, seed, range)
        }
        Token::Word("bytes") => {
            lexer.next()?;
            lexer.expect('(')?;
            let digits = lexer.string("hexadecimal digits")?;
            lexer.expect(')')?;
            let pairs = digits.as_bytes().chunks(2);
            let bytes = pairs.map(|p| std::str::from_utf8(p).ok().filter(|p| p.len() == 2).and_then(|p| u8::from_str_radix(p, 16).ok()));
            let bytes: Option<Vec<u8>> = bytes.collect();
            let bytes = bytes.ok_or_else(|| at(lexer, "'bytes' needs pairs of hexadecimal digits".into()))?;
            Tensor::new(ty.dtype, &sizes, bytes)
        }
        _ => {
            let mut scalars = Vec::new();
            if sizes.len() > RANK_MAX {
                lexer.next()?;
                return Err(at(lexer, format!("literals have at most {RANK_MAX} dimensions")).into());
            }
            read_list(lexer, &sizes, &mut scalars)?;
            build(ty.dtype, &sizes, &scalars)
        }
    };
    tensor.map(Arc::new).map_err(|e| {
        let first = e.0.into_iter().next();
        let (message, help) = first.map_or((String::new(), None), |d| (d.message, d.help));
        let mut error = at(lexer, message);
        error.help = help;
        error.into()
    })
}

fn read_list(lexer: &mut Lexer, sizes: &[usize], out: &mut Vec<Scalar>) -> Result<()> {
    let Some((count, inner)) = sizes.split_first() else {
        out.push(read_scalar(lexer)?);
        return Ok(());
    };
    lexer.expect('[')?;
    // A tensor without elements is `[]`, however many empty rows it would have.
    let count = if inner.contains(&0) { 0 } else { *count };
    let mut found = 0;
    while !lexer.eat(']')? {
        if found > 0 {
            lexer.expect(',')?;
        }
        if found == count {
            let range = lexer.peek_range()?;
            return Err(lexer.error(range, format!("more than the {count} elements that the type has here")).into());
        }
        read_list(lexer, inner, out)?;
        found += 1;
    }
    if found != count {
        return Err(lexer.error_last(format!("{found} elements where the type has {count}")));
    }
    Ok(())
}

fn read_scalar(lexer: &mut Lexer) -> Result<Scalar> {
    let negative = lexer.eat('-')?;
    let scalar = match lexer.peek()? {
        Token::Number(n) => Scalar { negative, text: n.to_string(), string: None },
        Token::Word(w @ ("inf" | "nan" | "true" | "false")) => Scalar { negative, text: w.to_string(), string: None },
        Token::Str(s) if !negative => Scalar { negative, text: String::new(), string: Some(s.to_vec()) },
        _ => return Err(lexer.unexpected("an element")),
    };
    lexer.next()?;
    Ok(scalar)
}
