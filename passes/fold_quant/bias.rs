use super::NAME;
use crate::common::quant::{self, Linear};
use lapidary_ir::{DType, Graph, NodeId, Result, Tensor, Type, ValueId};
use lapidary_rewrite::{Outcome, PassCtx, origin};

/// A Conv or Gemm between dequantizers: its bias (constant, one element per channel) and the scales of operand and weights.
struct Biased {
    bias: ValueId,
    values: Vec<f32>,
    scale_x: f32,
    /// One per channel.
    scales_w: Vec<f32>,
    /// Where the weights' scales stand.
    weights: NodeId,
}

fn biased(g: &Graph, id: NodeId) -> Option<Biased> {
    let node = g.node(id);
    let scaled = node.attrs.float("alpha").unwrap_or(1.0) != 1.0 || node.attrs.float("beta").unwrap_or(1.0) != 1.0;
    if !(node.is("Conv") || node.is("Gemm") && !scaled) {
        return None;
    }
    let (x, w, bias) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let t = g.as_constant(bias)?;
    let (x, w) = (g.producer(x).is("DequantizeLinear").then_some(x.node)?, g.producer(w).is("DequantizeLinear").then_some(w.node)?);
    let (lx, lw) = (Linear::of(g, x)?, Linear::of(g, w)?);
    let values = t.to_vec::<f32>()?;
    // Gemm's bias may be [1, n]; its int32 form is written as one dim.
    let vector = t.rank() == 1 || (t.rank() == 2 && t.sizes()[0] == 1);
    if lx.axis.is_some() || lx.scales.len() != 1 || !vector || values.is_empty() {
        return None;
    }
    let scales_w = match lw.scales.len() {
        1 => vec![lw.scales[0]; values.len()],
        n if n == values.len() => lw.scales,
        _ => return None,
    };
    Some(Biased { bias, values, scale_x: lx.scales[0], scales_w, weights: w })
}

/// Where a bias would leave int32 (weights that are all but zero), the weights' scale grows until it fits. Weights are still floats
/// behind their QuantizeLinear then.
pub fn raise_weight_scales(g: &mut Graph, ctx: &mut PassCtx<'_>, out: &mut Outcome) -> Result<()> {
    for id in g.operators() {
        if !ctx.selected(g, id) {
            continue;
        }
        let Some(b) = biased(g, id) else { continue };
        // Slightly more than the quotient asks for, since scales are rounded; and the product of the scales must be a normal float.
        let sx = f64::from(b.scale_x);
        let least = f64::from(f32::MIN_POSITIVE) * 2.0 / sx;
        let needed = |v: f32| (f64::from(v.abs()) / (sx * f64::from(i32::MAX)) * 1.0001).max(least) as f32;
        let mut raised = b.scales_w.clone();
        for (s, v) in raised.iter_mut().zip(&b.values) {
            *s = s.max(needed(*v));
        }
        if raised == b.scales_w {
            continue;
        }
        let quantizer = g.node(b.weights).input(0).filter(|q| g.producer(*q).is("QuantizeLinear")).map(|q| q.node);
        let Some(quantizer) = quantizer else {
            ctx.miss(NAME, g, id, "its bias does not fit 32 bits, and its weights are stored already");
            continue;
        };
        let Some(scale) = g.node(b.weights).input(1) else { continue };
        let (name, sizes) = (g.value(scale).name.to_string(), g.as_constant(scale).map(|t| t.sizes().to_vec()).unwrap_or_default());
        let values = if sizes.is_empty() { vec![raised.iter().copied().fold(0.0, f32::max)] } else { raised };
        let name = g.fresh_name(&name);
        let new = g.add_const(name, Tensor::from_slice(&sizes, &values));
        g.set_input(b.weights, 1, Some(new));
        g.set_input(quantizer, 1, Some(new));
        out.touch("weight-scales", 1);
    }
    Ok(())
}

/// The bias as int32 with the product's scale.
pub fn quantize(g: &mut Graph, ctx: &mut PassCtx<'_>, out: &mut Outcome) -> Result<()> {
    for id in g.operators() {
        if !ctx.selected(g, id) {
            continue;
        }
        let Some(b) = biased(g, id) else { continue };
        let n = b.values.len();
        let per_channel = g.node(b.weights).input(1).and_then(|s| g.as_constant(s)).is_some_and(|t| t.rank() == 1);
        let scales: Vec<f32> = b.scales_w.iter().map(|s| s * b.scale_x).collect();
        if scales.iter().any(|s| *s < f32::MIN_POSITIVE) {
            ctx.miss(NAME, g, id, "the scale of its product is too small for a float");
            continue;
        }
        let code = |(v, s): (&f32, &f32)| (f64::from(*v) / f64::from(*s)).round_ties_even().clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32;
        let codes: Vec<i32> = b.values.iter().zip(&scales).map(code).collect();
        let name = g.value(b.bias).name.to_string();
        let position = g.node(id).position;
        let from = origin(NAME, [g.node(id).label().into()]);
        let mut constant = |hint: &str, t: Tensor| {
            let name = g.fresh_name(&format!("{name}{hint}"));
            g.add_const(name, t)
        };
        let q = constant("_quantized", Tensor::from_slice(&[n], &codes));
        let (s, z) = if per_channel {
            (
                constant("_quantized_scale", Tensor::from_slice(&[n], &scales)),
                constant("_quantized_zero_point", Tensor::from_slice(&[n], &vec![0i32; n])),
            )
        } else {
            (constant("_quantized_scale", Tensor::scalar(scales[0])), constant("_quantized_zero_point", Tensor::scalar(0i32)))
        };
        let ty = Type::tensor(DType::F32, [n]);
        let d = quant::add(g, "DequantizeLinear", [q, s, z], per_channel.then_some(0), ty, quant::Source { name: &name, position, origin: from });
        g.set_input(id, 2, Some(d));
        out.touch("biases", 1);
    }
    Ok(())
}
