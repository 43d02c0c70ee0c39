//! Elementwise kernels that read along one axis and write along another: transposed copies, changes of layout, panels of a transposed operand. Squares of
//! 16 × 16 elements are read row by row, turned in registers, and written row by row. Where few elements lie next to each other in the result (the
//! channels of an image), whole vectors of each are read, and interleaved; where few do in what is read, they are taken apart. Smaller elements that stay together in groups of 32 bits (the pairs of a
//! panel) are moved as such groups.

use super::expr::{Ahead, Emitter};
use super::ir::{IntCmp as I, Ir, V};
use super::nest::{self, CHUNK_WORK};
use super::scope::AxisValue;
use super::tile;
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{AxisId, ExprId, ExprKind, Index, Kernel, Program, Schedule, Stmt, linearize};

const LANES: i64 = tile::LANES as i64;
/// Elements of the axis that is read along, of one tile.
const STRETCH: i64 = 128;
/// Neighbours that are interleaved, or taken apart.
const FEW: i64 = 4;
/// Shorter axes leave squares mostly empty.
const SHORTEST: i64 = 8;

/// A kernel that squares are turned for.
#[derive(Clone, Debug)]
pub struct Turn {
    read: AxisId,
    write: AxisId,
    /// All other axes.
    rows: Vec<AxisId>,
    few: Option<Few>,
    /// The axis within a group of 32 bits.
    group: Option<AxisId>,
    /// Squares, or everything, across the axis that tiles stretch along.
    blocks: Dim,
    stretches: Dim,
    tiles: Dim,
    tiles_per_chunk: Dim,
    pub chunks: Dim,
    /// None is needed.
    pub scratch_bytes: Dim,
}

/// So many neighbours, instead of squares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Few {
    /// In the result: they are interleaved.
    Written(i64),
    /// In the only buffer that varies along them: they are taken apart.
    Read(i64),
}

impl Few {
    fn count(self) -> i64 {
        match self {
            Few::Written(n) | Few::Read(n) => n,
        }
    }
}

impl Turn {
    /// The axis that tiles stretch along, and the one across.
    fn along_and_across(&self) -> (AxisId, AxisId) {
        match self.few {
            Some(Few::Read(_)) => (self.write, self.read),
            _ => (self.read, self.write),
        }
    }
    /// `None` for all other kernels. With `strips`, each point of that many first axes is one chunk.
    pub fn of(kernel: &Kernel, program: &Program, strips: usize) -> Option<Turn> {
        let (Some(Schedule::Map { .. }), [Stmt::Store { buffer, index, axes, guard, value }]) = (&kernel.schedule, kernel.body.as_slice()) else {
            return None;
        };
        if kernel.serial || !axes.is_empty() || !guard.is_empty() || !kernel.locals.is_empty() || kernel.reads_own() {
            return None;
        }
        let live = kernel.live_exprs();
        let live = || kernel.exprs.iter().zip(&live).filter(|(_, live)| **live).map(|(e, _)| e);
        let small = |bits: usize| (8..=32).contains(&bits);
        let computed = |i: &Index| {
            let mut values = vec![];
            i.values(&mut values);
            !values.is_empty()
        };
        // Truth values are single bits in registers, which do not shuffle well.
        let result = kernel.expr(*value).dtype;
        if !live().all(|e| small(e.dtype.bits()) || e.dtype == DType::Bool) || !small(result.bits()) || result == DType::Bool {
            return None;
        }
        let store = linearize(index, &program.buffer(*buffer).dims);
        let (mut loads, mut guards): (Vec<Index>, Vec<&Index>) = (vec![], vec![]);
        for e in live() {
            match &e.kind {
                ExprKind::Load { index, guard, buffer, .. } => {
                    if index.iter().chain(guard.iter().map(|(i, _)| i)).any(computed) {
                        return None;
                    }
                    guards.extend(guard.iter().map(|(i, _)| i));
                    loads.push(linearize(index, &program.buffer(*buffer).dims));
                }
                ExprKind::Index(_) | ExprKind::Within(_) => return None,
                _ => {}
            }
        }
        let step = |i: &Index, a: AxisId| i.coefficient(a);
        let group = group(kernel, *value, &store, &loads);
        // In units of groups.
        let width = group.map_or(1, |a| kernel.extent(a).as_const().unwrap_or(1));
        let one = |d: Option<Dim>| d.is_some_and(|d| d.as_const() == Some(width));
        let zero = |d: Option<Dim>| d.is_some_and(|d| d.as_const() == Some(0));
        let wide = |a: AxisId| kernel.extent(a).as_const().is_none_or(|e| e >= SHORTEST);
        let write = kernel.parallel_axes().find(|a| Some(*a) != group && one(step(&store, *a)) && kernel.extent(*a).as_const() != Some(1))?;
        let along = |a: &AxisId| {
            let strided = step(&store, *a).is_some_and(|d| !matches!(d.as_const(), Some(0 | 1)) && d.as_const() != Some(width));
            let reads = loads.iter().all(|l| one(step(l, *a)) || zero(step(l, *a)));
            let turned = loads.iter().any(|l| one(step(l, *a)) && !zero(step(l, write)));
            let apart = group.is_none() || guards.iter().all(|i| !i.mentions(*a));
            strided && reads && turned && apart && wide(*a)
        };
        if loads.iter().any(|l| step(l, write).is_none()) {
            return None;
        }
        let few_read = |a: AxisId| {
            let e = kernel.extent(a).as_const().filter(|e| (2..=FEW).contains(e))?;
            let apart = |l: &Index| one(step(l, a)) && step(l, write).is_some_and(|d| d.as_const() == Some(e));
            let same = |l: &Index| zero(step(l, a)) && zero(step(l, write));
            let varying: Vec<&Index> = loads.iter().filter(|l| !same(l)).collect();
            let alone = matches!(varying.as_slice(), [l] if apart(l)) && guards.is_empty() && group.is_none();
            (alone && step(&store, a).is_some() && wide(write)).then_some((a, Some(Few::Read(e))))
        };
        let others = || kernel.parallel_axes().filter(|a| *a != write && Some(*a) != group);
        let (read, few) = match (others().find(along), kernel.extent(write).as_const()) {
            (Some(read), Some(e)) if e <= FEW && group.is_none() => {
                (step(&store, read)?.as_const() == Some(e)).then_some((read, Some(Few::Written(e))))?
            }
            (Some(_), Some(e)) if e < SHORTEST => return None,
            (Some(read), _) => (read, None),
            (None, _) => others().find_map(few_read)?,
        };
        let rows: Vec<AxisId> = others().filter(|a| *a != read).collect();
        let (one, block) = (Dim::from(1), few.map_or(LANES, Few::count));
        let (long, across) = if matches!(few, Some(Few::Read(_))) { (write, read) } else { (read, write) };
        let blocks = kernel.extent(across).ceil_div(&Dim::from(block));
        let stretches = kernel.extent(long).ceil_div(&Dim::from(STRETCH));
        let tiles = rows.iter().fold(&blocks * &stretches, |n, a| &n * kernel.extent(*a));
        let point = nest::point_cost(kernel).as_const()?.max(1);
        let length = kernel.extent(long).as_const().map_or(STRETCH, |e| e.clamp(1, STRETCH));
        let strip = |a: &AxisId| usize::from(a.0) < strips;
        let tiles_per_chunk = match strips {
            0 => Dim::from((CHUNK_WORK / (point * length * block)).max(1)),
            _ if strip(&read) || strip(&write) => return None,
            _ => rows.iter().filter(|a| !strip(a)).fold(&blocks * &stretches, |n, a| &n * kernel.extent(*a)).maximum(&one),
        };
        let chunks = tiles.ceil_div(&tiles_per_chunk).maximum(&one);
        Some(Turn { read, write, rows, few, group, blocks, stretches, tiles, tiles_per_chunk, chunks, scratch_bytes: Dim::from(0) })
    }
}

/// The axis of groups of 32 bits that a kernel moves as they are.
fn group(kernel: &Kernel, value: ExprId, store: &Index, loads: &[Index]) -> Option<AxisId> {
    let (ExprKind::Load { guard, otherwise: None, .. }, [load]) = (&kernel.expr(value).kind, loads) else { return None };
    let width = 32 / kernel.expr(value).dtype.bits() as i64;
    let one = |i: &Index, a: AxisId| i.coefficient(a).is_some_and(|d| d.as_const() == Some(1));
    let whole = |a: &AxisId| width > 1 && kernel.extent(*a).as_const() == Some(width) && one(store, *a) && one(load, *a);
    kernel.parallel_axes().find(whole).filter(|a| guard.iter().all(|(i, _)| !i.mentions(*a)))
}

/// A square: where it begins, and how many rows and columns of it exist, where not all do.
struct Square<'t> {
    turn: &'t Turn,
    write: V,
    read: V,
    written: Option<V>,
    left: Option<V>,
}

impl<'t> Square<'t> {
    fn new(turn: &'t Turn, (along, across): (V, V), written: Option<V>, left: Option<V>) -> Square<'t> {
        let (write, read) = if turn.along_and_across().0 == turn.read { (across, along) } else { (along, across) };
        Square { turn, write, read, written, left }
    }
}

impl Emitter<'_, '_> {
    /// Emits the whole body of the kernel's function.
    pub fn turn(&mut self, t: &Turn) -> Result<()> {
        let ir = self.ir;
        let kernel = self.kernel;
        let (tiles, per_chunk) = (self.size(&t.tiles)?, self.size(&t.tiles_per_chunk)?);
        let (blocks, stretches) = (self.size(&t.blocks)?, self.size(&t.stretches)?);
        let (long, across) = t.along_and_across();
        let (length, width) = (self.size(kernel.extent(long))?, self.size(kernel.extent(across))?);
        let min = |a: V, b: V| ir.select(ir.icmp(I::LLVMIntSLT, a, b), a, b);
        let (begin, end) = (ir.arg(self.function, 2), ir.arg(self.function, 3));
        let (first, last) = (ir.mul(begin, per_chunk), min(ir.mul(end, per_chunk), tiles));
        let multiple = |a: AxisId| kernel.extent(a).modulo(&Dim::from(LANES)).as_const() == Some(0);
        self.for_each(first, last, 1, &[], |s, tile, _| {
            let (rest, stretch) = s.split(tile, stretches);
            let (row, block) = s.split(rest, blocks);
            s.enter_point(&t.rows, row)?;
            let side = ir.mul(block, ir.c64(t.few.map_or(LANES, Few::count)));
            let low = ir.mul(stretch, ir.c64(STRETCH));
            let high = min(ir.add(low, ir.c64(STRETCH)), length);
            let whole = ir.add(low, ir.and(ir.sub(high, low), ir.c64(-LANES)));
            let there = ir.sub(width, side);
            let full = if t.few.is_some() || multiple(across) { ir.c1(true) } else { ir.icmp(I::LLVMIntSGE, there, ir.c64(LANES)) };
            for partial in [false, true] {
                if partial && ir.as_const_int(full).is_some_and(|c| c != 0) {
                    break;
                }
                let written = partial.then_some(there);
                let w = s.begin_when(if partial { ir.not(full) } else { full });
                s.for_each(low, whole, LANES, &[], |s, at, _| {
                    s.square(&Square::new(t, (at, side), written, None))?;
                    Ok(vec![])
                })?;
                if !multiple(long) {
                    let some = s.begin_when(ir.icmp(I::LLVMIntSLT, whole, high));
                    let left = Some(ir.sub(high, whole));
                    s.square(&Square::new(t, (whole, side), written, left))?;
                    s.end_when(some, &[], &[]);
                }
                s.end_when(w, &[], &[]);
            }
            Ok(vec![])
        })?;
        ir.ret(None);
        Ok(())
    }
    fn square(&mut self, q: &Square<'_>) -> Result<()> {
        let ir = self.ir;
        let kernel = self.kernel;
        let Some(Stmt::Store { buffer, index, value, .. }) = kernel.body.first() else { return Err(self.broken("stores nothing")) };
        let count = q.turn.few.map_or(LANES, Few::count);
        let below = |limit: V| ir.icmp(I::LLVMIntSLT, ir.iota(tile::LANES), ir.splat(limit, tile::LANES));
        // Of neighbours, those of vector `i` that exist.
        let there = q.left.map(|l| ir.mul(l, ir.c64(count)));
        let beside = |i: i64| there.map(|t| below(ir.sub(t, ir.c64(i * LANES))));
        let taken_apart = matches!(q.turn.few, Some(Few::Read(_)));
        let row = |i: i64| if taken_apart { (0, i * LANES, beside(i)) } else { (i, 0, q.left.map(below)) };
        let rows = (0..count).map(|i| self.read_row(q, *value, row(i))).collect::<Result<Vec<V>>>()?;
        // Rows of squares are far from each other: where the next square of each goes is not found by the machine.
        self.ahead = q.turn.few.is_none().then_some(Ahead { axis: q.turn.write, points: LANES });
        let w = self.begin_when(ir.c1(true));
        self.current().axes.extend(q.turn.group.map(|a| (a, AxisValue::Scalar(ir.c64(0)))));
        if let Some(Few::Written(_)) = q.turn.few {
            let points = [(q.turn.read, AxisValue::Scalar(q.read)), (q.turn.write, AxisValue::Scalar(q.write))];
            self.current().axes.extend(points);
            for (i, v) in (0..).zip(interleaved(ir, &rows)) {
                self.store_side_by_side(*buffer, index, (v, i * LANES), beside(i), false)?;
            }
        } else {
            let (columns, exist, mask) = match taken_apart {
                true => (apart(ir, &rows), None, q.left.map(below)),
                false => (turned(ir, rows), q.left, q.written.map(below)),
            };
            for (i, v) in (0..).zip(columns) {
                let w = self.begin_when(exist.map_or(ir.c1(true), |l| ir.icmp(I::LLVMIntSGT, l, ir.c64(i))));
                let points = [(q.turn.read, AxisValue::Scalar(ir.add(q.read, ir.c64(i)))), (q.turn.write, AxisValue::Scalar(q.write))];
                self.current().axes.extend(points);
                self.store_side_by_side(*buffer, index, (v, 0), mask, q.turn.group.is_some())?;
                self.end_when(w, &[], &[]);
            }
        }
        self.end_when(w, &[], &[]);
        self.ahead = None;
        Ok(())
    }
    /// The values at 16 points along the axis that is read along, so many rows and elements from the corner of the square.
    fn read_row(&mut self, q: &Square<'_>, value: ExprId, (row, first, mask): (i64, i64, Option<V>)) -> Result<V> {
        let ir = self.ir;
        let (row, read) = (ir.c64(row), ir.add(q.read, ir.c64(first)));
        let mask = match q.written {
            None => mask,
            Some(n) => {
                let exists = ir.splat(ir.icmp(I::LLVMIntSLT, row, n), tile::LANES);
                Some(mask.map_or(exists, |m| ir.and(m, exists)))
            }
        };
        if q.turn.group.is_some() {
            return self.read_groups(q, value, row, mask);
        }
        let w = self.begin_when(ir.c1(true));
        self.vector = Some(q.turn.read);
        self.mask = mask;
        let points = [(q.turn.write, AxisValue::Scalar(ir.add(q.write, row))), (q.turn.read, AxisValue::Lanes(read))];
        self.current().axes.extend(points);
        let v = self.expr(value)?;
        self.vector = None;
        self.mask = None;
        self.end_when(w, &[], &[]);
        Ok(ir.splat(v, tile::LANES))
    }
    /// As [`Emitter::read_row`], groups of 32 bits as floats, which are not looked into.
    fn read_groups(&mut self, q: &Square<'_>, value: ExprId, row: V, mask: Option<V>) -> Result<V> {
        let ir = self.ir;
        let ExprKind::Load { buffer, index, guard, .. } = &self.kernel.expr(value).kind else { return Err(self.broken("groups are not loaded")) };
        let w = self.begin_when(ir.c1(true));
        let points = [(q.turn.write, ir.add(q.write, row)), (q.turn.read, q.read)];
        let group = q.turn.group.map(|a| (a, ir.c64(0)));
        self.current().axes.extend(points.into_iter().chain(group).map(|(a, v)| (a, AxisValue::Scalar(v))));
        let (bytes, p) = self.place(*buffer, index)?;
        let (same, _) = self.guard(guard)?;
        let p = same.map_or(p, |c| ir.select(c, p, self.zeros));
        let t = ir.vec(ir.f32(), tile::LANES);
        let v = match mask {
            None => ir.load(t, p, bytes),
            Some(m) => ir.masked_load(t, p, m, ir.zero(t), bytes),
        };
        self.end_when(w, &[], &[]);
        Ok(v)
    }
}

/// The transpose of 16 vectors of 16: halves change places at distances 1, 2, 4 and 8.
fn turned(ir: &Ir, mut rows: Vec<V>) -> Vec<V> {
    for distance in [1u32, 2, 4, 8] {
        let other = |lane: u32| lane & distance != 0;
        let low: Vec<u32> = (0..16).map(|l| if other(l) { 16 + l - distance } else { l }).collect();
        let high: Vec<u32> = (0..16).map(|l| if other(l) { 16 + l } else { l + distance }).collect();
        for i in (0..16usize).filter(|i| !other(*i as u32)) {
            let j = i + distance as usize;
            (rows[i], rows[j]) = (ir.shuffle(rows[i], rows[j], &low), ir.shuffle(rows[i], rows[j], &high));
        }
    }
    rows
}

/// Element 0 of each vector, then element 1 of each, and so on.
fn interleaved(ir: &Ir, rows: &[V]) -> Vec<V> {
    let n = rows.len() as u32;
    let vector = |k: u32| {
        let place = |lane: u32| (16 * k + lane) / n;
        let of = |lane: u32| (16 * k + lane) % n;
        (1..n).fold(rows[0], |v, row| {
            let first = |lane: u32| if row == 1 && of(lane) == 0 { place(lane) } else { lane };
            let mask: Vec<u32> = (0..16).map(|l| if of(l) == row { 16 + place(l) } else { first(l) }).collect();
            ir.shuffle(v, rows[row as usize], &mask)
        })
    };
    (0..n).map(vector).collect()
}

/// Of vectors that lie next to each other: every n-th element, then the one after each of those, and so on.
fn apart(ir: &Ir, rows: &[V]) -> Vec<V> {
    let n = rows.len() as u32;
    let vector = |k: u32| {
        let place = |lane: u32| lane * n + k;
        (1..n).fold(rows[0], |v, row| {
            let first = |lane: u32| if row == 1 { place(lane) % 16 } else { lane };
            let mask: Vec<u32> = (0..16).map(|l| if place(l) / 16 == row { 16 + place(l) % 16 } else { first(l) }).collect();
            ir.shuffle(v, rows[row as usize], &mask)
        })
    };
    (0..n).map(vector).collect()
}
