//! Fusion on kernels. Each rule says when it is legal (index algebra) and when it pays (bytes saved against work repeated):
//!
//! 1. **views** (one load, one store, or no load at all) are inlined into every reader; the reader must not lose its structure by it.
//! 2. **epilogues**: an elementwise reader of what a kernel stores, over the same points, moves into that kernel's store.
//! 3. **producers**: an elementwise kernel moves into the loads of a reader that reads each element once (or is cheap to repeat).

use crate::rewrite::{AxisMap, Copier, LoadSite, copy_stmt, normalize, rebuild, shell, solve};
use crate::uses::{Uses, live_reads, sweep};
use crate::{contract, integers, narrow, stems};
use lapidary_ir::{DType, Dim};
use lapidary_kernel::{AxisId, BinaryOp, BufferId, BufferKind, ExprId, ExprKind, Index, Kernel, KernelBuilder, Program, Stmt, UnaryOp};

/// Runs the rules until none applies.
pub fn fuse(p: &mut Program) {
    for k in &mut p.kernels {
        *k = normalize(std::mem::replace(k, KernelBuilder::new("", &[]).finish()));
    }
    // Each application removes a kernel or a read, so the limit is far beyond what can happen; it guards against a rule gone wrong.
    let limit = 16 * p.kernels.len() + 64;
    run(p, inline_views, limit);
    narrow::rewrite(p);
    run(p, inline_views, limit);
    // Quantizing and dequantizing would move into other kernels' epilogues: codes are found before.
    integers::rewrite(p);
    sweep(p);
    for rule in [inline_widening as Rule, fuse_epilogues, inline_views, inline_producers, fuse_epilogues, inline_views] {
        run(p, rule, limit);
    }
    // Axes that are merged here would be split again by the rules above.
    stems::rewrite(p);
    run(p, inline_producers, limit);
}

fn run(p: &mut Program, rule: Rule, limit: usize) {
    for _ in 0..limit {
        let mut uses = Uses::of(p);
        let changed = rule(p, &mut uses);
        sweep(p);
        if !changed {
            break;
        }
    }
}

/// Applies wherever it can on one walk through the kernels; gives whether it did anywhere.
type Rule = fn(&mut Program, &mut Uses) -> bool;

/// A kernel of one store, nothing local: `b[…] = value`. What a recurrence stores is there step by step only.
pub(crate) fn single_store(k: &Kernel) -> Option<(BufferId, &[Index], ExprId)> {
    match k.body.as_slice() {
        [Stmt::Store { buffer, index, axes, guard, value }] if axes.is_empty() && guard.is_empty() && !k.serial && k.recurrence.is_none() => {
            Some((*buffer, index, *value))
        }
        _ => None,
    }
}

/// Only stores at the parallel points.
fn is_map(k: &Kernel) -> bool {
    !k.serial && k.recurrence.is_none() && k.body.iter().all(|s| matches!(s, Stmt::Store { axes, .. } if axes.is_empty()))
}

/// How dear an expression is, in additions; and how many loads it has.
fn cost(k: &Kernel, e: ExprId) -> (usize, usize) {
    let (mut seen, mut work, mut ops, mut loads) = (vec![false; k.exprs.len()], vec![e], 0, 0);
    while let Some(e) = work.pop() {
        if std::mem::replace(&mut seen[e.0 as usize], true) {
            continue;
        }
        let kind = &k.expr(e).kind;
        match kind {
            ExprKind::Load { .. } => loads += 1,
            ExprKind::Unary(UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not | UnaryOp::BitNot, _) | ExprKind::Select(..) | ExprKind::Cast(_) => ops += 1,
            ExprKind::Unary(..) | ExprKind::Binary(BinaryOp::Div | BinaryOp::Pow | BinaryOp::Mod | BinaryOp::Rem, ..) => ops += 10,
            ExprKind::Binary(..) | ExprKind::Fma(..) => ops += 1,
            _ => {}
        }
        work.extend(kind.operands());
    }
    (ops, loads)
}

/// A load and nothing else, or a value made of sizes and positions alone.
fn is_view(k: &Kernel) -> bool {
    let Some((_, _, value)) = single_store(k) else { return false };
    match &k.expr(value).kind {
        ExprKind::Load { index, guard, .. } => {
            let mut values = vec![];
            index.iter().for_each(|i| i.values(&mut values));
            guard.iter().for_each(|(i, _)| i.values(&mut values));
            values.is_empty()
        }
        ExprKind::Const(_) => true,
        _ => {
            let (ops, loads) = cost(k, value);
            loads == 0 && ops <= 8
        }
    }
}

/// Replaces the loads of `b` in `reader` by what `producer` stores there. `None` when the store cannot be inverted for some load.
pub(crate) fn inline(p: &Program, producer: &Kernel, b: BufferId, reader: &Kernel) -> Option<Kernel> {
    let (_, store_index, value) = single_store(producer)?;
    let dims = &p.buffer(b).dims;
    let axes: Vec<(AxisId, Dim)> = producer.parallel_axes().map(|a| (a, producer.extent(a).clone())).collect();
    let mut failed = false;
    let map = AxisMap::same(reader);
    let new = rebuild(reader, &map, &mut |k, site| {
        if site.buffer != b {
            return site.keep(k);
        }
        // Dims of size 1 have index 0 on both sides; the solver sees them as covered by no axis.
        let Some(solved) = solve(&axes, store_index, dims, &site.index, &|a| k.extent(a)) else {
            failed = true;
            return site.keep(k);
        };
        let mut at = vec![Index::from(0); producer.axes.len()];
        solved.into_iter().for_each(|(a, i)| at[a.0 as usize] = i);
        let LoadSite { guard, otherwise, dtype, .. } = site;
        let mut copier = Copier::new(producer, at, 0);
        // A view of 0 outside, read as 0 outside, is one load with both guards; so is one of 16-bit floats.
        let viewed = match producer.expr(value).kind {
            ExprKind::Cast(v) if producer.expr(v).dtype == DType::BF16 && dtype == DType::F32 => v,
            _ => value,
        };
        let pure =
            zero(k.kernel(), otherwise) && matches!(&producer.expr(viewed).kind, ExprKind::Load { otherwise, .. } if zero(producer, *otherwise));
        let new = copier.expr(k, value, &mut |k, mut inner: LoadSite| {
            // Where the reader's guard fails, the producer's loads must not be reached either; a scalar is there always.
            if !inner.index.is_empty() {
                inner.guard.extend(guard.iter().cloned());
            }
            inner.keep(k)
        });
        if guard.is_empty() || pure {
            return new;
        }
        let inside = k.within(guard);
        let outside = otherwise.unwrap_or_else(|| k.constant(dtype, 0.0));
        k.select(inside, new, outside)
    });
    (!failed).then(|| normalize(new))
}

/// Whether a load's alternative is 0.
pub(crate) fn zero(k: &Kernel, otherwise: Option<ExprId>) -> bool {
    otherwise.is_none_or(|o| matches!(k.expr(o).kind, ExprKind::Const(s) if s.as_f64() == 0.0 && s.as_f64().is_sign_positive()))
}

/// Whether the kernel walks every local or reduced axis by plain strides: what the row and contract templates need.
fn local_strides(k: &Kernel) -> bool {
    let live = k.live_exprs();
    k.exprs.iter().zip(live).filter(|(_, l)| *l).all(|(e, _)| match &e.kind {
        ExprKind::Load { index, .. } => {
            index.iter().all(|i| (k.parallel as u16..k.axes.len() as u16).all(|a| i.coefficient(AxisId(a)).is_some() || !i.mentions(AxisId(a))))
        }
        _ => true,
    })
}

fn inline_views(p: &mut Program, u: &mut Uses) -> bool {
    let mut changed = false;
    for i in 0..p.kernels.len() {
        let producer = &p.kernels[i];
        let Some((b, ..)) = single_store(producer) else { continue };
        if !is_view(producer) || p.buffer(b).kind != BufferKind::Temp || u.writers(b).len() != 1 {
            continue;
        }
        for r in u.readers(b).to_vec() {
            let reader = &p.kernels[r];
            let Some(new) = inline(p, &p.kernels[i], b, reader) else { continue };
            let lost = (contract::recognize(p, reader).is_some() && contract::recognize(p, &new).is_none())
                || (local_strides(reader) && !local_strides(&new));
            if !lost {
                u.replace(p, r, new);
                changed = true;
            }
        }
        u.tidy(p, i);
    }
    changed
}

fn inline_producers(p: &mut Program, u: &mut Uses) -> bool {
    inline_into_readers(p, u, |_, _, _| true)
}

/// Of producers those that read fewer bytes than they write, before they can become the epilogue of what they read: codes are best stored as
/// codes.
fn inline_widening(p: &mut Program, u: &mut Uses) -> bool {
    inline_into_readers(p, u, |p, k, b| {
        live_reads(k).iter().all(|r| p.buffer(*r).dtype.bits() < p.buffer(b).dtype.bits() || p.buffer(*r).dims.is_empty())
    })
}

fn inline_into_readers(p: &mut Program, u: &mut Uses, which: fn(&Program, &Kernel, BufferId) -> bool) -> bool {
    let mut changed = false;
    for i in 0..p.kernels.len() {
        let producer = &p.kernels[i];
        let Some((b, _, value)) = single_store(producer) else { continue };
        if !which(p, producer, b) {
            continue;
        }
        let readers = u.readers(b).to_vec();
        if p.buffer(b).kind != BufferKind::Temp || u.writers(b).len() != 1 || readers.is_empty() {
            continue;
        }
        let (ops, loads) = cost(producer, value);
        // Dequantizing is six operations; a scale and a zero point of the whole tensor are read once.
        let elements = live_reads(producer).iter().filter(|r| !p.buffer(**r).dims.is_empty()).count();
        let cheap = ops <= 6 && loads.min(elements) <= 1;
        if readers.len() > 1 && !cheap {
            continue;
        }
        // What the producer reads must not be overwritten by then; buffers are written once, so order is all that matters.
        let fits = |r: &usize| {
            let reader = &p.kernels[*r];
            !reader.serial && (cheap || reads_once(p, reader, b)) && contract::recognize(p, reader).is_none()
        };
        if !readers.iter().all(fits) {
            continue;
        }
        let new: Option<Vec<(usize, Kernel)>> = readers.iter().map(|r| Some((*r, inline(p, producer, b, &p.kernels[*r])?))).collect();
        let Some(new) = new else { continue };
        if new.iter().any(|(r, k)| local_strides(&p.kernels[*r]) && !local_strides(k)) || !new.iter().all(|(_, k)| k.exprs.len() < 600) {
            continue;
        }
        let origin = producer.origin.clone();
        for (r, mut k) in new {
            merge_origin(&mut k, &origin);
            u.replace(p, r, keep_row(k));
        }
        u.remove(p, i);
        changed = true;
    }
    changed
}

/// Whether the kernel reads each element of `b` at one point only: every axis strides through `b`, no two share a dim as a window does.
fn reads_once(p: &Program, k: &Kernel, b: BufferId) -> bool {
    let live = k.live_exprs();
    let mut index: Option<&Vec<Index>> = None;
    for (e, l) in k.exprs.iter().zip(live) {
        if let (true, ExprKind::Load { buffer, index: i, .. }) = (l, &e.kind)
            && *buffer == b
        {
            if index.is_some_and(|seen| seen != i) {
                return false;
            }
            index = Some(i);
        }
    }
    let Some(index) = index else { return false };
    let axes: Vec<(AxisId, Dim)> = (0..k.axes.len() as u16).map(|a| (AxisId(a), k.extent(AxisId(a)).clone())).collect();
    let here: Vec<(AxisId, Dim)> = axes.iter().filter(|(a, _)| index.iter().any(|i| i.mentions(*a))).cloned().collect();
    // Parallel axes that the load does not mention repeat it.
    let repeated = axes.iter().any(|(a, _)| k.is_parallel(*a) && !here.iter().any(|(x, _)| x == a));
    !repeated && solve(&here, index, &p.buffer(b).dims, index, &|a| k.extent(a).clone()).is_some()
}

/// A value along local axes that several statements compute from loads is computed once and kept in a local array.
fn keep_row(k: Kernel) -> Kernel {
    let users: Vec<usize> = (0..k.body.len()).filter(|s| !matches!(&k.body[*s], Stmt::Let { .. })).collect();
    if users.len() < 2 || is_map(&k) {
        return k;
    }
    // The dearest expression that two statements share and that varies along exactly one local axis.
    let mut best: Option<(usize, ExprId, AxisId)> = None;
    let shared = shared_exprs(&k);
    for e in shared {
        let (ops, loads) = cost(&k, e);
        if ops < 4 || loads == 0 {
            continue;
        }
        let along = local_axes(&k, e);
        if let [axis] = along.as_slice()
            && best.is_none_or(|(c, ..)| c < ops)
        {
            best = Some((ops, e, *axis));
        }
    }
    let Some((_, e, axis)) = best else { return k };
    if !depends_on_locals(&k, e) {
        return hoist(k, e, axis);
    }
    k
}

fn shared_exprs(k: &Kernel) -> Vec<ExprId> {
    let mut count = vec![0usize; k.exprs.len()];
    for s in &k.body {
        let mut seen = vec![false; k.exprs.len()];
        let mut work = s.exprs();
        while let Some(e) = work.pop() {
            if !std::mem::replace(&mut seen[e.0 as usize], true) {
                count[e.0 as usize] += 1;
                work.extend(k.expr(e).kind.operands());
            }
        }
    }
    (0..k.exprs.len()).filter(|i| count[*i] >= 2).map(|i| ExprId(i as u32)).collect()
}

/// The axes on which an expression depends, sorted.
pub(crate) fn axes_of(k: &Kernel, e: ExprId) -> Vec<AxisId> {
    let (mut seen, mut work, mut out) = (vec![false; k.exprs.len()], vec![e], vec![]);
    while let Some(e) = work.pop() {
        if std::mem::replace(&mut seen[e.0 as usize], true) {
            continue;
        }
        let mut add = |i: &Index| i.axes(&mut out);
        match &k.expr(e).kind {
            ExprKind::Index(i) => add(i),
            ExprKind::Within(g) => g.iter().for_each(|(i, _)| add(i)),
            ExprKind::Load { index, guard, .. } => {
                index.iter().for_each(&mut add);
                guard.iter().for_each(|(i, _)| add(i));
            }
            ExprKind::Local(l) => out.extend(k.local(*l).axes.iter().copied()),
            _ => {}
        }
        work.extend(k.expr(e).kind.operands());
    }
    out.sort();
    out.dedup();
    out
}

/// The axes beyond the parallel ones on which an expression depends.
fn local_axes(k: &Kernel, e: ExprId) -> Vec<AxisId> {
    axes_of(k, e).into_iter().filter(|a| !k.is_parallel(*a)).collect()
}

fn depends_on_locals(k: &Kernel, e: ExprId) -> bool {
    let (mut seen, mut work) = (vec![false; k.exprs.len()], vec![e]);
    while let Some(e) = work.pop() {
        if matches!(k.expr(e).kind, ExprKind::Local(_)) {
            return true;
        }
        if !std::mem::replace(&mut seen[e.0 as usize], true) {
            work.extend(k.expr(e).kind.operands());
        }
    }
    false
}

/// `let row[axis] = e` before everything else, and `row` wherever `e` was.
fn hoist(k: Kernel, e: ExprId, axis: AxisId) -> Kernel {
    let mut b = KernelBuilder::edit(k.clone());
    let dtype = b.dtype(e);
    let row = b.keep(&[axis], e);
    let mut new = b.finish();
    let Some(keep) = new.body.pop() else { return k };
    // Users are copied with `e` replaced; the statement that keeps the row goes first.
    let map = AxisMap::same(&new);
    let mut out = shell(&new, &map);
    let mut copier = Copier::new(&new, map.index.clone(), 0);
    copy_stmt(&mut out, &mut copier, &keep, &map, &mut |k, l| l.keep(k));
    let local = match &new.expr(row).kind {
        ExprKind::Local(l) => *l,
        _ => return k,
    };
    let mut copier = Copier::new(&new, map.index.clone(), 0);
    let replacement = out.expr(dtype, ExprKind::Local(local));
    copier.replace(e, replacement);
    for s in &k.body {
        copy_stmt(&mut out, &mut copier, s, &map, &mut |k, l| l.keep(k));
    }
    out.finish()
}

fn fuse_epilogues(p: &mut Program, u: &mut Uses) -> bool {
    let mut changed = false;
    for c in 0..p.kernels.len() {
        // Once more where a kernel has taken another in: it may take its next producer in, too.
        while let Some((w, place, mut new)) = epilogue(p, u, c) {
            merge_origin(&mut new, &p.kernels[c].origin);
            let gone = if place == w { c } else { w };
            u.remove(p, gone);
            u.replace(p, place, new);
            u.tidy(p, place);
            changed = true;
        }
    }
    changed
}

/// The kernel `w` whose epilogue kernel `c` can become, where the union stands, and the union.
fn epilogue(p: &Program, u: &Uses, c: usize) -> Option<(usize, usize, Kernel)> {
    let reader = &p.kernels[c];
    if !is_map(reader) {
        return None;
    }
    live_reads(reader).into_iter().find_map(|b| {
        let &[w] = u.writers(b) else { return None };
        if w >= c || p.kernels[w].serial || p.kernels[w].recurrence.is_some() {
            return None;
        }
        let place = merged_place(p, u, w, c)?;
        let new = with_epilogue(p, &p.kernels[w], reader)?;
        let lost = contract::recognize(p, &p.kernels[w]).is_some() && contract::recognize(p, &new).is_none();
        (!lost).then_some((w, place, new))
    })
}

pub(crate) fn merge_origin(k: &mut Kernel, origin: &[lapidary_ir::Name]) {
    for o in origin {
        if !k.origin.contains(o) {
            k.origin.push(o.clone());
        }
    }
}

/// Where the union of kernels `w < c` can stand: at `c`, when nothing in between reads what `w` writes, or at `w`, when everything that
/// `c` reads is there by then.
fn merged_place(p: &Program, u: &Uses, w: usize, c: usize) -> Option<usize> {
    let written = p.kernels[w].writes();
    // Pieces of one buffer may be written in any order, but what runs point by point in order writes over what was there before.
    let overwritten = |b: &BufferId| u.writers(*b).iter().any(|x| p.kernels[*x].serial);
    if written.iter().chain(&p.kernels[c].writes()).any(overwritten) {
        return None;
    }
    if written.iter().all(|b| u.readers(*b).iter().all(|r| *r <= w || *r >= c)) {
        return Some(c);
    }
    let ready = |b: &BufferId| u.writers(*b).iter().all(|x| *x <= w);
    live_reads(&p.kernels[c]).iter().all(ready).then_some(w)
}

/// `producer` with `reader`'s stores added, and without the stores that nobody else reads (those are swept by the caller's liveness).
fn with_epilogue(p: &Program, producer: &Kernel, reader: &Kernel) -> Option<Kernel> {
    // Only what lies at the end can feed an epilogue: all stores at the same points.
    let first = producer.body.iter().position(|s| matches!(s, Stmt::Store { .. }))?;
    let stores = &producer.body[first..];
    let mut common: Option<&Vec<AxisId>> = None;
    for s in stores {
        let Stmt::Store { axes, guard, .. } = s else { return None };
        if !guard.is_empty() || common.is_some_and(|c| c != axes) {
            return None;
        }
        common = Some(axes);
    }
    let local = common?.clone();
    let map = AxisMap::same(producer);
    let mut k = shell(producer, &map);
    let mut copier = Copier::new(producer, map.index.clone(), 0);
    for s in &producer.body {
        copy_stmt(&mut k, &mut copier, s, &map, &mut |k, l| l.keep(k));
    }
    // The reader's axes from the first buffer that both know.
    let stored: Vec<(BufferId, Vec<Index>, ExprId)> = k
        .kernel()
        .body
        .iter()
        .filter_map(|s| match s {
            Stmt::Store { buffer, index, value, .. } => Some((*buffer, index.clone(), *value)),
            _ => None,
        })
        .collect();
    let axes: Vec<(AxisId, Dim)> = reader.parallel_axes().map(|a| (a, reader.extent(a).clone())).collect();
    let mut at: Option<Vec<Index>> = None;
    let live = reader.live_exprs();
    for (e, live) in reader.exprs.iter().zip(&live) {
        let (true, ExprKind::Load { buffer, index, guard, .. }) = (live, &e.kind) else { continue };
        let Some((_, target, _)) = stored.iter().find(|(b, ..)| b == buffer) else { continue };
        // Of several stores each reaches a part only.
        if !guard.is_empty() || stored.iter().filter(|(b, ..)| b == buffer).count() > 1 {
            return None;
        }
        if at.is_none() {
            let solved = solve(&axes, index, &p.buffer(*buffer).dims, target, &|a| k.extent(a))?;
            let mut all = vec![Index::from(0); reader.axes.len()];
            solved.into_iter().for_each(|(a, i)| all[a.0 as usize] = i);
            at = Some(all);
        }
    }
    let at = at?;
    let mut mismatch = false;
    let mut copier = Copier::new(reader, at, k.kernel().locals.len() as u32);
    for s in &reader.body {
        let Stmt::Store { buffer, index, guard, value, .. } = s else { return None };
        let mut load = |k: &mut KernelBuilder, site: LoadSite| match stored.iter().find(|(b, ..)| *b == site.buffer) {
            Some((_, target, v)) => {
                mismatch |= *target != site.index || !site.guard.is_empty();
                *v
            }
            None => site.keep(k),
        };
        let index = index.iter().map(|i| copier.index(&mut k, i, &mut load)).collect();
        let guard = copier.guard(&mut k, guard, &mut load);
        let value = copier.expr(&mut k, *value, &mut load);
        k.kernel_mut().body.push(Stmt::Store { buffer: *buffer, index, axes: local.clone(), guard, value });
    }
    if mismatch {
        return None;
    }
    Some(normalize(k.finish()))
}
