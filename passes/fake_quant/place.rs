//! Where the pairs of nodes go.

use super::{NAME, epilogue};
use crate::common::quant::{self, Channels, PRECISION, Parameters, Profile, STAYS_FLOAT, Source, Statistics, activation, weight_scale};
use lapidary_ir::{Attrs, DType, Diagnostic, Graph, Node, NodeId, Result, Tensor, ValueId};
use lapidary_rewrite::{Outcome, PassCtx, origin};
use std::collections::BTreeMap;

/// Operators that move elements without computing: their result holds the values of their first operand.
pub const MOVEMENT: &[&str] = &["Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "MaxPool", "Slice", "Gather", "Expand", "Identity"];

struct Placer<'a> {
    graph: &'a mut Graph,
    statistics: &'a Statistics,
    profile: Profile,
    order: epilogue::Order,
    form: Form,
    /// What each value is quantized with, and the dequantized value.
    done: BTreeMap<ValueId, (Parameters, ValueId)>,
    /// Dequantized weights by constant and what shares a scale.
    weights: BTreeMap<(ValueId, Unit), ValueId>,
}

/// The types, and what of a weight shares a scale.
struct Form {
    activations: DType,
    weights: DType,
    per_channel: bool,
    block: Option<usize>,
}

/// What shares a scale: everything, each index along an axis, or each block along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Tensor,
    Channel(usize),
    Block { axis: usize, size: usize },
}

impl Form {
    /// What the options say, where the profile allows it.
    fn of(ctx: &PassCtx<'_>, profile: Profile) -> Result<Form> {
        let dtype = |text: Option<&str>| match text {
            Some("int8") => DType::I8,
            Some("uint16") => DType::U16,
            Some("int16") => DType::I16,
            Some("uint4") => DType::U4,
            Some("int4") => DType::I4,
            None if profile == Profile::TensorRt => DType::I8,
            _ => DType::U8,
        };
        let (activations, weights) = (dtype(ctx.options.text("activations")), dtype(ctx.options.text("weights").or(Some("int8"))));
        let blocks = ctx.options.text("granularity") == Some("block");
        let block = usize::try_from(ctx.options.int("block").unwrap_or(32)).ok().filter(|b| *b > 0);
        let Some(block) = block else { return Err(ctx.error("pass-option", "'block' is not positive")) };
        let refuse = |what: String, help: &str| Err(Diagnostic::error("pass-option", what).help(help).into());
        let named = |d: DType| d.to_string();
        match profile {
            Profile::TensorRt if activations != DType::I8 => refuse(
                format!("TensorRT has no activations of {}", named(activations)),
                "it takes int8 without zero points, profile=tensorrt's default",
            ),
            Profile::TensorRt if weights != DType::I8 || blocks => refuse(
                "TensorRT multiplies int8 activations by int8 weights with a scale per channel or tensor".into(),
                "quantize-weights{bits=4} gives 4-bit weights with float activations, which it takes",
            ),
            Profile::OpenVino if activations.bits() == 4 || weights == DType::I16 => {
                refuse("OpenVINO has no activations of 4 bits and no weights of 16".into(), "leave the option out, or take profile=ort")
            }
            _ => Ok(Form { activations, weights, per_channel: ctx.options.text("granularity") != Some("tensor"), block: blocks.then_some(block) }),
        }
    }
    fn newest(&self) -> bool {
        self.block.is_some() || self.activations.bits() != 8 || self.weights.bits() != 8
    }
}

pub fn place(graph: &mut Graph, ctx: &mut PassCtx<'_>, statistics: &Statistics) -> Result<Outcome> {
    let profile = match ctx.options.text("profile") {
        Some("tensorrt") => Profile::TensorRt,
        Some("openvino") => Profile::OpenVino,
        Some("native") => Profile::Native,
        _ => Profile::Ort,
    };
    let form = Form::of(ctx, profile)?;
    ctx.put(profile);
    let newest = form.newest();
    let ops: Vec<String> = ctx.options.words("ops").into_iter().map(str::to_string).collect();
    let embeddings = ctx.options.flag("embeddings");
    let order = graph.operators().into_iter().enumerate().map(|(at, id)| (id, at)).collect();
    let mut p = Placer { graph, statistics, profile, order, form, done: BTreeMap::new(), weights: BTreeMap::new() };
    let mut out = Outcome::default();
    for id in p.graph.operators() {
        let node = p.graph.node(id);
        let name = if node.op.domain.is_empty() { node.op.name.to_string() } else { continue };
        let table = embeddings && name == "Gather" && node.input(0).is_some_and(|v| p.graph.as_constant(v).is_some());
        if !(table || ops.contains(&name)) || !ctx.selected(p.graph, id) {
            continue;
        }
        let result = match table {
            true if profile == Profile::TensorRt => Err("TensorRT takes no rows of bytes".into()),
            true => p.table(id),
            false => p.weighted(id),
        };
        match result {
            Ok(()) => out.touch(&name, 1),
            Err(Reason::Miss(reason)) => ctx.miss(NAME, p.graph, id, reason),
            Err(Reason::Skip) => {}
        }
    }
    if newest && out.changed {
        ctx.raise_opset(21, "QuantizeLinear with other than 8 bits, or with blocks, came with it");
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
            // It does so for 4 bits too, and then refuses the model.
            "Conv" if self.form.activations.bits() < 8 => {
                return Err("ONNX Runtime fuses convolutions between quantizers, and has none of 4 bits".into());
            }
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
        let writes = if node.is("Conv") { self.written(id.out(0)) } else { None };
        // Inputs of a matrix lie along its other axis.
        let unit = match (axis, self.form.block) {
            (Some(a), Some(size)) if t.rank() == 2 => Unit::Block { axis: 1 - a, size },
            (Some(a), _) if self.form.per_channel => Unit::Channel(a),
            _ => Unit::Tensor,
        };
        let parameters = self.parameters(x)?;
        let y_parameters = match writes {
            Some(y) => Some((y, self.parameters(y)?)),
            None => None,
        };
        let dx = self.activation(x, parameters);
        let dw = self.weight(w, unit, self.form.weights);
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
        let unit = if self.form.per_channel { Unit::Channel(1) } else { Unit::Tensor };
        let dw = self.weight(w, unit, DType::I8);
        self.graph.set_input(id, 0, Some(dw));
        Ok(())
    }
    /// What is quantized of the result `v` of a Conv.
    fn written(&self, v: ValueId) -> Option<ValueId> {
        if self.profile != Profile::Native {
            return Some(self.behind_activation(v));
        }
        epilogue::written(self.graph, v, &self.order)
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
        match self.statistics.range(name, self.form.activations.bits()) {
            Some(r) => Ok(activation(r, self.form.activations)),
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
        let zero = Tensor::from_i64(self.form.activations, &[], &[p.zero_point]);
        let d = match zero {
            Ok(zero) => self.pair(v, &name, Tensor::scalar(p.scale), zero, Unit::Tensor),
            Err(_) => return v,
        };
        self.done.insert(v, (p, d));
        d
    }
    fn weight(&mut self, w: ValueId, unit: Unit, dtype: DType) -> ValueId {
        if let Some(d) = self.weights.get(&(w, unit)) {
            return *d;
        }
        let Some(t) = self.graph.as_constant(w).cloned() else { return w };
        let Some(values) = t.to_vec::<f32>() else { return w };
        let (sizes, at): (Vec<usize>, Box<dyn Fn(usize) -> usize>) = match (unit, t.sizes()) {
            (Unit::Block { axis: 0, size }, &[rows, columns]) => {
                (vec![rows.div_ceil(size), columns], Box::new(move |i| i / columns / size * columns + i % columns))
            }
            (Unit::Block { size, .. }, &[rows, columns]) => {
                let across = columns.div_ceil(size);
                (vec![rows, across], Box::new(move |i| i / columns * across + i % columns / size))
            }
            (Unit::Channel(axis), sizes) => {
                let Some(channels) = Channels::of(sizes, Some(axis)) else { return w };
                (vec![channels.count], Box::new(move |i| channels.at(i)))
            }
            _ => (vec![], Box::new(|_| 0)),
        };
        let count = sizes.iter().product::<usize>();
        let mut largest = vec![0f64; count];
        for (i, v) in values.iter().enumerate() {
            let at = &mut largest[at(i)];
            *at = at.max(f64::from(v.abs()));
        }
        let scales: Vec<f32> = largest.into_iter().map(|l| weight_scale(l, dtype)).collect();
        let Ok(zeros) = Tensor::from_i64(dtype, &sizes, &vec![0; count]) else { return w };
        let name = self.graph.value(w).name.to_string();
        let d = self.pair(w, &name, Tensor::from_slice(&sizes, &scales), zeros, unit);
        self.weights.insert((w, unit), d);
        d
    }
    /// QuantizeLinear and DequantizeLinear of a value, named as ONNX Runtime names them.
    fn pair(&mut self, v: ValueId, name: &str, scale: Tensor, zero: Tensor, unit: Unit) -> ValueId {
        let g = &mut *self.graph;
        let source = Source { name, position: g.node(v.node).position, origin: origin(NAME, [g.producer(v).label().into()]) };
        let (scale_name, zero_name) = (g.fresh_name(&format!("{name}_scale")), g.fresh_name(&format!("{name}_zero_point")));
        let codes = zero.dtype();
        let (s, z) = (g.add_const(scale_name, scale), g.add_const(zero_name, zero));
        let attrs = match unit {
            Unit::Tensor => Attrs::new(),
            Unit::Channel(axis) => Attrs::new().with("axis", axis as i64),
            Unit::Block { axis, size } => Attrs::new().with("axis", axis as i64).with("block_size", size as i64),
        };
        let real = g.ty(v).clone();
        let mut ty = real.clone();
        if let lapidary_ir::Type::Tensor(t) = &mut ty {
            t.dtype = codes;
        }
        let q = quant::add_with(g, "QuantizeLinear", [v, s, z], attrs.clone(), ty, source.clone());
        quant::add_with(g, "DequantizeLinear", [q, s, z], attrs, real, source)
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
