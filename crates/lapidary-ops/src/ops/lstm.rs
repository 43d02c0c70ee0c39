//! `LSTM(x, w, r, b, lengths, h, c, p)`: long short-term memory. With gates in the order i, o, f, c and peepholes p in the order i, o, f:
//!
//! `i = f(x·Wiᵀ + h·Riᵀ + pi ⊙ c + Wbi + Rbi)`, the forget gate likewise (or `1 - i` with `input_forget=1`),
//! `c' = forget ⊙ c + i ⊙ g(x·Wcᵀ + h·Rcᵀ + Wbc + Rbc)`, `o = f(x·Woᵀ + h·Roᵀ + po ⊙ c' + Wbo + Rbo)`, `h' = o ⊙ k(c')`. f is Sigmoid,
//! g and k are Tanh.
//!
//! Shapes as of RNN, weights with 4·hidden rows, b: [directions, 8·hidden], p: [directions, 3·hidden]. A third result is the last cell.
//! Floats. Source: ONNX LSTM-22.
//!
//! ```lap
//! input %x : f32[T, 1, 1] = [[[1]], [[2]], [[3]]]
//! const %w : f32[1, 4, 1] = [[[0], [0], [0], [1]]]
//! const %r : f32[1, 4, 1] = [[[0], [0], [0], [0.5]]]
//! %y, %h, %c = LSTM(%x, %w, %r) {hidden_size=1, activations=["Sigmoid", "Relu", "Relu"]}
//! // %y : f32[T, 1, 1, 1] = [[[[0.25]]], [[[0.65625]]], [[[1.16015625]]]]
//! // %h : f32[1, 1, 1] = [[[1.16015625]]]
//! // %c : f32[1, 1, 1] = [[[2.3203125]]]
//! ```

use crate::forms::new_attribute;
use crate::recurrent::{Kind, Layer, Point, Step, eval, infer, lower};
use crate::{EvalCtx, OpDef};
use lapidary_ir::Result;
use lapidary_kernel::ExprId;

pub static DEF: OpDef = OpDef {
    eval: Some(|c| eval(c, &KIND)),
    lower: Some(|c| lower(c, &KIND, KIND.gates)),
    forms: &[new_attribute!(14, "layout", 0), crate::ops::rnn::OUTPUT_SEQUENCE],
    ..OpDef::base("LSTM", include_str!("lstm.rs"), infer)
};

static KIND: Kind = Kind { gates: 4, activations: &["sigmoid", "tanh", "tanh"], initial_cell: Some(6), peepholes: Some(7), step, lower: kernels };

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

fn kernels(l: &mut Layer<'_, '_>) -> Result<()> {
    let Some(cells) = l.cell.clone() else { return Ok(()) };
    let coupled = l.c.node().attrs.int("input_forget").unwrap_or(0) != 0;
    let states = l.state.before.clone();
    let sums = l.product("sums", &states, 0..4);
    let mut point = l.point();
    let p = &mut point;
    let sum = |p: &mut Point, gate: usize| {
        let (x, h) = (l.of_input(p, gate), l.read(p, &sums, gate));
        p.k.add(x, h)
    };
    let cell = l.read(p, &cells.before, 0);
    let of = |p: &mut Point, gate: usize, peephole: usize, cell: ExprId| {
        let v = sum(p, gate);
        let v = l.with_peephole(p, v, peephole, cell);
        l.gate(p, 0, v)
    };
    let input = of(p, 0, 0, cell);
    let forget = if coupled {
        let one = p.k.constant(p.k.dtype(input), 1.0);
        p.k.sub(one, input)
    } else {
        of(p, 2, 2, cell)
    };
    let new = sum(p, 3);
    let new = l.gate(p, 1, new);
    let (kept, new) = (p.k.mul(forget, cell), p.k.mul(input, new));
    let cell = p.k.add(kept, new);
    let output = of(p, 1, 1, cell);
    let state = l.activate(p, 2, cell);
    let state = p.k.mul(output, state);
    l.end(point, state, Some(cell));
    Ok(())
}
