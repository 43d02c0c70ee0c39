use crate::rule::{Match, Reason};
use lapidary_ir::{Attrs, Dim, Graph, Name, NodeId, NodeSpec, OpName, Origin, Region, Shape, Tensor, TensorType, Type, Value, ValueId};
use lapidary_ops::{Facts, infer_node, schema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a rule puts in place of its match: recorded first, checked and applied by the driver.
#[derive(Default)]
pub struct Patch {
    nodes: Vec<New>,
    replace: Vec<(ValueId, Operand)>,
}

/// A value that exists, or an output of a node of the patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    Old(ValueId),
    New(usize, u16),
    Omitted,
}

impl From<ValueId> for Operand {
    fn from(v: ValueId) -> Operand {
        Operand::Old(v)
    }
}
impl From<Option<ValueId>> for Operand {
    fn from(v: Option<ValueId>) -> Operand {
        v.map_or(Operand::Omitted, Operand::Old)
    }
}

struct New {
    op: OpName,
    inputs: Vec<Operand>,
    attrs: Attrs,
    outputs: usize,
    hint: Option<String>,
    constant: Option<Arc<Tensor>>,
    /// The node that this one continues: name, metadata and regions are taken over.
    like: Option<NodeId>,
}

impl Patch {
    /// A node of the default domain with one output.
    pub fn op(&mut self, op: &str, inputs: impl IntoIterator<Item = Operand>, attrs: Attrs) -> Operand {
        self.node(newest_op(op), inputs, attrs, 1);
        Operand::New(self.nodes.len() - 1, 0)
    }
    /// A node with several outputs; gives its index for [`Operand::New`].
    pub fn node(&mut self, op: OpName, inputs: impl IntoIterator<Item = Operand>, attrs: Attrs, outputs: usize) -> usize {
        let inputs = inputs.into_iter().collect();
        self.nodes.push(New { op, inputs, attrs, outputs, hint: None, constant: None, like: None });
        self.nodes.len() - 1
    }
    /// The same node (operator, attributes, name, metadata) on other operands.
    pub fn copy(&mut self, m: &Match<'_>, node: NodeId, inputs: impl IntoIterator<Item = Operand>) -> Operand {
        let n = m.graph.node(node);
        let index = self.node(n.op.clone(), inputs, n.attrs.clone(), n.outputs().len());
        self.nodes[index].like = Some(node);
        Operand::New(index, 0)
    }
    /// The attributes of a node of the patch, to change a copy.
    pub fn attrs_mut(&mut self, of: Operand) -> Option<&mut Attrs> {
        match of {
            Operand::New(index, _) => self.nodes.get_mut(index).map(|n| &mut n.attrs),
            _ => None,
        }
    }
    /// Takes name and metadata over from a node that goes.
    pub fn named_like(&mut self, of: Operand, node: NodeId) {
        if let Operand::New(index, _) = of
            && let Some(n) = self.nodes.get_mut(index)
        {
            n.like = Some(node);
        }
    }
    /// A constant, named after `hint`.
    pub fn constant(&mut self, hint: &str, tensor: impl Into<Arc<Tensor>>) -> Operand {
        let op = OpName::new(lapidary_ir::CORE_DOMAIN, "const", 1);
        self.nodes.push(New {
            op,
            inputs: vec![],
            attrs: Attrs::new(),
            outputs: 1,
            hint: Some(hint.into()),
            constant: Some(tensor.into()),
            like: None,
        });
        Operand::New(self.nodes.len() - 1, 0)
    }
    /// A constant vector of integers.
    pub fn ints(&mut self, hint: &str, values: &[i64]) -> Operand {
        self.constant(hint, Tensor::from_vec(values.to_vec()))
    }
    /// All uses of `old` become uses of `new`.
    pub fn replace(&mut self, old: ValueId, new: impl Into<Operand>) {
        self.replace.push((old, new.into()));
    }

    /// Applies the patch, or changes nothing but for unused nodes that the next sweep takes.
    pub(crate) fn apply(self, graph: &mut Graph, facts: &mut Facts, root: NodeId, rule: &str, inner: &[NodeId], opset: u32) -> Result<(), Reason> {
        let mut from: Vec<Name> = inner.iter().chain([&root]).map(|n| graph.node(*n).label().into()).collect();
        from.sort();
        from.dedup();
        let position = graph.node(root).position;
        let replaced: BTreeMap<(usize, u16), ValueId> =
            self.replace.iter().filter_map(|(old, new)| if let Operand::New(i, o) = new { Some(((*i, *o), *old)) } else { None }).collect();
        let mut made: Vec<NodeId> = vec![];
        let resolve = |made: &[NodeId], o: Operand| match o {
            Operand::Old(v) => Some(v),
            Operand::New(i, output) => made.get(i).map(|n| n.out(output as usize)),
            Operand::Omitted => None,
        };
        let result = (|| -> Result<(), Reason> {
            for (index, new) in self.nodes.into_iter().enumerate() {
                if new.op.domain.is_empty() {
                    available(&new.op.name, opset)?;
                }
                if let Some(t) = new.constant {
                    let name = graph.fresh_name(new.hint.as_deref().unwrap_or("constant"));
                    let id = graph.add_const(name, t).node;
                    graph.node_mut(id).origin = Origin::Rule { rule: rule.into(), from: from.clone() };
                    made.push(id);
                    continue;
                }
                let inputs = new.inputs.iter().map(|o| resolve(&made, *o)).collect();
                let mut outputs: Vec<Value> = vec![];
                for o in 0..new.outputs {
                    let hint = replaced.get(&(index, o as u16)).map(|v| graph.value(*v).name.clone());
                    let hint = hint.unwrap_or_else(|| format!("{}_{}", graph.node(root).label(), new.op.name.to_lowercase()).into());
                    let mut name = graph.fresh_name(&hint);
                    let base = name.clone();
                    for i in 2.. {
                        if outputs.iter().all(|v| v.name != name) {
                            break;
                        }
                        name = format!("{base}_{i}").into();
                    }
                    outputs.push(Value::new(name, Type::Unknown));
                }
                let spec = NodeSpec {
                    op: new.op,
                    name: "".into(),
                    inputs,
                    attrs: new.attrs,
                    outputs,
                    origin: Origin::Rule { rule: rule.into(), from: from.clone() },
                    position: Some(position),
                };
                let id = graph.add(spec);
                made.push(id);
                if let Some(like) = new.like {
                    let old = graph.node(like);
                    let (name, metadata, doc, regions): (Name, _, _, Vec<Region>) = (
                        old.name.clone(),
                        old.metadata.clone(),
                        old.doc.clone(),
                        if old.op == graph.node(id).op { old.regions.clone() } else { vec![] },
                    );
                    let node = graph.node_mut(id);
                    (node.name, node.metadata, node.doc, node.regions) = (name, metadata, doc, regions);
                } else if let Some((_, old)) = replaced.iter().find(|(k, _)| k.0 == index) {
                    let old = graph.node(old.node);
                    let (name, metadata) = (old.name.clone(), old.metadata.clone());
                    let node = graph.node_mut(id);
                    (node.name, node.metadata) = (name, metadata);
                }
                infer_node(graph, id, facts).map_err(|d| Reason::from(format!("what the rule builds is not valid: {d}")))?;
            }
            // All checks before the first change.
            for (old, new) in &self.replace {
                let new = resolve(&made, *new).ok_or("a replacement is missing")?;
                check_replacement(graph, *old, new)?;
            }
            Ok(())
        })();
        if let Err(reason) = result {
            made.iter().rev().for_each(|n| graph.detach_if_dead(*n));
            return Err(reason);
        }
        for (old, new) in &self.replace {
            if let Some(new) = resolve(&made, *new) {
                replace_value(graph, *old, new);
            }
        }
        for (old, _) in &self.replace {
            graph.detach_if_dead(old.node);
        }
        made.iter().for_each(|n| graph.detach_if_dead(*n));
        Ok(())
    }
}

/// An operator of the default domain in its newest form, for nodes that code makes.
pub fn newest_op(op: &str) -> OpName {
    OpName::onnx(op, schema::newest("", op).map_or(0, |s| s.since))
}

/// Whether an operator of the default domain exists at an opset.
pub fn available(op: &str, opset: u32) -> Result<(), Reason> {
    match schema::versions("", op).iter().map(|s| s.since).min() {
        Some(since) if since > opset => Err(format!("{op} needs opset {since}, the result is written in {opset}").into()),
        _ => Ok(()),
    }
}

/// Whether `new` can stand wherever `old` stands: types agree, and a graph output can keep its name.
pub fn check_replacement(graph: &Graph, old: ValueId, new: ValueId) -> Result<(), Reason> {
    if !agree(graph.ty(old), graph.ty(new)) {
        return Err(format!("the types differ: '{}' is {:?}, its replacement {:?}", graph.value(old).name, graph.ty(old), graph.ty(new)).into());
    }
    let fixed = graph.producer(new).is_input() || graph.producer(new).is_const() || graph.is_output(new);
    if graph.is_output(old) && fixed {
        return Err(format!("'{}' is an output of the graph, and nothing would be left to carry its name", graph.value(old).name).into());
    }
    Ok(())
}

/// Makes every use of `old` a use of `new`. A graph output keeps its name: `new` takes it over. `new` keeps the more telling type.
pub fn replace_value(graph: &mut Graph, old: ValueId, new: ValueId) {
    let was_output = graph.is_output(old);
    let ty = merged(graph.ty(old), graph.ty(new));
    graph.replace_uses(old, new);
    graph.value_mut(new).ty = ty;
    let takes_name = was_output || (matches!(graph.producer(new).origin, Origin::Rule { .. }) && !graph.producer(new).is_const());
    if takes_name && graph.value(old).name != graph.value(new).name && !graph.is_output_named(new, was_output) {
        let (a, b) = (graph.value(old).name.clone(), graph.value(new).name.clone());
        graph.value_mut(old).name = b;
        graph.value_mut(new).name = a;
    }
}

trait OutputNamed {
    fn is_output_named(&self, value: ValueId, became: bool) -> bool;
}
impl OutputNamed for Graph {
    /// Whether the value was a graph output before it replaced another (its own name must stay then).
    fn is_output_named(&self, value: ValueId, became: bool) -> bool {
        self.is_output(value) && !became
    }
}

fn agree(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Unknown, _) | (_, Type::Unknown) => true,
        (Type::Tensor(a), Type::Tensor(b)) => {
            let dtypes = a.dtype == b.dtype || a.dtype.bits() == 0 || b.dtype.bits() == 0;
            dtypes
                && match (a.shape.dims(), b.shape.dims()) {
                    (Some(x), Some(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| !(x.is_const() && y.is_const() && x != y)),
                    _ => true,
                }
        }
        _ => a == b,
    }
}

/// Dim by dim what says more: a number, then a named size, then a fresh symbol.
fn merged(old: &Type, new: &Type) -> Type {
    let (Type::Tensor(a), Type::Tensor(b)) = (old, new) else {
        return if *new == Type::Unknown { old.clone() } else { new.clone() };
    };
    let dtype = if b.dtype.bits() == 0 && b.dtype != lapidary_ir::DType::String { a.dtype } else { b.dtype };
    let fresh = |d: &Dim| d.as_symbol().is_some_and(|n| n.starts_with("_d"));
    let shape = match (a.shape.dims(), b.shape.dims()) {
        (None, _) => b.shape.clone(),
        (_, None) => a.shape.clone(),
        (Some(x), Some(y)) => {
            let pick = |(x, y): (&Dim, &Dim)| if (fresh(y) && !fresh(x)) || (x.is_const() && !y.is_const()) { x.clone() } else { y.clone() };
            Shape::Ranked(x.iter().zip(y).map(pick).collect())
        }
    };
    Type::Tensor(TensorType::new(dtype, shape))
}
