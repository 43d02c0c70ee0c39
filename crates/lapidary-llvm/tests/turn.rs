//! Copies that read along one axis and write along another: native against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};

/// Runs the graph natively and in the evaluator; so many kernels turn squares.
fn agrees(source: &str, inputs: &[Tensor], rtol: f64, turns: usize) {
    agrees_natively(source, inputs, rtol, &|kernels| {
        assert_eq!(kernels.iter().filter(|(_, template)| *template == "turn").count(), turns, "{source}");
    });
}

#[test]
fn transposes_of_any_size() {
    for (a, b) in [(16, 16), (40, 33), (200, 8), (9, 130), (64, 3), (3, 64), (1, 20), (130, 2)] {
        let (x, few) = (random(DType::F32, &[2, a, b], 1), (2..=4).contains(&a));
        let source = format!(
            "graph @g(%x: f32[N, {a}, B]) {{\n  %y = Transpose(%x) {{perm=[0, 2, 1]}} : f32[N, B, {a}]\n  \
             %z = Transpose(%x) {{perm=[2, 0, 1]}} : f32[B, N, {a}]\n  return %y, %z\n}}\n"
        );
        let turns = if a >= 8 { 2 } else { 1 };
        agrees(&source, std::slice::from_ref(&x), 0.0, turns);
        let source = format!("graph @g(%x: f32[2, {a}, {b}]) {{\n  %y = Transpose(%x) {{perm=[0, 2, 1]}} : f32[2, {b}, {a}]\n  return %y\n}}\n");
        agrees(&source, &[x], 0.0, usize::from(b >= 8 && (few || a >= 8) || a >= 8 && (2..=4).contains(&b)));
    }
}

#[test]
fn transposes_of_any_type() {
    for dtype in [DType::I32, DType::F16, DType::BF16, DType::U8, DType::I8, DType::I64, DType::Bool] {
        for a in [3, 20] {
            let source =
                format!("graph @g(%x: {dtype}[N, {a}, B]) {{\n  %y = Transpose(%x) {{perm=[0, 2, 1]}} : {dtype}[N, B, {a}]\n  return %y\n}}\n");
            agrees(&source, &[random(dtype, &[2, a, 37], 1)], 0.0, usize::from(dtype.bits() <= 32 && dtype != DType::Bool));
        }
    }
}

/// Something is computed on the way, with what varies along either axis.
#[test]
fn results_of_other_types() {
    let (x, c) = (random(DType::F32, &[3, 50, 37], 1), random(DType::F32, &[50], 2));
    let source = format!(
        "graph @g(%x: f32[N, 50, 37]) {{\n{}  %t = Transpose(%x) {{perm=[0, 2, 1]}} : f32[N, 37, 50]\n  %a = Add(%t, %c) : f32[N, 37, 50]\n  \
         %y = Cast(%a) {{to=10}} : f16[N, 37, 50]\n  %z = Cast(%x) {{to=16}} : bf16[N, 50, 37]\n  \
         %w = Transpose(%z) {{perm=[2, 0, 1]}} : bf16[37, N, 50]\n  return %y, %w\n}}\n",
        constant("c", &c)
    );
    agrees(&source, &[x], 0.0, 2);
}

/// Images of few channels with a margin, as convolutions want them.
#[test]
fn margins() {
    for channels in [2, 3, 4, 12] {
        let (x, w) = (random(DType::F32, &[2, channels, 21, 19], 1), random(DType::F32, &[16, channels, 3, 3], 2));
        let source = format!(
            "graph @g(%x: f32[N, {channels}, 21, 19]) {{\n{}  %y = Conv(%x, %w) {{pads=[1, 2, 1, 0], strides=[2, 2]}} : f32[N, 16, 11, 10]\n  \
             return %y\n}}\n",
            constant("w", &w)
        );
        agrees(&source, &[x], 1e-5, 2);
    }
}

/// Images whose channels come last, as their decoders leave them: channels that follow each other.
#[test]
fn channels_taken_apart() {
    for channels in [2, 3, 4, 5] {
        for width in [1, 16, 45, 150] {
            let source = format!(
                "graph @g(%x: u8[N, 9, W, {channels}]) {{\n  const %s : f32[] = 0.25\n  %f = Cast(%x) {{to=1}} : f32[N, 9, W, {channels}]\n  \
                 %m = Mul(%f, %s) : f32[N, 9, W, {channels}]\n  %y = Transpose(%m) {{perm=[0, 3, 1, 2]}} : f32[N, {channels}, 9, W]\n  \
                 return %y\n}}\n"
            );
            agrees(&source, &[random(DType::U8, &[2, 9, width, channels], 1)], 0.0, usize::from(channels <= 4));
        }
    }
}

/// What belongs to a channel would have to be spread over the lanes.
#[test]
fn refuses_to_take_apart_what_two_buffers_hold() {
    let source = "graph @g(%x: f32[N, 40, 3]) {\n  const %s : f32[3] = [0.5, 2.0, 1.0]\n  %m = Mul(%x, %s) : f32[N, 40, 3]\n  \
                  %y = Transpose(%m) {perm=[0, 2, 1]} : f32[N, 3, 40]\n  return %y\n}\n";
    agrees(source, &[random(DType::F32, &[2, 40, 3], 1)], 0.0, 0);
}
