//! Elementary functions.

use super::ir::{FloatCmp as F, Ir, V};
use lapidary_kernel::UnaryOp;

/// The function of an f32 or f64, for any number of lanes.
pub fn function(ir: &Ir, op: UnaryOp, x: V) -> V {
    use UnaryOp::*;
    let name = match op {
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
        _ => {
            // The sigmoid: from the exponential of a negative number, which cannot overflow.
            let t = ir.ty(x);
            let (zero, one) = (ir.zero(t), ir.cfloat(t, 1.0));
            let z = function(ir, Exp, ir.fneg(ir.intrinsic("llvm.fabs", &[t], &[x])));
            let top = ir.select(ir.fcmp(F::LLVMRealOLT, x, zero), z, one);
            return ir.fdiv(top, ir.fadd(one, z));
        }
    };
    by_lane(ir, name, &[x])
}

/// C's `fmod`.
pub fn remainder(ir: &Ir, a: V, b: V) -> V {
    by_lane(ir, "fmod", &[a, b])
}

/// C's `pow`.
pub fn power(ir: &Ir, a: V, b: V) -> V {
    by_lane(ir, "pow", &[a, b])
}

/// Calls the function of libm once per lane.
fn by_lane(ir: &Ir, name: &str, args: &[V]) -> V {
    let t = ir.ty(args[0]);
    let (element, lanes) = (ir.element(t), ir.lanes_of(t));
    let name = if element == ir.f64() { name.to_string() } else { format!("{name}f") };
    let ft = ir.function_type(element, &vec![element; args.len()]);
    let f = ir.function(&name, ft);
    ir.set_exported(f);
    if lanes == 1 {
        return ir.call(ft, f, args);
    }
    let mut out = ir.poison(t);
    for i in 0..lanes {
        let each: Vec<V> = args.iter().map(|a| ir.extract(*a, i)).collect();
        out = ir.insert(out, ir.call(ft, f, &each), i);
    }
    out
}
