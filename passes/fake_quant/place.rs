//! Where the pairs of nodes go.

use super::NAME;
use crate::common::quant::{self, Channels, PRECISION, Parameters, STAYS_FLOAT, Source, Statistics, activation, weight_scale};
use lapidary_ir::{DType, Graph, Node, NodeId, Result, Tensor, ValueId};
use lapidary_rewrite::{Outcome, PassCtx, origin};
use std::collections::BTreeMap;

/// Operators that move elements without computing: their result holds the values of their first operand.
const MOVEMENT: &[&str] = &["Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "MaxPool", "Slice", "Gather", "Expand", "Identity"];

struct Placer<'a> {
    graph: &'a mut Graph,
    statistics: &'a Statistics,
    activations: DType,
    per_channel: bool,
    /// What each value is quantized with, and the dequantized value.
    done: BTreeMap<ValueId, (Parameters, ValueId)>,
    /// Dequantized weights by constant and axis.
    weights: BTreeMap<(ValueId, Option<usize>), ValueId>,
}

pub fn place(graph: &mut Graph, ctx: &mut PassCtx<'_>, statistics: &Statistics) -> Result<Outcome> {
    let signed = ctx.options.text("profile") == Some("tensorrt");
    let activations = match ctx.options.text("activations") {
        Some("int8") => DType::I8,
        Some(_) => DType::U8,
        None if signed => DType::I8,
        None => DType::U8,
    };
    let ops: Vec<String> = ctx.options.words("ops").into_iter().map(str::to_string).collect();
    let (per_channel, embeddings) = (ctx.options.text("granularity") != Some("tensor"), ctx.options.flag("embeddings"));
    let mut p = Placer { graph, statistics, activations, per_channel, done: BTreeMap::new(), weights: BTreeMap::new() };
    let mut out = Outcome::default();
    for id in p.graph.operators() {
        let node = p.graph.node(id);
        let name = if node.op.domain.is_empty() { node.op.name.to_string() } else { continue };
        let table = embeddings && name == "Gather" && node.input(0).is_some_and(|v| p.graph.as_constant(v).is_some());
        if !(table || ops.contains(&name)) || !ctx.selected(p.graph, id) {
            continue;
        }
        let result = if table { p.table(id) } else { p.weighted(id) };
        match result {
            Ok(()) => out.touch(&name, 1),
            Err(Reason::Miss(reason)) => ctx.miss(NAME, p.graph, id, reason),
            Err(Reason::Skip) => {}
        }
    }
    Ok(out)
}

enum Reason {
    /// Nothing to say of it.
    Skip,
    Miss(String),
}

impl From<&str> for Reason {
    fn from(s: &str) -> Reason {
        Reason::Miss(s.into())
    }
}

impl Placer<'_> {
    fn node(&self, id: NodeId) -> &Node {
        self.graph.node(id)
    }
    /// Conv, Gemm, MatMul with constant weights.
    fn weighted(&mut self, id: NodeId) -> Result<(), Reason> {
        let node = self.node(id);
        let (Some(x), Some(w)) = (node.input(0), node.input(1)) else { return Err("an operand is omitted".into()) };
        match node.metadata.get(PRECISION).map(|p| &**p) {
            None | Some("int8") => {}
            Some(p) if p == STAYS_FLOAT.1 => {
                return Err("it is to stay in floats, as an earlier pass says".into());
            }
            Some(p) => return Err(Reason::Miss(format!("auto-precision chose {p} for it"))),
        }
        let Some(t) = self.graph.as_constant(w) else {
            let quantized = self.graph.producer(w).is("DequantizeLinear");
            return Err(if quantized { "it is quantized already" } else { "it multiplies two activations" }.into());
        };
        if t.dtype() != DType::F32 || self.graph.dtype(x) != DType::F32 {
            return Err("it does not compute in f32".into());
        }
        if self.graph.as_constant(x).is_some() {
            return Err("both operands are constant".into());
        }
        let axis = match &*node.op.name {
            "Conv" => Some(0),
            "ConvTranspose" => return Err("no runtime runs transposed convolutions in integers".into()),
            "Gemm" if node.attrs.int("transA").unwrap_or(0) != 0 => return Err("its first operand is transposed".into()),
            "Gemm" if node.attrs.float("alpha").unwrap_or(1.0) != 1.0 || node.attrs.float("beta").unwrap_or(1.0) != 1.0 => {
                return Err("it scales its product or its bias".into());
            }
            "Gemm" => Some(if node.attrs.int("transB").unwrap_or(0) == 1 { 0 } else { 1 }),
            "MatMul" if t.rank() == 2 => Some(1),
            // Batches of matrices: runtimes take one scale only.
            "MatMul" if t.rank() > 2 => None,
            _ => return Err("it has no weights to quantize".into()),
        };
        let writes = node.is("Conv").then(|| self.behind_activation(id.out(0)));
        let axis = axis.filter(|_| self.per_channel);
        let parameters = self.parameters(x)?;
        let y_parameters = match writes {
            Some(y) => Some((y, self.parameters(y)?)),
            None => None,
        };
        let dx = self.activation(x, parameters);
        let dw = self.weight(w, axis);
        self.graph.set_input(id, 0, Some(dx));
        self.graph.set_input(id, 1, Some(dw));
        if let Some((y, p)) = y_parameters {
            let dy = self.activation(y, p);
            self.take_over(y, dy);
        }
        Ok(())
    }
    /// A constant table that rows are taken from.
    fn table(&mut self, id: NodeId) -> Result<(), Reason> {
        let node = self.node(id);
        let (Some(w), axis) = (node.input(0), node.attrs.int("axis").unwrap_or(0)) else { return Err(Reason::Skip) };
        let Some(t) = self.graph.as_constant(w) else { return Err(Reason::Skip) };
        if t.dtype() != DType::F32 {
            return Err(Reason::Skip);
        }
        // Tables that are small next to the nodes that it takes to quantize them stay.
        if t.rank() != 2 || axis != 0 || t.len() < 1024 {
            return Err("it is not a table of rows worth quantizing".into());
        }
        let axis = self.per_channel.then_some(1);
        let dw = self.weight(w, axis);
        self.graph.set_input(id, 0, Some(dw));
        Ok(())
    }
    /// The value that a Relu or Clip makes of `v`, where nothing else reads `v`; `v` itself otherwise.
    fn behind_activation(&self, v: ValueId) -> ValueId {
        match self.graph.uses(v).as_slice() {
            [(user, 0)] if !self.graph.is_output(v) && (self.node(*user).is("Relu") || self.node(*user).is("Clip")) => user.out(0),
            _ => v,
        }
    }
    /// The scale and zero point of a value: those of the value that it was moved from, else by its range.
    fn parameters(&self, v: ValueId) -> Result<Parameters, Reason> {
        if let Some((p, _)) = self.done.get(&v).or_else(|| self.done.values().find(|(_, d)| *d == v)) {
            return Ok(*p);
        }
        if let Some(p) = self.inherited(v) {
            return Ok(p);
        }
        let name = &self.graph.value(v).name;
        match self.statistics.ranges.get(&**name) {
            Some(r) => Ok(activation(*r, self.activations)),
            None => Err(Reason::Miss(format!("calibration did not see '{name}'"))),
        }
    }
    fn inherited(&self, v: ValueId) -> Option<Parameters> {
        let node = self.graph.producer(v);
        if v.output != 0 || !MOVEMENT.iter().any(|m| node.is(m)) {
            return None;
        }
        let from = node.input(0)?;
        // Its reader takes the dequantized value by now.
        self.done.values().find(|(_, dequantized)| *dequantized == from).map(|(p, _)| *p)
    }
    /// The dequantized form of an activation; made once.
    fn activation(&mut self, v: ValueId, p: Parameters) -> ValueId {
        if let Some((_, d)) = self.done.get(&v) {
            return *d;
        }
        // What reads a quantized value reads its dequantized form: nothing is quantized twice.
        if self.done.values().any(|(_, d)| *d == v) {
            return v;
        }
        let name = self.graph.value(v).name.to_string();
        let zero = Tensor::from_i64(self.activations, &[], &[p.zero_point]);
        let d = match zero {
            Ok(zero) => self.pair(v, &name, Tensor::scalar(p.scale), zero, None),
            Err(_) => return v,
        };
        self.done.insert(v, (p, d));
        d
    }
    fn weight(&mut self, w: ValueId, axis: Option<usize>) -> ValueId {
        if let Some(d) = self.weights.get(&(w, axis)) {
            return *d;
        }
        let Some(t) = self.graph.as_constant(w).cloned() else { return w };
        let Some(values) = t.to_vec::<f32>() else { return w };
        let Some(channels) = Channels::of(t.sizes(), axis) else { return w };
        let count = channels.count;
        let mut largest = vec![0f64; count];
        for (i, v) in values.iter().enumerate() {
            let at = &mut largest[channels.at(i)];
            *at = at.max(f64::from(v.abs()));
        }
        let scales: Vec<f32> = largest.into_iter().map(weight_scale).collect();
        let sizes: &[usize] = if axis.is_some() { &[count] } else { &[] };
        let name = self.graph.value(w).name.to_string();
        let d = self.pair(w, &name, Tensor::from_slice(sizes, &scales), Tensor::from_slice(sizes, &vec![0i8; count]), axis);
        self.weights.insert((w, axis), d);
        d
    }
    /// QuantizeLinear and DequantizeLinear of a value, named as ONNX Runtime names them.
    fn pair(&mut self, v: ValueId, name: &str, scale: Tensor, zero: Tensor, axis: Option<usize>) -> ValueId {
        let g = &mut *self.graph;
        let source = Source { name, position: g.node(v.node).position, origin: origin(NAME, [g.producer(v).label().into()]) };
        let (scale_name, zero_name) = (g.fresh_name(&format!("{name}_scale")), g.fresh_name(&format!("{name}_zero_point")));
        let codes = zero.dtype();
        let (s, z) = (g.add_const(scale_name, scale), g.add_const(zero_name, zero));
        let axis = axis.map(|a| a as i64);
        let real = g.ty(v).clone();
        let mut ty = real.clone();
        if let lapidary_ir::Type::Tensor(t) = &mut ty {
            t.dtype = codes;
        }
        let q = quant::add(g, "QuantizeLinear", [v, s, z], axis, ty, source.clone());
        quant::add(g, "DequantizeLinear", [q, s, z], axis, real, source)
    }
    /// All readers of `v` but its own quantizer read `d`; a graph output keeps its name on the dequantized value.
    fn take_over(&mut self, v: ValueId, d: ValueId) {
        if v == d {
            return;
        }
        let quantizer = self.graph.producer(d).input(0).map(|q| q.node);
        for (user, slot) in self.graph.uses(v) {
            if Some(user) != quantizer {
                self.graph.set_input(user, slot, Some(d));
            }
        }
        if self.graph.is_output(v) {
            let outputs = self.graph.outputs().iter().map(|o| if *o == v { d } else { *o }).collect();
            self.graph.set_outputs(outputs);
            let (a, b) = (self.graph.value(v).name.clone(), self.graph.value(d).name.clone());
            self.graph.value_mut(v).name = b;
            self.graph.value_mut(d).name = a;
        }
    }
}
