//! Tucker-2 of a convolution's kernel, by higher-order orthogonal iteration.

use super::factors::{Factors, Target, part_of};
use crate::common::layers::Layer;
use crate::common::linalg::svd;
use faer::Mat;
use lapidary_ir::Graph;

/// Rounds of the iteration; the error changes in the fourth digit after two or three.
const ROUNDS: usize = 10;

/// The factors of a convolution. `None` when a decomposition fails.
pub fn factors(graph: &Graph, layer: &Layer, target: &Target) -> Option<Factors> {
    let t = graph.as_constant(layer.weight)?;
    let (values, sizes) = (t.to_f64()?, t.sizes().to_vec());
    let (outputs, inputs, kernel) = (sizes[0], sizes[1], sizes[2..].iter().product::<usize>());
    let at = |o: usize, i: usize, k: usize| values[(o * inputs + i) * kernel + k];
    let by_outputs = Mat::from_fn(outputs, inputs * kernel, |o, c| at(o, c / kernel, c % kernel));
    let by_inputs = Mat::from_fn(inputs, outputs * kernel, |i, c| at(c / kernel, i, c % kernel));
    let (mut outer, s, _) = svd(by_outputs.as_ref())?;
    let (mut inner, z, _) = svd(by_inputs.as_ref())?;
    let (r, q) = ranks(target, &s, &z, (outputs, inputs, kernel));
    // One side cannot have more directions than the other side's channels and the window leave.
    let (r, q) = (r.min(q * kernel), q.min(r * kernel));
    (outer, inner) = (outer.subcols(0, r).to_owned(), inner.subcols(0, q).to_owned());
    for _ in 0..ROUNDS {
        // What the other side's channels leave of the kernel decides each side's.
        let seen = Mat::from_fn(outputs, q * kernel, |o, c| (0..inputs).map(|i| inner[(i, c / kernel)] * at(o, i, c % kernel)).sum());
        outer = svd(seen.as_ref())?.0.subcols(0, r).to_owned();
        let seen = Mat::from_fn(inputs, r * kernel, |i, c| (0..outputs).map(|o| outer[(o, c / kernel)] * at(o, i, c % kernel)).sum());
        inner = svd(seen.as_ref())?.0.subcols(0, q).to_owned();
    }
    let half = Mat::from_fn(r, inputs * kernel, |a, c| (0..outputs).map(|o| outer[(o, a)] * by_outputs[(o, c)]).sum::<f64>());
    let mut core = Vec::with_capacity(r * q * kernel);
    for a in 0..r {
        for b in 0..q {
            core.extend((0..kernel).map(|k| (0..inputs).map(|i| inner[(i, b)] * half[(a, i * kernel + k)]).sum::<f64>()));
        }
    }
    Some(Factors::Tucker { outer, core, inner: inner.transpose().to_owned(), kernel: sizes[2..].to_vec() })
}

/// Channels that stay on the output and on the input side.
fn ranks(target: &Target, outputs: &[f64], inputs: &[f64], (o, i, kernel): (usize, usize, usize)) -> (usize, usize) {
    let squares = |s: &[f64]| s.iter().map(|v| v * v).collect::<Vec<f64>>();
    let most = |part: f64| (((outputs.len() as f64 * part) as usize).max(1), ((inputs.len() as f64 * part) as usize).max(1));
    match *target {
        Target::Rank(k) => (k.min(outputs.len()), k.min(inputs.len())),
        Target::Energy(part) => (part_of(&squares(outputs), part), part_of(&squares(inputs), part)),
        Target::Ratio(part) => {
            // The largest equal part of both sides' channels whose factors fit.
            let room = part * (o * i * kernel) as f64;
            let fits = |(r, q): (usize, usize)| (o * r + r * q * kernel + q * i) as f64 <= room;
            (1..=1000).rev().map(|n| most(f64::from(n) / 1000.0)).find(|p| fits(*p)).unwrap_or((1, 1))
        }
    }
}
