//! Scalar operators on registers, for any number of lanes; the meaning is that of `lapidary_kernel::expr`.

use super::ir::{FloatCmp as F, IntCmp as I, Ir, V};
use super::{math, types};
use lapidary_ir::{DType, Diagnostic, Result};
use lapidary_kernel::{BinaryOp, UnaryOp};

fn wrong(op: impl std::fmt::Debug, dtype: DType) -> lapidary_ir::Diagnostics {
    Diagnostic::unsupported("kernel-op", format!("{op:?} does not exist for elements of type {dtype}")).into()
}

pub fn unary(ir: &Ir, op: UnaryOp, dtype: DType, x: V) -> Result<V> {
    use UnaryOp::*;
    types::check(dtype)?;
    let t = ir.ty(x);
    let same = |name: &str| ir.intrinsic(name, &[t], &[x]);
    if dtype.is_float() {
        let (zero, one) = (ir.zero(t), ir.cfloat(t, 1.0));
        let v = match op {
            Neg => ir.fneg(x),
            Abs => same("llvm.fabs"),
            Sign => {
                let positive = ir.fcmp(F::LLVMRealOGT, x, zero);
                let negative = ir.fcmp(F::LLVMRealOLT, x, zero);
                ir.select(positive, one, ir.select(negative, ir.cfloat(t, -1.0), x))
            }
            Sqrt => same("llvm.sqrt"),
            Reciprocal => ir.fdiv(one, x),
            Floor => same("llvm.floor"),
            Ceil => same("llvm.ceil"),
            Round => same("llvm.roundeven"),
            Trunc => same("llvm.trunc"),
            IsNan => return Ok(ir.fcmp(F::LLVMRealUNO, x, x)),
            IsInf => return Ok(ir.fcmp(F::LLVMRealOEQ, same("llvm.fabs"), ir.cfloat(t, f64::INFINITY))),
            Not | BitNot => return Err(wrong(op, dtype)),
            _ => math::function(ir, op, x),
        };
        return Ok(types::round(ir, dtype, v));
    }
    let zero = ir.zero(t);
    Ok(match op {
        Not if dtype == DType::Bool => ir.not(x),
        IsNan | IsInf => ir.zero(ir.like(ir.int(1), x)),
        _ if dtype == DType::Bool => return Err(wrong(op, dtype)),
        Neg => ir.neg(x),
        Abs if dtype.is_signed_int() => ir.select(ir.icmp(I::LLVMIntSLT, x, zero), ir.neg(x), x),
        Abs | Floor | Ceil | Round | Trunc => x,
        Sign => {
            let positive = ir.zext(ir.icmp(I::LLVMIntNE, x, zero), t);
            if dtype.is_signed_int() { ir.select(ir.icmp(I::LLVMIntSLT, x, zero), ir.cint(t, -1), positive) } else { positive }
        }
        BitNot => ir.not(x),
        _ => return Err(wrong(op, dtype)),
    })
}

pub fn binary(ir: &Ir, op: BinaryOp, dtype: DType, a: V, b: V) -> Result<V> {
    types::check(dtype)?;
    let (a, b) = ir.widen(a, b);
    if dtype.is_float() {
        return float(ir, op, dtype, a, b);
    }
    integer(ir, op, dtype, a, b)
}

/// `x / by` in f32, rounded to nearest, by the reciprocal of `by` where that is one number for all lanes: the remainder of the first guess
/// corrects it. (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990, theorem 7.) Quotients of and by
/// subnormal numbers may be off; overflow and NaN are what they should be.
pub fn quotient(ir: &Ir, x: V, by: V) -> V {
    if ir.lanes(by) > 1 || ir.lanes(x) == 1 {
        let (x, by) = ir.widen(x, by);
        return ir.fdiv(x, by);
    }
    let reciprocal = ir.fdiv(ir.cfloat(ir.ty(by), 1.0), by);
    let (x, by) = ir.widen(x, by);
    let (_, reciprocal) = ir.widen(x, reciprocal);
    let guess = ir.fmul(x, reciprocal);
    let remainder = ir.fma(ir.fneg(guess), by, x);
    let exact = ir.fma(remainder, reciprocal, guess);
    ir.select(ir.fcmp(F::LLVMRealORD, exact, exact), exact, guess)
}

fn float(ir: &Ir, op: BinaryOp, dtype: DType, a: V, b: V) -> Result<V> {
    use BinaryOp::*;
    let t = ir.ty(a);
    let v = match op {
        Add => ir.fadd(a, b),
        Sub => ir.fsub(a, b),
        Mul => ir.fmul(a, b),
        Div => ir.fdiv(a, b),
        Rem => math::remainder(ir, a, b),
        Mod => {
            let r = math::remainder(ir, a, b);
            let zero = ir.zero(t);
            let (r_neg, b_neg) = (ir.fcmp(F::LLVMRealOLT, r, zero), ir.fcmp(F::LLVMRealOLT, b, zero));
            let off = ir.and(ir.xor(r_neg, b_neg), ir.fcmp(F::LLVMRealONE, r, zero));
            ir.select(off, ir.fadd(r, b), r)
        }
        Min => pick(ir, F::LLVMRealOLT, a, b),
        Max => pick(ir, F::LLVMRealOGT, a, b),
        Pow => math::power(ir, a, b),
        Eq => return Ok(ir.fcmp(F::LLVMRealOEQ, a, b)),
        Ne => return Ok(ir.fcmp(F::LLVMRealUNE, a, b)),
        Lt => return Ok(ir.fcmp(F::LLVMRealOLT, a, b)),
        Le => return Ok(ir.fcmp(F::LLVMRealOLE, a, b)),
        Gt => return Ok(ir.fcmp(F::LLVMRealOGT, a, b)),
        Ge => return Ok(ir.fcmp(F::LLVMRealOGE, a, b)),
        And | Or | Xor | BitAnd | BitOr | BitXor | Shl | Shr => return Err(wrong(op, dtype)),
    };
    Ok(types::round(ir, dtype, v))
}

/// `a` where it compares, else `b`; NaN wins. Comparing so is one instruction, and the second operand is what it gives for NaN.
fn pick(ir: &Ir, p: F, a: V, b: V) -> V {
    if ir.is_number(a) {
        return ir.select(ir.fcmp(p, a, b), a, b);
    }
    if ir.is_number(b) {
        return ir.select(ir.fcmp(p, b, a), b, a);
    }
    let chosen = ir.select(ir.fcmp(p, a, b), a, b);
    ir.select(ir.fcmp(F::LLVMRealUNO, a, a), a, chosen)
}

fn integer(ir: &Ir, op: BinaryOp, dtype: DType, a: V, b: V) -> Result<V> {
    use BinaryOp::*;
    let signed = dtype.is_signed_int();
    let t = ir.ty(a);
    let zero = ir.zero(t);
    let by_sign = |s: I, u: I| if signed { s } else { u };
    if dtype == DType::Bool && matches!(op, Add | Sub | Mul | Div | Mod | Rem | Shl | Shr | Pow) {
        return Err(wrong(op, dtype));
    }
    Ok(match op {
        Add => ir.add(a, b),
        Sub => ir.sub(a, b),
        Mul => ir.mul(a, b),
        Div | Mod | Rem => division(ir, op, signed, a, b),
        Min => ir.select(ir.icmp(by_sign(I::LLVMIntSLT, I::LLVMIntULT), a, b), a, b),
        Max => ir.select(ir.icmp(by_sign(I::LLVMIntSGT, I::LLVMIntUGT), a, b), a, b),
        Pow => {
            // Through f64: exact while the result is below 2^53.
            let to = |v: V| if signed { ir.si_to_fp(v, ir.f64()) } else { ir.ui_to_fp(v, ir.f64()) };
            let p = math::power(ir, to(a), to(b));
            return types::cast(ir, DType::F64, dtype, p);
        }
        And | BitAnd => ir.and(a, b),
        Or | BitOr => ir.or(a, b),
        Xor | BitXor => ir.xor(a, b),
        Shl | Shr => {
            let inside = ir.icmp(I::LLVMIntULT, b, ir.cint(t, dtype.bits() as i64));
            let by = ir.select(inside, b, zero);
            let v = match (op, signed) {
                (Shl, _) => ir.shl(a, by),
                (_, true) => ir.ashr(a, by),
                _ => ir.lshr(a, by),
            };
            ir.select(inside, v, zero)
        }
        Eq => ir.icmp(I::LLVMIntEQ, a, b),
        Ne => ir.icmp(I::LLVMIntNE, a, b),
        Lt => ir.icmp(by_sign(I::LLVMIntSLT, I::LLVMIntULT), a, b),
        Le => ir.icmp(by_sign(I::LLVMIntSLE, I::LLVMIntULE), a, b),
        Gt => ir.icmp(by_sign(I::LLVMIntSGT, I::LLVMIntUGT), a, b),
        Ge => ir.icmp(by_sign(I::LLVMIntSGE, I::LLVMIntUGE), a, b),
    })
}

/// Division that cannot trap: by zero gives 0, and the smallest number by -1 wraps.
fn division(ir: &Ir, op: BinaryOp, signed: bool, a: V, b: V) -> V {
    let t = ir.ty(a);
    let (zero, one) = (ir.zero(t), ir.cint(t, 1));
    let by_zero = ir.icmp(I::LLVMIntEQ, b, zero);
    if !signed {
        let safe = ir.select(by_zero, one, b);
        let v = if op == BinaryOp::Div { ir.udiv(a, safe) } else { ir.urem(a, safe) };
        return ir.select(by_zero, zero, v);
    }
    let minus_one = ir.icmp(I::LLVMIntEQ, b, ir.cint(t, -1));
    let safe = ir.select(ir.or(by_zero, minus_one), one, b);
    match op {
        BinaryOp::Div => {
            let v = ir.select(minus_one, ir.neg(a), ir.sdiv(a, safe));
            ir.select(by_zero, zero, v)
        }
        // The remainder by 1 is 0, as it is by -1 and, so agreed, by 0.
        BinaryOp::Rem => ir.srem(a, safe),
        _ => {
            let r = ir.srem(a, safe);
            let apart = ir.icmp(I::LLVMIntSLT, ir.xor(r, safe), zero);
            let off = ir.and(apart, ir.icmp(I::LLVMIntNE, r, zero));
            ir.select(off, ir.add(r, safe), r)
        }
    }
}
