//! Tensors that are whole parts of concatenations are computed there: no kernel copies them. Every graph means what its evaluator means, before and
//! after.

use lapidary_ir::text::{ParseOptions, parse};
use lapidary_ir::{DType, Tensor};
use lapidary_kernel::{ExprKind, Kernel, Program, Stmt, interp};
use lapidary_ops::{Datum, evaluate, infer_types};

const IMAGES: usize = 2;

/// The kernels of a graph of 32 channels as `optimize` leaves them.
fn optimized(body: &str, results: &str) -> Program {
    let text = format!(
        "graph @g(%x: f32[N, 32, 6, 5]) {{\n  const %w : f32[32, 32, 1, 1] = random(1)\n  const %h : f32[16, 16, 3, 3] = random(2)\n  %a = Conv(%x, %w) : ?\n  %b = Relu(%a) : ?\n{body}  return {results}\n}}\n"
    );
    let mut g = parse(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let facts = infer_types(&mut g).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let data: Vec<f32> = (0..IMAGES * 32 * 6 * 5).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let inputs = [Tensor::from_slice(&[IMAGES, 32, 6, 5], &data)];
    let want = evaluate(&g, inputs.iter().cloned().map(Datum::Tensor).collect()).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let mut p = lapidary_lower::lower_graph(&g, &facts).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let symbol = |n: &str| (n == "N").then_some(IMAGES as i64);
    for stage in ["as lowered", "optimized"] {
        let got = interp::interpret(&p, &inputs, &symbol).unwrap_or_else(|e| panic!("{text}{stage}: {e}\n{}", p.to_text()));
        for (got, want) in got.iter().zip(&want) {
            let want = want.as_tensor().unwrap();
            assert_eq!((got.dtype(), got.sizes()), (DType::F32, want.sizes()), "{text}{stage}");
            let (a, b) = (got.to_f64().unwrap(), want.to_f64().unwrap());
            let far = (0..a.len()).find(|i| (a[*i] - b[*i]).abs() > 1e-4 * (1.0 + b[*i].abs()) || a[*i].is_nan());
            assert!(far.is_none(), "{text}{stage}: element {far:?}\n{}", p.to_text());
        }
        lapidary_lower::optimize(&mut p, &Default::default()).unwrap_or_else(|e| panic!("{text}\n{e}"));
    }
    p
}

fn copies(p: &Program) -> usize {
    let copies = |k: &&Kernel| match k.body.as_slice() {
        [Stmt::Store { value, .. }] => k.name.starts_with("Concat") && matches!(k.expr(*value).kind, ExprKind::Load { .. }),
        _ => false,
    };
    p.kernels.iter().filter(copies).count()
}

/// So many stores fill a buffer.
fn stores(p: &Program, name: &str) -> usize {
    let fills = |s: &&Stmt| matches!(s, Stmt::Store { buffer, .. } if &*p.buffer(*buffer).name == name);
    p.kernels.iter().flat_map(|k| &k.body).filter(fills).count()
}

const HALVES: &str = "  %s, %t = Split(%b) {axis=1, num_outputs=2} : ?, ?\n  %u = Conv(%t, %h) {pads=[1, 1, 1, 1]} : ?\n";

#[test]
fn a_tensor_both_halves_of_which_are_concatenated() {
    let p = optimized(&format!("{HALVES}  %c = Concat(%s, %t, %u) {{axis=1}} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n"), "%y, %z");
    assert_eq!((copies(&p), stores(&p, "b"), stores(&p, "c")), (0, 0, 2), "{}", p.to_text());
}

/// What is added to a half is a part itself: its kernel reads one part and writes another.
#[test]
fn a_kernel_that_reads_one_part_and_writes_another() {
    let body = format!("{HALVES}  %v = Add(%u, %t) : ?\n  %c = Concat(%v, %s, %t) {{axis=1}} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n");
    let p = optimized(&body, "%y, %z");
    assert_eq!((copies(&p), stores(&p, "b"), stores(&p, "v")), (0, 0, 0), "{}", p.to_text());
    let both = |k: &&Kernel| k.writes().iter().any(|b| k.reads().contains(b));
    assert!(p.kernels.iter().any(|k| both(&k)) && !p.kernels.iter().any(Kernel::reads_own), "{}", p.to_text());
}

#[test]
fn a_tensor_that_others_read_besides() {
    let p = optimized("  %u = Conv(%b, %w) : ?\n  %c = Concat(%u, %b) {axis=1} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n", "%y, %z");
    assert_eq!((copies(&p), stores(&p, "b"), stores(&p, "c")), (0, 0, 2), "{}", p.to_text());
}

/// The second concatenation begins with the first one.
#[test]
fn a_concatenation_of_a_concatenation() {
    let body = "  %u = Conv(%b, %w) : ?\n  %c = Concat(%b, %u) {axis=1} : ?\n  %r = Tanh(%c) : ?\n  \
                %s, %t = Split(%r) {axis=1, num_outputs=2} : ?, ?\n  %v = Conv(%t, %w) : ?\n  \
                %d = Concat(%c, %v) {axis=1} : ?\n  %y = Tanh(%d) : ?\n  %z = Sin(%d) : ?\n";
    let p = optimized(body, "%y, %z");
    assert_eq!((copies(&p), stores(&p, "b"), stores(&p, "c"), stores(&p, "d")), (0, 0, 0, 3), "{}", p.to_text());
}

/// Rows of images under each other.
#[test]
fn along_another_axis() {
    let p = optimized("  %u = Conv(%b, %w) : ?\n  %c = Concat(%u, %b) {axis=2} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n", "%y, %z");
    assert_eq!((copies(&p), stores(&p, "b"), stores(&p, "c")), (0, 0, 2), "{}", p.to_text());
}

/// One of the two places is its own.
#[test]
fn a_tensor_that_is_concatenated_with_itself() {
    let p = optimized("  %c = Concat(%b, %b) {axis=1} : ?\n  %u = Conv(%b, %w) : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n", "%y, %z, %u");
    assert_eq!((copies(&p), stores(&p, "b"), stores(&p, "c")), (0, 0, 2), "{}", p.to_text());
}

#[test]
fn refuses_where_a_half_is_missing() {
    let p = optimized(&format!("{HALVES}  %c = Concat(%s, %u) {{axis=1}} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n"), "%y, %z");
    assert_eq!((copies(&p), stores(&p, "b")), (1, 1), "{}", p.to_text());
}

#[test]
fn refuses_halves_in_another_order() {
    let p = optimized(&format!("{HALVES}  %c = Concat(%t, %s, %u) {{axis=1}} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n"), "%y, %z");
    assert_eq!((copies(&p), stores(&p, "b")), (2, 1), "{}", p.to_text());
}

/// The memory of results is the caller's.
#[test]
fn refuses_results_on_either_side() {
    let p = optimized(&format!("{HALVES}  %c = Concat(%s, %t, %u) {{axis=1}} : ?\n"), "%c");
    assert_eq!(stores(&p, "b"), 1, "{}", p.to_text());
    let p = optimized(&format!("{HALVES}  %c = Concat(%s, %t, %u) {{axis=1}} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n"), "%y, %z, %b");
    assert_eq!(stores(&p, "b"), 1, "{}", p.to_text());
}

/// Rows of five elements, between which others lie.
#[test]
fn refuses_few_neighbours() {
    let body = "  %r = ReduceMean(%b, %i) {keepdims=0} : ?\n  %q = Exp(%r) : ?\n  %v = Softmax(%q) {axis=2} : ?\n  \
                %c = Concat(%q, %v) {axis=2} : ?\n  %y = Tanh(%c) : ?\n  %z = Sin(%c) : ?\n";
    let p = optimized(&format!("  const %i : i64[1] = [1]\n{body}"), "%y, %z");
    assert!(stores(&p, "q") + stores(&p, "v") >= 1, "{}", p.to_text());
}
