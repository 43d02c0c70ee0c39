//! The law: a graph without some units computes what the graph with zeros in their place does. Tested on random graphs of everything that
//! the rules know.

use super::{Coupling, Place, Role, Unit};
use lapidary_ir::text::{self, ParseOptions};
use lapidary_ir::{Graph, Tensor};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Numbers that a seed decides: xorshift (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }
}

/// The lines of a graph in the making.
struct Text {
    lines: String,
    count: usize,
    random: Random,
    /// Image values with their channels; all are `[2, c, 4, 4]`.
    images: Vec<(String, usize)>,
}

impl Text {
    fn name(&mut self) -> String {
        self.count += 1;
        format!("%v{}", self.count)
    }
    fn constant(&mut self, sizes: &[usize]) -> String {
        let (name, seed) = (self.name(), self.count);
        let _ = writeln!(self.lines, "  const {name} : f32{sizes:?} = random({seed})");
        name
    }
    fn ints(&mut self, values: &[i64]) -> String {
        let name = self.name();
        let _ = writeln!(self.lines, "  const {name} : i64[{}] = {values:?}", values.len());
        name
    }
    fn op(&mut self, what: &str) -> String {
        let name = self.name();
        let _ = writeln!(self.lines, "  {name} = {what}");
        name
    }
    fn pick(&mut self) -> (String, usize) {
        let i = self.random.below(self.images.len());
        self.images[i].clone()
    }
    fn conv(&mut self, x: &str, channels: usize, out: usize, kernel: usize) -> String {
        let (w, b) = (self.constant(&[out, channels, kernel, kernel]), self.constant(&[out]));
        let p = kernel / 2;
        self.op(&format!("Conv({x}, {w}, {b}) {{kernel_shape=[{kernel}, {kernel}], pads=[{p}, {p}, {p}, {p}]}}"))
    }

    /// One more image from those that there are.
    fn grow(&mut self) {
        let (x, c) = self.pick();
        let made = match self.random.below(17) {
            0..3 => {
                let out = 1 + self.random.below(6);
                let kernel = 1 + 2 * self.random.below(2);
                (self.conv(&x, c, out, kernel), out)
            }
            3 => {
                let each = 1 + self.random.below(2);
                let w = self.constant(&[c * each, 1, 3, 3]);
                (self.op(&format!("Conv({x}, {w}) {{group={c}, kernel_shape=[3, 3], pads=[1, 1, 1, 1]}}")), c * each)
            }
            4 if c.is_multiple_of(2) => {
                let w = self.constant(&[6, c / 2, 1, 1]);
                (self.op(&format!("Conv({x}, {w}) {{group=2, kernel_shape=[1, 1]}}")), 6)
            }
            5 => {
                let p: Vec<String> = (0..3).map(|_| self.constant(&[c])).collect();
                let var = self.op(&format!("Abs({})", p[2]));
                // A variance that is computed must couple like one that is stored.
                let mean = self.constant(&[c]);
                (self.op(&format!("BatchNormalization({x}, {}, {}, {mean}, {var})", p[0], p[1])), c)
            }
            6 => (self.op(&format!("Sigmoid({x})")), c),
            7 | 8 => {
                // A residual sum with a branch of the same size.
                let branch = self.conv(&x, c, c, 3);
                (self.op(&format!("Add({x}, {branch})")), c)
            }
            9 => {
                let (y, d) = self.pick();
                (self.op(&format!("Concat({x}, {y}) {{axis=1}}")), c + d)
            }
            10 if c > 2 => {
                let first = 1 + self.random.below(c - 1);
                let sizes = self.ints(&[first as i64, (c - first) as i64]);
                let (a, b) = (self.name(), self.name());
                let _ = writeln!(self.lines, "  {a}, {b} = Split({x}, {sizes}) {{axis=1}}");
                self.images.push((a, first));
                (b, c - first)
            }
            11 if c > 2 => {
                let (first, axis) = (self.random.below(c - 1), self.ints(&[1]));
                let (a, b) = (self.ints(&[first as i64]), self.ints(&[i64::MAX]));
                (self.op(&format!("Slice({x}, {a}, {b}, {axis})")), c - first)
            }
            12 => {
                // Squeeze and excitation.
                let p = self.op(&format!("GlobalAveragePool({x})"));
                let d = self.conv(&p, c, 2, 1);
                let u = self.conv(&d, 2, c, 1);
                let g = self.op(&format!("HardSigmoid({u})"));
                (self.op(&format!("Mul({x}, {g})")), c)
            }
            13 => (self.op(&format!("MaxPool({x}) {{kernel_shape=[3, 3], pads=[1, 1, 1, 1]}}")), c),
            14 => {
                let w = self.constant(&[c, 3, 1, 1]);
                (self.op(&format!("ConvTranspose({x}, {w}) {{kernel_shape=[1, 1]}}")), 3)
            }
            15 if c.is_multiple_of(2) => {
                // There and back, with the halves of the channels swapped in between: as channel shuffles do.
                let (five, four) = (self.ints(&[2, 2, c as i64 / 2, 4, 4]), self.ints(&[2, c as i64, 4, 4]));
                let a = self.op(&format!("Reshape({x}, {five})"));
                let b = if self.random.below(2) == 0 { self.op(&format!("Transpose({a}) {{perm=[0, 2, 1, 3, 4]}}")) } else { a };
                (self.op(&format!("Reshape({b}, {four})")), c)
            }
            16 => {
                let s = self.constant(&[c, 1, 1]);
                (self.op(&format!("PRelu({x}, {s})")), c)
            }
            _ => (self.op(&format!("Tanh({x})")), c),
        };
        self.images.push(made);
    }
}

fn convolutional(seed: u64) -> String {
    let mut t = Text { lines: String::new(), count: 0, random: Random(seed * 2654435761 + 1), images: vec![("%x".into(), 3)] };
    let first = t.conv("%x", 3, 6, 1);
    t.images = vec![(first, 6)];
    (0..8).for_each(|_| t.grow());
    let (last, c) = t.images.last().cloned().unwrap_or_default();
    let y = if seed.is_multiple_of(2) {
        let w = t.constant(&[c * 16, 3]);
        let f = t.op(&format!("Flatten({last})"));
        t.op(&format!("MatMul({f}, {w})"))
    } else {
        t.conv(&last, c, 2, 1)
    };
    format!("graph @g(%x: f32[2, 3, 4, 4]) {{\n{}  return {y}\n}}\n", t.lines)
}

/// A transformer block with grouped queries, a rotation of pairs, a gated feed-forward part.
fn transformer(seed: u64) -> String {
    let mut t = Text { lines: String::new(), count: 0, random: Random(seed + 77), images: vec![] };
    let (keys, each, size) = (2 + t.random.below(2), 1 + t.random.below(2), 2usize);
    let (heads, d) = (keys * each, 4usize);
    let project = |t: &mut Text, x: &str, n: usize| {
        let (w, b) = (t.constant(&[d, n * size]), t.constant(&[n * size]));
        let m = t.op(&format!("MatMul({x}, {w})"));
        let a = t.op(&format!("Add({m}, {b})"));
        let s = t.ints(&[0, 0, n as i64, size as i64]);
        let r = t.op(&format!("Reshape({a}, {s})"));
        t.op(&format!("Transpose({r}) {{perm=[0, 2, 1, 3]}}"))
    };
    let (g, gb) = (t.constant(&[d]), t.constant(&[d]));
    let n = t.op(&format!("LayerNormalization(%x, {g}, {gb})"));
    let (q, k, v) = (project(&mut t, &n, heads), project(&mut t, &n, keys), project(&mut t, &n, keys));
    let out = if seed.is_multiple_of(3) {
        t.op(&format!("Attention({q}, {k}, {v})"))
    } else {
        let repeat = |t: &mut Text, x: &str| {
            if each == 1 {
                return x.to_string();
            }
            let axis = t.ints(&[2]);
            let u = t.op(&format!("Unsqueeze({x}, {axis})"));
            let s = t.ints(&[1, 1, each as i64, 1, 1]);
            let e = t.op(&format!("Expand({u}, {s})"));
            let s = t.ints(&[0, heads as i64, -1, size as i64]);
            t.op(&format!("Reshape({e}, {s})"))
        };
        let (k, v) = (repeat(&mut t, &k), repeat(&mut t, &v));
        let kt = t.op(&format!("Transpose({k}) {{perm=[0, 1, 3, 2]}}"));
        let m = t.op(&format!("MatMul({q}, {kt})"));
        let p = t.op(&format!("Softmax({m})"));
        t.op(&format!("MatMul({p}, {v})"))
    };
    let b = t.op(&format!("Transpose({out}) {{perm=[0, 2, 1, 3]}}"));
    let s = t.ints(&[0, 0, (heads * size) as i64]);
    let c = t.op(&format!("Reshape({b}, {s})"));
    let o = t.constant(&[heads * size, d]);
    let m = t.op(&format!("MatMul({c}, {o})"));
    let r = t.op(&format!("Add(%x, {m})"));
    let (w, u, z) = (t.constant(&[d, 6]), t.constant(&[d, 6]), t.constant(&[6, d]));
    let (a, b) = (t.op(&format!("MatMul({r}, {w})")), t.op(&format!("MatMul({r}, {u})")));
    let h = t.op(&format!("Sigmoid({a})"));
    let h = t.op(&format!("Mul({h}, {b})"));
    let f = t.op(&format!("MatMul({h}, {z})"));
    let y = t.op(&format!("Add({r}, {f})"));
    format!("graph @g(%x: f32[2, 3, 4]) {{\n{}  return {y}\n}}\n", t.lines)
}

fn parse(source: &str) -> Graph {
    fn newest(domain: &str, name: &str) -> u32 {
        lapidary_ops::schema::newest(domain, name).map_or(0, |s| s.since)
    }
    text::parse(source, &ParseOptions { newest: &newest, ..ParseOptions::default() }).unwrap_or_else(|e| panic!("{e}\n{source}"))
}

/// Zeros where the removed lanes are read.
fn masked(graph: &Graph, c: &Coupling, removed: &BTreeSet<Unit>) -> Graph {
    let mut g = graph.clone();
    for (id, axis) in c.axes.iter().enumerate().filter(|(id, _)| c.is(*id, Role::Columns) || c.is(*id, Role::State)) {
        let Place::Use(node, slot) = axis.place else { continue };
        let gone: Vec<bool> = c.units(id).iter().map(|u| removed.contains(u)).collect();
        if !gone.contains(&true) {
            continue;
        }
        let t = g.as_constant(g.node(node).input(slot).unwrap()).unwrap().clone();
        let inner: usize = t.sizes()[axis.dim + 1..].iter().product();
        let values: Vec<f64> = t.to_f64().unwrap().iter().enumerate().map(|(i, v)| if gone[i / inner % gone.len()] { 0.0 } else { *v }).collect();
        let name = g.fresh_name("masked");
        let new = g.add_const(name, Tensor::from_f64(t.dtype(), t.sizes(), &values).unwrap());
        g.set_input(node, slot, Some(new));
    }
    g
}

fn run(g: &Graph, x: &Tensor) -> Vec<f64> {
    let out = lapidary_ops::evaluate(g, vec![x.clone().into()]).unwrap();
    out[0].as_tensor().unwrap().to_f64().unwrap()
}

/// Cuts random units out of a graph and compares; returns how many were cut.
fn check(source: &str, seed: u64, sizes: &[usize]) -> usize {
    let mut graph = parse(source);
    let c = Coupling::of(&mut graph).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let mut random = Random(seed + 12345);
    let mut removed = BTreeSet::new();
    for g in c.groups().iter().filter(|g| !g.has(&c, Role::Statistic)) {
        // One of the units of each group stays, as the passes have it.
        for u in g.units.iter().skip(usize::from(g.pinned == 0)) {
            if random.below(2) == 0 {
                removed.insert(*u);
            }
        }
    }
    let x = Tensor::random(lapidary_ir::DType::F32, sizes, seed, None).unwrap();
    let want = run(&masked(&graph, &c, &removed), &x);
    let mut cut = graph.clone();
    c.cut(&mut cut, &removed, "test").unwrap_or_else(|e| panic!("{e}\n{source}"));
    let found = cut.verify();
    assert!(found.is_empty(), "{found:?}\n{source}");
    let got = run(&cut, &x);
    let top = want.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
    let worst = want.iter().zip(&got).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(want.len() == got.len() && worst <= 1e-5 * top, "seed {seed}: {worst} of {top}\n{source}");
    removed.len()
}

#[test]
fn convolutional_graphs_cut_equal_masked() {
    let cut: usize = (0..200).map(|s| check(&convolutional(s), s, &[2, 3, 4, 4])).sum();
    assert!(cut > 400, "only {cut} units were cut");
}

#[test]
fn transformers_cut_equal_masked() {
    let cut: usize = (0..40).map(|s| check(&transformer(s), s, &[2, 3, 4])).sum();
    assert!(cut > 80, "only {cut} units were cut");
}
