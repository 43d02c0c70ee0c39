//! Weights that are kept in 29 bits: native code gives what it gives with the same weights as they are, to the last bit.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor, text};
use lapidary_kernel::{Cpu, Plan};
use lapidary_llvm::{CompileOptions, compile, loaded::Library};
use lapidary_ops::{Datum, evaluate, infer_types};

fn lowered(source: &str) -> (lapidary_ir::Graph, Plan) {
    let mut graph = text::parse(source, &Default::default()).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let facts = infer_types(&mut graph).unwrap_or_else(|e| panic!("{e}"));
    let plan = lapidary_lower::lower(&graph, &facts, &Default::default()).unwrap_or_else(|e| panic!("{e}"));
    (graph, plan)
}

/// The names of what is kept in 29 bits.
fn kept(plan: &Plan) -> Vec<String> {
    plan.program.buffer_ids().filter(|b| plan.f29(*b).is_some()).map(|b| plan.program.buffer(b).name.to_string()).collect()
}

fn run(plan: &Plan, cpu: Cpu, threads: i32, inputs: &[Tensor], name: &str) -> (Vec<Tensor>, u64) {
    let out = folder().join(format!("lib{name}.so"));
    let report = compile(plan, &CompileOptions { cpus: vec![cpu], ..CompileOptions::default() }, &out).unwrap_or_else(|e| panic!("{name}: {e}"));
    let results = Library::open(&out).unwrap().context(threads, None).unwrap().run(&inputs.iter().collect::<Vec<_>>()).unwrap();
    (results, report.weights_bytes)
}

/// Compares with the evaluator, and with the library of the same plan that keeps its weights as they are.
fn same_results(name: &str, source: &str, inputs: &[Tensor], expected: &[&str]) {
    let (graph, plan) = lowered(source);
    assert_eq!(kept(&plan), expected, "{source}");
    let want = evaluate(&graph, inputs.iter().cloned().map(Datum::from).collect()).unwrap();
    let plain = Plan { f29: vec![], ..plan.clone() };
    for cpu in [Cpu::X86V4, Cpu::X86V3].into_iter().filter(|c| has(*c)) {
        for threads in [1, 2] {
            let (short, short_bytes) = run(&plan, cpu, threads, inputs, &format!("{name}_short_{cpu:?}_{threads}"));
            let (long, long_bytes) = run(&plain, cpu, threads, inputs, &format!("{name}_long_{cpu:?}_{threads}"));
            assert!((short_bytes as f64) < 0.92 * long_bytes as f64, "{short_bytes} of {long_bytes} bytes");
            for ((s, l), w) in short.iter().zip(&long).zip(&want) {
                assert_eq!(s.bytes(), l.bytes(), "{name}, {cpu:?}, {threads} threads");
                close(name, s, w.as_tensor().unwrap(), 1e-5);
            }
        }
    }
}

#[test]
fn one_row_by_weights_with_a_bias_and_bounds() {
    let source = "graph @g(%x: f32[1, 512]) {\n  const %w : f32[512, 1003] = random(1)\n  const %b : f32[1003] = random(2)\n  \
                  %p = MatMul(%x, %w) : f32[1, 1003]\n  %s = Add(%p, %b) : f32[1, 1003]\n  %y = Relu(%s) : f32[1, 1003]\n  return %y\n}\n";
    same_results("bias", source, &[random(DType::F32, &[1, 512], 3)], &["w.packed"]);
}

#[test]
fn sums_along_several_axes() {
    let source = "graph @g(%x: f32[1, 8, 1, 64]) {\n  const %w : f32[512, 640] = random(1)\n  \
                  %t = Transpose(%x) {perm=[0, 2, 1, 3]} : f32[1, 1, 8, 64]\n  const %n : i64[3] = [1, 1, 512]\n  \
                  %r = Reshape(%t, %n) : f32[1, 1, 512]\n  %p = MatMul(%r, %w) : f32[1, 1, 640]\n  %y = Tanh(%p) : f32[1, 1, 640]\n  return %y\n}\n";
    same_results("axes", source, &[random(DType::F32, &[1, 8, 1, 64], 3)], &["w.packed"]);
}

#[test]
fn lookups_put_rows_together_again() {
    // All places of a group, and rows from the first and the last panel.
    let ids: Vec<i64> = (0..40).chain([2999, 2990, -1, -3000]).collect();
    let source = "graph @g(%ids: i64[44], %x: f32[1, 96]) {\n  const %e : f32[3000, 96] = random(1)\n  \
                  %l = Gather(%e, %ids) {axis=0} : f32[44, 96]\n  %y = Gemm(%x, %e) {transB=1} : f32[1, 3000]\n  return %y, %l\n}\n";
    let ids = Tensor::from_i64(DType::I64, &[44], &ids).unwrap();
    same_results("lookups", source, &[ids, random(DType::F32, &[1, 96], 3)], &["e.packed"]);
}

#[test]
fn other_weights_stay_as_they_are() {
    let product = |rows: &str, depth: usize, columns: usize| {
        format!(
            "graph @g(%x: f32[{rows}, {depth}]) {{\n  const %w : f32[{depth}, {columns}] = random(1)\n  \
             %y = MatMul(%x, %w) : f32[{rows}, {columns}]\n  return %y\n}}\n"
        )
    };
    let none: Vec<String> = vec![];
    assert_eq!(kept(&lowered(&product("1", 512, 1024)).1), ["w.packed"]);
    // Several rows, or as many as a run has; in the caches; sums that are no whole groups.
    for (rows, depth, columns) in [("2", 512, 1024), ("N", 512, 1024), ("1", 128, 256), ("1", 520, 1024)] {
        assert_eq!(kept(&lowered(&product(rows, depth, columns)).1), none, "{rows} {depth} {columns}");
    }
    // One that is next to nothing beside its column's largest.
    let mut values = vec![1.0; 512 * 1024];
    values[300 * 1024 + 7] = 1e-30;
    let mut plan = lowered(&product("1", 512, 1024)).1;
    let b = plan.program.buffer_ids().find(|b| plan.f29(*b).is_some()).unwrap();
    let sizes = plan.program.buffer(b).constant().unwrap().sizes().to_vec();
    let tiny = Tensor::from_f64(DType::F32, &sizes, &values).unwrap();
    assert!(!plan.f29(b).unwrap().holds(tiny.bytes()));
    // A form that the weights do not fit is an error, and leaves no library.
    plan.program.buffer_mut(b).kind = lapidary_kernel::BufferKind::Const(tiny.into());
    let out = folder().join("libtiny.so");
    assert!(compile(&plan, &CompileOptions::default(), &out).is_err());
    assert!(!out.exists());
}
