//! Shape arithmetic: elementwise operators on the contents of small integer tensors, with sizes that may be symbolic.

use crate::{Contents, InferCtx};
use lapidary_ir::{DType, Dim};
use smallvec::SmallVec;

/// Gives output 0 the contents `f` of each element of operand 0, as far as `f` knows.
pub(crate) fn map1(c: &mut InferCtx<'_>, f: impl Fn(&Dim) -> Option<Dim>) {
    let dtype = c.dtype(0).unwrap_or(DType::Unknown);
    if let Some(a) = c.contents(0)
        && let Some(dims) = a.dims.iter().map(|x| f(x).filter(|d| fits(dtype, d))).collect::<Option<Vec<_>>>()
    {
        c.set_contents(0, Contents { sizes: a.sizes, dims });
    }
}

/// Gives output 0 the contents `f` of the broadcast elements of operands 0 and 1.
pub(crate) fn map2(c: &mut InferCtx<'_>, f: impl Fn(&Dim, &Dim) -> Option<Dim>) {
    let dtype = c.dtype(0).unwrap_or(DType::Unknown);
    if let (Some(a), Some(b)) = (c.contents(0), c.contents(1))
        && let Some(out) = zip(&a, &b, |x, y| f(x, y).filter(|d| fits(dtype, d)))
    {
        c.set_contents(0, out);
    }
}

/// Elementwise with broadcasting; `None` where sizes do not broadcast, the result is too large or `f` does not know.
pub(crate) fn zip(a: &Contents, b: &Contents, f: impl Fn(&Dim, &Dim) -> Option<Dim>) -> Option<Contents> {
    let sizes = common(&[&a.sizes, &b.sizes])?;
    let (x, y) = (super::broadcast::indices(&sizes, &a.sizes), super::broadcast::indices(&sizes, &b.sizes));
    let dims = x.into_iter().zip(y).map(|(i, j)| f(a.dims.get(i)?, b.dims.get(j)?)).collect::<Option<Vec<_>>>()?;
    Some(Contents { sizes, dims })
}

/// The broadcast sizes of contents, if they broadcast and stay small.
pub(crate) fn common(all: &[&[usize]]) -> Option<SmallVec<[usize; 4]>> {
    let rank = all.iter().map(|s| s.len()).max()?;
    let mut out: SmallVec<[usize; 4]> = SmallVec::from_elem(1, rank);
    for sizes in all {
        for (at, s) in out[rank - sizes.len()..].iter_mut().zip(*sizes) {
            if *at != *s && *at != 1 && *s != 1 {
                return None;
            }
            *at = if *at == 1 { *s } else { *at };
        }
    }
    let count = out.iter().try_fold(1usize, |a, s| a.checked_mul(*s))?;
    (count <= Contents::LIMIT).then_some(out)
}

/// Whether sizes may be followed through values of this type: narrower ones would wrap.
pub(crate) fn holds_sizes(dtype: DType) -> bool {
    matches!(dtype, DType::I64 | DType::I32 | DType::U64 | DType::U32)
}

/// Numbers that the type does not hold wrap at run time: they are not followed. Sizes always fit.
pub(crate) fn fits(dtype: DType, d: &Dim) -> bool {
    match (d.as_const(), dtype.int_range()) {
        (Some(v), Some((low, high))) => (low..=high).contains(&v.into()),
        _ => true,
    }
}

/// `a + b`, unless the numbers overflow.
pub(crate) fn add(a: &Dim, b: &Dim) -> Option<Dim> {
    checked(a, b, i64::checked_add, a + b)
}

/// `a - b`, unless the numbers overflow.
pub(crate) fn sub(a: &Dim, b: &Dim) -> Option<Dim> {
    checked(a, b, i64::checked_sub, a - b)
}

/// `a · b`, unless the numbers overflow.
pub(crate) fn mul(a: &Dim, b: &Dim) -> Option<Dim> {
    checked(a, b, i64::checked_mul, a * b)
}

fn checked(a: &Dim, b: &Dim, f: fn(i64, i64) -> Option<i64>, symbolic: Dim) -> Option<Dim> {
    match (a.as_const(), b.as_const()) {
        (Some(x), Some(y)) => f(x, y).map(Dim::from),
        _ => Some(symbolic),
    }
}

/// ONNX's integer division, which rounds towards zero: known where that is rounding down, or on numbers.
pub(crate) fn div(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a.as_const(), b.as_const()) {
        (_, Some(0)) => None,
        (Some(x), Some(y)) => x.checked_div(y).map(Dim::from),
        _ => match a.exact_div(b) {
            Some(q) => Some(q),
            None => (a.known_non_negative() && b.known_non_negative()).then(|| a.floor_div(b)),
        },
    }
}

/// Whether two sizes are equal, where that is certain (1 or 0).
pub(crate) fn equal(a: &Dim, b: &Dim) -> Option<Dim> {
    if a == b {
        return Some(Dim::from(1));
    }
    let one = Dim::from(1);
    let apart = (a + &one).known_le(b) || (b + &one).known_le(a);
    apart.then(|| Dim::from(0))
}

/// Whether `a < b`, where that is certain (1 or 0).
pub(crate) fn less(a: &Dim, b: &Dim) -> Option<Dim> {
    if (a + &Dim::from(1)).known_le(b) {
        return Some(Dim::from(1));
    }
    b.known_le(a).then(|| Dim::from(0))
}

/// `1 - x` of a known truth value.
pub(crate) fn negate(x: Option<Dim>) -> Option<Dim> {
    x?.as_const().map(|v| Dim::from((v == 0) as i64))
}
