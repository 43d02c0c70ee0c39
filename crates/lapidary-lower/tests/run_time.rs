//! Axes, starts, pads and scales that only the run knows: where the model states the sizes of the result, kernels read the rest as data.

use lapidary_ir::text::{ParseOptions, parse};
use lapidary_ir::{Graph, Tensor};
use lapidary_kernel::interp;
use lapidary_ops::{Datum, evaluate, infer_types};

fn graph(inputs: &str, body: &str) -> Graph {
    let text = format!("graph @case({inputs}) {{\n  {body}\n  return %y\n}}\n");
    parse(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// The kernels, as lowered and as optimized, give what the evaluator gives.
fn check(inputs: &str, body: &str, sets: &[Vec<Tensor>]) {
    let mut g = graph(inputs, body);
    let facts = infer_types(&mut g).unwrap_or_else(|e| panic!("{body}: {e}"));
    let mut p = lapidary_lower::lower_graph(&g, &facts).unwrap_or_else(|e| panic!("{body}: {e}"));
    for stage in ["as lowered", "optimized"] {
        for set in sets {
            let want = evaluate(&g, set.iter().cloned().map(Datum::Tensor).collect()).unwrap_or_else(|e| panic!("{body}: {e}"));
            let want = want[0].as_tensor().unwrap();
            let got = interp::interpret(&p, set, &|_| Some(set[1].len() as i64)).unwrap_or_else(|e| panic!("{body}, {stage}: {e}"));
            assert_eq!(got[0].sizes(), want.sizes(), "{body}, {stage}");
            let (a, b) = (got[0].to_f64().unwrap(), want.to_f64().unwrap());
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs())), "{body}, {stage}, {set:?}: {a:?}, expected {b:?}");
        }
        lapidary_lower::optimize(&mut p, &Default::default()).unwrap_or_else(|e| panic!("{e}"));
    }
}

fn ramp(sizes: &[usize]) -> Tensor {
    Tensor::from_slice(sizes, &(0..sizes.iter().product()).map(|i: usize| ((i * 37) % 23) as f32 - 9.5).collect::<Vec<_>>())
}
fn ints(v: &[i64]) -> Tensor {
    Tensor::from_slice(&[v.len()], v)
}

#[test]
fn reductions_find_their_axes_by_the_shape_of_the_result() {
    let x = ramp(&[3, 2, 4]);
    let one = |axes: &[i64]| vec![vec![x.clone(), ints(axes)]];
    check("%x: f32[3, 2, 4], %a: i64[1]", "%y = ReduceSum(%x, %a) : f32[3, 1, 4]", &one(&[1]));
    check("%x: f32[3, 2, 4], %a: i64[2]", "%y = ReduceMax(%x, %a) {keepdims=0} : f32[2]", &one(&[-1, 0]));
    check("%x: f32[3, 2, 4], %a: i64[0]", "%y = ReduceMean(%x, %a) : f32[1, 1, 1]", &one(&[]));
    check("%x: f32[3, 2, 4], %a: i64[0]", "%y = ReduceL1(%x, %a) {noop_with_empty_axes=1} : f32[3, 2, 4]", &one(&[]));
    check("%x: f32[3, 2, 4], %a: i64[A]", "%y = ReduceLogSumExp(%x, %a) : f32[3, 1, 1]", &one(&[2, 1]));
}

#[test]
fn reductions_that_fit_in_several_ways_are_chosen_at_run_time() {
    let x = ramp(&[3, 2, 2]);
    let sets = [&[1i64][..], &[2], &[-1], &[-2]].map(|a| vec![x.clone(), ints(a)]);
    check("%x: f32[3, 2, 2], %a: i64[1]", "%y = ReduceSum(%x, %a) {keepdims=0} : f32[3, 2]", &sets);
    check("%x: f32[3, 2, 2], %a: i64[1]", "%y = ReduceLogSumExp(%x, %a) {keepdims=0} : f32[3, 2]", &sets);
}

#[test]
fn an_axis_of_one_element_is_no_second_way() {
    let x = ramp(&[3, 1, 2]);
    check("%x: f32[3, 1, 2], %a: i64[A]", "%y = ReduceSum(%x, %a) : f32[3, 1, 1]", &[vec![x.clone(), ints(&[2])], vec![x, ints(&[1, 2])]]);
}

#[test]
fn what_the_model_says_of_its_result_holds_of_what_comes_before() {
    let body = "%s = ReduceSum(%x, %a) : ?\n  %r = Abs(%s) : ?\n  %y = Sqrt(%r) : f32[3, 1, 4]";
    check("%x: f32[3, 2, 4], %a: i64[1]", body, &[vec![ramp(&[3, 2, 4]), ints(&[1])]]);
}

#[test]
fn a_reduction_to_an_unknown_shape_says_what_is_missing() {
    let mut g = graph("%x: f32[3, 2], %a: i64[1]", "%y = ReduceSum(%x, %a) : ?");
    let facts = infer_types(&mut g).unwrap();
    let e = lapidary_lower::lower_graph(&g, &facts).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(e.contains("only known at run time"), "{e}");
}

#[test]
fn running_totals_follow_an_axis_that_the_run_names() {
    let x = ramp(&[2, 3]);
    let sets = [0i64, 1, -1, -2].map(|a| vec![x.clone(), Tensor::from_slice(&[], &[a])]);
    check("%x: f32[2, 3], %a: i64[]", "%y = CumSum(%x, %a) {exclusive=1, reverse=1} : f32[2, 3]", &sets);
}

#[test]
fn slices_start_where_the_run_says() {
    let x = ramp(&[6, 5]);
    let sets = [[0i64, 3, 0], [2, 5, 0], [-3, 6, 0], [3, 1000, -2]].map(|v| vec![x.clone(), ints(&v[..1]), ints(&v[1..2]), ints(&v[2..])]);
    check("%x: f32[6, 5], %s: i64[1], %e: i64[1], %a: i64[1]", "%y = Slice(%x, %s, %e, %a) : f32[3, 5]", &sets);
    let back = [[-1i64, -1000, 1, -2], [20, 0, 1, -2]].map(|v| vec![x.clone(), ints(&v[..1]), ints(&v[1..2]), ints(&v[2..3]), ints(&v[3..])]);
    let inputs = "%x: f32[6, 5], %s: i64[1], %e: i64[1], %a: i64[1], %k: i64[1]";
    check(inputs, "%y = Slice(%x, %s, %e, %a, %k) : f32[6, 3]", &back[..1]);
    check(inputs, "%y = Slice(%x, %s, %e, %a, %k) : f32[6, 2]", &back[1..]);
}

#[test]
fn pads_that_the_run_says_move_the_operand() {
    let x = ramp(&[2, 3]);
    for mode in ["constant", "edge", "reflect", "wrap"] {
        let sets = [[0i64, 1, 0, 2], [0, 2, 0, 1], [0, 3, 0, 0]].map(|p| vec![x.clone(), ints(&p)]);
        check("%x: f32[2, 3], %p: i64[4]", &format!("%y = Pad(%x, %p) {{mode=\"{mode}\"}} : f32[2, 6]"), &sets);
    }
    let sets = [[1i64, 1, -1], [2, 0, 1]].map(|v| vec![x.clone(), ints(&v[..2]), ints(&v[2..])]);
    check("%x: f32[2, 3], %p: i64[2], %a: i64[1]", "%y = Pad(%x, %p, _, %a) : f32[2, 5]", &sets);
}

#[test]
fn scales_that_the_run_says_are_not_the_ratio_of_sizes() {
    let x = ramp(&[1, 1, 4, 6]);
    let scales = Tensor::from_slice(&[4], &[1f32, 1.0, 0.6, 0.7]);
    for mode in ["half_pixel", "half_pixel_symmetric", "align_corners", "pytorch_half_pixel", "asymmetric"] {
        for kind in ["linear", "cubic"] {
            let body = format!("%y = Resize(%x, _, %s) {{mode=\"{kind}\", coordinate_transformation_mode=\"{mode}\"}} : f32[1, 1, 2, 4]");
            check("%x: f32[1, 1, 4, 6], %s: f32[4]", &body, &[vec![x.clone(), scales.clone()]]);
        }
    }
}
