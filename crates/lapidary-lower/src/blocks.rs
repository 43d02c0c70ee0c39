//! Weights in blocks: a product with codes of 2, 4 or 8 bits, whose scales and zero points change from block to block along the sum, is
//! written as a sum over blocks of sums within a block (see [`lapidary_kernel::blocked`]), so that the codes are never unpacked in memory.
//!
//! `Σ_k x[k] · (q[k] − z)·s = Σ_b s[b] · (Σ_j x[b, j] · q[b, j]) − s[b]·z[b] · Σ_j x[b, j]`
//!
//! Where the left factor is signed codes with a scale for each block, too (activations that an operator rounds to 8 bits), the inner sums are
//! integers.

use crate::contract::{self, Contract};
use crate::fuse::{axes_of, inline, merge_origin, single_store};
use crate::integers::{self, Computed, Writers, factors};
use crate::rewrite::{AxisMap, Copier, copy_stmt, rebuild, shell};
use lapidary_ir::{DType, Dim};
use lapidary_kernel::blocked::{WORD_BITS, is_code, packed_dims, packed_index, packed_scale_index};
use lapidary_kernel::{
    Atom, AxisId, BinaryOp, Blocked, Buffer, BufferId, BufferKind, ExprId, ExprKind, Factors, Index, Kernel, KernelBuilder, PACK, PANEL, Program,
    ReduceOp, Stmt,
};

/// The kernel in blocks; `before` gets the kernels that compute what it reads besides.
pub fn rewrite(p: &mut Program, k: &Kernel, writer: Writers<'_, '_>, before: &mut Vec<Kernel>) -> Option<Kernel> {
    let k = inlined(p, k, writer)?;
    let (x, y) = factors(&k)?;
    let (a, b) = [(x, y), (y, x)].into_iter().find(|(a, b)| is_weight(p, &k, *b) && !is_weight(p, &k, *a))?;
    let buffers = p.buffers.len();
    let mut kernels = vec![];
    let new = build(p, &k, a, b, &mut kernels).filter(|new| contract::recognize(p, new).is_some());
    match new {
        Some(_) => before.append(&mut kernels),
        None => p.buffers.truncate(buffers),
    }
    new
}

/// The kernel with the dequantization of both factors inlined.
fn inlined(p: &Program, k: &Kernel, writer: Writers<'_, '_>) -> Option<Kernel> {
    let (x, y) = factors(k)?;
    for e in [x, y] {
        let ExprKind::Load { buffer, .. } = &k.expr(e).kind else { continue };
        let Some(from) = writer(*buffer) else { continue };
        let Some((b, _, value)) = single_store(from) else { continue };
        if b == *buffer && coded(from, value).is_some() {
            let mut inlined = inline(p, from, b, k)?;
            merge_origin(&mut inlined, &from.origin);
            return self::inlined(p, &inlined, writer);
        }
    }
    Some(k.clone())
}

/// `(load − zero) · scale`, the load of codes.
struct Coded {
    load: ExprId,
    zero: Option<ExprId>,
    scale: Option<ExprId>,
}

fn coded(k: &Kernel, e: ExprId) -> Option<Coded> {
    let (e, scale) = match k.expr(e).kind {
        ExprKind::Binary(BinaryOp::Mul, v, s) if k.expr(e).dtype == DType::F32 => (v, Some(s)),
        _ => (e, None),
    };
    let cast = |e: ExprId| match k.expr(e).kind {
        ExprKind::Cast(v) => v,
        _ => e,
    };
    let e = cast(e);
    let (e, zero) = match k.expr(e).kind {
        ExprKind::Binary(BinaryOp::Sub, v, z) if matches!(k.expr(e).dtype, DType::F32 | DType::I32) => (v, Some(z)),
        _ => (e, None),
    };
    let load = cast(e);
    let unguarded = matches!(&k.expr(load).kind, ExprKind::Load { guard, .. } if guard.is_empty());
    (unguarded && is_code(k.expr(load).dtype)).then_some(Coded { load, zero, scale })
}

/// Whether a factor is made of codes that the model holds.
fn is_weight(p: &Program, k: &Kernel, e: ExprId) -> bool {
    let constant = |e: ExprId| matches!(&k.expr(e).kind, ExprKind::Load { buffer, .. } if p.buffer(*buffer).constant().is_some());
    coded(k, e).is_some_and(|c| c.scale.is_some() && constant(c.load))
}

/// How many neighbours along `axis` share what the expressions say; `None` where that is not blocks of one size. Without any mention of the
/// axis, all of them do.
fn block_of(k: &Kernel, axis: AxisId, exprs: &[ExprId]) -> Option<Dim> {
    let mut block: Option<Dim> = None;
    let (mut work, mut seen) = (exprs.to_vec(), vec![false; k.exprs.len()]);
    while let Some(e) = work.pop() {
        if std::mem::replace(&mut seen[e.0 as usize], true) {
            continue;
        }
        let kind = &k.expr(e).kind;
        let index: &[Index] = match kind {
            ExprKind::Load { index, guard, .. } if guard.is_empty() => index,
            ExprKind::Index(i) => std::slice::from_ref(i),
            ExprKind::Load { .. } | ExprKind::Within(_) => return None,
            _ => &[],
        };
        for (atom, _) in index.iter().flat_map(|i| i.terms()) {
            match atom {
                Atom::FloorDiv(x, d) if x.as_axis() == Some(axis) && block.as_ref().is_none_or(|b| b == d) => block = Some(d.clone()),
                Atom::Axis(x) if *x != axis => {}
                Atom::FloorDiv(x, _) | Atom::Mod(x, _) if !x.mentions(axis) => {}
                _ => return None,
            }
        }
        work.extend(kind.operands());
    }
    Some(block.unwrap_or_else(|| k.extent(axis).clone()))
}

/// The axes that count blocks (none for a single one), the axis that walks a block, and what became of the kernel's axes, when the sum is over
/// blocks that share `shared`.
fn split(k: &Kernel, over: &[AxisId], shared: &[ExprId]) -> Option<(Vec<AxisId>, AxisId, AxisMap)> {
    // Views split the sum's axis: the last part that blocks do not tell apart, or only some of it, is what they are cut from.
    let (axis, block) = over.iter().rev().find_map(|a| Some((*a, block_of(k, *a, shared)?.as_const()?)))?;
    let depth = k.extent(axis).as_const()?;
    let mut outer: Vec<AxisId> = over.iter().copied().filter(|a| *a != axis).collect();
    if block == depth {
        return Some((outer, axis, AxisMap::same(k)));
    }
    if block == 0 || depth % block != 0 {
        return None;
    }
    let map = AxisMap::split(k, axis, Dim::from(depth / block), Dim::from(block));
    // Axes behind the one that is split have other numbers now.
    outer.push(axis);
    outer.sort();
    let outer = outer.iter().map(|a| map.list[a.0 as usize][0]).collect();
    Some((outer, map.list[axis.0 as usize][1], map))
}

/// The kernel with its sum in blocks.
fn build(p: &mut Program, k: &Kernel, a: ExprId, b: ExprId, before: &mut Vec<Kernel>) -> Option<Kernel> {
    let Some(Stmt::Reduce { local, over, .. }) = k.body.first() else { return None };
    let weight = coded(k, b)?;
    let bits = k.expr(weight.load).dtype.bits() as i64;
    let rows = match coded(k, a) {
        // Signed by unsigned codes are what instructions multiply.
        Some(c) if k.expr(c.load).dtype == DType::I8 && c.zero.is_none() && !k.expr(weight.load).dtype.is_signed_int() => Some(c),
        Some(_) => return None,
        None if matches!(&k.expr(a).kind, ExprKind::Load { guard, .. } if guard.is_empty()) && k.expr(a).dtype == DType::F32 => None,
        None => return None,
    };
    let row_scale = rows.as_ref().and_then(|r| r.scale);
    let shared: Vec<ExprId> = [weight.zero, weight.scale, row_scale].into_iter().flatten().collect();
    let (outer, inner, map) = split(k, over, &shared)?;
    let block = map.axes[inner.0 as usize].extent.as_const()?;
    let single = outer.is_empty();
    if block == 0 || block % (WORD_BITS / bits) != 0 || single && rows.is_some() {
        return None;
    }
    let mut n = shell(k, &map);
    let mut copier = Copier::new(k, map.index.clone(), 0);
    let mut copy = |n: &mut KernelBuilder, e: ExprId| copier.expr(n, e, &mut |k, l| l.keep(k));

    let sum = if rows.is_some() { DType::I32 } else { DType::F32 };
    let code = copy(&mut n, weight.load);
    let left = copy(&mut n, rows.as_ref().map_or(a, |r| r.load));
    let (code, left) = (n.cast(sum, code), n.cast(sum, left));
    let steady = match weight.zero {
        None => Some(0),
        Some(z) => integers::whole(p, k, z).filter(|z| z.abs() < 256),
    };
    let taken = match steady {
        Some(z) if z != 0 && rows.is_none() => {
            let z = n.constant(DType::F32, z as f64);
            n.sub(code, z)
        }
        _ => code,
    };
    let product = n.mul(left, taken);
    let partial = match single {
        true => {
            n.kernel_mut().body.push(Stmt::Reduce { local: *local, op: ReduceOp::Sum, over: vec![inner], value: product });
            n.expr(sum, ExprKind::Local(*local))
        }
        false => n.reduce_along(ReduceOp::Sum, sum, &outer, &[inner], product),
    };
    let scale = copy(&mut n, weight.scale?);
    let scale = n.cast(DType::F32, scale);
    let row_scale = row_scale.map(|r| copy(&mut n, r));
    let mut value = partial;
    if let (Some(z), true) = (steady.filter(|z| *z != 0), rows.is_some()) {
        let z = n.int(DType::I32, z);
        let sums = integers::side_sums(p, n.kernel(), (left, z), &[inner], sum, before);
        let minus = sums.load(&mut n);
        value = n.sub(value, minus);
    }
    value = n.cast(DType::F32, value);
    let columns = computed(p, n.kernel(), "scale", scale, &outer, before).load(&mut n);
    let factor = match row_scale {
        Some(r) => n.mul(r, columns),
        None => columns,
    };
    value = n.mul(value, factor);
    if steady.is_none() {
        let zero = copy(&mut n, weight.zero?);
        let zero = n.cast(DType::F32, zero);
        let minus = n.constant(DType::F32, -1.0);
        let zero = n.mul(zero, minus);
        let column = n.mul(zero, scale);
        let column = computed(p, n.kernel(), "offset", column, &outer, before).load(&mut n);
        let one = n.int(sum, 1);
        let sums = integers::side_sums(p, n.kernel(), (left, one), &[inner], sum, before).load(&mut n);
        let sums = n.cast(DType::F32, sums);
        let row = match row_scale {
            Some(r) => {
                let v = n.mul(sums, r);
                computed(p, n.kernel(), "row", v, &outer, before).load(&mut n)
            }
            None => sums,
        };
        let offset = n.mul(row, column);
        value = n.add(value, offset);
    }
    if !single {
        n.kernel_mut().body.push(Stmt::Reduce { local: *local, op: ReduceOp::Sum, over: outer, value });
        value = n.expr(DType::F32, ExprKind::Local(*local));
    }
    copier.replace_local(*local, value);
    for s in &k.body[1..] {
        copy_stmt(&mut n, &mut copier, s, &map, &mut |k, l| l.keep(k));
    }
    Some(n.finish())
}

/// A kernel that computes `value` at all axes on which it depends, and at those that count blocks.
fn computed(p: &mut Program, k: &Kernel, name: &str, value: ExprId, blocks: &[AxisId], before: &mut Vec<Kernel>) -> Computed {
    let (mut b, at, used, _) = integers::over_axes_of(k, name, &[value], blocks, &[]);
    let mut copier = Copier::new(k, at, 0);
    let value = copier.expr(&mut b, value, &mut |k, l| l.keep(k));
    integers::finish(p, k, b, used, value, before)
}

/// The contraction that a product in blocks is.
pub fn recognize(p: &Program, k: &Kernel, c: &Blocked) -> Option<Contract> {
    let rest = &k.body[c.statements()..];
    if k.serial || !rest.iter().all(|s| matches!(s, Stmt::Store { axes, .. } if axes.is_empty())) {
        return None;
    }
    let n = k.only_axis(c.b)?;
    let m: Vec<AxisId> = k.parallel_axes().filter(|x| *x != n).collect();
    let used = axes_of(k, c.a);
    let constant = |e: ExprId| matches!(&k.expr(e).kind, ExprKind::Load { buffer, .. } if p.buffer(*buffer).constant().is_some());
    let rows = m.iter().all(|x| used.contains(x)) && !used.contains(&n);
    let over: Vec<AxisId> = c.block_axes().iter().copied().chain([c.inner]).collect();
    let known = over.iter().all(|x| k.extent(*x).as_const().is_some_and(|e| e > 0));
    let factors = if c.codes { Factors::Codes } else { Factors::F32 };
    (rows && known && constant(c.b)).then_some(Contract { batch: vec![], m, n: vec![n], k: over, a: c.a, b: c.b, factors })
}

fn indices(axes: &[AxisId]) -> Vec<Index> {
    axes.iter().map(|a| (*a).into()).collect()
}

/// Whether the codes lie in panels by now.
pub fn in_panels(k: &Kernel, c: &Blocked) -> bool {
    let (Some(n), ExprKind::Load { index, .. }) = (k.only_axis(c.b), &k.expr(c.b).kind) else { return false };
    let bits = k.expr(c.b).dtype.bits() as i64;
    *index == packed_index(&n.into(), &indices(c.block_axes()), &c.inner.into(), bits, &|a| k.extent(a).clone())
}

/// Puts codes and scales into panels; gives the kernel that reads them, and the copies before it.
pub fn pack(p: &mut Program, k: &Kernel, c: &Blocked, known: &mut contract::Packed) -> Option<(Vec<Kernel>, Kernel)> {
    let n = k.only_axis(c.b)?;
    let extent = |a: AxisId| k.extent(a).clone();
    let bits = k.expr(c.b).dtype.bits() as i64;
    let axes = c.block_axes();
    let counts: Vec<Dim> = axes.iter().map(|a| extent(*a)).collect();
    let codes = Form {
        dims: packed_dims(k.extent(n), &counts, k.extent(c.inner), bits),
        read: packed_index(&n.into(), &indices(axes), &c.inner.into(), bits, &extent),
        inner: Some(c.inner),
    };
    let mut all = vec![(c.b, codes)];
    if let Some(b) = &c.blocks {
        let dims: Vec<Dim> = [k.extent(n).ceil_div(&Dim::from(PANEL))].into_iter().chain(counts).chain([Dim::from(PANEL)]).collect();
        let read = packed_scale_index(&n.into(), &indices(axes), &extent);
        for e in [Some(b.scale), b.offset.map(|o| o.1)].into_iter().flatten() {
            all.push((e, Form { dims: dims.clone(), read: read.clone(), inner: None }));
        }
    }
    let (mut before, mut moved) = (vec![], vec![]);
    for (e, form) in all {
        let ExprKind::Load { buffer, index, .. } = &k.expr(e).kind else { return None };
        let kernel = form.kernel(p, k, (n, axes), *buffer, index);
        let key = (*buffer, contract::canonical(&kernel), form.dims.iter().cloned().collect());
        let to = match known.get(&key) {
            Some(b) => *b,
            None => {
                let source = p.buffer(*buffer);
                let name = format!("{}.panels", source.name).into();
                let to = p.add_buffer(Buffer { name, dtype: source.dtype, dims: form.dims.iter().cloned().collect(), kind: BufferKind::Temp });
                let mut kernel = kernel;
                contract::retarget(&mut kernel, to);
                before.push(kernel);
                known.insert(key, to);
                to
            }
        };
        moved.push((*buffer, index.clone(), to, form.read));
    }
    let new = rebuild(k, &AxisMap::same(k), &mut |n, site| match moved.iter().find(|(b, i, ..)| *b == site.buffer && *i == site.index) {
        Some((_, _, to, read)) => n.load(*to, site.dtype, read.clone()),
        None => site.keep(n),
    });
    Some((before, new))
}

/// How a buffer lies in panels.
struct Form {
    dims: Vec<Dim>,
    /// Where the product reads.
    read: Vec<Index>,
    /// The axis within a block, for codes.
    inner: Option<AxisId>,
}

impl Form {
    /// The copy into panels: one axis for each dim.
    fn kernel(&self, p: &Program, k: &Kernel, (n, blocks): (AxisId, &[AxisId]), from: BufferId, index: &[Index]) -> Kernel {
        let origin: Vec<_> = k.origin.first().cloned().into_iter().collect();
        let mut b = KernelBuilder::new(format!("{PACK}{}", p.buffer(from).name), &origin);
        let axes: Vec<Index> = b.parallel_all("i", &self.dims).into_iter().map(Index::from).collect();
        let times = |i: &Index, by: i64| i.scale(&Dim::from(by));
        let mut rest = axes.iter();
        let mut next = || rest.next().cloned().unwrap_or_else(|| Index::from(0));
        let panel = next();
        let mut at = vec![Index::from(0); k.axes.len()];
        for x in blocks {
            at[x.0 as usize] = next();
        }
        let word = self.inner.map(|_| next());
        let column = times(&panel, PANEL).add(&next());
        if let (Some(x), Some(word)) = (self.inner, word) {
            let per = WORD_BITS / p.buffer(from).dtype.bits() as i64;
            let part = next();
            at[x.0 as usize] = times(&word, per).add(&part).add(&times(&next(), lapidary_kernel::QUAD));
        }
        at[n.0 as usize] = column.clone();
        let source: Vec<Index> = index.iter().map(|i| i.substitute(&|a| at[a.0 as usize].clone(), &Index::value, &|a| b.extent(a))).collect();
        let v = b.load_guarded(from, p.buffer(from).dtype, source, vec![(column, k.extent(n).clone())], None);
        b.store(BufferId(u32::MAX), axes, v);
        b.finish()
    }
}
