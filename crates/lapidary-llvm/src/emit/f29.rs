//! Weights in 29 bits (see [`lapidary_kernel::f29`]) as they are read: in the order of tiles, a vector of columns after the other, or wherever a
//! lookup finds them.

use super::ir::{IntCmp as I, Ir, V};
use super::tile::LANES;
use lapidary_kernel::f29::{OWN, Piece, RUN, STEPS, WORDS, own_word, pieces};
use lapidary_kernel::{Cpu, F29};

fn word(ir: &Ir, v: u32) -> V {
    ir.cint(ir.int(32), i64::from(v as i32))
}

/// The bits of a word that belong to the weight of another step, where that has them.
fn piece(ir: &Ir, words: V, p: Piece) -> V {
    let by = word(ir, p.right.unsigned_abs());
    ir.and(if p.right < 0 { ir.shl(words, by) } else { ir.lshr(words, by) }, word(ir, p.mask))
}

/// Adds to the sums of [`LANES`] columns, to one after the other in turn, the products of a group's weights, whose first word is at `at`, and the factors
/// that `a` gives for each step. `scales` is where the columns' scales are.
pub fn add_group(ir: &Ir, f: V, cpu: Cpu, (at, scales): (V, V), a: &dyn Fn(V) -> V, sums: &mut [V]) {
    if cpu == Cpu::X86V4 {
        let scales = ir.load(ir.vec(ir.f32(), LANES), scales, 4);
        return add_columns(ir, at, scales, a, sums);
    }
    // Registers hold what half of the columns need, so that these go first. A loop keeps the halves apart: in one piece of code their instructions would be mixed.
    let half = LANES / 2;
    let parts: Vec<V> = [0, half].into_iter().flat_map(|first| sums.iter().map(move |s| ir.part(*s, first, half))).collect();
    let before = ir.here();
    let (turn, done) = (ir.block(f), ir.block(f));
    ir.br(turn);
    ir.at_end(turn);
    let first = ir.phi(ir.i64(), &[(ir.c64(0), before)]);
    let here: Vec<V> = parts.iter().map(|v| ir.phi(ir.ty(*v), &[(*v, before)])).collect();
    let mut next = here.clone();
    let scales = ir.load(ir.vec(ir.f32(), half), ir.gep(ir.f32(), scales, first), 4);
    add_columns(ir, ir.gep(ir.int(32), at, first), scales, a, &mut next[..sums.len()]);
    next.rotate_left(sums.len());
    let first_next = ir.add(first, ir.c64(half.into()));
    ir.add_incoming(first, first_next, turn);
    here.iter().zip(&next).for_each(|(p, v)| ir.add_incoming(*p, *v, turn));
    ir.cond_br(ir.icmp(I::LLVMIntSLT, first_next, ir.c64(LANES.into())), turn, done);
    ir.at_end(done);
    let all: Vec<u32> = (0..LANES).collect();
    let (low, high) = next.split_at(sums.len());
    sums.iter_mut().zip(low.iter().zip(high)).for_each(|(s, (low, high))| *s = ir.shuffle(*low, *high, &all));
}

/// [`add_group`] for neighbouring columns, as many as there are scales.
fn add_columns(ir: &Ir, at: V, scales: V, a: &dyn Fn(V) -> V, sums: &mut [V]) {
    let t = ir.vec(ir.int(32), ir.lanes(scales));
    // Weights are put together as soon as a piece is there, so that few words are needed at a time.
    let mut put: [Option<V>; STEPS] = [None; STEPS];
    let count = sums.len();
    for step in 0..STEPS {
        if let Some(w) = own_word(step) {
            let words = ir.load(t, ir.gep(ir.int(32), at, ir.c64(w as i64 * i64::from(LANES))), 4);
            put[step] = Some(ir.and(words, word(ir, OWN)));
            for other in in_pieces() {
                for p in pieces(other).filter(|p| p.word == w) {
                    let bits = piece(ir, words, p);
                    put[other] = Some(put[other].map_or(bits, |v| ir.or(v, bits)));
                }
            }
        }
        let short = put[step].unwrap_or(ir.zero(t));
        let weights = ir.fmul(ir.bits_as(short, ir.f32()), scales);
        sums[step % count] = ir.fma(ir.splat(a(ir.c64(step as i64)), ir.lanes(scales)), weights, sums[step % count]);
    }
}

/// The steps of a group whose weights have no word of their own.
fn in_pieces() -> impl Iterator<Item = usize> {
    (0..STEPS).filter(|s| own_word(*s).is_none())
}

/// The weight that would be element `index` of panels as they are: one, or one for each lane. Reads through `read`, which gets the number of a
/// 32-bit word.
pub fn look_up(ir: &Ir, form: F29, index: V, read: &dyn Fn(V) -> V) -> V {
    let t = ir.ty(index);
    let c = |v: usize| ir.cint(t, v as i64);
    let lanes = LANES as usize;
    let (row, lane) = (ir.udiv(index, c(lanes)), ir.urem(index, c(lanes)));
    let (panel, step) = (ir.udiv(row, c(form.steps)), ir.urem(row, c(form.steps)));
    let (group, step) = (ir.udiv(step, c(STEPS)), ir.urem(step, c(STEPS)));
    let scale = ir.add(ir.mul(panel, c(form.panel_words())), lane);
    let first = ir.add(scale, ir.add(c(lanes), ir.mul(group, c(WORDS * lanes))));
    let at = |word: V| read(ir.add(first, ir.mul(word, c(lanes))));
    // The word of its own; what is read for a step that has none is not used.
    let own = ir.sub(step, ir.udiv(step, c(RUN + 1)));
    let own = ir.and(at(ir.intrinsic("llvm.umin", &[t], &[own, c(WORDS - 1)])), word(ir, OWN));
    let short = in_pieces().fold(own, |other, s| {
        let put = pieces(s).fold(word(ir, 0), |v, p| ir.or(v, piece(ir, at(c(p.word)), p)));
        ir.select(ir.icmp(I::LLVMIntEQ, step, c(s)), put, other)
    });
    ir.fmul(ir.bits_as(short, ir.f32()), ir.bits_as(read(scale), ir.f32()))
}
