//! The layers that quantizing changed, in both models.

use super::NAME;
use lapidary_ir::{DType, Graph, NodeId, ValueId};
use lapidary_rewrite::PassCtx;
use std::collections::{BTreeMap, BTreeSet};

/// A layer's output in both models.
#[derive(Clone, Debug)]
pub struct Site {
    pub float: ValueId,
    pub here: ValueId,
    /// The axis of channels, counted from the front (convolutions) or the last one.
    pub axis: Option<usize>,
    pub channels: usize,
    pub rank: usize,
    /// How many corrected layers lie above it at most.
    pub depth: usize,
}

impl Site {
    /// The dims of a correction: channels, and ones for the axes behind them.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![1; self.axis.map_or(1, |a| self.rank.saturating_sub(a)).max(1)];
        sizes[0] = self.channels;
        sizes
    }
}

pub fn find(graph: &Graph, float: &Graph, ctx: &mut PassCtx<'_>) -> Vec<Site> {
    let values = graph.values_by_name();
    let nodes: BTreeMap<String, NodeId> =
        graph.operators().into_iter().filter(|n| !graph.node(*n).name.is_empty()).map(|n| (graph.node(n).name.to_string(), n)).collect();
    let mut taken = BTreeSet::new();
    let mut sites = vec![];
    for id in float.operators() {
        let node = float.node(id);
        let conv = node.is("Conv") || node.is("ConvTranspose");
        if !(conv || node.is("Gemm") || node.is("MatMul")) || !ctx.selected(float, id) {
            continue;
        }
        let Some(weight) = node.input(1).and_then(|w| float.as_constant(w)) else { continue };
        let y = id.out(0);
        let name = float.value(y).name.clone();
        let here = values.get(&name).copied().or_else(|| nodes.get(&*node.name).map(|n| n.out(0)));
        let Some(here) = here.map(|v| before_rounding(graph, v)) else {
            ctx.miss(NAME, float, id, "the quantized model has no value and no node of this name");
            continue;
        };
        // The same product of the same constant: nobody quantized it.
        let now = graph.producer(here);
        if now.op.name == node.op.name && now.input(1).and_then(|w| graph.as_constant(w)) == Some(weight) {
            continue;
        }
        let axis = conv.then_some(1);
        let channels = |g: &Graph, v: ValueId| {
            let dims = g.ty(v).dims()?;
            usize::try_from(axis.map_or(dims.last(), |a| dims.get(a))?.as_const()?).ok().filter(|n| *n > 0)
        };
        match (channels(float, y), channels(graph, here)) {
            (Some(a), Some(b)) if a == b && graph.dtype(here) == DType::F32 && float.dtype(y) == DType::F32 => {
                if taken.insert(here) {
                    let rank = graph.ty(here).rank().unwrap_or(1);
                    sites.push(Site { float: y, here, axis, channels: a, rank, depth: 0 });
                }
            }
            _ => ctx.miss(NAME, float, id, "its output is not f32 with as many channels in both models"),
        }
    }
    depths(graph, &mut sites);
    sites
}

/// What a fake quantizer rounds: the layer's own output.
fn before_rounding(graph: &Graph, v: ValueId) -> ValueId {
    let q = |v: ValueId, op: &str| graph.producer(v).is(op).then(|| graph.producer(v).input(0)).flatten();
    q(v, "DequantizeLinear").and_then(|c| q(c, "QuantizeLinear")).unwrap_or(v)
}

fn depths(graph: &Graph, sites: &mut [Site]) {
    let own: BTreeMap<NodeId, usize> = sites.iter().enumerate().map(|(i, s)| (s.here.node, i)).collect();
    let mut above: BTreeMap<NodeId, usize> = BTreeMap::new();
    for id in graph.operators() {
        let before = graph.node(id).inputs().iter().flatten().filter_map(|v| above.get(&v.node)).max().copied().unwrap_or(0);
        let here = own.get(&id).map(|i| {
            sites[*i].depth = before;
            before + 1
        });
        above.insert(id, here.unwrap_or(before));
    }
}
