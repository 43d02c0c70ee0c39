//! Runs of kernels that are computed strip by strip. Where each kernel of a run reads what the one before wrote, at the same points of its
//! first axes, those points can be taken one after the other through the whole run: what lies between stays in the cache and in the memory of
//! one thread. The steps of a recurrence must be taken so.

use crate::chooser::Chooser;
use crate::uses::Uses;
use lapidary_ir::Dim;
use lapidary_kernel::{
    AxisId, BAND, BufferId, BufferKind, Expr, ExprKind, Index, Kernel, Plan, Program, Schedule, Stmt, Strips, WINOGRAD, align, typical,
};

/// Bytes between two kernels from which on strips are worth their shorter loops: they leave the caches nearest to a core.
const LEAST_BYTES: i64 = 2 << 20;
/// What the caches of a core hold besides a strip.
const NEAR_BYTES: i64 = 512 << 10;
/// Fewer strips leave threads without work.
const LEAST_STRIPS: i64 = 4;
/// So many there must be whatever the sizes that are known at run time only.
pub const KNOWN_STRIPS: i64 = 8;
/// What one strip may hold, lest it leave the caches nearest to a core itself.
const MOST_BYTES: i64 = 768 << 10;
/// What one strip must hold at least: less than that does not make up for calling each kernel anew.
const LEAST_STRIP_BYTES: i64 = 8 << 10;
/// Rows that fill the register tile of a contraction twice: two of seven.
const LEAST_ROWS: i64 = 14;

/// Finds the runs, and makes their contractions take strips one by one; `unpacked` tells what is computed once for each context. In order of
/// their kernels.
pub fn assign(p: &mut Program, unpacked: &[Option<i64>], choices: &mut Chooser) -> Vec<Strips> {
    let mut out = vec![];
    // Schedules change below, what kernels read and write does not.
    let uses = Uses::of(p);
    let mut recurrences = p.recurrences().into_iter().peekable();
    let mut first = 0;
    while first < p.kernels.len() {
        if let Some(mut steps) = recurrences.next_if(|s| s.first == first) {
            let private: Vec<BufferId> = p.buffer_ids().filter(|b| within_steps(p, &uses, &steps, *b)).collect();
            (steps.private, steps.private_bytes) = privately(p, &steps, &private);
            first += steps.kernels;
            out.push(steps);
            continue;
        }
        match run_from(p, &uses, unpacked, first, choices) {
            Some(strips) => {
                let kernels = strips.kernels;
                p.kernels[first..first + kernels].iter_mut().for_each(|k| leading_batch(k, strips.axes));
                out.push(strips);
                first += kernels;
            }
            None => first += 1,
        }
    }
    out
}

/// The longest run that begins with kernel `first`, in the shortest strips that are worth it, or that were asked for.
fn run_from(p: &Program, uses: &Uses, unpacked: &[Option<i64>], first: usize, choices: &mut Chooser) -> Option<Strips> {
    let mut links: Vec<(BufferId, usize)> = vec![];
    while let Some(l) = p.kernels.get(first + links.len() + 1).and_then(|next| link(p, uses, first + links.len(), next))
        && unpacked[l.0.0 as usize].is_none()
    {
        links.push(l);
    }
    let shared = |n: usize| links[..n].iter().map(|l| l.1).min();
    let private: Vec<BufferId> = links.iter().map(|l| l.0).collect();
    let run = |n: usize| (1..=shared(n)?).rev().find(|axes| pays(p, first, &private[..n], *axes)).map(|axes| (n, axes));
    let best = (1..=links.len()).rev().find_map(run);
    let bands = p.kernels[first].name.starts_with(BAND);
    let (n, axes) = match !links.is_empty() && !bands && choices.strips(&p.kernels[first].name, best.is_some()) {
        true => best.or(Some((links.len(), shared(links.len())?)))?,
        false => best.filter(|_| bands)?,
    };
    Some(strips(p, first, &private[..n], axes))
}

/// Whether the strips of a run from kernel `first` on, with these buffers between, are worth it.
fn pays(p: &Program, first: usize, private: &[BufferId], axes: usize) -> bool {
    let last = first + private.len();
    let kernels = &p.kernels[first..=last];
    // What bands gain was weighed when they were made.
    if kernels.iter().all(|k| k.name.starts_with(BAND)) {
        return true;
    }
    let extents = || kernels[0].parallel_axes().take(axes).map(|a| kernels[0].extent(a));
    let strips = typical::elements(extents());
    let bytes = |b: &BufferId| typical::elements(&p.buffer(*b).dims).saturating_mul(p.buffer(*b).dtype.bits() as i64) / 8;
    let between = private.iter().map(bytes).fold(0, i64::saturating_add);
    // Each strip reads the contraction's other operand again: from the last cache, which is three times as fast as memory, and once instead of
    // twice.
    let other = |k: &Kernel| other_bytes(p, k, private).filter(|b| *b > NEAR_BYTES);
    let again = kernels.iter().filter_map(other).fold(0, i64::saturating_add);
    let rows = kernels.iter().filter_map(|k| rows_in_strip(k, axes)).all(|rows| rows >= LEAST_ROWS);
    if again.saturating_mul(strips) > between.saturating_mul(6)
        || between < LEAST_BYTES.max(strips.saturating_mul(LEAST_STRIP_BYTES))
        || strips < LEAST_STRIPS
        || !rows
    {
        return false;
    }
    // Tiles of images are many, and few of their rows make a strip already.
    let known: i64 = extents().map(|e| e.as_const().unwrap_or(1)).fold(1, i64::saturating_mul);
    kernels.iter().all(|k| k.name.starts_with(WINOGRAD)) || known >= KNOWN_STRIPS && between / strips <= MOST_BYTES
}

/// The strips of a run from kernel `first` on, with these buffers between.
fn strips(p: &Program, first: usize, private: &[BufferId], axes: usize) -> Strips {
    let k = &p.kernels[first];
    let count = k.parallel_axes().take(axes).fold(Dim::from(1), |n, a| &n * k.extent(a));
    let kernels = private.len() + 1;
    let mut out = Strips { first, kernels, axes, count, each: Dim::from(1), private: vec![], private_bytes: Dim::from(0) };
    (out.private, out.private_bytes) = privately(p, &out, private);
    out
}

/// The places in scratch memory of a strip of each of these buffers, and the bytes of all of them.
fn privately(p: &Program, strips: &Strips, private: &[BufferId]) -> (Vec<(BufferId, Vec<usize>, Dim)>, Dim) {
    let mut offsets = vec![];
    let mut end = Dim::from(0);
    for b in private {
        let dims = strip_dims(p, strips, *b);
        let buffer = p.buffer(*b);
        let elements = buffer.dims.iter().enumerate().filter(|(d, _)| !dims.contains(d)).fold(Dim::from(1), |n, (_, d)| &n * d);
        offsets.push((*b, dims, end.clone()));
        end = &end + &align(&Plan::bytes_of(buffer.dtype, &elements));
    }
    (offsets, end)
}

/// Whether a temporary is written by one kernel of a recurrence, and read by later ones in the same step only.
fn within_steps(p: &Program, uses: &Uses, steps: &Strips, b: BufferId) -> bool {
    let (&[writer], readers) = (uses.writers(b), uses.readers(b)) else { return false };
    let run = writer + 1..steps.range().end;
    if p.buffer(b).kind != BufferKind::Temp || writer < steps.first || !readers.iter().all(|r| run.contains(r)) {
        return false;
    }
    let stored = stored(&p.kernels[writer], b);
    let same = |a: AxisId| {
        let dim = dim_of(&stored, a);
        dim.is_some() && readers.iter().all(|r| dim_of(&loaded(&p.kernels[*r], b), a) == dim)
    };
    (0..steps.axes as u16).all(|a| same(AxisId(a)))
}

/// The bytes of a contraction's packed operand, where it is not one of the strips' own.
fn other_bytes(p: &Program, k: &Kernel, private: &[BufferId]) -> Option<i64> {
    let Some(Schedule::Contract { b, .. }) = &k.schedule else { return None };
    let ExprKind::Load { buffer, .. } = &k.exprs.get(*b as usize)?.kind else { return None };
    if private.contains(buffer) {
        return None;
    }
    let buffer = p.buffer(*buffer);
    Plan::bytes_of(buffer.dtype, &buffer.elements()).as_const()
}

/// The rows that a contraction has within a strip.
fn rows_in_strip(k: &Kernel, axes: usize) -> Option<i64> {
    match &k.schedule {
        Some(Schedule::Contract { m, .. }) => {
            Some(m.iter().filter(|a| usize::from(**a) >= axes).map(|a| typical::size(k.extent(AxisId(*a)))).fold(1, i64::saturating_mul))
        }
        _ => None,
    }
}

/// The temporary through which kernel `at` feeds the next and nobody else.
pub fn between(p: &Program, uses: &Uses, at: usize) -> Option<BufferId> {
    let (k, next) = (&p.kernels[at], p.kernels.get(at + 1)?);
    let &[b] = k.writes().as_slice() else { return None };
    let only = uses.writers(b) == [at] && uses.readers(b) == [at + 1];
    let alone = |k: &Kernel| !k.serial && k.recurrence.is_none();
    (p.buffer(b).kind == BufferKind::Temp && only && alone(k) && alone(next)).then_some(b)
}

/// What lies between kernel `at` and `next`, and how many first axes it is written and read along alike.
fn link(p: &Program, uses: &Uses, at: usize, next: &Kernel) -> Option<(BufferId, usize)> {
    let k = &p.kernels[at];
    let b = between(p, uses, at)?;
    let serial = |k: &Kernel| matches!(k.schedule, Some(Schedule::Serial) | None);
    if serial(k) || serial(next) {
        return None;
    }
    let (stored, loaded) = (stored(k, b), loaded(next, b));
    let same = |a: &AxisId| {
        let dim = dim_of(&stored, *a);
        k.is_parallel(*a)
            && next.is_parallel(*a)
            && k.extent(*a) == next.extent(*a)
            && dim.is_some()
            && dim == dim_of(&loaded, *a)
            && !vector(k, *a)
            && !vector(next, *a)
    };
    let axes = (0..k.parallel as u16).map(AxisId).take_while(same).count();
    (axes > 0).then_some((b, axes))
}

fn vector(k: &Kernel, a: AxisId) -> bool {
    matches!(&k.schedule, Some(Schedule::Map { vector } | Schedule::Window { vector }) if *vector == a.0)
        || matches!(&k.schedule, Some(Schedule::Contract { n, .. }) if n.contains(&a.0))
}

/// The dim in which every index has the axis alone, and nowhere else.
fn dim_of(indices: &[&Vec<Index>], a: AxisId) -> Option<usize> {
    let dim = indices.first()?.iter().position(|i| i.as_axis() == Some(a))?;
    let alone = |index: &&Vec<Index>| index.iter().enumerate().all(|(d, i)| if d == dim { i.as_axis() == Some(a) } else { !i.mentions(a) });
    indices.iter().all(alone).then_some(dim)
}

fn stored(k: &Kernel, b: BufferId) -> Vec<&Vec<Index>> {
    fn index(s: &Stmt, b: BufferId) -> Option<&Vec<Index>> {
        match s {
            Stmt::Store { buffer, index, .. } if *buffer == b => Some(index),
            _ => None,
        }
    }
    k.body.iter().filter_map(|s| index(s, b)).collect()
}

fn loaded(k: &Kernel, b: BufferId) -> Vec<&Vec<Index>> {
    fn index(e: &Expr, b: BufferId) -> Option<&Vec<Index>> {
        match &e.kind {
            ExprKind::Load { buffer, index, .. } if *buffer == b => Some(index),
            _ => None,
        }
    }
    k.exprs.iter().filter_map(|e| index(e, b)).collect()
}

/// The dims of a private buffer that the strips' axes walk.
fn strip_dims(p: &Program, strips: &Strips, b: BufferId) -> Vec<usize> {
    let writer = strips.range().find(|i| p.kernels[*i].writes().contains(&b)).unwrap_or(strips.first);
    let stored = stored(&p.kernels[writer], b);
    (0..strips.axes as u16).filter_map(|a| dim_of(&stored, AxisId(a))).collect()
}

/// A contraction takes the strips' axes as its first batch axes, so that its pieces come strip by strip.
fn leading_batch(k: &mut Kernel, axes: usize) {
    if let Some(Schedule::Contract { batch, m, .. }) = &mut k.schedule {
        let leading: Vec<u16> = (0..axes as u16).collect();
        m.retain(|a| !leading.contains(a));
        batch.retain(|a| !leading.contains(a));
        batch.splice(0..0, leading);
    }
}
