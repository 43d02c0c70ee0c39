//! Elementary functions.
//!
//! For f32 they are polynomials, emitted in place, for any number of lanes. Their errors, over all f32 (tests/math.rs measures them), in
//! units in the last place of the correct result:
//!
//! | exp | log | tanh | sigmoid | erf | sin, cos | tan | pow |
//! |---|---|---|---|---|---|---|---|
//! | 1.1 | 1.0 | 2.5 | 2.5 | 2.3 | 1.6 | 3.5 | 0.6 |
//!
//! NaN gives NaN, infinities and overflow give what C's functions give, denormals are kept. The other functions, and all of f64, call
//! libm for each lane. Coefficients are minimax fits on the stated intervals, made with Lawson's iteration and rounded to f32.

use super::ir::{FloatCmp as F, IntCmp as I, Ir, T, V};
use super::machine;
use lapidary_kernel::UnaryOp;

/// The function of an f32 or f64, for any number of lanes.
pub fn function(ir: &Ir, op: UnaryOp, x: V) -> V {
    use UnaryOp::*;
    let single = ir.element(ir.ty(x)) == ir.f32();
    let name = match op {
        Exp if single => return exp(ir, x),
        Log if single => return log(ir, x),
        Tanh if single => return tanh(ir, x),
        Erf if single => return erf(ir, x),
        Sin | Cos | Tan if single => return trigonometric(ir, op, x),
        Exp => "exp",
        Log => "log",
        Sin => "sin",
        Cos => "cos",
        Tan => "tan",
        Asin => "asin",
        Acos => "acos",
        Atan => "atan",
        Sinh => "sinh",
        Cosh => "cosh",
        Tanh => "tanh",
        Asinh => "asinh",
        Acosh => "acosh",
        Atanh => "atanh",
        Erf => "erf",
        _ => return sigmoid(ir, x),
    };
    by_lane(ir, name, &[x])
}

/// C's `fmod`.
pub fn remainder(ir: &Ir, a: V, b: V) -> V {
    by_lane(ir, "fmod", &[a, b])
}

/// C's `pow`.
pub fn power(ir: &Ir, a: V, b: V) -> V {
    match ir.element(ir.ty(a)) == ir.f32() {
        true => outlined(ir, "pow", &[a, b], |args| pow(ir, args[0], args[1])),
        false => by_lane(ir, "pow", &[a, b]),
    }
}

/// Emits the code once per module and version, as a function.
fn outlined(ir: &Ir, name: &str, args: &[V], code: impl FnOnce(&[V]) -> V) -> V {
    let t = ir.ty(args[0]);
    let width = if ir.element(t) == ir.f64() { "d" } else { "f" };
    let version = ir.cpu.get().map_or("base", machine::short_name);
    let ft = ir.function_type(t, &vec![t; args.len()]);
    let f = ir.function(&format!("lap_{name}_{width}{}_{version}", ir.lanes_of(t)), ft);
    if !ir.is_defined(f) {
        ir.set_internal(f);
        machine::set_cpu(ir, f, ir.cpu.get(), ir.sanitize.get());
        ir.attribute(f, "noinline", None);
        let place = ir.place();
        ir.at_end(ir.block(f));
        let args: Vec<V> = (0..args.len() as u32).map(|i| ir.arg(f, i)).collect();
        ir.ret(Some(code(&args)));
        ir.return_to(place);
    }
    ir.call(ft, f, args)
}

/// Calls the function of libm once per lane.
fn by_lane(ir: &Ir, name: &str, args: &[V]) -> V {
    let t = ir.ty(args[0]);
    let (element, lanes) = (ir.element(t), ir.lanes_of(t));
    let c_name = if element == ir.f64() { name.to_string() } else { format!("{name}f") };
    let ft = ir.function_type(element, &vec![element; args.len()]);
    let f = ir.function(&c_name, ft);
    ir.set_exported(f);
    if lanes == 1 {
        return ir.call(ft, f, args);
    }
    outlined(ir, &format!("each_{name}"), args, |args| {
        (0..lanes).fold(ir.poison(t), |out, i| {
            let each: Vec<V> = args.iter().map(|a| ir.extract(*a, i)).collect();
            ir.insert(out, ir.call(ft, f, &each), i)
        })
    })
}

fn c(ir: &Ir, t: T, v: f64) -> V {
    ir.cfloat(t, v)
}

/// `Σ coefficients[i] · x^i`
fn polynomial(ir: &Ir, x: V, coefficients: &[f64]) -> V {
    let t = ir.ty(x);
    let mut rest = coefficients.iter().rev().map(|v| c(ir, t, *v));
    let first = rest.next().unwrap_or(ir.zero(t));
    rest.fold(first, |sum, v| ir.fma(sum, x, v))
}

fn abs(ir: &Ir, x: V) -> V {
    ir.intrinsic("llvm.fabs", &[ir.ty(x)], &[x])
}
fn copysign(ir: &Ir, x: V, sign: V) -> V {
    ir.intrinsic("llvm.copysign", &[ir.ty(x)], &[x, sign])
}
/// `min(x, limit)`, NaN stays.
fn at_most(ir: &Ir, x: V, limit: f64) -> V {
    let l = c(ir, ir.ty(x), limit);
    ir.select(ir.fcmp(F::LLVMRealOGT, x, l), l, x)
}
/// `max(x, limit)`, NaN stays.
fn at_least(ir: &Ir, x: V, limit: f64) -> V {
    let l = c(ir, ir.ty(x), limit);
    ir.select(ir.fcmp(F::LLVMRealOLT, x, l), l, x)
}

/// 1.5 · 2²³: adding it to an f32 rounds to an integer, which then is in the low bits.
const ROUNDER: f64 = 12582912.0;
/// ln 2 as a sum of two f32.
const LN2: (f64, f64) = (0.6931471824645996, -1.9046542121259336e-9);

/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`: n, as a float and as i32, and r.
fn reduce_exp(ir: &Ir, x: V) -> (V, V, V) {
    let t = ir.ty(x);
    let shifted = ir.fma(x, c(ir, t, std::f64::consts::LOG2_E), c(ir, t, ROUNDER));
    let n = ir.fsub(shifted, c(ir, t, ROUNDER));
    let r = ir.fma(n, c(ir, t, -LN2.0), x);
    let r = ir.fma(n, c(ir, t, -LN2.1), r);
    let bits = ir.bits_as(shifted, ir.int(32));
    let zero = ir.bits_as(c(ir, t, ROUNDER), ir.int(32));
    (n, ir.sub(bits, zero), r)
}

/// 2ⁿ for an i32 n in the range of normal exponents.
fn power_of_two(ir: &Ir, n: V) -> V {
    let t = ir.ty(n);
    ir.bits_as(ir.shl(ir.add(n, ir.cint(t, 127)), ir.cint(t, 23)), ir.f32())
}

/// Below this the exponential is 0.
const LEAST_EXPONENT: f64 = -105.0;

fn exp(ir: &Ir, x: V) -> V {
    // Beyond the greatest the result is infinite.
    exp_within(ir, at_least(ir, at_most(ir, x, 89.0), LEAST_EXPONENT))
}

/// The exponential of what lies between the least exponent and 89.
fn exp_within(ir: &Ir, x: V) -> V {
    if ir.fills_v4(x) {
        return exp_by_table(ir, x, false);
    }
    let (_, bits, r) = reduce_exp(ir, x);
    // 1, 1, and (eʳ - 1 - r) / r²
    let p = polynomial(ir, r, &[1.0, 1.0, 0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.0083687175065279, 0.0013814596459269524]);
    // In two steps, since 2ⁿ alone may be denormal or too large.
    let half = ir.ashr(bits, ir.cint(ir.ty(bits), 1));
    ir.fmul(ir.fmul(p, power_of_two(ir, half)), power_of_two(ir, ir.sub(bits, half)))
}

/// `2^(q/16) · eʳ` with `±x = q/16 ln 2 + r`: each lane picks the power of its sixteenth, which leaves so little that few terms are enough.
/// Where x is `negated`, `-r` is computed, so that nothing needs another sign but factors.
fn exp_by_table(ir: &Ir, x: V, negated: bool) -> V {
    let t = ir.ty(x);
    let sign = if negated { -1.0 } else { 1.0 };
    // Adding it to an f32 rounds to sixteenths, whose number then is in the low bits.
    let rounder = c(ir, t, ROUNDER / 16.0);
    let shifted = ir.fma(x, c(ir, t, sign * std::f64::consts::LOG2_E), rounder);
    let n = ir.fsub(shifted, rounder);
    let r = ir.fma(n, c(ir, t, -sign * LN2.0), x);
    let r = ir.fma(n, c(ir, t, -sign * LN2.1), r);
    let sixteenth = ir.bits_as(shifted, ir.int(32));
    let [power, rest] = SIXTEENTHS.map(|row| ir.look_up(&row, sixteenth));
    // (eʳ - 1) / r
    let p = polynomial(ir, r, &[1.0, sign * 0.5000162124633789, 0.16667045652866364]);
    let first = ir.fmul(power, r);
    let first = if negated { ir.fneg(first) } else { first };
    scaled(ir, ir.fadd(ir.fma(first, p, rest), power), n)
}

/// 2^(q/16) as a sum of two f32, of which the second is what rounding the first would add to the error.
#[rustfmt::skip]
const SIXTEENTHS: [[f64; 16]; 2] = [
    [1.0, 1.0442737340927124, 1.0905077457427979, 1.1387885808944702, 1.1892070770263672, 1.2418577671051025, 1.2968395948410034, 1.3542555570602417, 1.4142135381698608, 1.4768261909484863, 1.5422108173370361, 1.610490322113037, 1.6817928552627563, 1.7562521696090698, 1.8340080976486206, 1.9152065515518188],
    [0.0, 4.83347016e-08, -1.30775399e-08, 5.38622231e-08, 3.79763527e-08, 4.4968381e-08, -4.01899953e-08, -1.01233493e-08, 2.4203235e-08, -4.50089885e-08, 8.07090483e-09, 9.83621717e-09, -2.47553267e-08, -9.23577037e-09, -1.1239278e-08, 9.84532811e-09],
];

/// `x · 2^⌊n⌋`, which may be denormal or infinite.
fn scaled(ir: &Ir, x: V, n: V) -> V {
    ir.masked_v4("llvm.x86.avx512.mask.scalef.ps.512", &[x, n, x])
}

/// `e / (1 + e)` with `e = exp(x)`, which keeps its precision towards both ends; from 88 on, where e is not infinite yet, it is 1.
fn sigmoid(ir: &Ir, x: V) -> V {
    let t = ir.ty(x);
    let one = c(ir, t, 1.0);
    let e = match ir.element(t) == ir.f32() {
        true => exp_within(ir, at_least(ir, at_most(ir, x, 88.0), LEAST_EXPONENT)),
        false => function(ir, UnaryOp::Exp, at_most(ir, x, 88.0)),
    };
    ir.fdiv(e, ir.fadd(one, e))
}

/// `v · sigmoid(x)` of f32, as `v / (1 + exp(-x))`, with an error of 2.5 units: 0 where the exponential is infinite, below -88.7. `same`: v is x.
pub fn gated(ir: &Ir, v: V, x: V, same: bool) -> V {
    let t = ir.ty(x);
    let e = match (ir.fills_v4(x), same) {
        (true, true) => {
            // One instruction instead of two; that it loses NaN makes no difference, since v keeps it.
            const LEAST_MAGNITUDE_WITH_SIGN_OF_FIRST: i64 = 2;
            let imm = ir.cint(ir.int(32), LEAST_MAGNITUDE_WITH_SIGN_OF_FIRST);
            let x = ir.masked_v4("llvm.x86.avx512.mask.range.ps.512", &[x, c(ir, t, -LEAST_EXPONENT), imm, x]);
            exp_by_table(ir, x, true)
        }
        (true, false) => exp_by_table(ir, at_least(ir, at_most(ir, x, -LEAST_EXPONENT), LEAST_EXPONENT), true),
        (false, _) => exp(ir, ir.fneg(x)),
    };
    ir.fdiv(v, ir.fadd(c(ir, t, 1.0), e))
}

/// `e / (e + 2)` with `e = exp(2|x|) - 1`, which keeps its precision near 0.
fn tanh(ir: &Ir, x: V) -> V {
    let t = ir.ty(x);
    let a = at_most(ir, abs(ir, x), 10.0);
    let (_, n, r) = reduce_exp(ir, ir.fadd(a, a));
    let q = polynomial(ir, r, &[0.5, 0.1666666567325592, 0.041666362434625626, 0.008333389647305012, 0.0013940627686679363, 0.00019845877250190824]);
    let e = ir.fma(ir.fmul(r, r), q, r);
    let scale = power_of_two(ir, n);
    let e = ir.fma(scale, e, ir.fsub(scale, c(ir, t, 1.0)));
    copysign(ir, ir.fdiv(e, ir.fadd(e, c(ir, t, 2.0))), x)
}

/// Below 1 a polynomial; above, 1 - exp(polynomial). Where a lane can look its polynomial up, one of sixteen.
fn erf(ir: &Ir, x: V) -> V {
    let t = ir.ty(x);
    let a = abs(ir, x);
    if ir.fills_v4(x) {
        return copysign(ir, erf_by_table(ir, a), x);
    }
    // erf(√s) / √s - 1 on 0..1
    let near = polynomial(
        ir,
        ir.fmul(x, x),
        &[
            0.12837916612625122,
            -0.3761262595653534,
            0.1128358542919159,
            -0.026853810995817184,
            0.00518832728266716,
            -0.000801019137725234,
            7.853854185668752e-5,
        ],
    );
    let near = ir.fma(x, near, x);
    // -ln(erfc(t)) on 1..4
    let far = polynomial(
        ir,
        at_most(ir, a, 4.0),
        &[
            -0.00018847041064873338,
            1.1295803785324097,
            0.633216381072998,
            0.10842212289571762,
            -0.02521035633981228,
            0.004205291159451008,
            -0.0004414739378262311,
            2.1697720512747765e-5,
        ],
    );
    let far = ir.fsub(c(ir, t, 1.0), exp(ir, ir.fneg(far)));
    ir.select(ir.fcmp(F::LLVMRealOLT, a, c(ir, t, 1.0)), near, copysign(ir, far, x))
}

/// erf of a number that is not negative: a polynomial around the nearest quarter, whose coefficients each lane picks.
fn erf_by_table(ir: &Ir, a: V) -> V {
    let t = ir.ty(a);
    // Adding it to an f32 rounds to quarters, whose number then is in the low bits.
    let rounder = c(ir, t, ROUNDER / 4.0);
    let shifted = ir.fadd(a, rounder);
    let quarter = ir.bits_as(shifted, ir.int(32));
    let d = ir.fsub(a, ir.fsub(shifted, rounder));
    let coefficients = ERF.iter().rev().map(|row| ir.look_up(row, quarter));
    let near = coefficients.reduce(|sum, v| ir.fma(sum, d, v)).unwrap_or(d);
    ir.select(ir.fcmp(F::LLVMRealOGE, a, c(ir, t, 3.875)), c(ir, t, 1.0), near)
}

/// `erf(q/4 + d) = Σ ERF[i][q] · dⁱ` for |d| <= 1/8, within 6e-9 before rounding; around 0 odd powers alone keep it precise.
#[rustfmt::skip]
const ERF: [[f64; 16]; 6] = [
    [0.0, 0.276326388, 0.520499885, 0.711155653, 0.842700779, 0.92290014, 0.966105163, 0.986671686, 0.995322287, 0.998537302, 0.999593019, 0.999899387, 0.999977887, 0.999995708, 0.999999285, 0.999999881],
    [1.12837911, 1.06001413, 0.87878257, 0.642931104, 0.415107518, 0.236521125, 0.118930288, 0.0527749918, 0.020666983, 0.00714231841, 0.00217828457, 0.000586277689, 0.00013925333, 2.91891483e-05, 5.39946859e-06, 8.81443952e-07],
    [0.0, -0.264997989, -0.43938446, -0.482194632, -0.415108114, -0.295654297, -0.178398073, -0.092357479, -0.0413340367, -0.016069822, -0.00544532714, -0.00161203451, -0.000417657342, -9.48278685e-05, -1.88872036e-05, -3.30268699e-06],
    [-0.376122713, -0.309166133, -0.146465316, 0.0267834868, 0.138364851, 0.167534739, 0.138753369, 0.0901590362, 0.0482239127, 0.0217247512, 0.00834993459, 0.00276020193, 0.000788987265, 0.000195760193, 4.22785051e-05, 7.96484801e-06],
    [0.0, 0.126035184, 0.181911215, 0.150058314, 0.069289878, -0.00566264661, -0.0441469327, -0.0478918664, -0.0344337784, -0.0191510152, -0.00868785195, -0.00329699507, -0.00106175325, -0.000292780693, -6.95545968e-05, -1.42977069e-05],
    [0.112210289, 0.0795499161, 0.00749059115, -0.0526695028, -0.0687151477, -0.0470671542, -0.0150133185, 0.00643566018, 0.0129849399, 0.0106364815, 0.0061341254, 0.00277594803, 0.00102876278, 0.000319127779, 8.39456407e-05, 1.88836329e-05],
];

fn log(ir: &Ir, x: V) -> V {
    let t = ir.ty(x);
    let denormal = ir.fcmp(F::LLVMRealOLT, x, c(ir, t, f32::MIN_POSITIVE as f64));
    let normal = ir.select(denormal, ir.fmul(x, c(ir, t, 8388608.0)), x);
    let shift = ir.select(denormal, c(ir, t, -23.0), ir.zero(t));
    // x = m · 2ᵉ with m in √½ .. √2
    let bits = ir.bits_as(normal, ir.int(32));
    let it = ir.ty(bits);
    let e = ir.ashr(ir.sub(bits, ir.cint(it, 0x3f35_04f3)), ir.cint(it, 23));
    let m = ir.bits_as(ir.sub(bits, ir.shl(e, ir.cint(it, 23))), ir.f32());
    let e = ir.fadd(ir.si_to_fp(e, ir.f32()), shift);
    let f = ir.fsub(m, c(ir, t, 1.0));
    // (ln(1 + f) - f + f²/2) / f³
    let p = polynomial(
        ir,
        f,
        &[
            0.3333331346511841,
            -0.25000008940696716,
            0.2000211924314499,
            -0.1666799634695053,
            0.14219550788402557,
            -0.12405592203140259,
            0.11888177692890167,
            -0.1167563870549202,
            0.06746591627597809,
        ],
    );
    // ln 2 in two parts, the first so short that its product with e is exact.
    let s = ir.fmul(f, f);
    let y = ir.fma(ir.fmul(s, f), p, ir.fmul(e, c(ir, t, -0.00021219444170128554)));
    let y = ir.fma(s, c(ir, t, -0.5), y);
    let r = ir.fma(e, c(ir, t, 0.693359375), ir.fadd(f, y));
    let zero = ir.zero(t);
    let edge = ir.select(ir.fcmp(F::LLVMRealOEQ, x, zero), c(ir, t, f64::NEG_INFINITY), c(ir, t, f64::NAN));
    let r = ir.select(ir.fcmp(F::LLVMRealOGT, x, zero), r, edge);
    let infinity = c(ir, t, f64::INFINITY);
    ir.select(ir.fcmp(F::LLVMRealOEQ, x, infinity), infinity, r)
}

/// Sine, cosine and tangent: reduced by multiples of π/2 in f64, large arguments by libm.
fn trigonometric(ir: &Ir, op: UnaryOp, x: V) -> V {
    let name = match op {
        UnaryOp::Sin => "sin",
        UnaryOp::Cos => "cos",
        _ => "tan",
    };
    outlined(ir, name, &[x], |args| {
        let x = args[0];
        let t = ir.ty(x);
        let large = ir.fcmp(F::LLVMRealOGT, abs(ir, x), c(ir, t, (1u64 << 40) as f64));
        let any = if ir.is_vec(x) { ir.intrinsic("llvm.vector.reduce.or", &[ir.ty(large)], &[large]) } else { large };
        let f = ir.current_function();
        let (slow, fast) = (ir.block(f), ir.block(f));
        ir.cond_br(any, slow, fast);
        ir.at_end(slow);
        ir.ret(Some(by_lane(ir, name, &[x])));
        ir.at_end(fast);
        let wide = ir.fpext(x, ir.f64());
        let d = ir.ty(wide);
        let n = ir.intrinsic("llvm.roundeven", &[d], &[ir.fmul(wide, c(ir, d, std::f64::consts::FRAC_2_PI))]);
        let r = ir.fma(n, c(ir, d, -std::f64::consts::FRAC_PI_2), wide);
        let r = ir.fma(n, c(ir, d, -6.123233995736766e-17), r);
        let r = ir.fptrunc(r, ir.f32());
        // The quadrant, from the low bits of n: 1.5 · 2⁵² puts them there.
        let q = ir.bits_as(ir.fadd(n, c(ir, d, 6755399441055744.0)), ir.i64());
        let q = ir.trunc(q, ir.int(32));
        let s = ir.fmul(r, r);
        let sine = polynomial(ir, s, &[-0.1666666716337204, 0.008333329111337662, -0.00019839327433146536, 2.71823728326126e-6]);
        let sine = ir.fma(ir.fmul(s, r), sine, r);
        let cosine = polynomial(ir, s, &[0.0416666679084301, -0.0013888883404433727, 2.479951217537746e-5, -2.720954626056482e-7]);
        let cosine = ir.fma(ir.fmul(s, s), cosine, ir.fma(s, c(ir, t, -0.5), c(ir, t, 1.0)));
        let it = ir.ty(q);
        let bit = |q: V, b: i64| ir.icmp(I::LLVMIntNE, ir.and(q, ir.cint(it, b)), ir.zero(it));
        let odd = bit(q, 1);
        if op == UnaryOp::Tan {
            let top = ir.select(odd, ir.fneg(cosine), sine);
            return ir.fdiv(top, ir.select(odd, sine, cosine));
        }
        let (q, v) = match op {
            UnaryOp::Sin => (q, ir.select(odd, cosine, sine)),
            _ => (ir.add(q, ir.cint(it, 1)), ir.select(odd, sine, cosine)),
        };
        ir.select(bit(q, 2), ir.fneg(v), v)
    })
}

/// `2^(y log2 |x|)` in f64, so that the error of the logarithm does not grow with y; then signs and special cases.
fn pow(ir: &Ir, x: V, y: V) -> V {
    let t = ir.ty(x);
    let (zero, one, infinity) = (ir.zero(t), c(ir, t, 1.0), c(ir, t, f64::INFINITY));
    let a = abs(ir, x);
    let wide = ir.fpext(a, ir.f64());
    let d = ir.ty(wide);
    let bits = ir.bits_as(wide, ir.i64());
    let it = ir.ty(bits);
    // |x| = m · 2ᵉ with m in √½ .. √2; every f32 is a normal f64.
    let e = ir.ashr(ir.sub(bits, ir.cint(it, 0x3fe6_a09e_667f_3bcd)), ir.cint(it, 52));
    let m = ir.bits_as(ir.sub(bits, ir.shl(e, ir.cint(it, 52))), ir.f64());
    let e = ir.si_to_fp(ir.trunc(e, ir.int(32)), ir.f64());
    // log2 m = 2 / ln 2 · artanh((m - 1) / (m + 1))
    let u = ir.fdiv(ir.fsub(m, c(ir, d, 1.0)), ir.fadd(m, c(ir, d, 1.0)));
    let series: Vec<f64> = (0..7).map(|i| 2.0 * std::f64::consts::LOG2_E / (2 * i + 1) as f64).collect();
    let log = ir.fma(u, polynomial(ir, ir.fmul(u, u), &series), e);
    let log = ir.select(ir.fcmp(F::LLVMRealOEQ, a, zero), c(ir, d, f64::NEG_INFINITY), log);
    let log = ir.select(ir.fcmp(F::LLVMRealOEQ, a, infinity), c(ir, d, f64::INFINITY), log);
    let z = ir.fmul(log, ir.fpext(y, ir.f64()));
    let z = at_least(ir, at_most(ir, z, 200.0), -200.0);
    let shifted = ir.fadd(z, c(ir, d, 6755399441055744.0));
    let n = ir.sub(ir.bits_as(shifted, ir.i64()), ir.cint(it, 6755399441055744.0f64.to_bits() as i64));
    let f = ir.fsub(z, ir.fsub(shifted, c(ir, d, 6755399441055744.0)));
    let mut term = 1.0;
    let taylor: Vec<f64> = (0..10)
        .map(|i| {
            let v = term;
            term *= std::f64::consts::LN_2 / (i + 1) as f64;
            v
        })
        .collect();
    let scale = ir.bits_as(ir.shl(ir.add(n, ir.cint(it, 1023)), ir.cint(it, 52)), ir.f64());
    let p = ir.fptrunc(ir.fmul(polynomial(ir, f, &taylor), scale), ir.f32());

    let whole = |v: V| ir.fcmp(F::LLVMRealOEQ, ir.intrinsic("llvm.trunc", &[t], &[v]), v);
    let is_whole = whole(y);
    let odd = ir.and(is_whole, ir.not(whole(ir.fmul(y, c(ir, t, 0.5)))));
    // The sign of x, of -0 too, survives an odd power.
    let p = ir.select(odd, copysign(ir, p, x), p);
    let negative = ir.and(ir.fcmp(F::LLVMRealOLT, x, zero), ir.fcmp(F::LLVMRealONE, a, infinity));
    let p = ir.select(ir.and(negative, ir.not(is_whole)), c(ir, t, f64::NAN), p);
    let p = ir.select(ir.fcmp(F::LLVMRealUNO, x, y), ir.fadd(x, y), p);
    let flat = ir.and(ir.fcmp(F::LLVMRealOEQ, a, one), ir.fcmp(F::LLVMRealOEQ, abs(ir, y), infinity));
    let unit = ir.or(ir.or(ir.fcmp(F::LLVMRealOEQ, y, zero), ir.fcmp(F::LLVMRealOEQ, x, one)), flat);
    ir.select(unit, one, p)
}
