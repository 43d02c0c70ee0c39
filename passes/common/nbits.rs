//! How codes stand in a graph: as a DequantizeLinear before the operator (QDQ), or as ONNX Runtime's MatMulNBits in its place.

use super::codes::{Codes, Unit};
use super::layers::{Form, Layer};
use lapidary_ir::{Attrs, DType, Graph, NodeId, NodeSpec, OpName, Result, Tensor, Type, Value, ValueId};
use lapidary_rewrite::{PassCtx, newest_op, origin, replace_value};

/// The bits that codes of so many bits are stored with: ONNX has types of 2, 4 and 8.
pub fn stored_bits(bits: u32) -> u32 {
    bits.next_power_of_two().max(2)
}

/// Adds a constant named after another value; its bytes are counted.
pub struct Store<'a> {
    pub graph: &'a mut Graph,
    pub pass: &'a str,
    pub bytes: usize,
}

impl Store<'_> {
    /// As `constant`, once for all that ask for the same.
    pub fn shared(&mut self, shared: &mut Vec<ValueId>, of: &str, suffix: &str, t: Tensor) -> ValueId {
        if let Some(v) = shared.iter().find(|v| self.graph.as_constant(**v).is_some_and(|c| **c == t)) {
            return *v;
        }
        let v = self.constant(of, suffix, t);
        shared.push(v);
        v
    }
    pub fn constant(&mut self, of: &str, suffix: &str, t: Tensor) -> ValueId {
        self.bytes += t.byte_size();
        let name = self.graph.fresh_name(&format!("{of}{suffix}"));
        let v = self.graph.add_const(name, t);
        self.graph.node_mut(v.node).origin = origin(self.pass, [of.into()]);
        v
    }
    /// A new node with one output, placed before `before`. Without a name, it has that of its output.
    pub fn node(&mut self, op: OpName, name: String, inputs: &[ValueId], attrs: Attrs, out: (String, Type), before: NodeId) -> ValueId {
        let position = Some(self.graph.node(before).position);
        let from = origin(self.pass, [self.graph.node(before).label().into()]);
        let name_out = self.graph.fresh_name(&out.0);
        let name = if name.is_empty() { name_out.replace("_Output", "") } else { name };
        let spec = NodeSpec::new(op, inputs.iter().copied(), vec![Value { name: name_out, ty: out.1 }]).attrs(attrs).name(name);
        self.graph.add(NodeSpec { position, origin: from, ..spec }).out(0)
    }
}

/// Codes of `rows` rows packed into bytes, the first in the low bits; each row begins a byte.
fn packed(rows: impl Iterator<Item = Vec<u8>>, bits: u32) -> Vec<u8> {
    let per = 8 / bits as usize;
    rows.flat_map(|row| row.chunks(per).map(|c| c.iter().enumerate().fold(0, |b, (i, v)| b | (v << (i as u32 * bits)))).collect::<Vec<u8>>())
        .collect()
}

/// Why a layer cannot be written as MatMulNBits, if it cannot.
pub fn not_nbits(graph: &Graph, layer: &Layer, codes: &Codes) -> Option<&'static str> {
    match codes.grid.unit {
        Unit::Block(n) if n >= 16 && n.is_power_of_two() => {}
        _ => return Some("MatMulNBits wants blocks of 16, 32, 64 … elements"),
    }
    if stored_bits(codes.grid.bits) == 8 && !codes.whole_zeros() {
        return Some("MatMulNBits of 8 bits wants whole zero points");
    }
    let plain = |id: &NodeId| {
        let node = graph.node(*id);
        let factor = |name: &str| node.attrs.float(name).unwrap_or(1.0) == 1.0;
        let bias = node.input(2).is_none_or(|b| graph.ty(b).sizes().is_some_and(|s| s[..] == [layer.rows]));
        node.is("MatMul") || (node.is("Gemm") && node.attrs.int("transA").unwrap_or(0) == 0 && factor("alpha") && factor("beta") && bias)
    };
    (!layer.readers.iter().all(|(n, _)| plain(n))).then_some("MatMulNBits is a product with a matrix and a bias for each output")
}

/// Puts MatMulNBits in the place of the layer's readers; gives the bytes of its constants.
pub fn write_nbits(graph: &mut Graph, pass: &str, layer: &Layer, codes: &Codes) -> Result<usize> {
    let bits = stored_bits(codes.grid.bits);
    let middle = (1u32 << (bits - 1)) as f32;
    // Fewer bits than are stored, symmetric: moved into the middle of what is stored, where zero points are when none is given.
    let shift = if codes.centred() { (middle - codes.grid.middle()) as u8 } else { 0 };
    let (n, k) = (codes.rows, codes.columns);
    let Unit::Block(block) = codes.grid.unit else { return Ok(0) };
    let blocks = k.div_ceil(block);
    let zero = |r: usize, b: usize| codes.zeros[r * blocks + b];
    let row = |r: usize| -> Vec<u8> {
        let mut out: Vec<u8> = codes.codes[r * k..(r + 1) * k].iter().map(|c| c + shift).collect();
        // Behind the last column nothing is read; ONNX Runtime has zeros there.
        out.resize(blocks * block, 0);
        out
    };
    let dtype = codes.grid.dtype;
    let name = layer.name.clone();
    let mut store = Store { graph, pass, bytes: 0 };
    let bytes = packed((0..n).map(row), bits);
    let b = store.constant(&name, &format!("_Q{bits}"), Tensor::new(DType::U8, &[n, blocks, block * bits as usize / 8], bytes)?);
    let scales: Vec<f64> = codes.scales.iter().map(|s| f64::from(*s)).collect();
    let mut constants = vec![b, store.constant(&name, "_scales", Tensor::from_f64(dtype, &[n, blocks], &scales)?)];
    if !codes.whole_zeros() {
        let zeros: Vec<f64> = codes.zeros.iter().map(|z| f64::from(*z)).collect();
        constants.push(store.constant(&name, "_zero_points", Tensor::from_f64(dtype, &[n, blocks], &zeros)?));
    } else if !codes.centred() {
        let row = |r: usize| -> Vec<u8> {
            let mut out: Vec<u8> = (0..blocks).map(|b| zero(r, b) as u8).collect();
            // Behind the last block, as ONNX Runtime fills the byte.
            out.resize(blocks.next_multiple_of(8 / bits as usize), middle as u8);
            out
        };
        let bytes = packed((0..n).map(row), bits);
        let t = Tensor::new(DType::U8, &[n, bytes.len() / n.max(1)], bytes)?;
        constants.push(store.constant(&name, "_zero_points", t));
    }
    for (reader, _) in &layer.readers {
        let node = store.graph.node(*reader);
        // Asked anew: an earlier layer may have replaced it.
        let Some(input) = node.input(0) else { continue };
        let (y, label) = (reader.out(0), node.name.to_string());
        let bias = if node.is("Gemm") { node.input(2) } else { None };
        let ty = store.graph.ty(y).clone();
        let attrs = Attrs::new().with("K", k as i64).with("N", n as i64).with("bits", i64::from(bits)).with("block_size", block as i64);
        let inputs: Vec<ValueId> = [input].into_iter().chain(constants.iter().copied()).collect();
        let hint = store.graph.value(y).name.to_string();
        let label = format!("{}_Q{bits}", if label.is_empty() { &hint } else { &label });
        let new = store.node(OpName::new("com.microsoft", "MatMulNBits", 0), label, &inputs, attrs, (hint, ty), *reader);
        if let Some(bias) = bias {
            store.graph.set_input(new.node, 5, Some(bias));
        }
        replace_value(store.graph, y, new);
        store.graph.detach_if_dead(*reader);
    }
    let bytes = store.bytes;
    graph.detach_if_dead(layer.weight.node);
    Ok(bytes)
}

/// A matrix as DequantizeLinear takes it: codes of some type, and what they are multiplied by.
pub struct Dequantized<'a> {
    pub rows: usize,
    pub columns: usize,
    pub unit: Unit,
    /// Of the codes.
    pub codes: DType,
    /// Of the scales, and of the result.
    pub dtype: DType,
    /// The code at row and column.
    pub element: &'a dyn Fn(usize, usize) -> f64,
    pub scales: &'a [f32],
    pub zeros: Option<&'a [f32]>,
}

/// Puts a DequantizeLinear of codes in the weight's place; gives the bytes of its constants. The written opset rises where it must.
pub fn write_qdq(graph: &mut Graph, ctx: &mut PassCtx<'_>, pass: &str, layer: &Layer, codes: &Codes) -> Result<usize> {
    let signed = codes.centred();
    let code_type = match (stored_bits(codes.grid.bits), signed) {
        (2, true) => DType::I2,
        (2, false) => DType::U2,
        (4, true) => DType::I4,
        (4, false) => DType::U4,
        (_, true) => DType::I8,
        (_, false) => DType::U8,
    };
    let middle = if signed { f64::from(codes.grid.middle()) } else { 0.0 };
    let (rows, columns, unit, dtype) = (codes.rows, codes.columns, codes.grid.unit, codes.grid.dtype);
    let element = |r: usize, c: usize| f64::from(codes.codes[r * columns + c]) - middle;
    let zeros = if signed { None } else { Some(&codes.zeros[..]) };
    write_dequantizer(
        graph,
        ctx,
        pass,
        layer,
        &Dequantized { rows, columns, unit, codes: code_type, dtype, element: &element, scales: &codes.scales, zeros },
    )
}

/// As [`write_qdq`], for codes of any type that DequantizeLinear reads.
pub fn write_dequantizer(graph: &mut Graph, ctx: &mut PassCtx<'_>, pass: &str, layer: &Layer, d: &Dequantized<'_>) -> Result<usize> {
    let block = if let Unit::Block(n) = d.unit { Some(n) } else { None };
    match (d.codes.bits(), block) {
        (2, _) => ctx.raise_opset(25, "DequantizeLinear has codes of 2 bits since then"),
        (4, _) => ctx.raise_opset(21, "DequantizeLinear has codes of 4 bits since then"),
        (_, Some(_)) => ctx.raise_opset(21, "DequantizeLinear has a scale for each block since then"),
        _ if d.codes.is_float() || d.dtype != DType::F32 => ctx.raise_opset(19, "DequantizeLinear has small floats since then"),
        _ if d.unit == Unit::Row => ctx.raise_opset(13, "DequantizeLinear has a scale for each channel since then"),
        _ => ctx.raise_opset(10, "DequantizeLinear exists since then"),
    }
    let (n, k) = (d.rows, d.columns);
    let per = block.map_or(1, |b| k.div_ceil(b.min(k).max(1)));
    let turned = layer.form == Form::InputsFirst;
    // Blocks of a convolution run over channels and kernel: their codes are a matrix, and take the kernel's shape behind.
    let old = graph.ty(layer.weight).clone();
    let sizes = old.sizes().map(|s| s.to_vec()).unwrap_or_default();
    let matrix = matches!(layer.form, Form::Conv { .. }) && block.is_some();
    let shape = if matrix { vec![n, k] } else { sizes.clone() };
    // In the operator's layout.
    let arranged = |values: &dyn Fn(usize, usize) -> f64, columns: usize| -> Vec<f64> {
        let (outer, inner) = if turned { (columns, n) } else { (n, columns) };
        (0..outer).flat_map(|a| (0..inner).map(move |b| if turned { (b, a) } else { (a, b) })).map(|(r, c)| values(r, c)).collect()
    };
    let (scale_sizes, axis) = match d.unit {
        Unit::Matrix => (vec![], None),
        Unit::Row => (vec![n], Some(i64::from(turned))),
        Unit::Block(_) if turned => (vec![per, n], Some(0)),
        Unit::Block(_) => (vec![n, per], Some(1)),
    };
    let pick = |v: &[f32]| match block {
        Some(_) => arranged(&|r, c| f64::from(v[r * per + c]), per),
        None => v.iter().map(|v| f64::from(*v)).collect(),
    };
    let name = layer.name.clone();
    let Some((first, _)) = layer.readers.first().copied() else { return Ok(0) };
    let mut store = Store { graph, pass, bytes: 0 };
    let q = store.constant(&name, "_quantized", Tensor::from_f64(d.codes, &shape, &arranged(d.element, k))?);
    let mut inputs = vec![q, store.constant(&name, "_scale", Tensor::from_f64(d.dtype, &scale_sizes, &pick(d.scales))?)];
    if let Some(zeros) = d.zeros {
        inputs.push(store.constant(&name, "_zero_point", Tensor::from_f64(d.codes, &scale_sizes, &pick(zeros))?));
    }
    let mut attrs = Attrs::new();
    if let Some(axis) = axis {
        attrs.set("axis", axis);
    }
    if let Some(block) = block {
        attrs.set("block_size", block as i64);
    }
    let out = (format!("{name}_DequantizeLinear_Output"), Type::tensor(d.dtype, shape));
    let mut w = store.node(newest_op("DequantizeLinear"), format!("{name}_DequantizeLinear"), &inputs, attrs, out, first);
    if matrix {
        let to: Vec<i64> = sizes.iter().map(|s| *s as i64).collect();
        let to = store.constant(&name, "_shape", Tensor::from_slice(&[to.len()], &to));
        w = store.node(newest_op("Reshape"), format!("{name}_Reshape"), &[w, to], Attrs::new(), (format!("{name}_Reshape_Output"), old), first);
    }
    let bytes = store.bytes;
    instead(graph, layer, w);
    Ok(bytes)
}

/// The layer's readers read `w` in place of the weight.
pub fn instead(graph: &mut Graph, layer: &Layer, w: ValueId) {
    for (node, _) in &layer.readers {
        graph.set_input(*node, layer.slot(), Some(w));
    }
    graph.detach_if_dead(layer.weight.node);
}
