//! Tensors that are computed where a concatenation has them: native against the evaluator, on every CPU at hand, in the templates that they would have
//! alone.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::DType;
use lapidary_kernel::Kernel;

/// A block of two convolutions around a residual, whose results all are concatenated.
#[test]
fn a_block_with_a_residual() {
    for (channels, size) in [(16, 12), (24, 7)] {
        let (whole, sum) = (2 * channels, 3 * channels);
        let weight = |name: &str, o, c, k, seed| constant(name, &random(DType::F32, &[o, c, k, k], seed));
        let source = format!(
            "graph @g(%x: f32[N, 8, {size}, {size}]) {{\n{}{}{}{}  %a = Conv(%x, %w) : f32[N, {whole}, {size}, {size}]\n  \
             %b = Relu(%a) : f32[N, {whole}, {size}, {size}]\n  \
             %s, %t = Split(%b) {{axis=1, num_outputs=2}} : f32[N, {channels}, {size}, {size}], f32[N, {channels}, {size}, {size}]\n  \
             %u = Conv(%t, %h) {{pads=[1, 1, 1, 1]}} : f32[N, {channels}, {size}, {size}]\n  %v = Tanh(%u) : f32[N, {channels}, {size}, {size}]\n  \
             %m = Conv(%v, %i) {{pads=[1, 1, 1, 1]}} : f32[N, {channels}, {size}, {size}]\n  \
             %r = Add(%m, %t) : f32[N, {channels}, {size}, {size}]\n  %c = Concat(%s, %t, %r) {{axis=1}} : f32[N, {sum}, {size}, {size}]\n  \
             %y = Conv(%c, %o) : f32[N, 16, {size}, {size}]\n  return %y\n}}\n",
            weight("w", whole, 8, 1, 2),
            weight("h", channels, channels, 3, 3),
            weight("i", channels, channels, 3, 4),
            weight("o", 16, sum, 1, 5)
        );
        // Winograd's algorithm twice in a row, 1e-5 each.
        agrees_natively(&source, &[random(DType::F32, &[2, 8, size, size], 1)], 2e-5, &|kernels| {
            assert!(!kernels.iter().any(|(k, _)| k.name.starts_with("Concat")), "{source}");
            let slow = |(k, template): &&(&Kernel, &str)| *template != "contract" && k.name.starts_with("Conv:");
            assert_eq!(kernels.iter().filter(slow).count(), 0, "{source}");
            assert!(kernels.iter().any(|(k, _)| k.writes().iter().any(|b| k.reads().contains(b))), "{source}");
        });
    }
}

/// Pooling chains, each result of which is read by the next and concatenated.
#[test]
fn windows_over_parts() {
    let pool = |to: &str, from: &str| format!("  %{to} = MaxPool(%{from}) {{kernel_shape=[3, 3], pads=[1, 1, 1, 1]}} : f32[N, 32, 9, 9]\n");
    let source = format!(
        "graph @g(%x: f32[N, 8, 9, 9]) {{\n{}{}  %a = Conv(%x, %w) : f32[N, 32, 9, 9]\n  %b = Relu(%a) : f32[N, 32, 9, 9]\n{}{}  \
         %c = Concat(%b, %p, %q) {{axis=1}} : f32[N, 96, 9, 9]\n  %y = Conv(%c, %o) : f32[N, 16, 9, 9]\n  return %y\n}}\n",
        constant("w", &random(DType::F32, &[32, 8, 1, 1], 2)),
        constant("o", &random(DType::F32, &[16, 96, 1, 1], 3)),
        pool("p", "b"),
        pool("q", "p")
    );
    agrees_natively(&source, &[random(DType::F32, &[2, 8, 9, 9], 1)], 1e-5, &|kernels| {
        // The input, packed; a contraction on either side; two windows between them.
        let found: Vec<&str> = kernels.iter().filter(|(k, _)| !k.name.contains("layout:")).map(|(_, template)| *template).collect();
        assert_eq!(found.iter().filter(|t| **t == "window").count(), 2, "{source}");
        assert_eq!(found.iter().filter(|t| **t == "contract").count(), 2, "{source}");
    });
}
