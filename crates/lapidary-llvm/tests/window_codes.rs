//! Depthwise convolutions of 8-bit codes: native against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};
use lapidary_kernel::Cpu;
use std::cell::Cell;

/// A quantized depthwise convolution between quantized activations.
struct Layer {
    channels: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    activations: &'static str,
    zero: i64,
}

impl Layer {
    fn agrees(&self) {
        let Layer { channels, kernel, stride, dilation, activations, zero } = self;
        let (x, w) = (random(DType::F32, &[2, *channels, 13, 9], 1), random(DType::I8, &[*channels, 1, *kernel, *kernel], 2));
        let s: Vec<f64> = random(DType::F32, &[*channels], 3).to_f64().unwrap().iter().map(|v| v.abs() * 1e-2 + 1e-3).collect();
        let s = Tensor::from_f64(DType::F32, &[*channels], &s).unwrap();
        let pad = dilation * (kernel - 1) / 2;
        let size = |n: usize| (n + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
        let (h, v) = (size(13), size(9));
        let source = format!(
            "graph @g(%x: f32[N, {channels}, 13, 9]) {{\n{}{}{}  const %sx : f32[] = 0.0156\n  const %zx : {activations}[] = {zero}\n  \
             const %sy : f32[] = 0.2\n  const %zw : i8[{channels}] = splat(0)\n  %q = QuantizeLinear(%x, %sx, %zx) : {activations}[N, {channels}, 13, 9]\n  \
             %d = DequantizeLinear(%q, %sx, %zx) : f32[N, {channels}, 13, 9]\n  \
             %v = DequantizeLinear(%w, %s, %zw) {{axis=0}} : f32[{channels}, 1, {kernel}, {kernel}]\n  \
             %c = Conv(%d, %v, %b) {{pads=[{pad}, {pad}, {pad}, {pad}], strides=[{stride}, {stride}], dilations=[{dilation}, {dilation}], \
             group={channels}}} : f32[N, {channels}, {h}, {v}]\n  %y = QuantizeLinear(%c, %sy, %zx) : {activations}[N, {channels}, {h}, {v}]\n  \
             return %y\n}}\n",
            constant("w", &w),
            constant("s", &s),
            constant("b", &random(DType::F32, &[*channels], 5)),
        );
        let found = Cell::new(0);
        agrees_natively(&source, &[x], 0.0, &|kernels| {
            found.set(found.get() + kernels.iter().filter(|(_, template)| *template == "window of codes").count());
        });
        // Only AVX-512 has it, and few channels do not fill it.
        assert_eq!(found.get(), usize::from(*channels >= 16 && has(Cpu::X86V4)), "{source}");
    }
}

const LAYER: Layer = Layer { channels: 64, kernel: 3, stride: 1, dilation: 1, activations: "u8", zero: 0 };

#[test]
fn any_number_of_channels() {
    for channels in [8, 16, 24, 64, 96, 137, 144] {
        Layer { channels, ..LAYER }.agrees();
    }
}

#[test]
fn windows_and_strides() {
    for (kernel, stride, dilation) in [(2, 1, 1), (3, 2, 1), (3, 1, 2), (5, 1, 1), (5, 2, 1), (7, 1, 1)] {
        Layer { channels: 80, kernel, stride, dilation, ..LAYER }.agrees();
    }
}

/// Padding is a code that equals the zero point.
#[test]
fn zero_points_and_signs() {
    for (activations, zero) in [("u8", 131), ("u8", 255), ("i8", 0), ("i8", -128), ("i8", 17)] {
        Layer { channels: 40, activations, zero, ..LAYER }.agrees();
    }
}
