use super::NAME;
use crate::common::quant::{self, Linear};
use lapidary_ir::{Graph, NodeId, NodeSpec, Result, Tensor, Type, Value};
use lapidary_rewrite::{Outcome, PassCtx, check_replacement, origin, replace_value};

/// `QuantizeLinear(constant)` becomes a constant.
pub fn weights(g: &mut Graph, ctx: &mut PassCtx<'_>, out: &mut Outcome) -> Result<()> {
    for id in g.operators() {
        if !g.node(id).is("QuantizeLinear") || !ctx.selected(g, id) {
            continue;
        }
        let Some(w) = g.node(id).input(0) else { continue };
        let Some(t) = g.as_constant(w).cloned() else { continue };
        let found = t.to_vec::<f32>().and_then(|v| match Linear::of(g, id) {
            Some(l) => Some((l.codes, l.quantize(&v, t.sizes())?)),
            None => Linear::quantize_blocks(g, id, &v, t.sizes()),
        });
        let Some((dtype, codes)) = found else {
            ctx.miss(NAME, g, id, "its scale and zero point are not constants that fit its operand");
            continue;
        };
        if g.is_output(id.out(0)) {
            ctx.miss(NAME, g, id, "it is an output of the graph");
            continue;
        }
        let name = g.fresh_name(&format!("{}_quantized", g.value(w).name));
        let c = g.add_const(name, Tensor::from_i64(dtype, t.sizes(), &codes)?);
        g.node_mut(c.node).origin = origin(NAME, [g.value(w).name.clone()]);
        g.replace_uses(id.out(0), c);
        g.detach_if_dead(id);
        out.touch("weights", 1);
    }
    Ok(())
}

/// `Gather(DequantizeLinear(table), rows)` becomes `DequantizeLinear(Gather(table, rows))`.
pub fn tables(g: &mut Graph, ctx: &mut PassCtx<'_>, out: &mut Outcome) {
    for id in g.operators() {
        let node = g.node(id);
        if !node.is("Gather") || node.attrs.int("axis").unwrap_or(0) != 0 || !ctx.selected(g, id) {
            continue;
        }
        let (Some(d), Some(rows)) = (node.input(0), node.input(1)) else { continue };
        if !g.producer(d).is("DequantizeLinear") {
            continue;
        }
        let Some(linear) = Linear::of(g, d.node) else { continue };
        let Some(table) = g.producer(d).input(0).filter(|t| g.as_constant(*t).is_some()) else { continue };
        let Some(rank) = g.ty(rows).rank() else {
            ctx.miss(NAME, g, id, "the rank of its rows' numbers is not known");
            continue;
        };
        // Rows are taken along axis 0: the columns' axis moves behind the axes of the row numbers.
        let axis = match linear.axis {
            None => None,
            Some(1) => Some(rank as i64),
            Some(_) => continue,
        };
        let (Some(s), Some(z)) = (g.producer(d).input(1), g.producer(d).input(2)) else { continue };
        let (y, position) = (id.out(0), g.node(id).position);
        let mut ty = g.ty(y).clone();
        let real = ty.clone();
        if let Type::Tensor(t) = &mut ty {
            t.dtype = linear.codes;
        }
        let name = g.value(y).name.to_string();
        let gathered = g.fresh_name(&format!("{name}_quantized"));
        let node = g.node(id);
        let (op, attrs, label, from) = (node.op.clone(), node.attrs.clone(), node.name.clone(), origin(NAME, [node.label().into()]));
        let spec = NodeSpec::new(op, [table, rows], vec![Value { name: gathered, ty }]).attrs(attrs).name(label);
        let q = g.add(NodeSpec { position: Some(position), origin: from.clone(), ..spec }).out(0);
        let source = quant::Source { name: &name, position, origin: from };
        let new = quant::add(g, "DequantizeLinear", [q, s, z], axis, real, source);
        if check_replacement(g, y, new).is_ok() {
            replace_value(g, y, new);
            out.touch("tables", 1);
        }
        g.detach_if_dead(id);
        g.detach_if_dead(new.node);
    }
}

/// A Relu or Clip that only a QuantizeLinear reads goes where saturation does its work.
pub fn activations(g: &mut Graph, ctx: &mut PassCtx<'_>, out: &mut Outcome) {
    for id in g.operators() {
        let node = g.node(id);
        if !(node.is("Relu") || node.is("Clip")) || !ctx.selected(g, id) {
            continue;
        }
        let y = id.out(0);
        let readers: Vec<NodeId> = g.uses(y).into_iter().map(|(n, _)| n).collect();
        let Some(x) = node.input(0) else { continue };
        if g.is_output(y) || readers.is_empty() || !readers.iter().all(|n| g.node(*n).is("QuantizeLinear") && g.node(*n).input(0) == Some(y)) {
            continue;
        }
        // Only what an integer operator writes: elsewhere the activation is part of a float computation that may fuse better.
        if !(g.producer(x).is("Conv") || g.producer(x).is("Gemm") || g.producer(x).is("MatMul")) {
            continue;
        }
        let Some((low, high)) = bounds(g, id) else {
            ctx.miss(NAME, g, id, "its bounds are not constant");
            continue;
        };
        let saturates = readers.iter().all(|n| {
            Linear::of(g, *n).filter(|l| l.axis.is_none() && l.scales.len() == 1 && l.zeros.len() == 1).is_some_and(|l| {
                let Some((qmin, qmax)) = l.codes.int_range() else { return false };
                let (scale, zero) = (f64::from(l.scales[0]), l.zeros[0] as f64);
                // A thousandth of a step: the scale itself was rounded.
                let (least, most, slack) = ((qmin as f64 - zero) * scale, (qmax as f64 - zero) * scale, scale * 1e-3);
                least >= low - slack && most <= high + slack
            })
        });
        if !saturates {
            ctx.miss(NAME, g, id, "the quantized range is wider than its bounds");
            continue;
        }
        for n in readers {
            g.set_input(n, 0, Some(x));
        }
        g.detach_if_dead(id);
        out.touch("activations", 1);
    }
}

fn bounds(g: &Graph, id: NodeId) -> Option<(f64, f64)> {
    let node = g.node(id);
    if node.is("Relu") {
        return Some((0.0, f64::INFINITY));
    }
    let bound = |slot: usize, otherwise: f64| match node.input(slot) {
        None => Some(otherwise),
        Some(v) => g.as_constant(v)?.to_f64()?.first().copied(),
    };
    Some((bound(1, f64::NEG_INFINITY)?, bound(2, f64::INFINITY)?))
}
