//! Operands that do not fit an operator are errors that say so.

mod support;

use lapidary_ir::{Attr, Tensor};
use lapidary_ops::{Datum, EvalOptions, evaluate_with, infer_types};
use support::{eval, graph, ramp};

#[test]
fn operands_that_do_not_fit_are_refused() {
    let x = ramp(&[2, 3], 1.0);
    let ints = Tensor::from_vec(vec![1i64, 2, 3]);
    let cases: &[(&str, &[(&str, Attr)], &[Tensor], &str)] = &[
        ("Add", &[], &[x.clone(), ints.clone()], "differ in type"),
        ("Add", &[], &[x.clone(), ramp(&[2], 1.0)], "3 and 2 differ"),
        ("Exp", &[], std::slice::from_ref(&ints), "not defined on i64"),
        ("Softmax", &[("axis", Attr::Int(2))], std::slice::from_ref(&x), "axis 2 does not exist"),
        ("ReduceSum", &[], &[x.clone(), Tensor::from_vec(vec![5i64])], "do not exist"),
        ("ArgMax", &[("axis", Attr::Int(-3))], std::slice::from_ref(&x), "axis -3 does not exist"),
        ("TopK", &[], &[x.clone(), Tensor::from_vec(vec![4i64])], "does not lie in 0..=3"),
        ("LayerNormalization", &[], &[x.clone(), ramp(&[2], 1.0)], "does not broadcast"),
        ("BatchNormalization", &[], &[x.clone(), ints.clone(), ints.clone(), ints.clone(), Tensor::from_vec(vec![1i64])], "differ in size"),
        ("InstanceNormalization", &[], &[x.clone(), ramp(&[2], 1.0), ramp(&[2], 1.0)], "does not fit the channels"),
        ("GroupNormalization", &[("num_groups", Attr::Int(2))], &[x.clone(), ramp(&[3], 1.0), ramp(&[3], 1.0)], "do not split"),
        ("QuantizeLinear", &[], &[x.clone(), ramp(&[2], 1.0)], "does not fit a tensor"),
        ("QuantizeLinear", &[], &[x.clone(), ramp(&[3], 1.0), Tensor::scalar(1u8)], "differ in shape"),
        ("DequantizeLinear", &[("block_size", Attr::Int(2))], &[x.clone(), ramp(&[2, 1], 1.0)], "does not fit a tensor"),
        ("Cast", &[("to", Attr::Int(99))], std::slice::from_ref(&x), "'to' is not an element type"),
        ("Cast", &[("to", Attr::Int(1))], &[Tensor::strings(&[1], vec!["seven".into()]).unwrap()], "'seven' is not a number"),
        ("Clip", &[], &[x.clone(), ramp(&[2], 1.0)], "must be a scalar"),
        ("Gelu", &[("approximate", Attr::from("erf"))], std::slice::from_ref(&x), "'approximate' is \"erf\""),
        ("BitShift", &[], &[Tensor::from_vec(vec![1u8]), Tensor::from_vec(vec![1u8])], "\"LEFT\" or \"RIGHT\""),
        ("LRN", &[], std::slice::from_ref(&x), "'size' must be positive"),
        ("LpNormalization", &[("p", Attr::Int(3))], std::slice::from_ref(&x), "'p' is 3"),
        ("Where", &[], &[x.clone(), x.clone(), x.clone()], "bool tensor is expected"),
        ("PRelu", &[], &[ramp(&[1, 3], 1.0), x.clone()], "does not fit"),
        ("MeanVarianceNormalization", &[], std::slice::from_ref(&x), "does not exist"),
    ];
    for (op, attrs, inputs, message) in cases {
        let e = eval(op, 25, attrs, inputs).expect_err(op).to_string();
        assert!(e.contains(message), "{op}: {e}");
    }
}

#[test]
fn a_result_beyond_the_limit_is_refused_before_it_is_made() {
    let x = [ramp(&[1000, 1], 1.0), ramp(&[1, 1000], 1.0)];
    let (mut g, _) = graph("Add", 14, &[], &x, 1);
    infer_types(&mut g).unwrap();
    let options = EvalOptions { max_value_bytes: 1 << 20 };
    let e = evaluate_with(&g, x.map(Datum::from).to_vec(), &options, &mut |_, _| {}).unwrap_err().to_string();
    assert!(e.contains("larger than the evaluation's limit"), "{e}");
}

#[test]
fn no_operator_panics_without_operands() {
    for def in lapidary_ops::OPS.iter().filter(|d| d.domain.is_empty()) {
        let _ = eval(def.name, 25, &[], &[]);
        let _ = eval(def.name, 25, &[], &[Tensor::from_vec(vec![1f32; 0])]);
        let scalars = vec![Tensor::scalar(1i64); 6];
        for count in 1..6 {
            let _ = eval(def.name, 25, &[], &scalars[..count]);
            let _ = eval(def.name, 25, &[("axis", Attr::Int(7)), ("block_size", Attr::Int(-1))], &scalars[..count]);
        }
    }
}
