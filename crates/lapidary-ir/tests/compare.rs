//! When results count as equal, case by case as the contract says it.

use lapidary_ir::{DType, Tensor, Tolerance, compare};

fn f32s(v: &[f32]) -> Tensor {
    Tensor::from_vec(v.to_vec())
}

fn passes(got: &[f32], want: &[f32], tolerance: Tolerance) -> bool {
    compare(&f32s(got), &f32s(want), tolerance).passed
}

#[test]
fn each_element_has_its_own_bound_with_rtol_and_atol() {
    let t = Tolerance::AbsRel { rtol: 0.25, atol: 0.5 };
    assert!(passes(&[5.5, 0.5], &[4.0, 0.0], t), "the bound itself is within");
    assert!(!passes(&[5.51, 0.0], &[4.0, 0.0], t));
    assert!(!passes(&[0.0, 0.51], &[4.0, 0.0], t));
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    assert!(passes(&[nan, inf, -inf], &[nan, inf, -inf], t));
    for (a, b) in [(nan, 0.0), (0.0, nan), (inf, -inf), (inf, f32::MAX), (1.0, inf), (nan, inf)] {
        assert!(!passes(&[a], &[b], t), "{a} against {b}");
    }
}

#[test]
fn the_largest_value_bounds_all_with_max_rel() {
    let t = Tolerance::MaxRel(0.25);
    assert!(passes(&[1.0, 4.0], &[0.0, 4.0], t));
    assert!(!passes(&[1.1, 4.0], &[0.0, 4.0], t));
    assert!(passes(&[0.0], &[0.0], t) && !passes(&[1e-30], &[0.0], t));
    assert!(passes(&[1.0, f32::INFINITY], &[1.25, f32::INFINITY], t), "infinity is no largest value");
    assert!(!passes(&[100.0, f32::INFINITY], &[1.0, f32::INFINITY], t));
    assert!(!passes(&[1.0], &[1.0], Tolerance::MaxRel(f64::NAN)));
}

#[test]
fn exact_means_bits_but_for_nans() {
    assert!(!passes(&[-0.0], &[0.0], Tolerance::Exact));
    assert!(passes(&[f32::from_bits(0x7fc00001)], &[f32::NAN], Tolerance::Exact));
    assert!(!passes(&[1.0 + f32::EPSILON], &[1.0], Tolerance::Exact));
}

#[test]
fn integers_booleans_and_strings_are_equal_whatever_the_tolerance() {
    let t = Tolerance::AbsRel { rtol: 1e9, atol: 1e9 };
    let c = compare(&Tensor::from_vec(vec![u64::MAX, 3]), &Tensor::from_vec(vec![u64::MAX - 1, 3]), t);
    assert!(!c.passed);
    assert_eq!((c.mismatches, c.max_abs), (1, 1.0));
    assert_eq!(c.first_mismatch.unwrap().to_string(), "at [0]: got 18446744073709551615, want 18446744073709551614");
    assert!(!compare(&Tensor::scalar(true), &Tensor::scalar(false), t).passed);
    let words = |w: &'static str| Tensor::strings(&[1], vec![w.into()]).unwrap();
    assert!(compare(&words("a"), &words("a"), t).passed);
    let c = compare(&words("a"), &words("b"), t);
    assert_eq!(c.first_mismatch.unwrap().to_string(), "at [0]: got \"a\", want \"b\"");
    let packed = |v: i64| Tensor::from_i64(DType::I4, &[], &[v]).unwrap();
    assert!(compare(&packed(-3), &packed(-3), t).passed && !compare(&packed(-3), &packed(3), t).passed);
}

#[test]
fn other_types_and_sizes_are_a_problem_not_a_mismatch() {
    let c = compare(&f32s(&[1.0]), &Tensor::scalar(1f32), Tolerance::default());
    assert_eq!((c.passed, c.to_string()), (false, "got f32[1], want f32[]".to_string()));
    assert!(compare(&Tensor::scalar(1f32), &Tensor::scalar(1f64), Tolerance::default()).problem.is_some());
}

#[test]
fn the_report_says_where_and_how_much() {
    let got = Tensor::from_slice(&[2, 2], &[1.0f32, 2.0, 3.5, 4.0]);
    let want = Tensor::from_slice(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    let c = compare(&got, &want, Tolerance::default());
    assert_eq!((c.max_abs, c.max_rel, c.reference_max, c.elements), (0.5, 0.125, 4.0, 4));
    assert_eq!(c.worst.as_ref().unwrap().index, [1, 0]);
    let db = 10.0 * (30.0f64 / 0.25).log10();
    assert!((c.sqnr_db.unwrap() - db).abs() < 1e-12);
    assert_eq!(
        c.to_string(),
        "max abs 5.000e-1, max rel 1.250e-1, 20.8 dB; 1 of 4 elements outside the tolerance, the first at [1, 0]: got 3.5e0, want 3e0"
    );
    assert_eq!(compare(&want, &want, Tolerance::Exact).sqnr_db, Some(f64::INFINITY));
}

#[test]
fn complex_numbers_compare_by_their_parts() {
    let c64 = |re: f32, im: f32| Tensor::new(DType::C64, &[1], [re.to_le_bytes(), im.to_le_bytes()].concat()).unwrap();
    assert!(compare(&c64(1.0, 2.0), &c64(1.0, 2.0), Tolerance::Exact).passed);
    let c = compare(&c64(1.0, 2.0), &c64(5.0, 9.0), Tolerance::default());
    assert_eq!((c.mismatches, c.first_mismatch.unwrap().index), (1, vec![0]));
}

#[test]
fn empty_tensors_are_equal() {
    let c = compare(&f32s(&[]), &f32s(&[]), Tolerance::default());
    assert!(c.passed && c.max_rel == 0.0);
}
