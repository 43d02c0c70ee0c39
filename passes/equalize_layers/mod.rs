//! equalize-layers: make the channels between two layers equally large, so that one scale per tensor suits all.
//!
//! Where a layer's outputs go through nothing but Relu or pooling into the next, a channel can be made smaller in one and larger in the
//! other: `s = √(r₁ / r₂)`, with the largest weight of the channel on either side, makes both equally large. Repeated over all pairs until
//! they settle. Source: Nagel et al., "Data-free quantization through weight equalization and bias correction" (2019). Needs no data; helps
//! `fake-quant{granularity=tensor}`, and convolutions per channel little.
//!
//! The scales are rounded to powers of two: then no bit of any result changes.

use crate::common::layers::{self, Layer, Scope};
use crate::common::nothing_done;
use crate::common::scaling::{Joint, joints, power_of_two};
use lapidary_ir::{Graph, Result};
use lapidary_rewrite::{Effect, Outcome, Pass, PassCtx, Run};
use std::collections::BTreeSet;

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Exact, options: &[], rules: &[], run: Run::Code(run) };

const NAME: &str = "equalize-layers";

/// Rounds over all pairs; scales settle within a few.
const ROUNDS: usize = 20;

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut found = layers::find(graph, ctx, NAME, Scope { head: true, embeddings: false });
    let joints = joints(graph, ctx, NAME, &found);
    let mut touched = BTreeSet::new();
    for _ in 0..ROUNDS {
        let mut changed = false;
        for (number, joint) in joints.iter().enumerate() {
            let Some(scales) = scales(graph, &found, joint) else { continue };
            if scales.iter().any(|s| *s != 1.0) {
                joint.scale(graph, NAME, &mut found, &scales)?;
                touched.insert(number);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let mut out = Outcome::default();
    out.touch("pairs", touched.len());
    if joints.is_empty() {
        nothing_done(ctx, NAME)?;
    }
    Ok(out)
}

/// What makes the two sides equally large; `None` where no layer comes before.
fn scales(graph: &Graph, found: &[Layer], joint: &Joint) -> Option<Vec<f64>> {
    let before = joint.before(graph, found)?;
    let (mut r1, mut r2) = (vec![0f64; joint.channels], vec![0f64; joint.channels]);
    let m = before.matrix(graph);
    for (r, largest) in r1.iter_mut().enumerate() {
        *largest = (0..m.ncols()).fold(0.0, |a, c| a.max(m[(r, c)].abs()));
    }
    for layer in joint.members.iter().map(|i| &found[*i]) {
        let m = layer.matrix(graph);
        for r in 0..m.nrows() {
            for c in 0..m.ncols() {
                let at = layer.channel(r, c, joint.channels);
                r2[at] = r2[at].max(m[(r, c)].abs());
            }
        }
    }
    Some(r1.iter().zip(&r2).map(|(a, b)| power_of_two((a / b).sqrt())).collect())
}
