//! AWQ: weights whose inputs are large are made larger before rounding, and the inputs smaller by as much, in the layer before.

use super::NAME;
use crate::common::activations::{Inputs, observe};
use crate::common::codes::Grid;
use crate::common::layers::{Form, Layer};
use crate::common::{per_channel, permutation};
use faer::{Mat, MatRef};
use lapidary_ir::{Graph, NodeId, Result, Tensor, ValueId};
use lapidary_rewrite::{PassCtx, origin};
use std::collections::BTreeSet;

/// Exponents tried, from 0 to below 1.
const EXPONENTS: usize = 20;
/// Shrunk ranges tried, in steps of a twentieth, down to above a half.
const SHRINKS: usize = 10;

/// Scales the layers where what comes before them can take the scale, clips their ranges, and gives the matrices to be rounded.
pub fn prepare(graph: &mut Graph, ctx: &mut PassCtx<'_>, layers: &mut [Layer], grids: &[Grid]) -> Result<Vec<Mat<f64>>> {
    let mut seen = observe(graph, ctx, NAME, &layers.iter().collect::<Vec<_>>(), true)?;
    let mut groups: Vec<(ValueId, Vec<usize>)> = vec![];
    for (i, layer) in layers.iter().enumerate() {
        let Some((node, input)) = layer.readers.first().copied() else { continue };
        if matches!(layer.form, Form::Conv { .. }) || layer.readers.iter().any(|(_, x)| *x != input) {
            ctx.miss(NAME, graph, node, "its inputs are not scaled: it is a convolution, or shares its weight with a layer of other inputs");
            continue;
        }
        match groups.iter_mut().find(|g| g.0 == input) {
            Some(g) => g.1.push(i),
            None => groups.push((input, vec![i])),
        }
    }
    for (input, members) in groups {
        let readers: BTreeSet<NodeId> = members.iter().flat_map(|i| layers[*i].readers.iter().map(|r| r.0)).collect();
        let size = layers[members[0]].columns;
        let mut parts = vec![];
        if let Err(reason) = before(graph, layers, input, &readers, size, &mut parts) {
            ctx.miss(NAME, graph, layers[members[0]].readers[0].0, format!("its inputs are not scaled: {reason}"));
            continue;
        }
        let weights: Vec<Mat<f64>> = members.iter().map(|i| layers[*i].matrix(graph)).collect();
        let theirs: Vec<Grid> = members.iter().map(|i| grids[*i]).collect();
        let Some(scales) = search(&weights, &theirs, &seen[members[0]]) else { continue };
        for i in &members {
            let w = layers[*i].matrix(graph);
            let scaled = Mat::from_fn(w.nrows(), w.ncols(), |r, c| w[(r, c)] * scales[c]);
            layers[*i].replace(graph, NAME, scaled.as_ref())?;
            for gram in &mut seen[*i].gram {
                *gram = Mat::from_fn(gram.nrows(), gram.ncols(), |a, b| gram[(a, b)] / (scales[a] * scales[b]));
            }
        }
        for part in parts {
            divide(graph, layers, part, &scales)?;
        }
    }
    let mut out = vec![];
    for ((layer, seen), grid) in layers.iter().zip(&seen).zip(grids) {
        let mut w = layer.matrix(graph);
        // Queries and keys meet in a product: what clipping changes there is not what the layer's own output shows.
        if layer.readers.iter().any(|(n, _)| meets_another(graph, *n)) {
            ctx.miss(NAME, graph, layer.readers[0].0, "its ranges are not clipped: it makes queries or keys");
        } else {
            clip(layer.rows / layer.groups().max(1), &mut w, &seen.gram, grid);
        }
        out.push(w);
    }
    Ok(out)
}

/// The scales with the least error of the layers' outputs together; `None` where that is no scaling at all.
pub fn search(weights: &[Mat<f64>], grids: &[Grid], inputs: &Inputs) -> Option<Vec<f64>> {
    let n = inputs.count.max(1) as f64;
    let mean: Vec<f64> = inputs.sum_abs.iter().map(|v| v / n).collect();
    let mut best: (f64, Option<Vec<f64>>) = (f64::INFINITY, None);
    for step in 0..EXPONENTS {
        let exponent = step as f64 / EXPONENTS as f64;
        let mut s: Vec<f64> = mean.iter().map(|m| m.powf(exponent).max(1e-4)).collect();
        let (least, most) = s.iter().fold((f64::INFINITY, 0f64), |(l, h), v| (l.min(*v), h.max(*v)));
        let middle = (least * most).sqrt();
        s.iter_mut().for_each(|v| *v /= middle);
        let mut loss = 0.0;
        for (grid, w) in grids.iter().zip(weights) {
            let scaled = Mat::from_fn(w.nrows(), w.ncols(), |r, c| w[(r, c)] * s[c]);
            let q = grid.round(&scaled).matrix();
            let d = Mat::from_fn(w.nrows(), w.ncols(), |r, c| w[(r, c)] - q[(r, c)] / s[c]);
            loss += inputs.gram.first().map_or(0.0, |g| output_error(d.as_ref(), g.as_ref()));
        }
        if loss < best.0 {
            best = (loss, (step > 0).then_some(s));
        }
    }
    best.1
}

/// `tr(d · gram · dᵀ)`: the squares of what a change of the weights makes of the outputs, summed over the samples.
fn output_error(d: MatRef<'_, f64>, gram: MatRef<'_, f64>) -> f64 {
    let spread = d * gram;
    (0..d.ncols()).map(|c| d.col(c).iter().zip(spread.col(c).iter()).map(|(a, b)| a * b).sum::<f64>()).sum()
}

/// A constant that takes the scale.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// An operand with one element for each channel of the last axis.
    Vector(NodeId, usize),
    /// The weight of a MatMul or Gemm: its outputs.
    Outputs(NodeId),
}

/// What must be divided so that `v` is divided; or why that cannot be. `readers` are all that may read `v`.
fn before(graph: &Graph, layers: &[Layer], v: ValueId, readers: &BTreeSet<NodeId>, size: usize, parts: &mut Vec<Part>) -> Result<(), String> {
    if graph.is_output(v) || graph.uses(v).iter().any(|(n, _)| !readers.contains(n)) {
        return Err(format!("others read '{}' too", graph.value(v).name));
    }
    let (id, node) = (v.node, graph.producer(v));
    let alone = BTreeSet::from([id]);
    let constant = |slot: usize| node.input(slot).and_then(|c| graph.as_constant(c));
    let rank = graph.ty(v).rank().unwrap_or(0);
    let vector = |slot: usize| constant(slot).filter(|t| rank > 0 && per_channel(t, rank, rank - 1, size).is_some()).map(|_| Part::Vector(id, slot));
    let last = node.attrs.int("axis").is_none_or(|a| a == -1 || a == rank as i64 - 1);
    let none = || Err(format!("{} before it takes no scale", node.op));
    if (node.is("LayerNormalization") || node.is("RMSNormalization")) && last && v.output == 0 {
        let (Some(scale), bias) = (vector(1), vector(2)) else { return none() };
        if node.input(2).is_some() && bias.is_none() {
            return none();
        }
        parts.push(scale);
        parts.extend(bias);
        return Ok(());
    }
    if node.is("Add") || node.is("Mul") {
        let (part, other) = match (vector(0), vector(1)) {
            (Some(p), _) => (p, node.input(1)),
            (_, Some(p)) => (p, node.input(0)),
            _ => return none(),
        };
        parts.push(part);
        return match other {
            Some(x) if node.is("Add") => before(graph, layers, x, &alone, size, parts),
            _ => Ok(()),
        };
    }
    if let (true, Some(x)) = (node.is("Relu"), node.input(0)) {
        return before(graph, layers, x, &alone, size, parts);
    }
    if node.is("MatMul") || node.is("Gemm") {
        let turned = node.attrs.int("transB").unwrap_or(0) == 1;
        let fits = node.input(1).is_some_and(|w| graph.use_count(w) == 1)
            && constant(1).is_some_and(|t| t.rank() == 2 && t.sizes()[usize::from(!turned)] == size && t.dtype().is_float());
        let scaled = node.attrs.float("beta").unwrap_or(1.0) != 1.0;
        if !fits || scaled || (node.is("Gemm") && node.input(2).is_some() && vector(2).is_none()) {
            return none();
        }
        parts.push(Part::Outputs(id));
        parts.extend(if node.is("Gemm") { vector(2) } else { None });
        return Ok(());
    }
    // The values of attention: heads beside each other, apart for the product with the weights, and beside each other again.
    let apart = |v: ValueId| -> Option<ValueId> {
        let n = graph.producer(v);
        (n.is("Transpose") && graph.use_count(v) == 1 && permutation(n, 4)? == [0, 2, 1, 3]).then(|| n.input(0))?
    };
    let values = || -> Option<ValueId> {
        let joined = apart(node.input(0).filter(|_| node.is("Reshape"))?)?;
        let product = graph.producer(joined);
        let heads = product.input(1).filter(|h| product.is("MatMul") && graph.use_count(joined) == 1 && graph.use_count(*h) == 1)?;
        let dims = graph.ty(heads).dims()?;
        let whole = dims.len() == 4 && dims[1].as_const()?.checked_mul(dims[3].as_const()?)? == size as i64;
        let split = apart(heads).filter(|s| whole && graph.producer(*s).is("Reshape") && graph.use_count(*s) == 1)?;
        let x = graph.producer(split).input(0)?;
        (graph.ty(x).dims()?.last()?.as_const()? == size as i64).then_some(x)
    };
    match values() {
        Some(x) => {
            let reader: BTreeSet<NodeId> = graph.uses(x).into_iter().map(|(n, _)| n).take(2).collect();
            if reader.len() != 1 {
                return Err("others read the values of attention too".into());
            }
            before(graph, layers, x, &reader, size, parts)
        }
        None => none(),
    }
}

/// Divides a constant, channel by channel.
fn divide(graph: &mut Graph, layers: &mut [Layer], part: Part, scales: &[f64]) -> Result<()> {
    let (node, slot) = match part {
        Part::Vector(node, slot) => (node, slot),
        Part::Outputs(node) => (node, 1),
    };
    let Some(old) = graph.node(node).input(slot) else { return Ok(()) };
    if let (Part::Outputs(_), Some(layer)) = (part, layers.iter_mut().find(|l| l.weight == old)) {
        let w = layer.matrix(graph);
        let divided = Mat::from_fn(w.nrows(), w.ncols(), |r, c| w[(r, c)] / scales[r]);
        return layer.replace(graph, NAME, divided.as_ref());
    }
    let Some(t) = graph.as_constant(old).cloned() else { return Ok(()) };
    let values = t.to_f64().unwrap_or_default();
    let turned = graph.node(node).attrs.int("transB").unwrap_or(0) == 1;
    let n = scales.len();
    let tensor = match part {
        Part::Outputs(_) => {
            let inner = values.len() / n.max(1);
            let divided: Vec<f64> = values.iter().enumerate().map(|(i, v)| v / scales[if turned { i / inner } else { i % n }]).collect();
            Tensor::from_f64(t.dtype(), t.sizes(), &divided)?
        }
        Part::Vector(..) => {
            // One element for all becomes one for each.
            let mut sizes = t.sizes().to_vec();
            match sizes.last_mut() {
                Some(last) => *last = n,
                None => sizes.push(n),
            }
            let divided: Vec<f64> = scales.iter().enumerate().map(|(i, s)| values[i % values.len()] / s).collect();
            Tensor::from_f64(t.dtype(), &sizes, &divided)?
        }
    };
    let name = graph.value(old).name.clone();
    let fresh = graph.fresh_name(&name);
    let new = graph.add_const(fresh.clone(), tensor);
    graph.node_mut(new.node).origin = origin(NAME, [name.clone()]);
    graph.set_input(node, slot, Some(new));
    if graph.use_count(old) == 0 {
        graph.value_mut(old).name = fresh;
        graph.value_mut(new).name = name;
        graph.detach_if_dead(old.node);
    }
    Ok(())
}

/// Whether what the node makes is multiplied by another activation before anything mixes its elements, and the product goes to a Softmax.
fn meets_another(graph: &Graph, node: NodeId) -> bool {
    const ALONG: &[&str] = &["Add", "Mul", "Div", "Reshape", "Transpose", "Split", "Slice", "Squeeze", "Unsqueeze", "Where"];
    let along = |id: NodeId| ALONG.iter().any(|o| graph.node(id).is(o));
    let mut open: Vec<(NodeId, bool)> = vec![(node, false)];
    let mut done = BTreeSet::new();
    while let Some((id, met)) = open.pop() {
        for output in 0..graph.node(id).outputs().len() {
            for (user, slot) in graph.uses(id.out(output)) {
                if !done.insert((user, met)) || done.len() > 1000 {
                    continue;
                }
                let n = graph.node(user);
                if n.is("Attention") && n.op.domain.is_empty() && slot < 2 || n.is("Softmax") && met {
                    return true;
                }
                let product = n.is("MatMul") && [0, 1].iter().all(|s| n.input(*s).is_some_and(|v| graph.as_constant(v).is_none()));
                // Before the product, an Add of another activation is a residual: what follows is another layer's matter.
                let mixes = n.is("Add") && !met && n.inputs().iter().flatten().all(|v| graph.as_constant(*v).is_none());
                if product && !met {
                    open.push((user, true));
                } else if along(user) && !mixes {
                    open.push((user, met));
                }
            }
        }
    }
    false
}

/// Clips each block's weights where that lessens the error of what the block adds to the output.
/// `rows` share a group's inputs.
pub fn clip(rows: usize, w: &mut Mat<f64>, grams: &[Mat<f64>], grid: &Grid) {
    let width = grid.width(w.ncols());
    for r in 0..w.nrows() {
        let Some(gram) = grams.get(r / rows.max(1)) else { continue };
        for start in (0..w.ncols()).step_by(width) {
            let size = width.min(w.ncols() - start);
            let values: Vec<f64> = (0..size).map(|c| w[(r, start + c)]).collect();
            let largest = values.iter().fold(0f64, |a, v| a.max(v.abs()));
            let mut best = (f64::INFINITY, largest);
            for step in 0..SHRINKS {
                let bound = largest * (1.0 - step as f64 / (2 * SHRINKS) as f64);
                let clipped: Vec<f32> = values.iter().map(|v| v.clamp(-bound, bound) as f32).collect();
                let p = grid.fit(&clipped);
                let d: Vec<f64> = values.iter().zip(&clipped).map(|(v, c)| v - f64::from(grid.real(grid.code(*c, p), p))).collect();
                let error: f64 = (0..size).map(|a| d[a] * (0..size).map(|b| gram[(start + a, start + b)] * d[b]).sum::<f64>()).sum();
                if error < best.0 {
                    best = (error, bound);
                }
            }
            for c in start..start + size {
                w[(r, c)] = w[(r, c)].clamp(-best.1, best.1);
            }
        }
    }
}
