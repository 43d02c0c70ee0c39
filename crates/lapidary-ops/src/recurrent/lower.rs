//! The kernels of recurrent layers.
//!
//! What the inputs contribute to the gates, `x·Wᵀ + Wb + Rb`, is one product for all steps and both directions. What the states contribute,
//! `h·Rᵀ`, and the functions of the gates are kernels of a [recurrence](lapidary_kernel::Recurrence), which goes step by step and direction by
//! direction: the same templates as everywhere, one step at a time. States of all steps are kept, `[directions, steps + 1, batch, hidden]`, the
//! initial one first: so no step is a special case, and the last state is a view.
//!
//! Steps are counted from where a direction begins. Step `s` of a sequence is at time `s`, or `length - 1 - s` where it is walked backwards; from
//! its length on, a sequence keeps its state, and the result at time `s` is 0.

use super::activations::activations;
use super::{Activation, Kind};
use crate::elementwise::kernels;
use crate::{LowerCtx, Operand};
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{BinaryOp, ExprId, Guard, Index, KernelBuilder, ReduceOp};
use std::ops::Range;

/// A layer whose steps are being lowered.
pub struct Layer<'c, 'a> {
    pub c: &'c mut LowerCtx<'a>,
    /// The type of sums and states.
    sum: DType,
    steps: Dim,
    batch: Dim,
    directions: usize,
    pub hidden: Dim,
    /// Batch first in operands and results.
    by_batch: bool,
    /// The only direction is backwards.
    reverse: bool,
    /// Names the recurrence.
    number: u32,
    lengths: Option<Operand>,
    /// What the inputs contribute, by time: `[steps, batch, directions, gates·hidden]`.
    from_input: Operand,
    recurrence: Operand,
    /// The biases as the operand has them.
    bias: Option<Operand>,
    peepholes: Option<Operand>,
    activations: Vec<Activation>,
    clip: Option<f64>,
    pub state: State,
    pub cell: Option<State>,
    /// The first result.
    all: Option<Operand>,
}

/// A state before and after each step: of several steps one buffer, in which step `s + 1` finds what step `s` left.
#[derive(Clone)]
pub struct State {
    pub before: Operand,
    after: Operand,
    /// Where in `after` the first step stores.
    shift: i64,
}

/// A kernel at one unit of one step.
pub struct Point {
    pub k: KernelBuilder,
    d: Index,
    s: Index,
    b: Index,
    u: Index,
    /// The step's time.
    t: Index,
    /// Whether the direction is the second of two, which is walked backwards.
    second: Option<ExprId>,
    /// Whether the sequence has this step, if not all have all.
    alive: Option<ExprId>,
}

/// Lowers the node. `biased`: of the first so many gates the state's biases are added to what the inputs contribute.
pub fn lower(c: &mut LowerCtx<'_>, kind: &Kind, biased: usize) -> Result<()> {
    let attrs = &c.node().attrs;
    let by_batch = attrs.int("layout").unwrap_or(0) == 1;
    let direction = attrs.str("direction").unwrap_or("forward");
    let directions = match direction {
        "forward" | "reverse" => 1,
        "bidirectional" => 2,
        _ => return Err(c.unsupported(format!("direction '{direction}' is not known")).into()),
    };
    let activations = activations(attrs, kind.activations, directions).map_err(|e| c.unsupported(e))?;
    let clip = attrs.float("clip").map(f64::from).filter(|v| *v > 0.0);
    let (x, w, r) = (c.input(0)?, c.input(1)?, c.input(2)?);
    if !matches!(x.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) || x.rank() != 3 || r.rank() != 3 {
        return Err(c.unsupported("x and r must be floats of rank 3").into());
    }
    let (steps, batch) = if by_batch { (x.dims[1].clone(), x.dims[0].clone()) } else { (x.dims[0].clone(), x.dims[1].clone()) };
    let (d, hidden) = (Dim::from(directions), r.dims[2].clone());
    let times = |n: usize| &hidden * &Dim::from(n);
    let rows = times(kind.gates);
    expect(c, &w, &[d.clone(), rows.clone(), x.dims[2].clone()])?;
    expect(c, &r, &[d.clone(), rows.clone(), hidden.clone()])?;
    let last = if by_batch { [batch.clone(), d.clone(), hidden.clone()] } else { [d.clone(), batch.clone(), hidden.clone()] };
    let mut optional = |slot: Option<usize>, dims: &[Dim]| -> Result<Option<Operand>> {
        let Some(slot) = slot.filter(|s| c.has(*s)) else { return Ok(None) };
        let o = c.input(slot)?;
        expect(c, &o, dims)?;
        Ok(Some(o))
    };
    let bias = optional(Some(3), &[d.clone(), times(2 * kind.gates)])?;
    let lengths = optional(Some(4), &[batch.clone()])?;
    let first_state = optional(Some(5), &last)?;
    let first_cell = optional(kind.initial_cell, &last)?;
    let peepholes = optional(kind.peepholes, &[d.clone(), times(3)])?;
    let sum = kernels::wider(x.dtype);

    let from_input = c.temp("inputs", sum, &[steps.clone(), batch.clone(), d.clone(), rows.clone()]);
    let bias_sum = bias.as_ref().map(|b| added_biases(c, b, sum, &rows, &times(biased)));
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &from_input.dims).into_iter().map(Into::into).collect();
    let i = k.axis("i", x.dims[2].clone());
    let from = if by_batch { [at[1].clone(), at[0].clone(), i.into()] } else { [at[0].clone(), at[1].clone(), i.into()] };
    let (v, weight) = (kernels::load(&mut k, &x, from.into()), kernels::load(&mut k, &w, vec![at[2].clone(), at[3].clone(), i.into()]));
    let v = k.mul(v, weight);
    let mut v = k.reduce(ReduceOp::Sum, sum, &[i], v);
    if let Some(b) = bias_sum {
        let b = k.load(b.buffer, sum, at[2..].to_vec());
        v = k.add(v, b);
    }
    k.store(from_input.buffer, at, v);
    c.push(k);

    let recurrence = widened(c, r, sum);
    let shape = [d, steps.clone(), batch.clone(), hidden.clone()];
    let state = State::new(c, "states", sum, &shape, first_state, by_batch);
    let cell = kind.initial_cell.map(|_| State::new(c, "cells", sum, &shape, first_cell, by_batch));
    let all = if c.wants(0) { Some(c.output(0)?) } else { None };
    let reverse = direction == "reverse";
    let number = state.after.buffer.0;
    let mut layer = Layer {
        c,
        sum,
        steps,
        batch,
        directions,
        hidden,
        by_batch,
        reverse,
        number,
        lengths,
        from_input,
        recurrence,
        bias,
        peepholes,
        activations,
        clip,
        state,
        cell,
        all,
    };
    (kind.lower)(&mut layer)?;
    layer.last_states()
}

/// The size of an operand's dims, tested when the library runs where it is not known.
fn expect(c: &mut LowerCtx<'_>, o: &Operand, dims: &[Dim]) -> Result<()> {
    if o.rank() != dims.len() {
        let name = c.program.buffer(o.buffer).name.clone();
        return Err(c.unsupported(format!("operand '{name}' has rank {}, not {}", o.rank(), dims.len())).into());
    }
    o.dims.iter().zip(dims).for_each(|(have, want)| c.check_equal(have, want, false));
    Ok(())
}

/// `Wb + Rb`, of `[directions, 2·rows]`; from row `biased` on `Wb` alone.
fn added_biases(c: &mut LowerCtx<'_>, b: &Operand, sum: DType, rows: &Dim, biased: &Dim) -> Operand {
    let out = c.temp("biases", sum, &[b.dims[0].clone(), rows.clone()]);
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &out.dims);
    let inside: Guard = vec![(at[1].clone(), biased.clone())];
    let from_input = kernels::load(&mut k, b, at.clone());
    let from_state = k.load_guarded(b.buffer, b.dtype, [at[0].clone(), at[1].add_dim(rows)], inside, None);
    let from_state = k.cast(sum, from_state);
    let v = k.add(from_input, from_state);
    k.store(out.buffer, at, v);
    c.push(k);
    out
}

/// The operand in another type.
fn widened(c: &mut LowerCtx<'_>, x: Operand, to: DType) -> Operand {
    if x.dtype == to {
        return x;
    }
    let out = c.temp("recurrence", to, &x.dims);
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let v = kernels::load(&mut k, &x, at.clone());
    kernels::store(&mut k, &out, at, v);
    c.push(k);
    out
}

impl State {
    /// A state of `[directions, steps, batch, hidden]`, and the kernel that stores the initial one.
    fn new(c: &mut LowerCtx<'_>, name: &str, dtype: DType, shape: &[Dim; 4], first: Option<Operand>, by_batch: bool) -> State {
        let [d, steps, batch, hidden] = shape;
        let of = |steps: &Dim| [d.clone(), steps.clone(), batch.clone(), hidden.clone()];
        let one = Dim::from(1);
        // A single step is an ordinary kernel, and those do not store where they read.
        let single = *steps == one;
        let after = c.temp(name, dtype, &of(&if single { one.clone() } else { steps + &one }));
        let before = if single { c.temp("initial", dtype, &of(&one)) } else { after.clone() };
        let mut k = c.kernel();
        let at = kernels::points(&mut k, &[d.clone(), batch.clone(), hidden.clone()]);
        let v = match first {
            Some(first) => {
                let from = if by_batch { vec![at[1].clone(), at[0].clone(), at[2].clone()] } else { at.clone() };
                kernels::load(&mut k, &first, from)
            }
            None => k.constant(dtype, 0.0),
        };
        k.store(before.buffer, [at[0].clone(), Index::from(0), at[1].clone(), at[2].clone()], v);
        c.push(k);
        State { before, after, shift: i64::from(!single) }
    }
}

impl Layer<'_, '_> {
    /// `Σ from·Rᵀ` for the rows of some gates: `[directions, steps, batch, gates·hidden]`. `from` is read at the same step.
    pub fn product(&mut self, name: &str, from: &Operand, gates: Range<usize>) -> Operand {
        let rows = &self.hidden * &Dim::from(gates.len());
        let out = self.temp(name, &rows);
        let mut k = self.c.kernel();
        let axes = k.parallel_all("i", &out.dims);
        k.recurrence(self.number, axes[1]);
        let at: Vec<Index> = axes.into_iter().map(Into::into).collect();
        let u = k.axis("u", self.hidden.clone());
        let row = at[3].add_dim(&(&self.hidden * &Dim::from(gates.start)));
        let h = k.load(from.buffer, self.sum, [at[0].clone(), at[1].clone(), at[2].clone(), u.into()]);
        let r = k.load(self.recurrence.buffer, self.sum, [at[0].clone(), row, u.into()]);
        let v = k.mul(h, r);
        let v = k.reduce(ReduceOp::Sum, self.sum, &[u], v);
        k.store(out.buffer, at, v);
        self.c.push(k);
        out
    }
    /// What one kernel of a step hands to the next.
    pub fn temp(&mut self, name: &str, columns: &Dim) -> Operand {
        self.c.temp(name, self.sum, &[Dim::from(self.directions), self.steps.clone(), self.batch.clone(), columns.clone()])
    }
    /// A kernel at every unit of a step.
    pub fn point(&mut self) -> Point {
        let mut k = self.c.kernel();
        let dims = [Dim::from(self.directions), self.steps.clone(), self.batch.clone(), self.hidden.clone()];
        let axes = k.parallel_all("i", &dims);
        k.recurrence(self.number, axes[1]);
        let [d, s, b, u] = [0, 1, 2, 3].map(|i| Index::from(axes[i]));
        let step = k.index(s.clone());
        let length = self.lengths.as_ref().map(|l| {
            let v = k.load(l.buffer, l.dtype, [b.clone()]);
            let (v, steps) = (k.cast(DType::I64, v), k.index(self.steps.clone().into()));
            k.binary(BinaryOp::Min, v, steps)
        });
        let alive = length.map(|l| k.binary(BinaryOp::Lt, step, l));
        let second = (self.directions == 2).then(|| {
            let (direction, one) = (k.index(d.clone()), k.int(DType::I64, 1));
            k.binary(BinaryOp::Eq, direction, one)
        });
        let backwards = Index::from(&self.steps - &Dim::from(1)).sub(&s);
        let t = match (length.zip(alive), second) {
            _ if second.is_none() && !self.reverse => s.clone(),
            (None, None) => backwards,
            (known, second) => {
                let back = match known {
                    None => k.index(backwards),
                    Some((length, alive)) => {
                        let one = k.int(DType::I64, 1);
                        let left = k.sub(length, step);
                        let left = k.sub(left, one);
                        k.select(alive, left, step)
                    }
                };
                Index::value(second.map_or(back, |second| k.select(second, back, step)))
            }
        };
        Point { k, d, s, b, u, t, second, alive }
    }
    /// What an operand holds of a unit at this step, `gate` blocks of units further on.
    pub fn read(&self, p: &mut Point, from: &Operand, gate: usize) -> ExprId {
        let u = p.u.add_dim(&(&self.hidden * &Dim::from(gate)));
        p.k.load(from.buffer, self.sum, [p.d.clone(), p.s.clone(), p.b.clone(), u])
    }
    /// What the inputs contribute to a gate.
    pub fn of_input(&self, p: &mut Point, gate: usize) -> ExprId {
        let u = p.u.add_dim(&(&self.hidden * &Dim::from(gate)));
        p.k.load(self.from_input.buffer, self.sum, [p.t.clone(), p.b.clone(), p.d.clone(), u])
    }
    /// A number of each unit: block `block` of an operand of each direction, if there is one.
    fn of_unit(&self, p: &mut Point, from: Option<&Operand>, block: usize) -> Option<ExprId> {
        let u = p.u.add_dim(&(&self.hidden * &Dim::from(block)));
        let v = p.k.load(from?.buffer, from?.dtype, [p.d.clone(), u]);
        Some(p.k.cast(self.sum, v))
    }
    /// The state's bias of a gate, `x` more.
    pub fn with_state_bias(&self, p: &mut Point, x: ExprId, gate: usize, gates: usize) -> ExprId {
        let b = self.of_unit(p, self.bias.as_ref(), gates + gate);
        b.map_or(x, |b| p.k.add(x, b))
    }
    /// `x + peephole ⊙ cell`
    pub fn with_peephole(&self, p: &mut Point, x: ExprId, which: usize, cell: ExprId) -> ExprId {
        match self.of_unit(p, self.peepholes.as_ref(), which) {
            Some(weight) => {
                let v = p.k.mul(weight, cell);
                p.k.add(x, v)
            }
            None => x,
        }
    }
    /// Activation number `which` of what is bounded first.
    pub fn gate(&self, p: &mut Point, which: usize, x: ExprId) -> ExprId {
        let x = self.clip.map_or(x, |l| kernels::clamped(&mut p.k, x, -l, l));
        self.activate(p, which, x)
    }
    /// Activation number `which` of the direction.
    pub fn activate(&self, p: &mut Point, which: usize, x: ExprId) -> ExprId {
        let first = self.activations[which];
        let v = first.lower(&mut p.k, x);
        let other = self.activations[(self.activations.len() / self.directions) * (self.directions - 1) + which];
        match p.second.filter(|_| other != first) {
            Some(second) => {
                let w = other.lower(&mut p.k, x);
                p.k.select(second, w, v)
            }
            None => v,
        }
    }
    /// Stores what one kernel of a step hands to the next.
    pub fn hand_on(&mut self, mut p: Point, to: &Operand, v: ExprId) {
        p.k.store(to.buffer, [p.d, p.s, p.b, p.u], v);
        self.c.push(p.k);
    }
    /// Ends a step with its states.
    pub fn end(&mut self, mut p: Point, state: ExprId, cell: Option<ExprId>) {
        let states = [Some((self.state.clone(), state)), self.cell.clone().zip(cell)];
        for (to, new) in states.into_iter().flatten() {
            let v = match p.alive {
                Some(alive) => {
                    let old = self.read(&mut p, &to.before, 0);
                    p.k.select(alive, new, old)
                }
                None => new,
            };
            p.k.store(to.after.buffer, [p.d.clone(), p.s.add_dim(&Dim::from(to.shift)), p.b.clone(), p.u.clone()], v);
        }
        if let Some(all) = &self.all {
            let v = match p.alive {
                Some(alive) => {
                    let zero = kernels::number(&mut p.k, state, 0.0);
                    p.k.select(alive, state, zero)
                }
                None => state,
            };
            let (t, d, b, u) = (p.t, p.d, p.b, p.u);
            let at = if self.by_batch { vec![b, t, d, u] } else { vec![t, d, b, u] };
            kernels::store(&mut p.k, all, at, v);
        }
        self.c.push(p.k);
    }
    /// The other results: views of what the last step left.
    fn last_states(&mut self) -> Result<()> {
        for (output, from) in [(1, Some(self.state.clone())), (2, self.cell.clone())] {
            let Some(from) = from.filter(|_| self.c.wants(output)) else { continue };
            let y = self.c.output(output)?;
            let mut k = self.c.kernel();
            let at = kernels::points(&mut k, &y.dims);
            let (d, b) = if self.by_batch { (at[1].clone(), at[0].clone()) } else { (at[0].clone(), at[1].clone()) };
            let last = &from.after.dims[1] - &Dim::from(1);
            let v = k.load(from.after.buffer, self.sum, [d, Index::from(last), b, at[2].clone()]);
            kernels::store(&mut k, &y, at, v);
            self.c.push(k);
        }
        Ok(())
    }
}
