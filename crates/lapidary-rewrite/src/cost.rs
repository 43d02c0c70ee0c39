use lapidary_ir::{Dim, Graph, NodeId, Type};
use std::collections::BTreeMap;

/// Sizes for symbols where a figure needs numbers. Symbols without one count as 1.
pub type Sizes = BTreeMap<String, i64>;

/// Multiply-adds of one node, symbolic in the graph's sizes: contractions alone (elementwise work is not counted, as is usual). `None`
/// where shapes are not known. Bodies of If, Loop and Scan count once.
pub fn multiply_adds(graph: &Graph, id: NodeId) -> Option<Dim> {
    let node = graph.node(id);
    let product = |dims: &[Dim]| dims.iter().fold(Dim::from(1), |a, d| &a * d);
    let dims = |slot: usize| node.input(slot).and_then(|v| graph.ty(v).dims());
    let out = || match &node.outputs().first()?.ty {
        Type::Tensor(t) => t.shape.dims(),
        _ => None,
    };
    let attr = |name: &str, default: i64| node.attrs.int(name).unwrap_or(default);
    let known = node.op.domain.is_empty() || &*node.op.domain == "com.microsoft";
    let name = if known { &*node.op.name } else { "" };
    Some(match name {
        // Each output element sums over the weight's dims but the first: channels of the group times kernel.
        "Conv" | "ConvInteger" | "DeformConv" => &product(out()?) * &product(dims(1)?.get(1..)?),
        "QLinearConv" => &product(out()?) * &product(dims(3)?.get(1..)?),
        // Each input element is spread over the weight's dims but the first.
        "ConvTranspose" => &product(dims(0)?) * &product(dims(1)?.get(1..)?),
        "MatMul" | "MatMulInteger" | "QLinearMatMul" | "FusedMatMul" => &product(out()?) * dims(0)?.last()?,
        "Gemm" => &product(out()?) * dims(0)?.get(if attr("transA", 0) == 1 { 0 } else { 1 })?,
        "MatMulNBits" | "MatMulBnb4" => &product(out()?) * &Dim::from(attr("K", 0)),
        "Einsum" => einsum(node.attrs.str("equation")?, &(0..node.inputs().len()).map(dims).collect::<Option<Vec<_>>>()?)?,
        "LSTM" | "GRU" | "RNN" => {
            // Per step, batch row and direction: gates × hidden × (input + hidden), the dims of W and R.
            let x = dims(0)?;
            &(x.first()? * x.get(1)?) * &(&product(dims(1)?) + &product(dims(2)?))
        }
        "Attention" if node.op.domain.is_empty() => attention(&node.attrs, dims(0)?, dims(1)?, dims(2)?)?,
        _ => node.regions.iter().map(|r| graph_multiply_adds(&r.graph)).fold(Dim::from(0), |a, b| &a + &b),
    })
}

/// The product of all distinct labels' sizes.
fn einsum(equation: &str, operands: &[&[Dim]]) -> Option<Dim> {
    if operands.len() < 2 || equation.contains("...") {
        return (operands.len() < 2).then(|| Dim::from(0));
    }
    let left = equation.split("->").next()?;
    let mut sizes: BTreeMap<char, Dim> = BTreeMap::new();
    for (term, dims) in left.split(',').zip(operands) {
        for (c, d) in term.chars().filter(|c| c.is_alphabetic()).zip(dims.iter()) {
            sizes.entry(c).or_insert_with(|| d.clone());
        }
    }
    Some(sizes.values().fold(Dim::from(1), |a, d| &a * d))
}

/// QKᵀ and ·V. Rank 4: [batch, heads, length, size]; rank 3: [batch, length, heads · size].
fn attention(attrs: &lapidary_ir::Attrs, q: &[Dim], k: &[Dim], v: &[Dim]) -> Option<Dim> {
    let (lq, lk) = (q.get(q.len().checked_sub(2)?)?, k.get(k.len().checked_sub(2)?)?);
    let scores = |x: &[Dim]| -> Option<Dim> {
        let per_query = if x.len() == 4 { &(q.first()? * q.get(1)?) * x.last()? } else { q.first()? * x.last()? };
        Some(&(&per_query * lq) * lk)
    };
    let qk = scores(q)?;
    // Grouped heads share keys and values: the query's head count decides the work of both products.
    let groups = match (attrs.int("q_num_heads"), attrs.int("kv_num_heads")) {
        (Some(a), Some(b)) if v.len() == 3 && b > 0 => a / b,
        _ => 1,
    };
    Some(&qk + &(&scores(v)? * &Dim::from(groups)))
}

/// Multiply-adds of a whole graph, bodies included; nodes of unknown shapes count as none.
pub fn graph_multiply_adds(graph: &Graph) -> Dim {
    graph.node_ids().filter_map(|n| multiply_adds(graph, n)).fold(Dim::from(0), |a, b| &a + &b)
}

/// Bytes of all constants, bodies included; a tensor that several constants share counts once.
pub fn graph_bytes(graph: &Graph) -> u64 {
    fn collect(graph: &Graph, seen: &mut rustc_hash::FxHashSet<(usize, usize)>) -> u64 {
        let mut sum = 0;
        for id in graph.node_ids() {
            let node = graph.node(id);
            if let Some(t) = node.attrs.tensor("value")
                && seen.insert((t.bytes().as_ptr() as usize, t.byte_size()))
            {
                sum += t.byte_size() as u64;
            }
            sum += node.regions.iter().map(|r| collect(&r.graph, seen)).sum::<u64>();
        }
        sum
    }
    collect(graph, &mut Default::default())
}

/// Operators of a graph and of the bodies within: inputs and constants (`Constant` nodes too) are none.
pub fn node_count(graph: &Graph) -> usize {
    let count = |n: NodeId| {
        let node = graph.node(n);
        let own = !(node.is_input() || node.is_const() || node.is("Constant"));
        own as usize + node.regions.iter().map(|r| node_count(&r.graph)).sum::<usize>()
    };
    graph.node_ids().map(count).sum()
}

/// A figure in numbers: symbols without a size count as 1.
pub(crate) fn evaluate(dim: &Dim, sizes: &Sizes) -> i64 {
    dim.eval(&|name| Some(sizes.get(name).copied().unwrap_or(1))).unwrap_or(0)
}
