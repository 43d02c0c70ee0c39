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

/// The type in registers: f16 and bf16 are f32 values that are exactly representable, bool is one bit.
pub fn register(ir: &Ir, dtype: DType) -> T {
    use DType::*;
    match dtype {
        F32 | F16 | BF16 => ir.f32(),
        F64 => ir.f64(),
        Bool => ir.int(1),
        _ => ir.int(dtype.bits() as u32),
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
        _ => raw,
    }
}

/// From registers to memory.
pub fn encode(ir: &Ir, dtype: DType, v: V) -> V {
    match dtype {
        DType::Bool => ir.zext(v, ir.int(8)),
        DType::F16 => ir.fptrunc(v, ir.half()),
        DType::BF16 => bf16_bits(ir, v),
        _ => v,
    }
}

/// The bits of an f32 rounded to bf16, as i16. By hand, since the instruction takes denormals for zero.
fn bf16_bits(ir: &Ir, v: V) -> V {
    let bits = ir.bits_as(v, ir.int(32));
    let t = ir.ty(bits);
    let c = |x: i64| ir.cint(t, x);
    let odd = ir.and(ir.lshr(bits, c(16)), c(1));
    let rounded = ir.add(bits, ir.add(odd, c(0x7fff)));
    let nan = ir.fcmp(FloatCmp::LLVMRealUNO, v, v);
    let rounded = ir.select(nan, ir.or(bits, c(0x40_0000)), rounded);
    ir.trunc(ir.lshr(rounded, c(16)), ir.int(16))
}

/// Rounds a computed f32 to what the type can hold.
pub fn round(ir: &Ir, dtype: DType, v: V) -> V {
    match dtype {
        DType::F16 | DType::BF16 => decode(ir, dtype, encode(ir, dtype, v)),
        _ => v,
    }
}

/// Conversion as `ExprKind::Cast` says.
pub fn cast(ir: &Ir, from: DType, to: DType, v: V) -> Result<V> {
    check(from)?;
    check(to)?;
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
    } else if from.is_float() {
        let name = if to.is_signed_int() { "llvm.fptosi.sat" } else { "llvm.fptoui.sat" };
        ir.intrinsic(name, &[ir.like(target, v), ir.ty(v)], &[v])
    } else if to.is_float() {
        // 64-bit integers round once on the way to f64 or f32; on to 16 bits through f64 rounded to odd.
        let wide = if to == DType::F64 || matches!(to, DType::F16 | DType::BF16) && from.bits() >= 32 { ir.f64() } else { ir.f32() };
        let x = if from.is_signed_int() { ir.si_to_fp(v, wide) } else { ir.ui_to_fp(v, wide) };
        match to {
            DType::F16 | DType::BF16 if wide == ir.f64() => round(ir, to, to_odd(ir, x)),
            _ => round(ir, to, x),
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
