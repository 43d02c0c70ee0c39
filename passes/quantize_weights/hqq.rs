//! HQQ: scales are those of the range; zero points, as real numbers, move to where the error is small in all but a few weights.
//!
//! Computed in f32, as the authors' package does.

use crate::common::codes::{Codes, Grid, narrow};
use faer::Mat;

const ROUNDS: usize = 20;
/// The norm of the error, below 1: outliers count little.
const NORM: f32 = 0.7;
const BETA: f32 = 10.0;

/// `whole`: zero points become codes in the end.
pub fn quantize(w: &Mat<f64>, grid: &Grid, whole: bool) -> Codes {
    let mut out = Codes::empty(*grid, w.nrows(), w.ncols());
    let (width, top) = (grid.width(w.ncols()), grid.top());
    let values: Vec<f32> = (0..w.nrows()).flat_map(|r| (0..w.ncols()).map(move |c| (r, c))).map(|at| w[at] as f32).collect();
    let parts: Vec<&[f32]> = values.chunks(w.ncols().max(1)).flat_map(|row| row.chunks(width)).collect();
    // Inverse scales and zero points.
    let mut p: Vec<(f32, f32)> = parts
        .iter()
        .map(|part| {
            let (low, high) = part.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
            let range = high - low;
            let inverse = if range.abs() <= 1e-4 { 1.0 } else { (top / range).min(2e4) };
            (inverse, -low * inverse)
        })
        .collect();
    let code = |v: f32, (inverse, zero): (f32, f32)| (v * inverse + zero).round_ties_even().clamp(0.0, top);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut error = 0.0;
        for (part, p) in parts.iter().zip(&mut p) {
            let mut zero = 0.0;
            for v in *part {
                let q = code(*v, *p);
                let rest = v - (q - p.1) / p.0;
                error += f64::from(rest.abs());
                zero += f64::from(q - (v - shrunk(rest)) * p.0);
            }
            p.1 = (zero / part.len() as f64) as f32;
        }
        if error >= best {
            break;
        }
        best = error;
    }
    // As they are stored, before codes are chosen.
    p.iter_mut().for_each(|p| *p = (1.0 / narrow(grid.dtype, 1.0 / p.0), narrow(grid.dtype, p.1)));
    if whole {
        p.iter_mut().for_each(|p| p.1 = p.1.round_ties_even().clamp(0.0, top));
    }
    out.codes = parts.iter().zip(&p).flat_map(|(part, p)| part.iter().map(|v| code(*v, *p) as u8)).collect();
    out.scales = p.iter().map(|p| narrow(grid.dtype, 1.0 / p.0)).collect();
    out.zeros = p.iter().map(|p| p.1).collect();
    out
}

/// The proximal operator of the norm.
fn shrunk(v: f32) -> f32 {
    let size = v.abs();
    // At 0 the power is infinite, and the difference negative.
    (size - size.powf(NORM - 1.0) / BETA).max(0.0) * if v == 0.0 { 0.0 } else { v.signum() }
}
