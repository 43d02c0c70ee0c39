//! A model whose weights can be exchanged from run to run, so that it is made ready once however many ways to quantize it are tried.

use crate::common::layers::{Form, Layer};
use crate::common::quant::{self, Range};
use lapidary_ir::{Attrs, DType, Graph, NodeId, NodeSpec, Result, Tensor, Type, ValueId};
use lapidary_ops::Datum;
use lapidary_rewrite::{Executor, Runner, newest_op};
use std::collections::{BTreeMap, BTreeSet};

/// Where a layer's weight, and what rounds its input, stand among the inputs that were added.
#[derive(Clone, Debug)]
pub struct Handle {
    pub weight: usize,
    /// Switch, scale and zero point, one after the other.
    pub rounding: Option<usize>,
    /// All of them in the graph.
    pub inputs: Vec<ValueId>,
}

/// The inputs that [`instrument`] added, as they are when nothing is quantized.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub handles: Vec<Handle>,
    pub values: Vec<Datum>,
}

impl Settings {
    /// Exchanges a layer's weight, and rounds its input to 8 bits of this range, if one is given.
    pub fn set(&mut self, layer: usize, weight: Tensor, range: Option<Range>) {
        let Some(handle) = self.handles.get(layer) else { return };
        self.values[handle.weight] = weight.into();
        if let (Some(at), Some(range)) = (handle.rounding, range) {
            let p = quant::activation(range, DType::U8);
            self.values[at] = Tensor::scalar(true).into();
            self.values[at + 1] = Tensor::scalar(p.scale).into();
            self.values[at + 2] = Tensor::scalar(p.zero_point as f32).into();
        }
    }
    /// Inputs of the graph: its own, then these.
    pub fn after(&self, inputs: &[Datum]) -> Vec<Datum> {
        inputs.iter().chain(&self.values).cloned().collect()
    }
}

/// Makes every layer's weight an input of the graph. With `rounding`, also what a layer multiplies its weight by can be rounded to 8 bits, as
/// QuantizeLinear and DequantizeLinear would.
pub fn instrument(g: &mut Graph, layers: &[Layer], rounding: bool) -> Settings {
    let mut out = Settings::default();
    for layer in layers {
        let Some(weight) = g.as_constant(layer.weight).cloned() else { continue };
        let add = |g: &mut Graph, suffix: &str, value: Tensor, out: &mut Settings| {
            let name = g.fresh_name(&format!("{}{suffix}", layer.name));
            let id = g.add_input(name, value.ty());
            out.values.push(value.into());
            id
        };
        let at = out.values.len();
        let w = add(g, ".exchanged", (*weight).clone(), &mut out);
        layer.readers.iter().for_each(|(node, _)| g.set_input(*node, layer.slot(), Some(w)));
        let mut handle = Handle { weight: at, rounding: None, inputs: vec![w] };
        if rounding && layer.form != Form::Table {
            handle.rounding = Some(out.values.len());
            let on = add(g, ".on", Tensor::scalar(false), &mut out);
            let scale = add(g, ".scale", Tensor::scalar(1f32), &mut out);
            let zero = add(g, ".zero", Tensor::scalar(0f32), &mut out);
            handle.inputs.extend([on, scale, zero]);
            let mut rounded: BTreeMap<ValueId, ValueId> = BTreeMap::new();
            for (node, x) in &layer.readers {
                let y = *rounded.entry(*x).or_insert_with(|| round(g, *x, [on, scale, zero], *node));
                g.set_input(*node, 1 - layer.slot(), Some(y));
            }
        }
        out.handles.push(handle);
    }
    out
}

/// `on ? (clip(round(x / scale) + zero, 0, 255) − zero) · scale : x`, computed where `before` stands.
fn round(g: &mut Graph, x: ValueId, [on, scale, zero]: [ValueId; 3], before: NodeId) -> ValueId {
    let Type::Tensor(own) = g.ty(x).clone() else { return x };
    let hint = format!("{}.rounded", g.value(x).name);
    let position = g.node(before).position;
    let mut add = |name: &str, operands: &[ValueId], attrs: Attrs, dtype: DType| {
        let mut ty = own.clone();
        ty.dtype = dtype;
        let v = g.add_op(newest_op(name), operands.iter().copied(), attrs, &hint, ty);
        g.node_mut(v.node).position = position;
        v
    };
    let to = |dtype: DType| Attrs::new().with("to", i64::from(dtype.onnx_code()));
    let narrow = own.dtype != DType::F32;
    let f = if narrow { add("Cast", &[x], to(DType::F32), DType::F32) } else { x };
    let codes = add("Div", &[f, scale], Attrs::new(), DType::F32);
    let codes = add("Round", &[codes], Attrs::new(), DType::F32);
    let codes = add("Add", &[codes, zero], Attrs::new(), DType::F32);
    let codes = add("Clip", &[codes], Attrs::new(), DType::F32);
    let near = add("Sub", &[codes, zero], Attrs::new(), DType::F32);
    let near = add("Mul", &[near, scale], Attrs::new(), DType::F32);
    let near = if narrow { add("Cast", &[near], to(own.dtype), own.dtype) } else { near };
    let out = add("Where", &[on, near, x], Attrs::new(), own.dtype);
    for (slot, bound) in [(1, 0f32), (2, 255.0)] {
        let name = g.fresh_name(&hint);
        let bound = g.add_const(name, Tensor::scalar(bound));
        g.set_input(codes.node, slot, Some(bound));
    }
    out
}

/// The nodes of a graph as a graph of their own: what they read and do not make are its inputs, but for constants, which are copied.
pub struct Extract {
    pub graph: Graph,
    /// The values of the old graph that feed the inputs, and those that the outputs are.
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    /// Old nodes to new ones, and old values to those that new nodes read.
    pub nodes: BTreeMap<NodeId, NodeId>,
    pub values: BTreeMap<ValueId, ValueId>,
}

/// Copies `nodes`, which are in the order of computation. With `alone`, each is fed from outside even where another makes what it reads.
pub fn extract(g: &Graph, nodes: &[NodeId], outputs: &[ValueId], alone: bool) -> Extract {
    let mut out = Extract { graph: Graph::new(&g.name), inputs: vec![], outputs: vec![], nodes: BTreeMap::new(), values: BTreeMap::new() };
    out.graph.symbols = g.symbols.clone();
    let mut made: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for id in nodes {
        let node = g.node(*id);
        let operands: Vec<Option<ValueId>> = node.inputs().iter().map(|v| v.map(|v| out.operand(g, v))).collect();
        let mut values = node.outputs().to_vec();
        if alone {
            values.iter_mut().for_each(|v| v.name = format!("{}.alone", v.name).into());
        }
        let spec = NodeSpec::new(node.op.clone(), [], values).attrs(node.attrs.clone()).name(node.name.clone());
        let new = out.graph.add(NodeSpec { inputs: operands, origin: node.origin.clone(), ..spec });
        out.graph.node_mut(new).regions = node.regions.clone();
        made.extend((0..node.outputs().len()).map(|o| (id.out(o), new.out(o))));
        if !alone {
            out.values.extend((0..node.outputs().len()).map(|o| (id.out(o), new.out(o))));
        }
        out.nodes.insert(*id, new);
    }
    out.outputs = outputs.iter().copied().filter(|v| made.contains_key(v)).collect();
    out.graph.set_outputs(out.outputs.iter().map(|v| made[v]).collect());
    out
}

impl Extract {
    /// The new graph's value for one of the old graph.
    fn operand(&mut self, g: &Graph, v: ValueId) -> ValueId {
        if let Some(new) = self.values.get(&v) {
            return *new;
        }
        let name = g.value(v).name.clone();
        let new = match g.as_constant(v) {
            Some(t) => self.graph.add_const(name, t.clone()),
            None => {
                self.inputs.push(v);
                self.graph.add_input(name, g.ty(v).clone())
            }
        };
        self.values.insert(v, new);
        new
    }
}

/// A graph cut into parts that are computed one after the other, and where each layer stands: what comes before a changed layer need not
/// be computed again.
pub struct Parts {
    pub parts: Vec<Extract>,
    /// The part in which each layer's settings are first read.
    pub of_layer: Vec<usize>,
}

/// Cuts where nothing but floats of known rank crosses, so that sizes that are computed stay with what they size; about `count` parts of as
/// many layers each. What is made of nothing but the inputs and is no float, such as sizes and masks, is computed in every part that reads it.
pub fn cut(g: &Graph, settings: &Settings, count: usize) -> Parts {
    let (cheap, order): (Vec<NodeId>, Vec<NodeId>) = {
        let mut of_inputs = BTreeSet::new();
        g.operators().into_iter().partition(|id| {
            let node = g.node(*id);
            let from = |v: &ValueId| of_inputs.contains(&v.node) || g.producer(*v).is_input() || g.producer(*v).is_const();
            let cheap =
                node.inputs().iter().flatten().all(from) && node.outputs().iter().all(|v| !v.ty.dtype().is_float()) && node.regions.is_empty();
            cheap && of_inputs.insert(*id)
        })
    };
    let place: BTreeMap<NodeId, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    // The last place at which each value is read.
    let mut last: BTreeMap<ValueId, usize> = BTreeMap::new();
    for (i, id) in order.iter().enumerate() {
        last.extend(g.node(*id).inputs().iter().flatten().map(|v| (*v, i)));
    }
    let readers: BTreeSet<NodeId> = settings.handles.iter().flat_map(|h| &h.inputs).flat_map(|v| g.uses(*v)).map(|(n, _)| n).collect();
    let share = readers.len().div_ceil(count.max(1)).max(1);
    let (mut cuts, mut seen, mut blocking) = (vec![], 0, vec![]);
    for (i, id) in order.iter().enumerate() {
        seen += usize::from(readers.contains(id));
        for o in 0..g.node(*id).outputs().len() {
            let float = g.ty(id.out(o)).as_tensor().is_some_and(|t| t.dtype.is_float() && t.shape.dims().is_some());
            if let (false, Some(end)) = (float, last.get(&id.out(o))) {
                blocking.push(*end);
            }
        }
        blocking.retain(|end| *end > i);
        if seen >= share && blocking.is_empty() && i + 1 < order.len() {
            cuts.push(i + 1);
            seen = 0;
        }
    }
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ranges: Vec<(usize, usize)> = starts.zip(cuts.iter().copied().chain([order.len()])).collect();
    let parts: Vec<Extract> = ranges
        .iter()
        .map(|(a, b)| {
            let own = &order[*a..*b];
            let mut needed: BTreeSet<NodeId> = own.iter().flat_map(|n| g.node(*n).inputs().iter().flatten().map(|v| v.node)).collect();
            if *b == order.len() {
                needed.extend(g.outputs().iter().map(|v| v.node));
            }
            for n in cheap.iter().rev() {
                if needed.contains(n) {
                    needed.extend(g.node(*n).inputs().iter().flatten().map(|v| v.node));
                }
            }
            let nodes: Vec<NodeId> = cheap.iter().filter(|n| needed.contains(n)).chain(own).copied().collect();
            let values = |n: &NodeId| (0..g.node(*n).outputs().len()).map(|o| n.out(o)).collect::<Vec<_>>();
            let crosses = |v: &ValueId| g.is_output(*v) || (place.contains_key(&v.node) && last.get(v).is_some_and(|end| end >= b));
            let outputs: Vec<ValueId> = nodes.iter().flat_map(values).filter(crosses).collect();
            extract(g, &nodes, &outputs, false)
        })
        .collect();
    let part = |h: &Handle| {
        let at = h.inputs.iter().flat_map(|v| g.uses(*v)).filter_map(|(n, _)| place.get(&n)).min().copied().unwrap_or(0);
        ranges.iter().position(|(a, b)| (*a..*b).contains(&at)).unwrap_or(0)
    };
    let of_layer = settings.handles.iter().map(part).collect();
    Parts { parts, of_layer }
}

/// Parts that are ready to run.
pub struct Loaded<'a> {
    graph: &'a Graph,
    parts: &'a Parts,
    runners: Vec<Box<dyn Runner + 'a>>,
}

/// Values of a run, by the cut graph's values.
pub type Values = BTreeMap<ValueId, Datum>;

impl<'a> Loaded<'a> {
    pub fn new(graph: &'a Graph, parts: &'a Parts, executor: &'a dyn Executor) -> Result<Loaded<'a>> {
        let runners = parts.parts.iter().map(|p| executor.load(&p.graph, &[])).collect::<Result<_>>()?;
        Ok(Loaded { graph, parts, runners })
    }
    /// Runs all parts from number `first` on. What they read of earlier parts is in `before`; gives the graph's outputs, and what crosses
    /// between parts.
    pub fn run(&mut self, first: usize, inputs: &[Datum], before: &Values) -> Result<(Vec<Datum>, Values)> {
        let given: Values = self.graph.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
        let mut now = Values::new();
        for (part, runner) in self.parts.parts.iter().zip(&mut self.runners).skip(first) {
            let find = |v: &ValueId| {
                let found = given.get(v).or_else(|| now.get(v)).or_else(|| before.get(v));
                found.cloned().ok_or_else(|| missing(self.graph, *v))
            };
            let operands = part.inputs.iter().map(find).collect::<Result<Vec<_>>>()?;
            let results = runner.run(operands, &mut |_, _| {})?;
            now.extend(part.outputs.iter().copied().zip(results));
        }
        let result = |v: &ValueId| match now.get(v).or_else(|| before.get(v)).or_else(|| given.get(v)) {
            Some(d) => Ok(d.clone()),
            None => self.graph.as_constant(*v).map(|t| (**t).clone().into()).ok_or_else(|| missing(self.graph, *v)),
        };
        let outputs = self.graph.outputs().iter().map(result).collect::<Result<Vec<_>>>()?;
        Ok((outputs, now))
    }
}

fn missing(g: &Graph, v: ValueId) -> lapidary_ir::Diagnostics {
    lapidary_ir::Diagnostic::error("no-value", format!("'{}' was not computed", g.value(v).name)).into()
}
