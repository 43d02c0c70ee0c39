//! Against NumPy, as `tests/scripts/make_golden_bias.py` wrote it down.

use super::{NAME, OPTIONS, PASS};
use crate::common::golden::Golden;
use crate::common::reference::Reference;
use lapidary_ir::{Attrs, DType, Graph, NodeSpec, Tensor, Type, Value, ValueId};
use lapidary_ops::{Datum, infer_types};
use lapidary_rewrite::{Evaluator, InMemory, OptionValue, Options, PassCtx, newest_op};

const SAMPLES: usize = 6;

/// A convolution, Relu, a mean over places and a product.
fn net(golden: &Golden, w: &str, v: &str) -> Graph {
    let mut g = Graph::new("g");
    let x = g.add_input("x", Type::tensor(DType::F32, [SAMPLES as i64 / 2, 2, 6, 6]));
    let w = g.add_const("w", Tensor::from_slice(&[5, 2, 3, 3], &golden.floats(w)));
    let b = g.add_const("b", Tensor::from_slice(&[5], &golden.floats("b")));
    let v = g.add_const("v", Tensor::from_slice(&[5, 4], &golden.floats(v)));
    let axes = g.add_const("axes", Tensor::from_vec(vec![2i64, 3]));
    let mut op = |op: &str, inputs: &[ValueId], attrs: Attrs, name: &str| {
        g.add(NodeSpec::new(newest_op(op), inputs.iter().copied(), vec![Value::new(name, Type::Unknown)]).attrs(attrs)).out(0)
    };
    let c = op("Conv", &[x, w, b], Attrs::new(), "c");
    let r = op("Relu", &[c], Attrs::new(), "r");
    let m = op("ReduceMean", &[r, axes], Attrs::new().with("keepdims", 0), "m");
    let y = op("MatMul", &[m, v], Attrs::new(), "y");
    g.add_output(y);
    infer_types(&mut g).unwrap();
    g
}

fn corrected(golden: &Golden, sequential: bool) -> (Vec<f64>, Vec<f64>) {
    let half = SAMPLES / 2 * 2 * 36;
    let batches = golden.floats("x").chunks(half).map(|x| vec![Datum::from(Tensor::from_slice(&[SAMPLES / 2, 2, 6, 6], x))]).collect();
    let (evaluator, data) = (Evaluator::default(), InMemory(batches));
    let mut ctx = PassCtx::new(&evaluator, &data, 17);
    let written = [("data".to_string(), OptionValue::Text("x".into())), ("sequential".to_string(), OptionValue::Bool(sequential))];
    ctx.options = Options::resolve(NAME, OPTIONS, &written).unwrap();
    ctx.put(Reference(net(golden, "w", "v")));
    let mut g = net(golden, "wq", "vq");
    PASS.apply(&mut g, &mut ctx).unwrap();
    let constant = |name: &str| g.as_constant(g.values_by_name()[name]).unwrap().to_f64().unwrap();
    let before = golden.reals("b");
    (constant("b").iter().zip(before).map(|(a, b)| a - b).collect(), constant("y_bias"))
}

#[test]
fn corrections_are_those_of_numpy() {
    let golden = Golden::of("bias.bin");
    let near = |got: &[f64], want: &str| {
        let want = golden.reals(want);
        assert_eq!(got.len(), want.len());
        got.iter().zip(&want).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} and {b}"));
    };
    let (first, second) = corrected(&golden, true);
    near(&first, "first");
    near(&second, "second");
    let (first, second) = corrected(&golden, false);
    near(&first, "first");
    near(&second, "second.at_once");
}
