//! The loops of a nest: over tiles, rows, vectors with a tail, and the axes of statements.

use super::expr::{Ahead, Emitter, Place, Pointer};
use super::ir::{IntCmp as I, Ir, V};
use super::nest::{Nest, turns};
use super::scope::AxisValue;
use lapidary_ir::{Dim, Result};
use lapidary_kernel::{AxisId, ExprKind, Index, Stmt};

/// Partial results of a long reduction: enough to hide the latency of an addition.
const PARTS: i64 = 4;
/// Points of the loop around that vectors are fetched ahead.
const FETCHED_AHEAD: i64 = 4;

/// Points of the vector axis.
pub struct Stretch {
    pub axis: AxisId,
    /// A multiple of the lanes.
    pub low: V,
    pub high: V,
    /// Vectors fill it: there is no rest for a mask.
    pub whole: bool,
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
        self.run = nest.run;
        let whole = |axis: AxisId| kernel.extent(axis).modulo(&Dim::from(nest.lanes as i64)).as_const() == Some(0);
        let across = nest.vector.filter(|_| nest.parallel);
        if let (Some(axis), false) = (across, nest.blocks.as_const() == Some(1)) {
            let (first, last) = (ir.mul(begin, per_chunk), min(ir.mul(end, per_chunk), tiles));
            let (extent, blocks) = (self.size(kernel.extent(axis))?, self.size(&nest.blocks)?);
            self.for_each(first, last, 1, &[], |s, tile, _| {
                let (row, block) = s.split(tile, blocks);
                s.enter_point(&nest.rows, row)?;
                let low = ir.mul(block, ir.c64(nest.block));
                let high = min(ir.add(low, ir.c64(nest.block)), extent);
                s.vector_loop(Stretch { axis, low, high, whole: whole(axis) }, &[], 1, &carry_nothing, &mut |s, _| {
                    s.point(nest)?;
                    Ok(vec![])
                })
            })?;
        } else {
            let (first, last) = (ir.mul(begin, per_chunk), min(ir.mul(end, per_chunk), tiles));
            let start = self.coordinates(&nest.rows, first)?;
            self.ahead = nest.ahead.map(|axis| Ahead { axis, points: FETCHED_AHEAD });
            self.each_row(&nest.rows, first, last, &start, &mut |s| match across {
                None => s.point(nest),
                Some(axis) => {
                    let extent = s.size(kernel.extent(axis))?;
                    s.vector_loop(Stretch { axis, low: ir.c64(0), high: extent, whole: whole(axis) }, &[], 1, &carry_nothing, &mut |s, _| {
                        s.points_at(nest)?;
                        Ok(vec![])
                    })?;
                    Ok(())
                }
            })?;
        }
        ir.ret(None);
        Ok(())
    }
    /// The statements at one point of the rows, or at each of a run of them.
    fn points_at(&mut self, nest: &Nest) -> Result<()> {
        let Some(run) = nest.run else { return self.point(nest) };
        let ir = self.ir;
        let extent = self.kernel.extent(run.axis);
        if extent.modulo(&Dim::from(run.points)).as_const() == Some(0) {
            return self.point(nest);
        }
        let extent = self.size(extent)?;
        let Some((_, AxisValue::Scalar(first))) = self.axis(run.axis) else { return Err(self.broken("a run starts nowhere")) };
        let full = ir.icmp(I::LLVMIntSLE, ir.add(first, ir.c64(run.points)), extent);
        let w = self.begin_when(full);
        self.point(nest)?;
        self.end_when(w, &[], &[]);
        // What is left at the end, one by one.
        let w = self.begin_when(ir.not(full));
        self.run = None;
        self.for_each(first, extent, 1, &[], |s, i, _| {
            s.current().axes.push((run.axis, AxisValue::Scalar(i)));
            s.point(nest)?;
            Ok(vec![])
        })?;
        self.run = Some(run);
        self.end_when(w, &[], &[]);
        Ok(())
    }
    fn point(&mut self, nest: &Nest) -> Result<()> {
        self.inside_or_not(nest, &mut |s| s.statements(nest))
    }
    /// Emits the body for one point of the rows: twice, where that saves tests. Where a window lies wholly inside what it reads, no element of it
    /// is tested.
    pub fn inside_or_not(&mut self, nest: &Nest, body: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let Some(inside) = self.window_inside(nest)? else { return body(self) };
        let w = self.begin_when(inside);
        self.inside = Some(self.top());
        body(self)?;
        self.inside = None;
        self.end_when(w, &[], &[]);
        let outside = self.ir.not(inside);
        let w = self.begin_when(outside);
        // Addresses that LLVM found equal on both sides would be computed before the test, each in a register of its own.
        let others = self.pointers.clone().into_iter().map(|(b, p)| {
            let base = self.at(0, |s| s.ir.intrinsic("llvm.launder.invariant.group", &[s.ir.ptr()], &[p.base]));
            (b, Pointer { base, ..p })
        });
        let others = others.collect();
        let pointers = std::mem::replace(&mut self.pointers, others);
        body(self)?;
        self.pointers = pointers;
        self.end_when(w, &[], &[]);
        Ok(())
    }
    /// Whether every guard of the kernel holds at this point of the rows, wherever the axes of its statements are. `None` where that cannot be
    /// told from the rows.
    fn window_inside(&mut self, nest: &Nest) -> Result<Option<V>> {
        let kernel = self.kernel;
        let local = |a: &AxisId| !kernel.is_parallel(*a);
        let mut guards: Vec<&(Index, Dim)> = vec![];
        for (e, live) in kernel.exprs.iter().zip(kernel.live_exprs()) {
            let (ExprKind::Load { guard, .. } | ExprKind::Within(guard)) = &e.kind else { continue };
            if !live || guard.is_empty() {
                continue;
            }
            let mut axes = vec![];
            guard.iter().for_each(|(i, _)| i.axes(&mut axes));
            if axes.iter().any(|a| nest.vector == Some(*a)) || guard.iter().any(|(i, _)| !i.is_affine()) {
                return Ok(None);
            }
            guard.iter().filter(|g| !guards.contains(g)).collect::<Vec<_>>().into_iter().for_each(|g| guards.push(g));
        }
        let stores = kernel.body.iter().all(|s| matches!(s, Stmt::Store { guard, .. } if guard.is_empty()) || matches!(s, Stmt::Reduce { .. }));
        if guards.is_empty() || !stores || nest.vector.is_none_or(|v| local(&v)) {
            return Ok(None);
        }
        let ir = self.ir;
        let mut all = ir.c1(true);
        for (index, size) in guards {
            let extent = |a: AxisId| kernel.extent(a).clone();
            let row = index.substitute(&|a| if local(&a) { Index::from(0) } else { a.into() }, &Index::value, &extent);
            let Some((least, most)) = index.sub(&row).range(&extent) else { return Ok(None) };
            let (Some(least), Some(most)) = (least.as_const(), most.as_const()) else { return Ok(None) };
            let (mut least, mut most) = (least, most);
            if let Some(run) = self.run {
                let Some(by) = index.coefficient(run.axis).and_then(|c| c.as_const()) else { return Ok(None) };
                let reach = by * (run.points - 1);
                (least, most) = (least + reach.min(0), most + reach.max(0));
            }
            let (row, size) = (self.index(&row)?, self.size(size)?);
            all = ir.and(all, ir.icmp(I::LLVMIntSGE, ir.add(row, ir.c64(least)), ir.c64(0)));
            all = ir.and(all, ir.icmp(I::LLVMIntSLT, ir.add(row, ir.c64(most)), size));
        }
        Ok(Some(all))
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
        let at = self.coordinates(axes, number)?;
        self.set_point(axes, &at);
        Ok(())
    }
    fn set_point(&mut self, axes: &[AxisId], at: &[V]) {
        let ir = self.ir;
        let starts = |a: AxisId, v: V| self.run.filter(|r| r.axis == a).map_or(v, |r| ir.mul(v, ir.c64(r.points)));
        let values: Vec<_> = axes.iter().zip(at).map(|(a, v)| (*a, AxisValue::Scalar(starts(*a, *v)))).collect();
        self.current().axes.extend(values);
    }
    /// How many points of an axis of rows are entered: one for each run.
    fn turns(&self, axis: AxisId) -> Dim {
        turns(self.kernel, self.run, axis)
    }
    /// The coordinates of the point of that number.
    pub fn coordinates(&mut self, axes: &[AxisId], number: V) -> Result<Vec<V>> {
        let mut rest = number;
        let mut out = vec![number; axes.len()];
        for (n, a) in axes.iter().enumerate().rev() {
            let extent = self.turns(*a);
            out[n] = if extent.as_const() == Some(1) {
                self.ir.c64(0)
            } else if axes[..n].iter().all(|a| self.turns(*a).as_const() == Some(1)) {
                rest
            } else {
                // A strip may have no points: its first one is found, and then none is entered.
                let size = self.size(&extent.maximum(&Dim::from(1)))?;
                let (q, r) = self.split(rest, size);
                rest = q;
                r
            };
        }
        Ok(out)
    }
    /// Runs the body for points `first .. last`, the first of which has coordinates `start`: counted on, with no division.
    pub fn each_row(&mut self, axes: &[AxisId], first: V, last: V, start: &[V], body: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let ir = self.ir;
        let moving: Vec<usize> = (0..axes.len()).filter(|i| self.turns(axes[*i]).as_const() != Some(1)).collect();
        let turns: Vec<Dim> = moving.iter().map(|i| self.turns(axes[*i])).collect();
        let extents = turns.iter().map(|t| self.size(t)).collect::<Result<Vec<_>>>()?;
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
    /// Runs vectors along a stretch of an axis: whole ones in a loop, then one with a mask. `parts` copies of what is carried are kept in the loop, and joined by `join`.
    pub fn vector_loop(
        &mut self,
        Stretch { axis, low, high, whole }: Stretch,
        carried: &[V],
        parts: i64,
        join: &dyn Fn(&Ir, &[V], &[V]) -> Result<Vec<V>>,
        body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>,
    ) -> Result<Vec<V>> {
        let ir = self.ir;
        let lanes = self.lanes as i64;
        let outer = (self.vector.replace(axis), self.mask.take());
        let mut at = |s: &mut Self, i: V, accs: &[V]| {
            s.current().axes.push((axis, AxisValue::Lanes(i)));
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
            s.current().axes.push((axis, AxisValue::Scalar(i)));
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
    /// The innermost loops, as many as are `written`, are written out.
    pub fn loops(
        &mut self,
        axes: &[AxisId],
        nest: &Nest,
        carried: &[V],
        written: usize,
        join: &dyn Fn(&Ir, &[V], &[V]) -> Result<Vec<V>>,
        body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>,
    ) -> Result<Vec<V>> {
        let Some((axis, rest)) = axes.split_first() else { return body(self, carried) };
        let mut inside = |s: &mut Self, accs: &[V]| if rest.is_empty() { body(s, accs) } else { s.loops(rest, nest, accs, written, join, body) };
        if nest.vector == Some(*axis) && !nest.parallel {
            let extent = self.kernel.extent(*axis).clone();
            let size = self.size(&extent)?;
            let whole = extent.modulo(&Dim::from(self.lanes as i64)).as_const() == Some(0);
            let long = extent.as_const().is_none_or(|e| e >= 2 * PARTS * self.lanes as i64);
            let parts = if rest.is_empty() && !carried.is_empty() && long { PARTS } else { 1 };
            let zero = self.ir.c64(0);
            return self.vector_loop(Stretch { axis: *axis, low: zero, high: size, whole }, carried, parts, join, &mut inside);
        }
        if rest.is_empty() {
            return self.scalar_loop(*axis, carried, written > 0, join, &mut inside);
        }
        if axes.len() <= written {
            return self.scalar_loop(*axis, carried, true, join, &mut inside);
        }
        let extent = self.kernel.extent(*axis).clone();
        let size = self.size(&extent)?;
        let zero = self.ir.c64(0);
        self.for_each(zero, size, 1, carried, |s, i, accs| {
            s.current().axes.push((*axis, AxisValue::Scalar(i)));
            inside(s, accs)
        })
    }
}
