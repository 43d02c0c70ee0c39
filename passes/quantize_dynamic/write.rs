//! The nodes that stand in a layer's place.

use super::NAME;
use super::codes::{Kind, Matrix};
use crate::common::layers::{Form, Layer};
use crate::common::nbits::Store;
use crate::common::quant;
use lapidary_ir::{Attrs, DType, Dim, Graph, NodeId, NodeSpec, Result, Shape, Tensor, Type, Value, ValueId};
use lapidary_rewrite::{newest_op, origin, replace_value};
use std::collections::BTreeMap;

pub struct Writer {
    kind: Kind,
    /// Whether each row of an activation has its own scale.
    rows: bool,
    /// Activations that are quantized already, by value and whether in rows.
    done: BTreeMap<(ValueId, bool), Quantized>,
    /// Small constants that many nodes read.
    shared: Vec<ValueId>,
    /// Weights covered, and the bytes that they take now.
    pub weights: usize,
    pub bytes: usize,
}

/// An activation in integers.
#[derive(Clone, Copy)]
struct Quantized {
    codes: ValueId,
    scale: ValueId,
    zero: ValueId,
}

impl Writer {
    pub fn new(kind: Kind, rows: bool) -> Writer {
        Writer { kind, rows, done: BTreeMap::new(), shared: vec![], weights: 0, bytes: 0 }
    }
    /// Replaces all readers of a layer's weight.
    pub fn layer(&mut self, graph: &mut Graph, layer: &Layer) -> Result<()> {
        let m = layer.matrix(graph);
        let values: Vec<f32> = (0..m.nrows()).flat_map(|r| m.row(r).iter().map(|v| *v as f32)).collect();
        self.weights += values.len();
        match layer.form {
            Form::Table => self.table(graph, layer, &values),
            Form::Conv { .. } => self.conv(graph, layer, &values),
            Form::InputsFirst | Form::OutputsFirst => self.product(graph, layer, &values),
        }
    }
    fn product(&mut self, graph: &mut Graph, layer: &Layer, values: &[f32]) -> Result<()> {
        let m = self.kind.quantize(values, layer.rows);
        let (n, k) = (layer.rows, layer.columns);
        let turned: Vec<i64> = (0..k).flat_map(|c| (0..n).map(move |r| r * k + c)).map(|i| m.codes[i]).collect();
        let dtype = if self.kind.unsigned { DType::U8 } else { DType::I8 };
        let codes = self.constant(graph, &layer.name, "_quantized", Tensor::from_i64(dtype, &[k, n], &turned)?);
        let sizes: &[usize] = if m.scales.len() > 1 { &[n] } else { &[] };
        let zero = match self.kind.unsigned {
            true => Some(self.constant(graph, &layer.name, "_zero_point", Tensor::from_i64(dtype, sizes, &m.zeros)?)),
            false => None,
        };
        // By the factor of a Gemm, which belongs to the reader.
        let mut scales: Vec<(f32, ValueId)> = vec![];
        for (id, x) in readers(graph, layer) {
            let factor = graph.node(id).attrs.float("alpha").filter(|_| graph.node(id).is("Gemm")).unwrap_or(1.0);
            let scale = match scales.iter().find(|s| s.0 == factor) {
                Some(s) => s.1,
                None => {
                    let t = Tensor::from_slice(sizes, &m.scales.iter().map(|s| s * factor).collect::<Vec<_>>());
                    let s = self.constant(graph, &layer.name, "_scale", t);
                    scales.push((factor, s));
                    s
                }
            };
            let q = self.activation(graph, x, id, self.rows)?;
            let (y, ty) = (id.out(0), graph.ty(id.out(0)).clone());
            let name = graph.value(y).name.to_string();
            let mut b = Build { graph, name: &name, before: id };
            let operands: Vec<ValueId> = [q.codes, codes, q.zero].into_iter().chain(zero).collect();
            let sum = b.node("MatMulInteger", &operands, Attrs::new(), with(&ty, DType::I32));
            let mut out = b.real(sum, &ty);
            if self.rows {
                out = b.node("Mul", &[out, q.scale], Attrs::new(), ty.clone());
                out = b.node("Mul", &[out, scale], Attrs::new(), ty.clone());
            } else {
                let both = b.node("Mul", &[q.scale, scale], Attrs::new(), Type::tensor(DType::F32, sizes.iter().map(|s| *s as i64)));
                out = b.node("Mul", &[out, both], Attrs::new(), ty.clone());
            }
            if let Some(c) = b.graph.node(id).input(2) {
                let c = self.scaled_bias(&mut b, c);
                out = b.node("Add", &[out, c], Attrs::new(), ty);
            }
            replace_value(graph, y, out);
            graph.detach_if_dead(id);
        }
        graph.detach_if_dead(layer.weight.node);
        Ok(())
    }
    /// A Gemm's third operand times its `beta`.
    fn scaled_bias(&mut self, b: &mut Build<'_>, c: ValueId) -> ValueId {
        let beta = b.graph.node(b.before).attrs.float("beta").unwrap_or(1.0);
        if beta == 1.0 {
            return c;
        }
        let name = b.graph.value(c).name.to_string();
        if let Some(t) = b.graph.as_constant(c).cloned()
            && let Some(v) = t.to_vec::<f32>()
        {
            return uncounted(b.graph, &name, "_scaled", Tensor::from_slice(t.sizes(), &v.iter().map(|v| v * beta).collect::<Vec<_>>()));
        }
        let factor = self.shared(b.graph, &name, "_beta", Tensor::scalar(beta));
        let ty = b.graph.ty(c).clone();
        b.node("Mul", &[c, factor], Attrs::new(), ty)
    }
    fn conv(&mut self, graph: &mut Graph, layer: &Layer, values: &[f32]) -> Result<()> {
        // One zero point for all channels is all that ONNX Runtime takes.
        let kind = if self.kind.per_channel { self.kind.centred() } else { self.kind };
        let m = kind.quantize(values, layer.rows);
        let sizes = graph.as_constant(layer.weight).map(|t| t.sizes().to_vec()).unwrap_or_default();
        let (dtype, shift) = match (self.kind.unsigned, kind.unsigned) {
            (false, _) => (DType::I8, 0),
            (true, false) => (DType::U8, 128),
            (true, true) => (DType::U8, 0),
        };
        let stored: Vec<i64> = m.codes.iter().map(|c| c + shift).collect();
        let codes = self.constant(graph, &layer.name, "_quantized", Tensor::from_i64(dtype, &sizes, &stored)?);
        let zero = match self.kind.unsigned {
            true => Some(self.constant(graph, &layer.name, "_zero_point", Tensor::from_i64(dtype, &[], &[m.zeros[0] + shift])?)),
            false => None,
        };
        // Along axis 1 of the result.
        let mut along = vec![1; sizes.len() - 1];
        along[0] = layer.rows;
        let shape: &[usize] = if m.scales.len() > 1 { &along } else { &[] };
        let scale = self.constant(graph, &layer.name, "_scale", Tensor::from_slice(shape, &m.scales));
        for (id, x) in readers(graph, layer) {
            let q = self.activation(graph, x, id, false)?;
            let (y, ty, attrs) = (id.out(0), graph.ty(id.out(0)).clone(), graph.node(id).attrs.clone());
            let name = graph.value(y).name.to_string();
            let bias = graph.node(id).input(2).and_then(|b| Some((graph.value(b).name.to_string(), graph.as_constant(b)?.clone())));
            let bias = match bias {
                Some((name, t)) => Some(uncounted(graph, &name, "_channels", t.reshaped(&along)?)),
                None => None,
            };
            let mut b = Build { graph, name: &name, before: id };
            let operands: Vec<ValueId> = [q.codes, codes, q.zero].into_iter().chain(zero).collect();
            let sum = b.node("ConvInteger", &operands, attrs, with(&ty, DType::I32));
            let real = b.real(sum, &ty);
            let both = b.node("Mul", &[q.scale, scale], Attrs::new(), Type::tensor(DType::F32, shape.iter().map(|s| *s as i64)));
            let mut out = b.node("Mul", &[real, both], Attrs::new(), ty.clone());
            if let Some(bias) = bias {
                out = b.node("Add", &[out, bias], Attrs::new(), ty);
            }
            replace_value(graph, y, out);
            graph.detach_if_dead(id);
        }
        graph.detach_if_dead(layer.weight.node);
        Ok(())
    }
    /// Rows of codes times their scales, both taken by the same numbers.
    fn table(&mut self, graph: &mut Graph, layer: &Layer, values: &[f32]) -> Result<()> {
        let m: Matrix = self.kind.centred().quantize(values, layer.rows);
        let codes = self.constant(graph, &layer.name, "_quantized", Tensor::from_i64(DType::I8, &[layer.rows, layer.columns], &m.codes)?);
        let sizes: &[usize] = if m.scales.len() > 1 { &[layer.rows, 1] } else { &[] };
        let scale = self.constant(graph, &layer.name, "_scale", Tensor::from_slice(sizes, &m.scales));
        for (id, rows) in readers(graph, layer) {
            let (y, ty, attrs) = (id.out(0), graph.ty(id.out(0)).clone(), graph.node(id).attrs.clone());
            let name = graph.value(y).name.to_string();
            let mut b = Build { graph, name: &name, before: id };
            let taken = b.node("Gather", &[codes, rows], attrs.clone(), with(&ty, DType::I8));
            let real = b.real(taken, &ty);
            let scale = match m.scales.len() {
                1 => scale,
                _ => b.node("Gather", &[scale, rows], attrs, last_one(&ty)),
            };
            let out = b.node("Mul", &[real, scale], Attrs::new(), ty);
            replace_value(graph, y, out);
            graph.detach_if_dead(id);
        }
        graph.detach_if_dead(layer.weight.node);
        Ok(())
    }
    /// The weights of an LSTM, GRU or RNN behind dequantizers, or why not.
    pub fn recurrent(&mut self, graph: &mut Graph, id: NodeId) -> Result<Result<(), &'static str>> {
        let mut found = vec![];
        for slot in [1, 2] {
            let Some(w) = graph.node(id).input(slot) else { return Ok(Err("an operand is omitted")) };
            let Some(t) = graph.as_constant(w).cloned() else {
                let quantized = graph.producer(w).is("DequantizeLinear");
                return Ok(Err(if quantized { "its weight is quantized already" } else { "its weight is computed" }));
            };
            let Some(values) = t.to_vec::<f32>().filter(|v| t.rank() == 3 && v.iter().all(|v| v.is_finite())) else {
                return Ok(Err("its weight is no finite f32"));
            };
            found.push((slot, w, t, values));
        }
        for (slot, w, t, values) in found {
            let (directions, rows, columns) = (t.sizes()[0], t.sizes()[1], t.sizes()[2]);
            // A scale belongs to a row of all directions.
            let at = |d: usize, r: usize, c: usize| (d * rows + r) * columns + c;
            let places: Vec<usize> = (0..rows).flat_map(|r| (0..directions).flat_map(move |d| (0..columns).map(move |c| at(d, r, c)))).collect();
            let m = self.kind.centred().quantize(&places.iter().map(|i| values[*i]).collect::<Vec<_>>(), rows);
            let mut codes = vec![0; values.len()];
            places.iter().zip(&m.codes).for_each(|(i, c)| codes[*i] = *c);
            self.weights += values.len();
            let name = graph.value(w).name.to_string();
            let per_channel = m.scales.len() > 1;
            let sizes: &[usize] = if per_channel { &[rows] } else { &[] };
            let q = self.constant(graph, &name, "_quantized", Tensor::from_i64(DType::I8, t.sizes(), &codes)?);
            let s = self.constant(graph, &name, "_scale", Tensor::from_slice(sizes, &m.scales));
            let z = self.constant(graph, &name, "_zero_point", Tensor::from_slice(sizes, &vec![0i8; m.scales.len()]));
            let source = quant::Source { name: &name, position: graph.node(id).position, origin: origin(NAME, [name.as_str().into()]) };
            let d = quant::add(graph, "DequantizeLinear", [q, s, z], per_channel.then_some(1), t.ty().into(), source);
            graph.set_input(id, slot, Some(d));
            graph.detach_if_dead(w.node);
        }
        Ok(Ok(()))
    }
    /// An activation in integers; made once.
    fn activation(&mut self, graph: &mut Graph, x: ValueId, before: NodeId, rows: bool) -> Result<Quantized> {
        if let Some(q) = self.done.get(&(x, rows)) {
            return Ok(*q);
        }
        let name = graph.value(x).name.to_string();
        let ty = graph.ty(x).clone();
        let q = if rows { self.in_rows(graph, x, before, &name, &ty) } else { whole(graph, x, before, &name, &ty) };
        self.done.insert((x, rows), q);
        Ok(q)
    }
    /// Symmetric, a scale for each row; uint8 around 128, which CPUs multiply by int8 fastest.
    fn in_rows(&mut self, graph: &mut Graph, x: ValueId, before: NodeId, name: &str, ty: &Type) -> Quantized {
        let most = self.shared(graph, "row", "_most", Tensor::scalar(127f32));
        // A row of zeros is divided by this.
        let least = self.shared(graph, "row", "_least", Tensor::scalar(f32::MIN_POSITIVE));
        let middle = self.shared(graph, "row", "_middle", Tensor::scalar(128f32));
        let zero = self.shared(graph, "row", "_zero_point", Tensor::scalar(128u8));
        let last = self.shared(graph, "row", "_axis", Tensor::from_vec(vec![-1i64]));
        let one = last_one(ty);
        let mut b = Build { graph, name, before };
        let size = b.node("Abs", &[x], Attrs::new(), ty.clone());
        let size = b.node("ReduceMax", &[size, last], Attrs::new().with("keepdims", 1), one.clone());
        let scale = b.node("Div", &[size, most], Attrs::new(), one.clone());
        let scale = b.node("Max", &[scale, least], Attrs::new(), one);
        let steps = b.node("Div", &[x, scale], Attrs::new(), ty.clone());
        let steps = b.node("Round", &[steps], Attrs::new(), ty.clone());
        let steps = b.node("Add", &[steps, middle], Attrs::new(), ty.clone());
        let codes = b.node("Cast", &[steps], Attrs::new().with("to", i64::from(DType::U8.onnx_code())), with(ty, DType::U8));
        Quantized { codes, scale, zero }
    }
    fn constant(&mut self, graph: &mut Graph, of: &str, suffix: &str, t: Tensor) -> ValueId {
        let mut store = Store { graph, pass: NAME, bytes: 0 };
        let v = store.constant(of, suffix, t);
        self.bytes += store.bytes;
        v
    }
    fn shared(&mut self, graph: &mut Graph, of: &str, suffix: &str, t: Tensor) -> ValueId {
        Store { graph, pass: NAME, bytes: 0 }.shared(&mut self.shared, of, suffix, t)
    }
}

/// A constant that is none of the quantized weights.
fn uncounted(graph: &mut Graph, of: &str, suffix: &str, t: Tensor) -> ValueId {
    Store { graph, pass: NAME, bytes: 0 }.constant(of, suffix, t)
}

/// The nodes to replace, with what they read by now: an earlier layer may have been replaced in front of them.
fn readers(graph: &Graph, layer: &Layer) -> Vec<(NodeId, ValueId)> {
    layer.readers.iter().map(|(n, x)| (*n, graph.node(*n).input(1 - layer.slot()).unwrap_or(*x))).collect()
}

/// One scale for all of a value.
fn whole(graph: &mut Graph, x: ValueId, before: NodeId, name: &str, ty: &Type) -> Quantized {
    let fresh = |graph: &Graph, suffix: &str| graph.fresh_name(&format!("{name}_{suffix}"));
    let outputs = vec![
        Value { name: fresh(graph, "quantized"), ty: with(ty, DType::U8) },
        Value { name: fresh(graph, "scale"), ty: Type::tensor(DType::F32, [0i64; 0]) },
        Value { name: fresh(graph, "zero_point"), ty: Type::tensor(DType::U8, [0i64; 0]) },
    ];
    let spec = NodeSpec::new(newest_op("DynamicQuantizeLinear"), [x], outputs).name(format!("{name}_QuantizeLinear"));
    let position = Some(graph.node(before).position);
    let id = graph.add(NodeSpec { position, origin: origin(NAME, [name.into()]), ..spec });
    Quantized { codes: id.out(0), scale: id.out(1), zero: id.out(2) }
}

/// Nodes in the place of another.
struct Build<'a> {
    graph: &'a mut Graph,
    /// What values are named after.
    name: &'a str,
    before: NodeId,
}

impl Build<'_> {
    fn node(&mut self, op: &str, inputs: &[ValueId], attrs: Attrs, ty: Type) -> ValueId {
        let out = (format!("{}_{op}", self.name), ty);
        Store { graph: self.graph, pass: NAME, bytes: 0 }.node(newest_op(op), String::new(), inputs, attrs, out, self.before)
    }
    /// Integers as f32.
    fn real(&mut self, v: ValueId, ty: &Type) -> ValueId {
        self.node("Cast", &[v], Attrs::new().with("to", i64::from(DType::F32.onnx_code())), ty.clone())
    }
}

fn with(ty: &Type, dtype: DType) -> Type {
    let mut ty = ty.clone();
    if let Type::Tensor(t) = &mut ty {
        t.dtype = dtype;
    }
    ty
}

/// The type of a row's scale: the last axis has one element.
fn last_one(ty: &Type) -> Type {
    let mut ty = ty.clone();
    if let Type::Tensor(t) = &mut ty
        && let Shape::Ranked(dims) = &mut t.shape
        && let Some(last) = dims.last_mut()
    {
        *last = Dim::from(1);
    }
    ty
}
