//! Register tiles of weights in blocks: each lane holds a word of its column's codes, of which shifts bring one after the other to the low
//! bits.
//!
//! By floats: a code is an index into a register of 16 floats (`vpermps` looks at four bits of a lane alone, so that nothing needs to be masked),
//! or, with 8 bits, converted. By bytes: the codes that one shift brings to the low bits of the four bytes are neighbours, which
//! `vpdpbusd` multiplies by four bytes of A.

use super::ir::{IntCmp as I, Ir, V};
use super::tile::{self, Blocks, Family, LANES, add_products};
use lapidary_kernel::blocked::WORD_BITS;
use lapidary_kernel::{Cpu, QUAD};

/// Totals of larger tiles are kept in memory between blocks: the registers hold the sums of a block.
const REGISTER_TOTALS: i64 = 4;

/// Emits the body of one tile, see [`tile::tile_type`].
pub fn emit(ir: &Ir, f: V, family: Family, c: Blocks, rows: i64, vectors: i64) {
    let cpu = family.cpu();
    let arg = |i| ir.arg(f, i);
    let (table, taps, kc, b, b_tap, b_panel, out) = (arg(0), arg(1), arg(2), arg(4), arg(5), arg(7), arg(8));
    let (scales, offsets, row_scales, minus, row_offsets) = (arg(9), arg(10), arg(11), arg(12), arg(13));
    let a_stride = if family.a_unit { ir.c64(1) } else { arg(3) };
    let (float, word) = (ir.vec(ir.f32(), LANES), ir.vec(ir.int(32), LANES));
    let n = (rows * vectors) as usize;
    let in_registers = n as i64 <= REGISTER_TOTALS;
    // Few rows are few chains of dependent sums.
    let parts = if n < 6 { 2 } else { 1 };
    let place = |i: usize| (i as i64 / vectors) * tile::max_vectors(cpu) * LANES as i64 + (i as i64 % vectors) * LANES as i64;
    let at_out = |i: usize| ir.gep(ir.f32(), out, ir.c64(place(i)));

    let entry = ir.block(f);
    ir.at_end(entry);
    let zero = ir.zero(float);
    let table_of_codes = lookup(ir, c);
    if !in_registers {
        (0..n).for_each(|i| ir.store(zero, at_out(i), 64));
    }
    let panels: Vec<V> = (0..vectors).map(|j| ir.mul(b_panel, ir.c64(j))).collect();
    let (turn, done) = (ir.block(f), ir.block(f));
    ir.cond_br(ir.icmp(I::LLVMIntSGT, taps, ir.c64(0)), turn, done);

    ir.at_end(turn);
    let tap = ir.phi(ir.i64(), &[(ir.c64(0), entry)]);
    let totals: Vec<V> = if in_registers { (0..n).map(|_| ir.phi(float, &[(zero, entry)])).collect() } else { vec![] };
    let row_base = ir.mul(tap, ir.c64(tile::TABLE_ROWS));
    let pointers: Vec<V> = (0..rows).map(|i| ir.load(ir.ptr(), ir.gep(ir.ptr(), table, ir.add(row_base, ir.c64(i))), 8)).collect();
    // Of something for each row and block.
    let of_row = |base: V, t, i: i64| ir.load(t, ir.gep(t, base, ir.add(ir.mul(taps, ir.c64(i)), tap)), 4);
    let of_column = |base: V, j: i64| {
        let at = ir.mul(ir.add(ir.mul(taps, ir.c64(j)), tap), ir.c64(LANES as i64));
        ir.load(float, ir.gep(ir.f32(), base, at), 4)
    };
    let b_here = ir.gep(ir.f32(), b, ir.mul(tap, b_tap));
    let mut start: Vec<V> = vec![];
    for i in 0..rows {
        let first = match (c.codes, c.minus) {
            (true, true) => ir.splat(ir.neg(of_row(minus, ir.int(32), i)), LANES),
            (true, false) => ir.zero(word),
            (false, _) => zero,
        };
        start.extend(vec![first; vectors as usize]);
    }
    start.resize(n * parts, ir.zero(if c.codes { word } else { float }));

    // The words of a block, one after the other.
    let (inner, after) = (ir.block(f), ir.block(f));
    let before = ir.here();
    ir.br(inner);
    ir.at_end(inner);
    let k = ir.phi(ir.i64(), &[(ir.c64(0), before)]);
    let sums: Vec<V> = start.iter().map(|v| ir.phi(ir.ty(*v), &[(*v, before)])).collect();
    let mut next = sums.clone();
    let at = ir.gep(ir.f32(), b_here, ir.mul(k, ir.c64(LANES as i64)));
    let words: Vec<V> = panels.iter().map(|p| ir.load(word, ir.gep(ir.f32(), at, *p), 4)).collect();
    let bits = i64::from(c.bits);
    let per = WORD_BITS / bits;
    let quads = per / QUAD;
    let base = ir.mul(k, ir.c64(per));
    let shifted = |w: V, by: i64| if by == 0 { w } else { ir.lshr(w, ir.splat(ir.cint(ir.int(32), by), LANES)) };
    if c.codes {
        for h in 0..quads {
            let four: Vec<V> = words.iter().map(|w| bytes(ir, shifted(*w, h * bits), c.bits)).collect();
            for (i, p) in pointers.iter().enumerate() {
                let a = ir.load(ir.int(32), ir.gep_bytes(*p, ir.add(base, ir.c64(h * QUAD))), 1);
                let a = ir.splat(a, LANES);
                for (j, w) in four.iter().enumerate() {
                    let slot = (h as usize % parts) * n + i * vectors as usize + j;
                    next[slot] = add_products(ir, cpu, next[slot], *w, a);
                }
            }
        }
    } else {
        for t in 0..per {
            let values: Vec<V> = words.iter().map(|w| value(ir, cpu, c, table_of_codes, shifted(*w, t * bits), *w, t)).collect();
            let neighbour = (t % quads) * QUAD + t / quads;
            for (i, p) in pointers.iter().enumerate() {
                let at = ir.mul(ir.add(base, ir.c64(neighbour)), a_stride);
                let a = ir.splat(ir.load(ir.f32(), ir.gep(ir.f32(), *p, at), 4), LANES);
                for (j, w) in values.iter().enumerate() {
                    let slot = (t as usize % parts) * n + i * vectors as usize + j;
                    next[slot] = ir.fma(a, *w, next[slot]);
                }
            }
        }
    }
    let k_next = ir.add(k, ir.c64(1));
    ir.add_incoming(k, k_next, inner);
    sums.iter().zip(&next).for_each(|(p, v)| ir.add_incoming(*p, *v, inner));
    ir.cond_br(ir.icmp(I::LLVMIntSLT, k_next, kc), inner, after);

    ir.at_end(after);
    let scale: Vec<Option<V>> = (0..vectors).map(|j| c.scaled.then(|| of_column(scales, j))).collect();
    let column: Vec<Option<V>> = (0..vectors).map(|j| c.offset.then(|| of_column(offsets, j))).collect();
    let mut new_totals = vec![];
    for i in 0..rows {
        let row_scale = c.row_scale.then(|| ir.splat(of_row(row_scales, ir.f32(), i), LANES));
        let row_offset = c.offset.then(|| ir.splat(of_row(row_offsets, ir.f32(), i), LANES));
        for j in 0..vectors as usize {
            let slot = i as usize * vectors as usize + j;
            let parts_of = (1..parts).map(|u| next[u * n + slot]);
            let sum = parts_of.fold(next[slot], |s, v| if c.codes { ir.add(s, v) } else { ir.fadd(s, v) });
            let sum = if c.codes { ir.si_to_fp(sum, ir.f32()) } else { sum };
            let mut total = if in_registers { totals[slot] } else { ir.load(float, at_out(slot), 64) };
            if let (Some(r), Some(o)) = (row_offset, column[j]) {
                total = ir.fma(r, o, total);
            }
            total = match (scale[j], row_scale) {
                (Some(s), Some(r)) => ir.fma(sum, ir.fmul(s, r), total),
                (Some(s), None) => ir.fma(sum, s, total),
                (None, _) => ir.fadd(sum, total),
            };
            match in_registers {
                true => new_totals.push(total),
                false => ir.store(total, at_out(slot), 64),
            }
        }
    }
    let tap_next = ir.add(tap, ir.c64(1));
    ir.add_incoming(tap, tap_next, after);
    totals.iter().zip(&new_totals).for_each(|(p, v)| ir.add_incoming(*p, *v, after));
    ir.cond_br(ir.icmp(I::LLVMIntSLT, tap_next, taps), turn, done);

    ir.at_end(done);
    let last: Vec<V> = new_totals.iter().map(|v| ir.phi(float, &[(zero, entry), (*v, after)])).collect();
    last.iter().enumerate().for_each(|(i, total)| ir.store(*total, at_out(i), 64));
    ir.ret(None);
}

/// What a code of up to four bits stands for, and of shorter ones whatever bits are above them.
fn lookup(ir: &Ir, c: Blocks) -> V {
    let values: Vec<V> = (0..LANES as i64)
        .map(|i| {
            let code = i & ((1 << c.bits) - 1);
            let negative = c.signed && code >> (c.bits - 1) != 0;
            ir.cfloat(ir.f32(), (code - if negative { 1 << c.bits } else { 0 } - c.zero) as f64)
        })
        .collect();
    ir.cvec(&values)
}

/// The codes in the low bits of each lane of `shifted`, as floats; it is `word` shifted to its `t`-th code.
fn value(ir: &Ir, cpu: Cpu, c: Blocks, table: V, shifted: V, word: V, t: i64) -> V {
    if c.bits <= 4 && cpu == Cpu::X86V4 {
        return ir.intrinsic("llvm.x86.avx512.permvar.sf.512", &[], &[table, shifted]);
    }
    let bits = i64::from(c.bits);
    let by = |v: i64| ir.splat(ir.cint(ir.int(32), v), LANES);
    let code = if c.signed {
        let left = WORD_BITS - bits * (t + 1);
        ir.ashr(if left == 0 { word } else { ir.shl(word, by(left)) }, by(WORD_BITS - bits))
    } else {
        ir.and(shifted, by((1 << bits) - 1))
    };
    let v = ir.si_to_fp(code, ir.f32());
    if c.zero == 0 { v } else { ir.fsub(v, ir.splat(ir.cfloat(ir.f32(), c.zero as f64), LANES)) }
}

/// The low bits of each byte.
fn bytes(ir: &Ir, v: V, bits: u32) -> V {
    if bits == 8 {
        return v;
    }
    let mask = 0x0101_0101 * ((1i64 << bits) - 1);
    ir.and(v, ir.splat(ir.cint(ir.int(32), mask as u32 as i32 as i64), LANES))
}
