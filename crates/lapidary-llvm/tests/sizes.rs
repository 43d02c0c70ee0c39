//! Models with many symbolic values: what computes their sizes stays small, and gives the right ones.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::*;
use lapidary_llvm::{CompileOptions, Emit, compile};

/// `t_i = x + i`, `y_i = 2 t_i`, on the first `ceil(N·M / k_i)` elements of a flat `x`; every `t_i` has its own place in the arena.
fn many(outputs: i64) -> Program {
    let mut b = Build::new();
    let (n, m) = (Dim::symbol("N"), Dim::symbol("M"));
    let x = b.input(DType::F32, &[n.clone(), m.clone()]);
    let lengths: Vec<Dim> = (0..outputs).map(|i| (&n * &m).ceil_div(&Dim::from(i + 1))).collect();
    let temps: Vec<BufferId> = lengths.iter().map(|l| b.temp(DType::F32, &[l.clone()])).collect();
    for (at, (length, t)) in lengths.iter().zip(&temps).enumerate() {
        let mut k = KernelBuilder::new(format!("shift{at}"), &[]);
        let i = k.parallel("i", length.clone());
        let (row, column) = (k.floor_div(&i.into(), &m), k.modulo(&i.into(), &m));
        let v = k.load(x, DType::F32, [row, column]);
        let c = k.constant(DType::F32, at as f64);
        let v = k.add(v, c);
        k.store(*t, [i.into()], v);
        b.kernel(k.finish(), Schedule::Map { vector: 0 });
    }
    for (at, (length, t)) in lengths.iter().zip(&temps).enumerate() {
        let y = b.output(DType::F32, &[length.clone()]);
        let mut k = KernelBuilder::new(format!("double{at}"), &[]);
        let i = k.parallel("i", length.clone());
        let v = k.load(*t, DType::F32, [i.into()]);
        let v = k.add(v, v);
        k.store(y, [i.into()], v);
        b.kernel(k.finish(), Schedule::Map { vector: 0 });
    }
    b.0
}

/// Lines of each function whose name starts so.
fn lines_of(text: &str, prefix: &str) -> Vec<usize> {
    let mut out = vec![];
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("define") {
            inside = line.contains(&format!("@{prefix}"));
            if inside {
                out.push(0);
            }
        }
        if let (true, Some(n)) = (inside, out.last_mut()) {
            *n += 1;
        }
    }
    out
}

#[test]
fn the_code_for_sizes_grows_with_their_number_and_no_faster() {
    let lines = |outputs: i64| {
        let path = folder().join(format!("many{outputs}.ll"));
        let options = CompileOptions { cpus: vec![Cpu::X86V3], emit: Emit::Llvm, ..CompileOptions::default() };
        compile(&Plan::unshared(many(outputs)).unwrap(), &options, &path).unwrap_or_else(|e| panic!("{e}"));
        lines_of(&std::fs::read_to_string(path).unwrap(), "lap_sizes")
    };
    let (few, more) = (lines(50), lines(200));
    let (few, total): (usize, usize) = (few.iter().sum(), more.iter().sum());
    assert!(total <= 5 * few, "{total} lines for 200 outputs, {few} for 50");
    // A hundred lines for each output would be more than any of these sizes needs.
    assert!(total <= 100 * 200, "{total} lines");
    // No function is so long that a compiler's work on it grows out of hand.
    assert!(more.iter().all(|n| *n <= 3000), "{more:?}");
}

#[test]
fn many_sizes_are_right() {
    let p = many(90);
    let sets: Vec<Vec<Tensor>> = [(3, 5), (0, 4), (40, 17)].iter().map(|(n, m)| vec![random(DType::F32, &[*n, *m], 7)]).collect();
    check_sets(&p, &sets, 0.0);
}
