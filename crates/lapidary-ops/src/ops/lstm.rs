//! `LSTM(x, w, r, b, lengths, h, c, p)`: long short-term memory. With gates in the order i, o, f, c and peepholes p in the order i, o, f:
//!
//! `i = f(x·Wiᵀ + h·Riᵀ + pi ⊙ c + Wbi + Rbi)`, the forget gate likewise (or `1 - i` with `input_forget=1`),
//! `c' = forget ⊙ c + i ⊙ g(x·Wcᵀ + h·Rcᵀ + Wbc + Rbc)`, `o = f(x·Woᵀ + h·Roᵀ + po ⊙ c' + Wbo + Rbo)`, `h' = o ⊙ k(c')`. f is Sigmoid,
//! g and k are Tanh.
//!
//! Shapes as of RNN, weights with 4·hidden rows, b: [directions, 8·hidden], p: [directions, 3·hidden]. A third result is the last cell.
//! Floats. Source: ONNX LSTM-22.

use crate::forms::new_attribute;
use crate::recurrent::{Kind, Step, eval, infer};
use crate::{Datum, EvalCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    eval: Some(run),
    forms: &[new_attribute!(14, "layout", 0), crate::ops::rnn::OUTPUT_SEQUENCE],
    ..OpDef::base("LSTM", include_str!("lstm.rs"), infer)
};

fn run(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    eval(c, &Kind { gates: 4, activations: &["sigmoid", "tanh", "tanh"], initial_cell: Some(6), peepholes: Some(7), step })
}

fn step(c: &EvalCtx<'_>, s: &Step<'_>, state: &mut [f64], cell: &mut [f64]) {
    let n = state.len();
    let (f, g, k) = (&s.activations[0], &s.activations[1], &s.activations[2]);
    let coupled = c.node.attrs.int("input_forget").unwrap_or(0) != 0;
    let peep = |which: usize, u: usize, cell: f64| s.peepholes.get(which * n + u).map_or(0.0, |p| p * cell);
    for u in 0..n {
        let input = f.of(s.clipped(s.gate(0, u) + peep(0, u, cell[u])));
        let forget = if coupled { 1.0 - input } else { f.of(s.clipped(s.gate(2, u) + peep(2, u, cell[u]))) };
        cell[u] = forget * cell[u] + input * g.of(s.clipped(s.gate(3, u)));
        let output = f.of(s.clipped(s.gate(1, u) + peep(1, u, cell[u])));
        state[u] = output * k.of(cell[u]);
    }
}
