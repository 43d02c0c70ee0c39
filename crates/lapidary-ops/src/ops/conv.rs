//! `Conv(x, w, b)`: `y[n, o, s…] = b[o] + Σ_{c, k…} x[n, g·C/G + c, s·stride + k·dilation - pad…] · w[o, c, k…]`, g the group of o.
//!
//! x: [N, C, D…], w: [M, C/G, K…], b: [M] (optional), y: [N, M, S…], any number of spatial axes. Attributes `kernel_shape`, `strides`,
//! `dilations`, `pads`, `auto_pad`, `group`. Floats, accumulated in f64. Source: ONNX Conv-22.

use crate::cells::room;
use crate::contract::{Extents, Number, contract};
use crate::lower::Operand;
use crate::ops::mat_mul::reals;
use crate::shapes::{Report, size_of};
use crate::slide::{Slide, accumulator};
use crate::window::{Window, kernel_shape, out_dims};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Attrs, DType, Dim, Result, Shape};
use lapidary_kernel::{ExprId, Index, KernelBuilder, ReduceOp};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Conv", include_str!("conv.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let shape = conv_shape(c, 1)?;
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

/// The attribute `group`, positive.
pub fn group(c: &impl Report, attrs: &Attrs) -> Result<usize> {
    match size_of(c, "group", attrs.int("group").unwrap_or(1))? {
        0 => Err(c.report("attribute-value", "group is 0".into()).into()),
        g => Ok(g),
    }
}

/// The shape of a convolution of operand 0 with the weight in slot `weight`.
pub fn conv_shape(c: &mut InferCtx<'_>, weight: usize) -> Result<Shape> {
    let group = Dim::from(group(c, &c.node.attrs)?);
    let (x, w) = (c.dims(0), c.dims(weight));
    let rank = x.or(w).map(|d| d.len());
    if let (Some(x), Some(w)) = (x, w)
        && x.len() != w.len()
    {
        return Err(c.error("shape-conflict", format!("the operand has rank {}, the weight {}", x.len(), w.len())).into());
    }
    match rank {
        None => return Ok(Shape::Unranked),
        Some(r) if r < 3 => return Err(c.error("shape-conflict", format!("operands of rank {r} have no spatial axes")).into()),
        _ => {}
    }
    if let (Some(x), Some(w)) = (x, w) {
        c.same("channels of the operand, and of the weight times group", &x[1], &(&w[1] * &group))?;
    }
    let kernel: Option<Vec<Dim>> = match (c.node.attrs.ints("kernel_shape"), w) {
        (Some(k), _) => Some(k.iter().map(|k| Dim::from(*k)).collect()),
        (None, Some(w)) => Some(w[2..].to_vec()),
        _ => None,
    };
    let batch = x.map_or_else(|| c.symbols.fresh(), |x| x[0].clone());
    let channels = w.map_or_else(|| c.symbols.fresh(), |w| w[0].clone());
    let spatial = match (x, kernel) {
        (Some(x), Some(k)) => out_dims(c, &x[2..], &k)?,
        _ => (2..rank.unwrap_or(2)).map(|_| c.symbols.fresh()).collect(),
    };
    Ok(Shape::Ranked([batch, channels].into_iter().chain(spatial).collect()))
}

/// A convolution whose operands are known: sizes and windows.
pub struct Plan {
    pub window: Window,
    pub extents: Extents,
    pub sizes: Vec<usize>,
    group: usize,
    channels: usize,
}

impl Plan {
    pub fn of(c: &EvalCtx<'_>, x: &[usize], w: &[usize]) -> Result<Plan> {
        let group = group(c, &c.node.attrs)?;
        let misfit = || c.error("shape-conflict", format!("a weight of shape {w:?} does not fit an operand of shape {x:?} in {group} groups"));
        if x.len() != w.len() || x.len() < 3 || x[1] != w[1] * group || !w[0].is_multiple_of(group) {
            return Err(misfit().into());
        }
        let kernel = kernel_shape(c, &c.node.attrs, Some(&w[2..]))?;
        let window = Window::of(c, &c.node.attrs, &x[2..], &kernel)?;
        let extents = Extents { batch: x[0] * group, rows: w[0] / group, columns: window.steps(), depth: w[1] * window.kernel_elements() };
        let sizes = [&[x[0], w[0]], window.out.as_slice()].concat();
        Ok(Plan { window, extents, sizes, group, channels: w[1] })
    }
    /// Σ x·w, row-major. `weight(at, run)` and `image(at)` read the operands; padding is `zero`.
    pub fn sums<T: Number>(&self, weight: &(impl Fn(usize, &mut [T]) + Sync), image: &(impl Fn(usize) -> T + Sync)) -> Vec<T> {
        let (e, w) = (self.extents, &self.window);
        let per = w.kernel_elements();
        let pixels: usize = w.image.iter().product();
        let last = w.image.len() - 1;
        contract(e, &|b, i, k, run: &mut [T]| weight(((b % self.group) * e.rows + i) * e.depth + k, run), &|b, k, j, run: &mut [T]| {
            let plane = (b * self.channels + k / per) * pixels;
            // The element of the kernel, and the step that column j stands for.
            let (kernel, mut step) = (unravel(k % per, &w.kernel), unravel(j, &w.out));
            let mut done = 0;
            while done < run.len() {
                // One row of steps at a time: all axes but the last stay.
                let row = (0..last).try_fold(0, |p, a| Some(p * w.image[a] + w.along(a, step[a], kernel[a])?));
                let count = (w.out[last] - step[last]).min(run.len() - done);
                for (d, r) in run[done..done + count].iter_mut().enumerate() {
                    *r = match (row, w.along(last, step[last] + d, kernel[last])) {
                        (Some(p), Some(i)) => image(plane + p * w.image[last] + i),
                        _ => T::ZERO,
                    };
                }
                done += count;
                step[last] = 0;
                for a in (0..last).rev() {
                    step[a] += 1;
                    if step[a] < w.out[a] {
                        break;
                    }
                    step[a] = 0;
                }
            }
        })
    }
}

/// The index of element `at` of a row-major box.
pub fn unravel(mut at: usize, sizes: &[usize]) -> Vec<usize> {
    let mut out = vec![0; sizes.len()];
    for a in (0..sizes.len()).rev() {
        out[a] = at % sizes[a].max(1);
        at /= sizes[a].max(1);
    }
    out
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, w, bias) = (c.tensor(0)?, c.tensor(1)?, c.optional(2)?);
    let plan = Plan::of(c, x.sizes(), w.sizes())?;
    room(c, DType::F64, &plan.sizes)?;
    let (xs, ws) = (reals(c, x)?, reals(c, w)?);
    let mut out = plan.sums(&|at, run: &mut [f64]| ws.fill(at, 1, run), &|at| xs.get(at));
    if let Some(bias) = bias {
        add_bias(c, &mut out, &plan.sizes, &reals_of(c, bias)?)?;
    }
    Ok(vec![crate::numbers::store(x.dtype(), &plan.sizes, &out)?.into()])
}

fn reals_of(c: &EvalCtx<'_>, t: &lapidary_ir::Tensor) -> Result<Vec<f64>> {
    t.to_f64().ok_or_else(|| c.error("type-error", format!("elements of type {} cannot be added", t.dtype())).into())
}

/// Adds one number for each channel (axis 1).
pub fn add_bias(c: &EvalCtx<'_>, out: &mut [f64], sizes: &[usize], bias: &[f64]) -> Result<()> {
    if bias.len() != sizes[1] {
        return Err(c.error("shape-conflict", format!("{} biases for {} channels", bias.len(), sizes[1])).into());
    }
    let run: usize = sizes[2..].iter().product();
    if run > 0 {
        out.chunks_exact_mut(run).enumerate().for_each(|(p, plane)| plane.iter_mut().for_each(|v| *v += bias[p % bias.len()]));
    }
    Ok(())
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, w, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let bias = if c.has(2) { Some(c.input(2)?) } else { None };
    let sum = accumulator(y.dtype);
    lower_conv(
        c,
        Convolution { x: &x, w: &w, y: &y, sum, padding: None },
        |_, u, v, _| (u, v),
        |k, v, channel| match &bias {
            Some(b) => {
                let b = k.load(b.buffer, b.dtype, [channel.clone()]);
                let b = k.cast(sum, b);
                k.add(v, b)
            }
            None => v,
        },
    )
}

/// What a convolution reads and writes.
pub struct Convolution<'a> {
    pub x: &'a Operand,
    pub w: &'a Operand,
    pub y: &'a Operand,
    /// The type of the sums.
    pub sum: DType,
    /// Its one element is what lies around the image; 0 without it.
    pub padding: Option<&'a Operand>,
}

/// The kernel of a convolution: `end(Σ x'·w')`, where `terms` makes x' and w' of the elements, and both are given the channel of the
/// result.
pub fn lower_conv(
    c: &mut LowerCtx<'_>,
    Convolution { x, w, y, sum, padding }: Convolution<'_>,
    terms: impl FnOnce(&mut KernelBuilder, ExprId, ExprId, &Index) -> (ExprId, ExprId),
    end: impl FnOnce(&mut KernelBuilder, ExprId, &Index) -> ExprId,
) -> Result<()> {
    let group = Dim::from(c.node().attrs.int("group").unwrap_or(1));
    let kernel = Slide::kernel_of(c, &w.dims[2..])?;
    let slide = Slide::of(c, kernel, &x.dims[2..], &y.dims[2..])?;
    c.check_equal(&x.dims[1], &(&w.dims[1] * &group), false);
    let per = w.dims[0].floor_div(&group);
    let mut k = c.kernel();
    let (n, g, o) = (k.parallel("n", y.dims[0].clone()), k.parallel("g", group), k.parallel("o", per.clone()));
    let at: Vec<Index> = k.parallel_all("s", &y.dims[2..]).into_iter().map(Into::into).collect();
    let channel = k.axis("c", w.dims[1].clone());
    let window = slide.axes(&mut k);
    let (mut image, guard) = slide.reads(&at, &window, &x.dims[2..]);
    let mut from = vec![Index::from(n), Index::from(g).scale(&w.dims[1]).add(&channel.into())];
    from.append(&mut image);
    let out = Index::from(g).scale(&per).add(&o.into());
    let mut weight = vec![out.clone(), channel.into()];
    weight.extend(window.iter().map(|a| Index::from(*a)));
    let outside = padding.map(|z| k.load(z.buffer, z.dtype, vec![Index::from(0); z.rank()]));
    let (u, v) = (k.load_guarded(x.buffer, x.dtype, from, guard, outside), k.load(w.buffer, w.dtype, weight));
    let (u, v) = (k.cast(sum, u), k.cast(sum, v));
    let (u, v) = terms(&mut k, u, v, &out);
    let v = k.mul(u, v);
    let over: Vec<_> = [channel].into_iter().chain(window).collect();
    let v = k.reduce(ReduceOp::Sum, sum, &over, v);
    let v = end(&mut k, v, &out);
    let v = k.cast(y.dtype, v);
    let mut to = vec![n.into(), out];
    to.extend(at);
    k.store(y.buffer, to, v);
    c.push(k);
    Ok(())
}
