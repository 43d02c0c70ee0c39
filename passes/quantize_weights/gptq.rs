//! GPTQ: columns are rounded one after the other, and what rounding did is spread over the columns behind, as far as the inputs'
//! correlations allow.

use crate::common::activations::Inputs;
use crate::common::codes::{Codes, Grid, Unit};
use crate::common::layers::Layer;
use crate::common::linalg::{damped, inverse_factor};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use lapidary_ir::{Diagnostic, Result};

/// Columns between updates of all columns behind.
const BLOCK: usize = 128;
/// What is added to the diagonal, in parts of its mean.
const DAMP: f64 = 0.01;

/// How the sweep goes.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// Columns with the largest inputs first; scales are then those of the weights as they came.
    pub act_order: bool,
    /// Scales of the weights as they came, not of what the sweep has made of them when it arrives.
    pub static_groups: bool,
}

pub fn quantize(layer: &Layer, w: &Mat<f64>, seen: &Inputs, grid: &Grid, sweep: Sweep) -> Result<Codes> {
    let rows = layer.rows / layer.groups().max(1);
    let mut out = Codes::empty(*grid, layer.rows, layer.columns);
    // Scales as the weights came; those of blocks are chosen anew when the sweep arrives there.
    let first = grid.round(w);
    (out.scales, out.zeros) = (first.scales, first.zeros);
    for (g, gram) in seen.gram.iter().enumerate() {
        let order: Vec<usize> = {
            let mut order: Vec<usize> = (0..layer.columns).collect();
            if sweep.act_order {
                order.sort_by(|a, b| gram[(*b, *b)].total_cmp(&gram[(*a, *a)]));
            }
            order
        };
        let h = damped(gram.as_ref(), DAMP);
        let turned = Mat::from_fn(h.nrows(), h.ncols(), |i, j| h[(order[i], order[j])]);
        let factor = inverse_factor(turned.as_ref()).ok_or_else(|| {
            let text = format!("the inputs of '{}' on the calibration data give no positive matrix", layer.name);
            Diagnostic::error("degenerate-inputs", text).help("calibrate on more samples, or leave this node out with on(…)")
        })?;
        // A column that never had an input may have any weight: 0 disturbs its block least.
        let mut part = Mat::from_fn(rows, layer.columns, |r, c| if gram[(order[c], order[c])] == 0.0 { 0.0 } else { w[(g * rows + r, order[c])] });
        let moving = grid.unit != Unit::Matrix && matches!(grid.unit, Unit::Block(_)) && !sweep.act_order && !sweep.static_groups;
        run(&mut out, &mut part, &factor, g * rows, &order, moving);
    }
    Ok(out)
}

fn run(out: &mut Codes, w: &mut Mat<f64>, factor: &Mat<f64>, first_row: usize, order: &[usize], moving: bool) {
    let (rows, columns, grid) = (w.nrows(), w.ncols(), out.grid);
    let width = grid.width(columns);
    // Whole blocks of scales between updates, so that a block is up to date when its scales are chosen.
    let step = if moving { (BLOCK / width).max(1) * width } else { BLOCK };
    for start in (0..columns).step_by(step) {
        let end = (start + step).min(columns);
        let mut errors = Mat::<f64>::zeros(rows, end - start);
        for c in start..end {
            if moving && c % width == 0 {
                let last = (c + width).min(columns);
                for r in 0..rows {
                    let values: Vec<f32> = (c..last).map(|c| w[(r, c)] as f32).collect();
                    let at = out.place(first_row + r, c);
                    (out.scales[at], out.zeros[at]) = grid.fit(&values);
                }
            }
            for r in 0..rows {
                let p = out.parameters(first_row + r, order[c]);
                let code = grid.code(w[(r, c)] as f32, p);
                out.codes[(first_row + r) * columns + order[c]] = code;
                errors[(r, c - start)] = (w[(r, c)] - f64::from(grid.real(code, p))) / factor[(c, c)];
            }
            for behind in c + 1..end {
                let by = factor[(c, behind)];
                for r in 0..rows {
                    w[(r, behind)] -= errors[(r, c - start)] * by;
                }
            }
        }
        if end < columns {
            let spread = factor.as_ref().submatrix(start, end, end - start, columns - end);
            matmul(w.as_mut().subcols_mut(end, columns - end), Accum::Add, errors.as_ref(), spread, -1.0, Par::Seq);
        }
    }
}
