//! Against Wanda and SparseGPT as `tests/scripts/make_golden_compression.py` writes them down from their papers.

use super::mask::Pattern;
use super::{gpt, wanda};
use crate::common::activations::Inputs;
use crate::common::golden::{Golden, draw};
use crate::common::layers::{Form, Layer};
use faer::Mat;
use lapidary_ir::{DType, Graph, Tensor};

fn layer(rows: usize, columns: usize) -> Layer {
    let mut g = Graph::new("g");
    let weight = g.add_const("w", Tensor::zeros(DType::F32, &[rows, columns]).unwrap());
    Layer { name: "w".into(), weight, form: Form::OutputsFirst, readers: vec![], rows, columns }
}

#[test]
fn wanda_keeps_what_its_paper_keeps() {
    let golden = Golden::read();
    let mut draw = draw(5);
    for i in 0..20 {
        let (rows, columns, ratio) = (16 + i, 37 + 4 * i, 0.3 + 0.02 * i as f64);
        // Row by row, the way the other side draws them.
        let mut matrix = |rows: usize| {
            let values: Vec<f64> = (0..rows * columns).map(|_| draw()).collect();
            Mat::from_fn(rows, columns, |r, c| values[r * columns + c])
        };
        let (mut w, x) = (matrix(rows), matrix(8));
        let squares = (0..columns).map(|c| x.col(c).iter().map(|v| v * v).sum()).collect();
        wanda(&layer(rows, columns), &mut w, &Inputs { count: 8, squares, ..Inputs::default() }, &Pattern::Free(ratio));
        let bits = golden.bytes(&format!("wanda.{i}"));
        let kept = |at: usize| bits[at / 8] >> (7 - at % 8) & 1 == 1;
        let others = (0..rows * columns).filter(|at| kept(*at) != (w[(at / columns, at % columns)] != 0.0)).count();
        assert_eq!(others, 0, "of layer {i}");
        let zeros = (columns as f64 * ratio) as usize;
        assert!((0..rows).all(|r| w.row(r).iter().filter(|v| **v == 0.0).count() == zeros), "rows of layer {i}");
    }
}

#[test]
fn sparsegpt_gives_the_weights_of_its_paper() {
    let golden = Golden::read();
    let gram = golden.symmetric("gptq.gram", 160);
    for (name, pattern) in [("free", Pattern::Free(0.5)), ("2:4", Pattern::Neighbours { keep: 2, of: 4 })] {
        let mut w = golden.matrix("gptq.w", 8);
        let seen = Inputs { count: 400, gram: vec![gram.clone()], ..Inputs::default() };
        gpt::prune(&layer(8, 160), &mut w, &seen, &pattern).unwrap();
        let theirs = golden.matrix(&format!("sparsegpt.{name}"), 8);
        for r in 0..8 {
            for c in 0..160 {
                let (a, b) = (w[(r, c)], theirs[(r, c)]);
                assert!((a == 0.0) == (b == 0.0) && (a - b).abs() <= 1e-5 * b.abs().max(1.0), "{name} at {r}, {c}: {a}, not {b}");
            }
        }
    }
}
