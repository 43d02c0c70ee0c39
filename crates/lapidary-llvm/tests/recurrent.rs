//! Recurrent layers: native against the evaluator, on one and two threads, with sequences of known and unknown length.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};

/// A layer of `hidden` units whose weights are constants, or inputs.
fn layer(op: &str, gates: usize, attrs: &str, (x, steps, batch): (&str, usize, usize), hidden: usize, given: bool, lengths: bool) {
    let (inputs, rows) = (10, gates * hidden);
    let directions = if attrs.contains("bidirectional") { 2 } else { 1 };
    let weights = [&[directions, rows, inputs][..], &[directions, rows, hidden], &[directions, 2 * rows]];
    let weights: Vec<Tensor> = weights.iter().enumerate().map(|(i, sizes)| small(sizes, 7 + i as u64)).collect();
    let (mut parameters, mut constants) = (vec![format!("%x: f32[{x}]")], String::new());
    let sizes = if attrs.contains("layout=1") { [batch, steps, inputs] } else { [steps, batch, inputs] };
    let mut operands = vec![random(DType::F32, &sizes, 3)];
    for (name, t) in ["w", "r", "b"].iter().zip(&weights) {
        if given {
            parameters.push(format!("%{name}: {}", t.ty()));
            operands.push(t.clone());
        } else {
            constants += &constant(name, t);
        }
    }
    if lengths {
        parameters.push("%l: i32[N]".into());
        let each: Vec<i64> = (0..batch).map(|b| (steps / (b + 1)) as i64).collect();
        operands.push(Tensor::from_i64(DType::I32, &[batch], &each).unwrap());
    }
    let results = if op == "LSTM" { "%y, %h, %c" } else { "%y, %h" };
    let source = format!(
        "graph @g({}) {{\n{constants}  {results} = {op}(%x, %w, %r, %b{}) {{hidden_size={hidden}{attrs}}}\n  return {results}\n}}\n",
        parameters.join(", "),
        if lengths { ", %l" } else { "" },
    );
    agrees_natively(&source, &operands, 1e-5, &|_| {});
}

/// Weights that do not make small differences of one step large ones of the next.
fn small(sizes: &[usize], seed: u64) -> Tensor {
    let values: Vec<f64> = random(DType::F32, sizes, seed).to_f64().unwrap().iter().map(|v| v / 8.0).collect();
    Tensor::from_f64(DType::F32, sizes, &values).unwrap()
}

const LAYERS: [(&str, usize, &str); 4] = [("LSTM", 4, ""), ("GRU", 3, ""), ("GRU", 3, ", linear_before_reset=1"), ("RNN", 1, "")];

#[test]
fn both_directions_of_symbolic_sequences() {
    for (op, gates, attrs) in LAYERS {
        let attrs = format!("{attrs}, direction=\"bidirectional\"");
        layer(op, gates, &attrs, ("T, N, 10", 9, 3), 32, false, false);
        layer(op, gates, &attrs, ("T, N, 10", 1, 1), 24, false, true);
        // No step, and no sequence.
        layer(op, gates, &attrs, ("T, N, 10", 0, 2), 24, false, false);
        layer(op, gates, &attrs, ("T, N, 10", 4, 0), 24, false, false);
    }
}

#[test]
fn known_steps_of_one_sequence() {
    for (op, gates, attrs) in LAYERS {
        for direction in ["forward", "reverse"] {
            layer(op, gates, &format!("{attrs}, direction=\"{direction}\""), ("9, 1, 10", 9, 1), 32, false, false);
        }
        layer(op, gates, attrs, ("1, 1, 10", 1, 1), 32, false, false);
    }
}

#[test]
fn weights_and_lengths_that_are_given() {
    for (op, gates, attrs) in LAYERS {
        let attrs = format!("{attrs}, direction=\"bidirectional\", layout=1");
        layer(op, gates, &attrs, ("N, T, 10", 7, 4), 20, true, true);
        layer(op, gates, &attrs, ("N, 7, 10", 7, 4), 3, true, true);
    }
}

/// States of one step and sums of the next share nothing with other layers, and nothing of them is lost between.
#[test]
fn layers_upon_layers() {
    let shapes = [("w0", vec![2, 96, 10]), ("r0", vec![2, 96, 24]), ("w1", vec![1, 72, 48]), ("r1", vec![1, 72, 24])];
    let weights: String = shapes.iter().enumerate().map(|(i, (name, sizes))| constant(name, &small(sizes, 20 + i as u64))).collect();
    let source = format!(
        "graph @g(%x: f32[N, T, 10]) {{\n{weights}  const %s : i64[3] = [0, 0, -1]\n  %t = Transpose(%x) {{perm=[1, 0, 2]}}\n  \
         %y, %h, %c = LSTM(%t, %w0, %r0) {{hidden_size=24, direction=\"bidirectional\"}}\n  %u = Transpose(%y) {{perm=[0, 2, 1, 3]}}\n  \
         %v = Reshape(%u, %s)\n  %z, %g = GRU(%v, %w1, %r1) {{hidden_size=24, direction=\"reverse\"}}\n  %e = Add(%h, %c)\n  \
         return %z, %g, %e\n}}\n"
    );
    agrees_natively(&source, &[random(DType::F32, &[2, 6, 10], 1)], 1e-5, &|_| {});
}
