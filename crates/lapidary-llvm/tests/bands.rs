//! Chains of convolutions whose images leave the caches: native, band by band, against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::DType;
use lapidary_kernel::BAND;

/// Runs the graph natively and in the evaluator; so many kernels are computed band by band.
fn agrees(body: &str, constants: &str, bands: usize) {
    let source = format!(
        "graph @g(%x: f32[N, 16, 112, 112]) {{\n{}{constants}{body}  return %y\n}}\n",
        constant("w", &random(DType::F32, &[48, 16, 1, 1], 2))
    );
    agrees_natively(&source, &[random(DType::F32, &[2, 16, 112, 112], 1)], 1e-5, &|kernels| {
        assert_eq!(kernels.iter().filter(|(k, _)| k.name.starts_with(BAND)).count(), bands, "{source}");
    });
}

const WIDE: &str = "  %a = Conv(%x, %w) : f32[N, 48, 112, 112]\n  %b = Relu(%a) : f32[N, 48, 112, 112]\n";

#[test]
fn a_depthwise_convolution_after_a_wide_one() {
    let d = constant("d", &random(DType::F32, &[48, 1, 3, 3], 3));
    for (pads, height) in [([1, 1, 1, 1], 56), ([0, 0, 1, 1], 56), ([2, 1, 3, 1], 58)] {
        let body = format!("{WIDE}  %y = Conv(%b, %d) {{strides=[2, 2], pads={pads:?}, group=48}} : f32[N, 48, {height}, 56]\n");
        agrees(&body, &d, 2);
    }
}

#[test]
fn pooling_after_a_wide_convolution() {
    let body = format!("{WIDE}  %y = MaxPool(%b) {{kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]}} : f32[N, 48, 56, 56]\n");
    agrees(&body, "", 2);
}

/// What others read too is kept whole.
#[test]
fn a_tensor_that_is_read_twice() {
    let d = constant("d", &random(DType::F32, &[48, 1, 3, 3], 3));
    let body = format!(
        "{WIDE}  %c = Conv(%b, %d) {{strides=[2, 2], pads=[1, 1, 1, 1], group=48}} : f32[N, 48, 56, 56]\n  \
         %p = GlobalAveragePool(%b) : f32[N, 48, 1, 1]\n  %y = Mul(%c, %p) : f32[N, 48, 56, 56]\n"
    );
    agrees(&body, &d, 0);
}

/// The copy of an image of few channels, and the convolution that begins with it.
#[test]
fn an_image_that_is_copied() {
    let source = format!(
        "graph @g(%x: f32[N, 3, 320, 320]) {{\n{}  %y = Conv(%x, %w) {{strides=[2, 2], pads=[1, 1, 1, 1]}} : f32[N, 16, 160, 160]\n  return %y\n}}\n",
        constant("w", &random(DType::F32, &[16, 3, 3, 3], 2))
    );
    agrees_natively(&source, &[random(DType::F32, &[2, 3, 320, 320], 1)], 1e-5, &|kernels| {
        let bands: Vec<&str> = kernels.iter().filter(|(k, _)| k.name.starts_with(BAND)).map(|(_, template)| *template).collect();
        assert_eq!(bands, ["turn", "contract"], "{source}");
    });
}
