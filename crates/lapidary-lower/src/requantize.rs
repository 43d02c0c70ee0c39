//! What follows sums of codes, in fewer steps.
//!
//! Codes of 8 bits that are made of one or two codes alone, as where a quantized residual is added: `round((a·s + b·t) / u) + z`. There are 65536
//! pairs at most, so all of them are tried: with the right factors `round(a·c + b·d) + z` is the same code for each, and costs no division. Such
//! factors lie within some units in the last place of `s / u` and `t / u`; where none do, the division stays.
//!
//! A sum of codes is scaled and gets its bias in one step, rounded once.

use crate::integers::whole;
use crate::rewrite::{AxisMap, Copier, copy_stmt, shell};
use lapidary_ir::{DType, Dims, Tensor};
use lapidary_kernel::{BinaryOp, Buffer, BufferId, BufferKind, ExprId, ExprKind, Kernel, Program, UnaryOp};
use std::ops::RangeInclusive;

/// How far from the quotient of the scales factors are looked for, in units in the last place.
const REACH: i32 = 4;
/// What factors that far off change a number by at most, as a part of what is added up: their units, and three roundings.
const OFF: f64 = 1.0 / (1 << 19) as f64;

/// Rewrites every such code and every such sum of every kernel.
pub fn rewrite(p: &mut Program) {
    for i in 0..p.kernels.len() {
        // What blocks of weights sum up to is scaled and added up in a form of its own.
        if p.kernels[i].blocked().is_none() {
            add_biases(&mut p.kernels[i]);
        }
        let k = &p.kernels[i];
        let live = k.live_exprs().into_iter().enumerate().filter(|(_, live)| *live).map(|(e, _)| ExprId(e as u32));
        let found = live.filter_map(|e| {
            let r = Requantized::of(p, k, e)?;
            let factors = r.factors()?;
            Some((e, r, factors))
        });
        let found: Vec<_> = found.collect();
        if !found.is_empty() {
            let k = k.clone();
            p.kernels[i] = rebuilt(p, &k, found);
        }
    }
}

/// `f32(sum) · scale + bias` becomes one operation, where nothing else wants the product.
fn add_biases(k: &mut Kernel) {
    for e in 0..k.exprs.len() {
        let ExprKind::Binary(BinaryOp::Add, x, y) = k.exprs[e].kind else { continue };
        let scaled = |v: ExprId| match k.expr(v).kind {
            ExprKind::Binary(BinaryOp::Mul, a, b) if k.expr(v).dtype == DType::F32 && k.uses(v) == 1 => {
                [(a, b), (b, a)].into_iter().find(|(a, _)| matches!(k.expr(*a).kind, ExprKind::Cast(sum) if is_sum(k, sum)))
            }
            _ => None,
        };
        let found = [(x, y), (y, x)].into_iter().find_map(|(v, bias)| scaled(v).map(|(sum, scale)| (sum, scale, bias)));
        if let Some((sum, scale, bias)) = found {
            k.exprs[e].kind = ExprKind::Fma(sum, scale, bias);
        }
    }
}

/// A sum in i32, less what belongs to zero points.
fn is_sum(k: &Kernel, e: ExprId) -> bool {
    match k.expr(e).kind {
        ExprKind::Local(l) => k.local(l).dtype == DType::I32,
        ExprKind::Binary(BinaryOp::Add | BinaryOp::Sub, a, _) => is_sum(k, a),
        _ => false,
    }
}

/// `cast(round((Σ steps · scale) / by) + zero)`.
struct Requantized {
    terms: Vec<Term>,
    by: (BufferId, f32),
    zero: Option<ExprId>,
    /// What rounding gives, where that has a code; beyond, it is the first or last of them.
    codes: RangeInclusive<i64>,
}

/// Steps of one code, a whole number within bounds, and the scale.
struct Term {
    steps: ExprId,
    range: RangeInclusive<i64>,
    scale: f32,
}

impl Requantized {
    fn of(p: &Program, k: &Kernel, e: ExprId) -> Option<Requantized> {
        let (low, high) = eight_bits(k.expr(e).dtype)?;
        let ExprKind::Cast(v) = k.expr(e).kind else { return None };
        if k.expr(v).dtype != DType::F32 {
            return None;
        }
        let (rounded, zero) = match k.expr(v).kind {
            ExprKind::Binary(BinaryOp::Add, v, z) => (v, Some(z)),
            _ => (v, None),
        };
        let zero_point = zero.map_or(Some(0), |z| whole(p, k, z))?;
        let ExprKind::Unary(UnaryOp::Round, quotient) = k.expr(rounded).kind else { return None };
        let ExprKind::Binary(BinaryOp::Div, sum, by) = k.expr(quotient).kind else { return None };
        let terms = match k.expr(sum).kind {
            ExprKind::Binary(BinaryOp::Add, a, b) => vec![Term::of(p, k, a)?, Term::of(p, k, b)?],
            _ => vec![Term::of(p, k, sum)?],
        };
        let by = number(p, k, by).filter(|(_, by)| by.is_normal() && *by > 0.0)?;
        Some(Requantized { terms, by, zero, codes: low - zero_point..=high - zero_point })
    }
    /// Factors with which no quotient is needed.
    fn factors(&self) -> Option<Vec<f32>> {
        let by = self.by.1;
        let scale = |i: usize| self.terms.get(i).map_or(0.0, |t| t.scale);
        let range = |i: usize| self.terms.get(i).map_or(0..=0, |t| t.range.clone());
        let (s, t) = (scale(0), scale(1));
        let (c, d) = (s / by, t / by);
        if !c.is_normal() || self.terms.len() > 1 && !d.is_normal() {
            return None;
        }
        let code = |v: f32| (v.round_ties_even() as i64).clamp(*self.codes.start(), *self.codes.end());
        // Numbers so close to the middle between two codes that the factors decide.
        let mut close = vec![];
        for a in range(0) {
            for b in range(1) {
                let (a, b) = (a as f32, b as f32);
                let v = (a * s + b * t) / by;
                let margin = f64::from((a * c).abs() + (b * d).abs()) * OFF;
                let from_middle = (f64::from(v) - f64::from(v).floor() - 0.5).abs();
                if from_middle <= margin {
                    close.push((a, b, code(v)));
                }
            }
        }
        let moved = |v: f32, by: i32| f32::from_bits(v.to_bits().wrapping_add_signed(by));
        let second = if self.terms.len() > 1 { REACH } else { 0 };
        let mut tries: Vec<(i32, i32)> = (-REACH..=REACH).flat_map(|i| (-second..=second).map(move |j| (i, j))).collect();
        tries.sort_by_key(|(i, j)| i.abs() + j.abs());
        let (c, d) = tries
            .into_iter()
            .map(|(i, j)| (moved(c, i), moved(d, j)))
            .find(|(c, d)| close.iter().all(|(a, b, x)| code(a.mul_add(*c, b * d)) == *x))?;
        Some([c, d][..self.terms.len()].to_vec())
    }
}

impl Term {
    fn of(p: &Program, k: &Kernel, e: ExprId) -> Option<Term> {
        let ExprKind::Binary(BinaryOp::Mul, a, b) = k.expr(e).kind else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(steps, scale)| {
            let scale = number(p, k, scale)?.1;
            let range = range(p, k, steps)?;
            scale.is_normal().then_some(Term { steps, range, scale })
        })
    }
}

/// The bounds of a code, or of what is left of it without its zero point, as f32.
fn range(p: &Program, k: &Kernel, e: ExprId) -> Option<RangeInclusive<i64>> {
    let ExprKind::Cast(v) = k.expr(e).kind else { return None };
    if k.expr(e).dtype != DType::F32 {
        return None;
    }
    let (code, zero) = match k.expr(v).kind {
        ExprKind::Binary(BinaryOp::Sub, c, z) if k.expr(v).dtype == DType::I32 => (c, whole(p, k, z)?),
        _ => (v, 0),
    };
    let code = match k.expr(code).kind {
        ExprKind::Cast(c) if k.expr(code).dtype == DType::I32 => c,
        _ => code,
    };
    let (low, high) = eight_bits(k.expr(code).dtype)?;
    Some(low - zero..=high - zero)
}

fn eight_bits(dtype: DType) -> Option<(i64, i64)> {
    let (low, high) = dtype.int_range().filter(|_| matches!(dtype, DType::U8 | DType::I8))?;
    Some((low as i64, high as i64))
}

/// The only element of a constant.
fn number(p: &Program, k: &Kernel, e: ExprId) -> Option<(BufferId, f32)> {
    let ExprKind::Load { buffer, guard, .. } = &k.expr(e).kind else { return None };
    let t = p.buffer(*buffer).constant().filter(|t| guard.is_empty() && t.len() == 1 && t.dtype() == DType::F32)?;
    Some((*buffer, *t.to_f64()?.first()? as f32))
}

/// The kernel with these codes made of products by their factors, which stay in memory: so layers that differ in nothing else share their code.
fn rebuilt(p: &mut Program, k: &Kernel, found: Vec<(ExprId, Requantized, Vec<f32>)>) -> Kernel {
    let map = AxisMap::same(k);
    let mut n = shell(k, &map);
    let mut copier = Copier::new(k, map.index.clone(), 0);
    for (e, r, factors) in found {
        let mut sum = None;
        for (at, (term, factor)) in r.terms.iter().zip(factors).enumerate().rev() {
            let name = format!("{}.factor{at}", p.buffer(r.by.0).name);
            let kind = BufferKind::Const(Tensor::from_slice(&[], &[factor]).into());
            let buffer = p.add_buffer(Buffer { name: name.into(), dtype: DType::F32, dims: Dims::new(), kind });
            let steps = copier.expr(&mut n, term.steps, &mut |k, l| l.keep(k));
            let factor = n.load(buffer, DType::F32, []);
            sum = Some(match sum {
                Some(s) => n.fma(steps, factor, s),
                None => n.mul(steps, factor),
            });
        }
        let Some(sum) = sum else { continue };
        let mut v = n.unary(UnaryOp::Round, sum);
        if let Some(z) = r.zero {
            let z = copier.expr(&mut n, z, &mut |k, l| l.keep(k));
            v = n.add(v, z);
        }
        let code = n.cast(k.expr(e).dtype, v);
        copier.replace(e, code);
    }
    for s in &k.body {
        copy_stmt(&mut n, &mut copier, s, &map, &mut |k, l| l.keep(k));
    }
    n.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requantized(scales: [f32; 2], by: f32, zeros: [i64; 3]) -> Requantized {
        let term = |i: usize| Term { steps: ExprId(0), range: -zeros[i]..=255 - zeros[i], scale: scales[i] };
        Requantized { terms: vec![term(0), term(1)], by: (BufferId(0), by), zero: None, codes: -zeros[2]..=255 - zeros[2] }
    }

    proptest! {
        #[test]
        fn factors_that_are_found_give_every_code(s in 1e-3f32..1.0, t in 1e-3f32..1.0, u in 1e-3f32..1.0, z in 0i64..256, y in 0i64..256, w in 0i64..256) {
            let r = requantized([s, t], u, [z, y, w]);
            let Some(factors) = r.factors() else { return Ok(()) };
            for a in r.terms[0].range.clone() {
                for b in r.terms[1].range.clone() {
                    let (a, b) = (a as f32, b as f32);
                    let code = |v: f32| v.round_ties_even().clamp(-w as f32, (255 - w) as f32);
                    prop_assert_eq!(code((a * s + b * t) / u), code(a.mul_add(factors[0], b * factors[1])));
                }
            }
        }
    }

    #[test]
    fn usual_scales_have_factors() {
        // Roots, as no small whole numbers are in their ratios.
        let scale = |i: i32, of: f32| (i as f32 + of).sqrt() * 0.01;
        let all = (1..=100).map(|i| requantized([scale(i, 0.3), scale(7, 0.1)], scale(i, 3.7), [120, 0, 3]));
        let found = all.filter(|r| r.factors().is_some()).count();
        assert!(found >= 95, "{found} of 100");
    }

    /// Sums of halves lie in the middle between two codes; the division's rounding errors decide there, or there are none.
    #[test]
    fn halves() {
        let r = requantized([0.25, 0.25], 0.5, [0, 0, 0]);
        assert_eq!(r.factors(), Some(vec![0.5, 0.5]));
    }
}
