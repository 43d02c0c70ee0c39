//! Moving scales between layers: what a value's channels are divided by goes into the constants before it, and the layers that read it are
//! multiplied. Scales that are powers of two change no bit of what the layers compute.

use super::layers::{Form, Layer};
use super::{per_channel, permutation};
use faer::Mat;
use lapidary_ir::{Graph, NodeId, Result, Tensor, ValueId};
use lapidary_rewrite::{PassCtx, origin};
use std::collections::BTreeSet;

/// Layers that read one value and nothing else reads it, and the constants that its scale can go into.
pub struct Joint {
    /// Indices of the layers.
    pub members: Vec<usize>,
    pub channels: usize,
    parts: Vec<Part>,
}

/// A constant that takes a scale.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// One element for each channel along this axis of its own.
    Along { node: NodeId, slot: usize, axis: usize },
    /// Broadcast against a value whose channels lie `back` axes from the end; one element for all becomes one for each.
    Broadcast { node: NodeId, slot: usize, back: usize },
}

/// The places where scales can move. Layers that have none are recorded as misses of `pass`, with the reason.
pub fn joints(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, layers: &[Layer]) -> Vec<Joint> {
    let mut groups: Vec<(ValueId, Vec<usize>)> = vec![];
    for (i, layer) in layers.iter().enumerate() {
        let Some((node, input)) = layer.readers.first().copied() else { continue };
        if layer.readers.iter().any(|(_, x)| *x != input) {
            ctx.miss(pass, graph, node, "its inputs are not scaled: it shares its weight with a layer of other inputs");
            continue;
        }
        match groups.iter_mut().find(|g| g.0 == input) {
            Some(g) => g.1.push(i),
            None => groups.push((input, vec![i])),
        }
    }
    let mut out = vec![];
    for (value, members) in groups {
        let first = &layers[members[0]];
        let readers: BTreeSet<NodeId> = members.iter().flat_map(|i| layers[*i].readers.iter().map(|r| r.0)).collect();
        let rank = graph.ty(value).rank().unwrap_or(0);
        let back = if matches!(first.form, Form::Conv { .. }) { rank.saturating_sub(2) } else { 0 };
        let channels = first.channels(graph);
        let mut parts = vec![];
        let alike = members.iter().all(|i| layers[*i].channels(graph) == channels);
        let found =
            if alike { before(graph, value, &readers, (back, channels), &mut parts) } else { Err("its readers count channels differently".into()) };
        match found {
            Ok(()) => out.push(Joint { members, channels, parts }),
            Err(reason) => ctx.miss(pass, graph, first.readers[0].0, format!("its inputs are not scaled: {reason}")),
        }
    }
    out
}

impl Layer {
    /// How many channels the value that it multiplies has.
    pub fn channels(&self, graph: &Graph) -> usize {
        match self.form {
            Form::Conv { groups } => groups * graph.as_constant(self.weight).and_then(|t| t.sizes().get(1).copied()).unwrap_or(0),
            _ => self.columns,
        }
    }
    /// The channel of the input that a row's column multiplies, given how many there are.
    pub fn channel(&self, row: usize, column: usize, channels: usize) -> usize {
        match self.form {
            Form::Conv { groups } => {
                let own = (channels / groups).max(1);
                row / (self.rows / groups).max(1) * own + column / (self.columns / own).max(1)
            }
            _ => column,
        }
    }
}

impl Joint {
    /// Multiplies the layers by the scales, channel by channel, and divides what comes before.
    pub fn scale(&self, graph: &mut Graph, pass: &str, layers: &mut [Layer], scales: &[f64]) -> Result<()> {
        for i in &self.members {
            let layer = &mut layers[*i];
            let w = layer.matrix(graph);
            let scaled = Mat::from_fn(w.nrows(), w.ncols(), |r, c| w[(r, c)] * scales[layer.channel(r, c, self.channels)]);
            layer.replace(graph, pass, scaled.as_ref())?;
        }
        for part in &self.parts {
            divide(graph, pass, layers, *part, scales)?;
        }
        Ok(())
    }
    /// The layer whose results the scales divide, where one of the layers is.
    pub fn before<'a>(&self, graph: &Graph, layers: &'a [Layer]) -> Option<&'a Layer> {
        self.parts.iter().find_map(|p| match p {
            Part::Along { node, slot, .. } => layers.iter().find(|l| graph.node(*node).input(*slot) == Some(l.weight)),
            Part::Broadcast { .. } => None,
        })
    }
}

/// What must be divided so that `v` is; or why that cannot be. `readers` are all that may read it; its channels lie `back` axes from the
/// end.
fn before(graph: &Graph, v: ValueId, readers: &BTreeSet<NodeId>, (back, size): (usize, usize), parts: &mut Vec<Part>) -> Result<(), String> {
    if graph.is_output(v) || graph.uses(v).iter().any(|(n, _)| !readers.contains(n)) {
        return Err(format!("others read '{}' too", graph.value(v).name));
    }
    let (node, id) = (graph.producer(v), v.node);
    let none = || Err(format!("{} before it takes no scale", node.op));
    let Some(rank) = graph.ty(v).rank().filter(|r| *r > back) else { return none() };
    let alone = BTreeSet::from([id]);
    let constant = |slot: usize| node.input(slot).and_then(|c| graph.as_constant(c));
    let broadcast = |slot: usize| {
        let fits = constant(slot).is_some_and(|t| per_channel(t, rank, rank - 1 - back, size).is_some());
        fits.then_some(Part::Broadcast { node: id, slot, back })
    };
    let along = |slot: usize, axis: usize| {
        let fits = constant(slot).is_some_and(|t| t.sizes().get(axis) == Some(&size) && t.dtype().is_float());
        fits.then_some(Part::Along { node: id, slot, axis })
    };
    // An operand that may be omitted: `None` where it is there and takes no scale.
    let optional = |slot: usize, part: Option<Part>| if node.input(slot).is_none() { Some(None) } else { part.map(Some) };
    let mut take = |found: Option<(Part, Option<Part>)>| match found {
        Some((a, b)) => {
            parts.push(a);
            parts.extend(b);
            Ok(())
        }
        None => none(),
    };
    let last = node.attrs.int("axis").is_none_or(|a| a == -1 || a == rank as i64 - 1);
    let image = rank >= 3 && back == rank - 2;
    if (node.is("LayerNormalization") || node.is("RMSNormalization")) && last && back == 0 && v.output == 0 {
        return take(broadcast(1).zip(optional(2, broadcast(2))));
    }
    if node.is("BatchNormalization") && image && v.output == 0 && node.attrs.int("training_mode").unwrap_or(0) == 0 {
        return take(along(1, 0).zip(along(2, 0).map(Some)));
    }
    if node.is("Conv") && image && node.input(1).is_some_and(|w| graph.use_count(w) == 1) {
        return take(along(1, 0).zip(optional(2, along(2, 0))));
    }
    if (node.is("MatMul") || node.is("Gemm")) && back == 0 && node.input(1).is_some_and(|w| graph.use_count(w) == 1) {
        let outputs = usize::from(node.attrs.int("transB").unwrap_or(0) != 1);
        let matrix = constant(1).is_some_and(|t| t.rank() == 2) && node.attrs.float("beta").unwrap_or(1.0) == 1.0;
        return take(along(1, outputs).filter(|_| matrix).zip(optional(2, broadcast(2))));
    }
    if node.is("Add") || node.is("Mul") {
        let (part, other) = match (broadcast(0), broadcast(1)) {
            (Some(p), _) => (p, node.input(1)),
            (_, Some(p)) => (p, node.input(0)),
            _ => return none(),
        };
        parts.push(part);
        return match other {
            Some(x) if node.is("Add") => before(graph, x, &alone, (back, size), parts),
            _ => Ok(()),
        };
    }
    // Whatever gives k·f(x) for f(k·x), k > 0, and keeps the channels.
    let homogeneous = ["Relu", "LeakyRelu"].iter().any(|o| node.is(o))
        || image && ["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"].iter().any(|o| node.is(o)) && v.output == 0;
    if let (true, Some(x)) = (homogeneous, node.input(0)) {
        return before(graph, x, &alone, (back, size), parts);
    }
    match attention_values(graph, v, size).filter(|_| back == 0) {
        Some(x) => match graph.uses(x).as_slice() {
            [(reader, _)] => before(graph, x, &BTreeSet::from([*reader]), (0, size), parts),
            _ => Err("others read the values of attention too".into()),
        },
        None => none(),
    }
}

/// The values of attention behind its result: heads beside each other, apart for the product with the weights, and beside each other again.
fn attention_values(graph: &Graph, v: ValueId, size: usize) -> Option<ValueId> {
    let apart = |v: ValueId| -> Option<ValueId> {
        let n = graph.producer(v);
        (n.is("Transpose") && graph.use_count(v) == 1 && permutation(n, 4)? == [0, 2, 1, 3]).then(|| n.input(0))?
    };
    let joined = apart(graph.producer(v).input(0).filter(|_| graph.producer(v).is("Reshape"))?)?;
    let product = graph.producer(joined);
    let heads = product.input(1).filter(|h| product.is("MatMul") && graph.use_count(joined) == 1 && graph.use_count(*h) == 1)?;
    let dims = graph.ty(heads).dims()?;
    let whole = dims.len() == 4 && dims[1].as_const()?.checked_mul(dims[3].as_const()?)? == size as i64;
    let split = apart(heads).filter(|s| whole && graph.producer(*s).is("Reshape") && graph.use_count(*s) == 1)?;
    let x = graph.producer(split).input(0)?;
    (graph.ty(x).dims()?.last()?.as_const()? == size as i64).then_some(x)
}

/// Divides a constant, channel by channel. Other readers of the same constant keep the old one.
fn divide(graph: &mut Graph, pass: &str, layers: &mut [Layer], part: Part, scales: &[f64]) -> Result<()> {
    let (Part::Along { node, slot, .. } | Part::Broadcast { node, slot, .. }) = part;
    let Some(old) = graph.node(node).input(slot) else { return Ok(()) };
    let Some(t) = graph.as_constant(old).cloned() else { return Ok(()) };
    let values = t.to_f64().unwrap_or_default();
    let (sizes, divided): (Vec<usize>, Vec<f64>) = match part {
        Part::Along { axis, .. } => {
            let inner: usize = t.sizes()[axis + 1..].iter().product();
            (t.sizes().to_vec(), values.iter().enumerate().map(|(i, v)| v / scales[i / inner % scales.len()]).collect())
        }
        Part::Broadcast { back, .. } => {
            let rank = t.rank().max(back + 1);
            let sizes = (0..rank).map(|a| if a + back + 1 == rank { scales.len() } else { 1 }).collect();
            (sizes, scales.iter().enumerate().map(|(i, s)| values[i % values.len()] / s).collect())
        }
    };
    let name = graph.value(old).name.clone();
    let fresh = graph.fresh_name(&name);
    let new = graph.add_const(fresh.clone(), Tensor::from_f64(t.dtype(), &sizes, &divided)?);
    graph.node_mut(new.node).origin = origin(pass, [name.clone()]);
    graph.set_input(node, slot, Some(new));
    if graph.use_count(old) == 0 {
        graph.value_mut(old).name = fresh;
        graph.value_mut(new).name = name;
        layers.iter_mut().filter(|l| l.weight == old).for_each(|l| l.weight = new);
        graph.detach_if_dead(old.node);
    }
    Ok(())
}

/// The nearest power of two: multiplying by it is exact.
pub fn power_of_two(v: f64) -> f64 {
    if v.is_finite() && v > 0.0 { 2f64.powi(v.log2().round().clamp(-60.0, 60.0) as i32) } else { 1.0 }
}
