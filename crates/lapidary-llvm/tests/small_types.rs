//! Elements of a byte or less: converted and stored as the interpreter does, code by code.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::interp::interpret;
use lapidary_kernel::*;
use lapidary_llvm::CompileOptions;

/// `y = cast(x)`, one point after the other where elements share bytes.
fn cast(from: DType, to: DType, n: usize) -> Program {
    let mut b = Build::new();
    let x = b.input(from, &[Dim::from(n)]);
    let y = b.output(to, &[Dim::from(n)]);
    let mut k = KernelBuilder::new("cast", &[]);
    let i = k.parallel("i", Dim::from(n));
    let v = k.load(x, from, [i.into()]);
    let v = k.cast(to, v);
    k.store(y, [i.into()], v);
    b.kernel(k.finish(), if to.is_packed() { Schedule::Serial } else { Schedule::Map { vector: 0 } });
    b.0
}

/// The bytes are those that the interpreter writes.
fn exactly(from: DType, to: DType, x: &Tensor) {
    let p = cast(from, to, x.len());
    let want = interpret(&p, &[x.clone()], &|_| None).unwrap();
    for cpu in [Cpu::X86V4, Cpu::X86V3].into_iter().filter(|c| has(*c)) {
        let lib = library(&p, &CompileOptions { cpus: vec![cpu], ..CompileOptions::default() });
        let got = lib.context(2, None).unwrap().run(&[x]).unwrap();
        let wrong = got[0].bytes().iter().zip(want[0].bytes()).position(|(a, b)| a != b);
        if let Some(i) = wrong {
            let v = x.to_f64().unwrap()[i * 8 / to.bits()];
            panic!("{cpu:?}: {from} to {to}: {v:e} gives {:#x}, expected {:#x}", got[0].bytes()[i], want[0].bytes()[i]);
        }
    }
}

/// Every f16, which holds all ties and limits of smaller types, and numbers right beside each of them.
fn numbers() -> Vec<f32> {
    let mut out = vec![];
    for code in 0..=u16::MAX {
        let v = Tensor::new(DType::F16, &[1], code.to_le_bytes().to_vec()).unwrap().to_f64().unwrap()[0] as f32;
        // One NaN: its sign and payload are nobody's business.
        if v.is_nan() {
            continue;
        }
        out.push(v);
        if code % 16 == 0 {
            out.extend([v.next_up(), v.next_down()]);
        }
    }
    out.extend([f32::NAN, f32::MAX, f32::MIN_POSITIVE, 1e-40, -1e-40]);
    out
}

#[test]
fn floats_become_small_floats_to_nearest_even() {
    let v = numbers();
    let x = Tensor::from_slice(&[v.len()], &v);
    for to in [DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ, DType::F4E2M1] {
        exactly(DType::F32, to, &x);
    }
}

#[test]
fn other_types_become_small_floats_too() {
    let ints: Vec<i64> = (-600..600).chain([i64::MAX, i64::MIN, 57345, 61439, 61440]).collect();
    let doubles: Vec<f64> = (-400..400).map(|i| f64::from(i) * 0.3125 + f64::EPSILON * f64::from(i % 3)).collect();
    for to in [DType::F8E4M3FN, DType::F8E5M2FNUZ, DType::F4E2M1] {
        exactly(DType::I64, to, &Tensor::from_slice(&[ints.len()], &ints));
        exactly(DType::F64, to, &Tensor::from_slice(&[doubles.len()], &doubles));
    }
    let codes = Tensor::new(DType::F8E4M3FN, &[254], (0u8..127).chain(128..255).collect::<Vec<_>>()).unwrap();
    exactly(DType::F8E4M3FN, DType::F8E5M2, &codes);
}

#[test]
fn integers_of_less_than_a_byte_wrap_from_integers_and_saturate_from_floats() {
    let ints: Vec<i32> = (-300..301).collect();
    let floats: Vec<f32> = (-90..91).map(|i| i as f32 * 0.25).chain([f32::INFINITY, f32::NAN]).collect();
    for to in [DType::I4, DType::U4, DType::I2, DType::U2] {
        exactly(DType::I32, to, &Tensor::from_slice(&[ints.len()], &ints));
        exactly(DType::F32, to, &Tensor::from_slice(&[floats.len()], &floats));
        exactly(DType::Bool, to, &Tensor::from_slice(&[5], &[true, false, true, true, false]));
    }
    let packed = Tensor::from_i64(DType::I4, &[15], &(-8..7).collect::<Vec<_>>()).unwrap();
    for to in [DType::I4, DType::U4, DType::I2, DType::U2, DType::I8, DType::F4E2M1] {
        exactly(DType::I4, to, &packed);
    }
}
