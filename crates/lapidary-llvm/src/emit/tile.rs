//! The register tiles of contractions: few functions, shared by all kernels of a library, or part of a kernel whose epilogue is short
//! ([`sums`]).
//!
//! A tile is `MR` rows by `NV` vectors of 16 f32, held in registers over the whole sum. With 512-bit registers 8 × 3 takes 24 of 32, with
//! 256-bit ones (a vector is two) 6 × 1 takes 12 of 16 (speeds: docs/native-code.md).
//! Rows of A are found through pointers, one per row and tap, so that a convolution reads its input as it lies, padding from a block of
//! zeros. B comes in panels of 16 columns.
//!
//! Tiles of codes multiply four unsigned by four signed bytes in each lane and add them up in i32: with 512-bit registers in one instruction
//! (`vpdpbusd`), else in 16-bit pairs (`vpmaddwd`), which no product overflows.
//!
//! Weights in 29 bits (`f29`) have tiles of one row.
//!
//! Tiles of weights in blocks (`tile_blocks`) take codes of 2, 4 or 8 bits out of words as they go, and scale what each block sums up to.

use super::f29::add_group;
use super::ir::{FloatCmp as F, IntCmp as I, Ir, T, V};
use super::{machine, tile_blocks};
use lapidary_kernel::blocked::WORD_BITS;
use lapidary_kernel::f29::{STEPS, WORDS};
use lapidary_kernel::{Cpu, QUAD};

/// Lanes of a vector, and columns of a panel.
pub const LANES: u32 = 16;

/// Bytes of a cache line, and how many of them a step fetches ahead at most.
pub const LINE: i64 = 64;
pub const LINES_AHEAD: i64 = 2;

/// What a family of tiles takes for granted, so that addresses need no multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    pub cpu: Cpu2,
    /// Elements of a row of A lie next to each other along the inner sum.
    pub a_unit: bool,
    /// B advances by one panel row (16 elements) along the inner sum.
    pub b_packed: bool,
    pub factors: Factors,
    /// Sums may start from a bias, and results have bounds.
    pub finishes: bool,
}

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factors {
    F32,
    /// As f32, of which B is kept in 29 bits: rows of one row's product, whose sums are the same to the last bit.
    F29,
    /// Two 16-bit floats to a step of the inner sum.
    Bf16 {
        /// The last step has one: what lies behind it in A belongs to something else, and may be NaN, so that zeros in B do not do.
        odd: bool,
    },
    /// Unsigned by signed bytes, four to a step of the inner sum.
    Codes {
        /// A holds signed bytes, which count as unsigned when 128 is added: their top bit flipped.
        flip: bool,
    },
    /// Floats, or signed bytes, by codes of few bits in blocks.
    Blocks(Blocks),
}

/// What tiles of weights in blocks read, see `lapidary_kernel::blocked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocks {
    pub bits: u32,
    pub signed: bool,
    /// Taken from each code before it is multiplied by a float.
    pub zero: i64,
    /// A holds signed bytes.
    pub codes: bool,
    /// Blocks have scales; without, the sum is one block.
    pub scaled: bool,
    pub minus: bool,
    pub row_scale: bool,
    pub offset: bool,
}

impl Factors {
    /// Bytes of an element of A and B.
    pub fn element_bytes(self) -> i64 {
        match self {
            Factors::F32 | Factors::F29 => 4,
            Factors::Bf16 { .. } => 2,
            Factors::Codes { .. } => 1,
            Factors::Blocks(b) if b.codes => 1,
            Factors::Blocks(_) => 4,
        }
    }
    /// Products of a step of the inner sum, in units of what a fused multiply-add of f32 does.
    pub fn products(self) -> i64 {
        match self {
            Factors::F32 | Factors::F29 | Factors::Bf16 { .. } | Factors::Codes { .. } => 1,
            Factors::Blocks(b) if b.codes => WORD_BITS / i64::from(b.bits) / QUAD,
            Factors::Blocks(b) => WORD_BITS / i64::from(b.bits),
        }
    }
    /// Whether there are tiles that add a bias and keep bounds.
    pub fn can_finish(self) -> bool {
        matches!(self, Factors::F32 | Factors::F29 | Factors::Bf16 { .. })
    }
    /// The type of the sums.
    pub fn sum(self, ir: &Ir) -> T {
        match self {
            Factors::F32 | Factors::F29 | Factors::Bf16 { .. } | Factors::Blocks(_) => ir.f32(),
            Factors::Codes { .. } => ir.int(32),
        }
    }
}

/// A version, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cpu2 {
    V3,
    V4,
}

impl Family {
    pub fn new(cpu: Cpu, a_unit: bool, b_packed: bool, factors: Factors) -> Family {
        let cpu = match cpu {
            Cpu::X86V3 => Cpu2::V3,
            Cpu::X86V4 => Cpu2::V4,
        };
        Family { cpu, a_unit, b_packed, factors, finishes: false }
    }
    pub fn cpu(self) -> Cpu {
        match self.cpu {
            Cpu2::V3 => Cpu::X86V3,
            Cpu2::V4 => Cpu::X86V4,
        }
    }
    /// The name of the function that computes tiles of just that size.
    pub fn whole_name(self, rows: i64, vectors: i64) -> String {
        format!("{}_{rows}x{vectors}", self.name())
    }
    /// The name of the function that computes a tile of any size.
    pub fn name(self) -> String {
        let flag = |b: bool, yes: &'static str, no: &'static str| if b { yes } else { no };
        let factors = match self.factors {
            Factors::F32 => String::new(),
            Factors::F29 => "_f29".into(),
            Factors::Bf16 { odd } => flag(odd, "_bf16odd", "_bf16").into(),
            Factors::Codes { flip: false } => "_u8".into(),
            Factors::Codes { flip: true } => "_i8".into(),
            Factors::Blocks(b) => {
                let marks = [(b.codes, 'c'), (b.scaled, 's'), (b.minus, 'm'), (b.row_scale, 'r'), (b.offset, 'o')];
                let marks: String = marks.into_iter().filter(|(on, _)| *on).map(|(_, mark)| mark).collect();
                let zero = if b.zero < 0 { format!("n{}", -b.zero) } else { b.zero.to_string() };
                format!("_{}{}{zero}{marks}", flag(b.signed, "i", "u"), b.bits)
            }
        };
        let finishes = flag(self.finishes, "_f", "");
        format!("lap_tile_{}_{}{}{factors}{finishes}", machine::short_name(self.cpu()), flag(self.a_unit, "u", "s"), flag(self.b_packed, "p", "s"))
    }
}

/// Places for the rows of a tile in the table of row pointers: a vector of them, and as many as the largest tile has.
pub const TABLE_ROWS: i64 = 8;

/// The arguments of a tile that tell where its sums go, and what it does to them, see [`tile_type`].
pub const OUT: usize = 8;
pub const OUT_ROW: usize = 11;
pub const BIAS: usize = 12;
pub const BOUNDS: usize = 13;

/// Row counts of tiles, largest first.
pub fn row_counts(cpu: Cpu) -> &'static [i64] {
    match cpu {
        Cpu::X86V3 => &[6, 5, 4, 2, 1],
        Cpu::X86V4 => &[8, 7, 6, 4, 2, 1],
    }
}

/// The most vectors of a tile.
pub fn max_vectors(cpu: Cpu) -> i64 {
    match cpu {
        Cpu::X86V3 => 1,
        Cpu::X86V4 => 3,
    }
}

/// `void tile(ptr rows, i64 taps, i64 kc, i64 a_stride, ptr b, i64 b_tap, i64 b_k, i64 b_panel, ptr out, i64 n_rows, i64 n_vectors)`
///
/// `rows` holds [`TABLE_ROWS`] pointers per tap. Strides are in units of 4 bytes: an f32, or the four codes of
/// a step, of which there are `kc`. `out` gets the sums, row by row.
///
/// Before the counts stand an address, and the bytes by which it moves on with every step: what is read there next is fetched into the second-level
/// cache meanwhile; and the distance of the rows of `out`. Of a family that finishes its results, two pointers follow, each null or to f32: what is added to the sums of
/// each column; and the least and the greatest result.
///
/// Weights in blocks: a tap is a block, a step a word of codes, `out` has rows of `max_vectors` vectors, and there are five pointers instead: scales and offsets of the first
/// panel (`[panels, taps, 16]` f32), scales (f32), what to take away (i32) and offsets (f32) of the first row (`[rows, taps]`).
pub fn tile_type(ir: &Ir, family: Family) -> T {
    let mut arguments = micro_arguments(ir, family);
    arguments.extend([ir.i64(); 2]);
    ir.function_type(ir.void(), &arguments)
}

/// As [`tile_type`], without the counts.
pub fn whole_type(ir: &Ir, family: Family) -> T {
    ir.function_type(ir.void(), &micro_arguments(ir, family))
}

fn micro_arguments(ir: &Ir, family: Family) -> Vec<T> {
    let (p, i) = (ir.ptr(), ir.i64());
    let mut arguments = vec![p, i, i, i, p, i, i, i, p];
    match family.factors {
        Factors::Blocks(_) => arguments.extend([p; 5]),
        _ if family.finishes => arguments.extend([p, i, i, p, p]),
        _ => arguments.extend([p, i, i]),
    }
    arguments
}

/// Emits the tiles of one family, and the function that picks one.
pub fn emit(ir: &Ir, family: Family, sanitize: bool) {
    let cpu = family.cpu();
    let f = ir.function(&family.name(), tile_type(ir, family));
    machine::set_cpu(ir, f, Some(cpu), sanitize);
    let micro_type = whole_type(ir, family);
    let count = micro_arguments(ir, family).len() as u32;
    let args: Vec<V> = (0..count).map(|i| ir.arg(f, i)).collect();
    let (n_rows, n_vectors) = (ir.arg(f, count), ir.arg(f, count + 1));
    ir.at_end(ir.block(f));
    let counts = if family.factors == Factors::F29 { &[1] } else { row_counts(cpu) };
    for (at, rows) in counts.iter().enumerate() {
        let smaller = counts.get(at + 1).copied().unwrap_or(0);
        let (here, next) = (ir.block(f), ir.block(f));
        ir.cond_br(ir.icmp(I::LLVMIntSGT, n_rows, ir.c64(smaller)), here, next);
        ir.at_end(here);
        if *rows == 1 {
            // One row streams B: a panel at a time, in the order of memory.
            let one = micro(ir, family, 1, 1, sanitize);
            let (turn, done) = (ir.block(f), ir.block(f));
            ir.br(turn);
            ir.at_end(turn);
            let v = ir.phi(ir.i64(), &[(ir.c64(0), here)]);
            let mut each = args.clone();
            each[4] = ir.gep(ir.f32(), args[4], ir.mul(v, args[7]));
            each[OUT] = ir.gep(ir.f32(), args[OUT], ir.mul(v, ir.c64(LANES as i64)));
            if family.finishes {
                let bias = ir.gep(ir.f32(), args[BIAS], ir.mul(v, ir.c64(LANES as i64)));
                each[BIAS] = ir.select(ir.icmp(I::LLVMIntEQ, args[BIAS], ir.zero(ir.ptr())), args[BIAS], bias);
            }
            if matches!(family.factors, Factors::Blocks(_)) {
                let panel = ir.mul(ir.mul(v, args[1]), ir.c64(LANES as i64));
                each[9] = ir.gep(ir.f32(), args[9], panel);
                each[10] = ir.gep(ir.f32(), args[10], panel);
            }
            ir.call(micro_type, one, &each);
            let v_next = ir.add(v, ir.c64(1));
            ir.add_incoming(v, v_next, turn);
            ir.cond_br(ir.icmp(I::LLVMIntSLT, v_next, n_vectors), turn, done);
            ir.at_end(done);
            ir.ret(None);
        } else {
            for vectors in (1..=max_vectors(cpu)).rev() {
                let (this, other) = (ir.block(f), ir.block(f));
                ir.cond_br(ir.icmp(I::LLVMIntSGE, n_vectors, ir.c64(vectors)), this, other);
                let back = micro(ir, family, *rows, vectors, sanitize);
                ir.at_end(this);
                ir.call(micro_type, back, &args);
                ir.ret(None);
                ir.at_end(other);
            }
            ir.ret(None);
        }
        ir.at_end(next);
    }
    ir.ret(None);
}

/// One tile of so many rows and vectors.
fn micro(ir: &Ir, family: Family, rows: i64, vectors: i64, sanitize: bool) -> V {
    let f = ir.function(&family.whole_name(rows, vectors), whole_type(ir, family));
    machine::set_cpu(ir, f, Some(family.cpu()), sanitize);
    ir.attribute(f, "noinline", None);
    if family.factors == Factors::F29 {
        // With 256-bit registers it keeps factors there from one half of the columns to the other.
        ir.align_stack(f);
    }
    let here = ir.here();
    match family.factors {
        Factors::Blocks(b) => tile_blocks::emit(ir, f, family, b, rows, vectors),
        _ => plain(ir, f, family, rows, vectors),
    }
    ir.at_end(here);
    f
}

/// A tile that writes its sums, or what follows from them by bias and bounds.
fn plain(ir: &Ir, f: V, family: Family, rows: i64, vectors: i64) {
    let args: Vec<V> = (0..micro_arguments(ir, family).len() as u32).map(|i| ir.arg(f, i)).collect();
    let vector = ir.vec(family.factors.sum(ir), LANES);
    let (out, out_row) = (args[OUT], args[OUT_ROW]);

    ir.at_end(ir.block(f));
    let zero = ir.zero(vector);
    let mut start = vec![zero; vectors as usize];
    if family.finishes {
        // Sums start from the bias, if there is one.
        let (biased, begin, none) = (ir.block(f), ir.block(f), ir.here());
        ir.cond_br(ir.icmp(I::LLVMIntEQ, args[BIAS], ir.zero(ir.ptr())), begin, biased);
        ir.at_end(biased);
        let bias: Vec<V> = (0..vectors).map(|j| ir.load(vector, ir.gep(ir.f32(), args[BIAS], ir.c64(j * LANES as i64)), 4)).collect();
        ir.br(begin);
        ir.at_end(begin);
        start = bias.into_iter().map(|b| ir.phi(vector, &[(zero, none), (b, biased)])).collect();
    }
    let totals = sums(ir, f, family, rows, &start, &args);
    let write = |finish: &dyn Fn(V) -> V| {
        for (i, total) in totals.iter().enumerate() {
            let row = ir.gep(ir.f32(), out, ir.mul(out_row, ir.c64(i as i64 / vectors)));
            ir.store(finish(*total), ir.gep(ir.f32(), row, ir.c64((i as i64 % vectors) * LANES as i64)), 4);
        }
        ir.ret(None);
    };
    if family.finishes {
        let (bounded, free) = (ir.block(f), ir.block(f));
        ir.cond_br(ir.icmp(I::LLVMIntEQ, args[BOUNDS], ir.zero(ir.ptr())), free, bounded);
        ir.at_end(bounded);
        let bound = |i: i64| ir.splat(ir.load(ir.f32(), ir.gep(ir.f32(), args[BOUNDS], ir.c64(i)), 4), LANES);
        let (low, high) = (bound(0), bound(1));
        // NaN stays.
        let within = |p: F, bound: V, v: V| ir.select(ir.fcmp(p, bound, v), bound, v);
        write(&|v| within(F::LLVMRealOLT, high, within(F::LLVMRealOGT, low, v)));
        ir.at_end(free);
    }
    write(&|v| v);
}

/// The sums of a tile, row by row, as part of the function `f`: accumulators carried through the loop over taps and the loop over the inner sum.
/// Each row starts from `first`; `args` are those of [`whole_type`].
pub fn sums(ir: &Ir, f: V, family: Family, rows: i64, first: &[V], args: &[V]) -> Vec<V> {
    let cpu = family.cpu();
    let vectors = first.len() as i64;
    let (table, taps, kc, b, b_tap, b_panel) = (args[0], args[1], args[2], args[4], args[5], args[7]);
    let a_stride = if family.a_unit { ir.c64(1) } else { args[3] };
    let b_k = if family.b_packed { ir.c64(LANES as i64) } else { args[6] };
    let vector = ir.vec(family.factors.sum(ir), LANES);
    // Few rows are few chains of dependent sums: split each over the turns of the loop.
    let parts = if rows * vectors >= 6 { 1 } else { 4 };
    let fetches = parts == 1 && (vectors > 1 || max_vectors(cpu) == 1);
    let n = (rows * vectors) as usize;

    let mut start = vec![ir.zero(vector); n * parts];
    start[..n].iter_mut().zip(first.iter().cycle()).for_each(|(s, first)| *s = *first);
    let entry = ir.here();
    let offsets: Vec<V> = (0..vectors).map(|j| ir.mul(b_panel, ir.c64(j))).collect();
    // A panel of weights in 29 bits begins with the scales of its columns.
    let in_groups = family.factors == Factors::F29;
    let scales = b;
    let b = if in_groups { ir.gep(ir.f32(), b, ir.c64(LANES as i64)) } else { b };
    let (tap_turn, tap_done) = (ir.block(f), ir.block(f));
    ir.cond_br(ir.icmp(I::LLVMIntSGT, taps, ir.c64(0)), tap_turn, tap_done);

    ir.at_end(tap_turn);
    let tap = ir.phi(ir.i64(), &[(ir.c64(0), entry)]);
    let tap_accs: Vec<V> = start.iter().map(|v| ir.phi(vector, &[(*v, entry)])).collect();
    let table_rows = ir.c64(TABLE_ROWS);
    let row_base = ir.mul(tap, table_rows);
    let pointers: Vec<V> = (0..rows).map(|i| ir.load(ir.ptr(), ir.gep(ir.ptr(), table, ir.add(row_base, ir.c64(i))), 8)).collect();
    let b_here = ir.gep(ir.f32(), b, ir.mul(tap, b_tap));
    let (ahead, ahead_step) = (args[9], args[10]);
    let beyond = ir.intrinsic("llvm.smax", &[ir.i64()], &[ir.sub(ahead_step, ir.c64(LINE)), ir.c64(0)]);
    let ahead_here = ir.gep_bytes(ahead, ir.mul(ir.mul(tap, kc), ahead_step));

    // One step of the sum, for accumulators `accs`; `single`: with one factor of two.
    let step = |k: V, accs: &[V], single: bool| -> Vec<V> {
        // Small tiles are over before anything arrives, and those of fewer vectors than others read the last panel.
        if fetches {
            let first = ir.gep_bytes(ahead_here, ir.mul(k, ahead_step));
            ir.prefetch(first);
            // Tiles of few rows move on by more than a line; others fetch the same one again, which costs nothing.
            ir.prefetch(ir.gep_bytes(first, beyond));
        }
        let bk = ir.gep(ir.f32(), b_here, ir.mul(k, b_k));
        let bs: Vec<V> = offsets.iter().map(|o| ir.load(vector, ir.gep(ir.f32(), bk, *o), 4)).collect();
        let mut next = vec![];
        for (i, p) in pointers.iter().enumerate() {
            let at = ir.gep(ir.f32(), *p, ir.mul(k, a_stride));
            let a = match family.factors {
                Factors::F32 | Factors::F29 | Factors::Blocks(_) => ir.load(ir.f32(), at, 4),
                Factors::Bf16 { .. } if single => ir.zext(ir.load(ir.int(16), at, 1), ir.int(32)),
                Factors::Bf16 { .. } | Factors::Codes { flip: false } => ir.load(ir.int(32), at, 1),
                Factors::Codes { flip: true } => ir.xor(ir.load(ir.int(32), at, 1), ir.cint(ir.int(32), 0x8080_8080_u32 as i32 as i64)),
            };
            let a = ir.splat(a, LANES);
            for (j, b) in bs.iter().enumerate() {
                let sum = accs[i * vectors as usize + j];
                next.push(match family.factors {
                    Factors::F32 | Factors::F29 | Factors::Blocks(_) => ir.fma(a, *b, sum),
                    Factors::Bf16 { .. } => add_halves(ir, cpu, sum, a, *b),
                    Factors::Codes { .. } => add_products(ir, cpu, sum, a, *b),
                });
            }
        }
        next
    };
    // A loop over `from..to` by `by`, with as many sets of accumulators, or all of them for a group of weights in 29 bits.
    let sum = |from: V, to: V, by: usize, start: &[V]| -> Vec<V> {
        let before = ir.here();
        let (turn, done) = (ir.block(f), ir.block(f));
        ir.cond_br(ir.icmp(I::LLVMIntSLT, from, to), turn, done);
        ir.at_end(turn);
        let k = ir.phi(ir.i64(), &[(from, before)]);
        let accs: Vec<V> = start.iter().map(|v| ir.phi(vector, &[(*v, before)])).collect();
        let mut next = accs.clone();
        if in_groups {
            let words = ir.mul(ir.lshr(k, ir.c64(STEPS.trailing_zeros() as i64)), ir.c64(WORDS as i64 * LANES as i64));
            let a = |step: V| ir.load(ir.f32(), ir.gep(ir.f32(), pointers[0], ir.mul(ir.add(k, step), a_stride)), 4);
            add_group(ir, f, cpu, (ir.gep(ir.f32(), b_here, words), scales), &a, &mut next);
        } else {
            for u in 0..by {
                let set = &mut next[u * n..][..n];
                set.copy_from_slice(&step(ir.add(k, ir.c64(u as i64)), set, false));
            }
        }
        let k_next = ir.add(k, ir.c64(by as i64));
        let last = ir.here();
        ir.add_incoming(k, k_next, last);
        accs.iter().zip(&next).for_each(|(p, v)| ir.add_incoming(*p, *v, last));
        ir.cond_br(ir.icmp(I::LLVMIntSLT, k_next, to), turn, done);
        ir.at_end(done);
        start.iter().zip(&next).map(|(s, v)| ir.phi(vector, &[(*s, before), (*v, last)])).collect()
    };
    let odd = family.factors == Factors::Bf16 { odd: true };
    let whole = if odd { ir.sub(kc, ir.c64(1)) } else { kc };
    let mut accs = if parts == 1 {
        sum(ir.c64(0), whole, 1, &tap_accs)
    } else if in_groups {
        sum(ir.c64(0), whole, STEPS, &tap_accs)
    } else {
        let even = ir.and(whole, ir.c64(-(parts as i64)));
        let accs = sum(ir.c64(0), even, parts, &tap_accs);
        sum(even, whole, 1, &accs)
    };
    if odd {
        let last = step(whole, &accs[..n], true);
        accs[..n].copy_from_slice(&last);
    }
    let tap_last = ir.here();
    let tap_next = ir.add(tap, ir.c64(1));
    ir.add_incoming(tap, tap_next, tap_last);
    tap_accs.iter().zip(&accs).for_each(|(p, v)| ir.add_incoming(*p, *v, tap_last));
    ir.cond_br(ir.icmp(I::LLVMIntSLT, tap_next, taps), tap_turn, tap_done);

    ir.at_end(tap_done);
    let all: Vec<V> = accs.iter().zip(&start).map(|(v, s)| ir.phi(vector, &[(*s, entry), (*v, tap_last)])).collect();
    let add = |a: V, b: V| match family.factors {
        Factors::F32 | Factors::F29 | Factors::Bf16 { .. } | Factors::Blocks(_) => ir.fadd(a, b),
        Factors::Codes { .. } => ir.add(a, b),
    };
    (0..n).map(|i| (1..parts).fold(all[i], |s, u| add(s, all[u * n + i]))).collect()
}

/// Adds to each lane of `sum` the products of its two 16-bit floats of `a` and `b`.
fn add_halves(ir: &Ir, cpu: Cpu, sum: V, a: V, b: V) -> V {
    if cpu == Cpu::X86V4 {
        let pairs = ir.vec(ir.bfloat(), 2 * LANES);
        return ir.intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", &[], &[sum, ir.bitcast(a, pairs), ir.bitcast(b, pairs)]);
    }
    // The 16 bits are the upper ones of an f32.
    let words = ir.vec(ir.int(32), LANES);
    let (a, b) = (ir.bitcast(a, words), ir.bitcast(b, words));
    let half = |v: V, upper: bool| {
        let bits = if upper { ir.and(v, ir.cint(words, 0xffff_0000_u32 as i32 as i64)) } else { ir.shl(v, ir.cint(words, 16)) };
        ir.bits_as(bits, ir.f32())
    };
    let sum = ir.fma(half(a, false), half(b, false), sum);
    ir.fma(half(a, true), half(b, true), sum)
}

/// Adds to each lane of `sum` the products of its four unsigned bytes of `a` and signed bytes of `b`.
pub fn add_products(ir: &Ir, cpu: Cpu, sum: V, a: V, b: V) -> V {
    if cpu == Cpu::X86V4 {
        return ir.intrinsic("llvm.x86.avx512.vpdpbusd.512", &[], &[sum, a, b]);
    }
    let bytes = ir.vec(ir.int(8), 4 * LANES);
    let (a, b) = (ir.zext(ir.bitcast(a, bytes), ir.int(16)), ir.sext(ir.bitcast(b, bytes), ir.int(16)));
    // Sums of pairs, sixteen words at a time, then of neighbours.
    let pairs: Vec<V> =
        (0..LANES / 4).map(|i| ir.intrinsic("llvm.x86.avx2.pmadd.wd", &[], &[ir.part(a, 16 * i, 16), ir.part(b, 16 * i, 16)])).collect();
    let each: Vec<V> = pairs
        .chunks(2)
        .map(|p| {
            let lanes = |odd: u32| (0..8).map(|i| 2 * i + odd).collect::<Vec<u32>>();
            ir.add(ir.shuffle(p[0], p[1], &lanes(0)), ir.shuffle(p[0], p[1], &lanes(1)))
        })
        .collect();
    let all: Vec<u32> = (0..LANES).collect();
    ir.add(sum, ir.shuffle(each[0], each[1], &all))
}
