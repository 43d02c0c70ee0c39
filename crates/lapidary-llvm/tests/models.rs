//! Whole models, native against the evaluator. Those of the repository always; the larger set where `LAPIDARY_MODELS` names its folder
//! (`cargo xtask models` makes it), else skipped.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};
use lapidary_kernel::{BufferKind, Kernel};
use lapidary_llvm::loaded::Library;
use lapidary_llvm::{CompileOptions, compile};
use lapidary_ops::{Datum, evaluate, infer_types};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Noise; integers are mostly ids of something, so they are small.
fn made_up(dtype: DType, sizes: &[usize], seed: u64) -> Tensor {
    let t = random(dtype, sizes, seed);
    let small = |t: &Tensor| t.to_i64().unwrap().iter().map(|v| v.rem_euclid(2)).collect::<Vec<_>>();
    if dtype.is_int() { Tensor::from_i64(dtype, sizes, &small(&t)).unwrap() } else { t }
}

/// Compiles a model, runs both on made-up inputs (a symbolic size is what `size` says), and compares.
fn model(path: &Path, size: usize) {
    let mut graph = lapidary_onnx::read_model(path, &Default::default()).unwrap_or_else(|e| panic!("{}: {e}", path.display())).graph;
    let start = Instant::now();
    let facts = infer_types(&mut graph).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let plan = lapidary_lower::lower(&graph, &facts, &Default::default()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lowered = start.elapsed();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let name = if stem == "model" { path.parent().unwrap().file_name().unwrap().to_str().unwrap() } else { stem };
    let out = folder().join(format!("lib{name}.so"));
    let start = Instant::now();
    let report =
        compile(&plan, &CompileOptions { symbols: true, ..CompileOptions::default() }, &out).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let compiled = start.elapsed();
    let lib = Library::open(&out).unwrap();
    let cpu_time = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
    };
    let mut inputs = vec![];
    for (i, info) in lib.inputs.iter().enumerate() {
        let sizes: Vec<usize> = info.dims.iter().map(|d| d.map_or(size, |d| d as usize)).collect();
        inputs.push(made_up(info.dtype, &sizes, 40 + i as u64));
    }
    let want = evaluate(&graph, inputs.iter().cloned().map(Datum::from).collect()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut context = lib.context(2, None).unwrap_or_else(|e| panic!("{e}"));
    let got = context.run(&inputs.iter().collect::<Vec<_>>()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut best = f64::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        context.run_in_place(&inputs.iter().collect::<Vec<_>>()).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    // On a busy machine the processor's time tells more than the clock's.
    let mut alone = lib.context(1, None).unwrap_or_else(|e| panic!("{e}"));
    let mut least = f64::MAX;
    for _ in 0..5 {
        let start = cpu_time();
        alone.run_in_place(&inputs.iter().collect::<Vec<_>>()).unwrap();
        least = least.min(cpu_time() - start);
    }
    println!(
        "{name}: {} kernels, lowered in {lowered:.1?}, compiled in {compiled:.1?}, runs in {:.3} ms, {least:.3} ms of one processor",
        report.kernels.len(),
        best * 1e3
    );
    if std::env::var_os("LAPIDARY_SHOW_KERNELS").is_some() {
        report.kernels.iter().for_each(|k| println!("  {:9} {:40} {:30} {}", k.template, k.name, k.chunks, k.nodes.join(" ")));
    }
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let Some(w) = w.as_tensor() else { continue };
        let rtol = if w.dtype() == DType::F32 { 1e-4 } else { 1e-2 };
        close(&format!("{name}, output {i}"), g, w, rtol);
    }
}

#[test]
fn examples() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/models");
    model(&root.join("digits_cnn/model.onnx"), 2);
    model(&root.join("char_gpt/model.onnx"), 8);
}

/// One model: `LAPIDARY_MODEL=F.onnx cargo test … --test models one -- --ignored --nocapture`.
#[test]
#[ignore = "needs LAPIDARY_MODEL"]
fn one() {
    if let Some(path) = std::env::var_os("LAPIDARY_MODEL") {
        let size = std::env::var("LAPIDARY_SIZE").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
        model(Path::new(&path), size);
    }
}

/// Prints the kernels whose names contain `LAPIDARY_KERNEL`, or those that write outputs.
#[test]
#[ignore = "needs LAPIDARY_MODEL"]
fn last_kernels() {
    if let Some(path) = std::env::var_os("LAPIDARY_MODEL") {
        let mut graph = lapidary_onnx::read_model(Path::new(&path), &Default::default()).unwrap_or_else(|e| panic!("{e}")).graph;
        let facts = infer_types(&mut graph).unwrap_or_else(|e| panic!("{e}"));
        let p = lapidary_lower::lower(&graph, &facts, &Default::default()).unwrap_or_else(|e| panic!("{e}")).program;
        let wanted = std::env::var("LAPIDARY_KERNEL").ok();
        let shown = |k: &&Kernel| match &wanted {
            Some(part) => k.name.contains(part.as_str()),
            None => k.writes().iter().any(|b| matches!(p.buffer(*b).kind, BufferKind::Output(_))),
        };
        for k in p.kernels.iter().filter(shown) {
            println!("{} {:?} {:?}", k.name, k.schedule, k.axes);
            let live = k.live_exprs();
            k.exprs.iter().enumerate().filter(|(i, _)| live[*i]).for_each(|(i, e)| println!("  e{i}: {e:?}"));
            k.body.iter().for_each(|s| println!("  {s:?}"));
        }
    }
}
