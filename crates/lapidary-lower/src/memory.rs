//! Places for temporaries in one arena. Where all sizes are known, or multiples of one, each lies at the lowest offset that is free while it is needed, the largest placed
//! first. Sizes may be symbolic: then temporaries share *slots*, whose sizes are the maximum of what they hold.

use lapidary_ir::{Dim, Name};
use lapidary_kernel::{BufferId, BufferKind, Plan, Program, Strips, align};
use std::collections::BTreeSet;

/// A symbol's size for choosing which slot fits best; any choice is correct.
const TYPICAL: i64 = 64;

/// What needs a place, from one kernel to another.
struct Temporary {
    bytes: Dim,
    first: usize,
    last: usize,
}

struct Slot {
    bytes: Dim,
    /// The kernel after which it is free.
    free_after: usize,
}

/// Temporaries that are computed from constants of known size alone, and were too large for the library: where they lie in the memory that a
/// context fills once, and its bytes.
pub fn unpack(p: &Program) -> (Vec<Option<i64>>, i64) {
    let mut places: Vec<Option<i64>> = vec![None; p.buffers.len()];
    let mut end = 0i64;
    for (i, k) in p.kernels.iter().enumerate() {
        let known = |b: &BufferId| p.buffer(*b).constant().is_some() || places[b.0 as usize].is_some();
        let own = |b: &BufferId| {
            let others = p.kernels.iter().enumerate().filter(|(j, _)| *j != i);
            p.buffer(*b).kind == BufferKind::Temp && others.into_iter().all(|(_, k)| !k.writes().contains(b))
        };
        if k.serial || k.recurrence.is_some() || !k.symbols().is_empty() || !k.reads().iter().all(known) || !k.writes().iter().all(own) {
            continue;
        }
        let bytes = |b: &BufferId| align(&Plan::bytes_of(p.buffer(*b).dtype, &p.buffer(*b).elements())).as_const();
        let Some(sizes) = k.writes().iter().map(bytes).collect::<Option<Vec<i64>>>() else { continue };
        for (b, bytes) in k.writes().iter().zip(sizes) {
            places[b.0 as usize] = Some(end);
            end = end.saturating_add(bytes);
        }
    }
    (places, end)
}

/// The offset of every temporary that is not unpacked, and the arena's size in bytes.
pub fn assign(p: &Program, unpacked: &[Option<i64>], strips: &[Strips]) -> (Vec<Option<Dim>>, Dim) {
    let mut first = vec![usize::MAX; p.buffers.len()];
    let mut last = vec![0usize; p.buffers.len()];
    for (i, k) in p.kernels.iter().enumerate() {
        // The kernels of a run take turns: what one of them uses lives as long as all of them.
        let run = strips.iter().map(Strips::range).find(|run| run.contains(&i)).unwrap_or(i..i + 1);
        for b in k.writes().into_iter().chain(k.reads()) {
            let b = b.0 as usize;
            first[b] = first[b].min(run.start);
            last[b] = run.end - 1;
        }
    }
    let private = |b: BufferId| strips.iter().any(|s| s.private.iter().any(|(x, ..)| *x == b));
    let elsewhere = |b: BufferId| unpacked[b.0 as usize].is_none() && !private(b);
    let mut order: Vec<BufferId> =
        p.buffer_ids().filter(|b| p.buffer(*b).kind == BufferKind::Temp && first[b.0 as usize] != usize::MAX && elsewhere(*b)).collect();
    order.sort_by_key(|b| (first[b.0 as usize], *b));
    let bytes = |b: BufferId| Plan::bytes_of(p.buffer(b).dtype, &p.buffer(b).elements());
    let temporaries: Vec<Temporary> =
        order.iter().map(|b| Temporary { bytes: bytes(*b), first: first[b.0 as usize], last: last[b.0 as usize] }).collect();
    let (starts, mut end) = by_size(&temporaries).unwrap_or_else(|| in_slots(&temporaries));
    let mut place: Vec<Option<Dim>> = vec![None; p.buffers.len()];
    order.iter().zip(starts).for_each(|(b, start)| place[b.0 as usize] = Some(start));
    // Codes are read in groups, of which the last may reach beyond its buffer.
    let codes = |b: BufferId| place[b.0 as usize].is_some() && p.buffer(b).dtype.bits() == 8;
    if p.buffer_ids().any(codes) {
        end = &end + &align(&Dim::from(1));
    }
    (place, end)
}

/// Each at the lowest offset where nothing lies that is needed at the same time, the largest first. Sizes are known, or aligned multiples of what one
/// symbol says, as in models of images of any batch; the ones lie behind the others.
fn by_size(all: &[Temporary]) -> Option<(Vec<Dim>, Dim)> {
    let symbols: BTreeSet<Name> = all.iter().flat_map(|t| t.bytes.symbols()).collect();
    if symbols.len() > 1 {
        return None;
    }
    let units = symbols.iter().map(|s| Dim::symbol(s.clone())).chain([Dim::from(1)]);
    let mut starts = vec![Dim::from(0); all.len()];
    let mut end = Dim::from(0);
    let mut left: Vec<usize> = (0..all.len()).collect();
    for unit in units {
        let size = |i: &usize| align(&Dim::from(all[*i].bytes.exact_div(&unit)?.as_const()?)).as_const().map(|size| (*i, size));
        let sizes: Vec<(usize, i64)> = left.iter().filter_map(size).collect();
        left.retain(|i| !sizes.iter().any(|(j, _)| i == j));
        let (places, bytes) = lowest(all, sizes);
        places.into_iter().for_each(|(i, start)| starts[i] = &end + &(&Dim::from(start) * &unit));
        end = &end + &(&Dim::from(bytes) * &unit);
    }
    left.is_empty().then_some((starts, end))
}

/// Places for temporaries of these sizes, and where they end.
fn lowest(all: &[Temporary], mut sizes: Vec<(usize, i64)>) -> (Vec<(usize, i64)>, i64) {
    sizes.sort_by_key(|(i, size)| (std::cmp::Reverse(*size), *i));
    // In order of their starts: number, start, end.
    let mut placed: Vec<(usize, i64, i64)> = vec![];
    for (i, size) in sizes {
        let mut start = 0i64;
        for (j, low, high) in &placed {
            let together = all[*j].first <= all[i].last && all[i].first <= all[*j].last;
            if together && *low >= start.saturating_add(size) {
                break;
            }
            start = if together { start.max(*high) } else { start };
        }
        let at = placed.partition_point(|p| p.1 <= start);
        placed.insert(at, (i, start, start.saturating_add(size)));
    }
    let end = placed.iter().map(|p| p.2).max().unwrap_or(0);
    (placed.into_iter().map(|(i, start, _)| (i, start)).collect(), end)
}

/// A slot is reused as soon as the kernel that reads its buffer last is over.
fn in_slots(all: &[Temporary]) -> (Vec<Dim>, Dim) {
    let mut slots: Vec<Slot> = vec![];
    let typical = |d: &Dim| d.eval(&|_| Some(TYPICAL)).unwrap_or(i64::MAX);
    let mut places = vec![];
    for t in all {
        let bytes = align(&t.bytes);
        let free = slots.iter().enumerate().filter(|(_, s)| s.free_after < t.first);
        // The slot that wastes or grows least.
        let best = free.min_by_key(|(i, s)| (typical(&s.bytes).abs_diff(typical(&bytes)), *i)).map(|(i, _)| i);
        let slot = match best {
            Some(i) => {
                slots[i].bytes = slots[i].bytes.maximum(&bytes);
                i
            }
            None => {
                slots.push(Slot { bytes, free_after: 0 });
                slots.len() - 1
            }
        };
        slots[slot].free_after = t.last;
        places.push(slot);
    }
    let mut starts = vec![];
    let mut end = Dim::from(0);
    for s in &slots {
        starts.push(end.clone());
        end = &end + &s.bytes;
    }
    (places.into_iter().map(|s| starts[s].clone()).collect(), end)
}
