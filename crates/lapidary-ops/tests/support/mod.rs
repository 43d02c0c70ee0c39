//! One-operator graphs for tests.
#![allow(dead_code)]

use lapidary_ir::{Attr, Attrs, Diagnostic, Graph, NodeId, NodeSpec, OpName, Result, Tensor, Type, Value};
use lapidary_ops::{Datum, evaluate, infer_types};

/// A graph of one ONNX operator on inputs of the tensors' types, with `outputs` results.
pub fn graph(op: &str, version: u32, attrs: &[(&str, Attr)], inputs: &[Tensor], outputs: usize) -> (Graph, NodeId) {
    let mut g = Graph::new("test");
    let inputs: Vec<_> = inputs.iter().enumerate().map(|(i, t)| g.add_input(format!("x{i}"), t.ty())).collect();
    let attrs = attrs.iter().fold(Attrs::new(), |a, (n, v)| a.with(n, v.clone()));
    let values = (0..outputs).map(|i| Value::new(format!("y{i}"), Type::Unknown)).collect();
    let n = g.add(NodeSpec::new(OpName::onnx(op, version), inputs, values).attrs(attrs));
    g.set_outputs(vec![n.out(0)]);
    (g, n)
}

/// The first result, after inference.
pub fn run(g: &mut Graph, inputs: &[Tensor]) -> Result<Tensor> {
    infer_types(g)?;
    let out = evaluate(g, inputs.iter().cloned().map(Datum::from).collect())?;
    out[0].as_tensor().cloned().ok_or_else(|| Diagnostic::error("test", "the result is no tensor").into())
}

/// The first result of one operator.
pub fn eval(op: &str, version: u32, attrs: &[(&str, Attr)], inputs: &[Tensor]) -> Result<Tensor> {
    run(&mut graph(op, version, attrs, inputs, 1).0, inputs)
}

/// `0, step, 2·step, …` of f32.
pub fn ramp(sizes: &[usize], step: f32) -> Tensor {
    Tensor::from_slice(sizes, &(0..sizes.iter().product()).map(|i: usize| i as f32 * step).collect::<Vec<_>>())
}
