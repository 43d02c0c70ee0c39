//! Contractions: recognized by structure (a sum of products of two loads whose axes split into batch, m, n and k), and given an
//! operand B that the register tile can stream: packed into panels of 16 columns, or row-major as it lies.
//!
//! Factors are f32; bf16, added in f32; or an unsigned and a signed code of 8 bits whose products are added in i32. The panels of the last two
//! hold neighbours of the inner sum next to each other for each column, as many as have room in 32 bits.

use crate::blocks;
use crate::graph::copy_kernel;
use crate::rewrite::{AxisMap, rebuild};
use lapidary_ir::{DType, Dim, Dims, Name};
use lapidary_kernel::{
    Atom, AxisId, BAND, BinaryOp, Buffer, BufferId, BufferKind, ExprId, ExprKind, Factor, Factors, Guard, Index, Kernel, KernelBuilder, LAYOUT, PACK,
    PANEL, Program, QUAD, ReduceOp, Schedule, Stmt, WINOGRAD, linearize,
};
use rustc_hash::FxHashMap;

/// Fewer columns leave most of a vector empty.
const SHORTEST: i64 = 8;

/// The roles of a contraction's axes and loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    pub batch: Vec<AxisId>,
    pub m: Vec<AxisId>,
    pub n: Vec<AxisId>,
    /// The inner loop is the last.
    pub k: Vec<AxisId>,
    pub a: ExprId,
    pub b: ExprId,
    pub factors: Factors,
}

impl Contract {
    pub fn schedule(&self) -> Schedule {
        let ids = |v: &[AxisId]| v.iter().map(|a| a.0).collect();
        Schedule::Contract { batch: ids(&self.batch), m: ids(&self.m), n: ids(&self.n), k: ids(&self.k), a: self.a.0, b: self.b.0 }
    }
}

struct Operand<'a> {
    expr: ExprId,
    buffer: BufferId,
    index: &'a [Index],
    guard: &'a Guard,
}

fn operand(k: &Kernel, factor: Factor) -> Option<Operand<'_>> {
    match &k.expr(factor.load).kind {
        ExprKind::Load { buffer, index, guard, .. } => Some(Operand { expr: factor.load, buffer: *buffer, index, guard }),
        _ => None,
    }
}

/// The contraction that a kernel is, if it is one that the register tile can compute.
pub fn recognize(p: &Program, k: &Kernel) -> Option<Contract> {
    if let Some(c) = k.blocked() {
        return blocks::recognize(p, k, &c);
    }
    let (first, rest) = k.body.split_first()?;
    let Stmt::Reduce { local, op: ReduceOp::Sum, over, value } = first else { return None };
    if k.serial || !k.local(*local).axes.is_empty() || over.is_empty() {
        return None;
    }
    if !rest.iter().all(|s| matches!(s, Stmt::Store { axes, .. } if axes.is_empty())) {
        return None;
    }
    let ExprKind::Binary(BinaryOp::Mul, x, y) = k.expr(*value).kind else { return None };
    let (factors, [x, y]) = k.factors(k.local(*local).dtype, x, y)?;
    // An unsigned code on the left, a signed one on the right; signed ones count as unsigned when 128 is added.
    let unsigned = |f: Factor| (k.expr(f.load).dtype == DType::U8) != f.moved;
    let zero = |f: Factor| match &k.expr(f.load).kind {
        ExprKind::Load { otherwise, .. } => otherwise.is_none_or(|o| matches!(k.expr(o).kind, ExprKind::Const(s) if s.as_f64() == 0.0)),
        _ => false,
    };
    let fits = |a: Factor, b: Factor| match factors {
        Factors::Codes => unsigned(a) && !unsigned(b),
        Factors::F32 | Factors::Bf16 => zero(a) && zero(b),
    };
    // The store says which axis is innermost; constants are what can be packed for free.
    let constant = |f: Factor| matches!(&k.expr(f.load).kind, ExprKind::Load { buffer, .. } if p.buffer(*buffer).constant().is_some());
    let mut roles = [(x, y), (y, x)];
    if constant(x) && !constant(y) {
        roles.swap(0, 1);
    }
    roles.into_iter().filter(|(a, b)| fits(*a, *b)).find_map(|(a, b)| assign(p, k, over, &operand(k, a)?, &operand(k, b)?, factors))
}

fn assign(p: &Program, k: &Kernel, over: &[AxisId], a: &Operand<'_>, b: &Operand<'_>, factors: Factors) -> Option<Contract> {
    let used = |o: &Operand<'_>, axis: AxisId| o.index.iter().any(|i| i.mentions(axis)) || o.guard.iter().any(|(i, _)| i.mentions(axis));
    let computed = |o: &Operand<'_>| {
        o.index.iter().chain(o.guard.iter().map(|(i, _)| i)).any(|i| {
            let mut v = vec![];
            i.values(&mut v);
            !v.is_empty()
        })
    };
    // What changes from step to step cannot be packed before the first.
    let changes = k.recurrence.is_some_and(|r| used(b, r.axis));
    if !b.guard.is_empty() || computed(a) || computed(b) || changes {
        return None;
    }
    let mut c = Contract { batch: vec![], m: vec![], n: vec![], k: vec![], a: a.expr, b: b.expr, factors };
    // Each step of a recurrence is a product of its own.
    c.batch.extend(k.parallel_axes().take(k.leading()));
    for axis in k.free_axes() {
        match (used(a, axis), used(b, axis)) {
            (true, true) => c.batch.push(axis),
            (true, false) => c.m.push(axis),
            (false, true) => c.n.push(axis),
            (false, false) => c.batch.push(axis),
        }
    }
    if over.iter().any(|x| !used(a, *x) || !used(b, *x)) {
        return None;
    }
    let flat_a = linearize(a.index, &p.buffer(a.buffer).dims);
    let flat_b = linearize(b.index, &p.buffer(b.buffer).dims);
    // B must be a plain strided array along its own axes, so that it can be packed or streamed.
    let grouped = |x: AxisId| in_groups(b.index, x, PANEL) || factors != Factors::F32 && in_groups(b.index, x, factors.group());
    if c.n.iter().chain(over).any(|x| flat_b.coefficient(*x).is_none() && !grouped(*x)) {
        return None;
    }
    // The columns that lie next to each other in the result come last.
    let store = k.body.iter().find_map(|s| match s {
        Stmt::Store { buffer, index, .. } => Some(linearize(index, &p.buffer(*buffer).dims)),
        _ => None,
    })?;
    // So do rows: what the next tile reads and writes besides can be fetched then.
    let strides: Option<Vec<i64>> = c.m.iter().map(|x| store.coefficient(*x)?.as_const()).collect();
    if let Some(strides) = strides {
        let mut rows: Vec<(i64, AxisId)> = strides.into_iter().zip(c.m).collect();
        rows.sort_by_key(|(stride, _)| std::cmp::Reverse(*stride));
        c.m = rows.into_iter().map(|(_, x)| x).collect();
    }
    let long = |x: AxisId| k.extent(x).as_const().is_none_or(|e| e >= SHORTEST);
    let inner = *c.n.iter().find(|x| store.coefficient(**x).and_then(|c| c.as_const()) == Some(1) && long(**x)).or(c.n.last())?;
    c.n.retain(|x| *x != inner);
    c.n.push(inner);
    // Panels that are not full pay where several rows read them.
    let full = c.n.len() == 1 || k.extent(inner).as_const().is_some_and(|e| e % PANEL == 0);
    if !full && c.m.is_empty() && k.recurrence.is_none() && p.buffer(b.buffer).constant().is_none() {
        return None;
    }
    if !long(inner) {
        return None;
    }
    // The inner loop walks A by a fixed stride, without a guard: of those, the smallest stride.
    let strided = |x: &AxisId| flat_a.coefficient(*x).is_some() && !a.guard.iter().any(|(i, _)| i.mentions(*x));
    let rank = |x: &AxisId| match flat_a.coefficient(*x).and_then(|c| c.as_const()) {
        Some(1) => 0,
        Some(_) => 1,
        None => 2,
    };
    let best = over.iter().filter(|x| strided(x)).min_by_key(|x| rank(x)).copied();
    c.k = over.to_vec();
    if let Some(best) = best {
        c.k.retain(|x| *x != best);
        c.k.push(best);
    } else {
        return None;
    }
    // Codes take whole groups of factors: beyond their end anything may lie, as it is multiplied by zeros. With floats it must not, NaN times zero is
    // NaN, and tiles take the last one alone, where it is known that there is one.
    let known = factors != Factors::Bf16 || c.k.last().is_some_and(|x| k.extent(*x).as_const().is_some());
    known.then_some(c)
}

/// Whether the axis walks packed groups: as quotient and remainder by their width, and in no other way.
fn in_groups(index: &[Index], axis: AxisId, width: i64) -> bool {
    let width = Dim::from(width);
    let parts: Vec<&Atom> = index.iter().filter(|i| i.mentions(axis)).flat_map(|i| i.terms()).map(|(a, _)| a).collect();
    let whole = |x: &Index, d: &Dim| x.as_axis() == Some(axis) && *d == width;
    matches!(parts.as_slice(), [Atom::FloorDiv(x, d), Atom::Mod(y, e)] if whole(x, d) && whole(y, e))
}

/// The panels that exist: of which buffer, copied how, how large.
pub type Packed = FxHashMap<(BufferId, Vec<Index>, Dims), BufferId>;

/// Gives every contraction's B the form that the register tile streams. Constants become packed constants (made by the caller's constant
/// folding), others are packed by a kernel of their own just before.
pub fn pack(p: &mut Program) {
    let mut packed = Packed::default();
    let mut i = 0;
    while i < p.kernels.len() {
        let Some(c) = recognize(p, &p.kernels[i]) else {
            i += 1;
            continue;
        };
        if c.factors == Factors::Codes && with_room(p, i, &c) {
            i += 1;
        }
        let k = p.kernels[i].clone();
        if let Some(b) = k.blocked() {
            if !blocks::in_panels(&k, &b)
                && let Some((copies, new)) = blocks::pack(p, &k, &b, &mut packed)
            {
                p.kernels[i] = new;
                let count = copies.len();
                p.kernels.splice(i..i, copies);
                i += count;
            }
            i += 1;
            continue;
        }
        let ExprKind::Load { buffer, index, .. } = &k.expr(c.b).kind else { continue };
        if !fits(p, &k, &c) {
            i += 1;
            continue;
        }
        if !streams(p, &k, &c, *buffer, index) {
            let (kernel, target, shape) = packing(p, &k, &c, *buffer, index);
            let key = (*buffer, canonical(&kernel), shape.dims.clone());
            let constant = p.buffer(*buffer).constant().is_some();
            let to = match packed.get(&key) {
                Some(b) if constant => *b,
                _ => {
                    let id = p.add_buffer(shape);
                    let mut kernel = kernel;
                    retarget(&mut kernel, id);
                    let before = p.run_of(i).start;
                    p.kernels.insert(before, kernel);
                    i += 1;
                    packed.insert(key, id);
                    id
                }
            };
            let (from, p_dtype) = (*buffer, k.expr(c.b).dtype);
            let original = index.clone();
            let map = AxisMap::same(&k);
            p.kernels[i] = rebuild(&k, &map, &mut |k, site| {
                if site.buffer == from && site.index == original { k.load(to, p_dtype, target.clone()) } else { site.keep(k) }
            });
        }
        i += 1;
    }
}

/// Two axes of columns that lie side by side in the result become one, so that fewer panels are partly empty and the rows are read once for both;
/// constants that are read along them are laid side by side, too.
pub fn merge_columns(p: &mut Program) {
    let mut i = 0;
    while i < p.kernels.len() {
        if let Some(kernels) = merged_columns(p, &p.kernels[i].clone()) {
            let mut kernels = kernels;
            let (before, copies) = (p.run_of(i).start, kernels.len() - 1);
            p.kernels.splice(i..=i, kernels.split_off(copies));
            p.kernels.splice(before..before, kernels);
            i += copies;
        }
        i += 1;
    }
}

/// The kernel with two axes of columns in one, last, and the copies of constants that it reads.
fn merged_columns(p: &mut Program, k: &Kernel) -> Option<Vec<Kernel>> {
    let c = recognize(p, k)?;
    let (inner, others) = c.n.split_last()?;
    let width = k.extent(*inner).as_const()?;
    // Along the outer axis begins what along the inner one ends.
    let follows = |flat: &Index, outer: AxisId| {
        let step = |a: AxisId| flat.coefficient(a).and_then(|c| c.as_const());
        step(*inner) == Some(1) && step(outer) == Some(width)
    };
    let flat = |b: BufferId, index: &[Index]| linearize(index, &p.buffer(b).dims);
    let stored = |outer: AxisId| {
        k.body.iter().all(|s| match s {
            Stmt::Store { buffer, index, guard, .. } => guard.is_empty() && follows(&flat(*buffer, index), outer),
            _ => true,
        })
    };
    let outer = *others.iter().find(|x| stored(**x) && k.extent(**x).as_const().is_some())?;
    let columns = |i: &Index| i.mentions(*inner) || i.mentions(outer);
    let mut apart: Vec<(BufferId, Vec<Index>)> = vec![];
    for (e, live) in k.exprs.iter().zip(k.live_exprs()) {
        match &e.kind {
            ExprKind::Load { buffer, index, guard, .. } if live && index.iter().chain(guard.iter().map(|(i, _)| i)).any(columns) => {
                if !guard.is_empty() {
                    return None;
                }
                if !follows(&flat(*buffer, index), outer) && !apart.contains(&(*buffer, index.clone())) {
                    p.buffer(*buffer).constant()?;
                    apart.push((*buffer, index.clone()));
                }
            }
            ExprKind::Index(i) if live && columns(i) => return None,
            ExprKind::Within(g) if live && g.iter().any(|(i, _)| columns(i)) => return None,
            _ => {}
        }
    }
    let mut kernels = vec![];
    let mut laid: Vec<(BufferId, Vec<Index>)> = vec![];
    for (from, index) in &apart {
        let source = p.buffer(*from).clone();
        let mut axes = vec![];
        index.iter().for_each(|i| i.axes(&mut axes));
        axes.sort();
        axes.dedup();
        axes.retain(|a| *a != outer && *a != *inner);
        let mut b = KernelBuilder::new(format!("{LAYOUT}{}", source.name), &k.origin);
        let mut at = vec![Index::from(0); k.axes.len()];
        for a in axes.iter().chain([&outer, inner]) {
            at[a.0 as usize] = b.parallel(&k.axes[a.0 as usize].name, k.extent(*a).clone()).into();
        }
        let read: Vec<Index> = index.iter().map(|i| i.substitute(&|a| at[a.0 as usize].clone(), &Index::value, &|a| b.extent(a))).collect();
        let column = |outer: Index, inner: Index| outer.scale(&Dim::from(width)).add(&inner);
        let to: Vec<Index> = axes.iter().map(|a| at[a.0 as usize].clone()).collect();
        let to = to.into_iter().chain([column(at[outer.0 as usize].clone(), at[inner.0 as usize].clone())]);
        let dims = axes.iter().map(|a| k.extent(*a).clone()).chain([k.extent(outer) * &Dim::from(width)]).collect();
        let buffer = p.add_buffer(Buffer { name: format!("{}.columns", source.name).into(), dims, kind: BufferKind::Temp, ..source.clone() });
        let v = b.load(*from, source.dtype, read);
        b.store(buffer, to, v);
        kernels.push(b.finish());
        let here = axes.iter().map(|a| Index::from(*a)).chain([column(outer.into(), (*inner).into())]);
        laid.push((buffer, here.collect()));
    }
    let same = rebuild(k, &AxisMap::same(k), &mut |b, l| match apart.iter().position(|(from, index)| *from == l.buffer && *index == l.index) {
        Some(i) => b.load(laid[i].0, l.dtype, laid[i].1.clone()),
        None => l.keep(b),
    });
    kernels.push(rebuild(&same, &AxisMap::merge(&same, outer, *inner), &mut |b, l| l.keep(b)));
    Some(kernels)
}

/// Axes of rows that every access walks as one (all but the windows of convolutions) become one: a row is a number then, not a point to be found.
pub fn merge_rows(p: &mut Program) {
    for i in 0..p.kernels.len() {
        if p.kernels[i].name.starts_with(WINOGRAD) {
            continue;
        }
        while let Some(new) = merged_row(p, &p.kernels[i]) {
            p.kernels[i] = new;
        }
    }
}

fn merged_row(p: &Program, k: &Kernel) -> Option<Kernel> {
    let c = recognize(p, k)?;
    // Bands stay apart.
    let alone = usize::from(k.name.starts_with(BAND));
    // The inner ones first: remainders of remainders add up again, quotients of quotients do not.
    c.m.windows(2).filter(|pair| usize::from(pair[0].0) >= alone).rev().find_map(|pair| {
        let map = AxisMap::merge(k, pair[0], pair[1]);
        let row = map.list[pair[0].0 as usize][0];
        let new = rebuild(k, &map, &mut |k, l| l.keep(k));
        let joint = |b: BufferId, index: &[Index]| linearize(index, &p.buffer(b).dims).coefficient(row).is_some();
        let free = |g: &Guard| g.iter().all(|(i, _)| i.coefficient(row).is_some());
        let exprs = new.exprs.iter().all(|e| match &e.kind {
            ExprKind::Load { buffer, index, guard, .. } => joint(*buffer, index) && free(guard),
            ExprKind::Index(i) => !i.mentions(row),
            ExprKind::Within(g) => free(g),
            _ => true,
        });
        let stores = new.body.iter().all(|s| match s {
            Stmt::Store { buffer, index, guard, .. } => joint(*buffer, index) && free(guard),
            _ => true,
        });
        (exprs && stores && recognize(p, &new).is_some()).then_some(new)
    })
}

/// Codes are read in groups, of which the last may reach beyond the buffer: where that is not the arena's, which has room at its end, a copy is
/// read that is. Gives whether a kernel was put before kernel `i`.
fn with_room(p: &mut Program, i: usize, c: &Contract) -> bool {
    let k = &p.kernels[i];
    let (ExprKind::Load { buffer, .. }, Some(inner)) = (&k.expr(c.a).kind, c.k.last()) else { return false };
    let from = *buffer;
    let whole = k.extent(*inner).as_const().is_some_and(|e| e % QUAD == 0);
    if whole || p.buffer(from).kind == BufferKind::Temp {
        return false;
    }
    let source = p.buffer(from).clone();
    let to = p.add_buffer(Buffer { name: format!("{}.roomy", source.name).into(), kind: BufferKind::Temp, ..source.clone() });
    p.kernels[i].rename_buffers(&|b| if b == from { to } else { b });
    let before = p.run_of(i).start;
    p.kernels.insert(before, copy_kernel(&format!("{LAYOUT}{}", source.name), from, to, &source, &[]));
    true
}

/// Whether the tile can compute it in the layouts that the buffers have by now, and should: codes and 16-bit floats are read in groups along the
/// inner sum, and putting B into panels for a single row would cost more than the product, unless every step of a recurrence reads it.
pub fn fits(p: &Program, k: &Kernel, c: &Contract) -> bool {
    let (ExprKind::Load { buffer, index, .. }, Some(inner)) = (&k.expr(c.a).kind, c.k.last()) else { return false };
    let next_to_each_other = || linearize(index, &p.buffer(*buffer).dims).coefficient(*inner).and_then(|d| d.as_const()) == Some(1);
    if c.factors != Factors::F32 && !next_to_each_other() {
        return false;
    }
    let ExprKind::Load { buffer, index, .. } = &k.expr(c.b).kind else { return false };
    let one_row = c.m.iter().all(|a| k.extent(*a).as_const() == Some(1));
    !one_row
        || k.recurrence.is_some()
        || c.factors == Factors::Codes
        || k.blocked().is_some()
        || p.buffer(*buffer).constant().is_some()
        || streams(p, k, c, *buffer, index)
}

/// Whether B can be read as it lies: columns next to each other, whole panels.
fn streams(p: &Program, k: &Kernel, c: &Contract, buffer: BufferId, index: &[Index]) -> bool {
    let flat = linearize(index, &p.buffer(buffer).dims);
    let Some(inner) = c.n.last() else { return false };
    // Made in panels.
    if c.factors != Factors::F32 {
        return false;
    }
    if in_groups(index, *inner, PANEL) {
        return true;
    }
    let stride_one = flat.coefficient(*inner).and_then(|d| d.as_const()) == Some(1);
    let whole = k.extent(*inner).as_const().is_some_and(|e| e % PANEL == 0);
    // Several column axes must together have one stride from panel to panel.
    let joint = c.n.len() == 1;
    // A constant is worth packing always: panels next to each other are read in one stream.
    stride_one && whole && joint && p.buffer(buffer).constant().is_none()
}

/// The kernel that packs B into `[batch…, n outer…, ceil(n / 16), k…, 16]`, codes and 16-bit floats into
/// `[…, ceil(n / 16), taps…, ceil(inner / group), 16, group]`, the index of the packed load, and the packed buffer.
fn packing(p: &Program, k: &Kernel, c: &Contract, buffer: BufferId, index: &[Index]) -> (Kernel, Vec<Index>, Buffer) {
    let source = p.buffer(buffer);
    let (inner, outer) = match c.n.split_last() {
        Some((i, o)) => (*i, o.to_vec()),
        None => (AxisId(0), vec![]),
    };
    let batch: Vec<AxisId> = c.batch.iter().copied().filter(|x| index.iter().any(|i| i.mentions(*x))).collect();
    let n = k.extent(inner).clone();
    let panels = n.ceil_div(&Dim::from(PANEL));
    let name: Name = format!("{}.packed", source.name).into();
    let origin: Vec<Name> = k.origin.first().cloned().into_iter().collect();
    let mut b = KernelBuilder::new(format!("{PACK}{}", source.name), &origin);
    let mut at = vec![Index::from(0); k.axes.len()];
    let mut dims = Dims::new();
    let mut store: Vec<Index> = vec![];
    let mut load: Vec<Index> = vec![];
    for x in batch.iter().chain(&outer) {
        let axis = b.parallel(&k.axes[x.0 as usize].name, k.extent(*x).clone());
        at[x.0 as usize] = axis.into();
        dims.push(k.extent(*x).clone());
        store.push(axis.into());
        load.push((*x).into());
    }
    let panel = b.parallel("panel", panels.clone());
    dims.push(panels);
    store.push(panel.into());
    load.push(Index::from(inner).floor_div(&Dim::from(PANEL), &|a| k.extent(a).clone()));
    let of = |a: AxisId| k.extent(a).clone();
    let width = c.factors.group();
    let mut guard = vec![];
    for x in &c.k {
        let grouped = width > 1 && Some(x) == c.k.last();
        let extent = k.extent(*x).clone();
        let groups = if grouped { extent.ceil_div(&Dim::from(width)) } else { extent };
        let axis = b.parallel(&k.axes[x.0 as usize].name, groups.clone());
        at[x.0 as usize] = axis.into();
        dims.push(groups);
        store.push(axis.into());
        load.push(if grouped { Index::from(*x).floor_div(&Dim::from(width), &of) } else { (*x).into() });
    }
    let groups = c.k.last().map(|x| at[x.0 as usize].clone());
    let mut group = |b: &mut KernelBuilder, name: &str, axis: AxisId, width: i64, outer: Index| {
        let lane = b.parallel(name, Dim::from(width));
        dims.push(Dim::from(width));
        store.push(lane.into());
        load.push(Index::from(axis).modulo(&Dim::from(width), &of));
        at[axis.0 as usize] = outer.scale(&Dim::from(width)).add(&lane.into());
        guard.push((at[axis.0 as usize].clone(), k.extent(axis).clone()));
    };
    group(&mut b, "lane", inner, PANEL, panel.into());
    if let (true, Some(last), Some(groups)) = (width > 1, c.k.last(), groups) {
        group(&mut b, "part", *last, width, groups);
    }
    let dtype = k.expr(c.b).dtype;
    let from: Vec<Index> = index.iter().map(|i| i.substitute(&|a| at[a.0 as usize].clone(), &Index::value, &|a| b.extent(a))).collect();
    let v = b.load_guarded(buffer, dtype, from, guard, None);
    b.store(BufferId(u32::MAX), store, v);
    (b.finish(), load, Buffer { name, dtype, dims, kind: BufferKind::Temp })
}

/// The load of a packing kernel: equal for equal packings.
pub fn canonical(k: &Kernel) -> Vec<Index> {
    k.exprs.iter().filter_map(|e| if let ExprKind::Load { index, .. } = &e.kind { Some(index.clone()) } else { None }).flatten().collect()
}

pub fn retarget(k: &mut Kernel, to: BufferId) {
    for s in &mut k.body {
        if let Stmt::Store { buffer, .. } = s {
            *buffer = to;
        }
    }
}
