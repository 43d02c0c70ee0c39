//! Weights in blocks: products with codes of 2, 4 and 8 bits on register tiles, native against the evaluator, on every CPU at hand.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};
use lapidary_kernel::Kernel;

fn in_blocks(k: &Kernel) -> bool {
    k.blocked().is_some()
}

/// A product of `rows` rows with weights of `n` outputs and `k` inputs; `zeros` names the type of the zero points, if there are any.
fn product(rows: &[usize], (k, n, block, bits): (usize, usize, usize, usize), zeros: Option<&str>, level: i64) {
    let blocks = k.div_ceil(block);
    let codes = random(DType::U8, &[n, blocks, block * bits / 8], 1);
    let scales: Vec<f64> = random(DType::F32, &[n * blocks], 2).to_f64().unwrap().iter().map(|v| v.abs() * 0.1 + 0.01).collect();
    let mut text = constant("w", &codes) + &constant("s", &Tensor::from_f64(DType::F32, &[n * blocks], &scales).unwrap());
    match zeros {
        Some("u8") => text += &constant("z", &random(DType::U8, &[n, (blocks * bits).div_ceil(8)], 3)),
        Some(_) => text += &constant("z", &random(DType::F32, &[n, blocks], 3)),
        None => {}
    }
    let operand = if zeros.is_some() { ", %z" } else { "" };
    let source = format!(
        "graph @g(%x: f32[B, M, {k}]) {{\n{text}{}  %p = com.microsoft.MatMulNBits(%x, %w, %s{operand}) \
         {{K={k}, N={n}, bits={bits}, block_size={block}, accuracy_level={level}}} : f32[B, M, {n}]\n  %v = Add(%p, %b) : f32[B, M, {n}]\n  \
         %y = Relu(%v) : f32[B, M, {n}]\n  return %y\n}}\n",
        constant("b", &random(DType::F32, &[n], 4)),
    );
    for m in rows {
        agrees_in_tiles(&source, &[random(DType::F32, &[1, *m, k], 5)], 1e-5, &in_blocks);
    }
}

#[test]
fn codes_of_every_width() {
    for bits in [2, 4, 8] {
        product(&[1, 2, 5, 29], (128, 50, 32, bits), None, 0);
    }
}

#[test]
fn zero_points_that_vary() {
    product(&[1, 9], (96, 33, 16, 4), Some("u8"), 0);
    product(&[1, 9], (96, 33, 16, 4), Some("f32"), 0);
    product(&[1, 9], (96, 33, 32, 8), Some("u8"), 0);
}

#[test]
fn rounded_activations() {
    for bits in [2, 4, 8] {
        product(&[1, 2, 5, 29], (128, 50, 32, bits), None, 4);
    }
    product(&[1, 9], (96, 33, 16, 4), Some("u8"), 4);
}

#[test]
fn one_block() {
    product(&[1, 9], (32, 40, 32, 4), None, 0);
    product(&[1, 9], (32, 40, 32, 4), Some("u8"), 0);
}

/// Weights that are dequantized by an operator of their own, signed ones among them, in blocks and by column.
#[test]
fn dequantized_weights() {
    for dtype in [DType::I4, DType::U4, DType::I8, DType::U8] {
        for (attrs, sizes) in [("axis=0, block_size=32", vec![3, 40]), ("axis=1", vec![40])] {
            let source = format!(
                "graph @g(%x: f32[M, 96]) {{\n{}{}  %d = DequantizeLinear(%w, %s) {{{attrs}}} : f32[96, 40]\n  \
                 %y = MatMul(%x, %d) : f32[M, 40]\n  return %y\n}}\n",
                constant("w", &random(dtype, &[96, 40], 1)),
                constant("s", &random(DType::F32, &sizes, 2)),
            );
            for m in [1, 11] {
                agrees_in_tiles(&source, &[random(DType::F32, &[m, 96], 3)], 1e-5, &in_blocks);
            }
        }
    }
}

/// Heads next to each other: the view splits the sum's axis, and blocks split its parts.
#[test]
fn through_a_view() {
    let source = format!(
        "graph @g(%x: f32[4, M, 32]) {{\n{}{}  const %shape : i64[2] = [-1, 128]\n  %t = Transpose(%x) {{perm=[1, 0, 2]}} : f32[M, 4, 32]\n  \
         %r = Reshape(%t, %shape) : f32[M, 128]\n  \
         %y = com.microsoft.MatMulNBits(%r, %w, %s) {{K=128, N=24, bits=4, block_size=16}} : f32[M, 24]\n  return %y\n}}\n",
        constant("w", &random(DType::U8, &[24, 8, 8], 1)),
        constant("s", &random(DType::F32, &[24, 8], 2)),
    );
    for m in [1, 7] {
        agrees_in_tiles(&source, &[random(DType::F32, &[4, m, 32], 3)], 1e-5, &in_blocks);
    }
}
