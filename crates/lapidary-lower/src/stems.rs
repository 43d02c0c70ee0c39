//! Convolutions of few channels, as networks for images begin with: for each row of the kernel, what it multiplies in one row of the image (its
//! columns, and their channels) lies next to each other once channels come last and the image has its margin. So the image is copied into that
//! form, and the sum runs over `columns · channels` neighbours for each row, instead of over three channels for each of many taps. Factors that are
//! multiplied in pairs get a channel of zeros where there is an odd number of them.

use crate::contract;
use crate::rewrite::{AxisMap, rebuild};
use lapidary_ir::{Dim, Dims};
use lapidary_kernel::{
    Atom, AxisId, Buffer, BufferId, BufferKind, ExprId, ExprKind, Factors, Guard, Index, Kernel, KernelBuilder, LAYOUT, Program, Stmt,
};

/// With more channels, their neighbours are enough.
const MOST_CHANNELS: i64 = 4;

/// Rewrites every convolution of few channels.
pub fn rewrite(p: &mut Program) {
    let mut i = 0;
    while i < p.kernels.len() {
        let buffers = p.buffers.len();
        match widened(p, &p.kernels[i].clone()) {
            Some((copies, new)) => {
                p.kernels[i] = new;
                let count = copies.len();
                p.kernels.splice(i..i, copies);
                i += count;
            }
            None => p.buffers.truncate(buffers),
        }
        i += 1;
    }
}

/// How an image is read: its dims of channels and columns, the axes of the sum along them, and where each dim of the copy begins in the image.
struct Image {
    buffer: BufferId,
    index: Vec<Index>,
    channel: (usize, AxisId),
    column: (usize, AxisId),
    /// For each dim, its first index and how many there are.
    windows: Vec<(Dim, Dim)>,
}

fn widened(p: &mut Program, k: &Kernel) -> Option<(Vec<Kernel>, Kernel)> {
    let c = contract::recognize(p, k).filter(|_| k.blocked().is_none())?;
    let mut image = image(p, k, c.a)?;
    let (channel, column) = (image.channel.1, image.column.1);
    let mut even = k.clone();
    if let (Factors::Bf16, Some(channels)) = (c.factors, k.extent(channel).as_const()) {
        let channels = Dim::from(channels + channels % 2);
        image.windows[image.channel.0].1 = channels.clone();
        even.axes[channel.0 as usize].extent = channels;
    }
    let map = AxisMap::merge(&even, column, channel);
    let (pad, padded) = padded(p, k, c.a, &image)?;
    let (relay, relaid, order) = relaid(p, k, c.b, column, (channel, even.extent(channel)))?;
    let ExprKind::Load { buffer: weights, index: weight_index, .. } = &k.expr(c.b).kind else { return None };
    // Which dim of a load is which does not depend on the axes' numbers; the copier has replaced them already.
    let new = rebuild(&even, &map, &mut |n, site| {
        if site.buffer == *weights && site.index.len() == weight_index.len() {
            let at: Vec<Index> = order.iter().map(|d| site.index[*d].clone()).collect();
            return n.load(relaid, site.dtype, at);
        }
        if site.buffer != image.buffer {
            return site.keep(n);
        }
        let at = places(&image).into_iter().map(|d| site.index[d].add_dim(&-&image.windows[d].0));
        let at: Vec<Index> = at.collect();
        n.load(padded, site.dtype, at)
    });
    contract::recognize(p, &new)?;
    Some((vec![pad, relay], new))
}

/// The image that a convolution reads through a window, if it has few channels and is read in no other way.
fn image(p: &Program, k: &Kernel, a: ExprId) -> Option<Image> {
    let ExprKind::Load { buffer, index, .. } = &k.expr(a).kind else { return None };
    let loads = k.exprs.iter().zip(k.live_exprs()).filter(|(e, live)| *live && matches!(&e.kind, ExprKind::Load { buffer: b, .. } if b == buffer));
    if loads.count() != 1 || k.writes().contains(buffer) {
        return None;
    }
    let Some(Stmt::Reduce { over, .. }) = k.body.first() else { return None };
    let dims = &p.buffer(*buffer).dims;
    let extent = |a: AxisId| k.extent(a).clone();
    // Channels: reduced, alone in a dim that they fill.
    let channel = over.iter().find_map(|x| {
        let few = k.extent(*x).as_const().is_some_and(|e| e <= MOST_CHANNELS);
        let at = index.iter().position(|i| i.as_axis() == Some(*x))?;
        (few && dims[at] == *k.extent(*x)).then_some((at, *x))
    })?;
    // Columns: the last dim that a window slides along.
    let neighbour = |i: &Index, x: &AxisId| i.coefficient(*x).is_some_and(|c| c.as_const() == Some(1)) && i.terms().len() > 1;
    let (at, slid) = index.iter().enumerate().rev().find(|(d, i)| *d != channel.0 && i.terms().len() > 1)?;
    let column = (at, over.iter().copied().find(|x| *x != channel.1 && neighbour(slid, x))?);
    if k.extent(column.1).as_const().is_none_or(|e| e < 2) || index.iter().any(|i| !i.is_affine()) {
        return None;
    }
    let windows = index.iter().map(|i| {
        let (low, high) = i.range(&extent)?;
        let size = &(&high - &low) + &Dim::from(1);
        // Every term counts up, so that the copy has no holes.
        i.terms().iter().all(|(a, c)| matches!(a, Atom::Axis(_)) && c.known_non_negative()).then_some((low, size))
    });
    Some(Image { buffer: *buffer, index: index.clone(), channel, column, windows: windows.collect::<Option<_>>()? })
}

/// The dims of the image in the order of the copy: columns and channels last.
fn places(image: &Image) -> Vec<usize> {
    let last = [image.column.0, image.channel.0];
    (0..image.index.len()).filter(|d| !last.contains(d)).chain(last).collect()
}

/// The copy of the image with its margin, channels last.
fn padded(p: &mut Program, k: &Kernel, a: ExprId, image: &Image) -> Option<(Kernel, BufferId)> {
    let ExprKind::Load { guard, otherwise, .. } = &k.expr(a).kind else { return None };
    let source = p.buffer(image.buffer).clone();
    let order = places(image);
    let dims: Dims = order.iter().map(|d| image.windows[*d].1.clone()).collect();
    let mut b = KernelBuilder::new(format!("{LAYOUT}{}", source.name), &[]);
    let axes = b.parallel_all("i", &dims);
    let mut from = vec![Index::from(0); order.len()];
    for (axis, d) in axes.iter().zip(&order) {
        from[*d] = Index::from(*axis).add_dim(&image.windows[*d].0);
    }
    // Where the convolution tests an index, the copy does; what it reads instead is a number, or the zero point that all elements share.
    let mut inside = vec![];
    for (i, size) in guard {
        let d = image.index.iter().position(|x| x == i)?;
        inside.push((from[d].clone(), size.clone()));
    }
    let channel = image.channel.0;
    if image.windows[channel].1 != source.dims[channel] {
        inside.push((from[channel].clone(), source.dims[channel].clone()));
    }
    let otherwise = match otherwise {
        Some(e) => Some(shared(&mut b, k, *e)?),
        None => None,
    };
    let v = b.load_guarded(image.buffer, source.dtype, from, inside, otherwise);
    let to = p.add_buffer(Buffer { name: format!("{}.padded", source.name).into(), dims, kind: BufferKind::Temp, ..source });
    b.store(to, axes.into_iter().map(Index::from).collect::<Vec<_>>(), v);
    Some((b.finish(), to))
}

/// Copies a value that is the same at every point.
fn shared(b: &mut KernelBuilder, k: &Kernel, e: ExprId) -> Option<ExprId> {
    let node = k.expr(e);
    Some(match &node.kind {
        ExprKind::Const(_) => b.expr(node.dtype, node.kind.clone()),
        ExprKind::Load { buffer, index, guard, .. } if guard.is_empty() && index.iter().all(|i| i.as_const().is_some()) => {
            b.load(*buffer, node.dtype, index.clone())
        }
        ExprKind::Cast(v) => {
            let v = shared(b, k, *v)?;
            b.cast(node.dtype, v)
        }
        _ => return None,
    })
}

/// The copy of the weights with columns and so many channels last, and the order of its dims.
fn relaid(p: &mut Program, k: &Kernel, b: ExprId, column: AxisId, (channel, channels): (AxisId, &Dim)) -> Option<(Kernel, BufferId, Vec<usize>)> {
    let ExprKind::Load { buffer, index, guard, .. } = &k.expr(b).kind else { return None };
    let at = |x: AxisId| index.iter().position(|i| i.as_axis() == Some(x));
    let last = [at(column)?, at(channel)?];
    let plain = index.iter().all(|i| i.as_axis().is_some() || i.as_const() == Some(0));
    let source = p.buffer(*buffer).clone();
    let whole = last.iter().zip([column, channel]).all(|(d, x)| source.dims[*d] == *k.extent(x));
    if !guard.is_empty() || !plain || !whole {
        return None;
    }
    let order: Vec<usize> = (0..index.len()).filter(|d| !last.contains(d)).chain(last).collect();
    let dims: Dims = order.iter().map(|d| if *d == last[1] { channels.clone() } else { source.dims[*d].clone() }).collect();
    let mut n = KernelBuilder::new(format!("{LAYOUT}{}", source.name), &[]);
    let axes = n.parallel_all("i", &dims);
    let mut from = vec![Index::from(0); order.len()];
    for (axis, d) in axes.iter().zip(&order) {
        from[*d] = (*axis).into();
    }
    let exists: Guard = match source.dims[last[1]] == *channels {
        true => Guard::new(),
        false => [(from[last[1]].clone(), source.dims[last[1]].clone())].into_iter().collect(),
    };
    let v = n.load_guarded(*buffer, source.dtype, from, exists, None);
    let to = p.add_buffer(Buffer { name: format!("{}.laid", source.name).into(), dims, kind: BufferKind::Temp, ..source });
    n.store(to, axes.into_iter().map(Index::from).collect::<Vec<_>>(), v);
    Some((n.finish(), to, order))
}
