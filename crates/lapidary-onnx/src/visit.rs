//! Every tensor of a model, wherever it hides.

use crate::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};
use lapidary_ir::Result;

/// What holds a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An initializer of the graph or a subgraph.
    Initializer,
    /// An attribute of a node, or half of a sparse tensor.
    Attribute,
}

type Visit<'a> = &'a mut dyn FnMut(Holder, &mut TensorProto) -> Result<()>;

/// Visits in the order of the file: nodes (their attributes and subgraphs), initializers, sparse initializers; then functions and
/// training information.
pub fn model(model: &mut ModelProto, f: Visit<'_>) -> Result<()> {
    model.graph.iter_mut().try_for_each(|g| graph(g, f))?;
    model.functions.iter_mut().try_for_each(|function| self::function(function, f))?;
    for info in &mut model.training_info {
        info.initialization.iter_mut().chain(&mut info.algorithm).try_for_each(|g| graph(g, f))?;
    }
    Ok(())
}

/// As [`model`], for one graph and its subgraphs.
pub fn graph(graph: &mut GraphProto, f: Visit<'_>) -> Result<()> {
    graph.node.iter_mut().try_for_each(|n| node(n, f))?;
    graph.initializer.iter_mut().try_for_each(|t| f(Holder::Initializer, t))?;
    graph.sparse_initializer.iter_mut().try_for_each(|s| sparse(s, f))
}

/// As [`model`], for one function.
pub fn function(function: &mut FunctionProto, f: Visit<'_>) -> Result<()> {
    function.node.iter_mut().try_for_each(|n| node(n, f))?;
    function.attribute_proto.iter_mut().try_for_each(|a| attribute(a, f))
}

fn node(node: &mut NodeProto, f: Visit<'_>) -> Result<()> {
    node.attribute.iter_mut().try_for_each(|a| attribute(a, f))
}

fn attribute(a: &mut AttributeProto, f: Visit<'_>) -> Result<()> {
    a.t.iter_mut().chain(&mut a.tensors).try_for_each(|t| f(Holder::Attribute, t))?;
    a.g.iter_mut().chain(&mut a.graphs).try_for_each(|g| graph(g, f))?;
    a.sparse_tensor.iter_mut().chain(&mut a.sparse_tensors).try_for_each(|s| sparse(s, f))
}

fn sparse(s: &mut SparseTensorProto, f: Visit<'_>) -> Result<()> {
    s.values.iter_mut().chain(&mut s.indices).try_for_each(|t| f(Holder::Attribute, t))
}
