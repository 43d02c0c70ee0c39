//! Recurrent layers: their kernels mean what their evaluators mean, before and after optimization, and their products run on register tiles.

use lapidary_ir::text::{ParseOptions, parse};
use lapidary_ir::{DType, Graph, Tensor};
use lapidary_kernel::{Program, Schedule, interp};
use lapidary_ops::{Datum, evaluate, infer_types};

/// A layer, and which of its operands there are.
#[derive(Clone, Copy)]
struct Layer {
    op: &'static str,
    gates: usize,
    attrs: &'static str,
    direction: &'static str,
    by_batch: bool,
    lengths: bool,
    initial: bool,
    peepholes: bool,
    hidden: usize,
    /// The time axis of the operand: `T`, or a number.
    steps: &'static str,
    dtype: &'static str,
    /// Weights are inputs of the graph.
    given: bool,
    results: &'static str,
}

const LSTM: Layer = Layer {
    op: "LSTM",
    gates: 4,
    attrs: "",
    direction: "bidirectional",
    by_batch: false,
    lengths: false,
    initial: false,
    peepholes: false,
    hidden: 16,
    steps: "T",
    dtype: "f32",
    given: false,
    results: "%y, %h, %c",
};
const GRU: Layer = Layer { op: "GRU", gates: 3, results: "%y, %h", ..LSTM };
const RNN: Layer = Layer { op: "RNN", gates: 1, results: "%y, %h", ..LSTM };

const INPUTS: usize = 6;
const BATCH: usize = 3;

impl Layer {
    fn text(&self) -> String {
        let (d, h, t, ty) = (if self.direction == "bidirectional" { 2 } else { 1 }, self.hidden, self.steps, self.dtype);
        let rows = self.gates * h;
        let x = if self.by_batch { format!("N, {t}, {INPUTS}") } else { format!("{t}, N, {INPUTS}") };
        let state = if self.by_batch { format!("N, {d}, {h}") } else { format!("{d}, N, {h}") };
        let mut operands = vec![
            ("x", Some(format!("{ty}[{x}]")), false),
            ("w", Some(format!("{ty}[{d}, {rows}, {INPUTS}]")), !self.given),
            ("r", Some(format!("{ty}[{d}, {rows}, {h}]")), !self.given),
            ("b", Some(format!("{ty}[{d}, {}]", 2 * rows)), !self.given),
            ("l", self.lengths.then(|| "i32[N]".into()), false),
            ("h0", self.initial.then(|| format!("{ty}[{state}]")), false),
        ];
        if self.op == "LSTM" {
            operands.push(("c0", self.initial.then(|| format!("{ty}[{state}]")), false));
            operands.push(("p", self.peepholes.then(|| format!("{ty}[{d}, {}]", 3 * h)), true));
        }
        let (mut inputs, mut constants, mut list) = (vec![], String::new(), vec![]);
        for (seed, (name, ty, constant)) in operands.iter().enumerate() {
            list.push(if ty.is_some() { format!("%{name}") } else { "_".into() });
            match ty {
                Some(ty) if *constant => constants += &format!("  const %{name} : {ty} = random({})\n", seed + 1),
                Some(ty) => inputs.push(format!("%{name}: {ty}")),
                None => {}
            }
        }
        let results = if self.op == "LSTM" { "%y, %h, %c" } else { "%y, %h" };
        format!(
            "graph @layer({}) {{\n{constants}  {results} = {}({}) {{hidden_size={h}, direction=\"{}\", layout={}{}}}\n  return {}\n}}\n",
            inputs.join(", "),
            self.op,
            list.join(", "),
            self.direction,
            u8::from(self.by_batch),
            self.attrs,
            self.results
        )
    }
    fn graph(&self) -> Graph {
        let text = self.text();
        parse(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{text}\n{e}"))
    }
    /// The kernels as `optimize` leaves them, which mean what the evaluator means.
    fn agrees(&self) -> Program {
        let mut g = self.graph();
        let facts = infer_types(&mut g).unwrap_or_else(|e| panic!("{}\n{e}", self.text()));
        let steps = [5i64, 1].into_iter().filter(|t| self.steps == "T" || *t == 5);
        let mut optimized = None;
        for t in steps {
            let symbol = |n: &str| Some(if n == "T" { t } else { BATCH as i64 });
            let inputs: Vec<Tensor> = g.inputs().iter().enumerate().map(|(i, v)| input(g.ty(*v), &symbol, i, t)).collect();
            let want = evaluate(&g, inputs.iter().cloned().map(Datum::Tensor).collect()).unwrap_or_else(|e| panic!("{}\n{e}", self.text()));
            let mut p = lapidary_lower::lower_graph(&g, &facts).unwrap_or_else(|e| panic!("{}\n{e}", self.text()));
            for stage in ["as lowered", "optimized"] {
                let got = interp::interpret(&p, &inputs, &symbol).unwrap_or_else(|e| panic!("{}{stage}: {e}\n{}", self.text(), p.to_text()));
                for (n, (got, want)) in got.iter().zip(&want).enumerate() {
                    let want = want.as_tensor().unwrap();
                    assert_eq!((got.dtype(), got.sizes()), (want.dtype(), want.sizes()), "{}{stage}, result {n}", self.text());
                    let rounding = if want.dtype().bits() < 32 { 1e-2 } else { 2e-5 };
                    let (a, b) = (got.to_f64().unwrap(), want.to_f64().unwrap());
                    let far = (0..a.len()).find(|i| (a[*i] - b[*i]).abs() > rounding * (1.0 + b[*i].abs()) || a[*i].is_nan());
                    if let Some(i) = far {
                        panic!("{}{stage}, {t} steps: element {i} of result {n} is {}, not {}\n{}", self.text(), a[i], b[i], p.to_text());
                    }
                }
                lapidary_lower::optimize(&mut p, &Default::default()).unwrap_or_else(|e| panic!("{}\n{e}", self.text()));
            }
            optimized = Some(p);
        }
        optimized.unwrap()
    }
}

fn input(ty: &lapidary_ir::Type, symbol: &impl Fn(&str) -> Option<i64>, seed: usize, steps: i64) -> Tensor {
    let dims: Vec<usize> = ty.dims().unwrap().iter().map(|d| d.eval(symbol).unwrap() as usize).collect();
    let count: usize = dims.iter().product();
    match ty.dtype() {
        // Fewer steps than there are, none, and more.
        DType::I32 => Tensor::from_i64(DType::I32, &dims, &(0..count as i64).map(|i| [3, 0, steps + 2][i as usize % 3]).collect::<Vec<_>>()).unwrap(),
        d => Tensor::from_f64(d, &dims, &(0..count).map(|i| (((i + 1) * (2 * seed + 37)) % 101) as f64 / 50.0 - 1.0).collect::<Vec<_>>()).unwrap(),
    }
}

const ALL: [Layer; 4] = [LSTM, GRU, Layer { attrs: ", linear_before_reset=1", ..GRU }, RNN];

#[test]
fn every_direction_in_both_layouts() {
    for layer in ALL {
        for direction in ["forward", "reverse", "bidirectional"] {
            for by_batch in [false, true] {
                Layer { direction, by_batch, ..layer }.agrees();
                Layer { direction, by_batch, lengths: true, initial: true, ..layer }.agrees();
            }
        }
    }
}

#[test]
fn steps_that_are_known_and_a_single_one() {
    for layer in ALL {
        for steps in ["5", "1"] {
            for lengths in [false, true] {
                let one = Layer { steps, lengths, initial: true, ..layer };
                if steps == "5" {
                    one.agrees();
                } else {
                    single(one);
                }
            }
        }
    }
}

/// A single step is no recurrence.
fn single(layer: Layer) {
    let mut g = layer.graph();
    let facts = infer_types(&mut g).unwrap();
    let mut p = lapidary_lower::lower_graph(&g, &facts).unwrap();
    lapidary_lower::optimize(&mut p, &Default::default()).unwrap();
    assert!(p.kernels.iter().all(|k| k.recurrence.is_none()), "{}", p.to_text());
    let symbol = |_: &str| Some(BATCH as i64);
    let inputs: Vec<Tensor> = g.inputs().iter().enumerate().map(|(i, v)| input(g.ty(*v), &symbol, i, 1)).collect();
    let want = evaluate(&g, inputs.iter().cloned().map(Datum::Tensor).collect()).unwrap();
    let got = interp::interpret(&p, &inputs, &symbol).unwrap();
    for (got, want) in got.iter().zip(&want) {
        let (a, b) = (got.to_f64().unwrap(), want.as_tensor().unwrap().to_f64().unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 2e-5), "{}{got:?} {want:?}", layer.text());
    }
}

#[test]
fn what_attributes_change() {
    Layer { peepholes: true, ..LSTM }.agrees();
    Layer { peepholes: true, lengths: true, attrs: ", input_forget=1", ..LSTM }.agrees();
    Layer { attrs: ", clip=0.25", ..LSTM }.agrees();
    Layer { attrs: ", clip=0.25", ..GRU }.agrees();
    Layer { attrs: ", clip=0.25, linear_before_reset=1", ..GRU }.agrees();
    // Another function for each direction, and parameters in order.
    let attrs = ", activations=[\"HardSigmoid\", \"LeakyRelu\", \"Affine\", \"Sigmoid\", \"ScaledTanh\", \"Softsign\"], \
                 activation_alpha=[0.3, 0.1, 0.7, 0.9], activation_beta=[0.4, 0.2, 1.1]";
    Layer { attrs, ..LSTM }.agrees();
    Layer { attrs: ", activations=[\"Sigmoid\", \"Softplus\"]", direction: "reverse", ..GRU }.agrees();
    for attrs in [", activations=[\"Relu\", \"Elu\"]", ", activations=[\"ThresholdedRelu\", \"relu\"], activation_alpha=[0.2]"] {
        Layer { attrs, ..RNN }.agrees();
    }
}

#[test]
fn types_sizes_and_weights_of_any_kind() {
    for layer in ALL {
        for dtype in ["f16", "bf16", "f64"] {
            Layer { dtype, initial: true, ..layer }.agrees();
        }
        for hidden in [1, 3, 20] {
            Layer { hidden, lengths: true, ..layer }.agrees();
        }
        Layer { given: true, initial: true, ..layer }.agrees();
        Layer { results: "%h", direction: "reverse", ..layer }.agrees();
        Layer { results: "%y", direction: "forward", ..layer }.agrees();
    }
}

/// The products of a step are contractions, whose weights are packed before the first step.
#[test]
fn steps_multiply_on_register_tiles() {
    for (layer, products) in [(LSTM, 1), (GRU, 2), (RNN, 1)] {
        for given in [false, true] {
            let p = Layer { given, ..layer }.agrees();
            let runs: Vec<_> = p.runs().into_iter().filter(|r| p.kernels[r.start].recurrence.is_some()).collect();
            let [run] = runs.as_slice() else { panic!("{} runs\n{}", runs.len(), p.to_text()) };
            let tiles = p.kernels[run.clone()].iter().filter(|k| matches!(k.schedule, Some(Schedule::Contract { .. })));
            assert_eq!(tiles.count(), products, "{}", p.to_text());
            assert_eq!(run.len(), 2 * products, "{}", p.to_text());
        }
    }
}

#[test]
fn what_no_layer_has_is_refused() {
    for (attrs, want) in
        [(", activations=[\"Sine\", \"Tanh\"]", "activation 'sine' is not known"), (", activations=[\"Tanh\"]", "1 activations for 2 directions")]
    {
        let mut g = Layer { attrs, ..RNN }.graph();
        let facts = infer_types(&mut g).unwrap();
        let e = lapidary_lower::lower_graph(&g, &facts).unwrap_err().to_string();
        assert!(e.contains(want), "{e}");
    }
}
