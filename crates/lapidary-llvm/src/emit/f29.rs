//! Weights in 29 bits (see [`lapidary_kernel::f29`]) as they are read: in the order of tiles, a vector of columns after the other, or wherever a
//! lookup finds them.

use super::ir::{IntCmp as I, Ir, V};
use super::tile::LANES;
use lapidary_kernel::F29;
use lapidary_kernel::f29::{OWN, Piece, STEPS, WORDS, pieces};

fn word(ir: &Ir, v: u32) -> V {
    ir.cint(ir.int(32), i64::from(v as i32))
}

/// The bits of a word that belong to another weight, where that has them.
fn piece(ir: &Ir, words: V, p: Piece) -> V {
    let by = word(ir, p.right.unsigned_abs());
    let moved = if p.right < 0 { ir.shl(words, by) } else { ir.lshr(words, by) };
    ir.and(moved, word(ir, p.mask))
}

/// The weights of one group of steps, in order.
pub struct Group {
    /// Its first word.
    at: V,
    scales: V,
    /// What is put together of the last weights.
    rest: [Option<V>; STEPS - WORDS],
}

impl Group {
    pub fn new(at: V, scales: V) -> Group {
        Group { at, scales, rest: [None; STEPS - WORDS] }
    }
    /// The weights of step `step` of the group, which is the first or follows the one asked for last.
    pub fn weights(&mut self, ir: &Ir, step: usize) -> V {
        let short = match step.checked_sub(WORDS) {
            Some(w) => self.rest[w].unwrap_or(ir.zero(ir.vec(ir.int(32), LANES))),
            None => {
                let words = ir.load(ir.vec(ir.int(32), LANES), ir.gep(ir.int(32), self.at, ir.c64((step * LANES as usize) as i64)), 4);
                for (w, rest) in self.rest.iter_mut().enumerate() {
                    for p in pieces(w).filter(|p| p.word == step) {
                        let bits = piece(ir, words, p);
                        *rest = Some(rest.map_or(bits, |r| ir.or(r, bits)));
                    }
                }
                ir.and(words, word(ir, OWN))
            }
        };
        ir.fmul(ir.bits_as(short, ir.f32()), self.scales)
    }
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
    // One of the last weights, and its own word where it is another.
    let last = ir.icmp(I::LLVMIntUGE, step, c(WORDS));
    let own = ir.and(at(ir.select(last, c(0), step)), word(ir, OWN));
    let short = (0..STEPS - WORDS).fold(own, |short, w| {
        let rest = pieces(w).fold(word(ir, 0), |v, p| ir.or(v, piece(ir, at(c(p.word)), p)));
        ir.select(ir.icmp(I::LLVMIntEQ, step, c(WORDS + w)), rest, short)
    });
    ir.fmul(ir.bits_as(short, ir.f32()), ir.bits_as(read(scale), ir.f32()))
}
