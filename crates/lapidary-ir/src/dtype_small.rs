//! Floating-point formats of 8 and 4 bits that no crate covers: OCP MX (E8M0, E2M1) and the "FNUZ" variants.
//! Source: ONNX "Float stored in 8 bits" and "float4e2m1" technical notes; OCP Microscaling Formats v1.0.

use crate::DType;

/// Decodes sign | exponent | `mantissa_bits` with the given bias. `fnuz`: the code of negative zero is NaN, and there are no infinities.
pub fn decode_f8(code: u8, mantissa_bits: u32, bias: i32, fnuz: bool) -> f64 {
    if fnuz && code == 0x80 {
        return f64::NAN;
    }
    let sign = if code & 0x80 != 0 { -1.0 } else { 1.0 };
    let exponent = ((code & 0x7f) >> mantissa_bits) as i32;
    let mantissa = (code & ((1 << mantissa_bits) - 1)) as f64 / (1u32 << mantissa_bits) as f64;
    sign * if exponent == 0 { mantissa * 2f64.powi(1 - bias) } else { (1.0 + mantissa) * 2f64.powi(exponent - bias) }
}

/// A power of two with bias 127; 0xff is NaN.
pub fn decode_e8m0(code: u8) -> f64 {
    if code == 0xff { f64::NAN } else { 2f64.powi(code as i32 - 127) }
}

/// The nearest number of 16 bits, ties to even, of so many exponent bits (5: f16, 8: bf16), in one rounding from f64. Too large gives
/// infinity; a NaN keeps its sign and what fits of its payload.
pub fn encode_16(v: f64, exponent_bits: u32) -> u16 {
    const F64_MANTISSA: u32 = 52;
    let mantissa_bits = 15 - exponent_bits;
    let bits = v.to_bits();
    let (sign, exponent, mantissa) = (((bits >> 63) as u16) << 15, (bits >> F64_MANTISSA) as i64 & 0x7ff, bits & ((1 << F64_MANTISSA) - 1));
    let infinity = ((1u16 << exponent_bits) - 1) << mantissa_bits;
    if exponent == 0x7ff {
        let payload = (mantissa >> (F64_MANTISSA - mantissa_bits)) as u16;
        return sign | infinity | if mantissa == 0 { 0 } else { payload | 1 << (mantissa_bits - 1) };
    }
    // The exponent as stored; from 0 downwards the number is subnormal and has fewer bits.
    let stored = exponent - 1023 + ((1 << (exponent_bits - 1)) - 1);
    if stored >= (1 << exponent_bits) - 1 {
        return sign | infinity;
    }
    let dropped = i64::from(F64_MANTISSA - mantissa_bits) + (1 - stored).max(0);
    if exponent == 0 || dropped > i64::from(F64_MANTISSA) + 1 {
        return sign; // less than half of the smallest number
    }
    let whole = mantissa | 1 << F64_MANTISSA;
    let (kept, rest, half) = (whole >> dropped, whole & ((1 << dropped) - 1), 1u64 << (dropped - 1));
    let rounded = kept + u64::from(rest > half || (rest == half && kept & 1 == 1));
    // The leading bit of a normal number, and a carry, add one to the exponent.
    let code = if stored >= 1 { (((stored - 1) as u64) << mantissa_bits) + rounded } else { rounded };
    sign | (code as u16).min(infinity)
}

/// [`encode_16`] to a number again: what storing `v` as f16 or bf16 makes of it. Other types leave it as it is.
pub fn round_16(dtype: DType, v: f64) -> f64 {
    match dtype {
        DType::F16 => half::f16::from_bits(encode_16(v, 5)).to_f64(),
        DType::BF16 => half::bf16::from_bits(encode_16(v, 8)).to_f64(),
        _ => v,
    }
}

/// The eight magnitudes of E2M1, by code.
const F4: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

pub fn decode_f4(code: u8) -> f64 {
    let v = F4[(code & 7) as usize];
    if code & 8 != 0 { -v } else { v }
}

/// Nearest code, ties to the even code, saturating at ±6. NaN becomes +6, as E2M1 has none.
pub fn encode_f4(v: f64) -> u8 {
    let sign = if v.is_sign_negative() && !v.is_nan() { 8 } else { 0 };
    sign | nearest(if v.is_nan() { 6.0 } else { v.abs() }, 7, decode_f4)
}

/// The largest finite magnitude's code, per format, and its decoder.
fn format(dtype: DType) -> (u8, fn(u8) -> f64) {
    match dtype {
        DType::F8E4M3FN => (0x7e, |c| decode_f8(c, 3, 7, false)),
        DType::F8E5M2 => (0x7b, |c| decode_f8(c, 2, 15, false)),
        DType::F8E4M3FNUZ => (0x7f, |c| decode_f8(c, 3, 8, true)),
        DType::F8E5M2FNUZ => (0x7f, |c| decode_f8(c, 2, 16, true)),
        _ => (0xfe, decode_e8m0),
    }
}

/// Nearest code, ties to the even code, saturating to the largest finite value (ONNX Cast with `saturate=1`).
pub fn encode_f8(dtype: DType, v: f64) -> u8 {
    let (largest, decode) = format(dtype);
    let fnuz = matches!(dtype, DType::F8E4M3FNUZ | DType::F8E5M2FNUZ);
    match dtype {
        _ if v.is_nan() && fnuz => 0x80,
        DType::F8E8M0 if v.is_nan() => 0xff,
        _ if v.is_nan() => 0x7f | if v.is_sign_negative() { 0x80 } else { 0 },
        _ => {
            let code = nearest(v.abs(), largest, decode);
            let negative = v.is_sign_negative() && dtype != DType::F8E8M0 && !(fnuz && code == 0);
            code | if negative { 0x80 } else { 0 }
        }
    }
}

/// The code in `0..=largest` whose value is nearest to `magnitude`; `decode` grows with the code.
fn nearest(magnitude: f64, largest: u8, decode: impl Fn(u8) -> f64) -> u8 {
    let (mut low, mut high) = (0u8, largest);
    if magnitude >= decode(largest) {
        return largest;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if decode(middle) <= magnitude { low = middle } else { high = middle }
    }
    let (below, above) = (magnitude - decode(low), decode(high) - magnitude);
    if below < above || (below == above && low % 2 == 0) { low } else { high }
}
