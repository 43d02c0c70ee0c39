//! Scales and zero points, and what `calibrate` leaves for `fake-quant`.

use lapidary_ir::{Attrs, DType, Graph, NodeId, NodeSpec, Origin, Type, Value, ValueId};
use lapidary_rewrite::{PassCtx, newest_op};
use std::collections::BTreeMap;

/// The metadata of a node that says in which format its weight shall be.
pub const PRECISION: &str = "lapidary.precision";
/// The metadata of a node that quantizing passes leave in floats: it computes what was split off for that, or `auto-precision` chose so.
pub const STAYS_FLOAT: (&str, &str) = (PRECISION, "float");

/// The runtime whose conventions `fake-quant` followed, for `fold-quant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Ort,
    TensorRt,
    OpenVino,
    /// Libraries that `lapidary compile` makes.
    Native,
}

/// What calibration found, by value name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// For types of 8 bits.
    pub ranges: BTreeMap<String, Range>,
    /// For types of 16 bits, which can afford every value that appeared.
    pub wide: BTreeMap<String, Range>,
    /// For types of 4 bits, which can afford fewer.
    pub narrow: BTreeMap<String, Range>,
    /// What ran the model: results are promised equal for equal executors only.
    pub executor: String,
    pub samples: usize,
}

/// The real values that a quantized value must be able to hold. Contains zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    /// The smallest range that holds both ends and zero, which every quantized type must represent exactly (padding, Relu).
    pub fn new(low: f64, high: f64) -> Range {
        Range { low: low.min(0.0), high: high.max(0.0) }
    }
}

/// A scale and a zero point, as stored: `real = scale · (code - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    pub scale: f32,
    pub zero_point: i64,
}

/// The parameters of an activation. Asymmetric for unsigned types, symmetric (zero point 0) for signed ones. Computed in f64; a range
/// too small for a scale gives scale 1 and zero point 0. Source: ONNX QuantizeLinear, ONNX Runtime's `compute_scale_zp`.
pub fn activation(range: Range, dtype: DType) -> Parameters {
    let (qmin, qmax) = dtype.int_range().map_or((0.0, 255.0), |(a, b)| (a as f64, b as f64));
    let Range { low, high } = range;
    if dtype.is_signed_int() {
        let scale = (high.abs().max(low.abs()) / qmax) as f32;
        return if scale < f32::MIN_POSITIVE { Parameters { scale: 1.0, zero_point: 0 } } else { Parameters { scale, zero_point: 0 } };
    }
    let scale = ((high - low) / (qmax - qmin)) as f32;
    if scale < f32::MIN_POSITIVE {
        return Parameters { scale: 1.0, zero_point: 0 };
    }
    Parameters { scale, zero_point: (qmin - low / f64::from(scale)).round_ties_even().clamp(qmin, qmax) as i64 }
}

impl Statistics {
    /// What a type with so many bits should be able to hold of a value.
    pub fn range(&self, value: &str, bits: usize) -> Option<Range> {
        let of = if bits > 8 {
            &self.wide
        } else if bits < 8 {
            &self.narrow
        } else {
            &self.ranges
        };
        of.get(value).copied()
    }
}

/// The symmetric scale of weights of a signed type with this largest magnitude: codes are in [-127, 127] for int8.
pub fn weight_scale(largest: f64, dtype: DType) -> f32 {
    let scale = (largest / dtype.int_range().map_or(127.0, |r| r.1 as f64)) as f32;
    if scale < f32::MIN_POSITIVE || !scale.is_finite() { 1.0 } else { scale }
}

/// Which channel an element belongs to, elements in row-major order: one channel per index of an axis, or one for all.
pub struct Channels {
    pub count: usize,
    /// Neighbours that share a channel.
    inner: usize,
}

impl Channels {
    /// `None` where the tensor has no such axis.
    pub fn of(sizes: &[usize], axis: Option<usize>) -> Option<Channels> {
        Some(match axis {
            Some(a) => Channels { count: *sizes.get(a)?, inner: sizes[a + 1..].iter().product::<usize>().max(1) },
            None => Channels { count: 1, inner: usize::MAX },
        })
    }
    pub fn at(&self, element: usize) -> usize {
        element / self.inner % self.count.max(1)
    }
}

/// The axis and the scales and zero points of a QuantizeLinear or DequantizeLinear with constant parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    pub axis: Option<usize>,
    pub scales: Vec<f32>,
    pub zeros: Vec<i64>,
    pub codes: DType,
}

impl Linear {
    /// Codes of a matrix of real values whose scales lie in blocks of `block` along `axis`: `scale` and `zero` have its rank.
    pub fn quantize_blocks(g: &Graph, id: NodeId, values: &[f32], sizes: &[usize]) -> Option<(DType, Vec<i64>)> {
        let node = g.node(id);
        let block = usize::try_from(node.attrs.int("block_size")?).ok().filter(|b| *b > 0)?;
        let (s, zero) = (g.as_constant(node.input(1)?)?, g.as_constant(node.input(2)?)?);
        let (&[rows, columns], &[_, across]) = (sizes, s.sizes()) else { return None };
        let axis = node.attrs.int("axis").unwrap_or(1);
        let first = axis == 0 || axis == -2;
        let (scales, zeros) = (s.to_vec::<f32>()?, zero.to_i64()?);
        let (low, high) = zero.dtype().int_range()?;
        let mut out = Vec::with_capacity(values.len());
        for r in 0..rows {
            for c in 0..columns {
                let at = if first { r / block * across + c } else { r * across + c / block };
                let q = (values.get(r * columns + c)? / scales.get(at)?).round_ties_even() as i128 + *zeros.get(at)? as i128;
                out.push(q.clamp(low, high) as i64);
            }
        }
        Some((zero.dtype(), out))
    }
    pub fn of(g: &Graph, id: NodeId) -> Option<Linear> {
        let node = g.node(id);
        if !node.is("QuantizeLinear") && !node.is("DequantizeLinear") || node.attrs.int("block_size").unwrap_or(0) != 0 {
            return None;
        }
        let s = g.as_constant(node.input(1)?)?;
        let zero = g.as_constant(node.input(2)?)?;
        let rank = g.ty(node.input(0)?).rank()?;
        let scales = s.to_vec::<f32>()?;
        let axis = if s.rank() == 0 || (scales.len() == 1 && s.rank() <= 1) {
            None
        } else {
            let axis = node.attrs.int("axis").unwrap_or(1);
            Some(usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok().filter(|a| *a < rank)?)
        };
        Some(Linear { axis, zeros: zero.to_i64()?, codes: zero.dtype(), scales })
    }
    /// Codes of real values laid out by `sizes`: rounded half to even, saturated.
    pub fn quantize(&self, values: &[f32], sizes: &[usize]) -> Option<Vec<i64>> {
        let (low, high) = self.codes.int_range()?;
        let channels = Channels::of(sizes, self.axis)?;
        if self.scales.len() != channels.count || self.zeros.len() != channels.count {
            return None;
        }
        let code = |(i, v): (usize, &f32)| {
            let c = channels.at(i);
            let q = (v / self.scales[c]).round_ties_even() as i128 + self.zeros[c] as i128;
            q.clamp(low, high) as i64
        };
        Some(values.iter().enumerate().map(code).collect())
    }
}

/// Where a QuantizeLinear or DequantizeLinear comes from: the value that names it, its place, its origin.
#[derive(Clone)]
pub struct Source<'a> {
    pub name: &'a str,
    pub position: u64,
    pub origin: Origin,
}

/// Adds a QuantizeLinear or DequantizeLinear of value, scale and zero point with a result of type `ty`, named as ONNX Runtime names them.
pub fn add(g: &mut Graph, op: &str, operands: [ValueId; 3], axis: Option<i64>, ty: Type, source: Source<'_>) -> ValueId {
    add_with(g, op, operands, axis.map_or(Attrs::new(), |a| Attrs::new().with("axis", a)), ty, source)
}

/// As [`add`], with all attributes.
pub fn add_with(g: &mut Graph, op: &str, operands: [ValueId; 3], attrs: Attrs, ty: Type, source: Source<'_>) -> ValueId {
    let name = g.fresh_name(&format!("{}_{op}_Output", source.name));
    // Runtimes refuse two nodes of one name: a constant may be dequantized for two readers with scales of their own.
    let label = format!("{}_{op}{}", source.name, name.strip_prefix(&*format!("{}_{op}_Output", source.name)).unwrap_or_default());
    let spec = NodeSpec::new(newest_op(op), operands, vec![Value { name, ty }]).attrs(attrs).name(label);
    g.add(NodeSpec { position: Some(source.position), origin: source.origin, ..spec }).out(0)
}

/// Raises the opset to the lowest that holds the quantizers of the graph.
pub fn raise_opset(graph: &Graph, ctx: &mut PassCtx<'_>) {
    let mut found = (false, false);
    for id in graph.node_ids().filter(|n| graph.node(*n).is("QuantizeLinear") || graph.node(*n).is("DequantizeLinear")) {
        found.0 = true;
        found.1 |= graph.node(id).input(1).is_some_and(|s| graph.ty(s).rank().is_some_and(|r| r > 0));
    }
    if found.0 {
        ctx.raise_opset(10, "QuantizeLinear and DequantizeLinear came with it");
    }
    if found.1 {
        ctx.raise_opset(13, "scales per channel came with it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example() {
        // [0.5, 20, -0.0001, -0.01, -0.1]: scale 0.0788235, zero point 1.
        let p = activation(Range::new(-0.1, 20.0), DType::U8);
        assert!((p.scale - 0.0788235).abs() < 1e-7 && p.zero_point == 1);
        assert_eq!(activation(Range::new(3.0, 4.0), DType::U8).zero_point, 0);
        assert_eq!(activation(Range::new(-4.0, -3.0), DType::U8).zero_point, 255);
        assert_eq!(activation(Range::new(0.0, 0.0), DType::U8), Parameters { scale: 1.0, zero_point: 0 });
        assert_eq!(activation(Range::new(-2.54, 1.0), DType::I8), Parameters { scale: 0.02, zero_point: 0 });
    }
}
