//! Against ONNX Runtime's `quantize_dynamic`, as `tests/scripts/make_golden_dynamic.py` wrote it down.

use super::codes::Kind;
use super::write::Writer;
use crate::common::golden::Golden;
use crate::common::layers::{self, Scope};
use lapidary_ir::{Attrs, DType, Graph, NodeSpec, OpName, Tensor, Type, Value, ValueId};
use lapidary_ops::{Datum, infer_types};
use lapidary_rewrite::{Evaluator, Executor, NoData, PassCtx, newest_op};

fn one(op: &str, golden: &Golden, sizes: [&[usize]; 3]) -> Graph {
    let mut g = Graph::new("g");
    let x = g.add_input("x", Type::tensor(DType::F32, sizes[0].iter().map(|s| *s as i64)));
    let w = g.add_const("w", Tensor::from_slice(sizes[1], &golden.floats(&format!("{op}.w"))));
    let mut operands = vec![x, w];
    if !sizes[2].is_empty() {
        operands.push(g.add_const("b", Tensor::from_slice(sizes[2], &golden.floats(&format!("{op}.b")))));
    }
    let name: OpName = newest_op(op);
    let y = g.add(NodeSpec::new(name, operands, vec![Value::new("y", Type::Unknown)]).attrs(Attrs::new())).out(0);
    g.add_output(y);
    infer_types(&mut g).unwrap();
    g
}

fn constant<'a>(g: &'a Graph, name: &str) -> &'a Tensor {
    let id: ValueId = *g.values_by_name().get(name).unwrap_or_else(|| panic!("no '{name}'"));
    g.as_constant(id).unwrap()
}

/// Codes, scales and zero points are the same, and the outputs within a thousandth of what one code of the input is worth.
#[test]
fn products_and_convolutions_are_those_of_onnx_runtime() {
    let golden = Golden::of("dynamic.bin");
    let (evaluator, mut cases) = (Evaluator::default(), 0);
    let models: [(&str, [&[usize]; 3]); 2] = [("MatMul", [&[5, 40], &[40, 7], &[]]), ("Conv", [&[2, 3, 6, 6], &[4, 3, 3, 3], &[4]])];
    for (op, sizes) in models {
        for bits in 0..8 {
            let kind = Kind { unsigned: bits & 1 != 0, per_channel: bits & 2 != 0, reduced: bits & 4 != 0 };
            if op == "Conv" && kind.per_channel {
                continue; // ONNX Runtime has one scale there all the same
            }
            let (letter, unit) = (if kind.unsigned { 'u' } else { 'i' }, if kind.per_channel { "channel" } else { "tensor" });
            let name = format!("{op}.{letter}8.{unit}.{}", if kind.reduced { 7 } else { 8 });
            let mut g = one(op, &golden, sizes);
            let mut ctx = PassCtx::new(&evaluator, &NoData, 17);
            let found = layers::find(&g, &mut ctx, "", Scope { head: true, embeddings: false });
            Writer::new(kind, false).layer(&mut g, &found[0]).unwrap();
            g.sweep();
            infer_types(&mut g).unwrap();
            assert_eq!(constant(&g, "w_quantized").bytes(), golden.bytes(&format!("{name}.codes")), "{name}");
            assert_eq!(constant(&g, "w_scale").to_vec::<f32>().unwrap(), golden.floats(&format!("{name}.scale")), "{name}");
            if kind.unsigned {
                assert_eq!(constant(&g, "w_zero_point").bytes(), golden.bytes(&format!("{name}.zero")), "{name}");
            }
            let x = Tensor::from_slice(sizes[0], &golden.floats(&format!("{op}.x")));
            let y = evaluator.load(&g, &[]).unwrap().run(vec![Datum::from(x)], &mut |_, _| {}).unwrap();
            let (y, want) = (y[0].as_tensor().unwrap().to_f64().unwrap(), golden.reals(&format!("{name}.y")));
            let largest = want.iter().fold(0f64, |a, v| a.max(v.abs()));
            y.iter().zip(&want).for_each(|(a, b)| assert!((a - b).abs() <= 1e-6 * largest, "{name}: {a} and {b}"));
            assert_eq!(y.len(), want.len());
            cases += 1;
        }
    }
    assert_eq!(cases, 12);
}
