//! Kernels of sliding windows: where a window reads, for sizes that may be symbolic. The counterpart of [`crate::window`], which serves
//! the evaluator.

use crate::lower::LowerCtx;
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{AxisId, BinaryOp, ExprId, Guard, Index, KernelBuilder};

/// The geometry of a window over spatial axes.
pub struct Slide {
    pub kernel: Vec<i64>,
    pub strides: Vec<i64>,
    pub dilations: Vec<i64>,
    /// Padding before the image, along each axis.
    pub before: Vec<Dim>,
}

/// An attribute with one number per spatial axis, 1 where absent.
pub fn per_axis(c: &LowerCtx<'_>, name: &str, rank: usize) -> Vec<i64> {
    c.node().attrs.ints(name).map_or_else(|| vec![1; rank], <[i64]>::to_vec)
}

impl Slide {
    /// The window that a node's attributes describe, over an image of these dims.
    pub fn of(c: &LowerCtx<'_>, kernel: Vec<i64>, image: &[Dim], out: &[Dim]) -> Result<Slide> {
        let rank = image.len();
        let (strides, dilations) = (per_axis(c, "strides", rank), per_axis(c, "dilations", rank));
        let auto = c.node().attrs.str("auto_pad").unwrap_or("NOTSET");
        let before = (0..rank)
            .map(|a| match auto {
                "SAME_UPPER" | "SAME_LOWER" => {
                    let reach = &(&(&out[a] - &Dim::from(1)) * &Dim::from(strides[a])) + &Dim::from((kernel[a] - 1) * dilations[a] + 1);
                    let total = (&reach - &image[a]).maximum(&Dim::from(0));
                    let half = Dim::from(2);
                    if auto == "SAME_UPPER" { total.floor_div(&half) } else { total.ceil_div(&half) }
                }
                "VALID" => Dim::from(0),
                _ => Dim::from(c.node().attrs.ints("pads").map_or(0, |p| p.get(a).copied().unwrap_or(0))),
            })
            .collect();
        Ok(Slide { kernel, strides, dilations, before })
    }
    /// The kernel's sizes from the attribute, or else from the weight's dims.
    pub fn kernel_of(c: &LowerCtx<'_>, weight: &[Dim]) -> Result<Vec<i64>> {
        if let Some(k) = c.node().attrs.ints("kernel_shape") {
            return Ok(k.to_vec());
        }
        let known: Option<Vec<i64>> = weight.iter().map(Dim::as_const).collect();
        known.ok_or_else(|| c.unsupported("the size of the kernel is only known at run time").into())
    }
    /// One axis for each axis of the kernel.
    pub fn axes(&self, k: &mut KernelBuilder) -> Vec<AxisId> {
        self.kernel.iter().enumerate().map(|(i, n)| k.axis(&format!("k{i}"), Dim::from(*n))).collect()
    }
    /// Where the window at `at` reads for the kernel's position, and within what the positions must lie.
    pub fn reads(&self, at: &[Index], kernel: &[AxisId], image: &[Dim]) -> (Vec<Index>, Guard) {
        let mut index = vec![];
        for (a, i) in at.iter().enumerate() {
            let moved = i.scale(&Dim::from(self.strides[a])).add(&Index::from(kernel[a]).scale(&Dim::from(self.dilations[a])));
            index.push(moved.add_dim(&-&self.before[a]));
        }
        let guard = index.iter().cloned().zip(image.iter().cloned()).collect();
        (index, guard)
    }
    /// How many positions of the window lie within the image (`None`: all of them do, always), as a value of `dtype`. With `padding`
    /// positions in the padding count too, and only what lies beyond it does not.
    pub fn count(&self, k: &mut KernelBuilder, at: &[Index], image: &[Dim], out: &[Dim], padding: Option<&[i64]>, dtype: DType) -> ExprId {
        let mut total = k.int(DType::I64, 1);
        for a in 0..at.len() {
            let after = padding.map_or(0, |p| p[a]);
            let (low, high) = match padding {
                Some(_) => (-&self.before[a], &image[a] + &Dim::from(after)),
                None => (Dim::from(0), image[a].clone()),
            };
            let start = at[a].scale(&Dim::from(self.strides[a])).add_dim(&-&self.before[a]);
            let reach = Dim::from((self.kernel[a] - 1) * self.dilations[a]);
            let last = &(&(&out[a] - &Dim::from(1)) * &Dim::from(self.strides[a])) - &self.before[a];
            let whole = low.known_le(&-&self.before[a]) && (&(&last + &reach) + &Dim::from(1)).known_le(&high);
            let n = if whole {
                k.int(DType::I64, self.kernel[a])
            } else {
                // Positions start + d·t with low ≤ position < high: ⌈(high − start)/d⌉ − ⌈(low − start)/d⌉, both clamped to 0..kernel.
                let bound = |k: &mut KernelBuilder, edge: Dim| {
                    let distance = Index::from(edge).sub(&start).add_dim(&Dim::from(self.dilations[a] - 1));
                    let steps = k.floor_div(&distance, &Dim::from(self.dilations[a]));
                    let (v, zero, most) = (k.index(steps), k.int(DType::I64, 0), k.int(DType::I64, self.kernel[a]));
                    let v = k.binary(BinaryOp::Max, v, zero);
                    k.binary(BinaryOp::Min, v, most)
                };
                let (to, from) = (bound(k, high), bound(k, low));
                k.sub(to, from)
            };
            total = k.mul(total, n);
        }
        k.cast(dtype, total)
    }
}

/// The type in which products are summed: f32 for the narrower floats, else the operands' own.
pub fn accumulator(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        d => d,
    }
}
