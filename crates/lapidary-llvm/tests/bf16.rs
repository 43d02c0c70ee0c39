//! Products of factors rounded to bf16: native against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};
use lapidary_kernel::{ExprKind, Factors, Kernel, Stmt};

/// Runs the graph natively and in the evaluator; a tile of bf16 must compute its product.
fn agrees(source: &str, inputs: &[Tensor]) {
    let halves = |k: &Kernel| match &k.body[0] {
        Stmt::Reduce { local, value, .. } => match k.expr(*value).kind {
            ExprKind::Binary(_, x, y) => k.factors(k.local(*local).dtype, x, y).is_some_and(|(of, _)| of == Factors::Bf16),
            _ => false,
        },
        _ => false,
    };
    // What is left is the order of the sums.
    agrees_in_tiles(source, inputs, 1e-5, &halves);
}

/// `%to` is `%from` rounded, of this shape.
fn rounded(from: &str, to: &str, shape: &str) -> String {
    format!("  %{to}_16 = Cast(%{from}) {{to=16}} : bf16{shape}\n  %{to} = Cast(%{to}_16) {{to=1}} : f32{shape}\n")
}

#[test]
fn weights_and_rows_of_any_number() {
    for (m, k, n) in [(1, 64, 37), (1, 30, 16), (7, 30, 37), (13, 64, 96), (50, 4, 48), (1, 31, 16), (7, 3, 20), (9, 5, 37), (17, 197, 64)] {
        let w = random(DType::BF16, &[k, n], 2);
        let source = format!(
            "graph @g(%x: f32[M, {k}]) {{\n{}  %wide = Cast(%w) {{to=1}} : f32[{k}, {n}]\n{}  %y = MatMul(%a, %wide) : f32[M, {n}]\n  \
             %r = Relu(%y) : f32[M, {n}]\n  return %r\n}}\n",
            constant("w", &w),
            rounded("x", "a", &format!("[M, {k}]")),
        );
        agrees(&source, &[random(DType::F32, &[m, k], 1)]);
    }
}

#[test]
fn products_of_two_activations() {
    let (x, w) = (random(DType::F32, &[3, 5, 22], 1), random(DType::F32, &[3, 40, 22], 2));
    let source = format!(
        "graph @g(%x: f32[B, 5, 22], %w: f32[B, N, 22]) {{\n  %t = Transpose(%w) {{perm=[0, 2, 1]}} : f32[B, 22, N]\n{}{}  \
         %y = MatMul(%a, %b) : f32[B, 5, N]\n  return %y\n}}\n",
        rounded("x", "a", "[B, 5, 22]"),
        rounded("t", "b", "[B, 22, N]"),
    );
    agrees(&source, &[x, w]);
}

/// Of an odd number of terms the last has no neighbour: what lies in its place is the next row, which may hold anything.
#[test]
fn rows_of_odd_length_leave_their_neighbours_alone() {
    let (m, k, n) = (11, 35, 32);
    let (x, w) = (random(DType::F32, &[m, k], 1), random(DType::BF16, &[k, n], 2));
    let source = format!(
        "graph @g(%x: f32[{m}, {k}]) {{\n{}  %wide = Cast(%w) {{to=1}} : f32[{k}, {n}]\n{}  %y = MatMul(%a, %wide) : f32[{m}, {n}]\n  return %y\n}}\n",
        constant("w", &w),
        rounded("x", "a", &format!("[{m}, {k}]")),
    );
    let mut values: Vec<f32> = x.to_f64().unwrap().into_iter().map(|v| v as f32).collect();
    for row in (1..m).step_by(2) {
        values[row * k] = if row % 4 == 1 { f32::NAN } else { f32::INFINITY };
    }
    agrees(&source, &[Tensor::from_slice(&[m, k], &values)]);
}

#[test]
fn convolutions_with_padding() {
    for (channels, stride, kernel) in [(17, 1, 3), (33, 2, 1), (3, 2, 7), (3, 1, 5), (4, 2, 5), (6, 2, 7), (6, 1, 3), (16, 1, 1), (32, 2, 3)] {
        let pad = kernel / 2;
        let (x, w) = (random(DType::F32, &[2, channels, 11, 9], 1), random(DType::BF16, &[20, channels, kernel, kernel], 2));
        let (h, v) = ((11 + 2 * pad - kernel) / stride + 1, (9 + 2 * pad - kernel) / stride + 1);
        let source = format!(
            "graph @g(%x: f32[N, {channels}, 11, 9]) {{\n{}  %wide = Cast(%w) {{to=1}} : f32[20, {channels}, {kernel}, {kernel}]\n{}  \
             %y = Conv(%a, %wide) {{pads=[{pad}, {pad}, {pad}, {pad}], strides=[{stride}, {stride}]}} : f32[N, 20, {h}, {v}]\n  return %y\n}}\n",
            constant("w", &w),
            rounded("x", "a", &format!("[N, {channels}, 11, 9]")),
        );
        agrees(&source, &[x]);
    }
}

/// A joint projection, whose parts are rounded each for itself; pairs of one part go into panels as they are.
#[test]
fn parts_of_one_value() {
    let (x, w) = (random(DType::F32, &[37, 8], 1), random(DType::F32, &[8, 64], 2));
    let source = format!(
        "graph @g(%x: f32[M, 8]) {{\n{}  const %split : i64[2] = [32, 32]\n  %j = MatMul(%x, %w) : f32[M, 64]\n  \
         %q, %k = Split(%j, %split) {{axis=1}} : f32[M, 32], f32[M, 32]\n  %t = Transpose(%k) {{perm=[1, 0]}} : f32[32, M]\n{}{}  \
         %y = MatMul(%a, %b) : f32[M, M]\n  return %y\n}}\n",
        constant("w", &w),
        rounded("q", "a", "[M, 32]"),
        rounded("t", "b", "[32, M]"),
    );
    agrees(&source, std::slice::from_ref(&x));
    agrees_natively(&source, &[x], 1e-5, &|kernels| assert!(kernels.iter().any(|(_, template)| *template == "turn"), "{source}"));
}

/// What lies next to the factors must not count, though it be NaN.
#[test]
fn sums_of_an_odd_number_of_terms_take_floats() {
    let source = format!(
        "graph @g(%x: f32[M, 31]) {{\n{}  %wide = Cast(%w) {{to=1}} : f32[31, 16]\n{}  %y = MatMul(%a, %wide) : f32[M, 16]\n  return %y\n}}\n",
        constant("w", &random(DType::BF16, &[31, 16], 2)),
        rounded("x", "a", "[M, 31]"),
    );
    agrees_in_tiles(&source, &[random(DType::F32, &[9, 31], 1)], 1e-5, &|_| true);
}
