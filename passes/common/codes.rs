//! Matrices as codes: `w = (code − zero) · scale`, with one scale and zero point for a block of columns of a row, a row, or the whole.
//!
//! Codes are unsigned, from 0 to `2^bits − 1`; a symmetric grid has its zero point in the middle. Blocks follow ONNX Runtime's block
//! quantizer (the scale of a symmetric block takes the extreme with its sign to `−2^(bits − 1)`, rounding away from zero); rows and whole
//! matrices follow ONNX's QuantizeLinear (symmetric codes are within `±(2^(bits − 1) − 1)`, halves round to even).

use faer::Mat;
use half::{bf16, f16};
use lapidary_ir::DType;

/// What shares a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Matrix,
    Row,
    /// So many neighbouring columns of a row; the last block may be shorter.
    Block(usize),
}

/// The codes that a method may choose from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// 2 to 8.
    pub bits: u32,
    pub symmetric: bool,
    pub unit: Unit,
    /// Whether ranges shrink to where the error is least.
    pub clip: bool,
    /// The type that scales are stored in.
    pub dtype: DType,
}

/// A matrix as codes.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    pub grid: Grid,
    pub rows: usize,
    pub columns: usize,
    /// Row-major.
    pub codes: Vec<u8>,
    /// One per block, row-major; one per row; or one.
    pub scales: Vec<f32>,
    /// As `scales`. Whole numbers that are codes, but for methods that fit them freely.
    pub zeros: Vec<f32>,
}

/// A number as a tensor of this type keeps it.
pub fn narrow(dtype: DType, v: f32) -> f32 {
    match dtype {
        DType::F16 => f16::from_f32(v).to_f32(),
        DType::BF16 => bf16::from_f32(v).to_f32(),
        _ => v,
    }
}

impl Grid {
    pub fn top(&self) -> f32 {
        ((1u32 << self.bits) - 1) as f32
    }
    /// The zero point of a symmetric grid.
    pub fn middle(&self) -> f32 {
        (1u32 << (self.bits - 1)) as f32
    }
    /// Columns that share a scale, of a matrix with so many.
    pub fn width(&self, columns: usize) -> usize {
        if let Unit::Block(n) = self.unit { n.min(columns).max(1) } else { columns.max(1) }
    }
    fn blocks(&self) -> bool {
        matches!(self.unit, Unit::Block(_))
    }
    /// The scale and zero point for these values.
    pub fn fit(&self, values: &[f32]) -> (f32, f32) {
        let (low, high) = values.iter().fold((0f32, 0f32), |(l, h), v| (l.min(*v), h.max(*v)));
        let best = self.of_range(low, high);
        if !self.clip {
            return best;
        }
        // The published search: ranges down to a fifth, in steps of a hundredth, by the error to the power 2.4. Source: the GPTQ authors'
        // quantizer.
        let error = |p: (f32, f32)| values.iter().map(|v| f64::from((self.real(self.code(*v, p), p) - v).abs()).powf(2.4)).sum::<f64>();
        let shrunk = (0..80).map(|i| 1.0 - i as f32 / 100.0).map(|p| self.of_range(low * p, high * p));
        shrunk
            .fold((best, f64::INFINITY), |(b, e), p| {
                let here = error(p);
                if here < e { (p, here) } else { (b, e) }
            })
            .0
    }
    fn of_range(&self, low: f32, high: f32) -> (f32, f32) {
        let top = self.top();
        if self.blocks() {
            if self.symmetric {
                let extreme = if high.abs() > low.abs() { high } else { low };
                return (narrow(self.dtype, extreme / -self.middle()), self.middle());
            }
            let scale = (high - low) / top;
            let zero = if scale == 0.0 { low } else { 0.0 - low / scale };
            return (narrow(self.dtype, scale), zero.round().clamp(0.0, top));
        }
        let (low, high) = (f64::from(low), f64::from(high));
        let (scale, zero) = if self.symmetric {
            let largest = high.max(-low);
            (largest / f64::from(self.middle() - 1.0), f64::from(self.middle()))
        } else {
            let scale = (high - low) / f64::from(top);
            (scale, (-low / scale).round_ties_even().clamp(0.0, f64::from(top)))
        };
        let narrowed = narrow(self.dtype, scale as f32);
        if narrowed < f32::MIN_POSITIVE || !narrowed.is_finite() {
            (1.0, if self.symmetric { self.middle() } else { 0.0 })
        } else {
            (narrowed, zero as f32)
        }
    }
    /// The nearest code.
    pub fn code(&self, v: f32, (scale, zero): (f32, f32)) -> u8 {
        if self.blocks() {
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            return (v * inverse + zero).round().clamp(0.0, self.top()) as u8;
        }
        // The code that would make the signed range unequal stays unused.
        let least = if self.symmetric { 1.0 } else { 0.0 };
        ((v / scale).round_ties_even() + zero).clamp(least, self.top()) as u8
    }
    pub fn real(&self, code: u8, (scale, zero): (f32, f32)) -> f32 {
        (f32::from(code) - zero) * scale
    }
    /// Every element to its nearest code.
    pub fn round(&self, w: &Mat<f64>) -> Codes {
        let mut out = Codes::empty(*self, w.nrows(), w.ncols());
        let width = self.width(w.ncols());
        let row = |r: usize| (0..w.ncols()).map(|c| w[(r, c)] as f32).collect::<Vec<f32>>();
        if self.unit == Unit::Matrix {
            let all: Vec<f32> = (0..w.nrows()).flat_map(row).collect();
            let p = self.fit(&all);
            out.codes = all.iter().map(|v| self.code(*v, p)).collect();
            (out.scales, out.zeros) = (vec![p.0], vec![p.1]);
            return out;
        }
        out.codes.clear();
        for r in 0..w.nrows() {
            for part in row(r).chunks(width) {
                let p = self.fit(part);
                out.scales.push(p.0);
                out.zeros.push(p.1);
                out.codes.extend(part.iter().map(|v| self.code(*v, p)));
            }
        }
        out
    }
}

impl Codes {
    /// All codes 0, without scales yet.
    pub fn empty(grid: Grid, rows: usize, columns: usize) -> Codes {
        Codes { grid, rows, columns, codes: vec![0; rows * columns], scales: vec![], zeros: vec![] }
    }
    /// Scales in a row of the matrix.
    pub fn per_row(&self) -> usize {
        self.columns.div_ceil(self.grid.width(self.columns))
    }
    /// Where the scale of an element stands.
    pub fn place(&self, row: usize, column: usize) -> usize {
        if self.grid.unit == Unit::Matrix { 0 } else { row * self.per_row() + column / self.grid.width(self.columns) }
    }
    pub fn parameters(&self, row: usize, column: usize) -> (f32, f32) {
        let at = self.place(row, column);
        (self.scales[at], self.zeros[at])
    }
    /// What the codes stand for.
    pub fn matrix(&self) -> Mat<f64> {
        Mat::from_fn(self.rows, self.columns, |r, c| f64::from(self.grid.real(self.codes[r * self.columns + c], self.parameters(r, c))))
    }
    /// Whether every zero point is a code.
    pub fn whole_zeros(&self) -> bool {
        self.zeros.iter().all(|z| z.fract() == 0.0 && (0.0..=self.grid.top()).contains(z))
    }
    /// Whether every zero point is the grid's middle.
    pub fn centred(&self) -> bool {
        self.zeros.iter().all(|z| *z == self.grid.middle())
    }
}

/// Bytes of codes and what belongs to them: `n` elements of `bits` bits, and `overhead` bytes for every `block` of them.
#[cfg(test)]
fn bytes(n: f64, bits: f64, block: f64, overhead: f64) -> f64 {
    n * bits / 8.0 + if overhead == 0.0 { 0.0 } else { n / block * overhead }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(bits: u32, symmetric: bool, unit: Unit) -> Grid {
        Grid { bits, symmetric, unit, clip: false, dtype: DType::F32 }
    }

    #[test]
    fn the_worked_examples() {
        let w = Mat::from_fn(1, 5, |_, c| [0.5, 20.0, -0.0001, -0.01, -0.1][c]);
        let signed = grid(8, true, Unit::Matrix).round(&w);
        assert_eq!(signed.codes.iter().map(|c| i32::from(*c) - 128).collect::<Vec<_>>(), [3, 127, 0, 0, -1]);
        let whole = grid(8, false, Unit::Matrix).round(&w);
        assert!((whole.scales[0] - 0.0788235).abs() < 1e-7);
        assert_eq!((whole.zeros[0], &whole.codes[..]), (1.0, &[7, 255, 1, 1, 0][..]));
    }

    #[test]
    fn nothing_wraps_around() {
        for values in [[0.0; 4], [f32::MAX, -f32::MAX, 1.0, 0.0], [1e38, 1e38, 1e38, 1e38], [-1e-45, 0.0, 1e-45, 0.0]] {
            for (bits, symmetric, unit) in [(2, true, Unit::Block(4)), (4, false, Unit::Block(4)), (8, true, Unit::Row), (8, false, Unit::Matrix)] {
                let g = grid(bits, symmetric, unit);
                let p = g.fit(&values);
                for v in values {
                    let back = g.real(g.code(v, p), p);
                    assert!(
                        !p.0.is_finite() || (back - v).abs() <= p.0.abs() * 1.01 || !(1e-40..=1e38).contains(&v.abs()),
                        "{v} becomes {back} in {g:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn finer_scales_and_clipping_lose_less() {
        let w = Mat::from_fn(8, 64, |r, c| ((r * 64 + c) as f64 * 12.9898).sin() * 43.7 % 1.0 * (1.0 + r as f64) * (1.0 + (c / 32) as f64));
        let loss = |g: Grid| {
            let d = g.round(&w).matrix() - &w;
            (0..64).flat_map(|c| d.col(c).iter().map(|v| v * v).collect::<Vec<_>>()).sum::<f64>()
        };
        let by = |u| loss(grid(4, false, u));
        assert!(by(Unit::Block(32)) < by(Unit::Row) && by(Unit::Row) < by(Unit::Matrix));
        assert!(loss(Grid { clip: true, ..grid(2, true, Unit::Block(32)) }) < loss(grid(2, true, Unit::Block(32))));
    }

    #[test]
    fn sizes_of_a_large_model() {
        let n = 65e9;
        assert_eq!([32.0, 4.0, 2.0, 1.0].map(|b| bytes(n, b, 64.0, 0.0) / 1e9), [260.0, 32.5, 16.25, 8.125]);
        // NF4 with its scales quantized too.
        let bits = 4.0 + 8.0 / 64.0 + 32.0 / (64.0 * 256.0);
        assert!((bits - 4.127f64).abs() < 5e-4);
    }
}
