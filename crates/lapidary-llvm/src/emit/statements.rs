//! The statements of a kernel's points: grouped into common loops, stored, and reduced.

use super::expr::{Emitter, Place};
use super::ir::{Ir, V};
use super::nest::{Nest, stmt_axes, turns_of, written_out};
use super::{ops, types};
use lapidary_ir::{DType, Result};
use lapidary_kernel::{AxisId, BinaryOp, ExprId, ExprKind, ReduceOp, Stmt};
use std::collections::BTreeSet;

/// Partial results of a reduction that is written out: its steps wait for each other less, while few registers are taken from what they read.
const CHAINS: usize = 4;

impl<'i, 'c> Emitter<'i, 'c> {
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
        !set(first).is_empty() && set(first) == set(next) && simple(first) && simple(next) && !kernel.reads_own() && {
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
            self.loops(&along, nest, &[], 0, &|_, _, _| Ok(vec![]), &mut |s, _| {
                let v = s.reduce(&[(*op, kernel.local(*local).dtype, *value)], &inner, nest, &mut |_| Ok(()))?;
                s.set_array(*local, v[0][0])?;
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
        for (point, results) in self.points().zip(results) {
            self.point = point;
            reductions.iter().zip(results).for_each(|((local, _), v)| self.set_scalar(*local, v));
        }
        self.point = None;
        for s in group {
            if let Stmt::Let { local, .. } = s
                && !kernel.local(*local).axes.is_empty()
            {
                self.current().locals.push(*local);
            }
        }
        Ok(())
    }
    /// Sets a local that is no array: of a run, at the point that code is for.
    pub fn set_scalar(&mut self, local: lapidary_kernel::LocalId, v: V) {
        let before = match self.places[local.0 as usize].take() {
            Some(Place::Registers(of)) => of,
            _ => vec![],
        };
        let points = before.into_iter().take(self.point.unwrap_or(0) as usize).chain([v]);
        self.places[local.0 as usize] = Some(Place::Registers(points.collect()));
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
    /// The numbers of the points of the run, or no number where there is none.
    fn points(&self) -> impl Iterator<Item = Option<i64>> + Clone + use<> {
        let run = self.run.map(|r| r.points);
        (0..run.unwrap_or(1)).map(move |p| run.map(|_| p))
    }
    /// Runs `other` and the reductions at every point of `axes`, for each point of a run in turns. Gives the reductions' results for each.
    fn reduce(
        &mut self,
        each: &[(ReduceOp, DType, ExprId)],
        axes: &[AxisId],
        nest: &Nest,
        other: &mut dyn FnMut(&mut Self) -> Result<()>,
    ) -> Result<Vec<Vec<V>>> {
        let ir = self.ir;
        for (_, dtype, _) in each {
            types::check(*dtype)?;
        }
        let across = !nest.parallel && nest.vector.is_some_and(|a| axes.contains(&a));
        let lanes = if across || self.vector.is_some() { self.lanes } else { 1 };
        let points = self.points();
        let run = self.run.map_or(1, |r| r.points as usize);
        let start: Vec<V> = each.iter().map(|(op, dtype, _)| neutral(ir, *op, *dtype, lanes)).collect();
        let join = |ir: &Ir, a: &[V], b: &[V]| -> Result<Vec<V>> {
            each.iter().zip(a.iter().zip(b)).map(|((op, dtype, _), (a, b))| combine(ir, *op, *dtype, *a, *b)).collect()
        };
        let written = if each.is_empty() || across { 0 } else { written_out(self.kernel, axes, self.run.is_some()) };
        let turns = turns_of(self.kernel, &axes[axes.len() - written..]).unwrap_or(1);
        // Points of a run do not wait for each other.
        let chains = if run < CHAINS && turns >= 2 * CHAINS as i64 { CHAINS } else { 1 };
        let carried: Vec<V> = (0..chains * run).flat_map(|_| start.iter().copied()).collect();
        let of_chain = each.len() * run;
        let mut turn = 0;
        // Every set of parts starts from neutral values: an inner loop of several parts would add the outer loop's sum to each part.
        let out = self.nested(axes, nest, &carried, written, &join, &mut |s, accs| {
            let mut next = accs.to_vec();
            let mut accs = next[turn % chains * of_chain..].iter_mut();
            turn += 1;
            for point in points.clone() {
                s.point = point;
                other(s)?;
                for ((op, dtype, value), acc) in each.iter().zip(&mut accs) {
                    *acc = s.accumulate(*op, *dtype, *value, *acc, across)?;
                }
            }
            s.point = None;
            Ok(next)
        })?;
        let (mut out, others) = (out[..of_chain].to_vec(), &out[of_chain..]);
        for other in others.chunks_exact(of_chain.max(1)) {
            out = out.chunks(each.len()).zip(other.chunks(each.len())).map(|(a, b)| join(ir, a, b)).collect::<Result<Vec<_>>>()?.concat();
        }
        let finish = |(op, dtype, _): &(ReduceOp, DType, ExprId), v: V| {
            let v = if across { horizontal(ir, *op, *dtype, v)? } else { v };
            Ok(types::round(ir, *dtype, v))
        };
        out.chunks(each.len().max(1)).map(|of_point| each.iter().zip(of_point).map(|(e, v)| finish(e, *v)).collect()).collect()
    }
    /// As `loops`, with inner loops that start anew and are joined to what the outer ones carry.
    fn nested(
        &mut self,
        axes: &[AxisId],
        nest: &Nest,
        start: &[V],
        written: usize,
        join: &dyn Fn(&Ir, &[V], &[V]) -> Result<Vec<V>>,
        body: &mut dyn FnMut(&mut Self, &[V]) -> Result<Vec<V>>,
    ) -> Result<Vec<V>> {
        if axes.len() <= 1 || written > 0 || start.is_empty() {
            return self.loops(axes, nest, start, written, join, body);
        }
        let (outer, inner) = axes.split_at(axes.len() - 1);
        self.loops_outer(outer, start, &mut |s, accs| {
            let sum = s.loops(inner, nest, start, 0, join, body)?;
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
