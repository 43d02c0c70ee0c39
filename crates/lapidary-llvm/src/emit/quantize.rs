//! Numbers to codes of 8 bits. Quotients by a scale cost two products: `x · r + x · l`, where `r` is the reciprocal of the scale and `l` what is
//! missing of it, is off by less than 2⁻⁴⁶ before it is rounded, once. That gives another code than the quotient only where `x` lies so close to
//! the scale times a number in the middle between a float that rounds up and one that rounds down; there are few such numbers, and a scale is
//! tried with all of them.

use super::ir::{FloatCmp as F, Ir, V};
use lapidary_ir::{DType, Tensor};
use std::ops::RangeInclusive;

/// Numbers whose reciprocals, and products with sums of products, are normal numbers of f32.
const ORDINARY: RangeInclusive<f64> = 1e-20..=1e20;
/// Steps from the zero point to a code, and a quarter.
const MOST_STEPS: i32 = 256;
/// Further from the middle than this, as a part of the number, `x` is divided as it should.
const TOO_CLOSE: f64 = 1.0 / (1u64 << 45) as f64;

/// Codes of 8 bits: `round(x / scale) + zero`, between the least and the most. The scale is one that [`is_scale`] knows, or there is none; and rounding is the addition of a number that leaves no bits for fractions.
pub struct Quantization {
    /// A vector.
    pub x: V,
    pub scale: Option<V>,
    pub zero: Option<V>,
    /// Codes are signed.
    pub signed: bool,
}

/// 1.5 · 2²³, whose low bits are 0.
const NO_FRACTIONS: f64 = 12_582_912.0;

impl Quantization {
    /// The codes.
    pub fn code(&self, ir: &Ir) -> V {
        if !self.signed && ir.fills_v4(self.x) {
            return self.saturated(ir);
        }
        let bits = ir.bitcast(self.shifted(ir), ir.vec(ir.int(32), ir.lanes(self.x)));
        let code = ir.trunc(bits, ir.int(8));
        self.zero.map_or(code, |z| ir.add(code, z))
    }
    /// The codes, of which the conversions to integers and to bytes find those beyond the most: what has no i32 becomes the largest unsigned number.
    fn saturated(&self, ir: &Ir) -> V {
        let least = self.bound(ir, -0.25);
        let x = ir.select(ir.fcmp(F::LLVMRealOGT, self.x, least), self.x, least);
        let number = ir.vec(ir.int(32), 16);
        let steps = ir.masked_v4("llvm.x86.avx512.mask.cvtps2dq.512", &[self.quotient(ir, x), ir.zero(number)]);
        let code = self.zero.map_or(steps, |z| ir.add(steps, ir.splat(ir.zext(z, ir.int(32)), 16)));
        ir.trunc(ir.intrinsic("llvm.umin", &[number], &[code, ir.cint(number, 255)]), ir.int(8))
    }
    /// The codes less the zero point, as f32.
    pub fn steps(&self, ir: &Ir) -> V {
        let x = self.within(ir);
        ir.intrinsic("llvm.roundeven", &[ir.ty(x)], &[x])
    }
    fn shifted(&self, ir: &Ir) -> V {
        let x = self.within(ir);
        ir.fadd(x, ir.cfloat(ir.ty(x), NO_FRACTIONS))
    }
    /// The quotients, of what lies between the bounds.
    fn within(&self, ir: &Ir) -> V {
        let (low, high) = if self.signed { (-128.0, 127.0) } else { (0.0, 255.0) };
        let (least, most) = (self.bound(ir, low - 0.25), self.bound(ir, high + 0.25));
        // NaN is the code 0.
        let x = if self.signed { ir.select(ir.fcmp(F::LLVMRealORD, self.x, self.x), self.x, self.bound(ir, 0.0)) } else { self.x };
        let x = ir.select(ir.fcmp(F::LLVMRealOGT, x, least), x, least);
        // `most` is positive and `x` is no NaN, so that their bits compare as integers do: any vector unit can do that, while few compare floats, and
        // these convert and round them, too.
        let bits = ir.vec(ir.int(32), ir.lanes(x));
        let x = ir.intrinsic("llvm.smin", &[bits], &[ir.bitcast(x, bits), ir.bitcast(most, bits)]);
        self.quotient(ir, ir.bitcast(x, ir.vec(ir.f32(), ir.lanes(x))))
    }
    /// What has this code. A quarter beyond the last code still rounds to it, and the division's own rounding does not reach the next.
    fn bound(&self, ir: &Ir, code: f64) -> V {
        let code = ir.cfloat(ir.f32(), code);
        let zero = self.zero.map(|z| if self.signed { ir.si_to_fp(z, ir.f32()) } else { ir.ui_to_fp(z, ir.f32()) });
        let steps = zero.map_or(code, |z| ir.fsub(code, z));
        ir.splat(self.scale.map_or(steps, |s| ir.fmul(steps, s)), ir.lanes(self.x))
    }
    /// `x / scale`, rounded to nearest, or a number that has the same code: see [`is_scale`].
    fn quotient(&self, ir: &Ir, x: V) -> V {
        let Some(scale) = self.scale else { return x };
        let one = ir.cfloat(ir.f32(), 1.0);
        let reciprocal = ir.fdiv(one, scale);
        let left = ir.fmul(ir.fma(ir.fneg(reciprocal), scale, one), reciprocal);
        let [reciprocal, left] = [reciprocal, left].map(|v| ir.splat(v, ir.lanes(x)));
        ir.fma(x, reciprocal, ir.fmul(x, left))
    }
}

/// Whether a constant is a scale for which [`Quantization`] gives the codes that quotients have.
pub fn is_scale(t: &Tensor) -> bool {
    let one = t.dtype() == DType::F32 && t.len() == 1;
    one && t.to_f64().is_some_and(|v| ORDINARY.contains(&v[0]) && divides_surely(v[0] as f32))
}

/// Whether no f32 lies too close to `scale` times one of the middles where codes change: half a unit in the last place beside `k + 1/2`.
fn divides_surely(scale: f32) -> bool {
    (0..=MOST_STEPS).all(|k| {
        let tie = k as f32 + 0.5;
        [tie.next_down(), tie.next_up()].into_iter().all(|beside| {
            // Exact in f64: 25 and 24 bits.
            let middle = (f64::from(tie) + f64::from(beside)) / 2.0 * f64::from(scale);
            let x = f64::from(middle as f32);
            (x - middle).abs() > TOO_CLOSE * middle
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`Quantization::quotient`] emits.
    fn emitted(x: f32, scale: f32) -> f32 {
        let reciprocal = 1.0 / scale;
        let left = (-reciprocal).mul_add(scale, 1.0) * reciprocal;
        x.mul_add(reciprocal, x * left)
    }

    #[test]
    fn numbers_around_all_middles_have_the_codes_of_their_quotients() {
        let mut state = 1u64;
        let (mut scales, mut sure) = (0, 0);
        while scales < 2000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let scale = f32::from_bits((0x3580_0000 + (state >> 33) % 0x0d00_0000) as u32);
            scales += 1;
            if !divides_surely(scale) {
                continue;
            }
            sure += 1;
            for k in -MOST_STEPS..=MOST_STEPS {
                let mut x = ((f64::from(k) + 0.5) * f64::from(scale)) as f32;
                (0..4).for_each(|_| x = x.next_down());
                for _ in 0..9 {
                    assert_eq!((x / scale).round_ties_even(), emitted(x, scale).round_ties_even(), "{x:e} / {scale:e}");
                    x = x.next_up();
                }
            }
        }
        assert!(sure > scales - 20, "{sure} of {scales}");
    }
}
