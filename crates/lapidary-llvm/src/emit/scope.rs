//! The state of one function under construction: nested scopes, and sizes.
//!
//! Every loop opens a scope. A value is emitted in the outermost scope that defines what it depends on, right before the loop that is
//! being emitted there; so that nothing is computed more often than it must be. All expressions are free of branches (reads that are not
//! allowed go to a block of zeros instead), which is why they may be placed like this.

use super::ir::{Block, IntCmp as I, Ir, Place, V};
use super::sizes::{SizeOps, emit_op};
use lapidary_ir::{Dim, Name, Result};
use lapidary_kernel::{AxisId, ExprId, LocalId};
use rustc_hash::FxHashMap;

/// What an axis is in a scope.
#[derive(Clone, Copy, Debug)]
pub enum AxisValue {
    /// The same for all lanes.
    Scalar(V),
    /// So many points after a scalar: one of a run.
    After(V, i64),
    /// Lane `i` is at `base + i`; the base is a multiple of the number of lanes.
    Lanes(V),
    /// Each lane is where this vector says.
    Each(V),
}

#[derive(Default)]
pub struct Scope {
    /// Where outer values go while an inner scope is open: before this instruction.
    hoist: Option<V>,
    /// By expression and the values of those axes that are constants here (loops that are written out).
    pub memo: FxHashMap<(ExprId, Vec<i64>), V>,
    pub axes: Vec<(AxisId, AxisValue)>,
    pub locals: Vec<LocalId>,
}

/// Neighbouring points of an axis that are computed together: sums in turns, so that what windows share is read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub axis: AxisId,
    pub points: i64,
}

/// A loop under construction.
pub struct Loop {
    pub i: V,
    pub carried: Vec<V>,
    first: Vec<V>,
    before: Block,
    turn: Block,
    done: Block,
    high: V,
    step: i64,
    never_empty: bool,
    /// One turn, known in advance: no loop at all.
    once: bool,
}

/// A conditional piece of code under construction.
pub struct When {
    before: Block,
    done: Block,
    always: bool,
}

/// Where code went before [`Scopes::enter`].
pub struct Saved {
    level: Option<usize>,
    place: Place,
}

/// Nested scopes over a builder. Scope 0 is the function's entry and holds sizes.
pub struct Scopes<'i, 'c> {
    pub ir: &'i Ir<'c>,
    pub function: V,
    stack: Vec<Scope>,
    /// The run that is computed, and the number of the point of it where code is for.
    pub run: Option<Run>,
    pub point: Option<i64>,
    /// The level where code goes at the moment, where it is not the innermost.
    level: Option<usize>,
    sizes: SizeOps,
    /// What the operations of `sizes` give, as far as they are emitted.
    size_values: Vec<V>,
    symbols: &'i [Name],
    values: V,
}

impl<'i, 'c> Scopes<'i, 'c> {
    /// Starts the body of `function`, which reads symbols from `values`.
    pub fn new(ir: &'i Ir<'c>, function: V, symbols: &'i [Name], values: V) -> Scopes<'i, 'c> {
        let (entry, body) = (ir.block(function), ir.block(function));
        ir.at_end(entry);
        let jump = ir.br(body);
        ir.at_end(body);
        let entry = Scope { hoist: Some(jump), ..Scope::default() };
        let stack = vec![entry, Scope::default()];
        Scopes { ir, function, stack, run: None, point: None, level: None, sizes: SizeOps::default(), size_values: vec![], symbols, values }
    }
    pub fn top(&self) -> usize {
        self.stack.len() - 1
    }
    pub fn scope(&mut self, level: usize) -> &mut Scope {
        &mut self.stack[level]
    }
    pub fn current(&mut self) -> &mut Scope {
        let top = self.top();
        &mut self.stack[top]
    }
    /// The innermost value of an axis, and the level of its scope.
    pub fn axis(&self, axis: AxisId) -> Option<(usize, AxisValue)> {
        let found = self.stack.iter().enumerate().rev().find_map(|(level, s)| s.axes.iter().find(|(a, _)| *a == axis).map(|(_, v)| (level, *v)));
        found.map(|(level, v)| match (v, self.point) {
            (AxisValue::Scalar(v), Some(point)) if self.run.is_some_and(|r| r.axis == axis) => (level, AxisValue::After(v, point)),
            // A constant is known everywhere.
            (AxisValue::Scalar(c), _) if self.ir.as_const_int(c).is_some() => (0, v),
            _ => (level, v),
        })
    }
    /// The position of an axis in a loop that is written out, or in a run.
    pub fn constant_axis(&self, v: AxisValue) -> Option<i64> {
        match v {
            AxisValue::Scalar(v) => self.ir.as_const_int(v),
            AxisValue::After(_, point) => Some(point),
            AxisValue::Lanes(_) | AxisValue::Each(_) => None,
        }
    }
    pub fn local_level(&self, local: LocalId) -> Option<usize> {
        self.stack.iter().rposition(|s| s.locals.contains(&local))
    }
    /// Emits in the scope of that level.
    pub fn at<R>(&mut self, level: usize, f: impl FnOnce(&mut Self) -> R) -> R {
        let saved = self.enter(level);
        let r = f(self);
        self.leave(saved);
        r
    }
    /// Moves to the scope of that level, until [`Scopes::leave`].
    pub fn enter(&mut self, level: usize) -> Saved {
        let saved = Saved { level: self.level, place: self.ir.place() };
        self.level = Some(level);
        if let Some(before) = self.stack[level].hoist {
            self.ir.before(before);
        }
        saved
    }
    pub fn leave(&mut self, saved: Saved) {
        self.level = saved.level;
        self.ir.return_to(saved.place);
    }
    /// The level where code goes at the moment.
    pub fn level(&self) -> usize {
        self.level.unwrap_or(self.top())
    }
    /// Opens a scope whose code is reached by way of `jump`, the last instruction of the block where the outer scope is.
    pub fn open(&mut self, jump: V) {
        self.current().hoist = Some(jump);
        self.stack.push(Scope::default());
    }
    pub fn close(&mut self) {
        self.stack.pop();
        self.current().hoist = None;
    }

    /// Starts `for i in (low..high).step_by(step)`, with values carried from turn to turn. The body that follows has its own scope.
    pub fn begin_loop(&mut self, low: V, high: V, step: i64, carried: &[V]) -> Loop {
        let ir = self.ir;
        let before = ir.here();
        let (turn, done) = (ir.block(self.function), ir.block(self.function));
        let (low_const, high_const) = (ir.as_const_int(low), ir.as_const_int(high));
        let never_empty = matches!((low_const, high_const), (Some(a), Some(b)) if a < b);
        let jump = match never_empty {
            true => ir.br(turn),
            false => {
                let some = ir.icmp(I::LLVMIntSLT, low, high);
                ir.cond_br(some, turn, done)
            }
        };
        self.open(jump);
        ir.at_end(turn);
        let once = matches!((low_const, high_const), (Some(a), Some(b)) if a < b && a + step >= b);
        let i = if once { low } else { ir.phi(ir.i64(), &[(low, before)]) };
        let phis = if once { carried.to_vec() } else { carried.iter().map(|v| ir.phi(ir.ty(*v), &[(*v, before)])).collect() };
        Loop { i, carried: phis, first: carried.to_vec(), before, turn, done, high, step, never_empty, once }
    }
    /// Ends the loop; gives what is carried out of it.
    pub fn end_loop(&mut self, l: Loop, next: &[V]) -> Vec<V> {
        let ir = self.ir;
        self.close();
        let last = ir.here();
        if l.once {
            ir.br(l.done);
            ir.at_end(l.done);
            return next.to_vec();
        }
        let i_next = ir.add(l.i, ir.c64(l.step));
        let more = ir.icmp(I::LLVMIntSLT, i_next, l.high);
        ir.cond_br(more, l.turn, l.done);
        ir.add_incoming(l.i, i_next, last);
        l.carried.iter().zip(next).for_each(|(p, v)| ir.add_incoming(*p, *v, last));
        ir.at_end(l.done);
        let out = l.first.iter().zip(next).map(|(first, v)| {
            let phi = ir.phi(ir.ty(*first), &[(*v, last)]);
            if !l.never_empty {
                ir.add_incoming(phi, *first, l.before);
            }
            phi
        });
        out.collect()
    }
    /// Starts code, in its own scope, that runs where the condition holds.
    pub fn begin_when(&mut self, condition: V) -> When {
        let ir = self.ir;
        let before = ir.here();
        let (yes, done) = (ir.block(self.function), ir.block(self.function));
        let always = ir.as_const_int(condition).is_some_and(|c| c != 0);
        let jump = if always { ir.br(yes) } else { ir.cond_br(condition, yes, done) };
        self.open(jump);
        ir.at_end(yes);
        When { before, done, always }
    }
    /// Ends it: `first` are the values where it did not run, `next` where it did.
    pub fn end_when(&mut self, w: When, first: &[V], next: &[V]) -> Vec<V> {
        let ir = self.ir;
        self.close();
        let last = ir.here();
        ir.br(w.done);
        ir.at_end(w.done);
        if w.always {
            return next.to_vec();
        }
        first.iter().zip(next).map(|(a, b)| ir.phi(ir.ty(*a), &[(*a, w.before), (*b, last)])).collect()
    }

    // ---- sizes

    /// The value of a size, computed once, at the function's entry.
    pub fn size(&mut self, d: &Dim) -> Result<V> {
        if let Some(v) = d.as_const() {
            return Ok(self.ir.c64(v));
        }
        let id = self.sizes.dim(d, self.symbols)?;
        let saved = self.enter(0);
        while self.size_values.len() < self.sizes.len() {
            let op = self.sizes.op(self.size_values.len());
            let v = emit_op(self.ir, op, self.values, |id| self.size_values[id], &mut None);
            self.size_values.push(v);
        }
        self.leave(saved);
        Ok(self.size_values[id])
    }
}

/// Quotient rounded down, and remainder, by a positive divisor.
pub fn floor_div(ir: &Ir, a: V, b: V, non_negative: bool) -> (V, V) {
    let shift = ir.as_const_int(b).filter(|v| *v > 0 && v & (v - 1) == 0).map(i64::trailing_zeros);
    let t = ir.ty(a);
    if let Some(shift) = shift {
        let mask = ir.cint(t, (1i64 << shift) - 1);
        return (ir.ashr(a, ir.cint(t, shift as i64)), ir.and(a, mask));
    }
    let (a, b) = ir.widen(a, b);
    let t = ir.ty(a);
    if non_negative {
        let q = ir.udiv(a, b);
        return (q, ir.sub(a, ir.mul(q, b)));
    }
    let q = ir.sdiv(a, b);
    let r = ir.sub(a, ir.mul(q, b));
    let below = ir.icmp(I::LLVMIntSLT, r, ir.zero(t));
    (ir.add(q, ir.sext(below, ir.i64())), ir.add(r, ir.select(below, b, ir.zero(t))))
}
