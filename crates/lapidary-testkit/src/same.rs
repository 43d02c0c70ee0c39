use lapidary_ir::{Attr, Attrs, Graph, NodeId, Tensor, Tolerance, ValueId, compare};

/// Fails with what differs, in one line.
#[track_caller]
pub fn assert_same_graph(a: &Graph, b: &Graph) {
    if let Some(difference) = graph_difference(a, b) {
        panic!("{difference}");
    }
}

/// Fails with the measured error when a result is not within the tolerance of its reference.
#[track_caller]
pub fn assert_close(got: &Tensor, want: &Tensor, tolerance: Tolerance) {
    let c = compare(got, want, tolerance);
    assert!(c.passed, "not within {tolerance}: {c}");
}

/// The first difference of two graphs in anything but node indices, origins and fresh-symbol counters; floats by their bits.
pub fn graph_difference(a: &Graph, b: &Graph) -> Option<String> {
    if a.name != b.name {
        return Some(format!("graph '{}' is '{}'", a.name, b.name));
    }
    if a.symbols.bounds != b.symbols.bounds {
        return Some(format!("symbol bounds {:?} are {:?}", a.symbols.bounds, b.symbols.bounds));
    }
    let names = |g: &Graph, v: &[ValueId]| -> Vec<String> { v.iter().map(|v| g.value(*v).name.to_string()).collect() };
    for (what, left, right) in [("inputs", names(a, a.inputs()), names(b, b.inputs())), ("outputs", names(a, a.outputs()), names(b, b.outputs()))] {
        if left != right {
            return Some(format!("{what} {left:?} are {right:?}"));
        }
    }
    // Inputs first, as the text has them in front of everything.
    let order = |g: &Graph| -> Vec<NodeId> {
        let all = g.topological().unwrap_or_default();
        let inputs = g.inputs().iter().map(|v| v.node);
        inputs.chain(all.into_iter().filter(|n| !g.inputs().iter().any(|v| v.node == *n))).collect()
    };
    let (left, right) = (order(a), order(b));
    if left.len() != right.len() {
        return Some(format!("{} nodes are {}", left.len(), right.len()));
    }
    left.into_iter().zip(right).find_map(|(x, y)| node_difference(a, x, b, y))
}

fn node_difference(a: &Graph, x: NodeId, b: &Graph, y: NodeId) -> Option<String> {
    let (m, n) = (a.node(x), b.node(y));
    let operand = |g: &Graph, v: &Option<ValueId>| v.map(|v| (g.value(v).name.to_string(), v.output));
    let operands = |g: &Graph, id: NodeId| -> Vec<_> { g.node(id).inputs().iter().map(|v| operand(g, v)).collect() };
    let what = if m.op != n.op {
        format!("operator {:?} is {:?}", m.op, n.op)
    } else if m.name != n.name || m.metadata != n.metadata || m.doc != n.doc {
        format!("name, metadata or doc {:?} are {:?}", (&m.name, &m.metadata, &m.doc), (&n.name, &n.metadata, &n.doc))
    } else if m.outputs() != n.outputs() {
        format!("outputs {:?} are {:?}", m.outputs(), n.outputs())
    } else if operands(a, x) != operands(b, y) {
        format!("operands {:?} are {:?}", operands(a, x), operands(b, y))
    } else if !same_attrs(&m.attrs, &n.attrs) {
        format!("attributes {:?} are {:?}", m.attrs, n.attrs)
    } else if m.regions.len() != n.regions.len() {
        format!("{} regions are {}", m.regions.len(), n.regions.len())
    } else {
        return m.regions.iter().zip(&n.regions).find_map(|(r, s)| {
            if (&r.name, &r.captures) != (&s.name, &s.captures) {
                return Some(format!("region '{}' {:?} is '{}' {:?}", r.name, r.captures, s.name, s.captures));
            }
            graph_difference(&r.graph, &s.graph).map(|d| format!("in region '{}': {d}", r.name))
        });
    };
    Some(format!("{} '{}': {what}", m.op, m.label()))
}

fn same_attrs(a: &Attrs, b: &Attrs) -> bool {
    a.len() == b.len() && a.iter().zip(b.iter()).all(|((n, v), (m, w))| n == m && same_attr(v, w))
}

fn same_attr(a: &Attr, b: &Attr) -> bool {
    match (a, b) {
        (Attr::Float(x), Attr::Float(y)) => x.to_bits() == y.to_bits(),
        (Attr::Floats(x), Attr::Floats(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits()),
        _ => a == b,
    }
}
