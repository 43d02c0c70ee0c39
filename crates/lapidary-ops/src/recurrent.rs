//! What RNN, GRU and LSTM share: shapes, directions, sequence lengths, activations. Each operator gives the function of one step, and the
//! kernels of one step.

mod activations;
mod lower;

pub use activations::Activation;
pub use lower::{Layer, Point, lower};

use crate::cells::room;
use crate::contract::{Extents, contract};
use crate::numbers::{floats, store};
use crate::{Datum, EvalCtx, InferCtx};
use activations::activations;
use lapidary_ir::{DType, Dim, Result, Shape};

/// Shape rule: Y, Y_h, and Y_c where the operator has it. `gates` blocks of rows make up a weight.
pub fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(0)?;
    let directions = Dim::from(if c.node.attrs.str("direction") == Some("bidirectional") { 2 } else { 1 });
    let hidden = match (c.node.attrs.int("hidden_size"), c.dims(2)) {
        (Some(h), _) => Dim::from(h),
        (None, Some([_, _, h])) => h.clone(),
        _ => c.symbols.fresh(),
    };
    let by_batch = c.node.attrs.int("layout").unwrap_or(0) == 1;
    let (steps, batch) = match c.dims(0) {
        Some([a, b, _]) if by_batch => (b.clone(), a.clone()),
        Some([a, b, _]) => (a.clone(), b.clone()),
        Some(d) => return Err(c.error("shape-conflict", format!("x has rank {}, not 3", d.len())).into()),
        None => (c.symbols.fresh(), c.symbols.fresh()),
    };
    let (all, last) = if by_batch {
        ([batch.clone(), steps, directions.clone(), hidden.clone()], [batch, directions, hidden])
    } else {
        ([steps, directions.clone(), batch.clone(), hidden.clone()], [directions, batch, hidden])
    };
    c.set_tensor(0, dtype, Shape::of(all));
    c.set_tensor(1, dtype, Shape::of(last.clone()));
    c.set_tensor(2, dtype, Shape::of(last));
    Ok(())
}

/// One step of one sequence: the inputs' and the state's share of each gate, biases included.
pub struct Step<'a> {
    /// `x·Wᵀ + Wb`, gate after gate.
    pub from_input: &'a [f64],
    /// `h·Rᵀ`, gate after gate, without the bias.
    pub from_state: &'a [f64],
    /// `Rb`.
    pub state_bias: &'a [f64],
    /// The recurrence weights of this direction, one row for each gate's unit.
    pub recurrence: &'a [f64],
    pub state: &'a [f64],
    /// Peepholes of this direction: empty when there are none.
    pub peepholes: &'a [f64],
    pub activations: &'a [Activation],
    /// Bound on what goes into an activation.
    pub clip: Option<f64>,
}

impl Step<'_> {
    pub fn clipped(&self, v: f64) -> f64 {
        self.clip.map_or(v, |l| v.clamp(-l, l))
    }
    /// The sum of gate `g` for unit `u`.
    pub fn gate(&self, g: usize, u: usize) -> f64 {
        let at = g * self.state.len() + u;
        self.from_input[at] + self.from_state[at] + self.state_bias[at]
    }
}

/// What the operators differ in.
pub struct Kind {
    pub gates: usize,
    /// The activations of one direction, by default.
    pub activations: &'static [&'static str],
    /// Slots of the operands: biases, lengths, initial state, initial cell, peepholes.
    pub initial_cell: Option<usize>,
    pub peepholes: Option<usize>,
    /// The next state, in place; the second slice is the cell (empty where there is none).
    pub step: fn(&EvalCtx<'_>, &Step<'_>, &mut [f64], &mut [f64]),
    /// The kernels of a step, given what the inputs contribute to it.
    pub lower: fn(&mut Layer<'_, '_>) -> Result<()>,
}

/// Runs the layer over all directions and sequences.
pub fn eval(c: &EvalCtx<'_>, kind: &Kind) -> Result<Vec<Datum>> {
    let attrs = &c.node.attrs;
    let (x, w, r) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    let by_batch = attrs.int("layout").unwrap_or(0) == 1;
    let (&[x0, x1, inputs], &[directions, rows, _], &[_, _, hidden]) = (x.sizes(), w.sizes(), r.sizes()) else {
        return Err(c.error("shape-conflict", "x, w and r must have rank 3").into());
    };
    let (steps, batch) = if by_batch { (x1, x0) } else { (x0, x1) };
    let direction = attrs.str("direction").unwrap_or("forward");
    let want = if direction == "bidirectional" { 2 } else { 1 };
    let fits = directions == want && rows == kind.gates * hidden && w.sizes()[2] == inputs && *r.sizes() == [directions, rows, hidden];
    if !fits {
        let message = format!("weights {:?} and {:?} do not fit x {:?}, direction '{direction}'", w.sizes(), r.sizes(), x.sizes());
        return Err(c.error("shape-conflict", message).into());
    }
    room(c, DType::F64, &[steps, batch, directions, rows])?;
    let optional = |slot: Option<usize>, count: usize| -> Result<Option<Vec<f64>>> {
        let Some(slot) = slot.filter(|s| c.has(*s)) else { return Ok(None) };
        let v = floats(c, c.tensor(slot)?)?;
        if v.len() != count {
            return Err(c.error("shape-conflict", format!("operand {slot} has {} elements, not {count}", v.len())).into());
        }
        Ok(Some(v))
    };
    let bias = optional(Some(3), directions * 2 * rows)?;
    let lengths: Vec<usize> = match c.has(4) {
        true => c.ints(4)?.into_iter().map(|l| usize::try_from(l).unwrap_or(0).min(steps)).collect(),
        false => vec![steps; batch],
    };
    if lengths.len() != batch {
        return Err(c.error("shape-conflict", format!("{} lengths for a batch of {batch}", lengths.len())).into());
    }
    let first_state = optional(Some(5), directions * batch * hidden)?;
    let first_cell = optional(kind.initial_cell, directions * batch * hidden)?;
    let peepholes = optional(kind.peepholes, directions * 3 * hidden)?;
    let activations = activations(attrs, kind.activations, directions).map_err(|e| c.error("attribute-value", e))?;
    let clip = attrs.float("clip").map(f64::from).filter(|v| *v > 0.0);
    let (xs, ws, rs) = (floats(c, x)?, floats(c, w)?, floats(c, r)?);

    let row_of = |t: usize, b: usize| if by_batch { b * steps + t } else { t * batch + b };
    let state_at = |d: usize, b: usize| if by_batch { b * directions + d } else { d * batch + b };
    let mut all = vec![0.0; steps * directions * batch * hidden];
    let mut last = vec![0.0; directions * batch * hidden];
    let mut last_cell = last.clone();
    for d in 0..directions {
        let (w, r) = (&ws[d * rows * inputs..][..rows * inputs], &rs[d * rows * hidden..][..rows * hidden]);
        let zeros = vec![0.0; 2 * rows];
        let (input_bias, state_bias) = bias.as_ref().map_or(&zeros[..], |b| &b[d * 2 * rows..][..2 * rows]).split_at(rows);
        let e = Extents { batch: 1, rows: steps * batch, columns: rows, depth: inputs };
        let mut from_input =
            contract(e, &|_, i, k, run: &mut [f64]| run.copy_from_slice(&xs[i * inputs + k..][..run.len()]), &|_, k, j, run: &mut [f64]| {
                run.iter_mut().enumerate().for_each(|(n, v)| *v = w[(j + n) * inputs + k])
            });
        from_input.chunks_exact_mut(rows.max(1)).for_each(|row| row.iter_mut().zip(input_bias).for_each(|(v, b)| *v += b));
        let start = |of: &Option<Vec<f64>>| -> Vec<f64> {
            let rows = (0..batch).flat_map(|b| (0..hidden).map(move |u| (b, u)));
            rows.map(|(b, u)| of.as_ref().map_or(0.0, |v| v[state_at(d, b) * hidden + u])).collect()
        };
        let (mut state, mut cell) = (start(&first_state), start(&first_cell));
        let backwards = direction == "reverse" || d == 1;
        for s in 0..steps {
            let e = Extents { batch: 1, rows: batch, columns: rows, depth: hidden };
            let from_state =
                contract(e, &|_, i, k, run: &mut [f64]| run.copy_from_slice(&state[i * hidden + k..][..run.len()]), &|_, k, j, run: &mut [f64]| {
                    run.iter_mut().enumerate().for_each(|(n, v)| *v = r[(j + n) * hidden + k])
                });
            for b in (0..batch).filter(|b| s < lengths[*b]) {
                let t = if backwards { lengths[b] - 1 - s } else { s };
                let before = state[b * hidden..][..hidden].to_vec();
                let step = Step {
                    from_input: &from_input[row_of(t, b) * rows..][..rows],
                    from_state: &from_state[b * rows..][..rows],
                    state_bias,
                    recurrence: r,
                    state: &before,
                    peepholes: peepholes.as_ref().map_or(&[], |p| &p[d * 3 * hidden..][..3 * hidden]),
                    activations: &activations[d * kind.activations.len()..][..kind.activations.len()],
                    clip,
                };
                (kind.step)(c, &step, &mut state[b * hidden..][..hidden], &mut cell[b * hidden..][..hidden]);
                let at = if by_batch { (b * steps + t) * directions + d } else { (t * directions + d) * batch + b };
                all[at * hidden..][..hidden].copy_from_slice(&state[b * hidden..][..hidden]);
            }
        }
        for b in 0..batch {
            last[state_at(d, b) * hidden..][..hidden].copy_from_slice(&state[b * hidden..][..hidden]);
            last_cell[state_at(d, b) * hidden..][..hidden].copy_from_slice(&cell[b * hidden..][..hidden]);
        }
    }
    let (sizes, last_sizes) = if by_batch {
        ([batch, steps, directions, hidden], [batch, directions, hidden])
    } else {
        ([steps, directions, batch, hidden], [directions, batch, hidden])
    };
    let mut out = vec![store(x.dtype(), &sizes, &all)?.into(), store(x.dtype(), &last_sizes, &last)?.into()];
    if kind.initial_cell.is_some() {
        out.push(store(x.dtype(), &last_sizes, &last_cell)?.into());
    }
    Ok(out)
}
