//! The factors of a weight, and how they replace it.

use crate::common::activations::Inputs;
use crate::common::layers::{Form, Layer};
use crate::common::linalg::{cholesky, damped, svd};
use faer::{Mat, MatRef};
use lapidary_ir::{Attrs, Diagnostic, Dim, Graph, NodeId, NodeSpec, Result, Shape, Tensor, Type, Value, ValueId};
use lapidary_rewrite::{PassCtx, newest_op, origin};

/// How many singular values stay.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Rank(usize),
    Energy(f64),
    Ratio(f64),
}

impl Target {
    pub fn of(ctx: &PassCtx<'_>) -> Result<Target> {
        let wrong = |text: String| -> Result<Target> {
            Err(Diagnostic::error("pass-option", text).help("say one of rank=16, energy=0.95, ratio=0.6").into())
        };
        let o = &ctx.options;
        match (o.int("rank"), o.float("energy"), o.float("ratio")) {
            (None, None, None) => Ok(Target::Ratio(0.6)),
            (Some(k), None, None) => match usize::try_from(k) {
                Ok(k) if k > 0 => Ok(Target::Rank(k)),
                _ => wrong(format!("'rank' is {k}")),
            },
            (None, Some(e), None) if e > 0.0 && e <= 1.0 => Ok(Target::Energy(e)),
            (None, None, Some(r)) if r > 0.0 && r <= 1.0 => Ok(Target::Ratio(r)),
            (None, Some(v), None) | (None, None, Some(v)) => wrong(format!("{v} is not above 0 and at most 1")),
            _ => wrong("more than one of rank, energy and ratio is given".into()),
        }
    }
    /// The rank for a matrix of these sizes and squared singular values in falling order; at least 1, at most all.
    fn rank(&self, rows: usize, columns: usize, squares: &[f64]) -> usize {
        let most = squares.len().max(1);
        match *self {
            Target::Rank(k) => k.min(most),
            Target::Energy(part) => part_of(squares, part),
            Target::Ratio(part) => ((part * (rows * columns) as f64 / (rows + columns) as f64) as usize).clamp(1, most),
        }
    }
}

/// How many of the leading values it takes to reach a part of their sum.
pub fn part_of(values: &[f64], part: f64) -> usize {
    let wanted = part * values.iter().sum::<f64>();
    let mut sum = 0.0;
    values
        .iter()
        .position(|v| {
            sum += v;
            sum >= wanted
        })
        .map_or(values.len(), |i| i + 1)
        .max(1)
}

/// What a weight is replaced by: applied to the input from the last to the first.
pub enum Factors {
    /// `left · right`: rows × k and k × columns.
    Pair { left: Mat<f64>, right: Mat<f64> },
    /// Channels out × r, the kernel between (`[r, s, kernel…]`, row-major), s × channels in.
    Tucker { outer: Mat<f64>, core: Vec<f64>, inner: Mat<f64>, kernel: Vec<usize> },
}

/// The best factors of the matrix itself. `None` when the decomposition fails.
pub fn split(w: MatRef<'_, f64>, target: &Target) -> Option<Factors> {
    let (u, s, v) = svd(w)?;
    let squares: Vec<f64> = s.iter().map(|s| s * s).collect();
    let k = target.rank(w.nrows(), w.ncols(), &squares);
    let left = Mat::from_fn(w.nrows(), k, |i, j| u[(i, j)] * s[j].sqrt());
    let right = Mat::from_fn(k, w.ncols(), |i, j| s[i].sqrt() * v[(j, i)]);
    Some(Factors::Pair { left, right })
}

/// The best factors for what the layer computes: with `S` from the inputs, those of `W·S`, and `S⁻¹` behind.
pub fn of_results(w: MatRef<'_, f64>, seen: &Inputs, target: &Target) -> Option<Factors> {
    // A hundredth of a percent: inputs that never vary in some direction have no inverse.
    let s = cholesky(damped(seen.gram.first()?.as_ref(), 1e-4).as_ref())?;
    let Factors::Pair { left, right } = split((w * &s).as_ref(), target)? else { return None };
    // right · S⁻¹: the solution y of y · S = right, so Sᵀ · yᵀ = rightᵀ.
    let mut y = right.transpose().to_owned();
    faer::linalg::triangular_solve::solve_upper_triangular_in_place(s.transpose(), y.as_mut(), faer::Par::Seq);
    Some(Factors::Pair { left, right: y.transpose().to_owned() })
}

impl Factors {
    pub fn parameters(&self) -> usize {
        match self {
            Factors::Pair { left, right } => left.nrows() * left.ncols() + right.nrows() * right.ncols(),
            Factors::Tucker { outer, core, inner, .. } => outer.nrows() * outer.ncols() + core.len() + inner.nrows() * inner.ncols(),
        }
    }
    pub fn rank(&self) -> usize {
        match self {
            Factors::Pair { left, .. } => left.ncols(),
            Factors::Tucker { outer, .. } => outer.ncols(),
        }
    }
    /// Replaces the weight at every reader. The node itself becomes the last product, and keeps its name, bias and attributes.
    pub fn write(&self, graph: &mut Graph, pass: &str, layer: &Layer) -> Result<()> {
        let Some(old) = graph.as_constant(layer.weight).cloned() else { return Ok(()) };
        let add = |graph: &mut Graph, suffix: &str, sizes: &[usize], values: Vec<f64>| -> Result<ValueId> {
            let name = graph.fresh_name(&format!("{}_{suffix}", layer.name));
            let c = graph.add_const(name, Tensor::from_f64(old.dtype(), sizes, &values)?);
            graph.node_mut(c.node).origin = origin(pass, [layer.name.as_str().into()]);
            Ok(c)
        };
        let spatial = old.sizes().get(2..).unwrap_or_default();
        let ones = |a: usize, b: usize| [&[a, b][..], &vec![1; spatial.len()]].concat();
        match (self, layer.form) {
            (Factors::Pair { left, right }, Form::Conv { .. }) => {
                let k = left.ncols();
                let first = add(graph, "right", &[&[k], &old.sizes()[1..]].concat(), by_rows(right))?;
                let last = add(graph, "left", &ones(layer.rows, k), by_rows(left))?;
                for (node, x) in &layer.readers {
                    let attrs = graph.node(*node).attrs.clone();
                    let front = Front { op: "Conv", attrs, operands: [*x, first], like: node.out(0), axis: 1, channels: k, suffix: "right" };
                    let h = front.add(graph, pass, layer, *node);
                    point_wise(graph, *node, h, last);
                }
            }
            (Factors::Pair { left, right }, _) => {
                let k = left.ncols();
                let first = add(graph, "right", &[layer.columns, k], by_columns(right))?;
                let last = match layer.form {
                    Form::OutputsFirst => add(graph, "left", &[layer.rows, k], by_rows(left))?,
                    _ => add(graph, "left", &[k, layer.rows], by_columns(left))?,
                };
                for (node, x) in &layer.readers {
                    let axis = graph.ty(*x).rank().map_or(0, |r| r.saturating_sub(1));
                    let front = Front { op: "MatMul", attrs: Attrs::new(), operands: [*x, first], like: *x, axis, channels: k, suffix: "right" };
                    let h = front.add(graph, pass, layer, *node);
                    graph.set_input(*node, 0, Some(h));
                    graph.set_input(*node, 1, Some(last));
                }
            }
            (Factors::Tucker { outer, core, inner, kernel }, _) => {
                let (r, s) = (outer.ncols(), inner.nrows());
                let first = add(graph, "inner", &ones(s, inner.ncols()), by_rows(inner))?;
                let middle = add(graph, "core", &[&[r, s], &kernel[..]].concat(), core.clone())?;
                let last = add(graph, "outer", &ones(outer.nrows(), r), by_rows(outer))?;
                for (node, x) in &layer.readers {
                    let attrs = graph.node(*node).attrs.clone();
                    let front = Front { op: "Conv", attrs: Attrs::new(), operands: [*x, first], like: *x, axis: 1, channels: s, suffix: "inner" };
                    let thin = front.add(graph, pass, layer, *node);
                    let front = Front { op: "Conv", attrs, operands: [thin, middle], like: node.out(0), axis: 1, channels: r, suffix: "core" };
                    let h = front.add(graph, pass, layer, *node);
                    point_wise(graph, *node, h, last);
                }
            }
        }
        graph.detach_if_dead(layer.weight.node);
        Ok(())
    }
}

/// A new node in front of a reader.
struct Front<'a> {
    op: &'a str,
    attrs: Attrs,
    operands: [ValueId; 2],
    /// The value whose type the result has, but for the dim `axis`, which is `channels`.
    like: ValueId,
    axis: usize,
    channels: usize,
    suffix: &'a str,
}

impl Front<'_> {
    fn add(self, graph: &mut Graph, pass: &str, layer: &Layer, node: NodeId) -> ValueId {
        let reader = graph.node(node);
        let (label, position) = (reader.label().to_string(), reader.position);
        let mut ty = graph.ty(self.like).clone();
        if let Type::Tensor(t) = &mut ty
            && let Shape::Ranked(dims) = &mut t.shape
            && let Some(d) = dims.get_mut(self.axis)
        {
            *d = Dim::from(self.channels);
        }
        let name = graph.fresh_name(&format!("{}_{}", graph.value(node.out(0)).name, self.suffix));
        let spec = NodeSpec::new(newest_op(self.op), self.operands, vec![Value { name, ty }]).attrs(self.attrs);
        let spec = spec.name(format!("{label}_{}", self.suffix));
        let from = origin(pass, [layer.name.as_str().into()]);
        graph.add(NodeSpec { position: Some(position), origin: from, ..spec }).out(0)
    }
}

/// Makes a convolution a 1×1 over another input.
fn point_wise(graph: &mut Graph, node: NodeId, x: ValueId, w: ValueId) {
    graph.set_input(node, 0, Some(x));
    graph.set_input(node, 1, Some(w));
    let attrs = &mut graph.node_mut(node).attrs;
    for name in ["kernel_shape", "strides", "pads", "dilations", "auto_pad"] {
        attrs.remove(name);
    }
}

fn by_rows(m: &Mat<f64>) -> Vec<f64> {
    (0..m.nrows()).flat_map(|r| (0..m.ncols()).map(move |c| m[(r, c)])).collect()
}

fn by_columns(m: &Mat<f64>) -> Vec<f64> {
    (0..m.ncols()).flat_map(|c| (0..m.nrows()).map(move |r| m[(r, c)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squared(m: &Mat<f64>) -> f64 {
        (0..m.ncols()).flat_map(|j| m.col(j).iter().map(|v| v * v).collect::<Vec<_>>()).sum()
    }

    #[test]
    fn what_is_lost_on_the_inputs_is_the_sum_of_the_squares_left_out() {
        let x = Mat::from_fn(50, 6, |i, j| ((i * 17 + j * 29) % 23) as f64 / 7.0 - 1.5);
        let w = Mat::from_fn(5, 6, |i, j| ((i * 31 + j * 11) % 13) as f64 - 6.0);
        let gram = x.transpose() * &x;
        let seen = Inputs { gram: vec![gram.clone()], ..Inputs::default() };
        let Some(Factors::Pair { left, right }) = of_results(w.as_ref(), &seen, &Target::Rank(3)) else { panic!("no factors") };
        let lost = squared(&((&w - &left * &right) * x.transpose()));
        let s = cholesky(gram.as_ref()).unwrap();
        let all = svd((&w * &s).as_ref()).unwrap().1;
        let wanted: f64 = all[3..].iter().map(|s| s * s).sum();
        assert!((lost - wanted).abs() <= 1e-3 * wanted, "{lost} and {wanted}");
    }

    #[test]
    fn factors_for_the_inputs_are_those_of_the_paper() {
        let golden = crate::common::golden::Golden::read();
        let mut gram = golden.symmetric("gptq.gram", 160);
        gram[(5, 5)] = 1.0;
        let w = golden.matrix("gptq.w", 8);
        let w = Mat::from_fn(8, 160, |r, c| if c == 5 { 0.0 } else { w[(r, c)] });
        let seen = Inputs { gram: vec![gram], ..Inputs::default() };
        let Some(Factors::Pair { left, right }) = of_results(w.as_ref(), &seen, &Target::Rank(3)) else { panic!("no factors") };
        let (ours, theirs) = (&left * &right, golden.matrix("svd-llm", 8));
        assert!(squared(&(&ours - &theirs)) <= 1e-12 * squared(&theirs));
    }

    #[test]
    fn all_singular_values_give_the_matrix_back() {
        let w = Mat::from_fn(5, 7, |i, j| ((i * 31 + j * 11) % 13) as f64 - 6.0);
        let Some(Factors::Pair { left, right }) = split(w.as_ref(), &Target::Energy(1.0)) else { panic!("no factors") };
        assert!(squared(&(&left * &right - &w)) < 1e-18);
    }
}
