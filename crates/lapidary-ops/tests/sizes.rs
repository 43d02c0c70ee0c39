//! Shape arithmetic: what is computed from sizes stays known as sizes.

mod support;

use lapidary_ir::{Attrs, DType, Dim, Graph, NodeSpec, OpName, Tensor, Type, Value, ValueId};
use lapidary_ops::infer_types;

struct Net(Graph);

impl Net {
    /// `shape(x)` of `x: f32[N, 3, N·H]`.
    fn new() -> (Net, ValueId) {
        let mut g = Graph::new("sizes");
        let n = Dim::symbol("N");
        let x = g.add_input("x", Type::tensor(DType::F32, [n.clone(), Dim::from(3), &n * &Dim::symbol("H")]));
        let mut net = Net(g);
        let shape = net.op("Shape", &[x], Attrs::new());
        (net, shape)
    }
    fn op(&mut self, name: &str, inputs: &[ValueId], attrs: Attrs) -> ValueId {
        let hint = self.0.fresh_name(name);
        self.0.add(NodeSpec::new(OpName::onnx(name, 25), inputs.iter().copied(), vec![Value::new(hint, Type::Unknown)]).attrs(attrs)).out(0)
    }
    fn ints(&mut self, v: &[i64]) -> ValueId {
        let name = self.0.fresh_name("c");
        self.0.add_const(name, Tensor::from_vec(v.to_vec()))
    }
    fn dims(&mut self, v: ValueId) -> Option<Vec<String>> {
        self.0.set_outputs(vec![v]);
        let facts = infer_types(&mut self.0).unwrap();
        Some(facts.contents(&self.0, v)?.dims.iter().map(Dim::to_string).collect())
    }
}

#[test]
fn arithmetic_of_sizes_stays_known() {
    let (mut net, shape) = Net::new();
    let two = net.ints(&[2]);
    for (op, expected) in [
        ("Add", ["N + 2", "5", "H*N + 2"]),
        ("Sub", ["N - 2", "1", "H*N - 2"]),
        ("Mul", ["2*N", "6", "2*H*N"]),
        ("Div", ["(N floordiv 2)", "1", "((H*N) floordiv 2)"]),
        ("Mod", ["(N mod 2)", "1", "((H*N) mod 2)"]),
        ("Max", ["max(2, N)", "3", "max(2, H*N)"]),
        ("Min", ["min(2, N)", "2", "min(2, H*N)"]),
    ] {
        let v = net.op(op, &[shape, two], Attrs::new());
        assert_eq!(net.dims(v).unwrap(), expected, "{op}");
    }
    let v = net.op("ReduceProd", &[shape], Attrs::new().with("keepdims", 0));
    assert_eq!(net.dims(v).unwrap(), ["3*H*N^2"].map(|s| s.replace("N^2", "N*N")));
    let cast = net.op("Cast", &[shape], Attrs::new().with("to", 6));
    assert_eq!(net.dims(cast).unwrap(), ["N", "3", "H*N"]);
    let narrow = net.op("Cast", &[shape], Attrs::new().with("to", 3));
    assert_eq!(net.dims(narrow), None, "an i8 does not hold sizes");
}

/// The chain that exporters write for Expand: a size of -1 is replaced by 1.
#[test]
fn a_choice_between_sizes_is_made_where_it_is_certain() {
    let (mut net, shape) = Net::new();
    let (wildcard, one) = (net.ints(&[-1]), net.ints(&[1]));
    let is = net.op("Equal", &[shape, wildcard], Attrs::new());
    assert_eq!(net.dims(is).unwrap(), ["0", "0", "0"]);
    let v = net.op("Where", &[is, one, shape], Attrs::new());
    assert_eq!(net.dims(v).unwrap(), ["N", "3", "H*N"]);
    let below = net.op("Less", &[shape, one], Attrs::new());
    assert_eq!(net.dims(below), None, "N may be 0");
}

#[test]
fn sizes_of_results() {
    let (mut net, shape) = Net::new();
    let x = net.0.inputs()[0];
    let axes = net.ints(&[-1]);
    let keep = net.op("ReduceMean", &[x, axes], Attrs::new());
    let drop = net.op("ReduceMean", &[x, axes], Attrs::new().with("keepdims", 0));
    let arg = net.op("ArgMax", &[x], Attrs::new().with("axis", 1));
    let k = net.ints(&[2]);
    let top = net.op("TopK", &[x, k], Attrs::new().with("axis", 1));
    let sum = net.op("Add", &[x, keep], Attrs::new());
    let run_time = net.op("ReduceSum", &[x, shape], Attrs::new());
    net.0.set_outputs(vec![keep, drop, arg, top, sum, run_time]);
    infer_types(&mut net.0).unwrap();
    let text = |v: ValueId| format!("{:?}", net.0.ty(v).dims().unwrap());
    assert_eq!([keep, drop, arg, top, sum].map(text), ["[N, 3, 1]", "[N, 3]", "[N, 1, H*N]", "[N, 2, H*N]", "[N, 3, H*N]"]);
    assert_eq!(net.0.ty(arg).dtype(), DType::I64);
    assert_eq!(net.0.ty(run_time).rank(), Some(3), "axes of the run leave the rank known");
}

#[test]
fn numbers_that_would_wrap_are_not_followed() {
    let (mut net, _) = Net::new();
    let (big, two) = (net.ints(&[i64::MAX]), net.ints(&[2]));
    let product = net.op("Mul", &[big, two], Attrs::new());
    assert_eq!(net.dims(product), None);
    let name = net.0.fresh_name("c");
    let narrow = net.0.add_const(name, Tensor::from_vec(vec![i32::MAX]));
    let sum = net.op("Add", &[narrow, narrow], Attrs::new());
    assert_eq!(net.dims(sum), None);
}
