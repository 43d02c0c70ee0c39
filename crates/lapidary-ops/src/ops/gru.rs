//! `GRU(x, w, r, b, lengths, h)`: gated recurrent units. With gates in the order z, r, h:
//!
//! `z = f(x·Wzᵀ + h·Rzᵀ + Wbz + Rbz)`, `r = f(x·Wrᵀ + h·Rrᵀ + Wbr + Rbr)`, `n = g(x·Whᵀ + (r ⊙ h)·Rhᵀ + Wbh + Rbh)`, or with
//! `linear_before_reset=1` `n = g(x·Whᵀ + Wbh + r ⊙ (h·Rhᵀ + Rbh))`; `h' = (1 - z) ⊙ n + z ⊙ h`. f is Sigmoid, g Tanh.
//!
//! Shapes as of RNN, weights with 3·hidden rows, b: [directions, 6·hidden]. Floats. Source: ONNX GRU-22.

use crate::forms::new_attribute;
use crate::recurrent::{Kind, Step, eval, infer};
use crate::{Datum, EvalCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    eval: Some(run),
    forms: &[new_attribute!(14, "layout", 0), crate::ops::rnn::OUTPUT_SEQUENCE, new_attribute!(3, "linear_before_reset", 0)],
    ..OpDef::base("GRU", include_str!("gru.rs"), infer)
};

fn run(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    eval(c, &Kind { gates: 3, activations: &["sigmoid", "tanh"], initial_cell: None, peepholes: None, step })
}

fn step(c: &EvalCtx<'_>, s: &Step<'_>, state: &mut [f64], _: &mut [f64]) {
    let n = state.len();
    let (f, g) = (&s.activations[0], &s.activations[1]);
    let reset: Vec<f64> = (0..n).map(|u| f.of(s.clipped(s.gate(1, u)))).collect();
    let late = c.node.attrs.int("linear_before_reset").unwrap_or(0) != 0;
    for (u, h) in state.iter_mut().enumerate() {
        let at = 2 * n + u;
        let from_state = if late {
            reset[u] * (s.from_state[at] + s.state_bias[at])
        } else {
            let row = &s.recurrence[at * n..][..n];
            row.iter().zip(&reset).zip(s.state).map(|((w, r), h)| w * r * h).sum::<f64>() + s.state_bias[at]
        };
        let new = g.of(s.clipped(s.from_input[at] + from_state));
        let z = f.of(s.clipped(s.gate(0, u)));
        *h = (1.0 - z) * new + z * s.state[u];
    }
}
