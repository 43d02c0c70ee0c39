//! Weights behind a DequantizeLinear: read as numbers, and rounded to codes again.

use lapidary_ir::{DType, Graph, NodeId, Result, Tensor, ValueId};

/// Which scale each element has.
struct Grid {
    sizes: Vec<usize>,
    share: Share,
    scales: Vec<f64>,
    zeros: Option<Vec<f64>>,
}

/// Which elements share a scale.
enum Share {
    All,
    /// Those of an index along this axis.
    Axis(usize),
    /// So many neighbours along this axis.
    Block(usize, usize),
}

impl Grid {
    /// The grid and the codes; `None` where the operands are no constants of whole numbers that fit together.
    fn of(graph: &Graph, node: NodeId) -> Option<(Grid, Vec<f64>)> {
        let n = graph.node(node);
        let codes = graph.as_constant(n.input(0)?)?;
        codes.dtype().int_range()?;
        let scales = graph.as_constant(n.input(1)?)?.to_f64()?;
        let zeros = match n.input(2) {
            Some(z) => Some(graph.as_constant(z)?.to_f64()?),
            None => None,
        };
        let sizes = codes.sizes().to_vec();
        let axis = n.attrs.int("axis").unwrap_or(1);
        let axis = usize::try_from(if axis < 0 { axis + sizes.len() as i64 } else { axis }).ok()?;
        let block = usize::try_from(n.attrs.int("block_size").unwrap_or(0)).ok()?;
        let share = match block {
            0 if scales.len() == 1 => Share::All,
            0 => Share::Axis(axis),
            b => Share::Block(axis, b),
        };
        let wanted: usize = match share {
            Share::All => 1,
            Share::Axis(a) => *sizes.get(a)?,
            Share::Block(a, b) => sizes.iter().enumerate().map(|(i, s)| if i == a { s.div_ceil(b) } else { *s }).product(),
        };
        if axis >= sizes.len() && !matches!(share, Share::All) || wanted != scales.len() || zeros.as_ref().is_some_and(|z| z.len() != wanted) {
            return None;
        }
        Some((Grid { sizes, share, scales, zeros }, codes.to_f64()?))
    }
    /// The scale's index for an element.
    fn at(&self, element: usize) -> usize {
        let inner = |axis: usize| self.sizes[axis + 1..].iter().product::<usize>().max(1);
        match self.share {
            Share::All => 0,
            Share::Axis(a) => element / inner(a) % self.sizes[a],
            Share::Block(a, b) => {
                let (inner, size) = (inner(a), self.sizes[a]);
                let (i, along, outer) = (element % inner, element / inner % size, element / inner / size);
                (outer * size.div_ceil(b) + along / b) * inner + i
            }
        }
    }
    fn zero(&self, group: usize) -> f64 {
        self.zeros.as_ref().map_or(0.0, |z| z[group])
    }
}

/// The numbers that a DequantizeLinear of constants gives; `None` where its operands are none that are understood.
pub fn read(graph: &Graph, node: NodeId) -> Option<Vec<f64>> {
    let (grid, codes) = Grid::of(graph, node)?;
    let real = |(i, c): (usize, &f64)| {
        let g = grid.at(i);
        (c - grid.zero(g)) * grid.scales[g]
    };
    Some(codes.iter().enumerate().map(real).collect())
}

/// How far rounding went from what was wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    pub error: f64,
    pub signal: f64,
}

/// Rounds numbers to codes of the same type and grid. Each group keeps its scale and zero point where fresh ones would not be nearer.
///
/// Gives the new operands of the DequantizeLinear: `(slot, tensor)`.
pub fn write(graph: &Graph, node: NodeId, wanted: &[f64]) -> Result<Option<(Vec<(usize, Tensor)>, Loss)>> {
    let Some((mut grid, _)) = Grid::of(graph, node) else { return Ok(None) };
    let constant = |slot: usize| graph.node(node).input(slot).and_then(|v: ValueId| graph.as_constant(v));
    let (Some(old), Some(scale)) = (constant(0), constant(1)) else { return Ok(None) };
    let Some((least, most)) = old.dtype().int_range().map(|(a, b)| (a as f64, b as f64)) else { return Ok(None) };
    let mut members: Vec<Vec<usize>> = vec![vec![]; grid.scales.len()];
    for i in 0..wanted.len() {
        members[grid.at(i)].push(i);
    }
    // Symmetric where it was: no zero points, or all zero of a signed type.
    let symmetric = least < 0.0 && grid.zeros.as_ref().is_none_or(|z| z.iter().all(|z| *z == 0.0));
    let mut codes = vec![0i64; wanted.len()];
    let mut loss = Loss::default();
    for (g, members) in members.iter().enumerate() {
        let (low, high) = members.iter().fold((0f64, 0f64), |(l, h), i| (l.min(wanted[*i]), h.max(wanted[*i])));
        let (fresh, zero) = if symmetric {
            (high.max(-low) / most, 0.0)
        } else if grid.zeros.is_none() {
            (high / most, 0.0)
        } else {
            let scale = (high - low) / (most - least);
            (scale, if scale > 0.0 { (least - low / scale).round_ties_even().clamp(least, most) } else { 0.0 })
        };
        let fresh = narrow(scale.dtype(), fresh);
        let before = (grid.scales[g], grid.zero(g));
        let code = |v: f64, (s, z): (f64, f64)| ((v / s).round_ties_even() + z).clamp(least, most);
        let error = |p: (f64, f64)| -> f64 { members.iter().map(|i| ((code(wanted[*i], p) - p.1) * p.0 - wanted[*i]).powi(2)).sum() };
        let usable = |s: f64| s > 0.0 && s.is_finite();
        let best = match (usable(before.0), usable(fresh)) {
            (true, true) if error(before) <= error((fresh, zero)) => before,
            (_, true) => (fresh, zero),
            (true, false) => before,
            (false, false) => (1.0, 0f64.clamp(least, most)),
        };
        loss.error += error(best);
        loss.signal += members.iter().map(|i| wanted[*i].powi(2)).sum::<f64>();
        members.iter().for_each(|i| codes[*i] = code(wanted[*i], best) as i64);
        grid.scales[g] = best.0;
        if let Some(z) = &mut grid.zeros {
            z[g] = best.1;
        }
    }
    let mut out = vec![(0, Tensor::from_i64(old.dtype(), old.sizes(), &codes)?), (1, Tensor::from_f64(scale.dtype(), scale.sizes(), &grid.scales)?)];
    if let (Some(z), Some(t)) = (&grid.zeros, constant(2)) {
        out.push((2, Tensor::from_i64(t.dtype(), t.sizes(), &z.iter().map(|z| *z as i64).collect::<Vec<_>>())?));
    }
    Ok(Some((out, loss)))
}

/// A scale as a tensor of this type keeps it.
fn narrow(dtype: DType, v: f64) -> f64 {
    let kept = Tensor::from_f64(dtype, &[], &[v]).ok().and_then(|t| t.to_f64());
    kept.and_then(|v| v.first().copied()).unwrap_or(v)
}
