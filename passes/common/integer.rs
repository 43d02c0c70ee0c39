//! Operators on integers in the place of operators between DequantizeLinear and QuantizeLinear ("QOperator" form).

use super::quant::{Linear, Source, add};
use lapidary_ir::{Attrs, DType, Graph, Node, NodeId, NodeSpec, Result, Tensor, Type, Value, ValueId};
use lapidary_rewrite::{Outcome, PassCtx, newest_op, origin, replace_value};
use std::collections::BTreeMap;

/// Operators that move or choose elements: on the codes they do what they do on the numbers, where both ends have one scale.
const MOVEMENT: &[&str] = &["Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "MaxPool", "Slice", "Gather", "Expand", "Identity"];

/// Rewrites every Conv, Gemm and MatMul between dequantizers, and the movement between two equal scales.
///
/// * A Conv whose result is only quantized becomes QLinearConv, a MatMul QLinearMatMul.
/// * A MatMul or Gemm whose result floats read becomes MatMulInteger, its sums converted and scaled once.
///
/// What has no such form (more than 8 bits, blocks, a bias in floats within) stays between its dequantizers, with the reason in the ledger.
pub fn write(g: &mut Graph, ctx: &mut PassCtx<'_>, pass: &str, out: &mut Outcome) -> Result<()> {
    let mut zeros = Zeros::share(g);
    for id in g.operators() {
        if !g.contains(id) || !ctx.selected(g, id) {
            continue;
        }
        let node = g.node(id);
        let name = node.op.name.to_string();
        if !node.op.domain.is_empty() || !matches!(&*name, "Conv" | "Gemm" | "MatMul") {
            continue;
        }
        let between = [0, 1].iter().filter_map(|s| node.input(*s)).filter(|v| g.producer(*v).is("DequantizeLinear")).count();
        if between == 0 {
            continue;
        }
        match Product::of(g, id).and_then(|p| p.write(g, pass, &mut zeros)) {
            Ok(op) => out.touch(op, 1),
            Err(reason) => ctx.miss(pass, g, id, reason),
        }
    }
    movement(g, ctx, pass, out);
    g.sweep();
    rename(g);
    Ok(())
}

/// Names as ONNX Runtime gives them in this form: `x_quantized` for codes, shorter than those of pairs.
fn rename(g: &mut Graph) {
    for id in g.operators() {
        // The name of what it computes says as much.
        if g.node(id).is("QuantizeLinear") || g.node(id).is("DequantizeLinear") {
            g.node_mut(id).name = "".into();
        }
        for output in 0..g.node(id).outputs().len() {
            let v = id.out(output);
            let name = g.value(v).name.to_string();
            let plain = [("_QuantizeLinear_Output", "quantized"), ("_DequantizeLinear_Output", "dequantized")];
            let found = plain.iter().find_map(|(end, new)| Some(format!("{}_{new}", name.strip_suffix(end)?)));
            if let Some(new) = found.filter(|_| !g.is_output(v)) {
                g.value_mut(v).name = g.fresh_name(&new);
            }
        }
    }
}

/// Whether the pairs of nodes around integers, with their scales, take more than a fifth of the bytes of the codes that they serve, so that
/// the file would be larger than 30 % of what it was in floats. Not asked of models that are small whatever is done (16 KiB of codes).
pub fn pairs_outweigh(g: &Graph) -> bool {
    let (mut codes, mut pairs) = (0, 0);
    let mut counted = std::collections::BTreeSet::new();
    let name = |v: ValueId| g.value(v).name.len();
    for id in g.operators() {
        let node = g.node(id);
        if !node.is("QuantizeLinear") && !node.is("DequantizeLinear") {
            continue;
        }
        // Tags and lengths of a node's fields and of a tensor's take about as many bytes as these.
        let inputs = node.inputs().iter().flatten();
        pairs += 20 + node.name.len() + node.op.name.len() + inputs.clone().map(|v| name(*v) + 2).sum::<usize>() + name(id.out(0));
        for (slot, v) in node.inputs().iter().enumerate() {
            let Some((v, t)) = v.and_then(|v| Some((v, g.as_constant(v)?))).filter(|(v, _)| counted.insert(*v)) else { continue };
            // The codes of a bias count as codes; what repeats for every channel is the pair's.
            *(if slot == 0 { &mut codes } else { &mut pairs }) += t.byte_size() + if slot == 0 { 0 } else { name(v) + 12 };
        }
    }
    codes >= 16 << 10 && pairs * 5 > codes
}

/// One constant for each zero point, however many operators have it.
#[derive(Default)]
struct Zeros(BTreeMap<(DType, i64), ValueId>);

impl Zeros {
    /// Lets all quantizers of one zero point share a constant.
    fn share(g: &mut Graph) -> Zeros {
        let mut out = Zeros::default();
        for id in g.operators() {
            let node = g.node(id);
            if !node.is("QuantizeLinear") && !node.is("DequantizeLinear") {
                continue;
            }
            let Some((v, t)) = node.input(2).and_then(|v| Some((v, g.as_constant(v).filter(|t| t.rank() == 0)?))) else { continue };
            let Some(zero) = t.to_i64().and_then(|z| z.first().copied()) else { continue };
            let first = *out.0.entry((t.dtype(), zero)).or_insert(v);
            g.set_input(id, 2, Some(first));
        }
        out
    }
    fn get(&mut self, g: &mut Graph, dtype: DType, zero: i64) -> Result<ValueId, &'static str> {
        if let Some(v) = self.0.get(&(dtype, zero)) {
            return Ok(*v);
        }
        let t = Tensor::from_i64(dtype, &[], &[zero]).map_err(|_| "its zero point is no code")?;
        let name = g.fresh_name(&format!("zero_point_{zero}"));
        let v = g.add_const(name, t);
        self.0.insert((dtype, zero), v);
        Ok(v)
    }
}

/// A quantized operand: codes, and what they stand for.
struct Operand {
    codes: ValueId,
    scale: ValueId,
    linear: Linear,
}

impl Operand {
    fn of(g: &Graph, v: ValueId) -> Option<Operand> {
        let dq = g.producer(v);
        if !dq.is("DequantizeLinear") {
            return None;
        }
        Some(Operand { codes: dq.input(0)?, scale: dq.input(1)?, linear: Linear::of(g, v.node)? })
    }
    fn eight_bits(&self) -> bool {
        matches!(self.linear.codes, DType::U8 | DType::I8)
    }
    /// The zero point, where all channels have the same.
    fn zero(&self) -> Option<i64> {
        let first = *self.linear.zeros.first()?;
        self.linear.zeros.iter().all(|z| *z == first).then_some(first)
    }
}

/// A Conv, Gemm or MatMul of codes.
struct Product {
    id: NodeId,
    x: Operand,
    w: Operand,
    /// In units of the product's scale.
    bias: Option<ValueId>,
    /// The QuantizeLinear that alone reads the result.
    quantizer: Option<NodeId>,
}

impl Product {
    fn of(g: &Graph, id: NodeId) -> Result<Product, &'static str> {
        let node = g.node(id);
        let operand = |slot: usize| node.input(slot).and_then(|v| Operand::of(g, v));
        let (Some(x), Some(w)) = (operand(0), operand(1)) else { return Err("one of its operands is not quantized with constant scales") };
        if !x.eight_bits() || !w.eight_bits() {
            return Err("operators on integers take codes of 8 bits");
        }
        if x.linear.codes == DType::I8 && w.linear.codes == DType::U8 {
            return Err("no runtime multiplies signed activations by unsigned weights");
        }
        if x.linear.axis.is_some() || x.linear.scales.len() != 1 {
            return Err("its first operand has a scale for each channel");
        }
        if w.zero().is_none() {
            return Err("its weights have more than one zero point");
        }
        let channels = match (node.is("Conv"), w.linear.axis) {
            (_, None) => true,
            (true, Some(a)) => a == 0,
            // Columns of the product.
            (false, Some(a)) => g.ty(w.codes).rank() == Some(2) && a == usize::from(!turned(node)),
        };
        if !channels {
            return Err("its weights have scales along another axis than its results");
        }
        let scaled = node.attrs.float("alpha").unwrap_or(1.0) != 1.0 || node.attrs.float("beta").unwrap_or(1.0) != 1.0;
        if node.is("Gemm") && (scaled || node.attrs.int("transA").unwrap_or(0) != 0) {
            return Err("it scales or transposes more than its weights");
        }
        if turned(node) && g.as_constant(w.codes).is_none() {
            return Err("its transposed weights are not constant");
        }
        let bias = match node.input(2) {
            None => None,
            Some(b) => Some(int_bias(g, b, &x, &w).ok_or("its bias is not in units of its product")?),
        };
        let y = id.out(0);
        let uses = g.uses(y);
        let quantizer = match uses.as_slice() {
            [(q, 0)] if !g.is_output(y) && g.node(*q).is("QuantizeLinear") => Some(*q),
            _ => None,
        };
        let fits = |q: &NodeId| Linear::of(g, *q).is_some_and(|l| l.axis.is_none() && matches!(l.codes, DType::U8 | DType::I8));
        let quantizer = quantizer.filter(fits);
        if node.is("Conv") && quantizer.is_none() {
            return Err("its result is read as floats too");
        }
        Ok(Product { id, x, w, bias, quantizer })
    }
    fn write(self, g: &mut Graph, pass: &str, zeros: &mut Zeros) -> Result<&'static str, &'static str> {
        let node = g.node(self.id);
        let (conv, turn, position, label) = (node.is("Conv"), turned(node), node.position, node.name.to_string());
        let from = origin(pass, [node.label().into()]);
        let attrs = if conv { plain(g, self.id) } else { Attrs::new() };
        let y = self.id.out(0);
        let (Some(zx), Some(zw)) = (self.x.linear.zeros.first().copied(), self.w.zero()) else { return Err("it has no zero point") };
        let (zx, zw_value) = (zeros.get(g, self.x.linear.codes, zx)?, zeros.get(g, self.w.linear.codes, zw)?);
        let codes = if turn { transposed(g, self.w.codes)? } else { self.w.codes };
        let new = |g: &mut Graph, op: &str, inputs: &[Option<ValueId>], attrs: Attrs, ty: Type, hint: &str, name: &str| {
            let out = g.fresh_name(hint);
            let spec = NodeSpec::new(newest_op(op), inputs.iter().flatten().copied(), vec![Value { name: out, ty }]).attrs(attrs).name(name);
            g.add(NodeSpec { position: Some(position), origin: from.clone(), ..spec }).out(0)
        };
        let Some(q) = self.quantizer.filter(|_| conv || self.bias.is_none()) else {
            // Sums of integers, then one scale for each column.
            let hint = g.value(y).name.to_string();
            let real = g.ty(y).clone();
            let mut ty = real.clone();
            if let Type::Tensor(t) = &mut ty {
                t.dtype = DType::I32;
            }
            let mut inputs = vec![Some(self.x.codes), Some(codes), Some(zx)];
            inputs.extend((zw != 0).then_some(Some(zw_value)));
            let mut sums = new(g, "MatMulInteger", &inputs, Attrs::new(), ty.clone(), &format!("{hint}_sums"), &label);
            if let Some(b) = self.bias {
                sums = new(g, "Add", &[Some(sums), Some(b)], Attrs::new(), ty, &format!("{hint}_biased"), "");
            }
            let to = Attrs::new().with("to", i64::from(DType::F32.onnx_code()));
            let cast = new(g, "Cast", &[Some(sums)], to, real.clone(), &format!("{hint}_cast"), "");
            let sx = f64::from(self.x.linear.scales[0]);
            let scales: Vec<f32> = self.w.linear.scales.iter().map(|s| (f64::from(*s) * sx) as f32).collect();
            let t = if scales.len() == 1 { Tensor::scalar(scales[0]) } else { Tensor::from_vec(scales) };
            let name = g.fresh_name(&format!("{hint}_scale"));
            let scale = g.add_const(name, t);
            let scaled = new(g, "Mul", &[Some(cast), Some(scale)], Attrs::new(), real, &format!("{hint}_scaled"), "");
            replace_value(g, y, scaled);
            g.detach_if_dead(self.id);
            return Ok("MatMulInteger");
        };
        let (Some(sy), Some(zy), Some(linear)) = (g.node(q).input(1), g.node(q).input(2), Linear::of(g, q)) else {
            return Err("what quantizes its result has no constant zero point");
        };
        let zy = linear.zeros.first().map_or(Ok(zy), |z| zeros.get(g, linear.codes, *z))?;
        let (y, ty) = (q.out(0), g.ty(q.out(0)).clone());
        let hint = g.value(y).name.to_string();
        let op = if conv { "QLinearConv" } else { "QLinearMatMul" };
        let inputs =
            [Some(self.x.codes), Some(self.x.scale), Some(zx), Some(codes), Some(self.w.scale), Some(zw_value), Some(sy), Some(zy), self.bias];
        let result = new(g, op, &inputs, attrs, ty, &hint, &label);
        replace_value(g, y, result);
        g.detach_if_dead(q);
        g.detach_if_dead(self.id);
        Ok(op)
    }
}

fn turned(node: &Node) -> bool {
    node.is("Gemm") && node.attrs.int("transB").unwrap_or(0) == 1
}

/// The attributes of a Conv that say something: defaults and what the weights' sizes say are left out.
fn plain(g: &Graph, id: NodeId) -> Attrs {
    let node = g.node(id);
    let mut out = node.attrs.clone();
    let all = |name: &str, value: i64| node.attrs.ints(name).is_some_and(|v| v.iter().all(|x| *x == value));
    let sizes = node.input(1).and_then(|w| g.ty(w).as_tensor().and_then(|t| t.shape.sizes()));
    let known = node
        .attrs
        .ints("kernel_shape")
        .zip(sizes)
        .is_some_and(|(k, s)| s.len() == k.len() + 2 && k.iter().zip(&s[2..]).all(|(a, b)| *a == *b as i64));
    for (name, default) in [
        ("auto_pad", node.attrs.str("auto_pad") == Some("NOTSET")),
        ("group", node.attrs.int("group") == Some(1)),
        ("dilations", all("dilations", 1)),
        ("strides", all("strides", 1)),
        ("pads", all("pads", 0)),
        ("kernel_shape", known),
    ] {
        if default {
            out.remove(name);
        }
    }
    out
}

fn transposed(g: &mut Graph, w: ValueId) -> Result<ValueId, &'static str> {
    let t = g.as_constant(w).cloned().ok_or("its transposed weights are not constant")?;
    let (&[rows, columns], Some(codes)) = (t.sizes(), t.to_i64()) else { return Err("its weights are no matrix") };
    let turned: Vec<i64> = (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| codes[r * columns + c]).collect();
    let t = Tensor::from_i64(t.dtype(), &[columns, rows], &turned).map_err(|_| "its weights are no codes")?;
    let name = g.fresh_name(&format!("{}_transposed", g.value(w).name));
    Ok(g.add_const(name, t))
}

/// The codes of a bias whose scale is that of the product.
fn int_bias(g: &Graph, b: ValueId, x: &Operand, w: &Operand) -> Option<ValueId> {
    let b = Operand::of(g, b)?;
    let whole = b.linear.codes == DType::I32 && b.zero() == Some(0);
    let sx = f64::from(x.linear.scales[0]);
    let count = b.linear.scales.len().max(w.linear.scales.len());
    let at = |s: &[f32], i: usize| s.get(if s.len() == 1 { 0 } else { i }).map(|s| f64::from(*s));
    let fits = |i: usize| Some((at(&b.linear.scales, i)? / (at(&w.linear.scales, i)? * sx) - 1.0).abs() < 1e-6);
    (whole && (0..count).all(|i| fits(i) == Some(true))).then_some(b.codes)
}

/// Between DequantizeLinear and QuantizeLinear of one scale, what moves elements moves codes.
fn movement(g: &mut Graph, ctx: &PassCtx<'_>, pass: &str, out: &mut Outcome) {
    for id in g.operators() {
        if !g.contains(id) || !ctx.selected(g, id) || !moves(g.node(id)) {
            continue;
        }
        let (y, node) = (id.out(0), g.node(id));
        let Some(x) = node.input(0).and_then(|x| Operand::of(g, x)) else { continue };
        if !x.eight_bits() || x.linear.axis.is_some() || !ends_in(g, y, &x.linear) {
            continue;
        }
        let (Some(zero), position, label) = (g.producer(node.input(0).unwrap_or(y)).input(2), node.position, node.name.clone()) else { continue };
        let from = origin(pass, [node.label().into()]);
        let (op, attrs, real) = (node.op.clone(), node.attrs.clone(), g.ty(y).clone());
        let inputs: Vec<Option<ValueId>> = std::iter::once(Some(x.codes)).chain(node.inputs()[1..].iter().copied()).collect();
        let hint = g.value(y).name.to_string();
        let mut ty = real.clone();
        if let Type::Tensor(t) = &mut ty {
            t.dtype = x.linear.codes;
        }
        let name = g.fresh_name(&format!("{hint}_quantized"));
        let spec = NodeSpec::new(op, [x.codes], vec![Value { name, ty }]).attrs(attrs).name(label);
        let new = g.add(NodeSpec { position: Some(position), origin: from.clone(), ..spec });
        g.set_inputs(new, inputs);
        let dq = add(g, "DequantizeLinear", [new.out(0), x.scale, zero], None, real, Source { name: &hint, position, origin: from });
        for (user, slot) in g.uses(y) {
            if g.node(user).is("QuantizeLinear") {
                replace_value(g, user.out(0), new.out(0));
                g.detach_if_dead(user);
            } else {
                g.set_input(user, slot, Some(dq));
            }
        }
        g.detach_if_dead(id);
        g.detach_if_dead(dq.node);
        out.touch("movement", 1);
    }
}

fn moves(node: &Node) -> bool {
    node.op.domain.is_empty() && MOVEMENT.contains(&&*node.op.name) && node.outputs().len() == 1
}

/// Whether all that reads a value quantizes it with these parameters, now or after more movement.
fn ends_in(g: &Graph, v: ValueId, linear: &Linear) -> bool {
    let uses = g.uses(v);
    let ends = |(user, slot): &(NodeId, usize)| {
        let node = g.node(*user);
        *slot == 0 && (node.is("QuantizeLinear") && Linear::of(g, *user).as_ref() == Some(linear) || moves(node) && ends_in(g, user.out(0), linear))
    };
    !g.is_output(v) && !uses.is_empty() && uses.iter().all(ends)
}

/// Rewrites QLinearConv, QLinearMatMul and sums of MatMulInteger as operators between DequantizeLinear and QuantizeLinear.
pub fn read(g: &mut Graph, ctx: &mut PassCtx<'_>, pass: &str, out: &mut Outcome) -> Result<()> {
    for id in g.operators() {
        if !g.contains(id) || !ctx.selected(g, id) {
            continue;
        }
        let node = g.node(id);
        let done = match &*node.op.name {
            _ if !node.op.domain.is_empty() => continue,
            "QLinearConv" => linear(g, id, pass, "Conv"),
            "QLinearMatMul" => linear(g, id, pass, "MatMul"),
            "MatMulInteger" => sums(g, id, pass),
            _ => continue,
        };
        match done {
            Ok(op) => out.touch(op, 1),
            Err(reason) => ctx.miss(pass, g, id, reason),
        }
    }
    Ok(())
}

/// A dequantizer of codes.
fn dequantize(g: &mut Graph, codes: ValueId, scale: ValueId, zero: ValueId, axis: Option<i64>, at: (u64, &lapidary_ir::Origin)) -> ValueId {
    let mut ty = g.ty(codes).clone();
    if let Type::Tensor(t) = &mut ty {
        t.dtype = g.dtype(scale);
    }
    let axis = axis.filter(|_| g.ty(scale).rank() == Some(1));
    let name = g.value(codes).name.to_string();
    let name = name.strip_suffix("_quantized").or(name.strip_suffix("_QuantizeLinear_Output")).unwrap_or(&name).to_string();
    // A zero point for all channels serves no scales of their own.
    let zero = match (axis.is_some(), g.as_constant(zero).cloned(), g.ty(scale).as_tensor().and_then(|t| t.shape.sizes())) {
        (true, Some(z), Some(sizes)) if z.rank() == 0 => {
            let all = z.to_i64().and_then(|v| Tensor::from_i64(z.dtype(), &sizes, &vec![v[0]; sizes.iter().product()]).ok());
            let hint = g.fresh_name(&format!("{name}_zero_point"));
            all.map_or(zero, |t| g.add_const(hint, t))
        }
        _ => zero,
    };
    add(g, "DequantizeLinear", [codes, scale, zero], axis, ty, Source { name: &name, position: at.0, origin: at.1.clone() })
}

fn linear(g: &mut Graph, id: NodeId, pass: &str, op: &'static str) -> Result<&'static str, &'static str> {
    let node = g.node(id);
    let operand = |slot: usize| node.input(slot).ok_or("an operand is omitted");
    let (x, sx, zx, w, sw, zw, sy, zy) = (operand(0)?, operand(1)?, operand(2)?, operand(3)?, operand(4)?, operand(5)?, operand(6)?, operand(7)?);
    let (bias, position, label, attrs) = (node.input(8), node.position, node.name.clone(), node.attrs.clone());
    let from = origin(pass, [node.label().into()]);
    let at = (position, &from);
    let scalar = |v: ValueId| g.ty(v).rank() == Some(0) || g.as_constant(v).is_some_and(|t| t.len() == 1);
    if !scalar(sx) || !scalar(sy) {
        return Err("its operand or its result has a scale for each row");
    }
    let bias_scale = match bias {
        None => None,
        Some(_) => {
            let read = |v: ValueId| g.as_constant(v).and_then(|t| t.to_vec::<f32>());
            let (Some(sx), Some(sw)) = (read(sx), read(sw)) else { return Err("it has a bias, and scales that are not constant") };
            let scales: Vec<f32> = sw.iter().map(|s| (f64::from(*s) * f64::from(sx[0])) as f32).collect();
            Some(if scales.len() == 1 { Tensor::scalar(scales[0]) } else { Tensor::from_vec(scales) })
        }
    };
    let y = id.out(0);
    let hint = g.value(y).name.to_string();
    let mut ty = g.ty(y).clone();
    if let Type::Tensor(t) = &mut ty {
        t.dtype = g.dtype(sy);
    }
    let dx = dequantize(g, x, sx, zx, None, at);
    let dw = dequantize(g, w, sw, zw, Some(if op == "Conv" { 0 } else { 1 }), at);
    let mut inputs = vec![dx, dw];
    if let (Some(b), Some(t)) = (bias, bias_scale) {
        let sizes = t.sizes().to_vec();
        let name = g.value(b).name.to_string();
        let (s, z) = (g.fresh_name(&format!("{name}_scale")), g.fresh_name(&format!("{name}_zero_point")));
        let (s, z) = (g.add_const(s, t), g.add_const(z, Tensor::from_slice(&sizes, &vec![0i32; sizes.iter().product()])));
        inputs.push(dequantize(g, b, s, z, Some(0), at));
    }
    let name = g.fresh_name(&format!("{}_float", hint.strip_suffix("_QuantizeLinear_Output").unwrap_or(&hint)));
    let spec = NodeSpec::new(newest_op(op), inputs, vec![Value { name: name.clone(), ty }]).attrs(attrs).name(label);
    let real = g.add(NodeSpec { position: Some(position), origin: from.clone(), ..spec }).out(0);
    let coded = g.ty(y).clone();
    let q = add(g, "QuantizeLinear", [real, sy, zy], None, coded, Source { name: &name, position, origin: from });
    replace_value(g, y, q);
    g.detach_if_dead(id);
    Ok(op)
}

/// `Mul(Cast(MatMulInteger(a, b) [+ bias]), scale)`: the scale of the first operand is what quantized it, where that is known, else 1.
fn sums(g: &mut Graph, id: NodeId, pass: &str) -> Result<&'static str, &'static str> {
    let only = |g: &Graph, v: ValueId, op: &str| match g.uses(v).as_slice() {
        [(n, _)] if !g.is_output(v) && g.node(*n).is(op) => Some(*n),
        _ => None,
    };
    let other = |g: &Graph, n: NodeId, v: ValueId| g.node(n).inputs().iter().flatten().copied().find(|o| *o != v);
    let unlike = "its sums are not scaled by constants";
    let node = g.node(id);
    let (a, b, za, zb) = (node.input(0).ok_or(unlike)?, node.input(1).ok_or(unlike)?, node.input(2), node.input(3));
    let (position, label, from) = (node.position, node.name.clone(), origin(pass, [node.label().into()]));
    let (mut last, mut bias) = (id.out(0), None);
    if let Some(n) = only(g, last, "Add") {
        bias = other(g, n, last).filter(|b| g.as_constant(*b).is_some());
        if bias.is_none() {
            return Err("what is added to its sums is not constant");
        }
        last = n.out(0);
    }
    let cast = only(g, last, "Cast").ok_or(unlike)?;
    let mul = only(g, cast.out(0), "Mul").ok_or(unlike)?;
    let scales =
        other(g, mul, cast.out(0)).and_then(|s| g.as_constant(s)).and_then(|t| (t.rank() <= 1).then(|| t.to_vec::<f32>()).flatten()).ok_or(unlike)?;
    let quantizer = g.producer(a);
    let known =
        quantizer.is("QuantizeLinear").then(|| quantizer.input(1)).flatten().and_then(|s| g.as_constant(s).cloned()).filter(|t| t.rank() == 0);
    let sa = known.and_then(|t| t.to_vec::<f32>()).and_then(|v| v.first().copied()).filter(|s| s.is_finite() && *s > 0.0).unwrap_or(1.0);
    let sb: Vec<f32> = scales.iter().map(|s| (f64::from(*s) / f64::from(sa)) as f32).collect();
    let vector = g.ty(b).rank() == Some(2) && sb.len() > 1;
    if (sb.len() > 1 && !vector) || g.ty(b).rank().is_none() {
        return Err("its second operand is no matrix");
    }
    let y = mul.out(0);
    let hint = g.value(y).name.to_string();
    let at = (position, &from);
    let constant = |g: &mut Graph, hint: &str, t: Tensor| {
        let name = g.fresh_name(hint);
        g.add_const(name, t)
    };
    let zero = |g: &mut Graph, z: Option<ValueId>, of: ValueId| -> Result<ValueId, &'static str> {
        match z {
            Some(z) => Ok(z),
            None => {
                let t = Tensor::from_i64(g.dtype(of), &[], &[0]).map_err(|_| "its codes are no integers")?;
                Ok(constant(g, &format!("{}_zero_point", g.value(of).name), t))
            }
        }
    };
    let (za, zb) = (zero(g, za, a)?, zero(g, zb, b)?);
    let (sa_value, sb_value) = (
        constant(g, &format!("{hint}_scale_a"), Tensor::scalar(sa)),
        constant(g, &format!("{hint}_scale_b"), if vector { Tensor::from_vec(sb) } else { Tensor::scalar(sb[0]) }),
    );
    let da = dequantize(g, a, sa_value, za, None, at);
    let db = dequantize(g, b, sb_value, zb, Some(1), at);
    let ty = g.ty(y).clone();
    let name = g.fresh_name(&format!("{hint}_product"));
    let spec = NodeSpec::new(newest_op("MatMul"), [da, db], vec![Value { name, ty: ty.clone() }]).name(label);
    let mut real = g.add(NodeSpec { position: Some(position), origin: from.clone(), ..spec }).out(0);
    if let Some(b) = bias {
        let sizes = g.as_constant(b).map(|t| t.sizes().to_vec()).unwrap_or_default();
        let t = if scales.len() == 1 { Tensor::scalar(scales[0]) } else { Tensor::from_vec(scales) };
        let zeros = if t.rank() == 0 { Tensor::scalar(0i32) } else { Tensor::from_slice(t.sizes(), &vec![0i32; t.len()]) };
        let (s, z) = (constant(g, &format!("{hint}_bias_scale"), t), constant(g, &format!("{hint}_bias_zero_point"), zeros));
        let db = dequantize(g, b, s, z, Some(sizes.len() as i64 - 1), at);
        let name = g.fresh_name(&format!("{hint}_biased"));
        let spec = NodeSpec::new(newest_op("Add"), [real, db], vec![Value { name, ty }]);
        real = g.add(NodeSpec { position: Some(position), origin: from, ..spec }).out(0);
    }
    replace_value(g, y, real);
    g.detach_if_dead(mul);
    g.detach_if_dead(cast);
    g.sweep();
    Ok("MatMul")
}
