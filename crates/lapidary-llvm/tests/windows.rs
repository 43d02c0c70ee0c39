//! Depthwise convolutions and pooling of floats, whose sums are computed in runs along rows: native against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::DType;

/// Images of 5 rows, `width` wide, known when compiled or not.
struct Layer {
    channels: usize,
    width: usize,
    known: bool,
    kernel: usize,
    stride: usize,
    dilation: usize,
}

const LAYER: Layer = Layer { channels: 20, width: 13, known: true, kernel: 3, stride: 1, dilation: 1 };

impl Layer {
    fn agrees(&self) {
        let Layer { channels, width, known, kernel, stride, dilation } = self;
        let pad = dilation * (kernel - 1) / 2;
        let size = |n: usize| (n + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
        let (input, output) = if *known { (width.to_string(), size(*width).to_string()) } else { ("W".into(), "W".into()) };
        let (x, y) = (format!("f32[N, {channels}, 5, {input}]"), format!("f32[N, {channels}, {}, {output}]", size(5)));
        let window = format!("pads=[{pad}, {pad}, {pad}, {pad}], strides=[{stride}, {stride}], dilations=[{dilation}, {dilation}]");
        let source = format!(
            "graph @g(%x: {x}) {{\n{}{}  %c = Conv(%x, %w, %b) {{{window}, group={channels}}} : {y}\n  %r = Relu(%c) : {y}\n  \
             %m = MaxPool(%x) {{{window}, kernel_shape=[{kernel}, {kernel}]}} : {y}\n  %y = Add(%r, %m) : {y}\n  return %y\n}}\n",
            constant("w", &random(DType::F32, &[*channels, 1, *kernel, *kernel], 2)),
            constant("b", &random(DType::F32, &[*channels], 3)),
        );
        agrees_natively(&source, &[random(DType::F32, &[2, *channels, 5, *width], 1)], 1e-5, &|kernels| {
            let templates: Vec<&str> = kernels.iter().map(|k| k.1).collect();
            assert_eq!(templates.iter().filter(|t| **t == "window").count(), 2, "{templates:?} of\n{source}");
        });
    }
}

/// Runs fill the rows, leave some points over, or are longer than a row.
#[test]
fn any_width() {
    for width in [1, 2, 3, 4, 5, 7, 8, 11, 14, 22, 40] {
        for known in [true, false] {
            Layer { width, known, ..LAYER }.agrees();
        }
    }
}

#[test]
fn windows_and_strides() {
    for (kernel, stride, dilation) in [(2, 2, 1), (3, 2, 1), (3, 1, 2), (5, 1, 1), (5, 2, 1), (5, 3, 1), (7, 1, 1)] {
        for width in [9, 14] {
            Layer { kernel, stride, dilation, width, channels: 32, ..LAYER }.agrees();
        }
    }
}
