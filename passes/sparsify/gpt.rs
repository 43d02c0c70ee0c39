//! SparseGPT's sweep: columns from left to right; what a removed weight did is spread over the columns behind it, as far as the inputs'
//! correlations allow.

use super::mask::Pattern;
use crate::common::activations::Inputs;
use crate::common::layers::Layer;
use crate::common::linalg::{damped, inverse_factor};
use faer::{Mat, MatMut};
use lapidary_ir::{Diagnostic, Result};

/// Columns between choices of a free mask.
const BLOCK: usize = 128;
/// What is added to the diagonal, in parts of its mean.
const DAMP: f64 = 0.01;

pub fn prune(layer: &Layer, w: &mut Mat<f64>, seen: &Inputs, pattern: &Pattern) -> Result<()> {
    let rows = layer.rows / layer.groups();
    for (g, gram) in seen.gram.iter().enumerate() {
        let factor = inverse_factor(damped(gram.as_ref(), DAMP).as_ref()).ok_or_else(|| {
            let text = format!("the inputs of '{}' on the calibration data give no positive matrix", layer.name);
            Diagnostic::error("degenerate-inputs", text).help("calibrate on more samples, or leave this node out with on(…)")
        })?;
        let mut part = w.as_mut().subrows_mut(g * rows, rows);
        for c in (0..layer.columns).filter(|c| gram[(*c, *c)] == 0.0) {
            part.as_mut().col_mut(c).fill(0.0);
        }
        sweep(part, &factor, pattern);
    }
    Ok(())
}

fn sweep(mut w: MatMut<'_, f64>, factor: &Mat<f64>, pattern: &Pattern) {
    let (rows, columns) = (w.nrows(), w.ncols());
    let step = match pattern {
        Pattern::Free(_) => BLOCK,
        // A group of neighbours is chosen when the sweep arrives at it.
        Pattern::Neighbours { of, .. } => *of,
        Pattern::Blocks { columns, .. } => BLOCK.next_multiple_of(*columns),
    };
    for first in (0..columns).step_by(step) {
        let width = step.min(columns - first);
        let mut kept = Mat::from_fn(rows, width, |_, _| 1.0);
        let scores = Mat::from_fn(rows, width, |r, c| (w[(r, first + c)] / factor[(first + c, first + c)]).powi(2));
        pattern.apply(&mut kept, &scores, false);
        for c in first..first + width {
            for r in 0..rows {
                if kept[(r, c - first)] != 0.0 {
                    continue;
                }
                let error = w[(r, c)] / factor[(c, c)];
                for behind in c + 1..columns {
                    w[(r, behind)] -= error * factor[(c, behind)];
                }
                w[(r, c)] = 0.0;
            }
        }
    }
}
