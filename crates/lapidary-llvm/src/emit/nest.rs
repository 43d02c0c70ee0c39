//! Loop nests: the templates map, window, row and serial are one emitter, with vectors along a parallel axis, along an axis of the
//! statements, or nowhere.

use super::expr::{Emitter, Place, broken};
use super::ir::{IntCmp as I, Ir, V};
use super::{ops, types};
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{AxisId, BinaryOp, ExprId, ExprKind, Kernel, Program, ReduceOp, Schedule, Stmt, UnaryOp, linearize};
use std::collections::BTreeSet;

/// Work that one chunk should hold, in units of about 0.1 ns: some tens of microseconds, so that claiming it costs nothing.
const CHUNK_WORK: i64 = 300_000;
/// Loops of a fixed number of turns are written out up to this many.
const UNROLL_LIMIT: i64 = 32;
/// Partial results of a long reduction: enough to hide the latency of an addition.
const PARTS: i64 = 4;
/// Rows that share what is read once per vector.
const STATIONARY_ROWS: i64 = 32;

/// How a kernel is cut into loops, vectors and chunks.
#[derive(Clone, Debug)]
pub struct Nest {
    pub lanes: u32,
    pub vector: Option<AxisId>,
    /// Lanes run along a parallel axis.
    pub parallel: bool,
    /// The parallel axes but for the vector axis; together they count rows.
    rows: Vec<AxisId>,
    /// Elements of a parallel vector axis that are one tile.
    block: i64,
    blocks: Dim,
    tiles: Dim,
    tiles_per_chunk: Dim,
    /// Vectors outside, rows inside.
    stationary: bool,
    pub chunks: Dim,
    /// Offset in scratch memory of each local array.
    scratch: Vec<Option<Dim>>,
    pub scratch_bytes: Dim,
}

impl Nest {
    /// The nest of a kernel whose schedule is not a contraction (or a contraction that is run as a window along `fallback`).
    pub fn of(kernel: &Kernel, program: &Program, fallback: Option<AxisId>) -> Result<Nest> {
        let vector = match (&kernel.schedule, fallback) {
            (_, Some(a)) => Some(a),
            (Some(Schedule::Map { vector } | Schedule::Window { vector } | Schedule::Row { vector }), _) => Some(AxisId(*vector)),
            (Some(Schedule::Serial), _) => None,
            _ => return Err(broken("has no schedule for loops", kernel)),
        };
        if vector.is_some_and(|a| a.0 as usize >= kernel.axes.len()) {
            return Err(broken("the vector axis does not exist", kernel));
        }
        let vector = if kernel.serial { None } else { vector };
        let parallel = vector.is_some_and(|a| kernel.is_parallel(a));
        let lanes = if vector.is_some() { lanes(kernel) } else { 1 };
        let one = Dim::from(1);
        let rows: Vec<AxisId> = kernel.parallel_axes().filter(|a| Some(*a) != vector || !parallel).collect();
        let row_count = rows.iter().fold(one.clone(), |n, a| &n * kernel.extent(*a));
        let point = point_cost(kernel);
        let (mut block, mut blocks, mut tile) = (0, one.clone(), point.clone());
        if let (Some(a), true) = (vector, parallel) {
            let extent = kernel.extent(a);
            let per_point = point.as_const().unwrap_or(1000).max(1);
            block = (CHUNK_WORK / per_point / lanes as i64).clamp(4, 1 << 12) * lanes as i64;
            if extent.as_const().is_none_or(|e| e > block) {
                blocks = extent.ceil_div(&Dim::from(block));
                tile = &extent.minimum(&Dim::from(block)) * &point;
            } else {
                tile = extent * &point;
            }
        }
        let tiles = &row_count * &blocks;
        let serial = kernel.serial || kernel.schedule == Some(Schedule::Serial);
        let tiles_per_chunk = if serial { tiles.maximum(&one) } else { Dim::from(CHUNK_WORK).floor_div(&tile.maximum(&one)).maximum(&one) };
        // Weights of a depthwise convolution: read once per vector, not once per row.
        let stationary = parallel && blocks.as_const() == Some(1) && vector.is_some_and(|a| varies_along(kernel, program, a, &rows));
        let tiles_per_chunk = if stationary && !serial { tiles_per_chunk.maximum(&Dim::from(STATIONARY_ROWS)) } else { tiles_per_chunk };
        let chunks = if serial { one } else { tiles.ceil_div(&tiles_per_chunk) };
        let mut end = Dim::from(0);
        let scratch = kernel.locals.iter().map(|l| {
            (!l.axes.is_empty()).then(|| {
                let elements = l.axes.iter().fold(Dim::from(1), |n, a| &n * kernel.extent(*a));
                let each = Emitter::local_bytes(l.dtype) * if parallel { lanes as i64 } else { 1 };
                let at = end.clone();
                end = &end + &lapidary_kernel::align(&(&elements * &Dim::from(each)));
                at
            })
        });
        let scratch = scratch.collect();
        Ok(Nest { lanes, vector, parallel, rows, block, blocks, tiles, tiles_per_chunk, stationary, chunks, scratch, scratch_bytes: end })
    }
}

/// Whether a reduction reads elements that vary along `axis` but not along any of `rows`.
fn varies_along(kernel: &Kernel, program: &Program, axis: AxisId, rows: &[AxisId]) -> bool {
    let live = kernel.live_exprs();
    let reduces = kernel.body.iter().any(|s| matches!(s, Stmt::Reduce { .. }));
    let arrays = kernel.locals.iter().any(|l| !l.axes.is_empty());
    let still = |e: &ExprKind| match e {
        ExprKind::Load { buffer, index, guard, .. } if guard.is_empty() => {
            let flat = linearize(index, &program.buffer(*buffer).dims);
            let mut values = vec![];
            flat.values(&mut values);
            values.is_empty() && flat.mentions(axis) && !rows.iter().any(|r| flat.mentions(*r))
        }
        _ => false,
    };
    reduces && !arrays && kernel.exprs.iter().zip(live).any(|(e, live)| live && still(&e.kind))
}

/// Lanes such that the widest element fills a register of 64 bytes.
fn lanes(kernel: &Kernel) -> u32 {
    let live = kernel.live_exprs();
    let memory = kernel.exprs.iter().zip(live).filter(|(e, live)| *live && !matches!(e.kind, ExprKind::Index(_) | ExprKind::Const(_)));
    let widest = memory.map(|(e, _)| e.dtype.bits()).chain(kernel.locals.iter().map(|l| l.dtype.bits())).max().unwrap_or(32);
    if widest > 32 { 8 } else { 16 }
}

/// The work of one point of the parallel axes, in units of [`CHUNK_WORK`].
fn point_cost(kernel: &Kernel) -> Dim {
    let mut sum = Dim::from(1);
    for s in &kernel.body {
        let turns = stmt_axes(kernel, s).iter().fold(Dim::from(1), |n, a| &n * kernel.extent(*a));
        let (mut seen, mut work, mut each) = (BTreeSet::new(), s.exprs(), 1);
        while let Some(e) = work.pop() {
            if !seen.insert(e) {
                continue;
            }
            let kind = &kernel.expr(e).kind;
            work.extend(kind.operands());
            each += match kind {
                ExprKind::Const(_) | ExprKind::Local(_) => 0,
                ExprKind::Unary(op, _) => match op {
                    UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not | UnaryOp::IsNan => 1,
                    UnaryOp::Sqrt | UnaryOp::Reciprocal => 3,
                    _ => 8,
                },
                ExprKind::Binary(BinaryOp::Div | BinaryOp::Mod | BinaryOp::Rem, ..) => 4,
                ExprKind::Binary(BinaryOp::Pow, ..) => 20,
                _ => 1,
            };
        }
        sum = &sum + &(&turns * &Dim::from(each));
    }
    sum
}

/// The axes that a statement loops over: those of its local array, and those that it reduces.
fn stmt_axes(kernel: &Kernel, s: &Stmt) -> Vec<AxisId> {
    match s {
        Stmt::Let { local, .. } => kernel.local(*local).axes.clone(),
        Stmt::Reduce { local, over, .. } => kernel.local(*local).axes.iter().chain(over).copied().collect(),
        Stmt::Store { axes, .. } => axes.clone(),
    }
}

impl<'i, 'c> Emitter<'i, 'c> {
    /// Emits the whole body of the kernel's function.
    pub fn nest(&mut self, nest: &Nest) -> Result<()> {
        let ir = self.ir;
        for (l, at) in nest.scratch.iter().enumerate() {
            if let Some(at) = at {
                let at = self.size(at)?;
                let scratch = self.scratch;
                self.places[l] = Some(Place::Scratch(self.at(0, |s| s.ir.gep_bytes(scratch, at))));
            }
        }
        let (tiles, per_chunk) = (self.size(&nest.tiles)?, self.size(&nest.tiles_per_chunk)?);
        let (begin, end) = (ir.arg(self.function, 2), ir.arg(self.function, 3));
        let min = |a: V, b: V| ir.select(ir.icmp(I::LLVMIntSLT, a, b), a, b);
        let kernel = self.kernel;
        let carry_nothing = |_: &Ir, _: &[V], _: &[V]| Ok(vec![]);
        let whole = |axis: AxisId| kernel.extent(axis).modulo(&Dim::from(nest.lanes as i64)).as_const() == Some(0);
        let across = nest.vector.filter(|_| nest.parallel);
        if let (Some(axis), true) = (across, nest.stationary) {
            // Vector by vector, so that what varies along the vector axis alone stays in registers for all rows of a chunk.
            let extent = self.size(kernel.extent(axis))?;
            self.for_each(begin, end, 1, &[], |s, chunk, _| {
                let first = ir.mul(chunk, per_chunk);
                let last = min(ir.add(first, per_chunk), tiles);
                let start = s.point(&nest.rows, first)?;
                s.vector_loop(axis, ir.c64(0), extent, whole(axis), &[], 1, &carry_nothing, &mut |s, _| {
                    s.each_row(&nest.rows, first, last, &start, &mut |s| s.statements(nest))?;
                    Ok(vec![])
                })
            })?;
        } else if let (Some(axis), false) = (across, nest.blocks.as_const() == Some(1)) {
            let (first, last) = (ir.mul(begin, per_chunk), min(ir.mul(end, per_chunk), tiles));
            let (extent, blocks) = (self.size(kernel.extent(axis))?, self.size(&nest.blocks)?);
            self.for_each(first, last, 1, &[], |s, tile, _| {
                let (row, block) = s.split(tile, blocks);
                s.enter_point(&nest.rows, row)?;
                let low = ir.mul(block, ir.c64(nest.block));
                let high = min(ir.add(low, ir.c64(nest.block)), extent);
                s.vector_loop(axis, low, high, whole(axis), &[], 1, &carry_nothing, &mut |s, _| {
                    s.statements(nest)?;
                    Ok(vec![])
                })
            })?;
        } else {
            let (first, last) = (ir.mul(begin, per_chunk), min(ir.mul(end, per_chunk), tiles));
            let start = self.point(&nest.rows, first)?;
            self.each_row(&nest.rows, first, last, &start, &mut |s| match across {
                None => s.statements(nest),
                Some(axis) => {
                    let extent = s.size(kernel.extent(axis))?;
                    s.vector_loop(axis, ir.c64(0), extent, whole(axis), &[], 1, &carry_nothing, &mut |s, _| {
                        s.statements(nest)?;
                        Ok(vec![])
                    })?;
                    Ok(())
                }
            })?;
        }
        ir.ret(None);
        Ok(())
    }
    /// Quotient and remainder of a count.
    pub fn split(&mut self, i: V, by: V) -> (V, V) {
        if self.ir.as_const_int(by) == Some(1) {
            return (i, self.ir.c64(0));
        }
        super::scope::floor_div(self.ir, i, by, true)
    }
    /// Sets the axes to the point of that number, the last axis running fastest.
    pub fn enter_point(&mut self, axes: &[AxisId], number: V) -> Result<()> {
        let at = self.point(axes, number)?;
        self.set_point(axes, &at);
        Ok(())
    }
    fn set_point(&mut self, axes: &[AxisId], at: &[V]) {
        let values = axes.iter().zip(at).map(|(a, v)| (*a, super::scope::AxisValue::Scalar(*v)));
        self.current().axes.extend(values);
    }
    /// The coordinates of the point of that number.
    fn point(&mut self, axes: &[AxisId], number: V) -> Result<Vec<V>> {
        let mut rest = number;
        let mut out = vec![number; axes.len()];
        for (n, a) in axes.iter().enumerate().rev() {
            let extent = self.kernel.extent(*a).clone();
            out[n] = if extent.as_const() == Some(1) {
                self.ir.c64(0)
            } else if axes[..n].iter().all(|a| self.kernel.extent(*a).as_const() == Some(1)) {
                rest
            } else {
                let size = self.size(&extent)?;
                let (q, r) = self.split(rest, size);
                rest = q;
                r
            };
        }
        Ok(out)
    }
    /// Runs the body for points `first .. last`, the first of which has coordinates `start`: counted on, with no division.
    fn each_row(&mut self, axes: &[AxisId], first: V, last: V, start: &[V], body: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let ir = self.ir;
        let kernel = self.kernel;
        let moving: Vec<usize> = (0..axes.len()).filter(|i| kernel.extent(axes[*i]).as_const() != Some(1)).collect();
        let extents = moving.iter().map(|i| self.size(kernel.extent(axes[*i]))).collect::<Result<Vec<_>>>()?;
        let from: Vec<V> = moving.iter().map(|i| start[*i]).collect();
        self.for_each(first, last, 1, &from, |s, _, at| {
            let mut all = start.to_vec();
            moving.iter().zip(at).for_each(|(i, v)| all[*i] = *v);
            s.set_point(axes, &all);
            body(s)?;
            let mut next = at.to_vec();
            let mut carry = ir.c64(1);
            for i in (0..moving.len()).rev() {
                let v = ir.add(at[i], carry);
                if i == 0 {
                    next[i] = v;
                    break;
                }
                let wraps = ir.icmp(I::LLVMIntEQ, v, extents[i]);
                next[i] = ir.select(wraps, ir.c64(0), v);
                carry = ir.zext(wraps, ir.i64());
            }
            Ok(next)
        })?;
        Ok(())
    }

    // ---- loops

    pub fn for_each(&mut self, low: V, high: V, step: i64, carried: &[V], body: impl FnOnce(&mut Self, V, &[V]) -> Result<Vec<V>>) -> Result<Vec<V>> {
        let l = self.begin_loop(low, high, step, carried);
        let next = body(self, l.i, &l.carried)?;
        Ok(self.end_loop(l, &next))
    }
    /// Runs vectors along `axis` from `low` (a multiple of the lanes) to `high`: whole ones in a loop, then one with a mask, unless
    /// `whole` says that there is none. `parts` copies of what is carried are kept in the loop, and joined by `join`.
    #[allow(clippy::too_many_arguments)]
    pub fn vector_loop(
        &mut self,
        axis: AxisId,
        low: V,
        high: V,
        whole: bool,
        carried: &[V],
        parts: i64,
        join: &dyn Fn(&Ir, &[V], &[V]) -> Result<Vec<V>>,
        body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>,
    ) -> Result<Vec<V>> {
        let ir = self.ir;
        let lanes = self.lanes as i64;
        let outer = (self.vector.replace(axis), self.mask.take());
        let mut at = |s: &mut Self, i: V, accs: &[V]| {
            s.current().axes.push((axis, super::scope::AxisValue::Lanes(i)));
            body(s, accs)
        };
        let length = ir.sub(high, low);
        let up_to = |multiple: i64| ir.add(low, ir.and(length, ir.c64(-multiple)));
        let (mut now, mut from) = (carried.to_vec(), low);
        if parts > 1 {
            let many = parts * lanes;
            let end = up_to(many);
            let n = carried.len();
            // Further parts start from what joining leaves as it is: the loop's own first values serve, when they are neutral.
            let all: Vec<V> = (0..parts).flat_map(|_| carried.iter().copied()).collect();
            let all = self.for_each(low, end, many, &all, |s, i, accs| {
                let mut next = vec![];
                for k in 0..parts {
                    let w = s.begin_when(ir.c1(true));
                    let out = at(s, ir.add(i, ir.c64(k * lanes)), &accs[k as usize * n..][..n])?;
                    next.extend(s.end_when(w, &[], &out));
                }
                Ok(next)
            })?;
            now = all[..n].to_vec();
            for k in 1..parts as usize {
                now = join(ir, &now, &all[k * n..][..n])?;
            }
            from = end;
        }
        let end = if whole { high } else { up_to(lanes) };
        if ir.as_const_int(from).is_none() || from != end {
            now = self.for_each(from, end, lanes, &now, |s, i, accs| at(s, i, accs))?;
        }
        if !whole {
            let some = ir.icmp(I::LLVMIntSLT, end, high);
            if ir.as_const_int(some) != Some(0) {
                let left = ir.sub(high, end);
                let w = self.begin_when(some);
                let mask = ir.icmp(I::LLVMIntSLT, ir.iota(self.lanes), ir.splat(left, self.lanes));
                self.mask = Some(mask);
                let next = at(self, end, &now)?;
                self.mask = None;
                now = self.end_when(w, &now, &next);
            }
        }
        (self.vector, self.mask) = outer;
        Ok(now)
    }
    /// One scalar loop of a reduction or of a local array.
    fn scalar_loop(
        &mut self,
        axis: AxisId,
        carried: &[V],
        unroll: bool,
        join: &dyn Fn(&Ir, &[V], &[V]) -> Result<Vec<V>>,
        body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>,
    ) -> Result<Vec<V>> {
        let ir = self.ir;
        let dim = self.kernel.extent(axis).clone();
        let extent = self.size(&dim)?;
        let mut at = |s: &mut Self, i: V, accs: &[V]| {
            s.current().axes.push((axis, super::scope::AxisValue::Scalar(i)));
            body(s, accs)
        };
        if unroll && let Some(n) = dim.as_const() {
            let mut now = carried.to_vec();
            for i in 0..n {
                let w = self.begin_when(ir.c1(true));
                let next = at(self, ir.c64(i), &now)?;
                now = self.end_when(w, &[], &next);
            }
            return Ok(now);
        }
        let (mut now, mut from) = (carried.to_vec(), ir.c64(0));
        if !carried.is_empty() && dim.as_const().is_none_or(|n| n >= 2 * PARTS) {
            let end = ir.and(extent, ir.c64(-PARTS));
            let n = carried.len();
            let all: Vec<V> = (0..PARTS).flat_map(|_| carried.iter().copied()).collect();
            let all = self.for_each(from, end, PARTS, &all, |s, i, accs| {
                let mut next = vec![];
                for k in 0..PARTS {
                    let w = s.begin_when(ir.c1(true));
                    let out = at(s, ir.add(i, ir.c64(k)), &accs[k as usize * n..][..n])?;
                    next.extend(s.end_when(w, &[], &out));
                }
                Ok(next)
            })?;
            now = all[..n].to_vec();
            for k in 1..PARTS as usize {
                now = join(ir, &now, &all[k * n..][..n])?;
            }
            from = end;
        }
        self.for_each(from, extent, 1, &now, |s, i, accs| at(s, i, accs))
    }
    /// Loops over `axes`, the vector axis among them with vectors. What is carried must start neutral where parts are joined.
    fn loops(
        &mut self,
        axes: &[AxisId],
        nest: &Nest,
        carried: &[V],
        unroll: bool,
        join: &dyn Fn(&Ir, &[V], &[V]) -> Result<Vec<V>>,
        body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>,
    ) -> Result<Vec<V>> {
        let Some((axis, rest)) = axes.split_first() else { return body(self, carried) };
        let mut inside = |s: &mut Self, accs: &[V]| if rest.is_empty() { body(s, accs) } else { s.loops(rest, nest, accs, unroll, join, body) };
        if nest.vector == Some(*axis) && !nest.parallel {
            let extent = self.kernel.extent(*axis).clone();
            let size = self.size(&extent)?;
            let whole = extent.modulo(&Dim::from(self.lanes as i64)).as_const() == Some(0);
            let long = extent.as_const().is_none_or(|e| e >= 2 * PARTS * self.lanes as i64);
            let parts = if rest.is_empty() && !carried.is_empty() && long { PARTS } else { 1 };
            let zero = self.ir.c64(0);
            return self.vector_loop(*axis, zero, size, whole, carried, parts, join, &mut inside);
        }
        if rest.is_empty() {
            return self.scalar_loop(*axis, carried, unroll, join, &mut inside);
        }
        if unroll {
            return self.scalar_loop(*axis, carried, true, join, &mut inside);
        }
        let extent = self.kernel.extent(*axis).clone();
        let size = self.size(&extent)?;
        let zero = self.ir.c64(0);
        self.for_each(zero, size, 1, carried, |s, i, accs| {
            s.current().axes.push((*axis, super::scope::AxisValue::Scalar(i)));
            inside(s, accs)
        })
    }

    // ---- statements

    /// The statements of one point (or of one vector of points), those that run along the same axes in common loops.
    pub fn statements(&mut self, nest: &Nest) -> Result<()> {
        let kernel = self.kernel;
        let mut rest = kernel.body.as_slice();
        while let Some(first) = rest.first() {
            let mut n = 1;
            while n < rest.len() && self.joins(&rest[..n], &rest[n], first) {
                n += 1;
            }
            self.group(&rest[..n], &rest[n..], nest)?;
            rest = &rest[n..];
        }
        Ok(())
    }
    /// Whether `next` can share the loops of the statements before.
    fn joins(&self, group: &[Stmt], next: &Stmt, first: &Stmt) -> bool {
        let kernel = self.kernel;
        let set = |s: &Stmt| stmt_axes(kernel, s).into_iter().collect::<BTreeSet<_>>();
        let simple = |s: &Stmt| !matches!(s, Stmt::Reduce { local, .. } if !kernel.local(*local).axes.is_empty());
        let reduced: Vec<_> = group.iter().filter_map(|s| if let Stmt::Reduce { local, .. } = s { Some(*local) } else { None }).collect();
        let reads_own = kernel.writes().iter().any(|b| kernel.reads().contains(b));
        !set(first).is_empty() && set(first) == set(next) && simple(first) && simple(next) && !reads_own && {
            // A reduction's result is known only after the loop.
            let (mut seen, mut work) = (BTreeSet::new(), next.exprs());
            let mut free = true;
            while let Some(e) = work.pop() {
                if seen.insert(e) {
                    let kind = &kernel.expr(e).kind;
                    free &= !matches!(kind, ExprKind::Local(l) if reduced.contains(l));
                    work.extend(kind.operands());
                }
            }
            free
        }
    }
    fn group(&mut self, group: &[Stmt], later: &[Stmt], nest: &Nest) -> Result<()> {
        let kernel = self.kernel;
        let first = &group[0];
        // A reduction for every position of a local array: the array's loops outside, the reduction inside.
        if let Stmt::Reduce { local, over, op, value } = first
            && !kernel.local(*local).axes.is_empty()
        {
            let along = self.ordered(&kernel.local(*local).axes, nest);
            let inner = self.ordered(over, nest);
            self.loops(&along, nest, &[], false, &|_, _, _| Ok(vec![]), &mut |s, _| {
                let v = s.reduce(&[(*op, kernel.local(*local).dtype, *value)], &inner, nest, &mut |_| Ok(()))?;
                s.set_array(*local, v[0])?;
                Ok(vec![])
            })?;
            self.current().locals.push(*local);
            return Ok(());
        }
        let axes = self.ordered(&stmt_axes(kernel, first), nest);
        let reductions: Vec<_> = group
            .iter()
            .filter_map(|s| match s {
                Stmt::Reduce { local, op, value, .. } => Some((*local, (*op, kernel.local(*local).dtype, *value))),
                _ => None,
            })
            .collect();
        let each: Vec<_> = reductions.iter().map(|r| r.1).collect();
        let results = self.reduce(&each, &axes, nest, &mut |s| {
            for (at, stmt) in group.iter().enumerate() {
                match stmt {
                    Stmt::Let { local, value } => {
                        let v = s.expr(*value)?;
                        if kernel.local(*local).axes.is_empty() {
                            // No loops: the scope is that of the point.
                            s.set_scalar(*local, v);
                        } else {
                            s.keep_element(*local, v, &group[at + 1..], later)?;
                        }
                    }
                    Stmt::Store { buffer, index, guard, value, .. } => {
                        s.store(*buffer, index, guard, *value)?;
                        s.forget_pinned();
                    }
                    Stmt::Reduce { .. } => {}
                }
            }
            Ok(())
        })?;
        for ((local, _), v) in reductions.iter().zip(results) {
            self.set_scalar(*local, v);
        }
        for s in group {
            if let Stmt::Let { local, .. } = s
                && !kernel.local(*local).axes.is_empty()
            {
                self.current().locals.push(*local);
            }
        }
        Ok(())
    }
    fn set_scalar(&mut self, local: lapidary_kernel::LocalId, v: V) {
        self.places[local.0 as usize] = Some(Place::Register(v));
        self.current().locals.push(local);
    }
    fn set_array(&mut self, local: lapidary_kernel::LocalId, v: V) -> Result<()> {
        match self.places[local.0 as usize] {
            Some(Place::Scratch(base)) => self.set_local(local, base, v),
            _ => Err(self.broken("a local array has no memory")),
        }
    }
    /// An element of a local array: remembered for statements in the same loops, kept in memory for later ones.
    fn keep_element(&mut self, local: lapidary_kernel::LocalId, v: V, same: &[Stmt], later: &[Stmt]) -> Result<()> {
        let kernel = self.kernel;
        let used_in = |stmts: &[Stmt]| {
            let (mut seen, mut work) = (BTreeSet::new(), stmts.iter().flat_map(Stmt::exprs).collect::<Vec<_>>());
            while let Some(e) = work.pop() {
                if seen.insert(e) {
                    if kernel.expr(e).kind == ExprKind::Local(local) {
                        return true;
                    }
                    work.extend(kernel.expr(e).kind.operands());
                }
            }
            false
        };
        if used_in(later) {
            self.set_array(local, v)?;
        }
        if used_in(same) {
            self.current().locals.push(local);
            for (e, x) in kernel.exprs.iter().enumerate() {
                if x.kind == ExprKind::Local(local) {
                    self.remember(ExprId(e as u32), v);
                }
            }
        }
        Ok(())
    }
    /// The axes in loop order: the vector axis innermost.
    fn ordered(&self, axes: &[AxisId], nest: &Nest) -> Vec<AxisId> {
        let v = |a: &&AxisId| nest.vector == Some(**a) && !nest.parallel;
        axes.iter().filter(|a| !v(a)).chain(axes.iter().filter(v)).copied().collect()
    }
    /// Runs `other` and the reductions at every point of `axes`.
    fn reduce(
        &mut self,
        each: &[(ReduceOp, DType, ExprId)],
        axes: &[AxisId],
        nest: &Nest,
        other: &mut dyn FnMut(&mut Self) -> Result<()>,
    ) -> Result<Vec<V>> {
        let ir = self.ir;
        for (_, dtype, _) in each {
            types::check(*dtype)?;
        }
        let across = !nest.parallel && nest.vector.is_some_and(|a| axes.contains(&a));
        let lanes = if across || self.vector.is_some() { self.lanes } else { 1 };
        let start: Vec<V> = each.iter().map(|(op, dtype, _)| neutral(ir, *op, *dtype, lanes)).collect();
        let join = |ir: &Ir, a: &[V], b: &[V]| -> Result<Vec<V>> {
            each.iter().zip(a.iter().zip(b)).map(|((op, dtype, _), (a, b))| combine(ir, *op, *dtype, *a, *b)).collect()
        };
        let turns = axes.iter().try_fold(1i64, |n, a| self.kernel.extent(*a).as_const().map(|e| n.saturating_mul(e)));
        let unroll = !each.is_empty() && !across && turns.is_some_and(|n| n <= UNROLL_LIMIT);
        // Every set of parts starts from neutral values: an inner loop of several parts would add the outer loop's sum to each part.
        let out = self.nested(axes, nest, &start, unroll, &join, &mut |s, accs| {
            other(s)?;
            let mut next = vec![];
            for ((op, dtype, value), acc) in each.iter().zip(accs) {
                next.push(s.accumulate(*op, *dtype, *value, *acc, across)?);
            }
            Ok(next)
        })?;
        let finish = each.iter().zip(out).map(|((op, dtype, _), v)| {
            let v = if across { horizontal(ir, *op, *dtype, v)? } else { v };
            Ok(types::round(ir, *dtype, v))
        });
        finish.collect()
    }
    /// As `loops`, with inner loops that start anew and are joined to what the outer ones carry.
    fn nested(
        &mut self,
        axes: &[AxisId],
        nest: &Nest,
        start: &[V],
        unroll: bool,
        join: &dyn Fn(&Ir, &[V], &[V]) -> Result<Vec<V>>,
        body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>,
    ) -> Result<Vec<V>> {
        if axes.len() <= 1 || unroll || start.is_empty() {
            return self.loops(axes, nest, start, unroll, join, body);
        }
        let (outer, inner) = axes.split_at(axes.len() - 1);
        self.loops_outer(outer, start, &mut |s, accs| {
            let sum = s.loops(inner, nest, start, false, join, body)?;
            join(s.ir, accs, &sum)
        })
    }
    fn loops_outer(&mut self, axes: &[AxisId], carried: &[V], body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>) -> Result<Vec<V>> {
        let Some((axis, rest)) = axes.split_first() else { return body(self, carried) };
        let extent = self.kernel.extent(*axis).clone();
        let size = self.size(&extent)?;
        let zero = self.ir.c64(0);
        self.for_each(zero, size, 1, carried, |s, i, accs| {
            s.current().axes.push((*axis, super::scope::AxisValue::Scalar(i)));
            s.loops_outer(rest, accs, body)
        })
    }
    /// `acc op value`; products that are summed are rounded once.
    fn accumulate(&mut self, op: ReduceOp, dtype: DType, value: ExprId, acc: V, across: bool) -> Result<V> {
        let kernel = self.kernel;
        let next = match kernel.expr(value).kind {
            ExprKind::Binary(BinaryOp::Mul, a, b) if op == ReduceOp::Sum && matches!(dtype, DType::F32 | DType::F64) => {
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                self.ir.fma(a, b, acc)
            }
            _ => {
                let v = self.expr(value)?;
                combine(self.ir, op, dtype, acc, v)?
            }
        };
        Ok(match self.mask {
            Some(m) if across => self.ir.select(m, next, acc),
            _ => next,
        })
    }
}

/// What leaves the other operand as it is.
fn neutral(ir: &Ir, op: ReduceOp, dtype: DType, lanes: u32) -> V {
    let t = ir.vec(types::register(ir, dtype), lanes);
    if dtype.is_float() {
        let v = match op {
            ReduceOp::Sum => 0.0,
            ReduceOp::Product => 1.0,
            ReduceOp::Min => f64::INFINITY,
            ReduceOp::Max => f64::NEG_INFINITY,
        };
        return ir.cfloat(t, v);
    }
    let (low, high) = dtype.int_range().unwrap_or((0, 1));
    let v = match op {
        ReduceOp::Sum => 0,
        ReduceOp::Product => 1,
        ReduceOp::Min => high as i64,
        ReduceOp::Max => low as i64,
    };
    ir.cint(t, v)
}

/// One step of a reduction. 16-bit floats are summed as f32 and rounded at the end.
fn combine(ir: &Ir, op: ReduceOp, dtype: DType, a: V, b: V) -> Result<V> {
    let dtype = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
    let (a, b) = ir.widen(a, b);
    match op {
        ReduceOp::Sum if dtype == DType::Bool => Ok(ir.or(a, b)),
        ReduceOp::Product if dtype == DType::Bool => Ok(ir.and(a, b)),
        ReduceOp::Sum => ops::binary(ir, BinaryOp::Add, dtype, a, b),
        ReduceOp::Product => ops::binary(ir, BinaryOp::Mul, dtype, a, b),
        ReduceOp::Min => ops::binary(ir, BinaryOp::Min, dtype, a, b),
        ReduceOp::Max => ops::binary(ir, BinaryOp::Max, dtype, a, b),
    }
}

/// Joins all lanes, halves at a time.
fn horizontal(ir: &Ir, op: ReduceOp, dtype: DType, v: V) -> Result<V> {
    let mut v = v;
    while ir.lanes(v) > 1 {
        let half = ir.lanes(v) / 2;
        v = combine(ir, op, dtype, ir.part(v, 0, half), ir.part(v, half, half))?;
    }
    Ok(v)
}
