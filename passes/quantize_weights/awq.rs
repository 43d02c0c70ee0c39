//! AWQ: weights whose inputs are large are made larger before rounding, and the inputs smaller by as much, in the layer before.

use super::NAME;
use crate::common::activations::{Inputs, observe};
use crate::common::codes::Grid;
use crate::common::layers::{Form, Layer};
use crate::common::scaling::joints;
use faer::{Mat, MatRef};
use lapidary_ir::{Graph, NodeId, Result};
use lapidary_rewrite::PassCtx;
use std::collections::BTreeSet;

/// Exponents tried, from 0 to below 1.
const EXPONENTS: usize = 20;
/// Shrunk ranges tried, in steps of a twentieth, down to above a half.
const SHRINKS: usize = 10;

/// Scales the layers where what comes before them can take the scale, clips their ranges, and gives the matrices to be rounded.
pub fn prepare(graph: &mut Graph, ctx: &mut PassCtx<'_>, layers: &mut [Layer], grids: &[Grid]) -> Result<Vec<Mat<f64>>> {
    let mut seen = observe(graph, ctx, NAME, &layers.iter().collect::<Vec<_>>(), true)?;
    for joint in joints(graph, ctx, NAME, layers) {
        let first = &layers[joint.members[0]];
        if matches!(first.form, Form::Conv { .. }) {
            ctx.miss(NAME, graph, first.readers[0].0, "its inputs are not scaled: it is a convolution");
            continue;
        }
        let weights: Vec<Mat<f64>> = joint.members.iter().map(|i| layers[*i].matrix(graph)).collect();
        let theirs: Vec<Grid> = joint.members.iter().map(|i| grids[*i]).collect();
        let Some(scales) = search(&weights, &theirs, &seen[joint.members[0]]) else { continue };
        joint.scale(graph, NAME, layers, &scales)?;
        for i in &joint.members {
            for gram in &mut seen[*i].gram {
                *gram = Mat::from_fn(gram.nrows(), gram.ncols(), |a, b| gram[(a, b)] / (scales[a] * scales[b]));
            }
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
