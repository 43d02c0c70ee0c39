//! How element types lie in memory and in registers.

use super::ir::{FloatCmp, IntCmp, Ir, T, V};
use lapidary_ir::{DType, Diagnostic, Result};

/// Whether kernels can compute in this type.
pub fn check(dtype: DType) -> Result<()> {
    use DType::*;
    match dtype {
        Bool | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64 | F16 | BF16 | F32 | F64 => Ok(()),
        _ => Err(Diagnostic::unsupported("dtype", format!("native code cannot compute with elements of type {dtype}")).into()),
    }
}

/// Whether kernels can read elements of this type, and convert them: the types that they compute in, and the small ones of weights.
pub fn check_readable(dtype: DType) -> Result<()> {
    if widened(dtype) == dtype { check(dtype) } else { Ok(()) }
}

/// Whether kernels can convert to this type, and store it.
fn check_storable(dtype: DType) -> Result<()> {
    if dtype == DType::F8E8M0 { check(dtype) } else { check_readable(dtype) }
}

/// The type that stands for a small one in registers, all of whose values it holds.
pub fn widened(dtype: DType) -> DType {
    use DType::*;
    match dtype {
        I2 | I4 => I8,
        U2 | U4 => U8,
        F4E2M1 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 => F32,
        d => d,
    }
}

/// The type in registers: f16 and bf16 are f32 values that are exactly representable, bool is one bit.
pub fn register(ir: &Ir, dtype: DType) -> T {
    use DType::*;
    match widened(dtype) {
        F32 | F16 | BF16 => ir.f32(),
        F64 => ir.f64(),
        Bool => ir.int(1),
        d => ir.int(d.bits() as u32),
    }
}

/// The type of an element in memory.
pub fn memory(ir: &Ir, dtype: DType) -> T {
    match dtype {
        DType::F32 => ir.f32(),
        DType::F64 => ir.f64(),
        DType::F16 => ir.half(),
        _ => ir.int(dtype.bits().max(8) as u32),
    }
}

pub fn bytes(dtype: DType) -> u32 {
    (dtype.bits() / 8).max(1) as u32
}

/// From memory to registers.
pub fn decode(ir: &Ir, dtype: DType, raw: V) -> V {
    match dtype {
        DType::Bool => ir.icmp(IntCmp::LLVMIntNE, raw, ir.zero(ir.ty(raw))),
        DType::F16 => ir.fpext(raw, ir.f32()),
        DType::BF16 => {
            let wide = ir.zext(raw, ir.int(32));
            ir.bits_as(ir.shl(wide, ir.cint(ir.ty(wide), 16)), ir.f32())
        }
        DType::I2 | DType::I4 => {
            // The sign bit to the top, and back.
            let by = ir.cint(ir.ty(raw), 8 - dtype.bits() as i64);
            ir.ashr(ir.shl(raw, by), by)
        }
        DType::F8E8M0 => {
            let bits = ir.zext(raw, ir.int(32));
            let t = ir.ty(bits);
            let power = ir.shl(bits, ir.cint(t, 23));
            let least = ir.select(ir.icmp(IntCmp::LLVMIntEQ, bits, ir.zero(t)), ir.cint(t, 0x40_0000), power);
            let nan = ir.icmp(IntCmp::LLVMIntEQ, bits, ir.cint(t, 255));
            ir.bits_as(ir.select(nan, ir.cint(t, 0x7fc0_0000), least), ir.f32())
        }
        // The upper half of an f16.
        DType::F8E5M2 => {
            let bits = ir.zext(raw, ir.int(16));
            ir.fpext(ir.bits_as(ir.shl(bits, ir.cint(ir.ty(bits), 8)), ir.half()), ir.f32())
        }
        DType::F8E5M2FNUZ => small_float(ir, raw, 7, 2, 16, Some(0x80)),
        DType::F8E4M3FN => small_float(ir, raw, 7, 3, 7, Some(0x7f)),
        DType::F8E4M3FNUZ => small_float(ir, raw, 7, 3, 8, Some(0x80)),
        DType::F4E2M1 => small_float(ir, raw, 3, 1, 1, None),
        _ => raw,
    }
}

/// A float of a byte or less, without infinity, as f32: `sign` is the number of its sign bit, `nan` the code of NaN, if any; 0x7f stands for
/// either sign. The bits below the sign go where f32 has them, and a factor makes up for the difference of the exponents' zeros, exactly.
fn small_float(ir: &Ir, raw: V, sign: i64, mantissa: i64, bias: i32, nan: Option<i64>) -> V {
    let bits = ir.zext(raw, ir.int(32));
    let t = ir.ty(bits);
    let c = |v: i64| ir.cint(t, v);
    let magnitude = ir.and(bits, c((1 << sign) - 1));
    let sign_bit = ir.shl(ir.lshr(bits, c(sign)), c(31));
    let wide = ir.bits_as(ir.or(ir.shl(magnitude, c(23 - mantissa)), sign_bit), ir.f32());
    let wide = ir.fmul(wide, ir.cfloat(ir.ty(wide), 2f64.powi(127 - bias)));
    let code = match nan {
        None => return wide,
        Some(0x7f) => ir.icmp(IntCmp::LLVMIntEQ, magnitude, c(0x7f)),
        Some(code) => ir.icmp(IntCmp::LLVMIntEQ, bits, c(code)),
    };
    ir.select(code, ir.cfloat(ir.ty(wide), f64::NAN), wide)
}

/// From registers, which hold what the type can hold, to memory.
pub fn encode(ir: &Ir, dtype: DType, v: V) -> V {
    match dtype {
        DType::Bool => ir.zext(v, ir.int(8)),
        DType::F16 => ir.fptrunc(v, ir.half()),
        DType::BF16 => {
            let bits = ir.bits_as(v, ir.int(32));
            ir.trunc(ir.lshr(bits, ir.cint(ir.ty(bits), 16)), ir.int(16))
        }
        DType::F8E5M2 => small_code(ir, v, Format { sign: 7, mantissa: 2, bias: 15, largest: 0x7b, nan: Nan::Signed(0x7f) }),
        DType::F8E5M2FNUZ => small_code(ir, v, Format { sign: 7, mantissa: 2, bias: 16, largest: 0x7f, nan: Nan::NegativeZero }),
        DType::F8E4M3FN => small_code(ir, v, Format { sign: 7, mantissa: 3, bias: 7, largest: 0x7e, nan: Nan::Signed(0x7f) }),
        DType::F8E4M3FNUZ => small_code(ir, v, Format { sign: 7, mantissa: 3, bias: 8, largest: 0x7f, nan: Nan::NegativeZero }),
        DType::F4E2M1 => small_code(ir, v, Format { sign: 3, mantissa: 1, bias: 1, largest: 7, nan: Nan::Largest }),
        DType::I2 | DType::I4 | DType::U2 | DType::U4 => ir.and(v, ir.cint(ir.ty(v), (1 << dtype.bits()) - 1)),
        _ => v,
    }
}

/// A float of a byte or less: the number of its sign bit, the bits of its mantissa, the zero of its exponent, and the code of its largest
/// number, at which larger ones saturate.
struct Format {
    sign: i64,
    mantissa: i64,
    bias: i32,
    largest: i64,
    nan: Nan,
}

/// What NaN becomes.
enum Nan {
    /// This code, with NaN's sign.
    Signed(i64),
    /// The code that would be negative zero; there is none of that.
    NegativeZero,
    Largest,
}

/// The code of an f32, to nearest even, as i8.
fn small_code(ir: &Ir, v: V, f: Format) -> V {
    let bits = ir.bits_as(v, ir.int(32));
    let t = ir.ty(bits);
    let c = |v: i64| ir.cint(t, v);
    let sign = ir.shl(ir.lshr(bits, c(31)), c(f.sign));
    let magnitude = ir.and(bits, c(0x7fff_ffff));
    // Normal numbers: drop mantissa bits, and move the exponent's zero.
    let dropped = 23 - f.mantissa;
    let odd = ir.and(ir.lshr(magnitude, c(dropped)), c(1));
    let rounded = ir.lshr(ir.add(magnitude, ir.add(odd, c((1 << (dropped - 1)) - 1))), c(dropped));
    let normal = ir.sub(rounded, c((127 - f.bias as i64) << f.mantissa));
    // Smaller ones are so many steps of the smallest.
    let size = ir.bits_as(magnitude, ir.f32());
    let ft = ir.ty(size);
    let steps = ir.fmul(size, ir.cfloat(ft, 2f64.powi(f.bias - 1 + f.mantissa as i32)));
    let steps = ir.intrinsic("llvm.roundeven", &[ft], &[steps]);
    let steps = ir.intrinsic("llvm.fptosi.sat", &[t, ft], &[steps]);
    let small = ir.fcmp(FloatCmp::LLVMRealOLT, size, ir.cfloat(ft, 2f64.powi(1 - f.bias)));
    let code = ir.select(small, steps, normal);
    let code = ir.select(ir.icmp(IntCmp::LLVMIntSGT, code, c(f.largest)), c(f.largest), code);
    let signed = ir.or(code, sign);
    let nan = ir.icmp(IntCmp::LLVMIntUGT, magnitude, c(0x7f80_0000));
    let out = match f.nan {
        Nan::Signed(code) => ir.select(nan, ir.or(c(code), sign), signed),
        Nan::NegativeZero => {
            let zero = ir.icmp(IntCmp::LLVMIntEQ, code, c(0));
            ir.select(nan, c(1 << f.sign), ir.select(zero, c(0), signed))
        }
        Nan::Largest => ir.select(nan, c(f.largest), signed),
    };
    ir.trunc(out, ir.int(8))
}

/// An f32 rounded to bf16. By hand, since the instruction takes denormals for zero.
fn round_bf16(ir: &Ir, v: V) -> V {
    let bits = ir.bits_as(v, ir.int(32));
    let t = ir.ty(bits);
    let c = |x: i64| ir.cint(t, x);
    let odd = ir.and(ir.lshr(bits, c(16)), c(1));
    let rounded = ir.add(bits, ir.add(odd, c(0x7fff)));
    let nan = ir.fcmp(FloatCmp::LLVMRealUNO, v, v);
    let rounded = ir.select(nan, ir.or(bits, c(0x40_0000)), rounded);
    ir.bits_as(ir.and(rounded, c(0xffff_0000_u32 as i32 as i64)), ir.f32())
}

/// Rounds a computed f32 to what the type can hold.
pub fn round(ir: &Ir, dtype: DType, v: V) -> V {
    match dtype {
        DType::BF16 => round_bf16(ir, v),
        d if d.is_float() && d.bits() <= 16 => decode(ir, dtype, encode(ir, dtype, v)),
        _ => v,
    }
}

/// Conversion as `ExprKind::Cast` says.
pub fn cast(ir: &Ir, from: DType, to: DType, v: V) -> Result<V> {
    check_readable(from)?;
    check_storable(to)?;
    let from = widened(from);
    let target = register(ir, to);
    let out = if from == to {
        v
    } else if to == DType::Bool {
        match from.is_float() {
            true => ir.fcmp(FloatCmp::LLVMRealUNE, v, ir.zero(ir.ty(v))),
            false => ir.icmp(IntCmp::LLVMIntNE, v, ir.zero(ir.ty(v))),
        }
    } else if from.is_float() && to.is_float() {
        match (from, to) {
            (DType::F64, DType::F32) => ir.fptrunc(v, ir.f32()),
            (DType::F64, _) => round(ir, to, to_odd(ir, v)),
            (_, DType::F64) => ir.fpext(v, ir.f64()),
            _ => round(ir, to, v),
        }
    } else if let (true, Some((low, high))) = (from.is_float(), to.int_range().filter(|_| !to.is_packed() && to.bits() <= 16)) {
        // In vectors of 32-bit integers: LLVM would take saturating conversions to smaller ones apart, lane by lane.
        let t = ir.ty(v);
        let (low, high) = (ir.cfloat(t, low as f64), ir.cfloat(t, high as f64));
        let number = if to.is_signed_int() { ir.select(ir.fcmp(FloatCmp::LLVMRealORD, v, v), v, ir.zero(t)) } else { v };
        let v = ir.select(ir.fcmp(FloatCmp::LLVMRealOGT, number, low), number, low);
        let v = ir.select(ir.fcmp(FloatCmp::LLVMRealOLT, v, high), v, high);
        ir.trunc(ir.fp_to_si(v, ir.int(32)), target)
    } else if from.is_float() {
        let name = if to.is_signed_int() { "llvm.fptosi.sat" } else { "llvm.fptoui.sat" };
        let v = ir.intrinsic(name, &[ir.like(target, v), ir.ty(v)], &[v]);
        match to.int_range().filter(|_| to.is_packed()) {
            Some((low, high)) => {
                let (least, most) = if to.is_signed_int() { ("llvm.smax", "llvm.smin") } else { ("llvm.umax", "llvm.umin") };
                let t = ir.ty(v);
                let v = ir.intrinsic(least, &[t], &[v, ir.cint(t, low as i64)]);
                ir.intrinsic(most, &[t], &[v, ir.cint(t, high as i64)])
            }
            None => v,
        }
    } else if to.is_float() {
        // 64-bit integers round once on the way to f64 or f32; on to 16 bits through f64 rounded to odd.
        let wide = if to == DType::F64 || to.bits() <= 16 && from.bits() >= 32 { ir.f64() } else { ir.f32() };
        let x = if from.is_signed_int() { ir.si_to_fp(v, wide) } else { ir.ui_to_fp(v, wide) };
        match to {
            DType::F32 | DType::F64 => x,
            _ if wide == ir.f64() => round(ir, to, to_odd(ir, x)),
            _ => round(ir, to, x),
        }
    } else if to.is_packed() {
        // Wrapped to its bits, and in the form in which registers hold it.
        let v = if from.bits() > 8 { ir.trunc(v, target) } else { if from == DType::Bool { ir.zext(v, target) } else { v } };
        match to.is_signed_int() {
            true => decode(ir, to, v),
            false => encode(ir, to, v),
        }
    } else if to.bits() < from.bits() && from != DType::Bool {
        ir.trunc(v, target)
    } else if from.is_signed_int() {
        ir.sext(v, target)
    } else {
        ir.zext(v, target)
    };
    Ok(out)
}

/// An f64 as f32 rounded to odd: rounding that once more, to fewer bits, is as good as rounding once.
fn to_odd(ir: &Ir, v: V) -> V {
    let near = ir.fptrunc(v, ir.f32());
    let back = ir.fpext(near, ir.f64());
    let bits = ir.bits_as(near, ir.int(32));
    let t = ir.ty(bits);
    let abs = |x: V| ir.intrinsic("llvm.fabs", &[ir.ty(x)], &[x]);
    // Away from zero by one unit: back to the truncated value. (Infinity from a finite value becomes the largest number, then odd.)
    let beyond = ir.fcmp(FloatCmp::LLVMRealOGT, abs(back), abs(v));
    let truncated = ir.select(beyond, ir.sub(bits, ir.cint(t, 1)), bits);
    let inexact = ir.fcmp(FloatCmp::LLVMRealONE, back, v);
    let odd = ir.select(inexact, ir.or(truncated, ir.cint(t, 1)), truncated);
    ir.bits_as(odd, ir.f32())
}
