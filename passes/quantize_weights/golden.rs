//! Against what other quantizers make of the same weights, as `tests/scripts/make_golden_compression.py` wrote it down.

use super::book::Scales;
use super::gptq::{self, Sweep};
use super::{awq, formats, hqq};
use crate::common::activations::Inputs;
use crate::common::codes::{Codes, Grid, Unit};
use crate::common::golden::{Golden, draw};
use crate::common::layers::{Form, Layer};
use crate::common::nbits;
use crate::common::quant::{Range, activation};
use faer::Mat;
use lapidary_ir::{Attr, DType, Graph, Tensor};

fn grid(bits: u32, symmetric: bool) -> Grid {
    Grid { bits, symmetric, unit: Unit::Block(32), clip: false, dtype: DType::F32 }
}

/// How many of the codes are others.
fn differing(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn scales_and_zero_points_of_ten_thousand_ranges_are_those_of_onnx_runtime() {
    let golden = Golden::read();
    let (scales, zeros, symmetric) = (golden.floats("range.scale"), golden.bytes("range.zero"), golden.floats("range.symmetric"));
    let mut draw = draw(1);
    let near = |a: f32, b: f32| (a.to_bits() as i64 - b.to_bits() as i64).abs() <= 1;
    assert_eq!(scales.len(), 10_000);
    for i in 0..scales.len() {
        let (mut a, mut b) = (draw(), draw());
        match i % 7 {
            0 => (a, b) = (a.abs(), b.abs()),
            1 => (a, b) = (-a.abs(), -b.abs()),
            _ => {}
        }
        if i % 11 == 0 {
            b = a;
        }
        if i % 101 == 0 {
            (a, b) = (0.0, 0.0);
        }
        let range = Range::new(a.min(b), a.max(b));
        let p = activation(range, DType::U8);
        assert!(near(p.scale, scales[i]) && p.zero_point == i64::from(zeros[i]), "range {i}: {a} {b}: {p:?}, not {} {}", scales[i], zeros[i]);
        let ends = [a as f32, b as f32];
        let whole = Grid { unit: Unit::Matrix, ..grid(8, false) };
        let (scale, zero) = whole.fit(&ends);
        assert!(near(scale, scales[i]) && zero == f32::from(zeros[i]), "range {i} as weights: {scale} {zero}");
        let (scale, zero) = Grid { symmetric: true, ..whole }.fit(&ends);
        assert!(near(scale, symmetric[i]) && zero == 128.0, "range {i}, symmetric: {scale}");
        assert!(near(activation(range, DType::I8).scale, symmetric[i]));
    }
}

#[test]
fn matmulnbits_has_the_bytes_of_onnx_runtime() {
    let golden = Golden::read();
    let w = golden.matrix("rtn.w", 6);
    for bits in [2, 4, 8] {
        for (symmetric, kind) in [(true, "symmetric"), (false, "asymmetric")] {
            let name = format!("rtn.{bits}.{kind}");
            let codes = grid(bits, symmetric).round(&w);
            let mut g = Graph::new("g");
            let x = g.add_input("x", lapidary_ir::Type::tensor(DType::F32, [2usize, 80]));
            let stored: Vec<f32> = (0..80).flat_map(|c| (0..6).map(move |r| (r, c))).map(|at| w[at] as f32).collect();
            let weight = g.add_const("w", Tensor::from_slice(&[80, 6], &stored));
            let ty = lapidary_ir::TensorType::new(DType::F32, lapidary_ir::Shape::of([2usize, 6]));
            let y = g.add_op(lapidary_rewrite::newest_op("MatMul"), [x, weight], lapidary_ir::Attrs::new(), "y", ty);
            g.add_output(y);
            let layer = Layer { name: "w".into(), weight, form: Form::InputsFirst, readers: vec![(y.node, x)], rows: 6, columns: 80 };
            assert_eq!(nbits::not_nbits(&g, &layer, &codes), None);
            nbits::write_nbits(&mut g, "test", &layer, &codes).unwrap();
            let node = g.producer(g.outputs()[0]);
            let constant = |slot: usize| g.as_constant(node.input(slot).unwrap()).unwrap().bytes().to_vec();
            assert_eq!(node.attrs.get("bits"), Some(&Attr::Int(i64::from(bits))));
            assert_eq!(constant(1), golden.bytes(&format!("{name}.codes")), "{name}");
            assert_eq!(constant(2), golden.raw(&format!("{name}.scales")), "{name}");
            if symmetric {
                assert_eq!(node.inputs().len(), 3);
            } else {
                assert_eq!(constant(3), golden.bytes(&format!("{name}.zeros")), "{name}");
            }
        }
    }
}

#[test]
fn nf4_has_the_bytes_of_bitsandbytes() {
    let golden = Golden::read();
    for (name, rows) in [("nf4", 20), ("nf4.ragged", 7)] {
        let w = golden.matrix(&format!("{name}.w"), rows);
        let plain = formats::nf4(&w, 64, false, DType::F32);
        assert_eq!(plain.bnb4_bytes(), golden.bytes(&format!("{name}.codes")), "{name}");
        assert_eq!(plain.scales, Scales::Plain(golden.floats(&format!("{name}.absmax"))));
        let Scales::Double { codes, table, largest, offset } = formats::nf4(&w, 64, true, DType::F32).scales else { panic!("{name}") };
        assert_eq!(table, golden.floats("nf4.table"));
        // The mean of the scales is summed in another order there.
        assert!((offset - golden.floats(&format!("{name}.offset"))[0]).abs() <= offset * 1e-6);
        let theirs = golden.floats(&format!("{name}.largest"));
        assert!(largest.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= b * 1e-5), "{largest:?} {theirs:?}");
        assert_eq!(codes, golden.bytes(&format!("{name}.double")), "{name}");
    }
}

#[test]
fn hqq_gives_the_codes_of_its_authors() {
    let golden = Golden::read();
    let w = golden.matrix("hqq.w", 16);
    for bits in [2, 3, 4, 8] {
        let codes = hqq::quantize(&w, &grid(bits, false), false);
        assert_eq!(differing(&codes.codes, golden.bytes(&format!("hqq.{bits}.codes"))), 0, "{bits} bits");
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0));
        assert!(
            near(&codes.scales, &golden.floats(&format!("hqq.{bits}.scales"))) && near(&codes.zeros, &golden.floats(&format!("hqq.{bits}.zeros")))
        );
    }
}

#[test]
fn gptq_gives_the_codes_of_its_paper() {
    let golden = Golden::read();
    let w = golden.matrix("gptq.w", 8);
    let gram = golden.symmetric("gptq.gram", 160);
    let seen = Inputs { count: 400, gram: vec![gram.clone()], ..Inputs::default() };
    let mut g = Graph::new("g");
    let weight = g.add_const("w", Tensor::zeros(DType::F32, &[8, 160]).unwrap());
    let layer = Layer { name: "w".into(), weight, form: Form::OutputsFirst, readers: vec![], rows: 8, columns: 160 };
    let loss = |c: &Codes| {
        let d = &w - c.matrix();
        let e = &d * &gram;
        (0..160).map(|c| d.col(c).iter().zip(e.col(c).iter()).map(|(a, b)| a * b).sum::<f64>()).sum::<f64>()
    };
    for bits in [2, 3, 4] {
        for (act_order, kind) in [(false, "plain"), (true, "ordered")] {
            let codes = gptq::quantize(&layer, &w, &seen, &grid(bits, false), Sweep { act_order, static_groups: false }).unwrap();
            let others = differing(&codes.codes, golden.bytes(&format!("gptq.{bits}.{kind}")));
            assert!(others * 1000 <= codes.codes.len(), "{bits} bits, {kind}: {others} of {} codes differ", codes.codes.len());
            assert!(loss(&codes) < loss(&grid(bits, false).round(&w)));
        }
    }
}

#[test]
fn awq_gives_the_codes_of_its_paper() {
    let golden = Golden::read();
    let (w, x) = (golden.matrix("awq.w", 8), golden.matrix("awq.x", 100));
    let gram = x.transpose() * &x;
    let sum_abs: Vec<f64> = (0..64).map(|c| x.col(c).iter().map(|v| v.abs()).sum()).collect();
    let seen = Inputs { count: 100, sum_abs, gram: vec![gram.clone()], ..Inputs::default() };
    for bits in [2, 3, 4] {
        let grid = grid(bits, false);
        let scales = awq::search(std::slice::from_ref(&w), &[grid], &seen).unwrap_or(vec![1.0; 64]);
        let theirs = golden.reals(&format!("awq.{bits}.scales"));
        assert!(scales.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1e-6 * b), "{bits} bits: {scales:?} {theirs:?}");
        let mut scaled = Mat::from_fn(8, 64, |r, c| w[(r, c)] * scales[c]);
        let gram = Mat::from_fn(64, 64, |a, b| gram[(a, b)] / (scales[a] * scales[b]));
        awq::clip(8, &mut scaled, &[gram], &grid);
        let others = differing(&grid.round(&scaled).codes, golden.bytes(&format!("awq.{bits}.codes")));
        assert_eq!(others, 0, "{bits} bits");
    }
}

#[test]
fn small_floats_have_the_codes_of_ml_dtypes_and_torch() {
    let golden = Golden::read();
    let w = golden.matrix("mx.w", 4);
    let mx = formats::mxfp4(&w, 32, DType::F32).unwrap();
    assert_eq!(mx.codes, golden.bytes("mx.codes"));
    assert_eq!(mx.scales, Scales::Powers(golden.bytes("mx.exponents").iter().map(|b| *b as i8).collect()));
    // Of a block with the largest element 7.5, what is above 6 saturates.
    let first = mx.matrix();
    assert!((0..32).any(|c| w[(0, c)].abs() > 7.4 && first[(0, c)].abs() == 6.0));
    let nv = formats::nvfp4(&w, 16, DType::F32).unwrap();
    assert_eq!(nv.codes, golden.bytes("nv.codes"));
    let Scales::Small(scales, whole) = &nv.scales else { panic!() };
    let wide: Vec<f64> = scales.iter().map(|v| f64::from(*v)).collect();
    let stored = Tensor::from_f64(DType::F8E4M3FN, &[wide.len()], &wide).unwrap();
    assert_eq!((&stored.bytes()[..], *whole), (golden.bytes("nv.scales"), golden.floats("nv.whole")[0]));
    let error = |m: Mat<f64>| (0..64).map(|c| m.col(c).iter().zip(w.col(c).iter()).map(|(a, b)| (a - b).powi(2)).sum::<f64>()).sum::<f64>();
    assert!(error(nv.matrix()) < error(mx.matrix()));

    let halves: Vec<f64> = (0..0x5f41u16).map(|b| half::f16::from_bits(b).to_f64()).collect();
    let ours = Tensor::from_f64(DType::F8E4M3FN, &[halves.len()], &halves).unwrap();
    assert_eq!(differing(ours.bytes(), golden.bytes("fp8.codes")), 0);
}

/// A normal matrix with some weights far outside, of a fixed sequence.
fn gaussian(count: usize) -> Mat<f64> {
    let mut state = 7u64;
    let mut unit = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    Mat::from_fn(1, count, |_, c| {
        let v = (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
        (if c % 1333 == 7 { 6.0 * v.signum() } else { v }) * 0.1
    })
}

#[test]
fn gobo_keeps_its_few_outliers_and_beats_a_linear_grid() {
    let w = gaussian(200_000);
    let book = formats::gobo(&w, 3, DType::F32);
    let share = book.outliers.len() as f64 / 200_000.0;
    assert!((0.001..0.0025).contains(&share), "{share}");
    let error = |m: Mat<f64>| {
        let (mut e, mut p) = (0.0, 0.0);
        for c in 0..w.ncols() {
            e += (m[(0, c)] - w[(0, c)]).powi(2);
            p += w[(0, c)].powi(2);
        }
        e / p
    };
    let ours = error(book.matrix());
    assert!((0.03..0.045).contains(&ours), "{ours}");
    assert!(ours < error(Grid { unit: Unit::Matrix, ..grid(3, true) }.round(&w).matrix()) / 2.0);
}

#[test]
fn nf4_and_its_double_scales_lose_what_was_published() {
    let w = gaussian(1 << 18);
    let clean = Mat::from_fn(1, w.ncols(), |_, c| if c % 1333 == 7 { 0.0 } else { w[(0, c)] * 10.0 });
    let error = |m: Mat<f64>| (0..clean.ncols()).map(|c| (m[(0, c)] - clean[(0, c)]).powi(2)).sum::<f64>() / clean.ncols() as f64;
    let (plain, double) = (error(formats::nf4(&clean, 64, false, DType::F32).matrix()), error(formats::nf4(&clean, 64, true, DType::F32).matrix()));
    assert!((plain - 0.00849).abs() < 1e-4 && (double - plain).abs() < 2e-5, "{plain} {double}");
}
