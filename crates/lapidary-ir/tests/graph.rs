//! Editing a graph through its one door, and what `verify` says of graphs that went around it.

use lapidary_ir::text::{self, ParseOptions, PrintOptions};
use lapidary_ir::{Attr, Attrs, DType, Graph, NodeId, NodeSpec, OpName, Region, Tensor, Type, Value, ValueId};
use lapidary_testkit::any_graph;
use proptest::prelude::*;

fn graph(source: &str) -> Graph {
    text::parse(source, &ParseOptions::default()).unwrap()
}

fn by_name(g: &Graph, name: &str) -> ValueId {
    g.values_by_name()[name]
}

fn printed(g: &Graph) -> String {
    g.to_text(&PrintOptions::default())
}

/// `y = x * x`, then `z = y + w`.
fn square() -> Graph {
    graph("graph (%x: f32[2], %w: f32[2]) { %y = Mul(%x, %x) : f32[2] %z = Add(%y, %w) : f32[2] return %z }")
}

#[test]
fn two_parallel_edges_are_two_uses() {
    let mut g = square();
    let (x, y, w) = (by_name(&g, "x"), by_name(&g, "y"), by_name(&g, "w"));
    assert_eq!(g.uses(x), [(y.node, 0), (y.node, 1)]);
    g.set_input(y.node, 0, Some(w));
    assert_eq!((g.uses(x), g.use_count(w)), (vec![(y.node, 1)], 2));
    g.set_input(y.node, 0, Some(x));
    g.set_input(y.node, 1, Some(w));
    assert_eq!(g.node(y.node).inputs(), [Some(x), Some(w)]);
    assert!(g.verify().is_empty());
}

#[test]
fn slots_grow_and_shrink_with_omitted_operands() {
    let mut g = square();
    let (x, y) = (by_name(&g, "x"), by_name(&g, "y"));
    g.set_input(y.node, 4, Some(x));
    assert_eq!(g.node(y.node).inputs(), [Some(x), Some(x), None, None, Some(x)]);
    g.set_input(y.node, 4, None);
    assert_eq!(g.node(y.node).inputs().len(), 2);
    g.set_inputs(y.node, [None, Some(x)]);
    assert_eq!((g.node(y.node).inputs(), g.use_count(x)), (&[None, Some(x)][..], 1));
    assert!(g.verify().is_empty());
}

#[test]
fn replacing_uses_covers_graph_outputs() {
    let mut g = square();
    let (x, y, z) = (by_name(&g, "x"), by_name(&g, "y"), by_name(&g, "z"));
    g.replace_uses(y, x);
    assert_eq!((g.use_count(y), g.node(z.node).input(0)), (0, Some(x)));
    g.replace_uses(z, x);
    assert_eq!(g.outputs(), [x]);
    assert!(g.verify().is_empty());
}

#[test]
fn a_dead_node_lets_go_of_its_operands_at_once() {
    let mut g = graph("graph (%x: f32[2]) { %a = Neg(%x) : f32[2] %b = Neg(%a) : f32[2] %c = Add(%a, %b) : f32[2] return %x }");
    let (x, c) = (by_name(&g, "x"), by_name(&g, "c"));
    g.detach_if_dead(c.node);
    assert_eq!((g.use_count(x), g.node_count()), (1, 4), "only the graph output is left, the nodes wait for the sweep");
    assert_eq!(g.sweep(), 3);
    assert!(g.verify().is_empty());
    // A used node stays as it is.
    let mut g = square();
    let y = by_name(&g, "y");
    g.detach_if_dead(y.node);
    assert_eq!(g.node(y.node).inputs().len(), 2);
}

#[test]
fn a_dead_node_lets_go_of_its_regions_too() {
    let mut g = graph("graph (%x: f32[2]) { %a = If(%x) : f32[2] region b() captures(%c: f32[2] = %x) { return %c } return %x }");
    let a = by_name(&g, "a").node;
    g.detach_if_dead(a);
    assert!(g.node(a).regions.is_empty() && g.verify().is_empty(), "a capture must not name an operand that is gone");
}

#[test]
fn a_swept_index_may_come_back_and_inputs_stay() {
    let mut g = graph("graph (%x: f32[2], %unused: f32[2]) { %dead = Neg(%x) : f32[2] return %x }");
    let dead = by_name(&g, "dead").node;
    assert_eq!(g.sweep(), 1);
    assert!(!g.contains(dead) && g.inputs().len() == 2);
    let again = g.add(NodeSpec::new(OpName::onnx("Abs", 13), [g.inputs()[0]], vec![Value::new("y", Type::Unknown)]));
    assert_eq!(again, dead);
    assert!(g.verify().is_empty());
}

#[test]
fn order_follows_positions_and_a_replacement_takes_the_place_of_what_it_replaces() {
    let mut g = graph("graph (%x: f32[2]) { %a = A(%x) : f32[2] %b = B(%x) : f32[2] %c = C(%a) : f32[2] return %b, %c }");
    let (x, a) = (by_name(&g, "x"), by_name(&g, "a"));
    let spec =
        NodeSpec { position: Some(g.node(a.node).position), ..NodeSpec::new(OpName::onnx("New", 0), [x], vec![Value::new("n", Type::Unknown)]) };
    let n = g.add(spec);
    g.replace_uses(a, n.out(0));
    g.sweep();
    let names: Vec<String> = g.operators().iter().map(|n| g.node(*n).op.to_string()).collect();
    assert_eq!(names, ["New", "B", "C"]);
}

#[test]
fn a_cycle_is_an_error_that_names_it() {
    let mut g = square();
    let (y, z) = (by_name(&g, "y"), by_name(&g, "z"));
    g.set_input(y.node, 1, Some(z));
    let e = g.topological().unwrap_err().0.remove(0);
    assert_eq!(e.code, "cyclic-graph");
    assert_eq!(e.message, "the graph has a cycle: Add 'z' → Mul 'y' → back to the first");
    assert_eq!(codes(&g), ["cyclic-graph"]);
    assert!(printed(&g).contains("%y = Mul(%x, %z)"), "a broken graph prints all the same");
}

fn codes(g: &Graph) -> Vec<&'static str> {
    g.verify().iter().map(|d| d.code).collect()
}

/// For each line of the list in `verify.rs`, a graph that breaks it. (Edges cannot be broken from outside.)
#[test]
fn verify_finds_each_kind_of_damage() {
    type Damage = fn(&mut Graph);
    let damage: Vec<(&str, Damage)> = vec![
        ("no-such-value", |g| g.add_output(by_name(g, "y").node.out(7))),
        ("no-such-value", |g| {
            let y = by_name(g, "y").node;
            g.set_input(y, 1, Some(y.out(3)));
        }),
        ("duplicate-value", |g| g.value_mut(by_name(g, "y")).name = "x".into()),
        ("unnamed-value", |g| g.value_mut(by_name(g, "y")).name = "".into()),
        ("unnamed-value", |g| g.value_mut(by_name(g, "z")).name = "".into()),
        ("input", |g| g.remove_input(by_name(g, "w"))),
        ("input", |g| {
            let x = by_name(g, "x");
            g.set_input_order(vec![x, x, by_name(g, "w")]);
        }),
        ("input", |g| {
            let order = [g.inputs(), &[by_name(g, "y")]].concat();
            g.set_input_order(order);
        }),
        ("const", |g| {
            let c = g.add_const("c", Tensor::scalar(1f32));
            g.value_mut(c).ty = Type::tensor(DType::F32, [1]);
        }),
        ("const", |g| {
            let c = g.add_const("c", Tensor::scalar(1f32));
            g.node_mut(c.node).attrs = Attrs::new().with("value", Attr::Int(1));
        }),
        ("negative-size", |g| g.value_mut(by_name(g, "y")).ty = Type::tensor(DType::F32, [-1])),
        ("symbol-bounds", |g| {
            g.symbols.bounds.insert("N".into(), (4, Some(3)));
        }),
        ("region", |g| add_region(g, 9, DType::F32)),
        ("region", |g| add_region(g, 0, DType::I64)),
        ("region", |g| {
            add_region(g, 0, DType::F32);
            add_region(g, 0, DType::F32);
        }),
        ("duplicate-value", |g| {
            add_region(g, 0, DType::F32);
            let y = by_name(g, "y").node;
            let body = &mut g.node_mut(y).regions[0].graph;
            body.add_input("inner", Type::Unknown);
            // A second formal parameter of the same name, in front of the capture.
            let order = body.inputs().iter().rev().copied().collect();
            body.set_input_order(order);
        }),
    ];
    for (i, (code, break_it)) in damage.into_iter().enumerate() {
        let mut g = square();
        break_it(&mut g);
        let found = codes(&g);
        assert!(!found.is_empty() && found.iter().all(|c| *c == code), "case {i}: want {code}, found {found:?}");
        let _ = printed(&g);
    }
}

fn add_region(g: &mut Graph, slot: u32, dtype: DType) {
    let mut body = Graph::new("");
    body.add_input("inner", Type::tensor(dtype, [2]));
    let y: NodeId = by_name(g, "y").node;
    g.node_mut(y).regions.push(Region { name: "body".into(), graph: body, captures: vec![slot] });
}

#[test]
fn findings_show_the_line() {
    let mut g = square();
    g.value_mut(by_name(&g, "y")).name = "x".into();
    let found = g.verify().remove(0);
    assert_eq!(found.place.source.unwrap().0, "%x = Mul(%x, %x) : f32[2]");
    assert_eq!(found.message, "the value 'x' is also made by 'x'");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn edits_keep_edges_and_operands_together(mut g in any_graph(), edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..5, any::<prop::sample::Index>(), 0..4), 0..20)) {
        for (node, slot, value, kind) in edits {
            let order = g.topological().unwrap();
            let Some(at) = (!order.is_empty()).then(|| node.index(order.len())) else { break };
            let n = order[at];
            // Only values made before the node, so that no cycle comes up.
            let before: Vec<ValueId> = order[..at].iter().flat_map(|p| (0..g.node(*p).outputs().len()).map(|o| p.out(o))).filter(|v| !g.value(*v).name.is_empty()).collect();
            let earlier = (!before.is_empty()).then(|| before[value.index(before.len())]);
            let plain = !g.node(n).is_input() && !g.node(n).is_const() && g.node(n).regions.is_empty();
            match (kind, earlier) {
                (0, v) if plain => g.set_input(n, slot, v),
                (1, Some(v)) if !g.node(n).outputs().is_empty() && !g.node(n).outputs()[0].name.is_empty() && g.uses(n.out(0)).iter().all(|(u, _)| g.node(*u).regions.is_empty()) => g.replace_uses(n.out(0), v),
                (2, _) => {
                    g.sweep();
                }
                _ if g.node(n).regions.is_empty() => g.detach_if_dead(n),
                _ => {}
            }
            let found = g.verify();
            prop_assert!(found.is_empty(), "{:?}", found);
        }
    }
}
