//! `RNN(x, w, r, b, lengths, h)`: `h' = f(x·Wᵀ + h·Rᵀ + Wb + Rb)` step by step, f being Tanh unless `activations` says otherwise.
//!
//! x: [steps, batch, inputs] (batch first with `layout=1`), w: [directions, hidden, inputs], r: [directions, hidden, hidden],
//! b: [directions, 2·hidden], h: [directions, batch, hidden]. Results: all states [steps, directions, batch, hidden], and the last ones.
//! `direction` is `forward`, `reverse` or `bidirectional`; steps beyond `lengths` give zeros. Floats. Source: ONNX RNN-22.

use crate::forms;
use crate::forms::new_attribute;
use crate::recurrent::{Kind, Step, eval, infer};
use crate::{Datum, EvalCtx, Form, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef =
    OpDef { eval: Some(run), forms: &[new_attribute!(14, "layout", 0), OUTPUT_SEQUENCE], ..OpDef::base("RNN", include_str!("rnn.rs"), infer) };

/// Before version 7 `output_sequence=0` left the first result out; an unused one costs nothing.
pub const OUTPUT_SEQUENCE: Form = Form {
    since: 7,
    lift: |g, n| {
        g.node_mut(n).attrs.remove("output_sequence");
        forms::lifted(g, n, 7)
    },
    lower: |g, n| {
        g.node_mut(n).attrs.set("output_sequence", 1);
        Ok(())
    },
};

fn run(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    eval(c, &Kind { gates: 1, activations: &["tanh"], initial_cell: None, peepholes: None, step })
}

fn step(_: &EvalCtx<'_>, s: &Step<'_>, state: &mut [f64], _: &mut [f64]) {
    for (u, h) in state.iter_mut().enumerate() {
        *h = s.activations[0].of(s.clipped(s.gate(0, u)));
    }
}
