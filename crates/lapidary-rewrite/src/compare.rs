//! How results before and after a pass are compared (docs: "Equality").

use crate::Effect;
use crate::ledger::{ErrorStats, OutputError};
use lapidary_ir::{Tensor, Tolerance, compare};
use lapidary_ops::Datum;

/// Checks one output against an effect's promise. `Lossy` promises the type and shape alone; `Rounding` may differ by `noise` of the largest
/// value too, where that is more than what it promises.
pub fn check(effect: Effect, noise: f64, before: &Datum, after: &Datum) -> Result<(), String> {
    match (before, after) {
        (Datum::Tensor(a), Datum::Tensor(b)) => check_tensor(effect, noise, a, b),
        (Datum::Sequence(_, a), Datum::Sequence(_, b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().try_for_each(|(i, (a, b))| check(effect, noise, a, b).map_err(|e| format!("element {i}: {e}")))
        }
        (Datum::Optional(_, Some(a)), Datum::Optional(_, Some(b))) => check(effect, noise, a, b),
        (Datum::Optional(_, None), Datum::Optional(_, None)) => Ok(()),
        _ => Err("the kinds or lengths of the containers differ".into()),
    }
}

fn check_tensor(effect: Effect, noise: f64, before: &Tensor, after: &Tensor) -> Result<(), String> {
    let tolerance = match effect {
        Effect::Exact => Tolerance::Exact,
        Effect::Rounding => match Tolerance::rounding(before.dtype()) {
            Tolerance::MaxRel(r) => Tolerance::MaxRel(r.max(noise)),
            exact => exact,
        },
        Effect::Lossy => Tolerance::MaxRel(f64::INFINITY),
    };
    let found = compare(after, before, tolerance);
    if let Some(problem) = found.problem {
        return Err(problem);
    }
    if found.passed || effect == Effect::Lossy {
        return Ok(());
    }
    let first = found.first_mismatch.map(|m| format!("; the first {m}")).unwrap_or_default();
    Err(format!(
        "{} of {} elements are not within {tolerance}, the error is {:.3e} of the largest value{first}",
        found.mismatches, found.elements, found.max_rel
    ))
}

/// How far `after` is from `before`; infinite where types or sizes differ.
fn output_error(name: &str, before: &Tensor, after: &Tensor) -> OutputError {
    let found = compare(after, before, Tolerance::Exact);
    match found.problem {
        Some(_) => OutputError { name: name.into(), sqnr_db: None, max_abs: f64::INFINITY, max_rel: f64::INFINITY },
        // Equal values have no noise: the ratio has no number then.
        None => OutputError { name: name.into(), sqnr_db: found.sqnr_db.filter(|v| v.is_finite()), max_abs: found.max_abs, max_rel: found.max_rel },
    }
}

/// The errors of all outputs over all batches: the worst of each.
pub fn errors(names: &[String], before: &[Vec<Datum>], after: &[Vec<Datum>]) -> ErrorStats {
    let mut stats = ErrorStats::default();
    for (x, y) in before.iter().zip(after) {
        for ((name, a), b) in names.iter().zip(x).zip(y) {
            let (Datum::Tensor(a), Datum::Tensor(b)) = (a, b) else { continue };
            let e = output_error(name, a, b);
            match stats.outputs.iter_mut().find(|o| o.name == *name) {
                None => stats.outputs.push(e),
                Some(o) => {
                    o.max_abs = o.max_abs.max(e.max_abs);
                    o.max_rel = o.max_rel.max(e.max_rel);
                    o.sqnr_db = match (o.sqnr_db, e.sqnr_db) {
                        (Some(p), Some(q)) => Some(p.min(q)),
                        (p, q) => p.or(q),
                    };
                }
            }
        }
    }
    stats.sqnr_db = stats.outputs.iter().filter_map(|o| o.sqnr_db).reduce(f64::min);
    stats.max_abs = stats.outputs.iter().map(|o| o.max_abs).fold(0.0, f64::max);
    stats.max_rel = stats.outputs.iter().map(|o| o.max_rel).fold(0.0, f64::max);
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_means_bits_but_for_nan_payloads() {
        let t = |v: &[f32]| Datum::from(Tensor::from_slice(&[v.len()], v));
        assert!(check(Effect::Exact, 0.0, &t(&[0.0]), &t(&[-0.0])).is_err());
        assert!(check(Effect::Rounding, 0.0, &t(&[0.0, 1.0]), &t(&[-0.0, 1.0])).is_ok());
        assert!(check(Effect::Exact, 0.0, &t(&[f32::NAN]), &t(&[f32::from_bits(0x7fc0_0001)])).is_ok());
        assert!(check(Effect::Rounding, 0.0, &t(&[1.0, 100.0]), &t(&[1.0005, 100.0])).is_ok());
        assert!(check(Effect::Rounding, 0.0, &t(&[1.0]), &t(&[1.0005])).is_err());
        assert!(check(Effect::Rounding, 1e-3, &t(&[1.0]), &t(&[1.0005])).is_ok());
        assert!(check(Effect::Rounding, 0.0, &t(&[1.0, f32::INFINITY]), &t(&[1.0, 1.0])).is_err());
    }
}
