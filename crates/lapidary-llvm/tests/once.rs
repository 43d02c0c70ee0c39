//! What depends on constants alone, and would be too large in the library, is computed once for each context.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, text};
use lapidary_kernel::Cpu;
use lapidary_llvm::CompileOptions;
use lapidary_ops::{Datum, evaluate, infer_types};

#[test]
fn weights_of_8_bit_floats_are_unpacked_when_a_context_is_made() {
    let source = "graph @g(%x: f32[M, 640]) {
  const %q : f8e4m3fn[640, 640] = splat(3)
  const %s : f32[20, 640] = splat(0.25)
  %w = DequantizeLinear(%q, %s) {axis=0, block_size=32} : f32[640, 640]
  %y = MatMul(%x, %w) : f32[M, 640]
  return %y
}
";
    let mut graph = text::parse(source, &Default::default()).unwrap();
    let facts = infer_types(&mut graph).unwrap();
    let plan = lapidary_lower::lower(&graph, &facts, &Default::default()).unwrap();
    assert!(plan.unpacked_bytes >= 640 * 640 * 4, "{}", plan.unpacked_bytes);
    assert_eq!(plan.program.kernels.iter().filter(|k| !plan.runs_once(k)).count(), 1);
    let x = random(DType::F32, &[5, 640], 1);
    let want = evaluate(&graph, vec![Datum::from(x.clone())]).unwrap();
    for cpu in [Cpu::X86V4, Cpu::X86V3].into_iter().filter(|c| has(*c)) {
        let out = folder().join(format!("libonce{cpu:?}.so"));
        lapidary_llvm::compile(&plan, &CompileOptions { cpus: vec![cpu], ..CompileOptions::default() }, &out).unwrap();
        let lib = lapidary_llvm::loaded::Library::open(&out).unwrap();
        let mut contexts = [lib.context(1, None).unwrap(), lib.context(2, None).unwrap()];
        for _ in 0..2 {
            for context in &mut contexts {
                let got = context.run(&[&x]).unwrap();
                close(&format!("{cpu:?}"), &got[0], want[0].as_tensor().unwrap(), 1e-5);
            }
        }
    }
}
