//! Every constant weight of a graph, with the names that it may have had in the model that was exported.

pub mod names;
pub mod quantized;
pub mod store;

use faer::Mat;
use lapidary_ir::{DType, Graph, NodeId, ValueId};
use std::collections::BTreeMap;

/// What multiplies by a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// MatMul, Gemm.
    Product,
    Conv,
    /// Rows taken by Gather.
    Table,
}

/// One operator that reads a weight.
#[derive(Clone, Debug)]
pub struct Reader {
    pub node: NodeId,
    pub slot: usize,
    /// Nodes between the stored constant and the operator, the operator's side first: Transpose, Cast, Identity, DequantizeLinear.
    pub path: Vec<NodeId>,
    /// Names of the module that the node stands in: from its properties or its own name.
    pub scopes: Vec<String>,
    /// The constant that is added to its result, and where.
    pub bias: Option<(NodeId, usize, ValueId)>,
    /// What that constant is called, also where it is quantized.
    pub bias_name: Option<String>,
}

/// A stored weight and all operators that multiply by it in the same way.
#[derive(Clone, Debug)]
pub struct Site {
    /// What is stored: numbers, or the codes of a DequantizeLinear.
    pub constant: ValueId,
    pub name: String,
    pub role: Role,
    /// Whether the constant is stored `[columns, rows]`.
    pub turned: bool,
    pub rows: usize,
    pub columns: usize,
    /// Sizes behind the second, of a convolution.
    pub kernel: Vec<usize>,
    pub groups: usize,
    /// The DequantizeLinear that reads the codes.
    pub dequantize: Option<NodeId>,
    pub readers: Vec<Reader>,
}

/// The weights of a graph, in the graph's order.
pub fn find(graph: &Graph) -> Vec<Site> {
    let mut out: Vec<Site> = vec![];
    let mut at: BTreeMap<(ValueId, u8, bool), usize> = BTreeMap::new();
    for node in graph.operators() {
        for slot in 0..2 {
            let Some((site, reader)) = site(graph, node, slot) else { continue };
            let key = (site.constant, site.role as u8, site.turned);
            let index = *at.entry(key).or_insert_with(|| {
                out.push(site);
                out.len() - 1
            });
            out[index].readers.push(reader);
        }
    }
    out
}

fn site(graph: &Graph, id: NodeId, slot: usize) -> Option<(Site, Reader)> {
    let node = graph.node(id);
    // `rows_first`: whether the operand is `[rows, columns]`.
    let (role, mut rows_first) = match slot {
        1 if node.is("MatMul") => (Role::Product, false),
        // A product with the weight in front gives its result turned.
        0 if node.is("MatMul") => (Role::Product, true),
        1 if node.is("Gemm") => (Role::Product, node.attrs.int("transB").unwrap_or(0) == 1),
        0 if node.is("Gemm") => (Role::Product, node.attrs.int("transA").unwrap_or(0) != 1),
        1 if node.is("Conv") => (Role::Conv, true),
        0 if node.is("Gather") && node.attrs.int("axis").unwrap_or(0) == 0 => (Role::Table, true),
        _ => return None,
    };
    let other = node.input(1 - slot)?;
    let mut value = node.input(slot)?;
    let mut path = vec![];
    let mut dequantize = None;
    // Exporters put few nodes here: the limit only stops nonsense.
    while graph.as_constant(value).is_none() && path.len() < 8 {
        let n = graph.producer(value);
        if n.is("Transpose") && crate::common::permutation(n, 2)? == [1, 0] {
            rows_first = !rows_first;
        } else if n.is("DequantizeLinear") {
            dequantize = Some(value.node);
        } else if !n.is("Cast") && !n.is("Identity") {
            return None;
        }
        path.push(value.node);
        value = n.input(0)?;
    }
    let stored = graph.as_constant(value)?;
    if role != Role::Table && graph.as_constant(other).is_some() {
        return None;
    }
    let real = matches!(stored.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64);
    if !real && dequantize.is_none() {
        return None;
    }
    let s = stored.sizes();
    let (rows, columns) = match role {
        Role::Conv if s.len() > 2 => (s[0], s[1..].iter().product()),
        _ if s.len() != 2 => return None,
        _ if rows_first => (s[0], s[1]),
        _ => (s[1], s[0]),
    };
    let groups = if role == Role::Conv { node.attrs.int("group").and_then(|g| usize::try_from(g).ok()).unwrap_or(1) } else { 1 };
    let (bias, bias_name) = bias(graph, id, rows);
    let reader = Reader { node: id, slot, path, scopes: scopes(graph, id), bias, bias_name };
    let name = graph.value(value).name.to_string();
    let kernel = s.get(2..).unwrap_or_default().to_vec();
    Some((Site { constant: value, name, role, turned: !rows_first, rows, columns, kernel, groups, dequantize, readers: vec![] }, reader))
}

/// The constant that a Gemm, a Conv or the Add behind a MatMul adds to each row's result, and its name.
fn bias(graph: &Graph, id: NodeId, rows: usize) -> (Option<(NodeId, usize, ValueId)>, Option<String>) {
    let node = graph.node(id);
    let at = if node.is("MatMul") { added(graph, id) } else { node.input(2).map(|v| (id, 2, v)) };
    let Some((node, slot, value)) = at else { return (None, None) };
    let producer = graph.producer(value);
    let stored = if producer.is("DequantizeLinear") { producer.input(0) } else { Some(value) };
    let fits = |v: ValueId| graph.as_constant(v).is_some_and(|t| t.len() == rows && t.sizes().last() == Some(&rows));
    let Some(stored) = stored.filter(|v| fits(*v)) else { return (None, None) };
    (Some((node, slot, value)).filter(|_| stored == value), Some(graph.value(stored).name.to_string()))
}

/// The other operand of the Add behind a product, where only a QuantizeLinear and a DequantizeLinear may stand between.
fn added(graph: &Graph, id: NodeId) -> Option<(NodeId, usize, ValueId)> {
    let mut value = id.out(0);
    for _ in 0..3 {
        let [(next, slot)] = graph.uses(value)[..] else { return None };
        let node = graph.node(next);
        if node.is("Add") {
            return node.input(1 - slot.min(1)).map(|v| (next, 1 - slot.min(1), v));
        }
        if !node.is("QuantizeLinear") && !node.is("DequantizeLinear") {
            return None;
        }
        value = next.out(0);
    }
    None
}

/// The modules that a node says it belongs to, most certain first.
pub fn scopes(graph: &Graph, id: NodeId) -> Vec<String> {
    let node = graph.node(id);
    let mut out = vec![];
    // `['', 'blocks.0', 'blocks.0.qkv', 'linear']`: the last is the operator itself.
    if let Some(text) = node.metadata.get("pkg.torch.onnx.name_scopes") {
        let names: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
        out.extend(names.iter().rev().nth(1).map(|s| s.to_string()));
    }
    // `: nets.Net/blocks.0: nets.Block/linear: aten.linear.default`
    if let Some(text) = node.metadata.get("namespace") {
        let names: Vec<&str> = text.split('/').filter_map(|part| part.split(':').next()).collect();
        out.extend(names.iter().rev().nth(1).map(|s| s.trim().to_string()));
    }
    // `/blocks.0/qkv/MatMul`
    if let Some((scope, _)) = node.name.rsplit_once('/') {
        out.push(scope.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("."));
    }
    out.retain(|s| !s.is_empty());
    out.dedup();
    out
}

impl Site {
    /// The module that the stored constant is named after.
    pub fn own(&self) -> Option<String> {
        parameter(&self.name, &[".weight", ".MatMul.weight", ".in_proj_weight"])
    }
    /// Modules that biases behind it are named after.
    pub fn by_bias(&self) -> Vec<String> {
        let named = |r: &Reader| parameter(r.bias_name.as_deref()?, &[".bias", ".Add.bias", ".in_proj_bias"]);
        self.readers.iter().filter_map(named).collect()
    }
    /// Whether nothing says what it was called.
    pub fn anonymous(&self) -> bool {
        self.own().is_none() && self.by_bias().is_empty() && self.readers.iter().all(|r| r.scopes.is_empty())
    }
    /// The weight as rows × columns.
    pub fn matrix(&self, graph: &Graph) -> Option<Mat<f64>> {
        let values = match self.dequantize {
            Some(node) => quantized::read(graph, node)?,
            None => graph.as_constant(self.constant)?.to_f64()?,
        };
        Some(self.shaped(&values))
    }
    /// Values in the stored layout as rows × columns.
    pub fn shaped(&self, values: &[f64]) -> Mat<f64> {
        let (rows, columns) = (self.rows, self.columns);
        if self.turned {
            Mat::from_fn(rows, columns, |r, c| values[c * rows + r])
        } else {
            Mat::from_fn(rows, columns, |r, c| values[r * columns + c])
        }
    }
    /// Rows × columns in the stored layout.
    pub fn stored(&self, m: &Mat<f64>) -> Vec<f64> {
        if self.turned {
            (0..self.columns).flat_map(|c| (0..self.rows).map(move |r| m[(r, c)])).collect()
        } else {
            (0..self.rows).flat_map(|r| (0..self.columns).map(move |c| m[(r, c)])).collect()
        }
    }
}

/// The module in a parameter's name.
fn parameter(name: &str, ends: &[&str]) -> Option<String> {
    // What quantizers put behind names.
    let name = ["_quantized", "_dequantized", "_Q2", "_Q4", "_Q8"].iter().find_map(|q| name.strip_suffix(q)).unwrap_or(name);
    // The longest ending first, so that `.MatMul.weight` is not taken for a module called MatMul.
    let end = ends.iter().filter(|e| name.ends_with(**e)).max_by_key(|e| e.len())?;
    name.strip_suffix(end).filter(|n| !n.is_empty()).map(str::to_string)
}
