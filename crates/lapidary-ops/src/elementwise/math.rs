//! Scalar functions that the standard library lacks, in f64.

/// `2/√π · ∫₀ˣ e^(−t²) dt`, to about 1e-15. Near zero the series with positive terms only; further out the continued fraction of `erfc`
/// (Abramowitz and Stegun 7.1.6, 7.1.14).
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() || a == 0.0 {
        return x;
    }
    if a > 6.0 {
        return 1f64.copysign(x);
    }
    let factor = std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp();
    if a < 2.5 {
        let (mut term, mut sum, mut odd) = (a, a, 1.0);
        while term > sum * 1e-17 {
            odd += 2.0;
            term *= 2.0 * a * a / odd;
            sum += term;
        }
        return (factor * sum).copysign(x);
    }
    let fraction = (1..=60).rev().fold(0.0, |f, k| f64::from(k) / 2.0 / (a + f));
    (1.0 - factor / 2.0 / (a + fraction)).copysign(x)
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + eˣ)` without overflow.
pub(crate) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// -1, 0 or 1; NaN stays.
pub(crate) fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x * 0.0
    }
}

/// The larger; NaN when either is.
pub(crate) fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The smaller; NaN when either is.
pub(crate) fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The remainder with the divisor's sign, as Python's `%`. Division by zero, which ONNX leaves open, gives zero.
pub(crate) fn floor_mod(a: i128, b: i128) -> i128 {
    if b == 0 {
        return 0;
    }
    let r = a % b;
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

/// As [`floor_mod`], of real numbers: a zero remainder has the divisor's sign, and nothing is left modulo zero but NaN.
pub(crate) fn float_mod(a: f64, b: f64) -> f64 {
    let r = a % b;
    if r == 0.0 {
        return r.copysign(b);
    }
    if (r < 0.0) != (b < 0.0) { r + b } else { r }
}

/// The power of integers, wrapping. A negative exponent gives what the real power truncates to.
pub(crate) fn int_pow(base: i128, exponent: i128) -> i128 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 if exponent % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let (mut out, mut square, mut left) = (1i128, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            out = out.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        left >>= 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_tables() {
        // Abramowitz and Stegun, table 7.1, and values of a 50-digit calculator.
        let table = [(0.0, 0.0), (0.5, 0.5204998778130465), (1.0, 0.8427007929497149), (2.0, 0.9953222650189527), (3.0, 0.9999779095030014)];
        for (x, y) in table {
            assert!((erf(x) - y).abs() < 4e-16, "erf({x}) = {} not {y}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!((erf(2.4999999) - erf(2.5000001) + 4.4e-10 * 0.99).abs() < 1e-11);
    }

    #[test]
    fn integers_divide_as_python_does() {
        assert_eq!([floor_mod(-7, 3), floor_mod(7, -3), floor_mod(7, 3), floor_mod(-6, 3)], [2, -2, 1, 0]);
        assert_eq!([int_pow(2, 10), int_pow(-3, 3), int_pow(2, -1), int_pow(-1, -3)], [1024, -27, 0, -1]);
    }
}
