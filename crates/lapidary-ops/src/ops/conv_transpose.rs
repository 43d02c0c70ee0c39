//! `ConvTranspose(x, w, b)`: each element of x adds its multiple of the kernel to the result, at a place `stride` further for each step;
//! the gradient of a convolution. `y[n, o, s·stride + k·dilation - pad…] += x[n, c, s…] · w[c, o, k…]`.
//!
//! x: [N, C, D…], w: [C, M/G, K…], b: [M] (optional), y: [N, M, S…] with `S = stride·(D - 1) + output_padding + reach - pads`, or
//! `output_shape`. Floats, accumulated in f64. Source: ONNX ConvTranspose-22.

use crate::cells::room;
use crate::contract::{Extents, contract};
use crate::ops::conv::{add_bias, group, unravel};
use crate::ops::mat_mul::reals;
use crate::slide::{Slide, accumulator, per_axis};
use crate::window::{kernel_shape, transposed_dims};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef, Operand};
use lapidary_kernel::{AxisId, ExprId, Index, KernelBuilder, ReduceOp};

use lapidary_ir::{DType, Dim, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("ConvTranspose", include_str!("conv_transpose.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let group = Dim::from(group(c, &c.node.attrs)?);
    let shape = match (x.shape.dims(), c.dims(1)) {
        (Some(x), Some(w)) if x.len() >= 3 && x.len() == w.len() => {
            c.same("channels of the operand and of the weight", &x[1], &w[0])?;
            let (spatial, _) = transposed_dims(c, &c.node.attrs, &x[2..], &w[2..])?;
            Shape::Ranked([x[0].clone(), &w[1] * &group].into_iter().chain(spatial).collect())
        }
        (Some(x), Some(w)) => return Err(c.error("shape-conflict", format!("a weight of shape {w:?} does not fit {x:?}")).into()),
        (Some(x), None) => c.fresh_shape(x.len()),
        (None, Some(w)) => c.fresh_shape(w.len()),
        (None, None) => Shape::Unranked,
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, w, bias) = (c.tensor(0)?, c.tensor(1)?, c.optional(2)?);
    let group = group(c, &c.node.attrs)?;
    let (xs, ws) = (x.sizes(), w.sizes());
    if xs.len() != ws.len() || xs.len() < 3 || xs[1] != ws[0] || xs[1] % group != 0 {
        let message = format!("a weight of shape {ws:?} does not fit an operand of shape {xs:?} in {group} groups");
        return Err(c.error("shape-conflict", message).into());
    }
    let kernel = kernel_shape(c, &c.node.attrs, Some(&ws[2..]))?;
    let dims = |s: &[usize]| s.iter().map(|s| Dim::from(*s)).collect::<Vec<_>>();
    let (out_dims, begin) = transposed_dims(c, &c.node.attrs, &dims(&xs[2..]), &dims(&kernel))?;
    let out_spatial =
        out_dims.iter().map(|d| crate::shapes::size_of(c, "a size of the result", d.as_const().unwrap_or(-1))).collect::<Result<Vec<_>>>()?;
    let begin: Vec<i64> = begin.iter().map(|d| d.as_const().unwrap_or(0)).collect();
    let axis = |name: &str| c.node.attrs.ints(name).map_or(vec![1; kernel.len()], |v| v.to_vec());
    let (strides, dilations) = (axis("strides"), axis("dilations"));

    let (depth, per): (usize, usize) = (xs[1] / group, kernel.iter().product());
    let (rows, columns): (usize, usize) = (ws[1] * per, xs[2..].iter().product());
    let sizes = [&[xs[0], ws[1] * group], out_spatial.as_slice()].concat();
    room(c, DType::F64, &sizes)?;
    room(c, DType::F64, &[xs[0] * group, rows, columns])?;
    let (xv, wv) = (reals(c, x)?, reals(c, w)?);
    let e = Extents { batch: xs[0] * group, rows, columns, depth };
    let blocks = contract(e, &|b, i, k, run: &mut [f64]| wv.fill(((b % group) * depth + k) * rows + i, rows, run), &|b, k, j, run: &mut [f64]| {
        xv.fill((b * depth + k) * columns + j, 1, run)
    });
    let pixels: usize = out_spatial.iter().product();
    let mut out = vec![0.0; sizes.iter().product()];
    for (r, row) in blocks.chunks_exact(columns.max(1)).enumerate() {
        // Row r is one element of the kernel in one channel of one group.
        let k = unravel(r % per, &kernel);
        let plane = r / per * pixels;
        for (j, v) in row.iter().enumerate() {
            let step = unravel(j, &xs[2..]);
            let place = (0..k.len()).try_fold(0, |p, a| {
                let i = step[a] as i64 * strides[a] + k[a] as i64 * dilations[a] - begin[a];
                let i = usize::try_from(i).ok().filter(|i| *i < out_spatial[a])?;
                Some(p * out_spatial[a] + i)
            });
            if let Some(p) = place {
                out[plane + p] += v;
            }
        }
    }
    if let Some(bias) = bias {
        let bias = bias.to_f64().ok_or_else(|| c.error("type-error", "the bias is not real"))?;
        add_bias(c, &mut out, &sizes, &bias)?;
    }
    Ok(vec![crate::numbers::store(x.dtype(), &sizes, &out)?.into()])
}

/// Each residue of the result's positions by the stride is a plain convolution with every stride-th element of the kernel: one kernel
/// per residue, storing its part of the result, so that nothing is scattered.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, w, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let bias = if c.has(2) { Some(c.input(2)?) } else { None };
    let group = Dim::from(c.node().attrs.int("group").unwrap_or(1));
    let rank = x.rank() - 2;
    let kernel = Slide::kernel_of(c, &w.dims[2..])?;
    let kernel_dims: Vec<Dim> = kernel.iter().map(|n| Dim::from(*n)).collect();
    let (_, begin) = transposed_dims(c, &c.node().attrs, &x.dims[2..], &kernel_dims)?;
    let begin: Option<Vec<i64>> = begin.iter().map(Dim::as_const).collect();
    let begin = begin.ok_or_else(|| c.unsupported("the padding is only known at run time"))?;
    let (strides, dilations) = (per_axis(c, "strides", rank), per_axis(c, "dilations", rank));
    let whole = |a: usize| y.dims[2 + a] == &x.dims[2 + a] * &Dim::from(strides[a]);
    if (0..rank).all(|a| kernel[a] == strides[a] && dilations[a] == 1 && begin[a] == 0 && whole(a)) {
        return lower_apart(c, (x, w, bias, y), &group, &strides);
    }
    let residues: i64 = strides.iter().product();
    if residues > 1024 {
        return Err(c.unsupported(format!("strides {strides:?} are too large")).into());
    }
    for residue in 0..residues {
        let mut rest = residue;
        let mut phase = vec![0; rank];
        for a in (0..rank).rev() {
            phase[a] = rest % strides[a];
            rest /= strides[a];
        }
        let parts: Vec<Taps> = (0..rank).map(|a| Taps::of(phase[a] + begin[a], kernel[a], strides[a], dilations[a])).collect();
        let mut k = c.kernel();
        let per = w.dims[1].clone();
        let (n, g, o) = (k.parallel("n", y.dims[0].clone()), k.parallel("g", group.clone()), k.parallel("o", per.clone()));
        let at: Vec<AxisId> = (0..rank)
            .map(|a| {
                let steps = (&y.dims[2 + a] - &Dim::from(phase[a])).ceil_div(&Dim::from(strides[a])).maximum(&Dim::from(0));
                k.parallel(&format!("s{a}"), steps)
            })
            .collect();
        let depth = x.dims[1].floor_div(&group);
        let channel = k.axis("c", depth.clone());
        let taps: Vec<AxisId> = parts.iter().enumerate().map(|(a, t)| k.axis(&format!("k{a}"), Dim::from(t.count))).collect();
        let source = Index::from(g).scale(&depth).add(&channel.into());
        let (mut from, mut weight, mut guard) = (vec![Index::from(n), source.clone()], vec![source, o.into()], vec![]);
        for a in 0..rank {
            let place = Index::from(at[a]).sub(&Index::from(taps[a]).scale(&Dim::from(parts[a].back))).add_dim(&Dim::from(parts[a].start));
            guard.push((place.clone(), x.dims[2 + a].clone()));
            from.push(place);
            weight.push(Index::from(taps[a]).scale(&Dim::from(parts[a].step)).add_dim(&Dim::from(parts[a].first)));
        }
        let sum = accumulator(y.dtype);
        let (u, v) = (k.load_guarded(x.buffer, x.dtype, from, guard, None), k.load(w.buffer, w.dtype, weight));
        let (u, v) = (k.cast(sum, u), k.cast(sum, v));
        let v = k.mul(u, v);
        let over: Vec<AxisId> = [channel].into_iter().chain(taps).collect();
        let v = k.reduce(ReduceOp::Sum, sum, &over, v);
        let out = Index::from(g).scale(&per).add(&o.into());
        let v = biased(&mut k, v, (&bias, &out), y.dtype);
        let mut to = vec![n.into(), out];
        to.extend((0..rank).map(|a| Index::from(at[a]).scale(&Dim::from(strides[a])).add_dim(&Dim::from(phase[a]))));
        k.store(y.buffer, to, v);
        c.push(k);
    }
    Ok(())
}

/// A sum and the bias of its channel, as an element of the result.
fn biased(k: &mut KernelBuilder, sum: ExprId, (bias, channel): (&Option<Operand>, &Index), dtype: DType) -> ExprId {
    let Some(b) = bias else { return k.cast(dtype, sum) };
    let b = k.load(b.buffer, b.dtype, [channel.clone()]);
    let b = k.cast(accumulator(dtype), b);
    let v = k.add(sum, b);
    k.cast(dtype, v)
}

/// Where the multiples of the kernel lie side by side: each element of x gives a block of the result of its own, all in one kernel.
fn lower_apart(c: &mut LowerCtx<'_>, (x, w, bias, y): (Operand, Operand, Option<Operand>, Operand), group: &Dim, strides: &[i64]) -> Result<()> {
    let mut k = c.kernel();
    let (per, depth) = (w.dims[1].clone(), x.dims[1].floor_div(group));
    let (n, g) = (k.parallel("n", y.dims[0].clone()), k.parallel("g", group.clone()));
    let mut at: Vec<(AxisId, AxisId)> = vec![];
    for (a, stride) in strides.iter().enumerate() {
        at.push((k.parallel(&format!("s{a}"), x.dims[2 + a].clone()), k.parallel(&format!("k{a}"), Dim::from(*stride))));
    }
    let o = k.parallel("o", per.clone());
    let channel = k.axis("c", depth.clone());
    let source = Index::from(g).scale(&depth).add(&channel.into());
    let from = [n.into(), source.clone()].into_iter().chain(at.iter().map(|(s, _)| (*s).into()));
    let weight = [source, o.into()].into_iter().chain(at.iter().map(|(_, k)| (*k).into()));
    let sum = accumulator(y.dtype);
    let (u, v) = (k.load(x.buffer, x.dtype, from), k.load(w.buffer, w.dtype, weight));
    let (u, v) = (k.cast(sum, u), k.cast(sum, v));
    let v = k.mul(u, v);
    let v = k.reduce(ReduceOp::Sum, sum, &[channel], v);
    let out = Index::from(g).scale(&per).add(&o.into());
    let v = biased(&mut k, v, (&bias, &out), y.dtype);
    let to = at.iter().zip(strides).map(|((s, k), by)| Index::from(*s).scale(&Dim::from(*by)).add(&(*k).into()));
    let to: Vec<Index> = [n.into(), out].into_iter().chain(to).collect();
    k.store(y.buffer, to, v);
    c.push(k);
    Ok(())
}

/// The elements of the kernel that reach positions of one residue: `first + step·t` for t below `count`, from x at `s + start − back·t`.
struct Taps {
    first: i64,
    step: i64,
    count: i64,
    start: i64,
    back: i64,
}

impl Taps {
    /// Those k with `shift − k·dilation` a multiple of the stride.
    fn of(shift: i64, kernel: i64, stride: i64, dilation: i64) -> Taps {
        let hits: Vec<i64> = (0..kernel).filter(|k| (shift - k * dilation).rem_euclid(stride) == 0).collect();
        let first = hits.first().copied().unwrap_or(0);
        let step = hits.get(1).map_or(1, |k| k - first);
        Taps { first, step, count: hits.len() as i64, start: (shift - first * dilation).div_euclid(stride), back: step * dilation / stride.max(1) }
    }
}
