//! Transposed convolutions: native against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::DType;

/// A transposed convolution of 16 channels with a bias, and what follows it; so many products in tiles.
fn agrees(outputs: usize, group: usize, (kernel, stride, size): (usize, usize, usize), products: usize) {
    let (x, w) = (random(DType::F32, &[2, 16, 9, 11], 1), random(DType::F32, &[16, outputs / group, kernel, kernel], 2));
    let (h, v) = (size + 8 * stride, size + 10 * stride);
    let source = format!(
        "graph @g(%x: f32[N, 16, 9, 11], %z: f32[N, {outputs}, {h}, {v}]) {{\n{}{}  \
         %c = ConvTranspose(%x, %w, %b) {{strides=[{stride}, {stride}], group={group}}} : f32[N, {outputs}, {h}, {v}]\n  \
         %r = Relu(%c) : f32[N, {outputs}, {h}, {v}]\n  %y = Add(%r, %z) : f32[N, {outputs}, {h}, {v}]\n  return %y\n}}\n",
        constant("w", &w),
        constant("b", &random(DType::F32, &[outputs], 3)),
    );
    let z = random(DType::F32, &[2, outputs, h, v], 4);
    agrees_natively(&source, &[x, z], 1e-5, &|kernels| {
        let found = kernels.iter().filter(|(k, template)| k.name.starts_with("ConvTranspose") && *template == "contract").count();
        assert_eq!(found, products, "{source}");
    });
}

#[test]
fn blocks_side_by_side_are_one_product() {
    for (outputs, stride) in [(1, 2), (3, 2), (8, 2), (20, 2), (24, 2), (24, 3), (32, 2)] {
        agrees(outputs, 1, (stride, stride, stride), 1);
    }
}

#[test]
fn windows_that_overlap_or_leave_gaps() {
    agrees(24, 1, (3, 2, 3), 4);
    agrees(24, 1, (2, 3, 2), 4);
    agrees(24, 1, (3, 1, 3), 1);
}

#[test]
fn groups() {
    agrees(32, 2, (2, 2, 2), 1);
}
