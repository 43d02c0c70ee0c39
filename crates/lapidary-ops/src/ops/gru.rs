//! `GRU(x, w, r, b, lengths, h)`: gated recurrent units. With gates in the order z, r, h:
//!
//! `z = f(x·Wzᵀ + h·Rzᵀ + Wbz + Rbz)`, `r = f(x·Wrᵀ + h·Rrᵀ + Wbr + Rbr)`, `n = g(x·Whᵀ + (r ⊙ h)·Rhᵀ + Wbh + Rbh)`, or with
//! `linear_before_reset=1` `n = g(x·Whᵀ + Wbh + r ⊙ (h·Rhᵀ + Rbh))`; `h' = (1 - z) ⊙ n + z ⊙ h`. f is Sigmoid, g Tanh.
//!
//! Shapes as of RNN, weights with 3·hidden rows, b: [directions, 6·hidden]. Floats. Source: ONNX GRU-22.
//!
//! ```lap
//! input %x : f32[T, 1, 1] = [[[1]], [[2]], [[3]]]
//! const %w : f32[1, 3, 1] = [[[0], [0], [1]]]
//! const %r : f32[1, 3, 1] = [[[0], [0], [0.5]]]
//! %y, %h = GRU(%x, %w, %r) {hidden_size=1, activations=["Sigmoid", "Relu"]}
//! // %y : f32[T, 1, 1, 1] = [[[[0.5]]], [[[1.3125]]], [[[2.3203125]]]]
//! // %h : f32[1, 1, 1] = [[[2.3203125]]]
//! ```

use crate::forms::new_attribute;
use crate::recurrent::{Kind, Layer, Point, Step, eval, infer, lower};
use crate::{EvalCtx, OpDef};
use lapidary_ir::{Attrs, Result};

pub static DEF: OpDef = OpDef {
    eval: Some(|c| eval(c, &KIND)),
    lower: Some(|c| lower(c, &KIND, if late(&c.node().attrs) { 2 } else { 3 })),
    forms: &[new_attribute!(14, "layout", 0), crate::ops::rnn::OUTPUT_SEQUENCE, new_attribute!(3, "linear_before_reset", 0)],
    ..OpDef::base("GRU", include_str!("gru.rs"), infer)
};

static KIND: Kind = Kind { gates: 3, activations: &["sigmoid", "tanh"], initial_cell: None, peepholes: None, step, lower: kernels };

/// Whether the state is multiplied by its weights before the reset gate, and not after it.
fn late(attrs: &Attrs) -> bool {
    attrs.int("linear_before_reset").unwrap_or(0) != 0
}

fn step(c: &EvalCtx<'_>, s: &Step<'_>, state: &mut [f64], _: &mut [f64]) {
    let n = state.len();
    let (f, g) = (&s.activations[0], &s.activations[1]);
    let reset: Vec<f64> = (0..n).map(|u| f.of(s.clipped(s.gate(1, u)))).collect();
    let late = late(&c.node.attrs);
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

fn kernels(l: &mut Layer<'_, '_>) -> Result<()> {
    let late = late(&l.c.node().attrs);
    let states = l.state.before.clone();
    let sums = l.product("sums", &states, 0..if late { 3 } else { 2 });
    let of = |l: &Layer<'_, '_>, p: &mut Point, gate: usize| {
        let (x, h) = (l.of_input(p, gate), l.read(p, &sums, gate));
        let v = p.k.add(x, h);
        l.gate(p, 0, v)
    };
    let mut point;
    let from_state = if late {
        point = l.point();
        let p = &mut point;
        let reset = of(l, p, 1);
        let h = l.read(p, &sums, 2);
        let h = l.with_state_bias(p, h, 2, 3);
        p.k.mul(reset, h)
    } else {
        let hidden = l.hidden.clone();
        let kept = l.temp("reset", &hidden);
        let mut p = l.point();
        let (reset, h) = (of(l, &mut p, 1), l.read(&mut p, &states, 0));
        let v = p.k.mul(reset, h);
        l.hand_on(p, &kept, v);
        let new = l.product("new", &kept, 2..3);
        point = l.point();
        l.read(&mut point, &new, 0)
    };
    let p = &mut point;
    let new = l.of_input(p, 2);
    let new = p.k.add(new, from_state);
    let new = l.gate(p, 1, new);
    let z = of(l, p, 0);
    let h = l.read(p, &states, 0);
    let one = p.k.constant(p.k.dtype(z), 1.0);
    let rest = p.k.sub(one, z);
    let (new, kept) = (p.k.mul(rest, new), p.k.mul(z, h));
    let state = p.k.add(new, kept);
    l.end(point, state, None);
    Ok(())
}
