//! Places for temporaries in one arena. Sizes may be symbolic: temporaries share *slots*, whose sizes are the maximum of what they hold.

use lapidary_ir::Dim;
use lapidary_kernel::{BufferId, BufferKind, Plan, Program, Strips, align};

/// A symbol's size for choosing which slot fits best; any choice is correct.
const TYPICAL: i64 = 64;

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

/// The offset of every temporary that is not unpacked, and the arena's size in bytes. A slot is reused as soon as the kernel that reads its buffer last is
/// over.
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
    let mut slots: Vec<Slot> = vec![];
    let mut place: Vec<Option<usize>> = vec![None; p.buffers.len()];
    let typical = |d: &Dim| d.eval(&|_| Some(TYPICAL)).unwrap_or(i64::MAX);
    for b in order {
        let (at, buffer) = (b.0 as usize, p.buffer(b));
        let bytes = align(&Plan::bytes_of(buffer.dtype, &buffer.elements()));
        let free = slots.iter().enumerate().filter(|(_, s)| s.free_after < first[at]);
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
        slots[slot].free_after = last[at];
        place[at] = Some(slot);
    }
    let mut starts = vec![];
    let mut end = Dim::from(0);
    for s in &slots {
        starts.push(end.clone());
        end = &end + &s.bytes;
    }
    // Codes are read in groups, of which the last may reach beyond its buffer.
    let codes = |b: BufferId| place[b.0 as usize].is_some() && p.buffer(b).dtype.bits() == 8;
    if p.buffer_ids().any(codes) {
        end = &end + &align(&Dim::from(1));
    }
    (place.into_iter().map(|s| s.map(|s| starts[s].clone())).collect(), end)
}
