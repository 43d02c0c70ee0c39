//! `RNN(x, w, r, b, lengths, h)`: `h' = f(x·Wᵀ + h·Rᵀ + Wb + Rb)` step by step, f being Tanh unless `activations` says otherwise.
//!
//! x: [steps, batch, inputs] (batch first with `layout=1`), w: [directions, hidden, inputs], r: [directions, hidden, hidden],
//! b: [directions, 2·hidden], h: [directions, batch, hidden]. Results: all states [steps, directions, batch, hidden], and the last ones.
//! `direction` is `forward`, `reverse` or `bidirectional`; steps beyond `lengths` give zeros. Floats. Source: ONNX RNN-22.
//!
//! ```lap
//! input %x : f32[T, 1, 1] = [[[1]], [[2]], [[3]]]
//! const %w : f32[1, 1, 1] = [[[1]]]
//! const %r : f32[1, 1, 1] = [[[0.5]]]
//! %y, %h = RNN(%x, %w, %r) {hidden_size=1, activations=["Relu"]}
//! // %y : f32[T, 1, 1, 1] = [[[[1]]], [[[2.5]]], [[[4.25]]]]
//! // %h : f32[1, 1, 1] = [[[4.25]]]
//! %z, %g = RNN(%x, %w, %r) {hidden_size=1, activations=["Relu"], direction="reverse"}
//! // %z : f32[T, 1, 1, 1] = [[[[2.75]]], [[[3.5]]], [[[3]]]]
//! ```

use crate::forms;
use crate::forms::new_attribute;
use crate::recurrent::{Kind, Layer, Step, eval, infer, lower};
use crate::{EvalCtx, Form, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    eval: Some(|c| eval(c, &KIND)),
    lower: Some(|c| lower(c, &KIND, KIND.gates)),
    forms: &[new_attribute!(14, "layout", 0), OUTPUT_SEQUENCE],
    ..OpDef::base("RNN", include_str!("rnn.rs"), infer)
};

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

static KIND: Kind = Kind { gates: 1, activations: &["tanh"], initial_cell: None, peepholes: None, step, lower: kernels };

fn step(_: &EvalCtx<'_>, s: &Step<'_>, state: &mut [f64], _: &mut [f64]) {
    for (u, h) in state.iter_mut().enumerate() {
        *h = s.activations[0].of(s.clipped(s.gate(0, u)));
    }
}

fn kernels(l: &mut Layer<'_, '_>) -> Result<()> {
    let states = l.state.before.clone();
    let sums = l.product("sums", &states, 0..1);
    let mut p = l.point();
    let (x, h) = (l.of_input(&mut p, 0), l.read(&mut p, &sums, 0));
    let v = p.k.add(x, h);
    let state = l.gate(&mut p, 0, v);
    l.end(p, state, None);
    Ok(())
}
