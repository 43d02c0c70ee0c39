//! Layouts: the order of each temporary's dims in memory. Contractions and windows say which dim they want innermost; elementwise
//! kernels pass wishes on. A layout is nothing but a permutation of the buffer's dims and of every index into it, so that later stages
//! need not know.

use crate::contract;
use crate::graph::copy_kernel;
use lapidary_ir::Dims;
use lapidary_kernel::{Atom, AxisId, Buffer, BufferId, BufferKind, ExprKind, Index, Kernel, LAYOUT, Program, Stmt, linearize};

/// A vector of f32.
const SHORTEST_BLOCK: i64 = 16;

/// Assigns layouts, and adds conversions where an input or output of the program would otherwise be walked by strides.
pub fn assign(p: &mut Program) {
    convert_edges(p);
    let mut wish = wishes(p);
    spread(p, &mut wish);
    for b in p.buffer_ids() {
        let rank = p.buffer(b).dims.len();
        let w = &mut wish[b.0 as usize];
        *w = w.filter(|last| p.buffer(b).kind == BufferKind::Temp && last + 1 != rank);
    }
    permute(p, &wish);
}

/// For each buffer the dim that most kernels want innermost, if any wants one.
fn wishes(p: &Program) -> Vec<Option<usize>> {
    let mut votes: Vec<Vec<usize>> = p.buffers.iter().map(|b| vec![0; b.dims.len()]).collect();
    for k in &p.kernels {
        for (b, dim) in kernel_wishes(p, k) {
            votes[b.0 as usize][dim] += 1;
        }
    }
    let best = |v: &Vec<usize>| {
        let most = *v.iter().max()?;
        // Ties go to the innermost dim, which costs nothing.
        if most == 0 { None } else { v.iter().rposition(|n| *n == most) }
    };
    votes.iter().map(best).collect()
}

/// What one kernel wants: `(buffer, dim)`.
fn kernel_wishes(p: &Program, k: &Kernel) -> Vec<(BufferId, usize)> {
    let mut out = vec![];
    if let Some(c) = contract::recognize(p, k) {
        // What is read for each row and block lies in this order.
        for e in k.blocked().iter().flat_map(|b| b.row_operands()) {
            if let ExprKind::Load { buffer, index, .. } = &k.expr(e).kind {
                out.push((*buffer, index.len() - 1));
            }
        }
        if let (ExprKind::Load { buffer, index, .. }, Some(_)) = (&k.expr(c.a).kind, c.k.last())
            // The channel axis: reduced, alone in its dim, without a guard.
            && let Some(dim) = c.k.iter().rev().find_map(|x| sole_dim(index, *x))
            && windowed(index)
        {
            out.push((*buffer, dim));
        } else if let (ExprKind::Load { buffer, index, .. }, Some(x)) = (&k.expr(c.a).kind, c.k.last())
            && let Some(dim) = sole_dim(index, *x)
        {
            out.push((*buffer, dim));
        }
        for (b, index) in stores(k) {
            if let Some(dim) = c.n.last().and_then(|x| sole_dim(index, *x)) {
                out.push((b, dim));
            }
        }
        return out;
    }
    // Elements taken at a stride (the tiles of Winograd's transforms): vectors along the last axis that is not.
    if !k.serial && k.locals.is_empty() {
        let strided = |i: &Index| i.terms().iter().any(|(_, c)| c.as_const().is_some_and(|c| c > 1));
        let taken = |index: &[Index]| index.len() >= 3 && index.iter().any(strided);
        let last = stores(k).find_map(|(_, index)| index.last().and_then(|i| i.as_axis()));
        let axis = stores(k).find(|(_, index)| taken(index)).map_or(last, |_| {
            // What is stored at a stride was loaded from a row of something.
            k.exprs.iter().find_map(|e| match &e.kind {
                ExprKind::Load { index, .. } if index.len() >= 3 => index.last().and_then(|i| i.as_axis()),
                _ => None,
            })
        });
        if let Some(axis) = axis {
            let mut wish = |b: BufferId, index: &[Index]| {
                if let (true, Some(dim)) = (taken(index), sole_dim(index, axis)) {
                    out.push((b, dim));
                }
            };
            for e in &k.exprs {
                if let ExprKind::Load { buffer, index, .. } = &e.kind {
                    wish(*buffer, index);
                }
            }
            stores(k).for_each(|(b, index)| wish(b, index));
        }
    }
    // What is computed along an axis (softmax) is written along it.
    for s in &k.body {
        if let Stmt::Store { buffer, index, axes, .. } = s
            && let Some(dim) = axes.last().and_then(|a| sole_dim(index, *a))
        {
            out.push((*buffer, dim));
        }
    }
    // A window (pooling, depthwise convolution): vectors along the parallel axis that no window moves.
    if let Some(axis) = channel_axis(k) {
        for e in &k.exprs {
            if let ExprKind::Load { buffer, index, .. } = &e.kind
                && index.len() >= 3
                && let Some(dim) = sole_dim(index, axis)
            {
                out.push((*buffer, dim));
            }
        }
        for (b, index) in stores(k) {
            if index.len() >= 3
                && let Some(dim) = sole_dim(index, axis)
            {
                out.push((b, dim));
            }
        }
    }
    out
}

/// The dim whose index is the axis alone.
fn sole_dim(index: &[Index], axis: AxisId) -> Option<usize> {
    index.iter().position(|i| i.as_axis() == Some(axis))
}

/// Whether some dim's index adds several axes up.
fn windowed(index: &[Index]) -> bool {
    index.iter().any(|i| i.terms().len() > 1)
}

/// In a kernel that reduces over a window: the parallel axis that stands alone in a dim of the windowed load, next to the window dims.
fn channel_axis(k: &Kernel) -> Option<AxisId> {
    let over: Vec<AxisId> =
        k.body.iter().filter_map(|s| if let Stmt::Reduce { over, .. } = s { Some(over.clone()) } else { None }).flatten().collect();
    for e in &k.exprs {
        if let ExprKind::Load { index, .. } = &e.kind {
            let slides = |i: &Index| over.iter().any(|x| i.mentions(*x)) && i.terms().len() > 1 && !in_blocks(k, &over, i);
            let global = index.iter().filter(|i| i.as_axis().is_some_and(|a| over.contains(&a))).count() >= 2;
            if (index.iter().any(slides) || global) && index.len() >= 3 {
                // Batch comes first, channels next: of the lone parallel axes the last before the window.
                let lone: Vec<AxisId> = index.iter().filter_map(Index::as_axis).filter(|a| k.is_parallel(*a)).collect();
                if let Some(a) = lone.last() {
                    return Some(*a);
                }
            }
        }
    }
    None
}

/// Whether each point reduces a block of its own, long enough to run along it.
fn in_blocks(k: &Kernel, over: &[AxisId], index: &Index) -> bool {
    over.iter().any(|x| {
        let one = index.coefficient(*x).is_some_and(|c| c.as_const() == Some(1));
        let block = k.extent(*x).as_const().filter(|e| *e >= SHORTEST_BLOCK);
        let apart = |size: i64| index.terms().iter().all(|(a, c)| *a == Atom::Axis(*x) || c.as_const().is_some_and(|c| c >= size));
        one && block.is_some_and(apart)
    })
}

fn stores(k: &Kernel) -> impl Iterator<Item = (BufferId, &[Index])> {
    k.body.iter().filter_map(|s| match s {
        Stmt::Store { buffer, index, .. } => Some((*buffer, index.as_slice())),
        _ => None,
    })
}

/// Elementwise kernels want of one side what the other side has.
fn spread(p: &Program, wish: &mut [Option<usize>]) {
    let elementwise: Vec<&Kernel> = p.kernels.iter().filter(|k| contract::recognize(p, k).is_none()).collect();
    for _ in 0..p.kernels.len().min(256) {
        let mut changed = false;
        for k in &elementwise {
            let loads: Vec<(BufferId, &[Index])> = k
                .exprs
                .iter()
                .filter_map(|e| if let ExprKind::Load { buffer, index, .. } = &e.kind { Some((*buffer, index.as_slice())) } else { None })
                .collect();
            let all: Vec<(BufferId, &[Index])> = stores(k).chain(loads).collect();
            // The axis that the strongest wish makes innermost.
            let axis = all.iter().find_map(|(b, index)| index.get(wish[b.0 as usize]?)?.as_axis());
            let Some(axis) = axis.filter(|a| k.is_parallel(*a)) else { continue };
            for (b, index) in &all {
                if wish[b.0 as usize].is_none()
                    && p.buffer(*b).kind == BufferKind::Temp
                    && index.len() >= 3
                    && let Some(dim) = sole_dim(index, axis)
                {
                    wish[b.0 as usize] = Some(dim);
                    changed = true;
                }
            }
        }
        if !changed {
            return;
        }
    }
}

/// Inputs and outputs keep the layout that the user sees, constants that of the file. Where a window wants another, a copy in between is
/// laid out freely.
fn convert_edges(p: &mut Program) {
    let wish = wishes(p);
    for b in p.buffer_ids() {
        let buffer = p.buffer(b).clone();
        let Some(last) = wish[b.0 as usize] else { continue };
        let moves = last + 1 != buffer.dims.len() && buffer.dims[last].as_const() != Some(1);
        // Moving a dim past dims of size 1 changes nothing in memory.
        let matters = buffer.dims[last + 1..].iter().any(|d| d.as_const() != Some(1));
        if !moves || !matters {
            continue;
        }
        let inner = Buffer { name: format!("{}.laid", buffer.name).into(), kind: BufferKind::Temp, ..buffer.clone() };
        match buffer.kind {
            BufferKind::Input(_) => {
                let to = p.add_buffer(inner);
                p.kernels.iter_mut().for_each(|k| k.rename_buffers(&|x| if x == b { to } else { x }));
                p.kernels.insert(0, copy_kernel(&format!("{LAYOUT}{}", buffer.name), b, to, &buffer, &[]));
            }
            BufferKind::Output(_) => {
                let from = p.add_buffer(inner);
                p.kernels.iter_mut().for_each(|k| k.rename_buffers(&|x| if x == b { from } else { x }));
                p.kernels.push(copy_kernel(&format!("{LAYOUT}{}", buffer.name), from, b, &buffer, &[]));
            }
            // Rearranged while compiling, for those that want it: the copy reads nothing but a constant.
            BufferKind::Const(_) => {
                let to = p.add_buffer(inner);
                let readers: Vec<usize> = (0..p.kernels.len()).filter(|i| kernel_wishes(p, &p.kernels[*i]).contains(&(b, last))).collect();
                readers.into_iter().for_each(|i| p.kernels[i].rename_buffers(&|x| if x == b { to } else { x }));
                p.kernels.insert(0, copy_kernel(&format!("{LAYOUT}{}", buffer.name), b, to, &buffer, &[]));
            }
            BufferKind::Temp => {}
        }
    }
}

/// Moves one dim of each buffer that wants so to the innermost place, everywhere.
fn permute(p: &mut Program, last: &[Option<usize>]) {
    fn moved<T: Clone>(v: &[T], last: usize) -> Vec<T> {
        let mut out = v.to_vec();
        let x = out.remove(last);
        out.push(x);
        out
    }
    for (b, last) in p.buffers.iter_mut().zip(last) {
        if let Some(last) = last {
            b.dims = Dims::from(moved(&b.dims, *last));
        }
    }
    let of = |b: &BufferId| last[b.0 as usize];
    for k in &mut p.kernels {
        for e in &mut k.exprs {
            if let ExprKind::Load { buffer, index, .. } = &mut e.kind
                && let Some(last) = of(buffer)
            {
                *index = moved(index, last);
            }
        }
        for s in &mut k.body {
            if let Stmt::Store { buffer, index, .. } = s
                && let Some(last) = of(buffer)
            {
                *index = moved(index, last);
            }
        }
    }
}

/// How contiguous the accesses are along an axis: the number of loads and stores with stride 1, minus those that must gather.
pub fn contiguity(p: &Program, k: &Kernel, axis: AxisId) -> i64 {
    let live = k.live_exprs();
    let mut score = 0;
    let mut count = |b: BufferId, index: &[Index], weight: i64| match linearize(index, &p.buffer(b).dims).coefficient(axis).map(|c| c.as_const()) {
        Some(Some(1)) => score += 2 * weight,
        Some(Some(0)) => {}
        _ => score -= 2 * weight,
    };
    for (e, l) in k.exprs.iter().zip(live) {
        if let (true, ExprKind::Load { buffer, index, .. }) = (l, &e.kind) {
            count(*buffer, index, 1);
        }
    }
    for (b, index) in stores(k) {
        count(b, index, 2);
    }
    score
}
