//! Products of codes: operators on 8-bit integers and dequantized factors, native against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};
use lapidary_kernel::{BinaryOp, ExprKind, Kernel};

/// Runs the graph on the inputs, natively and in the evaluator; its products must be tiles of codes.
fn agrees(source: &str, inputs: &[Tensor], rtol: f64) {
    let codes = |k: &lapidary_kernel::Kernel| k.locals.iter().any(|l| l.dtype == DType::I32);
    agrees_in_tiles(source, inputs, rtol, &codes);
}

#[test]
fn products_of_all_signs_with_zero_points() {
    let (m, k, n) = (13, 30, 37);
    for (a, b) in [("u8", "i8"), ("u8", "u8"), ("i8", "i8"), ("i8", "u8")] {
        let of = |name: &str| if name == "u8" { DType::U8 } else { DType::I8 };
        let (x, w) = (random(of(a), &[m, k], 1), random(of(b), &[k, n], 2));
        let (zx, zw) = (random(of(a), &[], 3), random(of(b), &[n], 4));
        let zeros = constant("zx", &zx) + &constant("zw", &zw);
        let product = "  %y = MatMulInteger(%x, %w, %zx, %zw) : i32[M, 37]\n  return %y\n}\n";
        let constants = format!("graph @g(%x: {a}[M, 30]) {{\n{zeros}{}{product}", constant("w", &w));
        agrees(&constants, &[x.clone()], 0.0);
        agrees(&format!("graph @g(%x: {a}[M, 30], %w: {b}[30, 37]) {{\n{zeros}{product}"), &[x, w], 0.0);
    }
}

#[test]
fn products_in_batches_with_a_symbolic_depth() {
    let (x, w) = (random(DType::U8, &[3, 5, 22], 1), random(DType::U8, &[3, 22, 40], 2));
    let zeros = "  const %zx : u8[] = 7\n  const %zw : u8[] = 200\n";
    let source = format!(
        "graph @g(%a: u8[B, 5, K], %w: u8[B, K, 40]) {{\n{zeros}  %x = Abs(%a) : u8[B, 5, K]\n  \
         %y = MatMulInteger(%x, %w, %zx, %zw) : i32[B, 5, 40]\n  return %y\n}}\n"
    );
    agrees(&source, &[x, w], 0.0);
}

#[test]
fn convolutions_with_padding() {
    for (channels, stride, kernel) in [(3, 2, 7), (5, 1, 3), (16, 1, 1), (16, 2, 3)] {
        let pad = kernel / 2;
        let (x, w) = (random(DType::U8, &[2, channels, 11, 9], 1), random(DType::I8, &[20, channels, kernel, kernel], 2));
        let (h, v) = ((11 + 2 * pad - kernel) / stride + 1, (9 + 2 * pad - kernel) / stride + 1);
        let source = format!(
            "graph @g(%a: u8[N, {channels}, 11, 9]) {{\n{}  const %z : u8[] = 131\n  %x = Abs(%a) : u8[N, {channels}, 11, 9]\n  \
             %y = ConvInteger(%x, %w, %z) {{pads=[{pad}, {pad}, {pad}, {pad}], strides=[{stride}, {stride}]}} : i32[N, 20, {h}, {v}]\n  return %y\n}}\n",
            constant("w", &w)
        );
        agrees(&source, &[x], 0.0);
    }
}

/// Outputs of layers: no tile is whole, all of their vectors are, and some. Of the 60 rows 4 are left.
const OUTPUTS: [usize; 3] = [24, 64, 80];

/// Positive scales of channels, about `most` at most.
fn scales(n: usize, most: f64) -> Tensor {
    let random = random(DType::F32, &[n], 3).to_f64().unwrap();
    Tensor::from_f64(DType::F32, &[n], &random.iter().map(|v| v.abs() * most + 1e-3).collect::<Vec<_>>()).unwrap()
}

/// Weights of 8 bits between quantized activations, with a bias and an activation, requantized.
#[test]
fn quantized_layers() {
    for n in OUTPUTS {
        let (x, w) = (random(DType::F32, &[2, 8, 6, 5], 1), random(DType::I8, &[n, 8, 3, 3], 2));
        let source = format!(
            "graph @g(%x: f32[N, 8, 6, 5]) {{\n{}{}{}  const %sx : f32[] = 0.0156\n  const %zx : u8[] = 120\n  const %sy : f32[] = 0.031\n  \
             const %zy : u8[] = 3\n  const %zw : i8[{n}] = splat(0)\n  %q = QuantizeLinear(%x, %sx, %zx) : u8[N, 8, 6, 5]\n  \
             %d = DequantizeLinear(%q, %sx, %zx) : f32[N, 8, 6, 5]\n  %v = DequantizeLinear(%w, %s, %zw) {{axis=0}} : f32[{n}, 8, 3, 3]\n  \
             %c = Conv(%d, %v, %b) {{pads=[1, 1, 1, 1]}} : f32[N, {n}, 6, 5]\n  %r = Relu(%c) : f32[N, {n}, 6, 5]\n  \
             %y = QuantizeLinear(%r, %sy, %zy) : u8[N, {n}, 6, 5]\n  return %y\n}}\n",
            constant("w", &w),
            constant("s", &scales(n, 1e-3)),
            constant("b", &random(DType::F32, &[n], 5)),
        );
        agrees(&source, &[x], 0.0);
    }
}

/// Operators on integers scale their sums in f32: half of these lie halfway between two codes, or next to it, by how the scales are rounded.
#[test]
fn operators_on_codes() {
    let scales =
        "  const %sx : f32[] = 0.1\n  const %sw : f32[] = 0.7\n  const %sy : f32[] = 0.14\n  const %zx : u8[] = 120\n  const %zw : i8[] = 0\n";
    for n in OUTPUTS {
        let (x, w) = (random(DType::U8, &[2, 8, 6, 5], 1), random(DType::I8, &[n, 8, 1, 1], 2));
        let source = format!(
            "graph @g(%x: u8[N, 8, 6, 5]) {{\n{}{scales}  const %b : i32[{n}] = splat(17)\n  \
             %y = QLinearConv(%x, %sx, %zx, %w, %sw, %zw, %sy, %zx, %b) : u8[N, {n}, 6, 5]\n  return %y\n}}\n",
            constant("w", &Tensor::from_i64(DType::I8, &[n, 8, 1, 1], &w.to_i64().unwrap().iter().map(|v| v % 3).collect::<Vec<_>>()).unwrap()),
        );
        agrees(&source, &[x], 0.0);
        let (x, w) = (random(DType::U8, &[30, 8], 1), random(DType::I8, &[8, n], 2));
        let source = format!(
            "graph @g(%x: u8[M, 8]) {{\n{}{scales}  %y = QLinearMatMul(%x, %sx, %zx, %w, %sw, %zw, %sy, %zx) : u8[M, {n}]\n  return %y\n}}\n",
            constant("w", &Tensor::from_i64(DType::I8, &[8, n], &w.to_i64().unwrap().iter().map(|v| v % 3).collect::<Vec<_>>()).unwrap()),
        );
        agrees(&source, &[x], 0.0);
    }
}

/// What a layer gives is rounded to codes before it is added to what it was given.
#[test]
fn residuals() {
    for (n, (dtype, zero)) in OUTPUTS.into_iter().flat_map(|n| [("u8", 120), ("i8", -7)].map(|codes| (n, codes))) {
        let (x, w) = (random(DType::F32, &[2, n, 6, 5], 1), random(DType::I8, &[n, n, 1, 1], 2));
        let pair = |from: &str, to: &str, scale: &str| {
            format!(
                "  %{to}_q = QuantizeLinear(%{from}, %{scale}, %z) : {dtype}[N, {n}, 6, 5]\n  \
                 %{to} = DequantizeLinear(%{to}_q, %{scale}, %z) : f32[N, {n}, 6, 5]\n"
            )
        };
        let source = format!(
            "graph @g(%x: f32[N, {n}, 6, 5]) {{\n{}{}  const %sx : f32[] = 0.0156\n  const %z : {dtype}[] = {zero}\n  const %sc : f32[] = 0.02\n  \
             const %zw : i8[{n}] = splat(0)\n{}  %v = DequantizeLinear(%w, %s, %zw) {{axis=0}} : f32[{n}, {n}, 1, 1]\n  \
             %m = Conv(%d, %v) : f32[N, {n}, 6, 5]\n{}  %a = Add(%c, %d) : f32[N, {n}, 6, 5]\n  %y = QuantizeLinear(%a, %sx, %z) : {dtype}[N, {n}, 6, 5]\n  \
             return %y\n}}\n",
            constant("w", &w),
            constant("s", &scales(n, 1e-2)),
            pair("x", "d", "sx"),
            pair("m", "c", "sc"),
        );
        // The product is divided by its scale; what adds codes to codes is not.
        let quotients = |k: &Kernel| {
            k.exprs.iter().zip(k.live_exprs()).filter(|(e, live)| *live && matches!(e.kind, ExprKind::Binary(BinaryOp::Div, ..))).count()
        };
        agrees_in_tiles(&source, &[x], 0.0, &|k| quotients(k) == 1);
    }
}

/// The largest number of a window is found among codes, whatever its scale becomes; a scale below zero turns the order around.
#[test]
fn pools_of_codes() {
    for (dtype, zero, scale, to) in [("u8", 120, "0.0156", "0.0156"), ("i8", -7, "0.0156", "0.031"), ("u8", 0, "-0.02", "0.02")] {
        let x = random(if dtype == "u8" { DType::U8 } else { DType::I8 }, &[2, 24, 9, 7], 1);
        let source = format!(
            "graph @g(%x: {dtype}[N, 24, 9, 7]) {{\n  const %s : f32[] = {scale}\n  const %t : f32[] = {to}\n  const %z : {dtype}[] = {zero}\n  \
             %d = DequantizeLinear(%x, %s, %z) : f32[N, 24, 9, 7]\n  \
             %m = MaxPool(%d) {{kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]}} : f32[N, 24, 5, 4]\n  \
             %y = QuantizeLinear(%m, %t, %z) : {dtype}[N, 24, 5, 4]\n  return %y\n}}\n"
        );
        let codes = |k: &lapidary_kernel::Kernel| k.locals.iter().any(|l| matches!(l.dtype, DType::U8 | DType::I8));
        agrees_natively(&source, &[x], 0.0, &|kernels| {
            assert_eq!(kernels.iter().any(|(k, _)| codes(k)), !scale.starts_with('-'), "{source}");
        });
    }
}
