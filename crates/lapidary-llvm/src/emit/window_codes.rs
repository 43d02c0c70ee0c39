//! Sums over windows of 8-bit codes, channel by channel: the depthwise convolutions of integer models. The lanes of a vector are 64 channels, or
//! four taps of 16 channels where there are no more; the codes of four taps are interleaved in registers, so that one instruction (`vpdpbusd`)
//! multiplies and adds them up in i32. f32 holds such sums exactly, so that a kernel that asks for them in f32 gets the same numbers.

use super::expr::Emitter;
use super::ir::{IntCmp as I, Ir, V};
use super::nest::{Nest, Sharing};
use super::scope::AxisValue;
use super::tile::{self, LANES};
use lapidary_ir::{DType, Result};
use lapidary_kernel::{AxisId, BinaryOp, Cpu, ExprId, ExprKind, Kernel, LocalId, Program, QUAD, ReduceOp, Stmt};

/// Channels of a vector of codes.
const CHANNELS: u32 = 4 * LANES;
/// Blocks of [`LANES`] channels take the rest up to here: a vector of 64 would be more than half empty.
const MOST_IN_LANES: i64 = 2 * LANES as i64;
/// Rows that share the weights, which are put in order for each chunk.
const SHARING_ROWS: i64 = 32;
/// More taps than this would fill a function with code that is written out.
const MOST_TAPS: i64 = 64;

/// A kernel whose sum is computed in codes.
#[derive(Clone, Debug)]
pub struct WindowCodes {
    pub nest: Nest,
    /// The axis of the channels, and how many there are.
    channel: AxisId,
    channels: i64,
    /// The axes of the window.
    over: Vec<AxisId>,
    local: LocalId,
    /// The loads of both factors.
    code: ExprId,
    weight: ExprId,
    /// The left codes are signed: they count as unsigned when 128 is added.
    flip: bool,
}

impl WindowCodes {
    /// `None` for all other kernels, and where the CPU has no instruction for it.
    pub fn of(kernel: &Kernel, program: &Program, cpu: Cpu, strips: usize) -> Option<WindowCodes> {
        let (Stmt::Reduce { local, op: ReduceOp::Sum, over, value }, rest) = kernel.body.split_first()? else { return None };
        let stores = |s: &Stmt| matches!(s, Stmt::Store { axes, guard, .. } if axes.is_empty() && guard.is_empty());
        if cpu != Cpu::X86V4 || !kernel.local(*local).axes.is_empty() || kernel.local(*local).dtype != DType::F32 || !rest.iter().all(stores) {
            return None;
        }
        let ExprKind::Binary(BinaryOp::Mul, code, weight) = kernel.expr(*value).kind else { return None };
        let (code, weight) = (whole(kernel, code)?, whole(kernel, weight)?);
        let (ExprKind::Load { index, .. }, ExprKind::Load { buffer, index: by_tap, guard, .. }) =
            (&kernel.expr(code).kind, &kernel.expr(weight).kind)
        else {
            return None;
        };
        let flip = match (kernel.expr(code).dtype, kernel.expr(weight).dtype) {
            (DType::U8, DType::I8) => false,
            (DType::I8, DType::I8) => true,
            _ => return None,
        };
        let nest = Nest::of(kernel, program, None, strips, Sharing::Chunk(SHARING_ROWS)).ok()?;
        let channel = nest.vector.filter(|_| nest.parallel && nest.blocks.as_const() == Some(1))?;
        let channels = kernel.extent(channel).as_const()?;
        let taps = over.iter().map(|a| kernel.extent(*a).as_const()).try_fold(1i64, |n, e| n.checked_mul(e?))?;
        let steady = guard.is_empty() && nest.rows.iter().all(|a| !by_tap.iter().any(|i| i.mentions(*a)));
        let side_by_side = |index: &[lapidary_kernel::Index]| index.last().is_some_and(|i| i.as_axis() == Some(channel));
        let written = kernel.writes();
        let fits = steady && side_by_side(index) && side_by_side(by_tap) && !written.contains(buffer) && (1..=MOST_TAPS).contains(&taps);
        (fits && channels >= i64::from(LANES)).then(|| WindowCodes { nest, channel, channels, over: over.clone(), local: *local, code, weight, flip })
    }
    /// Every tap: the positions of the axes of the window.
    fn taps(&self, kernel: &Kernel) -> Vec<Vec<i64>> {
        self.over.iter().fold(vec![vec![]], |taps, a| {
            let extent = kernel.extent(*a).as_const().unwrap_or(0);
            taps.iter().flat_map(|t| (0..extent).map(move |i| t.iter().copied().chain([i]).collect())).collect()
        })
    }
}

/// The load of codes that an expression is, seen through conversions, and zero points of 0.
fn whole(kernel: &Kernel, e: ExprId) -> Option<ExprId> {
    match &kernel.expr(e).kind {
        ExprKind::Cast(v) if matches!(kernel.expr(e).dtype, DType::F32 | DType::I32) => whole(kernel, *v),
        ExprKind::Binary(BinaryOp::Sub, v, z) if matches!(&kernel.expr(*z).kind, ExprKind::Const(c) if c.as_f64() == 0.0) => whole(kernel, *v),
        ExprKind::Load { .. } if kernel.expr(e).dtype.bits() == 8 => Some(e),
        _ => None,
    }
}

/// Up to `lanes` channels from `low` on: [`CHANNELS`] or [`LANES`].
#[derive(Clone, Copy)]
struct Block {
    low: V,
    channels: i64,
    lanes: u32,
}

impl Emitter<'_, '_> {
    /// Emits the whole body of the kernel's function.
    pub fn window_codes(&mut self, w: &WindowCodes) -> Result<()> {
        let ir = self.ir;
        let (tiles, per_chunk) = (self.size(&w.nest.tiles)?, self.size(&w.nest.tiles_per_chunk)?);
        let (begin, end) = (ir.arg(self.function, 2), ir.arg(self.function, 3));
        let all = i64::from(CHANNELS);
        let full = w.channels / all * all;
        self.for_each(begin, end, 1, &[], |s, chunk, _| {
            let first = ir.mul(chunk, per_chunk);
            let beyond = ir.add(first, per_chunk);
            let last = ir.select(ir.icmp(I::LLVMIntSLT, beyond, tiles), beyond, tiles);
            let start = s.coordinates(&w.nest.rows, first)?;
            s.for_each(ir.c64(0), ir.c64(full), all, &[], |s, low, _| {
                s.channel_block(w, Block { low, channels: all, lanes: CHANNELS }, (first, last), &start)?;
                Ok(vec![])
            })?;
            let lanes = if w.channels - full <= MOST_IN_LANES { LANES } else { CHANNELS };
            for low in (full..w.channels).step_by(lanes as usize) {
                let channels = (w.channels - low).min(i64::from(lanes));
                let when = s.begin_when(ir.c1(true));
                s.channel_block(w, Block { low: ir.c64(low), channels, lanes }, (first, last), &start)?;
                s.end_when(when, &[], &[]);
            }
            Ok(vec![])
        })?;
        ir.ret(None);
        Ok(())
    }
    /// Some channels of rows `first .. last`; their weights are read once.
    fn channel_block(&mut self, w: &WindowCodes, block: Block, (first, last): (V, V), start: &[V]) -> Result<()> {
        let ir = self.ir;
        let sums = ir.vec(ir.int(32), LANES);
        let weights = self.tap_codes(w, w.weight, block)?;
        let weights: Vec<Vec<V>> = weights.chunks(QUAD as usize).map(|taps| quads(ir, taps, block.lanes)).collect();
        let begin: Vec<V> = (0..(block.lanes / LANES) as usize)
            .map(|q| match w.flip {
                false => ir.zero(sums),
                true => {
                    let top = ir.splat(ir.cint(ir.int(32), 0x8080_8080_u32 as i32 as i64), LANES);
                    let more = weights.iter().fold(ir.zero(sums), |sum, g| tile::add_products(ir, Cpu::X86V4, sum, top, g[q]));
                    ir.sub(ir.zero(sums), more)
                }
            })
            .collect();
        self.each_row(&w.nest.rows, first, last, start, &mut |s| {
            s.inside_or_not(&w.nest, &mut |s| {
                let codes = s.tap_codes(w, w.code, block)?;
                let codes: Vec<V> = match w.flip {
                    false => codes,
                    true => codes.into_iter().map(|c| ir.xor(c, ir.cint(ir.ty(c), -128))).collect(),
                };
                let mut accs = begin.clone();
                for (taps, weights) in codes.chunks(QUAD as usize).zip(&weights) {
                    let codes = quads(ir, taps, block.lanes);
                    accs = (0..accs.len()).map(|q| tile::add_products(ir, Cpu::X86V4, accs[q], codes[q], weights[q])).collect();
                }
                for (i, sum) in (if accs.len() == 1 { accs } else { in_order(ir, &accs) }).into_iter().enumerate() {
                    let left = block.channels - i as i64 * i64::from(LANES);
                    if left > 0 {
                        let column = ir.add(block.low, ir.c64(i as i64 * i64::from(LANES)));
                        s.after_sum(w, column, left, ir.si_to_fp(sum, ir.f32()))?;
                    }
                }
                Ok(())
            })
        })
    }
    /// What an expression reads of each channel of a block, tap by tap.
    fn tap_codes(&mut self, w: &WindowCodes, e: ExprId, block: Block) -> Result<Vec<V>> {
        let ir = self.ir;
        let kernel = self.kernel;
        let ExprKind::Load { buffer, index, guard, otherwise } = &kernel.expr(e).kind else { return Err(self.broken("codes are not loaded")) };
        let partial = block.channels < i64::from(block.lanes);
        let below = ir.splat(ir.c64(block.channels), block.lanes);
        let mask = partial.then(|| ir.icmp(I::LLVMIntSLT, ir.iota(block.lanes), below));
        let outer = (self.vector.replace(w.channel), std::mem::replace(&mut self.mask, mask), std::mem::replace(&mut self.lanes, block.lanes));
        let mut out = vec![];
        for tap in w.taps(kernel) {
            let when = self.begin_when(ir.c1(true));
            let positions = w.over.iter().zip(tap).map(|(a, i)| (*a, AxisValue::Scalar(ir.c64(i))));
            let axes: Vec<_> = positions.chain([(w.channel, AxisValue::Lanes(block.low))]).collect();
            self.current().axes.extend(axes);
            let v = self.load(*buffer, kernel.expr(e).dtype, index, guard, *otherwise)?;
            out.extend(self.end_when(when, &[], &[v]));
        }
        (self.vector, self.mask, self.lanes) = outer;
        Ok(out)
    }
    /// The statements that follow the sum, for 16 channels from `column` on, of which `left` exist.
    fn after_sum(&mut self, w: &WindowCodes, column: V, left: i64, sum: V) -> Result<()> {
        let ir = self.ir;
        let kernel = self.kernel;
        let when = self.begin_when(ir.c1(true));
        let partial = left < i64::from(LANES);
        let mask = partial.then(|| ir.icmp(I::LLVMIntSLT, ir.iota(LANES), ir.splat(ir.c64(left), LANES)));
        let outer = (self.vector.replace(w.channel), std::mem::replace(&mut self.mask, mask));
        self.current().axes.push((w.channel, AxisValue::Lanes(column)));
        self.set_scalar(w.local, sum);
        for s in &kernel.body[1..] {
            if let Stmt::Store { buffer, index, guard, value, .. } = s {
                self.store(*buffer, index, guard, *value)?;
            }
        }
        (self.vector, self.mask) = outer;
        self.end_when(when, &[], &[]);
        Ok(())
    }
}

/// The codes of up to four taps next to each other, channel by channel: a vector for each 16 channels.
fn quads(ir: &Ir, taps: &[V], lanes: u32) -> Vec<V> {
    if lanes == LANES { vec![quad(ir, taps)] } else { quads_in_turns(ir, taps).into() }
}

/// Of 16 channels: the four channels that each tap has next to each other are brought together, then turned within 16 bytes.
fn quad(ir: &Ir, taps: &[V]) -> V {
    let words = ir.vec(ir.int(32), LANES);
    if let [tap] = taps {
        return ir.zext(*tap, ir.int(32));
    }
    let tap = |i: usize| taps.get(i).copied().unwrap_or(ir.zero(ir.vec(ir.int(8), LANES)));
    let side_by_side = |a: V, b: V| ir.shuffle(a, b, &(0..2 * ir.lanes(a)).collect::<Vec<u32>>());
    let all = side_by_side(side_by_side(tap(0), tap(1)), side_by_side(tap(2), tap(3)));
    let all = ir.bitcast(all, words);
    let fours = ir.shuffle(all, all, &(0..LANES).map(|i| i % 4 * 4 + i / 4).collect::<Vec<u32>>());
    let fours = ir.bitcast(fours, ir.vec(ir.int(8), CHANNELS));
    let turned: Vec<u32> = (0..CHANNELS).map(|i| i / 16 * 16 + i % 4 * 4 + i % 16 / 4).collect();
    ir.bitcast(ir.shuffle(fours, fours, &turned), words)
}

/// Of 64 channels. Vectors are turned within each 16 bytes, as the CPU does it fastest: of
/// part `i` of the 64 channels, vector `q` gets the channels `16·i + 4·q` and the three that follow.
fn quads_in_turns(ir: &Ir, taps: &[V]) -> [V; 4] {
    let t = ir.vec(ir.int(8), CHANNELS);
    let tap = |i: usize| taps.get(i).copied().unwrap_or(ir.zero(t));
    let pairs = |high: bool| (unpacked(ir, tap(0), tap(1), 1, high), unpacked(ir, tap(2), tap(3), 1, high));
    let ((a, b), (c, d)) = (pairs(false), pairs(true));
    let lanes = ir.vec(ir.int(32), LANES);
    [(a, b, false), (a, b, true), (c, d, false), (c, d, true)].map(|(x, y, high)| ir.bitcast(unpacked(ir, x, y, 2, high), lanes))
}

/// Elements of `width` bytes of two vectors in turns: of each 16 bytes the lower or the upper half.
fn unpacked(ir: &Ir, a: V, b: V, width: u32, high: bool) -> V {
    let from = |byte: u32| {
        let (part, at) = (byte / 16, byte % 16);
        let element = at / width;
        let source = 16 * part + 8 * u32::from(high) + element / 2 * width + at % width;
        source + CHANNELS * (element % 2)
    };
    let mask: Vec<u32> = (0..CHANNELS).map(from).collect();
    ir.shuffle(a, b, &mask)
}

/// The sums that [`quads_in_turns`] leads to, 16 neighbouring channels to a vector.
fn in_order(ir: &Ir, sums: &[V]) -> Vec<V> {
    // Quarters of a vector: two of the first, two of the second.
    let quarters = |a: V, b: V, of: [u32; 4]| {
        let mask: Vec<u32> = (0..16).map(|l| 4 * of[l / 4] + l as u32 % 4 + if l < 8 { 0 } else { 16 }).collect();
        ir.shuffle(a, b, &mask)
    };
    let halves = |of: [u32; 4]| (quarters(sums[0], sums[1], of), quarters(sums[2], sums[3], of));
    let [(a, b), (c, d)] = [halves([0, 1, 0, 1]), halves([2, 3, 2, 3])];
    vec![quarters(a, b, [0, 2, 0, 2]), quarters(a, b, [1, 3, 1, 3]), quarters(c, d, [0, 2, 0, 2]), quarters(c, d, [1, 3, 1, 3])]
}
