//! A node of an older version means the same after it was lifted, and lowering undoes the lift.

mod support;

use lapidary_ir::{Attr, DType, Graph, NodeId, Tensor};
use lapidary_ops::{find, infer_types};
use support::{eval, graph, ramp, run};

fn lift(g: &mut Graph, n: NodeId) -> bool {
    let (forms, now) = (find(&g.node(n).op).expect("a known operator").forms, g.node(n).op.version);
    for form in forms.iter().rev().filter(|f| f.since > now) {
        if !(form.lift)(g, n).expect("a lift that does not fail") {
            return false;
        }
    }
    true
}

/// Lowers to before `version`; the reason when that cannot be.
fn lower(g: &mut Graph, n: NodeId, version: u32) -> Result<(), String> {
    let (forms, now) = (find(&g.node(n).op).expect("a known operator").forms, g.node(n).op.version);
    for form in forms.iter().filter(|f| f.since > version && f.since <= now) {
        (form.lower)(g, n)?;
        g.node_mut(n).op.version = form.since - 1;
    }
    Ok(())
}

/// Old, lifted and lowered again: one meaning, and the old attributes at the end.
fn round_trip(op: &str, version: u32, attrs: &[(&str, Attr)], inputs: &[Tensor], outputs: usize) {
    let (mut g, n) = graph(op, version, attrs, inputs, outputs);
    let before = run(&mut g, inputs).unwrap_or_else(|e| panic!("{op}-{version}: {e}"));
    assert!(lift(&mut g, n), "{op}-{version} was not lifted");
    let after = run(&mut g, inputs).unwrap_or_else(|e| panic!("{op}-{version} lifted: {e}"));
    assert_eq!(before, after, "{op}-{version} lifted means something else");
    lower(&mut g, n, version).unwrap_or_else(|e| panic!("{op}-{version} lowered: {e}"));
    assert_eq!(before, run(&mut g, inputs).unwrap_or_else(|e| panic!("{op}-{version} lowered: {e}")), "{op}-{version} lowered");
}

#[test]
fn attributes_become_operands_and_attributes_again() {
    let x = [ramp(&[2, 3, 4], 0.5)];
    let ints = |v: &[i64]| Attr::Ints(v.to_vec());
    round_trip("Clip", 6, &[("min", Attr::Float(2.0)), ("max", Attr::Float(7.0))], &x, 1);
    for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"] {
        round_trip(op, 11, &[("axes", ints(&[-1, 0])), ("keepdims", Attr::Int(0))], &x, 1);
        round_trip(op, 1, &[], &x, 1);
    }
    round_trip("TopK", 1, &[("k", Attr::Int(2))], &x, 2);
    round_trip("Dropout", 7, &[("ratio", Attr::Float(0.25))], &x, 1);
}

#[test]
fn operands_are_aligned_with_the_named_axis() {
    let x = [ramp(&[2, 3, 4], 1.0), Tensor::from_vec(vec![10f32, 20.0, 30.0])];
    let attrs = [("broadcast", Attr::Int(1)), ("axis", Attr::Int(1))];
    let (mut g, n) = graph("Add", 6, &attrs, &x, 1);
    let before = run(&mut g, &x).unwrap();
    assert_eq!(before.to_vec::<f32>().unwrap()[..5], [10.0, 11.0, 12.0, 13.0, 24.0]);
    assert!(lift(&mut g, n));
    assert_eq!(before, run(&mut g, &x).unwrap());
    assert_eq!(g.producer(g.node(n).input(1).unwrap()).op.name.as_ref(), "Unsqueeze");
    // A slope per channel was aligned without being asked.
    let x = [ramp(&[1, 2, 3], -1.0), Tensor::from_vec(vec![2f32, 3.0])];
    let (mut g, n) = graph("PRelu", 6, &[], &x, 1);
    let before = run(&mut g, &x).unwrap();
    assert_eq!(before.to_vec::<f32>().unwrap(), [0.0, -2.0, -4.0, -9.0, -12.0, -15.0]);
    assert!(lift(&mut g, n));
    assert_eq!(before, run(&mut g, &x).unwrap());
}

#[test]
fn trailing_axes_are_broadcast_both_ways() {
    let x = [ramp(&[2, 3], 1.0), Tensor::from_vec(vec![1f32, 2.0, 3.0])];
    round_trip("Mul", 6, &[("broadcast", Attr::Int(1))], &x, 1);
    round_trip("Max", 6, &[], &[x[0].clone(), x[0].clone()], 1);
}

#[test]
fn softmax_of_a_matrix_is_lifted_along_the_last_axis_only() {
    let x = [ramp(&[2, 3, 4], 0.25)];
    round_trip("Softmax", 11, &[("axis", Attr::Int(2))], &x, 1);
    round_trip("LogSoftmax", 1, &[("axis", Attr::Int(2))], &x, 1);
    let (mut g, n) = graph("Softmax", 11, &[], &x, 1);
    let y = run(&mut g, &x).unwrap();
    let sum: f32 = y.to_vec::<f32>().unwrap()[..12].iter().sum();
    assert!((sum - 1.0).abs() < 1e-6, "a row is 3 · 4 elements");
    assert!(!lift(&mut g, n));
    assert_eq!(g.node(n).op.version, 11);
}

#[test]
fn batch_normalization_with_more_results_than_one_is_training() {
    let p = |v: f32| Tensor::from_vec(vec![v, v + 1.0]);
    let x = [ramp(&[2, 2, 2], 1.0), p(1.0), p(2.0), p(3.0), p(4.0)];
    let (mut g, n) = graph("BatchNormalization", 9, &[], &x, 5);
    let before = run(&mut g, &x).unwrap();
    assert!(lift(&mut g, n));
    assert_eq!((g.node(n).outputs().len(), g.node(n).attrs.int("training_mode")), (3, Some(1)));
    assert_eq!(before, run(&mut g, &x).unwrap());
    lower(&mut g, n, 9).unwrap();
    assert_eq!((g.node(n).outputs().len(), g.node(n).attrs.int("training_mode")), (5, None));
    let (mut g, n) = graph("BatchNormalization", 9, &[], &x, 5);
    g.set_outputs(vec![n.out(0), n.out(3)]);
    assert!(!lift(&mut g, n), "saved statistics that are used keep the old form");
}

#[test]
fn names_of_types_become_codes() {
    round_trip("Cast", 1, &[("to", Attr::from("INT32"))], &[ramp(&[3], 1.5)], 1);
    assert_eq!(eval("Cast", 1, &[("to", Attr::from("INT32"))], &[ramp(&[3], 1.5)]).unwrap().dtype(), DType::I32);
}

#[test]
fn group_parameters_are_repeated_for_channels() {
    let x = ramp(&[1, 4, 2], 1.0);
    let (mut g, n) = graph("GroupNormalization", 18, &[("num_groups", Attr::Int(2))], &[x.clone()], 1);
    for (slot, name) in [(1, "scale"), (2, "bias")] {
        let v = g.add_const(name, Tensor::from_vec(vec![1f32, 2.0]));
        g.set_input(n, slot, Some(v));
    }
    let before = run(&mut g, &[x.clone()]).unwrap();
    assert!(lift(&mut g, n));
    assert_eq!(before, run(&mut g, &[x.clone()]).unwrap());
    lower(&mut g, n, 18).unwrap();
    assert_eq!(before, run(&mut g, &[x]).unwrap());
}

#[test]
fn lowering_says_why_not() {
    let x = ramp(&[2, 3], 1.0);
    let axes = Tensor::from_vec(vec![1i64]);
    let scales = Tensor::from_vec(vec![1f32, 2.0, 3.0]);
    let refused = |op: &str, now: u32, then: u32, attrs: &[(&str, Attr)], inputs: &[Tensor], reason: &str| {
        let (mut g, n) = graph(op, now, attrs, inputs, 1);
        infer_types(&mut g).unwrap();
        let e = lower(&mut g, n, then).expect_err(op);
        assert!(e.contains(reason), "{op}: {e}");
    };
    refused("ReduceSum", 13, 11, &[], &[x.clone(), axes], "computed");
    refused("ReduceMean", 18, 13, &[("noop_with_empty_axes", Attr::Int(1))], &[x.clone()], "reduce all axes");
    refused("Softmax", 13, 11, &[("axis", Attr::Int(0))], &[x.clone()], "last axis");
    refused("TopK", 11, 10, &[("largest", Attr::Int(0))], &[x.clone(), Tensor::scalar(1i64)], "largest");
    refused("Max", 13, 6, &[], &[x.clone(), scales.clone()], "equal shapes");
    refused("Add", 14, 6, &[], &[scales.clone(), x.clone()], "operand 1");
    refused("ArgMax", 13, 11, &[("select_last_index", Attr::Int(1))], &[x.clone()], "first index");
    refused("QuantizeLinear", 21, 19, &[("block_size", Attr::Int(3))], &[x.clone(), ramp(&[2, 1], 1.0)], "block");
    refused("QuantizeLinear", 13, 10, &[], &[x.clone(), scales], "one scale");
}
