//! What the pooling operators share: one result for each step of a window over the spatial axes of x: [N, C, D…].

use crate::cells::{room, visit};
use crate::slide::{Slide, accumulator};
use crate::window::{Window, kernel_shape, out_dims};
use crate::{EvalCtx, InferCtx, LowerCtx};
use lapidary_ir::{DType, Dim, Result, Shape, Tensor};
use lapidary_kernel::{AxisId, ExprId, Index, KernelBuilder, ReduceOp};
use rayon::prelude::*;

/// Shape rule of pools with a kernel.
pub fn infer_window(c: &mut InferCtx<'_>) -> Result<Shape> {
    let x = c.ty(0)?;
    let kernel = kernel_shape(c, &c.node.attrs, None)?;
    match x.shape.dims() {
        Some(d) if d.len() != kernel.len() + 2 => {
            Err(c.error("shape-conflict", format!("a kernel of rank {} over an operand of rank {}", kernel.len(), d.len())).into())
        }
        Some(d) => {
            let kernel: Vec<Dim> = kernel.into_iter().map(Dim::from).collect();
            let spatial = out_dims(c, &d[2..], &kernel)?;
            Ok(Shape::Ranked(d[..2].iter().cloned().chain(spatial).collect()))
        }
        None => Ok(c.fresh_shape(kernel.len() + 2)),
    }
}

/// Shape rule of global pools: spatial axes become 1.
pub fn infer_global(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let shape = match x.shape.dims() {
        Some(d) if d.len() < 2 => return Err(c.error("shape-conflict", format!("the operand has rank {}, without spatial axes", d.len())).into()),
        Some(d) => Shape::Ranked(d.iter().enumerate().map(|(i, d)| if i < 2 { d.clone() } else { Dim::from(1) }).collect()),
        None => Shape::Unranked,
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

/// The operand as numbers, and how the window slides.
pub struct Pool {
    pub values: Vec<f64>,
    pub window: Window,
    pub sizes: Vec<usize>,
    planes: usize,
}

impl Pool {
    pub fn of(c: &EvalCtx<'_>) -> Result<Pool> {
        let x = c.tensor(0)?;
        let kernel = kernel_shape(c, &c.node.attrs, None)?;
        if x.rank() != kernel.len() + 2 {
            return Err(c.error("shape-conflict", format!("a kernel of rank {} over an operand of rank {}", kernel.len(), x.rank())).into());
        }
        let window = Window::of(c, &c.node.attrs, &x.sizes()[2..], &kernel)?;
        let sizes = [&x.sizes()[..2], window.out.as_slice()].concat();
        room(c, DType::F64, &sizes)?;
        Ok(Pool { values: crate::numbers::floats(c, x)?, window, planes: x.sizes()[0] * x.sizes()[1], sizes })
    }
    /// `f(step, elements)` for every step in order, `elements` being where those in the image lie, counted over the whole operand.
    pub fn each<R: Send>(&self, f: impl Fn(&[usize], &[usize]) -> R + Sync) -> Vec<R> {
        let pixels: usize = self.window.image.iter().product();
        let planes = (0..self.planes).into_par_iter().map(|plane| {
            let (mut out, mut covered) = (vec![], vec![]);
            visit(&self.window.out, |step| {
                covered.clear();
                visit(&self.window.kernel, |k| covered.extend(self.window.place(step, k).map(|p| plane * pixels + p)));
                out.push(f(step, &covered));
            });
            out
        });
        planes.collect::<Vec<_>>().into_iter().flatten().collect()
    }
}

/// One number for each plane x[n, c].
pub fn global(c: &EvalCtx<'_>, f: impl Fn(&[f64]) -> f64) -> Result<Tensor> {
    let x = c.tensor(0)?;
    if x.rank() < 2 {
        return Err(c.error("shape-conflict", format!("the operand has rank {}, without spatial axes", x.rank())).into());
    }
    let mut sizes = x.sizes().to_vec();
    sizes[2..].fill(1);
    let pixels: usize = x.sizes()[2..].iter().product();
    let values = crate::numbers::floats(c, x)?;
    let count: usize = sizes.iter().product();
    let out: Vec<f64> = (0..count).map(|p| f(&values[p * pixels..(p + 1) * pixels])).collect();
    crate::numbers::store(x.dtype(), &sizes, &out)
}

/// One result per step of the window: the `op` over what `term` makes of each element (its alternative in the padding is the neutral
/// element), then `end` with the reduced value; `end` also gets the step, the image's dims and the result's.
pub fn lower_window(
    c: &mut LowerCtx<'_>,
    op: ReduceOp,
    term: impl FnOnce(&mut KernelBuilder, ExprId) -> ExprId,
    end: impl FnOnce(&mut KernelBuilder, ExprId, &Slide, &[Index], &[Dim], &[Dim]) -> ExprId,
) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let kernel = Slide::kernel_of(c, &[])?;
    let slide = Slide::of(c, kernel, &x.dims[2..], &y.dims[2..])?;
    let mut k = c.kernel();
    let (n, channel) = (k.parallel("n", y.dims[0].clone()), k.parallel("c", y.dims[1].clone()));
    let at: Vec<Index> = k.parallel_all("s", &y.dims[2..]).into_iter().map(Into::into).collect();
    let window = slide.axes(&mut k);
    let (mut image, guard) = slide.reads(&at, &window, &x.dims[2..]);
    let mut from = vec![Index::from(n), channel.into()];
    from.append(&mut image);
    let neutral = match op {
        ReduceOp::Max => Some(lowest(&mut k, x.dtype)),
        _ => None,
    };
    let v = k.load_guarded(x.buffer, x.dtype, from, guard, neutral);
    let sum = accumulator(x.dtype);
    let v = k.cast(sum, v);
    let v = term(&mut k, v);
    let v = k.reduce(op, sum, &window, v);
    let v = end(&mut k, v, &slide, &at, &x.dims[2..], &y.dims[2..]);
    let v = k.cast(y.dtype, v);
    let to: Vec<Index> = [n.into(), channel.into()].into_iter().chain(at).collect();
    k.store(y.buffer, to, v);
    c.push(k);
    Ok(())
}

/// One result for each channel: the `op` over all spatial elements, then `end` with the reduced value and the number of elements.
pub fn lower_global(
    c: &mut LowerCtx<'_>,
    op: ReduceOp,
    term: impl FnOnce(&mut KernelBuilder, ExprId) -> ExprId,
    end: impl FnOnce(&mut KernelBuilder, ExprId, ExprId) -> ExprId,
) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let mut k = c.kernel();
    let (n, channel) = (k.parallel("n", x.dims[0].clone()), k.parallel("c", x.dims[1].clone()));
    let over: Vec<AxisId> = x.dims[2..].iter().enumerate().map(|(i, d)| k.axis(&format!("s{i}"), d.clone())).collect();
    let from: Vec<Index> = [n, channel].into_iter().chain(over.iter().copied()).map(Into::into).collect();
    let v = k.load(x.buffer, x.dtype, from);
    let sum = accumulator(x.dtype);
    let v = k.cast(sum, v);
    let v = term(&mut k, v);
    let v = k.reduce(op, sum, &over, v);
    let count = k.index(Index::from(x.dims[2..].iter().fold(Dim::from(1), |a, d| &a * d)));
    let count = k.cast(sum, count);
    let v = end(&mut k, v, count);
    let v = k.cast(y.dtype, v);
    let to: Vec<Index> = [n.into(), channel.into()].into_iter().chain(x.dims[2..].iter().map(|_| Index::from(0))).collect();
    k.store(y.buffer, to, v);
    c.push(k);
    Ok(())
}

fn lowest(k: &mut KernelBuilder, dtype: DType) -> ExprId {
    match dtype.int_range() {
        Some((low, _)) => k.int(dtype, low.max(i64::MIN as i128) as i64),
        None => k.constant(dtype, f64::NEG_INFINITY),
    }
}
