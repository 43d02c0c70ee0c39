//! Number formats other than integers: NF4, GOBO's centroids, MXFP4, NVFP4.

use super::book::{Book, OF_SCALES, Scales};
use crate::common::codes::narrow;
use faer::Mat;
use lapidary_ir::{DType, Result, Tensor};
use lapidary_ops::NF4;

/// What the codes of E2M1 stand for.
const E2M1: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

fn flat(w: &Mat<f64>) -> Vec<f32> {
    (0..w.nrows()).flat_map(|r| (0..w.ncols()).map(move |c| (r, c))).map(|at| w[at] as f32).collect()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0f32, |a, v| a.max(v.abs()))
}

/// The number of the table nearest to `v`; of two, the lower. The table is sorted.
fn nearest(table: &[f32], v: f32) -> u8 {
    table.windows(2).take_while(|w| (w[0] + w[1]) / 2.0 < v).count() as u8
}

/// NF4 as bitsandbytes makes it: blocks run on from row to row.
pub fn nf4(w: &Mat<f64>, block: usize, double: bool, dtype: DType) -> Book {
    let values = flat(w);
    let mut scales = vec![];
    let mut codes = vec![];
    for part in values.chunks(block) {
        let scale = largest(part);
        scales.push(scale);
        // A block that is not full is divided, as bitsandbytes does; the others are multiplied.
        let inverse = 1.0 / scale.max(1e-38);
        let unit = |v: f32| if part.len() == block { v * inverse } else { v / scale.max(1e-38) };
        codes.extend(part.iter().map(|v| nearest(&NF4, unit(*v).clamp(-1.0, 1.0))));
    }
    let scales = if double { doubled(&scales) } else { Scales::Plain(scales.into_iter().map(|s| narrow(dtype, s)).collect()) };
    Book { rows: w.nrows(), columns: w.ncols(), block, flat: true, table: NF4.to_vec(), codes, scales, outliers: vec![], dtype }
}

/// The table of bitsandbytes' dynamic 8-bit type: an exponent of as many bits as it needs, a fraction in the rest. Source: Dettmers, "8-bit
/// approximations for parallelism in deep learning" (2015).
fn dynamic_table() -> Vec<f32> {
    let mut out = vec![0.0, 1.0];
    for exponent in 0..7i32 {
        let items = 1usize << exponent;
        // Ends of as many equal parts of [0.1, 1], the upper half counted from above.
        let step = (1.0f32 - 0.1) / items as f32;
        let end = |i: usize| if i < items.div_ceil(2) { step.mul_add(i as f32, 0.1) } else { (-step).mul_add((items - i) as f32, 1.0) };
        let factor = 10f64.powi(exponent - 6) as f32;
        for i in 0..items {
            let mean = factor * ((end(i) + end(i + 1)) / 2.0);
            out.extend([mean, -mean]);
        }
    }
    out.sort_by(f32::total_cmp);
    out
}

/// Scales less their mean, as codes of the dynamic type.
fn doubled(scales: &[f32]) -> Scales {
    let offset = (scales.iter().map(|s| f64::from(*s)).sum::<f64>() / scales.len().max(1) as f64) as f32;
    let table = dynamic_table();
    let rest: Vec<f32> = scales.iter().map(|s| s - offset).collect();
    let (mut codes, mut most) = (vec![], vec![]);
    for part in rest.chunks(OF_SCALES) {
        let top = largest(part);
        most.push(top);
        codes.extend(part.iter().map(|v| nearest(&table, (v * (1.0 / top.max(1e-38))).clamp(-1.0, 1.0))));
    }
    Scales::Double { codes, table, largest: most, offset }
}

/// GOBO: outliers are kept, the rest goes to centroids that begin with bins of equal population and move until the sum of distances
/// stops falling.
pub fn gobo(w: &Mat<f64>, bits: u32, dtype: DType) -> Book {
    /// Below this logarithm of a normal distribution's density, a weight is an outlier.
    const DENSITY: f64 = -4.0;
    /// Moves of the centroids; they rest after a few.
    const MOVES: usize = 100;
    let values = flat(w);
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n).sqrt().max(f64::MIN_POSITIVE);
    let density = |v: f32| -(deviation * std::f64::consts::TAU.sqrt()).ln() - ((f64::from(v) - mean) / deviation).powi(2) / 2.0;
    let outliers: Vec<(usize, f32)> = values.iter().copied().enumerate().filter(|(_, v)| density(*v) < DENSITY).collect();
    let mut rest: Vec<f32> = values.iter().copied().filter(|v| density(*v) >= DENSITY).collect();
    rest.sort_by(f32::total_cmp);
    let count = (1usize << bits).min(rest.len().max(1));
    let average = |part: &[f32]| (part.iter().map(|v| f64::from(*v)).sum::<f64>() / part.len().max(1) as f64) as f32;
    let bins = |i: usize| i * rest.len() / count;
    let mut table: Vec<f32> = (0..count).map(|i| average(&rest[bins(i)..bins(i + 1)])).collect();
    let mut best = f64::INFINITY;
    for _ in 0..MOVES {
        // Sorted values fall to sorted centroids in runs.
        let ends: Vec<usize> = table.windows(2).map(|t| rest.partition_point(|v| *v <= (t[0] + t[1]) / 2.0)).collect();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let runs: Vec<(usize, usize)> = starts.zip(ends.iter().copied().chain([rest.len()])).collect();
        let distance: f64 = runs.iter().zip(&table).map(|((a, b), t)| rest[*a..*b].iter().map(|v| f64::from((v - t).abs())).sum::<f64>()).sum();
        if distance >= best {
            break;
        }
        best = distance;
        for ((a, b), t) in runs.into_iter().zip(&mut table) {
            if a < b {
                *t = average(&rest[a..b]);
            }
        }
    }
    table.iter_mut().for_each(|t| *t = narrow(dtype, *t));
    let codes = values.iter().map(|v| nearest(&table, *v)).collect();
    Book { rows: w.nrows(), columns: w.ncols(), block: w.ncols().max(1), flat: false, table, codes, scales: Scales::None, outliers, dtype }
}

/// MXFP4: a power of two for each block, such that its largest element is below 8, of which numbers above 6 saturate.
pub fn mxfp4(w: &Mat<f64>, block: usize, dtype: DType) -> Result<Book> {
    let mut exponents = vec![];
    let mut codes = vec![];
    for row in flat(w).chunks(w.ncols().max(1)) {
        for part in row.chunks(block) {
            let top = f64::from(largest(part));
            let exponent = if top > 0.0 { (top.log2().floor() - 2.0).clamp(-126.0, 125.0) } else { -126.0 };
            exponents.push(exponent as i8);
            codes.extend(e2m1(part, exponent.exp2())?);
        }
    }
    Ok(small_floats(w, block, codes, Scales::Powers(exponents), dtype))
}

/// NVFP4: a scale of the type E4M3 for each block, and one for the matrix.
pub fn nvfp4(w: &Mat<f64>, block: usize, dtype: DType) -> Result<Book> {
    let values = flat(w);
    let whole = largest(&values) / (448.0 * 6.0);
    let whole = if whole > f32::MIN_POSITIVE { whole } else { 1.0 };
    let parts: Vec<&[f32]> = values.chunks(w.ncols().max(1)).flat_map(|row| row.chunks(block)).collect();
    let wanted: Vec<f64> = parts.iter().map(|p| f64::from(largest(p)) / 6.0 / f64::from(whole)).collect();
    let stored = Tensor::from_f64(DType::F8E4M3FN, &[wanted.len()], &wanted)?.to_f64().unwrap_or_default();
    let mut codes = vec![];
    for (part, s) in parts.iter().zip(&stored) {
        codes.extend(e2m1(part, s * f64::from(whole))?);
    }
    let scales = stored.into_iter().map(|s| s as f32).collect();
    Ok(small_floats(w, block, codes, Scales::Small(scales, whole), dtype))
}

fn small_floats(w: &Mat<f64>, block: usize, codes: Vec<u8>, scales: Scales, dtype: DType) -> Book {
    Book { rows: w.nrows(), columns: w.ncols(), block, flat: false, table: E2M1.to_vec(), codes, scales, outliers: vec![], dtype }
}

/// The nearest codes of E2M1 of the quotients; 0 where the scale is.
fn e2m1(values: &[f32], scale: f64) -> Result<Vec<u8>> {
    let quotients: Vec<f64> = values.iter().map(|v| if scale == 0.0 { 0.0 } else { f64::from(*v) / scale }).collect();
    Ok(Tensor::from_f64(DType::F4E2M1, &[values.len()], &quotients)?.unpack().unwrap_or_default())
}
