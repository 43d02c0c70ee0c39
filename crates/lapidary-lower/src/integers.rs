//! Products of codes in integers. Where both factors of a sum of products are 8-bit codes less their zero points, times scales that do not
//! vary along the sum, the codes are multiplied and added in i32:
//!
//! `Σ (p − z)·s · (q − y)·t = s·t · (Σ p·q − z·Σ q − y·Σ p + K·z·y)` over `K` terms.
//!
//! The sums of one factor are kernels of their own, which cost nothing where the factor is a constant. Left factors are unsigned and right
//! factors signed, as instructions for dot products want them: others are moved by 128, and their zero points with them. Padding is a code
//! that equals the zero point.
//!
//! The largest of codes stands for the largest number, so that pooling stays in codes, too.
//!
//! Where no tile multiplies codes (depthwise convolutions), the same is done in f32, which holds sums of so few products exactly; the scales
//! then count once for each sum.
//!
//! Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018), §2.3.

use crate::fuse::{axes_of, inline, merge_origin, single_store, zero};
use crate::rewrite::{AxisMap, Copier, copy_stmt, shell};
use crate::{blocks, contract};
use lapidary_ir::{DType, Dim, Dims};
use lapidary_kernel::{
    AxisId, BinaryOp, Buffer, BufferId, BufferKind, ExprId, ExprKind, Guard, Index, Kernel, KernelBuilder, Program, ReduceOp, Stmt,
};
use rustc_hash::FxHashMap;

/// The most products of two codes of 8 bits whose sum f32 holds exactly, whatever they are: 2^24 / 2^16.
const MOST_EXACT: i64 = 256;

/// The only kernel that writes a buffer, where there is one.
pub type Writers<'a, 'k> = &'a dyn Fn(BufferId) -> Option<&'k Kernel>;

/// Rewrites every kernel that it can.
pub fn rewrite(p: &mut Program) {
    let kernels = std::mem::take(&mut p.kernels);
    let mut done: Vec<Kernel> = vec![];
    // The only kernel that writes a buffer.
    let mut writer: FxHashMap<BufferId, Option<usize>> = FxHashMap::default();
    for k in kernels {
        let mut new = vec![];
        let written_by = |b: BufferId| writer.get(&b).copied().flatten().map(|i| &done[i]);
        let k = match inlined(p, &k, &written_by, &|k, e| codes(k, e).is_some()) {
            Some(inlined) => in_integers(p, &inlined, &mut new).unwrap_or(k),
            None => {
                let other = blocks::rewrite(p, &k, &written_by, &mut new).or_else(|| in_halves(p, &k, &written_by));
                other.or_else(|| extremum(p, &k, &written_by)).unwrap_or(k)
            }
        };
        for k in new.into_iter().chain([k]) {
            for b in k.writes() {
                writer.entry(b).and_modify(|w| *w = None).or_insert(Some(done.len()));
            }
            done.push(k);
        }
    }
    p.kernels = done;
}

/// A product of 16-bit floats that are read as such, though a kernel of its own converts them.
fn in_halves(p: &Program, k: &Kernel, writer: Writers<'_, '_>) -> Option<Kernel> {
    let half = |k: &Kernel, e: ExprId| match k.expr(e).kind {
        ExprKind::Cast(v) => k.expr(v).dtype == DType::BF16 && matches!(k.expr(v).kind, ExprKind::Load { .. }),
        _ => false,
    };
    let new = inlined(p, k, writer, &half)?;
    contract::recognize(p, &new).map(|_| new)
}

/// The kernel with what computes its factors inlined, where each is of the form `fits` then.
fn inlined(p: &Program, k: &Kernel, writer: Writers<'_, '_>, fits: &dyn Fn(&Kernel, ExprId) -> bool) -> Option<Kernel> {
    let (x, y) = factors(k)?;
    for e in [x, y] {
        let ExprKind::Load { buffer, .. } = &k.expr(e).kind else { continue };
        let Some(from) = writer(*buffer) else { continue };
        let (b, _, value) = single_store(from)?;
        if !fits(from, value) {
            return None;
        }
        if b == *buffer {
            // Expressions are numbered anew; the other factor is found again by the caller.
            let mut new = inline(p, from, b, k)?;
            merge_origin(&mut new, &from.origin);
            return inlined(p, &new, writer, fits);
        }
    }
    (fits(k, x) && fits(k, y)).then(|| k.clone())
}

/// The two factors of a kernel that begins with a sum of products and then stores.
pub fn factors(k: &Kernel) -> Option<(ExprId, ExprId)> {
    let (Stmt::Reduce { local, op: ReduceOp::Sum, value, .. }, rest) = k.body.split_first()? else { return None };
    let local = k.local(*local);
    let stores = rest.iter().all(|s| matches!(s, Stmt::Store { axes, .. } if axes.is_empty()));
    if k.serial || !local.axes.is_empty() || !matches!(local.dtype, DType::F32 | DType::I32) || !stores {
        return None;
    }
    match k.expr(*value).kind {
        ExprKind::Binary(BinaryOp::Mul, x, y) => Some((x, y)),
        _ => None,
    }
}

/// `(load − zero) · scale`, the load of 8-bit codes; zero and scale the same all along the sum.
#[derive(Clone, Copy)]
struct Codes {
    load: ExprId,
    zero: Option<ExprId>,
    scale: Option<ExprId>,
}

fn codes(k: &Kernel, e: ExprId) -> Option<Codes> {
    // Outside the guard 0 is read, which is what the zero point stands for.
    let (e, outside) = match &k.expr(e).kind {
        ExprKind::Select(c, then, otherwise) if zero(k, Some(*otherwise)) => match &k.expr(*c).kind {
            ExprKind::Within(g) => (*then, Some(g)),
            _ => return None,
        },
        _ => (e, None),
    };
    let Codes { load, zero: zero_point, scale } = scaled(k, e, outside)?;
    let ExprKind::Load { guard, otherwise, .. } = &k.expr(load).kind else { return None };
    let padded = match outside {
        Some(g) => g == guard && zero(k, *otherwise),
        None => guard.is_empty() || otherwise.is_some_and(|o| zero_point.is_some_and(|z| stripped(k, z) == stripped(k, o))),
    };
    padded.then_some(Codes { load, zero: zero_point, scale })
}

/// What an expression within the guard `within` is, whatever it is outside.
fn scaled(k: &Kernel, e: ExprId, within: Option<&Guard>) -> Option<Codes> {
    let (e, scale) = match k.expr(e).kind {
        ExprKind::Binary(BinaryOp::Mul, v, s) if k.expr(e).dtype == DType::F32 => (v, Some(s)),
        _ => (e, None),
    };
    let e = match k.expr(e).kind {
        ExprKind::Cast(v) if k.expr(e).dtype == DType::F32 => v,
        _ => e,
    };
    let (e, zero_point) = match k.expr(e).kind {
        ExprKind::Binary(BinaryOp::Sub, v, z) if k.expr(e).dtype == DType::I32 => (v, Some(z)),
        _ => (e, None),
    };
    let load = match k.expr(e).kind {
        ExprKind::Cast(v) if k.expr(e).dtype == DType::I32 => v,
        _ => e,
    };
    let eight_bits = matches!(k.expr(load).kind, ExprKind::Load { .. }) && matches!(k.expr(load).dtype, DType::U8 | DType::I8);
    let all_steady = zero_point.iter().chain(&scale).all(|e| is_steady(k, *e, within));
    (eight_bits && all_steady).then_some(Codes { load, zero: zero_point, scale })
}

/// Whether a value is the same all along the sum; what is only read within the guard `within` may be read outside, too.
fn is_steady(k: &Kernel, e: ExprId, within: Option<&Guard>) -> bool {
    let moves = |i: &Index| {
        let mut axes = vec![];
        i.axes(&mut axes);
        axes.iter().any(|a| !k.is_parallel(*a))
    };
    let kind = &k.expr(e).kind;
    let itself = match kind {
        ExprKind::Local(_) | ExprKind::Within(_) => false,
        ExprKind::Index(i) => !moves(i),
        ExprKind::Load { index, guard, .. } => !index.iter().any(moves) && (guard.is_empty() || within == Some(guard)),
        _ => true,
    };
    itself && kind.operands().into_iter().all(|o| is_steady(k, o, within))
}

/// Copies a scale or zero point, without guards: see [`is_steady`].
fn steady(k: &mut KernelBuilder, copier: &mut Copier<'_>, e: ExprId) -> ExprId {
    copier.expr(k, e, &mut |k, l| k.load(l.buffer, l.dtype, l.index))
}

fn stripped(k: &Kernel, e: ExprId) -> ExprId {
    match k.expr(e).kind {
        ExprKind::Cast(v) => stripped(k, v),
        _ => e,
    }
}

/// One factor of the new kernel.
struct Side {
    /// The code, in the type of the sum.
    code: ExprId,
    /// Its zero point in the same type, unless that is 0.
    zero: Option<ExprId>,
    scale: Option<ExprId>,
}

/// Builds the kernel anew; `before` gets the kernels that compute what it reads besides.
fn in_integers(p: &mut Program, k: &Kernel, before: &mut Vec<Kernel>) -> Option<Kernel> {
    let (x, y) = factors(k)?;
    let constant = |e: ExprId| matches!(&k.expr(e).kind, ExprKind::Load { buffer, .. } if p.buffer(*buffer).constant().is_some());
    let (x, y) = (codes(k, x)?, codes(k, y)?);
    // Constants can be packed for free.
    let mut sides = [(x, y), (y, x)];
    if constant(sides[0].0.load) && !constant(sides[0].1.load) {
        sides.swap(0, 1);
    }
    let weights = constant(sides[0].1.load);
    for (a, b) in &sides {
        let buffers = p.buffers.len();
        let mut kernels = vec![];
        if let Some(new) = build(p, k, a, b, DType::I32, &mut kernels).filter(|new| contract::recognize(p, new).is_some()) {
            before.append(&mut kernels);
            return Some(new);
        }
        p.buffers.truncate(buffers);
    }
    let [(a, b), _] = &sides;
    if !weights || terms(k)?.as_const()? > MOST_EXACT {
        return None;
    }
    build(p, k, a, b, DType::F32, before)
}

/// The largest or smallest of numbers that stand for codes: found among the codes, as scales are positive. Padding, which no float exceeds,
/// is the code that no other exceeds; ONNX has no window of padding alone.
fn extremum(p: &Program, k: &Kernel, writer: Writers<'_, '_>) -> Option<Kernel> {
    let (Stmt::Reduce { local, op, over, value }, rest) = k.body.split_first()? else { return None };
    if let ExprKind::Load { buffer, .. } = &k.expr(*value).kind
        && let Some(from) = writer(*buffer)
    {
        let (_, _, codes) = single_store(from)?;
        scaled(from, codes, None)?;
        let mut new = inline(p, from, *buffer, k)?;
        merge_origin(&mut new, &from.origin);
        return extremum(p, &new, &|_| None);
    }
    let stores = rest.iter().all(|s| matches!(s, Stmt::Store { axes, .. } if axes.is_empty()));
    let of = k.local(*local);
    if k.serial || !matches!(op, ReduceOp::Max | ReduceOp::Min) || !of.axes.is_empty() || of.dtype != DType::F32 || !stores {
        return None;
    }
    let (value, guard, otherwise) = match &k.expr(*value).kind {
        ExprKind::Select(c, then, otherwise) => match &k.expr(*c).kind {
            ExprKind::Within(g) => (*then, g.clone(), Some(*otherwise)),
            _ => return None,
        },
        _ => (*value, vec![], None),
    };
    let infinite = |e: ExprId| matches!(k.expr(e).kind, ExprKind::Const(s) if s.as_f64().is_infinite() && s.as_f64().is_sign_negative() == (*op == ReduceOp::Max));
    let c = scaled(k, value, Some(&guard))?;
    let ExprKind::Load { buffer, index, guard: own, .. } = &k.expr(c.load).kind else { return None };
    if !otherwise.is_none_or(infinite) || *own != guard || !positive(p, k, c.scale?) {
        return None;
    }
    let dtype = k.expr(c.load).dtype;
    let map = AxisMap::same(k);
    let mut n = shell(k, &map);
    n.kernel_mut().locals[local.0 as usize].dtype = dtype;
    let mut copier = Copier::new(k, map.index.clone(), 0);
    let (zero, scale) = (c.zero.map(|z| steady(&mut n, &mut copier, z)), c.scale.map(|s| steady(&mut n, &mut copier, s))?);
    let index: Vec<Index> = index.iter().map(|i| copier.index(&mut n, i, &mut |k, l| l.keep(k))).collect();
    let guard = copier.guard(&mut n, &guard, &mut |k, l| l.keep(k));
    let (low, high) = dtype.int_range()?;
    let padding = n.int(dtype, if *op == ReduceOp::Max { low } else { high } as i64);
    let code = n.load_guarded(*buffer, dtype, index, guard, Some(padding));
    n.kernel_mut().body.push(Stmt::Reduce { local: *local, op: *op, over: over.clone(), value: code });
    let code = n.expr(dtype, ExprKind::Local(*local));
    let mut found = n.cast(DType::I32, code);
    if let Some(zero) = zero {
        found = n.sub(found, zero);
    }
    let found = n.cast(DType::F32, found);
    let result = n.mul(found, scale);
    copier.replace_local(*local, result);
    for s in rest {
        copy_stmt(&mut n, &mut copier, s, &map, &mut |k, l| l.keep(k));
    }
    Some(n.finish())
}

/// Whether an expression is a positive constant, or an element of a tensor of such.
fn positive(p: &Program, k: &Kernel, e: ExprId) -> bool {
    match &k.expr(e).kind {
        ExprKind::Const(s) => s.as_f64() > 0.0,
        ExprKind::Load { buffer, .. } => p.buffer(*buffer).constant().and_then(|c| c.to_f64()).is_some_and(|v| v.iter().all(|v| *v > 0.0)),
        _ => false,
    }
}

/// How many terms a sum in a kernel's first statement has.
fn terms(k: &Kernel) -> Option<Dim> {
    let Some(Stmt::Reduce { over, .. }) = k.body.first() else { return None };
    Some(over.iter().fold(Dim::from(1), |d, x| &d * k.extent(*x)))
}

/// The kernel with its sum in `sum`.
fn build(p: &mut Program, k: &Kernel, a: &Codes, b: &Codes, sum: DType, before: &mut Vec<Kernel>) -> Option<Kernel> {
    let Some(Stmt::Reduce { local, over, .. }) = k.body.first() else { return None };
    let floats = k.local(*local).dtype == DType::F32;
    let map = AxisMap::same(k);
    let mut n = shell(k, &map);
    n.kernel_mut().locals[local.0 as usize].dtype = sum;
    let mut copier = Copier::new(k, map.index.clone(), 0);
    let a = left(p, k, a, sum, &mut n, &mut copier)?;
    let b = right(p, k, b, sum, &mut n, &mut copier, before)?;
    let product = n.mul(a.code, b.code);
    n.kernel_mut().body.push(Stmt::Reduce { local: *local, op: ReduceOp::Sum, over: over.clone(), value: product });

    let mut total = n.expr(sum, ExprKind::Local(*local));
    for (zero, side) in [(a.zero, b.code), (b.zero, a.code)] {
        let Some(zero) = zero else { continue };
        let sums = side_sums(p, n.kernel(), (side, zero), over, sum, before);
        let v = sums.load(&mut n);
        total = n.sub(total, v);
    }
    if let (Some(z), Some(y)) = (a.zero, b.zero) {
        let terms = n.index(Index::from(terms(k)?));
        let terms = n.cast(sum, terms);
        let zeros = n.mul(z, y);
        let v = n.mul(zeros, terms);
        total = n.add(total, v);
    }
    let mut result = n.cast(if floats { DType::F32 } else { DType::I32 }, total);
    if floats {
        let scale = match (a.scale, b.scale) {
            (Some(s), Some(t)) => Some(common_scale(p, &mut n, s, t, before)),
            (s, t) => s.or(t),
        };
        if let Some(s) = scale {
            result = n.mul(result, s);
        }
    }
    copier.replace_local(*local, result);
    for s in &k.body[1..] {
        copy_stmt(&mut n, &mut copier, s, &map, &mut |k, l| l.keep(k));
    }
    Some(n.finish())
}

/// The left factor: unsigned codes, padded with their zero point.
fn left(p: &Program, k: &Kernel, c: &Codes, sum: DType, n: &mut KernelBuilder, copier: &mut Copier<'_>) -> Option<Side> {
    let ExprKind::Load { buffer, index, guard, .. } = &k.expr(c.load).kind else { return None };
    let dtype = k.expr(c.load).dtype;
    let zero = c.zero.map(|z| steady(n, copier, z));
    let zero = zero.filter(|z| !all_equal(p, n.kernel(), *z, 0));
    let index: Vec<Index> = index.iter().map(|i| copier.index(n, i, &mut |k, l| l.keep(k))).collect();
    let guard: Guard = copier.guard(n, guard, &mut |k, l| l.keep(k));
    let otherwise = zero.map(|z| n.cast(dtype, z));
    let load = n.load_guarded(*buffer, dtype, index, guard, otherwise);
    let code = n.cast(sum, load);
    let scale = c.scale.map(|s| steady(n, copier, s));
    let zero = zero.map(|z| n.cast(sum, z));
    if dtype == DType::U8 || sum == DType::F32 {
        return Some(Side { code, zero, scale });
    }
    let by = n.int(DType::I32, 128);
    let moved = match zero {
        Some(z) => n.add(z, by),
        None => by,
    };
    Some(Side { code: n.add(code, by), zero: Some(moved), scale })
}

/// The right factor: signed codes, without guards.
fn right(
    p: &mut Program,
    k: &Kernel,
    c: &Codes,
    sum: DType,
    n: &mut KernelBuilder,
    copier: &mut Copier<'_>,
    before: &mut Vec<Kernel>,
) -> Option<Side> {
    let ExprKind::Load { buffer, index, guard, .. } = &k.expr(c.load).kind else { return None };
    if !guard.is_empty() {
        return None;
    }
    let zero = c.zero.map(|z| steady(n, copier, z));
    let scale = c.scale.map(|s| steady(n, copier, s));
    let index: Vec<Index> = index.iter().map(|i| copier.index(n, i, &mut |k, l| l.keep(k))).collect();
    let nonzero = zero.filter(|z| !all_equal(p, n.kernel(), *z, 0));
    if sum == DType::F32 {
        // Numbers at compile time, and no zero points at all.
        if nonzero.is_some() {
            return None;
        }
        let to = recoded(p, *buffer, DType::F32, 0, before);
        return Some(Side { code: n.load(to, DType::F32, index), zero: None, scale });
    }
    if k.expr(c.load).dtype == DType::I8 {
        let load = n.load(*buffer, DType::I8, index);
        return Some(Side { code: n.cast(DType::I32, load), zero: nonzero, scale });
    }
    let to = recoded(p, *buffer, DType::I8, 128, before);
    let load = n.load(to, DType::I8, index);
    let by = n.int(DType::I32, 128);
    let moved = match zero {
        Some(z) if all_equal(p, n.kernel(), z, 128) => None,
        Some(z) => Some(n.sub(z, by)),
        None => Some(n.int(DType::I32, -128)),
    };
    Some(Side { code: n.cast(DType::I32, load), zero: moved, scale })
}

/// The codes of a buffer less `by`, as another type.
fn recoded(p: &mut Program, from: BufferId, dtype: DType, by: i64, before: &mut Vec<Kernel>) -> BufferId {
    let source = p.buffer(from);
    let name = format!("{}.{dtype}", source.name);
    let mut b = KernelBuilder::new(name.clone(), &[]);
    let at: Vec<Index> = b.parallel_all("i", &source.dims).into_iter().map(Index::from).collect();
    let v = b.load(from, source.dtype, at.clone());
    let v = b.cast(DType::I32, v);
    let by = b.int(DType::I32, by);
    let v = b.sub(v, by);
    let v = b.cast(dtype, v);
    let to = p.add_buffer(Buffer { name: name.into(), dtype, dims: source.dims.clone(), kind: BufferKind::Temp });
    b.store(to, at, v);
    before.push(b.finish());
    to
}

/// Whether an expression is a constant, or the element of a constant tensor, that is `value` wherever it is read.
fn all_equal(p: &Program, k: &Kernel, e: ExprId, value: i64) -> bool {
    whole(p, k, e) == Some(value)
}

/// The whole number that an expression is wherever it is read: a constant, or any element of a constant tensor.
pub fn whole(p: &Program, k: &Kernel, e: ExprId) -> Option<i64> {
    let whole = |v: f64| (v.fract() == 0.0 && v.abs() < (1u64 << 53) as f64).then_some(v as i64);
    match &k.expr(stripped(k, e)).kind {
        ExprKind::Const(s) => whole(s.as_f64()),
        ExprKind::Load { buffer, .. } => {
            let values = p.buffer(*buffer).constant()?.to_f64()?;
            let first = *values.first()?;
            values.iter().all(|v| *v == first).then(|| whole(first)).flatten()
        }
        _ => None,
    }
}

/// What a kernel of its own computes, and how to read it at the points of another.
pub struct Computed {
    buffer: BufferId,
    dtype: DType,
    at: Vec<Index>,
}

impl Computed {
    pub fn load(&self, k: &mut KernelBuilder) -> ExprId {
        k.load(self.buffer, self.dtype, self.at.iter().cloned())
    }
}

/// A kernel over the axes of `k` on which `exprs` depend, and the axes `and`, but for `over`; gives its builder and what each axis of `k` is there.
pub fn over_axes_of(
    k: &Kernel,
    name: &str,
    exprs: &[ExprId],
    and: &[AxisId],
    over: &[AxisId],
) -> (KernelBuilder, Vec<Index>, Vec<AxisId>, Vec<AxisId>) {
    let mut used: Vec<AxisId> = exprs.iter().flat_map(|e| axes_of(k, *e)).chain(and.iter().copied()).filter(|a| !over.contains(a)).collect();
    used.sort();
    used.dedup();
    let mut b = KernelBuilder::new(format!("{}.{name}", k.name), &k.origin);
    let mut at = vec![Index::from(0); k.axes.len()];
    for a in &used {
        at[a.0 as usize] = b.parallel(&k.axes[a.0 as usize].name, k.extent(*a).clone()).into();
    }
    let mut inner = vec![];
    for a in over {
        let axis = b.axis(&k.axes[a.0 as usize].name, k.extent(*a).clone());
        at[a.0 as usize] = axis.into();
        inner.push(axis);
    }
    (b, at, used, inner)
}

/// Stores `value` in a buffer over the axes `used` of `k`, and ends the kernel.
pub fn finish(p: &mut Program, k: &Kernel, mut b: KernelBuilder, used: Vec<AxisId>, value: ExprId, before: &mut Vec<Kernel>) -> Computed {
    let dims: Dims = used.iter().map(|a| k.extent(*a).clone()).collect();
    let dtype = b.dtype(value);
    let buffer = p.add_buffer(Buffer { name: b.kernel().name.clone(), dtype, dims, kind: BufferKind::Temp });
    let at: Vec<Index> = (0..used.len() as u16).map(|i| AxisId(i).into()).collect();
    b.store(buffer, at, value);
    before.push(b.finish());
    Computed { buffer, dtype, at: used.into_iter().map(Index::from).collect() }
}

/// The sums of one factor times the other's zero point.
pub fn side_sums(p: &mut Program, k: &Kernel, (side, zero): (ExprId, ExprId), over: &[AxisId], sum: DType, before: &mut Vec<Kernel>) -> Computed {
    let (mut b, at, used, inner) = over_axes_of(k, "sums", &[side, zero], &[], over);
    let mut copier = Copier::new(k, at, 0);
    let side = copier.expr(&mut b, side, &mut |k, l| l.keep(k));
    let total = b.reduce(ReduceOp::Sum, sum, &inner, side);
    let zero = copier.expr(&mut b, zero, &mut |k, l| l.keep(k));
    let value = b.mul(total, zero);
    finish(p, k, b, used, value, before)
}

/// The product of both scales: computed beforehand where one of them is the same everywhere.
fn common_scale(p: &mut Program, n: &mut KernelBuilder, s: ExprId, t: ExprId, before: &mut Vec<Kernel>) -> ExprId {
    let k = n.kernel().clone();
    if !axes_of(&k, s).is_empty() && !axes_of(&k, t).is_empty() {
        return n.mul(s, t);
    }
    let (mut b, at, used, _) = over_axes_of(&k, "scale", &[s, t], &[], &[]);
    let mut copier = Copier::new(&k, at, 0);
    let s = copier.expr(&mut b, s, &mut |k, l| l.keep(k));
    let t = copier.expr(&mut b, t, &mut |k, l| l.keep(k));
    let value = b.mul(s, t);
    let computed = finish(p, &k, b, used, value, before);
    computed.load(n)
}
