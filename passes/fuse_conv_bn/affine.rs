//! Per-channel factors and summands, folded into weights and bias.

use crate::common::{per_channel, same_type};
use lapidary_ir::{Attrs, Node, Tensor};
use lapidary_rewrite::{Match, Patch, Reason, ensure};

/// How the weights of a node hold its output channels: how many there are, and the channel of the weight's element `i`.
struct Channels {
    count: usize,
    of: Box<dyn Fn(usize) -> usize>,
}

fn weight_channels(conv: &Node, w: &Tensor) -> Result<Channels, Reason> {
    let s = w.sizes();
    ensure(s.len() >= 2 && !w.is_empty(), "its weights have too few dims")?;
    let inner: usize = s[1..].iter().product();
    if conv.is("Conv") {
        return Ok(Channels { count: s[0], of: Box::new(move |i| i / inner) });
    }
    if conv.is("ConvTranspose") {
        // [in channels, out channels of a group, kernel…]: input channels are divided among the groups in order.
        let group = usize::try_from(conv.attrs.int("group").unwrap_or(1))
            .ok()
            .filter(|g| *g > 0 && s[0].is_multiple_of(*g))
            .ok_or("its groups do not divide its channels")?;
        let (per_group, kernel, ins) = (s[1], s[2..].iter().product::<usize>(), s[0] / group);
        return Ok(Channels { count: per_group * group, of: Box::new(move |i| i / inner / ins * per_group + i / kernel % per_group) });
    }
    let transposed = conv.attrs.int("transB").unwrap_or(0) == 1;
    let columns = s[1];
    ensure(conv.attrs.float("alpha").unwrap_or(1.0) == 1.0 && conv.attrs.float("beta").unwrap_or(1.0) == 1.0, "it scales its product or its bias")?;
    Ok(if transposed {
        Channels { count: s[0], of: Box::new(move |i| i / inner) }
    } else {
        Channels { count: columns, of: Box::new(move |i| i % columns) }
    })
}

/// What `?name` holds per output channel of the convolution.
pub fn channels(m: &Match<'_>, name: &str) -> Result<Vec<f64>, Reason> {
    let conv = m.node("c")?;
    let count = weight_channels(conv, m.constant("w")?)?.count;
    let rank = m.dims_of(m.id("c")?.out(0))?.len();
    per_channel(m.constant(name)?, rank, 1, count).ok_or_else(|| "the constant is not one element per channel".into())
}

/// The constant must not broadcast the convolution's result.
pub fn same_shape(m: &Match<'_>) -> Result<(), Reason> {
    let c = m.id("c")?.out(0);
    let rank = m.dims_of(c)?.len();
    ensure(m.constant_here("k")?.rank() <= rank, "the constant has more dims than the convolution")?;
    ensure(same_type(m.graph, c, m.output()), "the constant broadcasts the convolution's result")
}

/// A batch norm as one factor and one summand per channel, in f64.
pub fn norm(m: &Match<'_>, node: &Node, names: [&str; 4]) -> Result<(Vec<f64>, Vec<f64>), Reason> {
    let mut v = vec![];
    for name in names {
        v.push(m.constant(name)?.to_f64().ok_or("its parameters are not real")?);
    }
    let epsilon = node.attrs.float("epsilon").unwrap_or(1e-5) as f64;
    let (scale, shift, mean, var) = (&v[0], &v[1], &v[2], &v[3]);
    ensure(v.iter().all(|x| x.len() == scale.len()), "its parameters differ in length")?;
    let k: Vec<f64> = scale.iter().zip(var).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let h: Vec<f64> = shift.iter().zip(mean).zip(&k).map(|((h, m), k)| h - m * k).collect();
    ensure(k.iter().chain(&h).all(|v| v.is_finite()), "its variance gives no finite factor")?;
    Ok((k, h))
}

/// Replaces the match by the convolution with weights times `k` and bias times `k` plus `h`.
pub fn fold(m: &Match<'_>, p: &mut Patch, k: &[f64], h: &[f64]) -> Result<(), Reason> {
    let conv = m.node("c")?;
    let (w, w_value) = (m.constant("w")?, m.value("w")?);
    ensure(m.graph.use_count(w_value) == 1, format!("'{}' is used by another node too and would be stored twice", m.graph.value(w_value).name))?;
    ensure(w.dtype().is_float(), "its weights are not floats")?;
    let c = weight_channels(conv, w)?;
    ensure(c.count == k.len() && k.len() == h.len(), "the number of channels differs")?;
    let bias: Vec<f64> = match m.optional("b") {
        None => vec![0.0; c.count],
        Some(b) => {
            let t = m.constant_of(b)?;
            // Gemm's bias broadcasts to [rows, columns].
            let rank = if conv.is("Gemm") { 2 } else { 1 };
            per_channel(t, rank, rank - 1, c.count).ok_or("its bias is not one element per channel")?
        }
    };
    let new_bias: Vec<f64> = bias.iter().zip(k).zip(h).map(|((b, k), h)| b * k + h).collect();
    let weights = if k.iter().all(|k| *k == 1.0) {
        w_value.into()
    } else {
        let scaled: Vec<f64> = w.to_f64().ok_or("its weights are not real")?.iter().enumerate().map(|(i, v)| v * k[(c.of)(i)]).collect();
        ensure(scaled.iter().all(|v| v.is_finite()), "a weight would not be finite")?;
        p.constant(&m.graph.value(w_value).name, Tensor::from_f64(w.dtype(), w.sizes(), &scaled)?)
    };
    let bias_name = m.optional("b").map_or_else(|| format!("{}_bias", m.graph.value(w_value).name), |b| m.graph.value(b).name.to_string());
    let bias = p.constant(&bias_name, Tensor::from_f64(w.dtype(), &[c.count], &new_bias)?);
    let y = p.copy(m, m.id("c")?, [m.value("x")?.into(), weights, bias]);
    p.replace(m.output(), y);
    Ok(())
}

/// Two batch norms in a row as one with mean 0 and variance 1.
pub fn merge_norms(m: &Match<'_>, p: &mut Patch) -> Result<(), Reason> {
    let first = m.node("c")?;
    ensure(first.attrs.int("training_mode").unwrap_or(0) == 0, "the first normalizes by the batch's own statistics")?;
    let (k0, h0) = norm(m, first, ["scale0", "shift0", "mean0", "var0"])?;
    let (k1, h1) = norm(m, m.root(), ["scale", "shift", "mean", "var"])?;
    ensure(k0.len() == k1.len(), "the number of channels differs")?;
    let dtype = m.constant("scale")?.dtype();
    let label = m.label();
    let mut put = |what: &str, values: Vec<f64>| -> Result<_, Reason> {
        Ok(p.constant(&format!("{label}_{what}"), Tensor::from_f64(dtype, &[values.len()], &values)?))
    };
    let n = k0.len();
    let scale = put("scale", k0.iter().zip(&k1).map(|(a, b)| a * b).collect())?;
    let shift = put("shift", h0.iter().zip(&k1).zip(&h1).map(|((h, k), g)| h * k + g).collect())?;
    let mean = put("mean", vec![0.0; n])?;
    let var = put("var", vec![1.0; n])?;
    let y = p.op("BatchNormalization", [m.value("x")?.into(), scale, shift, mean, var], Attrs::new().with("epsilon", 0.0f32));
    p.replace(m.output(), y);
    Ok(())
}
