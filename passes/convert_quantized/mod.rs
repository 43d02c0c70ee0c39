//! convert-quantized: write weights of few bits as the other operators, without touching their codes.
//!
//! * `to=qdq`: ONNX Runtime's MatMulNBits becomes DequantizeLinear and MatMul (and Add, for a bias), which every runtime has. Activations are no
//!   longer rounded where it allowed that (`accuracy_level` 4).
//! * `to=matmulnbits`: a DequantizeLinear in blocks along the inputs of a MatMul or Gemm becomes MatMulNBits, which ONNX Runtime runs without
//!   unpacking.
//! * `to=qoperator`: a Conv, Gemm or MatMul of 8 bits between DequantizeLinear and QuantizeLinear becomes QLinearConv, QLinearMatMul, or
//!   MatMulInteger with one scaling of its sums; what moves elements from one scale to the same moves codes. `to=qdq` is the way back.
//!
//! Codes stay as they are. Operators on integers sum exactly where floats round, so that a code of a result may differ by one (its number
//! by one step of its scale), where the number lies in the middle of two.
//!
//! Left alone: scales of whole channels, where MatMulNBits has none; zero points that are no codes, where DequantizeLinear has none;
//! results of a Conv that floats read, where QLinearConv gives none.

use crate::common::codes::{Codes, Grid, Unit};
use crate::common::layers::{Form, Layer};
use crate::common::{integer, nbits, nothing_done};
use lapidary_ir::{Attrs, DType, Graph, NodeId, NodeSpec, Result, Tensor, Type, Value};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run, newest_op, origin, replace_value};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "convert-quantized";

const OPTIONS: &[OptionSpec] =
    &[OptionSpec::new("to", Kind::Choice(&["qdq", "matmulnbits", "qoperator"]), Some("qdq"), "the operators that are written")];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let to_nbits = ctx.options.text("to") == Some("matmulnbits");
    let mut out = Outcome::default();
    if ctx.options.text("to") == Some("qoperator") {
        integer::write(graph, ctx, NAME, &mut out)?;
        graph.sweep();
        if !out.changed {
            nothing_done(ctx, NAME)?;
        }
        return Ok(out);
    }
    for id in graph.operators() {
        if !graph.contains(id) || !ctx.selected(graph, id) {
            continue;
        }
        let found = if to_nbits { dequantized(graph, id) } else { packed(graph, id) };
        let (layer, codes) = match found {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(reason) => {
                ctx.miss(NAME, graph, id, reason);
                continue;
            }
        };
        if to_nbits {
            if let Some(reason) = nbits::not_nbits(graph, &layer, &codes) {
                ctx.miss(NAME, graph, id, reason);
                continue;
            }
            nbits::write_nbits(graph, NAME, &layer, &codes)?;
        } else {
            let layer = product(graph, id, layer, codes.grid.dtype)?;
            nbits::write_qdq(graph, ctx, NAME, &layer, &codes)?;
        }
        out.touch("weights", 1);
    }
    if !to_nbits {
        integer::read(graph, ctx, NAME, &mut out)?;
    }
    graph.sweep();
    if !out.changed {
        nothing_done(ctx, NAME)?;
    }
    Ok(out)
}

/// The weight's name, from that of its codes.
fn base(name: &str) -> String {
    let cut = ["_Q2", "_Q4", "_Q8", "_quantized"].iter().find_map(|s| name.strip_suffix(s));
    cut.filter(|n| !n.is_empty()).unwrap_or(name).to_string()
}

/// The layer and codes of a MatMulNBits.
fn packed(graph: &Graph, id: NodeId) -> Result<Option<(Layer, Codes)>, &'static str> {
    let node = graph.node(id);
    if &*node.op.domain != "com.microsoft" || &*node.op.name != "MatMulNBits" {
        return Ok(None);
    }
    let size = |name: &str| node.attrs.int(name).and_then(|v| usize::try_from(v).ok()).filter(|v| (1..=1 << 31).contains(v));
    let (Some(k), Some(n), Some(block)) = (size("K"), size("N"), size("block_size")) else { return Err("its sizes are not positive") };
    let bits = match node.attrs.int("bits").unwrap_or(4) {
        b @ (2 | 4 | 8) => b as u32,
        _ => return Err("its codes have other than 2, 4 or 8 bits"),
    };
    if node.input(4).is_some() {
        return Err("its blocks are not made of neighbours");
    }
    let constant = |slot: usize| node.input(slot).and_then(|v| graph.as_constant(v));
    let (Some(b), Some(scales), Some(input)) = (constant(1), constant(2), node.input(0)) else { return Err("its codes and scales are not constant") };
    let blocks = k.div_ceil(block);
    let per = 8 / bits as usize;
    let unpack = |t: &Tensor, want: usize| -> Option<Vec<u8>> {
        let bytes = t.bytes();
        let row = bytes.len() / n;
        if t.dtype() != DType::U8 || row * n != bytes.len() || row * per < want {
            return None;
        }
        let code = |r: usize, i: usize| (u32::from(bytes[r * row + i / per]) >> ((i % per) as u32 * bits)) as u8 & ((1u32 << bits) - 1) as u8;
        Some((0..n).flat_map(|r| (0..want).map(move |i| (r, i))).map(|(r, i)| code(r, i)).collect())
    };
    let dtype = scales.dtype();
    let grid = Grid { bits, symmetric: false, unit: Unit::Block(block), clip: false, dtype };
    let reals = |t: &Tensor| t.to_f64().filter(|v| v.len() == n * blocks).map(|v| v.into_iter().map(|v| v as f32).collect::<Vec<f32>>());
    let zeros = match (node.input(3), constant(3)) {
        (None, _) => Some(vec![grid.middle(); n * blocks]),
        (Some(_), Some(z)) if z.dtype() == DType::U8 => unpack(z, blocks).map(|z| z.into_iter().map(f32::from).collect()),
        (Some(_), Some(z)) => reals(z),
        (Some(_), None) => None,
    };
    let (Some(codes), Some(scales), Some(zeros)) = (unpack(b, k), reals(scales), zeros) else { return Err("its constants do not fit its sizes") };
    let codes = Codes { grid, rows: n, columns: k, codes, scales, zeros };
    if !codes.whole_zeros() {
        return Err("its zero points are no codes");
    }
    let weight = node.input(1).unwrap_or(input);
    let name = base(&graph.value(weight).name);
    Ok(Some((Layer { name, weight, form: Form::InputsFirst, readers: vec![(id, input)], rows: n, columns: k }, codes)))
}

/// Puts a MatMul in the place of a MatMulNBits, with a weight of zeros for the moment.
fn product(graph: &mut Graph, id: NodeId, layer: Layer, dtype: DType) -> Result<Layer> {
    let node = graph.node(id);
    let (y, bias, position, label) = (id.out(0), node.input(5), Some(node.position), node.name.to_string());
    let from = origin(NAME, [node.label().into()]);
    let ty = graph.ty(y).clone();
    let (_, input) = layer.readers[0];
    let hint = graph.fresh_name(&format!("{}_float", layer.name));
    let weight = graph.add_const(hint, Tensor::zeros(dtype, &[layer.columns, layer.rows])?);
    let label = ["_Q2", "_Q4", "_Q8"].iter().find_map(|s| label.strip_suffix(s)).unwrap_or(&label).to_string();
    let mut add = |op: &str, inputs: [lapidary_ir::ValueId; 2], ty: Type, name: String| {
        let out = graph.fresh_name(&format!("{}_{op}_Output", layer.name));
        let spec = NodeSpec::new(newest_op(op), inputs, vec![Value { name: out, ty }]).attrs(Attrs::new()).name(name);
        graph.add(NodeSpec { position, origin: from.clone(), ..spec })
    };
    let new = add("MatMul", [input, weight], ty.clone(), label.clone());
    let last = match bias {
        Some(b) => add("Add", [new.out(0), b], ty, format!("{label}_Add")),
        None => new,
    };
    replace_value(graph, y, last.out(0));
    graph.detach_if_dead(id);
    Ok(Layer { weight, readers: vec![(new, input)], ..layer })
}

/// The layer and codes of a MatMul or Gemm that reads a DequantizeLinear in blocks.
fn dequantized(graph: &Graph, id: NodeId) -> Result<Option<(Layer, Codes)>, &'static str> {
    let node = graph.node(id);
    if !(node.is("MatMul") || node.is("Gemm")) {
        return Ok(None);
    }
    let (Some(input), Some(weight)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let dq = graph.producer(weight);
    if !dq.is("DequantizeLinear") {
        return Ok(None);
    }
    let constant = |slot: usize| dq.input(slot).and_then(|v| graph.as_constant(v));
    let (Some(q), Some(scale)) = (constant(0), constant(1)) else { return Ok(None) };
    let bits = match q.dtype() {
        DType::U2 | DType::I2 => 2,
        DType::U4 | DType::I4 => 4,
        DType::U8 | DType::I8 => 8,
        _ => return Err("its codes are no integers of 2, 4 or 8 bits"),
    };
    let block = dq.attrs.int("block_size").and_then(|b| usize::try_from(b).ok()).filter(|b| *b > 0);
    let Some(block) = block else { return Err("it has no scales in blocks") };
    let turned = node.is("Gemm") && node.attrs.int("transB").unwrap_or(0) == 1;
    let form = if turned { Form::OutputsFirst } else { Form::InputsFirst };
    let axis = dq.attrs.int("axis").unwrap_or(1);
    let (&[first, second], along) = (q.sizes(), if axis < 0 { axis + 2 } else { axis }) else { return Err("its weight is no matrix") };
    if along != i64::from(turned) {
        return Err("its blocks do not lie along the inputs");
    }
    let (n, k) = if turned { (first, second) } else { (second, first) };
    let per = k.div_ceil(block);
    let shift = if q.dtype().is_signed_int() { 1i64 << (bits - 1) } else { 0 };
    // Row by row, as codes are; what stands for `columns` columns.
    let arranged = |v: Vec<f64>, columns: usize| -> Option<Vec<f64>> {
        let at = |r: usize, c: usize| if turned { r * columns + c } else { c * n + r };
        (v.len() == n * columns).then(|| (0..n).flat_map(|r| (0..columns).map(move |c| (r, c))).map(|(r, c)| v[at(r, c)]).collect())
    };
    let read = |t: &Tensor, columns: usize| t.to_f64().and_then(|v| arranged(v, columns));
    let zeros = match (dq.input(2), constant(2)) {
        (None, _) => Some(vec![0.0; n * per]),
        (Some(_), z) => z.and_then(|z| read(z, per)),
    };
    let (Some(codes), Some(scales), Some(zeros)) = (read(q, k), read(scale, per), zeros) else { return Err("its constants do not fit its sizes") };
    let grid = Grid { bits, symmetric: false, unit: Unit::Block(block), clip: false, dtype: scale.dtype() };
    let codes = Codes {
        grid,
        rows: n,
        columns: k,
        codes: codes.into_iter().map(|c| (c as i64 + shift) as u8).collect(),
        scales: scales.into_iter().map(|v| v as f32).collect(),
        zeros: zeros.into_iter().map(|z| (z as i64 + shift) as f32).collect(),
    };
    let name = dq.input(0).map_or(String::new(), |v| base(&graph.value(v).name));
    Ok(Some((Layer { name, weight, form, readers: vec![(id, input)], rows: n, columns: k }, codes)))
}
