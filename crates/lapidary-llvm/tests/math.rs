//! The accuracy of elementary functions of f32, against f64 functions, in units in the last place.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::*;
use lapidary_llvm::loaded::Context;

unsafe extern "C" {
    safe fn erf(x: f64) -> f64;
}

type Case = (UnaryOp, fn(f64) -> f64, f64);

/// Functions with the errors that `emit/math.rs` states.
fn cases() -> Vec<Case> {
    use UnaryOp::*;
    let sigmoid = |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    vec![
        (Exp, f64::exp, 1.1),
        (Log, f64::ln, 1.0),
        (Tanh, f64::tanh, 2.5),
        (Sigmoid, sigmoid, 2.5),
        (Erf, |x| erf(x), 2.3),
        (Sin, f64::sin, 1.6),
        (Cos, f64::cos, 1.6),
        (Tan, f64::tan, 3.5),
    ]
}

fn program(ops: &[UnaryOp]) -> Program {
    let mut b = Build::new();
    let n = Dim::symbol("N");
    let x = b.input(DType::F32, &[n.clone()]);
    for op in ops {
        let y = b.output(DType::F32, &[n.clone()]);
        let mut k = KernelBuilder::new("f", &[]);
        let i = k.parallel("i", n.clone());
        let v = k.load(x, DType::F32, [i.into()]);
        let v = k.unary(*op, v);
        k.store(y, [i.into()], v);
        b.kernel(k.finish(), Schedule::Map { vector: 0 });
    }
    b.0
}

/// The distance of `got` from `want`, in units in the last place of `want` as an f32.
fn ulps(got: f32, want: f64) -> f64 {
    let near = want as f32;
    if (got.is_nan() && want.is_nan()) || got == near {
        // Equal as f32: at most half a unit, which is not worth dividing for.
        return if got.is_finite() { 0.5 } else { 0.0 };
    }
    if !got.is_finite() || !near.is_finite() {
        return f64::INFINITY;
    }
    let exponent = (near.abs().to_bits() >> 23).max(1) as i32;
    (got as f64 - want).abs() / 2f64.powi(exponent - 150)
}

fn sweep(context: &mut Context, cases: &[Case], bits: impl Iterator<Item = u32>) -> Vec<(f64, f32)> {
    let mut worst = vec![(0.0, 0.0); cases.len()];
    let mut bits = bits.peekable();
    while bits.peek().is_some() {
        let x: Vec<f32> = bits.by_ref().take(1 << 20).map(f32::from_bits).collect();
        let t = Tensor::from_slice(&[x.len()], &x);
        let out = context.run(&[&t]).unwrap();
        for ((y, (_, f, _)), worst) in out.iter().zip(cases).zip(&mut worst) {
            for (x, y) in x.iter().zip(y.to_vec::<f32>().unwrap()) {
                let e = ulps(y, f(*x as f64));
                if e > worst.0 {
                    *worst = (e, *x);
                }
            }
        }
    }
    worst
}

fn measure(step: usize) {
    let cases = cases();
    let p = program(&cases.iter().map(|c| c.0).collect::<Vec<_>>());
    for cpu in [Cpu::X86V4, Cpu::X86V3].into_iter().filter(|c| has(*c)) {
        let lib = library(&p, &lapidary_llvm::CompileOptions { cpus: vec![cpu], ..Default::default() });
        let mut context = lib.context(2, None).unwrap();
        let special = [0x7f800000, 0xff800000, 0x7fc00000, 0, 0x80000000, 1, 0x80000001, 0x7f7fffff, 0xff7fffff];
        let bits = (0..=u32::MAX).step_by(step).chain(special);
        for ((op, _, bound), (e, x)) in cases.iter().zip(sweep(&mut context, &cases, bits)) {
            println!("{cpu:?} {op:?}: {e:.3} units at {x:e}");
            assert!(e <= *bound, "{cpu:?} {op:?}: {e} units at {x:e}, promised {bound}");
        }
    }
}

#[test]
fn errors_are_as_promised_on_a_sample() {
    measure(10007);
}

/// `cargo test --release -p lapidary-llvm --features llvm19 --test math -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn errors_are_as_promised_everywhere() {
    measure(1);
}

/// `x · sigmoid(x)`, and `sigmoid(x)` times something else, as `emit/math.rs` promises: below -88.7 it may be 0.
#[test]
fn gates() {
    let mut b = Build::new();
    let n = Dim::symbol("N");
    let (x, v) = (b.input(DType::F32, &[n.clone()]), b.input(DType::F32, &[n.clone()]));
    for own in [true, false] {
        let y = b.output(DType::F32, &[n.clone()]);
        let mut k = KernelBuilder::new("gate", &[]);
        let i = k.parallel("i", n.clone());
        let a = k.load(x, DType::F32, [i.into()]);
        let by = if own { a } else { k.load(v, DType::F32, [i.into()]) };
        let gate = k.unary(UnaryOp::Sigmoid, a);
        let r = k.mul(by, gate);
        k.store(y, [i.into()], r);
        b.kernel(k.finish(), Schedule::Map { vector: 0 });
    }
    let special = [0x7f800000, 0xff800000, 0x7fc00000, 0, 0x80000000, 1, 0x80000001, 0x7f7fffff, 0xff7fffff];
    let xs: Vec<f32> = (0..=u32::MAX).step_by(9973).chain(special).map(f32::from_bits).collect();
    let vs: Vec<f32> = xs.iter().map(|x| if x.is_nan() || *x > 0.0 { 3.7 } else { f32::NAN }).collect();
    let of = |v: &[f32]| Tensor::from_slice(&[v.len()], v);
    for cpu in [Cpu::X86V4, Cpu::X86V3].into_iter().filter(|c| has(*c)) {
        let lib = library(&b.0, &lapidary_llvm::CompileOptions { cpus: vec![cpu], ..Default::default() });
        let out = lib.context(1, None).unwrap().run(&[&of(&xs), &of(&vs)]).unwrap();
        for (y, factors) in out.iter().zip([&xs, &vs]) {
            for ((x, v), y) in xs.iter().zip(factors).zip(y.to_vec::<f32>().unwrap()) {
                let (a, v) = (f64::from(*x), f64::from(*v));
                let want = v / (1.0 + (-a).exp());
                let tiny = a < -88.7 && f64::from(y).abs() < 1e-35 && want.abs() < 1e-35;
                assert!(tiny || ulps(y, want) <= 2.5, "{cpu:?}: {v:e} times sigmoid({x:e}) is {y:e}, not {want:e}");
            }
        }
    }
}

#[test]
fn powers() {
    let n = Dim::symbol("N");
    let mut b = Build::new();
    let (x, y) = (b.input(DType::F32, &[n.clone()]), b.input(DType::F32, &[n.clone()]));
    let z = b.output(DType::F32, &[n.clone()]);
    let mut k = KernelBuilder::new("pow", &[]);
    let i = k.parallel("i", n);
    let (p, q) = (k.load(x, DType::F32, [i.into()]), k.load(y, DType::F32, [i.into()]));
    let v = k.binary(BinaryOp::Pow, p, q);
    k.store(z, [i.into()], v);
    b.kernel(k.finish(), Schedule::Map { vector: 0 });
    let lib = library(&b.0, &lapidary_llvm::CompileOptions { cpus: vec![Cpu::X86V3], ..Default::default() });
    let mut context = lib.context(1, None).unwrap();
    let mut bases: Vec<f32> = (0..=u32::MAX).step_by(4_000_037).map(f32::from_bits).collect();
    bases.extend([0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 2.0, -2.0, 0.5, 10.0, 1e-40]);
    let exponents =
        [0.0, -0.0, 1.0, -1.0, 2.0, 3.0, -3.0, 0.5, -0.5, 0.333, 2.2, 17.0, 100.5, -40.0, 1e10, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for e in exponents {
        let out = context.run(&[&Tensor::from_vec(bases.clone()), &Tensor::from_vec(vec![e; bases.len()])]).unwrap();
        for (x, got) in bases.iter().zip(out[0].to_vec::<f32>().unwrap()) {
            let want = (*x as f64).powf(e as f64);
            // The interpreter computes in f64, where a result may be finite that is none in f32.
            let error = ulps(got, want);
            assert!(error <= 0.6, "{x:e} ^ {e} is {got:e}, expected {want:e}: {error}");
        }
    }
}
