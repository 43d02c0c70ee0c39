//! Against PyTorch's rounding, as `tests/scripts/make_golden_floats.py` wrote it down.

use super::rounding::{convert, exponent_bits};
use lapidary_ir::{DType, Element, Tensor, encode_16};

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf29ce484222325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100000001b3))
}

/// The numbers that the script draws.
fn drawn() -> Vec<f32> {
    let mut state = 1u64;
    let draw = |i: u32| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mut bits = (state >> 32) as u32;
        if i.is_multiple_of(4) {
            bits = bits & 0x807f_ffff | ((100 + (state >> 8) % 45) << 23) as u32;
        }
        if i.is_multiple_of(8) {
            bits &= 0xffff_f000;
        }
        f32::from_bits(bits)
    };
    (0..1_000_000).map(draw).collect()
}

/// Codes, all NaNs the same.
fn codes(values: &[f32], to: DType) -> Vec<u8> {
    let (t, _) = convert(&Tensor::from_slice(&[values.len()], values), to, true).unwrap();
    let code = |(v, c): (&f32, &[u8])| if v.is_nan() { u16::MAX } else { u16::read(c) };
    values.iter().zip(t.bytes().chunks_exact(2)).map(code).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn every_number_is_rounded_as_pytorch_rounds_it() {
    let golden = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/floats.txt")).unwrap();
    let (numbers, mut cases) = (drawn(), 0);
    for line in golden.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let to = DType::from_name(words[1]).unwrap();
        let hex = |i: usize| u64::from_str_radix(words[i], 16).unwrap();
        match words[0] {
            "case" => {
                let v = f32::from_bits(hex(2) as u32);
                let got = if v.is_nan() { u16::MAX } else { encode_16(f64::from(v), exponent_bits(to)) };
                assert_eq!(u64::from(got), hex(3), "{v:e} in {to}");
                cases += 1;
            }
            "widened" => {
                let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
                let wide = Tensor::new(to, &[65536], all).unwrap().to_f64().unwrap();
                let bits = wide.iter().map(|v| if v.is_nan() { u32::MAX } else { (*v as f32).to_bits() });
                assert_eq!(fnv(&bits.flat_map(u32::to_le_bytes).collect::<Vec<_>>()), hex(2), "{to}");
            }
            "drawn" => assert_eq!(fnv(&codes(&numbers, to)), hex(2), "{to}"),
            other => panic!("'{other}' is no line of this file"),
        }
    }
    assert!(cases > 100);
}

/// A NaN stays a NaN and keeps its sign, every code survives the way to f32 and back, and f64 is rounded once.
#[test]
fn codes_survive_and_f64_is_rounded_once() {
    for to in [DType::F16, DType::BF16] {
        let bits = exponent_bits(to);
        let wide = Tensor::new(to, &[65536], (0..=u16::MAX).flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap().to_f64().unwrap();
        for (code, v) in (0..=u16::MAX).zip(&wide) {
            let back = encode_16(*v, bits);
            assert!(back == code || (v.is_nan() && back & 0x7fff > (0x7fff >> (15 - bits)) << (15 - bits) && back & 0x8000 == code & 0x8000));
        }
        // Next to a tie, where f32 would already be one.
        let tie = 1.0 + 2f64.powi(bits as i32 - 16);
        assert_eq!(encode_16(tie, bits), encode_16(1.0, bits));
        assert_eq!(encode_16(tie.next_up(), bits), encode_16(1.0, bits) + 1);
    }
}

#[test]
fn what_is_lost_is_counted() {
    let t = Tensor::from_vec(vec![0.0f32, 1.0, 1e6, -1e9, 1e-6, 1e-12, f32::INFINITY, f32::NAN]);
    let (low, loss) = convert(&t, DType::F16, false).unwrap();
    assert_eq!((loss.overflow, loss.subnormal, loss.zero), (2, 2, 1));
    let v = low.to_f64().unwrap();
    assert_eq!((v[2], v[3], v[5], v[6]), (65504.0, -65504.0, 0.0, f64::INFINITY));
    assert!(v[7].is_nan());
    assert_eq!(convert(&t, DType::F16, true).unwrap().0.to_f64().unwrap()[3], f64::NEG_INFINITY);
}
