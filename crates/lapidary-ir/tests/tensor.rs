//! Element types and their storage: every code of the small floats, packing of 4- and 2-bit elements, conversion, hashes.

use lapidary_ir::{DType, Tensor};
use proptest::prelude::*;

const F8: [DType; 5] = [DType::F8E4M3FN, DType::F8E5M2, DType::F8E4M3FNUZ, DType::F8E5M2FNUZ, DType::F8E8M0];

/// The value of every code of an 8- or 4-bit type.
fn values(dtype: DType) -> Vec<f64> {
    match dtype {
        DType::F4E2M1 => Tensor::new(dtype, &[16], (0..8u8).map(|i| (2 * i) | ((2 * i + 1) << 4)).collect::<Vec<_>>()),
        _ => Tensor::new(dtype, &[256], (0..=255u8).collect::<Vec<_>>()),
    }
    .unwrap()
    .to_f64()
    .unwrap()
}

#[test]
fn decoding_then_encoding_gives_every_code_back() {
    for dtype in F8.into_iter().chain([DType::F4E2M1]) {
        let values = values(dtype);
        let again = Tensor::from_f64(dtype, &[values.len()], &values).unwrap();
        for (i, (v, w)) in values.iter().zip(again.to_f64().unwrap()).enumerate() {
            match v {
                // ONNX's saturating cast makes the largest finite value of infinity.
                v if v.is_infinite() => assert_eq!(w.abs(), 57344.0, "{dtype} {i:#x}"),
                v if v.is_nan() => assert!(w.is_nan(), "{dtype} {i:#x}"),
                v => assert_eq!(v.to_bits(), w.to_bits(), "{dtype} {i:#x}: {v} became {w}"),
            }
        }
    }
}

#[test]
fn small_floats_have_the_values_of_their_definitions() {
    let at = |d: DType, code: usize| values(d)[code];
    // ONNX "Float stored in 8 bits" and OCP MX 1.0: largest, smallest normal, smallest subnormal.
    assert_eq!([at(DType::F8E4M3FN, 0x7e), at(DType::F8E4M3FN, 0x08), at(DType::F8E4M3FN, 0x01)], [448.0, 2f64.powi(-6), 2f64.powi(-9)]);
    assert_eq!([at(DType::F8E5M2, 0x7b), at(DType::F8E5M2, 0x04), at(DType::F8E5M2, 0x01)], [57344.0, 2f64.powi(-14), 2f64.powi(-16)]);
    assert_eq!([at(DType::F8E4M3FNUZ, 0x7f), at(DType::F8E4M3FNUZ, 0x08), at(DType::F8E4M3FNUZ, 0x01)], [240.0, 2f64.powi(-7), 2f64.powi(-10)]);
    assert_eq!([at(DType::F8E5M2FNUZ, 0x7f), at(DType::F8E5M2FNUZ, 0x04), at(DType::F8E5M2FNUZ, 0x01)], [57344.0, 2f64.powi(-15), 2f64.powi(-17)]);
    assert_eq!([at(DType::F8E8M0, 0), at(DType::F8E8M0, 127), at(DType::F8E8M0, 254)], [2f64.powi(-127), 1.0, 2f64.powi(127)]);
    assert_eq!(values(DType::F4E2M1)[..8], [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    assert!(at(DType::F8E5M2, 0x7c).is_infinite() && at(DType::F8E4M3FN, 0x7f).is_nan() && at(DType::F8E8M0, 255).is_nan());
    assert!(at(DType::F8E4M3FNUZ, 0x80).is_nan() && at(DType::F8E5M2FNUZ, 0x80).is_nan());
}

fn magnitude() -> impl Strategy<Value = f64> {
    (-1.0f64..1.0, -30i32..20).prop_map(|(m, e)| m * 2f64.powi(e))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn encoding_takes_the_nearest_code_and_the_even_one_of_two(v in magnitude(), between in any::<(u8, bool)>()) {
        for dtype in F8.into_iter().chain([DType::F4E2M1]) {
            let all = values(dtype);
            // Half the cases are exactly in the middle of two neighbours.
            let code = between.0 as usize % (all.len() - 1);
            let middle = (all[code] + all[code + 1]) / 2.0;
            let v = if between.1 && middle.is_finite() { middle } else { v };
            let v = if dtype == DType::F8E8M0 { v.abs() } else { v };
            let got = Tensor::from_f64(dtype, &[], &[v]).unwrap();
            let error = (got.to_f64().unwrap()[0] - v).abs();
            let best = all.iter().filter(|x| x.is_finite()).map(|x| (x - v).abs()).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(error, best, "{} {}", dtype, v);
            let ties = all.iter().filter(|x| x.is_finite() && (**x - v).abs() == best).count();
            if ties == 2 && v != 0.0 {
                prop_assert_eq!(got.bytes()[0] % 2, 0, "{} {} is a tie", dtype, v);
            }
        }
    }

    #[test]
    fn packed_elements_come_back(values in prop::collection::vec(-8i64..16, 0..20)) {
        for dtype in [DType::U4, DType::I4, DType::U2, DType::I2] {
            let (low, high) = dtype.int_range().map(|(l, h)| (l as i64, h as i64)).unwrap();
            let fitting: Vec<i64> = values.iter().map(|v| (*v).clamp(low, high)).collect();
            let t = Tensor::from_i64(dtype, &[fitting.len()], &fitting).unwrap();
            prop_assert_eq!(t.bytes().len(), (fitting.len() * dtype.bits()).div_ceil(8));
            prop_assert_eq!(t.to_i64().unwrap(), fitting.clone());
            // Values out of range saturate when they come as floats.
            let wide: Vec<f64> = values.iter().map(|v| *v as f64).collect();
            prop_assert_eq!(Tensor::from_f64(dtype, &[fitting.len()], &wide).unwrap(), t);
        }
    }

    #[test]
    fn hashes_tell_tensors_apart(t in lapidary_testkit::any_tensor(), u in lapidary_testkit::any_tensor()) {
        prop_assert_eq!(t == u, t.content_hash() == u.content_hash(), "{:?} {:?}", t, u);
        prop_assert_eq!(t.len(), t.sizes().iter().product::<usize>());
    }
}

#[test]
fn hashes_of_empty_tensors_are_their_own() {
    let hash = |sizes: &[usize]| Tensor::zeros(DType::I64, sizes).unwrap().content_hash();
    let all = [hash(&[0]), hash(&[]), hash(&[1, 0]), hash(&[1]), hash(&[0, 1])];
    for (i, a) in all.iter().enumerate() {
        assert!(!all[i + 1..].contains(a), "{i}");
    }
}

#[test]
fn the_first_element_is_in_the_low_bits() {
    assert_eq!(Tensor::from_i64(DType::U4, &[3], &[1, 2, 3]).unwrap().bytes()[..], [0x21, 0x03]);
    assert_eq!(Tensor::from_i64(DType::I2, &[5], &[-2, -1, 0, 1, -1]).unwrap().bytes()[..], [0b01_00_11_10, 0b11]);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    assert!(Tensor::new(DType::F32, &[2], vec![0u8; 7]).is_err());
    assert!(Tensor::zeros(DType::F32, &[usize::MAX, 2]).is_err());
    assert!(Tensor::zeros(DType::F64, &[usize::MAX / 4]).is_err());
    assert!(Tensor::from_f64(DType::F32, &[3], &[0.0; 2]).is_err());
    assert!(Tensor::from_f64(DType::String, &[0], &[]).is_err());
    assert!(Tensor::new(DType::String, &[0], vec![]).is_err());
    assert!(Tensor::scalar(1f32).reshaped(&[1, 1]).is_ok() && Tensor::scalar(1f32).reshaped(&[2]).is_err());
}
