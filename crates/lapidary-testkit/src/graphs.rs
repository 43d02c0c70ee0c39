use crate::{any_attr, any_name, any_tensor, any_type};
use lapidary_ir::{Attr, Attrs, Graph, Name, NodeId, NodeSpec, OpName, Origin, Region, Symbols, Tensor, Type, Value, ValueId};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

/// A well-formed graph ([`Graph::verify`] finds nothing): generic operators over any types, constants, omitted operands and outputs,
/// repeated operands, dead nodes, regions with captures two levels deep, hostile names.
pub fn any_graph() -> impl Strategy<Value = Graph> {
    let bounds = btree_map(any_name(), (0i64..5, option::of(5i64..100)), 0..3);
    (recipe(2), bounds).prop_map(|(recipe, bounds)| {
        let mut symbols = Symbols::default();
        symbols.bounds = bounds.into_iter().map(|(n, b)| (Name::from(n), b)).collect();
        recipe.build(&[], &symbols)
    })
}

/// A graph as plain data: operands are indices into whatever values there are by then.
#[derive(Clone, Debug)]
struct Recipe {
    name: String,
    inputs: Vec<(String, Type, Extras)>,
    nodes: Vec<NodeRecipe>,
    outputs: Vec<Index>,
}

#[derive(Clone, Debug)]
enum NodeRecipe {
    Const(String, Tensor, Extras),
    Op {
        op: (String, String, u32),
        operands: Vec<Option<Index>>,
        attrs: Vec<(String, Attr)>,
        outputs: Vec<(Option<String>, Type)>,
        extras: Extras,
        regions: Vec<(String, Recipe, Vec<Index>)>,
        rule: Option<String>,
    },
}

/// The node's own name, metadata, documentation.
type Extras = (String, BTreeMap<String, String>, String);

fn extras() -> impl Strategy<Value = Extras> {
    let some = (prop_oneof![Just(String::new()), any_name()], btree_map(any_name(), any_name(), 0..3), prop_oneof![Just(String::new()), any_name()]);
    prop_oneof![2 => Just(Extras::default()), 1 => some]
}

fn op_name() -> impl Strategy<Value = (String, String, u32)> {
    let known = prop::sample::select(vec![("", "Add"), ("", "Conv"), ("", "Softmax"), ("com.microsoft", "Gelu"), ("ai.onnx.ml", "Normalizer")]);
    let known = known.prop_map(|(d, n)| (d.to_string(), n.to_string()));
    let odd = (prop_oneof![Just(String::new()), any_name()], any_name());
    (prop_oneof![3 => known, 1 => odd], 0u32..30).prop_map(|((d, n), v)| if d == "core" { (String::new(), n, v) } else { (d, n, v) })
}

fn recipe(depth: u32) -> BoxedStrategy<Recipe> {
    let regions = if depth == 0 {
        Just(vec![]).boxed()
    } else {
        let region = (any_name(), recipe(depth - 1), vec(any::<Index>(), 0..3));
        prop_oneof![6 => Just(vec![]), 1 => vec(region, 1..3)].boxed()
    };
    let constant = (any_name(), any_tensor(), extras()).prop_map(|(n, t, e)| NodeRecipe::Const(n, t, e));
    let outputs = vec((option::weighted(0.9, any_name()), any_type()), 0..3);
    let attrs = vec((any_name(), any_attr()), 0..3);
    let op = (op_name(), vec(option::weighted(0.8, any::<Index>()), 0..4), attrs, outputs, extras(), regions, option::weighted(0.2, any_name()));
    let op =
        op.prop_map(|(op, operands, attrs, outputs, extras, regions, rule)| NodeRecipe::Op { op, operands, attrs, outputs, extras, regions, rule });
    let nodes = vec(prop_oneof![1 => constant, 3 => op], 0..6);
    let name = prop_oneof![Just(String::new()), any_name()];
    (name, vec((any_name(), any_type(), extras()), 0..4), nodes, vec(any::<Index>(), 0..3))
        .prop_map(|(name, inputs, nodes, outputs)| Recipe { name, inputs, nodes, outputs })
        .boxed()
}

impl Recipe {
    /// The graph, whose last inputs have the types of `captured`.
    fn build(self, captured: &[Type], symbols: &Symbols) -> Graph {
        let mut g = Graph::new(&self.name);
        g.symbols = symbols.clone();
        let mut values: Vec<ValueId> = Vec::new();
        for (name, ty, extras) in self.inputs {
            let name = g.fresh_name(&name);
            values.push(g.add_input(name, ty));
            put(&mut g, values[values.len() - 1].node, extras);
        }
        for ty in captured {
            let name = g.fresh_name("captured");
            values.push(g.add_input(name, ty.clone()));
        }
        for node in self.nodes {
            match node {
                NodeRecipe::Const(name, t, extras) => {
                    let name = g.fresh_name(&name);
                    let v = g.add_const(name, t);
                    put(&mut g, v.node, extras);
                    values.push(v);
                }
                NodeRecipe::Op { op, operands, attrs, outputs, extras, regions, rule } => {
                    let pick = |i: &Index| if values.is_empty() { None } else { Some(*i.get(&values)) };
                    let inputs: Vec<Option<ValueId>> = operands.iter().map(|o| o.as_ref().and_then(pick)).collect();
                    let attrs = attrs.into_iter().fold(Attrs::new(), |a, (n, v)| a.with(&n, v));
                    let mut named: Vec<Value> = Vec::new();
                    for (name, ty) in outputs {
                        // Two outputs of one node may not meet either.
                        let name: Name = name.map_or("".into(), |n| g.fresh_name(&format!("{n}{}", ["", "'", "''"][named.len().min(2)])));
                        let taken = named.iter().any(|v| v.name == name);
                        named.push(Value::new(if taken { "".into() } else { name }, ty));
                    }
                    let origin = rule.map_or(Origin::Source, |rule| Origin::Rule { rule: rule.as_str().into(), from: vec![] });
                    let op = OpName::new(&op.0, &op.1, op.2);
                    let id = g.add(NodeSpec { inputs, origin, ..NodeSpec::new(op, [], named).attrs(attrs) });
                    put(&mut g, id, extras);
                    add_regions(&mut g, id, regions, symbols);
                    let outputs = g.node(id).outputs();
                    values.extend(outputs.iter().enumerate().filter(|(_, v)| !v.name.is_empty()).map(|(i, _)| id.out(i)));
                }
            }
        }
        if !values.is_empty() {
            g.set_outputs(self.outputs.iter().map(|i| *i.get(&values)).collect());
        }
        g
    }
}

fn add_regions(g: &mut Graph, id: NodeId, regions: Vec<(String, Recipe, Vec<Index>)>, symbols: &Symbols) {
    let slots: Vec<u32> = (0u32..).zip(g.node(id).inputs()).filter(|(_, v)| v.is_some()).map(|(i, _)| i).collect();
    for (name, recipe, captures) in regions {
        if g.node(id).regions.iter().any(|r| *r.name == *name) {
            continue;
        }
        let captures: Vec<u32> = if slots.is_empty() { vec![] } else { captures.iter().map(|i| *i.get(&slots)).collect() };
        let types: Vec<Type> = captures.iter().filter_map(|s| g.node(id).input(*s as usize)).map(|v| g.ty(v).clone()).collect();
        let graph = recipe.build(&types, symbols);
        g.node_mut(id).regions.push(Region { name: name.as_str().into(), graph, captures });
    }
}

fn put(g: &mut Graph, id: NodeId, (name, metadata, doc): Extras) {
    let n = g.node_mut(id);
    n.name = name.as_str().into();
    n.metadata = metadata.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
    n.doc = doc.as_str().into();
}
