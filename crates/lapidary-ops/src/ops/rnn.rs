//! `RNN(x, w, r, b, lengths, h)`: `h' = f(x·Wᵀ + h·Rᵀ + Wb + Rb)` step by step, f being Tanh unless `activations` says otherwise.
//!
//! x: [steps, batch, inputs] (batch first with `layout=1`), w: [directions, hidden, inputs], r: [directions, hidden, hidden],
//! b: [directions, 2·hidden], h: [directions, batch, hidden]. Results: all states [steps, directions, batch, hidden], and the last ones.
//! `direction` is `forward`, `reverse` or `bidirectional`; steps beyond `lengths` give zeros. Floats. Source: ONNX RNN-22.

use crate::recurrent::{Kind, Step, eval, infer};
use crate::{Datum, EvalCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(run), ..OpDef::base("RNN", include_str!("rnn.rs"), infer) };

fn run(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    eval(c, &Kind { gates: 1, activations: &["tanh"], initial_cell: None, peepholes: None, step })
}

fn step(_: &EvalCtx<'_>, s: &Step<'_>, state: &mut [f64], _: &mut [f64]) {
    for (u, h) in state.iter_mut().enumerate() {
        *h = s.activations[0].of(s.clipped(s.gate(0, u)));
    }
}
