//! Puts a correction where the layer's bias is.

use super::NAME;
use super::sites::Site;
use crate::common::quant;
use lapidary_ir::{Attrs, DType, Graph, NodeId, NodeSpec, Result, Tensor, Value, ValueId};
use lapidary_rewrite::{newest_op, origin};

/// Adds `delta` to a site's channels. Says how.
pub fn correct(graph: &mut Graph, site: &Site, delta: &[f64]) -> Result<&'static str> {
    let id = site.here.node;
    let node = graph.node(id);
    // The bias of a Gemm counts `beta` times.
    let beta = f64::from(node.attrs.float("beta").filter(|_| node.is("Gemm")).unwrap_or(1.0));
    let has_bias = node.is("Conv") || node.is("ConvTranspose") || (node.is("Gemm") && beta != 0.0);
    if has_bias {
        let share: Vec<f64> = delta.iter().map(|d| d / beta).collect();
        match node.input(2) {
            Some(b) if graph.as_constant(b).is_some() => {
                if let Some(new) = shifted(graph, b, &share)? {
                    graph.set_input(id, 2, Some(new));
                    graph.detach_if_dead(b.node);
                    return Ok("biases");
                }
            }
            Some(b) => {
                if let Some(new) = requantized(graph, b, &share)? {
                    graph.set_input(id, 2, Some(new));
                    graph.detach_if_dead(b.node);
                    return Ok("biases in integers");
                }
            }
            None => {
                let new = fresh(graph, id, &share)?;
                graph.set_input(id, 2, Some(new));
                return Ok("new biases");
            }
        }
    }
    // The Add of a constant that alone reads the layer; or that the layer ends with.
    let reader = match graph.uses(site.here).as_slice() {
        [(n, slot)] if !graph.is_output(site.here) && graph.node(*n).is("Add") => Some((*n, 1 - slot)),
        _ => None,
    };
    let own = node_add(graph, id);
    for (n, slot) in reader.into_iter().chain(own) {
        let Some(c) = graph.node(n).input(slot) else { continue };
        if let Some(new) = shifted(graph, c, delta)? {
            graph.set_input(n, slot, Some(new));
            graph.detach_if_dead(c.node);
            return Ok("biases");
        }
    }
    behind(graph, site, delta);
    Ok("new additions")
}

/// The slot of the constant, where the layer's output is an Add already.
fn node_add(graph: &Graph, id: NodeId) -> Option<(NodeId, usize)> {
    let node = graph.node(id);
    let slot = (0..2).find(|s| node.input(*s).is_some_and(|v| graph.as_constant(v).is_some()))?;
    node.is("Add").then_some((id, slot))
}

/// A constant of one element per channel plus the correction, under the same name; `None` where it is none.
fn shifted(graph: &mut Graph, c: ValueId, delta: &[f64]) -> Result<Option<ValueId>> {
    let Some(t) = graph.as_constant(c).cloned() else { return Ok(None) };
    let along = t.sizes().iter().filter(|s| **s != 1).count() <= 1;
    let Some(values) = t.to_f64().filter(|v| v.len() == delta.len() && along && t.dtype() == DType::F32) else { return Ok(None) };
    let new = Tensor::from_f64(t.dtype(), t.sizes(), &values.iter().zip(delta).map(|(v, d)| v + d).collect::<Vec<_>>())?;
    Ok(Some(named_after(graph, c, new)))
}

/// A new constant that takes the name of one that only the layer read.
fn named_after(graph: &mut Graph, old: ValueId, t: Tensor) -> ValueId {
    let name = graph.value(old).name.clone();
    let fresh = graph.fresh_name(&format!("{name}_corrected"));
    let new = graph.add_const(fresh.clone(), t);
    graph.node_mut(new.node).origin = origin(NAME, [name.clone()]);
    if graph.use_count(old) == 1 {
        graph.value_mut(old).name = fresh;
        graph.value_mut(new).name = name;
    }
    new
}

/// An int32 bias behind a DequantizeLinear, with the correction rounded to its scale.
fn requantized(graph: &mut Graph, b: ValueId, delta: &[f64]) -> Result<Option<ValueId>> {
    let node = graph.node(b.node).clone();
    let constant = |slot: usize| node.input(slot).and_then(|v| graph.as_constant(v).cloned());
    let (Some(q), Some(s)) = (constant(0), constant(1)) else { return Ok(None) };
    let (Some(codes), Some(scales)) = (q.to_i64(), s.to_f64()) else { return Ok(None) };
    let fits = node.is("DequantizeLinear") && q.dtype() == DType::I32 && codes.len() == delta.len();
    let centred = node.input(2).is_none() || constant(2).and_then(|z| z.to_i64()).is_some_and(|z| z.iter().all(|z| *z == 0));
    if !fits || !centred || !(scales.len() == 1 || scales.len() == delta.len()) || scales.iter().any(|s| *s <= 0.0) {
        return Ok(None);
    }
    let scale = |i: usize| scales[if scales.len() == 1 { 0 } else { i }];
    let (least, most) = (f64::from(i32::MIN), f64::from(i32::MAX));
    let new: Vec<i64> =
        codes.iter().enumerate().map(|(i, c)| (*c as f64 + delta[i] / scale(i)).round_ties_even().clamp(least, most) as i64).collect();
    let Some(old) = node.input(0) else { return Ok(None) };
    let new = named_after(graph, old, Tensor::from_i64(DType::I32, q.sizes(), &new)?);
    if graph.use_count(b) == 1 {
        graph.set_input(b.node, 0, Some(new));
        graph.detach_if_dead(old.node);
        return Ok(Some(b));
    }
    let name = graph.value(b).name.to_string();
    let spec = NodeSpec::new(node.op.clone(), [], vec![Value { name: graph.fresh_name(&format!("{name}_corrected")), ty: graph.ty(b).clone() }]);
    let spec = spec.attrs(node.attrs.clone()).name(format!("{}_corrected", node.label()));
    let copy = graph.add(NodeSpec { position: Some(node.position), origin: origin(NAME, [name.as_str().into()]), ..spec });
    let operands = [Some(new)].into_iter().chain(node.inputs().iter().skip(1).copied()).collect::<Vec<_>>();
    graph.set_inputs(copy, operands);
    Ok(Some(copy.out(0)))
}

/// A bias where there was none: int32 with the scale of the product where both operands are quantized, as runtimes want it; else f32.
fn fresh(graph: &mut Graph, id: NodeId, delta: &[f64]) -> Result<ValueId> {
    let node = graph.node(id);
    let (label, position) = (node.label().to_string(), node.position);
    let scales = |slot: usize| {
        let dq = graph.producer(node.input(slot)?);
        let s = graph.as_constant(dq.input(1).filter(|_| dq.is("DequantizeLinear"))?)?;
        s.to_f64().filter(|s| s.len() == 1 || (slot == 1 && s.len() == delta.len()))
    };
    let values: Vec<f32> = delta.iter().map(|d| *d as f32).collect();
    let (Some(sx), Some(sw)) = (scales(0), scales(1)) else {
        let name = graph.fresh_name(&format!("{label}_bias"));
        let c = graph.add_const(name, Tensor::from_vec(values));
        graph.node_mut(c.node).origin = origin(NAME, [label.as_str().into()]);
        return Ok(c);
    };
    // One per channel, in the precision of what is stored.
    let scale: Vec<f32> = (0..delta.len()).map(|i| (sx[0] * sw[if sw.len() == 1 { 0 } else { i }]) as f32).collect();
    let (least, most) = (f64::from(i32::MIN), f64::from(i32::MAX));
    let codes: Vec<i32> = delta.iter().zip(&scale).map(|(d, s)| (d / f64::from(*s)).round_ties_even().clamp(least, most) as i32).collect();
    let mut constant = |suffix: &str, t: Tensor| {
        let name = graph.fresh_name(&format!("{label}_bias{suffix}"));
        graph.add_const(name, t)
    };
    let operands = [
        constant("_quantized", Tensor::from_vec(codes)),
        constant("_quantized_scale", Tensor::from_vec(scale)),
        constant("_quantized_zero_point", Tensor::from_vec(vec![0i32; delta.len()])),
    ];
    let name = format!("{label}_bias");
    let source = quant::Source { name: &name, position, origin: origin(NAME, [label.as_str().into()]) };
    let ty = lapidary_ir::Type::tensor(DType::F32, [delta.len() as i64]);
    Ok(quant::add(graph, "DequantizeLinear", operands, Some(0), ty, source))
}

/// An Add behind the layer, which takes its name.
fn behind(graph: &mut Graph, site: &Site, delta: &[f64]) {
    let v = site.here;
    let name = graph.value(v).name.clone();
    let label = graph.producer(v).label().to_string();
    let bias = graph.fresh_name(&format!("{name}_bias"));
    let c = graph.add_const(bias, Tensor::from_slice(&site.sizes(), &delta.iter().map(|d| *d as f32).collect::<Vec<_>>()));
    let inner = graph.fresh_name(&format!("{name}_uncorrected"));
    let ty = graph.ty(v).clone();
    let spec = NodeSpec::new(newest_op("Add"), [], vec![Value { name: inner.clone(), ty }]).attrs(Attrs::new()).name(format!("{label}_bias"));
    let position = Some(graph.node(v.node).position);
    let sum = graph.add(NodeSpec { position, origin: origin(NAME, [label.as_str().into()]), ..spec });
    graph.replace_uses(v, sum.out(0));
    graph.set_inputs(sum, [Some(v), Some(c)]);
    graph.value_mut(v).name = inner;
    graph.value_mut(sum.out(0)).name = name;
}
