//! The linear maps before and after the products, along one axis: `Bᵀ`, `G` and `Aᵀ`.
//!
//! At stride 2 the outputs are the sum of two convolutions at stride 1: of the even inputs by the first and last tap, and of the odd inputs by
//! the middle one. The first is F(4, 2) or F(2, 2), with points 0, 1, -1, 2 and infinity, or 0, 1 and infinity; the second is products as they
//! are. All maps list what belongs to even inputs first.

use lapidary_ir::{DType, Dim};
use lapidary_kernel::{AxisId, ExprId, Index, KernelBuilder};

/// Taps of the kernel along an axis.
pub const TAPS: i64 = 3;

/// The size of tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    F4,
    F2,
}

/// Winograd's algorithm along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    pub form: Form,
    /// 1 or 2.
    pub stride: i64,
}

impl Transform {
    /// Outputs of a tile.
    pub fn out(self) -> i64 {
        match self.form {
            Form::F4 => 4,
            Form::F2 => 2,
        }
    }
    /// Inputs from one tile to the next.
    pub fn step(self) -> i64 {
        self.out() * self.stride
    }
    /// Inputs of a tile, which are as many as its products.
    pub fn inputs(self) -> i64 {
        self.step() + TAPS - self.stride
    }
    /// Whether the product of that number is one of an odd input at stride 2.
    pub fn is_odd(self, x: usize) -> bool {
        self.stride == 2 && x as i64 > self.out()
    }
    /// Products of a tile: inputs along both axes.
    pub fn positions(self) -> i64 {
        self.inputs() * self.inputs()
    }
    /// Transformed weights along an axis, each a factor of one product or of several.
    fn weights_len(self) -> i64 {
        match self.stride {
            1 => self.inputs(),
            _ => self.out() + 2,
        }
    }
    /// Transformed weights along both axes.
    pub fn weight_positions(self) -> i64 {
        self.weights_len() * self.weights_len()
    }
    /// Which of the transformed weights is a factor of the product at position `x`.
    pub fn weight_of(self, b: &KernelBuilder, x: AxisId) -> Index {
        if self.stride == 1 {
            return x.into();
        }
        // All odd inputs are multiplied by the last weight. Counts the weights after the first that begin at `x` or before.
        let n = Dim::from(self.inputs());
        let begun = |x: &Index, weight: i64| x.add_dim(&(&n - &Dim::from(weight))).floor_div(&n, &|a| b.extent(a));
        let along = |x: Index| (1..self.weights_len()).fold(Index::from(0), |sum, w| sum.add(&begun(&x, w)));
        let (row, column) = (b.floor_div(&x.into(), &n), b.modulo(&x.into(), &n));
        along(row).scale(&Dim::from(self.weights_len())).add(&along(column))
    }
    /// `G g`, of a column of the weights.
    pub fn weights(self, b: &mut KernelBuilder, x: &[ExprId]) -> Vec<ExprId> {
        let sum = b.add(x[0], x[2]);
        match (self.form, self.stride) {
            (Form::F2, 1) => {
                let (ends, middle) = (scaled(b, sum, 0.5), scaled(b, x[1], 0.5));
                vec![x[0], b.add(ends, middle), b.sub(ends, middle), x[2]]
            }
            (Form::F4, 1) => {
                let (sixth, twenty_fourth) = (scaled(b, sum, -1.0 / 6.0), scaled(b, x[0], 1.0 / 24.0));
                let (middle, last) = (scaled(b, x[1], 1.0 / 6.0), scaled(b, x[2], 1.0 / 6.0));
                let ends = b.add(twenty_fourth, last);
                let half = scaled(b, x[1], 1.0 / 12.0);
                vec![scaled(b, x[0], 0.25), b.sub(sixth, middle), b.add(sixth, middle), b.add(ends, half), b.sub(ends, half), x[2]]
            }
            (Form::F2, _) => vec![x[0], sum, x[2], x[1]],
            (Form::F4, _) => {
                let difference = b.sub(x[2], x[0]);
                let twice = scaled(b, x[2], 2.0);
                let at_two = b.add(x[0], twice);
                vec![scaled(b, x[0], 0.5), scaled(b, sum, -0.5), scaled(b, difference, 1.0 / 6.0), scaled(b, at_two, 1.0 / 6.0), x[2], x[1]]
            }
        }
    }
    /// `Bᵀ d`, of a column of the inputs.
    pub fn data(self, b: &mut KernelBuilder, d: &[ExprId]) -> Vec<ExprId> {
        if self.stride == 2 {
            let (even, odd): (Vec<_>, Vec<_>) = d.chunks(2).map(|pair| (pair[0], pair.get(1).copied())).unzip();
            let mut all = self.of_two_taps(b, &even);
            all.extend(odd.into_iter().flatten());
            return all;
        }
        if self.form == Form::F2 {
            return vec![b.sub(d[0], d[2]), b.add(d[1], d[2]), b.sub(d[2], d[1]), b.sub(d[1], d[3])];
        }
        let (two, four) = (2.0, 4.0);
        let (d42, d31) = (less(b, d[4], d[2], four), less(b, d[3], d[1], four));
        let (e42, e31) = (b.sub(d[4], d[2]), b.sub(d[3], d[1]));
        let e31 = scaled(b, e31, two);
        let first = {
            let x = scaled(b, d[0], four);
            let x = less(b, x, d[2], 5.0);
            b.add(x, d[4])
        };
        let last = {
            let x = scaled(b, d[1], four);
            let x = less(b, x, d[3], 5.0);
            b.add(x, d[5])
        };
        vec![first, b.add(d42, d31), b.sub(d42, d31), b.add(e42, e31), b.sub(e42, e31), last]
    }
    /// `Bᵀ d` for two taps at stride 1.
    fn of_two_taps(self, b: &mut KernelBuilder, d: &[ExprId]) -> Vec<ExprId> {
        if self.form == Form::F2 {
            return vec![b.sub(d[0], d[1]), d[1], b.sub(d[2], d[1])];
        }
        let d31 = b.sub(d[3], d[1]);
        let (d02, d42) = (b.sub(d[0], d[2]), b.sub(d[4], d[2]));
        let (sum, difference) = (b.add(d[1], d[2]), b.sub(d[2], d[1]));
        let twice = scaled(b, d02, 2.0);
        vec![b.add(d31, twice), b.sub(d31, sum), less(b, d31, difference, 3.0), d31, less(b, d42, d31, 2.0)]
    }
    /// `Aᵀ m`, of a column of the sums.
    pub fn sums(self, b: &mut KernelBuilder, s: &[ExprId]) -> Vec<ExprId> {
        if self.stride == 2 {
            let (even, odd) = s.split_at(self.out() as usize + 1);
            let even = self.sums_of_two_taps(b, even);
            return even.iter().zip(odd).map(|(x, y)| b.add(*x, *y)).collect();
        }
        let (a, d) = (b.add(s[1], s[2]), b.sub(s[1], s[2]));
        let first = b.add(s[0], a);
        if self.form == Form::F2 {
            return vec![first, b.sub(d, s[3])];
        }
        let (c, e) = (b.add(s[3], s[4]), b.sub(s[3], s[4]));
        let (e2, c4, e8) = (scaled(b, e, 2.0), scaled(b, c, 4.0), scaled(b, e, 8.0));
        let last = b.add(d, e8);
        vec![b.add(first, c), b.add(d, e2), b.add(a, c4), b.add(last, s[5])]
    }
    /// `Aᵀ m` for two taps at stride 1.
    fn sums_of_two_taps(self, b: &mut KernelBuilder, s: &[ExprId]) -> Vec<ExprId> {
        if self.form == Form::F2 {
            return vec![b.add(s[0], s[1]), b.add(s[1], s[2])];
        }
        let (a, d) = (b.add(s[1], s[2]), b.sub(s[1], s[2]));
        let (two, four, eight) = (scaled(b, s[3], 2.0), scaled(b, s[3], 4.0), scaled(b, s[3], 8.0));
        let (first, last) = (b.add(s[0], a), b.add(d, eight));
        vec![b.add(first, s[3]), b.add(d, two), b.add(a, four), b.add(last, s[4])]
    }
}

fn scaled(b: &mut KernelBuilder, x: ExprId, by: f64) -> ExprId {
    let by = b.constant(DType::F32, by);
    b.mul(x, by)
}

/// `x - by * y`
fn less(b: &mut KernelBuilder, x: ExprId, y: ExprId, by: f64) -> ExprId {
    let y = scaled(b, y, by);
    b.sub(x, y)
}
