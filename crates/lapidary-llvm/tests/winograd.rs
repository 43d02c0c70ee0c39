//! Convolutions by Winograd's algorithm, as a run of kernels that is computed strip by strip, native against the evaluator.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, text};
use lapidary_kernel::Cpu;
use lapidary_llvm::CompileOptions;
use lapidary_ops::{Datum, evaluate, infer_types};

#[test]
fn strips_give_what_the_plain_sum_gives() {
    for sizes in [[1, 32, 64, 64], [2, 32, 61, 67]] {
        let [_, c, h, v] = sizes;
        let weights = constant("w", &random(DType::F32, &[c, c, 3, 3], 2));
        let source = format!(
            "graph @g(%x: f32[N, {c}, {h}, {v}]) {{\n{weights}  %c = Conv(%x, %w) {{pads=[1, 1, 1, 1]}} : f32[N, {c}, {h}, {v}]\n  \
             %s = Add(%c, %x) : f32[N, {c}, {h}, {v}]\n  %y = Relu(%s) : f32[N, {c}, {h}, {v}]\n  return %y\n}}\n"
        );
        let mut graph = text::parse(&source, &Default::default()).unwrap();
        let facts = infer_types(&mut graph).unwrap();
        let plan = lapidary_lower::lower(&graph, &facts, &Default::default()).unwrap();
        assert_eq!(plan.strips.len(), 1, "{}", plan.program.to_text());
        assert_eq!(plan.strips[0].kernels, 3);
        let x = random(DType::F32, &sizes, 1);
        let want = evaluate(&graph, vec![Datum::from(x.clone())]).unwrap();
        for cpu in [Cpu::X86V4, Cpu::X86V3].into_iter().filter(|c| has(*c)) {
            let out = folder().join(format!("libwinograd{cpu:?}{}.so", sizes[0]));
            lapidary_llvm::compile(&plan, &CompileOptions { cpus: vec![cpu], ..CompileOptions::default() }, &out).unwrap();
            let lib = lapidary_llvm::loaded::Library::open(&out).unwrap();
            for threads in [1, 2] {
                let got = lib.context(threads, None).unwrap().run(&[&x]).unwrap();
                close(&format!("{cpu:?}, {threads} threads"), &got[0], want[0].as_tensor().unwrap(), 2e-5);
            }
        }
    }
}

#[test]
fn small_images_take_small_tiles() {
    let weights = constant("w", &random(DType::F32, &[64, 64, 3, 3], 2));
    let source = format!(
        "graph @g(%x: f32[1, 64, 4, 4]) {{\n{weights}  %c = Conv(%x, %w) {{pads=[1, 1, 1, 1]}} : f32[1, 64, 4, 4]\n  \
         %y = Relu(%c) : f32[1, 64, 4, 4]\n  return %y\n}}\n"
    );
    agrees_natively(&source, &[random(DType::F32, &[1, 64, 4, 4], 1)], 2e-5, &|kernels| {
        // Sixteen positions of tiles of 4 × 4.
        let products =
            |k: &lapidary_kernel::Kernel| k.name.starts_with("winograd:products") && k.axes.iter().any(|a| a.extent.as_const() == Some(16));
        assert!(kernels.iter().any(|(k, template)| *template == "contract" && products(k)));
    });
}
