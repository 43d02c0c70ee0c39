//! Schedules that were chosen beforehand: every legal one gives the same results, others are refused.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Graph, Tensor, text};
use lapidary_kernel::{Algorithm, Block, Choices, Cpu, Plan, Tile};
use lapidary_llvm::{CompileOptions, compile, loaded::Library};
use lapidary_lower::LowerOptions;
use lapidary_ops::{Datum, evaluate, infer_types};

fn parsed(source: &str) -> Graph {
    let mut graph = text::parse(source, &Default::default()).unwrap();
    infer_types(&mut graph).unwrap();
    graph
}

fn lowered(graph: &Graph, choices: Choices) -> Plan {
    let mut graph = graph.clone();
    let facts = infer_types(&mut graph).unwrap();
    lapidary_lower::lower(&graph, &facts, &LowerOptions { choices, ..LowerOptions::default() }).unwrap()
}

fn run(plan: &Plan, cpu: Cpu, x: &Tensor, name: &str) -> Tensor {
    let out = folder().join(format!("lib{name}.so"));
    compile(plan, &CompileOptions { cpus: vec![cpu], ..CompileOptions::default() }, &out).unwrap_or_else(|e| panic!("{name}: {e}"));
    Library::open(&out).unwrap().context(2, None).unwrap().run(&[x]).unwrap().remove(0)
}

fn product() -> (Graph, Tensor) {
    let weights = constant("w", &random(DType::F32, &[40, 130], 2));
    let source = format!("graph @g(%x: f32[61, 40]) {{\n{weights}  %y = MatMul(%x, %w) : f32[61, 130]\n  return %y\n}}\n");
    (parsed(&source), random(DType::F32, &[61, 40], 1))
}

fn tiled(cpu: Cpu, plan: &Plan, tile: Tile) -> Choices {
    let kernel = plan.program.kernels.last().unwrap().name.to_string();
    Choices { tiles: [(cpu, [(kernel, tile)].into())].into(), ..Choices::default() }
}

#[test]
fn every_tile_and_block_gives_the_same_product() {
    let (graph, x) = product();
    let want = evaluate(&graph, vec![Datum::from(x.clone())]).unwrap();
    let plan = lowered(&graph, Choices::default());
    for cpu in [Cpu::X86V4, Cpu::X86V3].into_iter().filter(|c| has(*c)) {
        for (number, rows) in lapidary_llvm::row_counts(cpu).iter().enumerate() {
            let vectors = 1 + number as i64 % lapidary_llvm::max_vectors(cpu);
            for (at, block) in
                [None, Some(Block { rows: 2 * rows, panels: vectors }), Some(Block { rows: 16 * rows, panels: 4 * vectors })].into_iter().enumerate()
            {
                let tile = Tile { rows: *rows, vectors, block };
                let plan = lowered(&graph, tiled(cpu, &plan, tile));
                let got = run(&plan, cpu, &x, &format!("tile{cpu:?}{rows}_{at}"));
                close(&format!("{cpu:?}, {tile}"), &got, want[0].as_tensor().unwrap(), 1e-5);
            }
        }
    }
}

#[test]
fn a_tile_that_does_not_fit_is_refused() {
    let (graph, _) = product();
    let plan = lowered(&graph, Choices::default());
    for (text, why) in
        [("3x1", "no tile '3x1'"), ("8x4", "no tile '8x4'"), ("8x3 in 12x3", "block"), ("8x3 in 16x4", "block"), ("8x1 in 8000x1", "block")]
    {
        let plan = lowered(&graph, tiled(Cpu::X86V4, &plan, text.parse().unwrap()));
        let e = compile(&plan, &CompileOptions { cpus: vec![Cpu::X86V4], ..CompileOptions::default() }, &folder().join("librefused.so")).unwrap_err();
        assert!(e.to_string().contains(why) && e.to_string().contains("MatMul"), "{text}: {e}");
        // Other versions do not look at it.
        compile(&plan, &CompileOptions { cpus: vec![Cpu::X86V3], ..CompileOptions::default() }, &folder().join("libv3.so")).unwrap();
    }
    let relu = parsed("graph @g(%x: f32[64]) {\n  %y = Relu(%x) : f32[64]\n  return %y\n}\n");
    let plan = lowered(&relu, Choices::default());
    let plan = lowered(&relu, tiled(Cpu::X86V4, &plan, "8x3".parse().unwrap()));
    let e = compile(&plan, &CompileOptions::default(), &folder().join("librelu.so")).unwrap_err();
    assert!(e.to_string().contains("for a contraction"), "{e}");
}

#[test]
fn every_algorithm_gives_the_same_convolution() {
    let Some(cpu) = [Cpu::X86V4, Cpu::X86V3].into_iter().find(|c| has(*c)) else { return };
    // With and without what tiles have too much, at the beginning and at the end.
    for (stride, [h, v], pads, [oh, ov]) in [
        (1, [24, 24], [1, 1, 1, 1], [24, 24]),
        (2, [32, 48], [1, 1, 1, 1], [16, 24]),
        (2, [31, 45], [0, 0, 1, 2], [15, 23]),
        (2, [17, 33], [0; 4], [8, 16]),
    ] {
        let weights = constant("w", &random(DType::F32, &[48, 32, 3, 3], 2));
        let source = format!(
            "graph @g(%x: f32[1, 32, {h}, {v}]) {{\n{weights}  %c = Conv(%x, %w) {{pads={pads:?}, strides=[{stride}, {stride}]}} : f32[1, 48, {oh}, {ov}]\n  \
             %y = Relu(%c) : f32[1, 48, {oh}, {ov}]\n  return %y\n}}\n"
        );
        let (graph, x) = (parsed(&source), random(DType::F32, &[1, 32, h, v], 1));
        let want = evaluate(&graph, vec![Datum::from(x.clone())]).unwrap();
        let made = lowered(&graph, Choices::default()).choices;
        let name = made.algorithms.keys().next().unwrap().clone();
        for algorithm in [Algorithm::Direct, Algorithm::F2, Algorithm::F4] {
            for strips in [false, true] {
                let mut choices = Choices { algorithms: [(name.clone(), algorithm)].into(), ..Choices::default() };
                if algorithm != Algorithm::Direct {
                    choices.strips.insert(format!("winograd:inputs {name}"), strips);
                }
                let plan = lowered(&graph, choices.clone());
                assert_eq!(plan.choices.algorithms, choices.algorithms);
                assert_eq!(plan.strips.len(), usize::from(strips && algorithm != Algorithm::Direct));
                let got = run(&plan, cpu, &x, &format!("{stride}{h}{algorithm}{strips}"));
                close(&format!("{algorithm} at stride {stride}, strips: {strips}"), &got, want[0].as_tensor().unwrap(), 2e-5);
            }
        }
    }
}

#[test]
fn an_algorithm_that_does_not_fit_is_refused() {
    let (graph, _) = product();
    let mut typed = graph.clone();
    let facts = infer_types(&mut typed).unwrap();
    let kernel = lowered(&graph, Choices::default()).program.kernels.last().unwrap().name.to_string();
    for choices in [
        Choices { algorithms: [(kernel.clone(), Algorithm::F4)].into(), ..Choices::default() },
        Choices { strips: [(kernel.clone(), true)].into(), ..Choices::default() },
    ] {
        let e = lapidary_lower::lower(&typed, &facts, &LowerOptions { choices, ..LowerOptions::default() }).unwrap_err();
        assert!(e.to_string().contains(&kernel), "{e}");
    }
}
