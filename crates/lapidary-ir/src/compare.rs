//! When two results count as equal: bit for bit, within `atol + rtol·|b|`, or within a part of the largest value.

use crate::{DType, Tensor};
use serde::Serialize;

/// How far a result may be from its reference. Integers, booleans and strings must be equal whatever the tolerance; NaN and ±inf must
/// stand at equal positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// Same bits, but for the payloads of NaNs: `-0` is not `0`.
    Exact,
    /// `|a − b| ≤ atol + rtol·|b|` for each element.
    AbsRel { rtol: f64, atol: f64 },
    /// `max|a − b| ≤ R·max|b|` over the tensor.
    MaxRel(f64),
}

impl Default for Tolerance {
    fn default() -> Self {
        Tolerance::AbsRel { rtol: 1e-3, atol: 1e-5 }
    }
}

impl std::fmt::Display for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tolerance::Exact => f.write_str("equal bits"),
            Tolerance::AbsRel { rtol, atol } => write!(f, "rtol {rtol:e}, atol {atol:e}"),
            Tolerance::MaxRel(r) => write!(f, "max-rel {r:e}"),
        }
    }
}

impl Tolerance {
    /// What an effect of rounding may change in values of this element type: a part of the largest value.
    pub fn rounding(dtype: DType) -> Tolerance {
        match dtype {
            DType::F64 | DType::C128 => Tolerance::MaxRel(1e-12),
            DType::F32 | DType::C64 => Tolerance::MaxRel(1e-5),
            DType::F16 => Tolerance::MaxRel(2e-3),
            DType::BF16 => Tolerance::MaxRel(1.6e-2),
            _ => Tolerance::Exact,
        }
    }
}

/// What [`compare`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Whether everything is within the tolerance.
    pub passed: bool,
    /// Why the tensors cannot be compared element by element: another element type or other sizes.
    pub problem: Option<String>,
    pub elements: usize,
    /// How many elements are outside the tolerance.
    pub mismatches: usize,
    /// `max|a − b|` over positions where both are finite.
    pub max_abs: f64,
    /// `max|a − b| / max|b|`; 0 when all differences are.
    pub max_rel: f64,
    /// `max|b|` over finite positions.
    pub reference_max: f64,
    /// Signal to noise, `10·log10(Σb² / Σ(a−b)²)`, over positions where both are finite; infinite without noise, absent for strings.
    pub sqnr_db: Option<f64>,
    /// The first element outside the tolerance.
    pub first_mismatch: Option<Mismatch>,
    /// The element of the largest difference, when there is any.
    pub worst: Option<Mismatch>,
}

/// One element of both tensors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mismatch {
    pub index: Vec<usize>,
    pub got: String,
    pub want: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at {:?}: got {}, want {}", self.index, self.got, self.want)
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(p) = &self.problem {
            return f.write_str(p);
        }
        write!(f, "max abs {:.3e}, max rel {:.3e}", self.max_abs, self.max_rel)?;
        if let Some(db) = self.sqnr_db {
            write!(f, ", {db:.1} dB")?;
        }
        if self.passed {
            return Ok(());
        }
        write!(f, "; {} of {} elements outside the tolerance", self.mismatches, self.elements)?;
        self.first_mismatch.as_ref().map_or(Ok(()), |m| write!(f, ", the first {m}"))
    }
}

/// Compares a result with its reference `want`.
pub fn compare(got: &Tensor, want: &Tensor, tolerance: Tolerance) -> Comparison {
    let mut out = Comparison {
        passed: false,
        problem: None,
        elements: want.len(),
        mismatches: 0,
        max_abs: 0.0,
        max_rel: 0.0,
        reference_max: 0.0,
        sqnr_db: None,
        first_mismatch: None,
        worst: None,
    };
    if got.dtype() != want.dtype() || got.sizes() != want.sizes() {
        out.problem = Some(format!("got {}, want {}", got.ty(), want.ty()));
        return out;
    }
    match want.dtype() {
        DType::String => compare_strings(got, want, &mut out),
        d if d.is_int() || d == DType::Bool => compare_ints(got, want, &mut out),
        d => {
            let parts = if matches!(d, DType::C64 | DType::C128) { 2 } else { 1 };
            compare_floats(&real_parts(got), &real_parts(want), parts, tolerance, want.sizes(), &mut out)
        }
    }
    out.passed = out.mismatches == 0;
    out
}

fn compare_strings(got: &Tensor, want: &Tensor, out: &mut Comparison) {
    let (a, b) = (got.as_strings().unwrap_or(&[]), want.as_strings().unwrap_or(&[]));
    for (i, (a, b)) in a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b) {
        out.mismatches += 1;
        let text = |s: &bytes::Bytes| format!("{:?}", String::from_utf8_lossy(s));
        out.first_mismatch.get_or_insert_with(|| Mismatch { index: coordinates(i, want.sizes()), got: text(a), want: text(b) });
    }
}

fn compare_ints(got: &Tensor, want: &Tensor, out: &mut Comparison) {
    let unsigned = want.dtype() == DType::U64;
    let wide = |t: &Tensor| -> Vec<i128> {
        let values = t.to_i64().unwrap_or_default();
        values.into_iter().map(|v| if unsigned { i128::from(v as u64) } else { i128::from(v) }).collect()
    };
    let (mut signal, mut noise, mut worst) = (0f64, 0f64, 0i128);
    for (i, (a, b)) in wide(got).into_iter().zip(wide(want)).enumerate() {
        let difference = (a - b).abs();
        out.reference_max = out.reference_max.max(b.abs() as f64);
        (signal, noise) = (signal + (b as f64).powi(2), noise + (difference as f64).powi(2));
        if difference > 0 {
            out.mismatches += 1;
            let element = || Mismatch { index: coordinates(i, want.sizes()), got: a.to_string(), want: b.to_string() };
            out.first_mismatch.get_or_insert_with(element);
            if difference > worst {
                (worst, out.worst) = (difference, Some(element()));
            }
        }
    }
    finish(out, worst as f64, signal, noise);
}

fn compare_floats(got: &[f64], want: &[f64], parts: usize, tolerance: Tolerance, sizes: &[usize], out: &mut Comparison) {
    out.reference_max = want.iter().filter(|b| b.is_finite()).fold(0.0, |m, b| m.max(b.abs()));
    let (mut signal, mut noise, mut max_abs) = (0f64, 0f64, 0f64);
    let mut mismatched_element = None;
    for (i, (&a, &b)) in got.iter().zip(want).enumerate() {
        let finite = a.is_finite() && b.is_finite();
        let difference = if finite { (a - b).abs() } else { 0.0 };
        let near = match tolerance {
            Tolerance::Exact => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            _ if !finite => (a.is_nan() && b.is_nan()) || a == b,
            // Written so that a NaN tolerance lets nothing through.
            Tolerance::AbsRel { rtol, atol } => difference <= atol + rtol * b.abs(),
            Tolerance::MaxRel(r) => difference <= r * out.reference_max,
        };
        let element = || Mismatch { index: coordinates(i / parts, sizes), got: format!("{a:e}"), want: format!("{b:e}") };
        if finite {
            (signal, noise) = (signal + b * b, noise + difference * difference);
        }
        if difference > max_abs {
            (max_abs, out.worst) = (difference, Some(element()));
        }
        // The two parts of a complex number are one element.
        if !near && mismatched_element != Some(i / parts) {
            mismatched_element = Some(i / parts);
            out.mismatches += 1;
            out.first_mismatch.get_or_insert_with(element);
        }
    }
    finish(out, max_abs, signal, noise);
}

fn finish(out: &mut Comparison, max_abs: f64, signal: f64, noise: f64) {
    out.max_abs = max_abs;
    out.max_rel = if max_abs == 0.0 { 0.0 } else { max_abs / out.reference_max };
    out.sqnr_db = Some(if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() });
}

/// The elements as f64; a complex number as its two parts.
fn real_parts(t: &Tensor) -> Vec<f64> {
    let chunk = |c: &[u8]| match *c {
        [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => f64::NAN,
    };
    match t.dtype() {
        DType::C64 => t.bytes().chunks_exact(4).map(chunk).collect(),
        DType::C128 => t.bytes().chunks_exact(8).map(chunk).collect(),
        _ => t.to_f64().unwrap_or_default(),
    }
}

/// Where the element number `i` of a row-major tensor stands.
fn coordinates(mut i: usize, sizes: &[usize]) -> Vec<usize> {
    let mut out: Vec<usize> = sizes
        .iter()
        .rev()
        .map(|s| {
            let at = i % (*s).max(1);
            i /= (*s).max(1);
            at
        })
        .collect();
    out.reverse();
    out
}
