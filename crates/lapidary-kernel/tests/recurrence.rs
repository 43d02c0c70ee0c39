//! Recurrences: what they mean, and what the verifier refuses.

use lapidary_ir::{DType, Tensor};
use lapidary_kernel::interp::interpret;
use lapidary_kernel::text::parse_program;

/// In each of two rows every number is the sum of the two before, through a buffer between.
const FIBONACCI: &str = "program fibonacci {
  in 0 x: f32[2, 2]
  temp t: f32[2, T]
  out 0 y: f32[2, T + 2]

  kernel first {
    par d < 2, i < 2
    y[d, i] = x[d, i]
  }

  kernel sum {
    par d < 2, s < T
    recur 3 along s
    t[d, s] = y[d, s] + y[d, s + 1]
  }

  kernel next {
    par d < 2, s < T
    recur 3 along s
    y[d, s + 2] = t[d, s]
  }
}
";

#[test]
fn a_step_reads_what_the_steps_before_stored() {
    let p = parse_program(FIBONACCI, &|_| None).unwrap();
    assert_eq!(p.verify(), vec![]);
    let x = Tensor::from_slice(&[2, 2], &[1f32, 1.0, 2.0, 0.0]);
    let y = interpret(&p, &[x], &|_| Some(5)).unwrap();
    assert_eq!(y[0], Tensor::from_slice(&[2, 7], &[1f32, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 2.0, 0.0, 2.0, 2.0, 4.0, 6.0, 10.0]));
    assert_eq!(y[0].dtype(), DType::F32);
}

#[test]
fn its_text_reads_back() {
    let p = parse_program(FIBONACCI, &|_| None).unwrap();
    assert_eq!(p.to_text(), FIBONACCI);
}

#[test]
fn its_kernels_are_one_run() {
    let p = parse_program(FIBONACCI, &|_| None).unwrap();
    assert_eq!(p.runs(), [0..1, 1..3]);
    let strips = p.recurrences();
    assert_eq!(strips.len(), 1);
    assert_eq!((strips[0].range(), strips[0].axes), (1..3, 2));
    assert_eq!((strips[0].count.to_string(), strips[0].each.to_string()), ("2".into(), "T".into()));
}

#[test]
fn what_is_no_recurrence_is_named() {
    let cases = [
        ("par d < 2, s < T\n    recur 3 along s\n    y", "par d < 2, s < T + 1\n    recur 3 along s\n    y", "its steps are not those"),
        ("kernel next {\n    par d < 2, s < T", "kernel next {\n    par s < T, d < 2", "its steps are not those"),
        ("kernel next", "kernel next serial", "a serial kernel is part of a recurrence"),
        ("par d < 2, s < T\n    recur 3 along s\n    t", "par d < 2\n    axes s < T\n    recur 3 along s\n    t", "no parallel axis"),
        ("  kernel next", "  kernel between {\n    par d < 2\n    t[d, 0] = 0\n  }\n\n  kernel next", "another kernel stands between"),
        ("s + 1]\n", "s + 1]\n    schedule map { vector: s }\n", "the vector axis is not parallel"),
        ("s + 1]\n", "s + 1]\n    schedule map { vector: d }\n", "the vector axis is not parallel"),
    ];
    for (from, to, want) in cases {
        let text = FIBONACCI.replacen(from, to, 1);
        assert_ne!(text, FIBONACCI, "{from}");
        let found = parse_program(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}")).verify();
        assert!(found.iter().any(|d| d.to_string().contains(want)), "{to}: {found:?}");
    }
}
