//! What flows into layers: statistics of the values that weights are multiplied by, gathered over calibration data in memory that does not
//! grow with the number of samples.

use super::layers::{Form, Layer};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use lapidary_ir::{Diagnostic, Graph, NodeId, Result, Tensor, ValueId};
use lapidary_ops::{EvalCtx, EvalOptions, Window};
use lapidary_rewrite::{Kind, OptionSpec, PassCtx};
use std::collections::{BTreeMap, BTreeSet};

pub const DATA: OptionSpec = OptionSpec::new("data", Kind::Text, None, "the samples: an .npz or .safetensors file, or a folder");
pub const BATCH: OptionSpec = OptionSpec::new("batch", Kind::Int, Some("8"), "samples run at a time");
pub const SEQUENTIAL: OptionSpec = OptionSpec::new(
    "sequential",
    Kind::Bool,
    Some("true"),
    "whether a layer sees what the changed layers before it compute (one run of the data for each depth)",
);

/// Statistics of a layer's input, column by column; for a convolution the columns of its groups one after the other.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Vectors seen: tokens of a MatMul, places of a convolution's window.
    pub count: u64,
    pub sum: Vec<f64>,
    pub sum_abs: Vec<f64>,
    pub max_abs: Vec<f64>,
    pub squares: Vec<f64>,
    /// `Σ x·xᵀ` for each group, where it was asked for.
    pub gram: Vec<Mat<f64>>,
}

impl Inputs {
    fn new(columns: usize, groups: usize, gram: bool) -> Inputs {
        let zero = vec![0.0; columns * groups];
        let gram = if gram { vec![Mat::zeros(columns, columns); groups] } else { vec![] };
        Inputs { count: 0, sum: zero.clone(), sum_abs: zero.clone(), max_abs: zero.clone(), squares: zero, gram }
    }
    /// Adds vectors: `x` is vectors × columns of group `group`.
    fn add(&mut self, group: usize, x: MatRef<'_, f64>) {
        let first = group * x.ncols();
        for c in 0..x.ncols() {
            let (mut sum, mut abs, mut max, mut squares) = (0.0, 0.0, 0f64, 0.0);
            for v in x.col(c).iter() {
                sum += v;
                abs += v.abs();
                max = max.max(v.abs());
                squares += v * v;
            }
            self.sum[first + c] += sum;
            self.sum_abs[first + c] += abs;
            self.max_abs[first + c] = self.max_abs[first + c].max(max);
            self.squares[first + c] += squares;
        }
        if let Some(gram) = self.gram.get_mut(group) {
            matmul(gram.as_mut(), Accum::Add, x.transpose(), x, 1.0, Par::Seq);
        }
        if group == 0 {
            self.count += x.nrows() as u64;
        }
    }
}

/// Runs the model once over the option `data` and gathers the statistics of each layer's input, in the layers' order. Layers that read the
/// same value in the same way share the work, not the result.
///
/// # Errors
/// No data, data that does not fit the model, or values that are not finite.
pub fn observe(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, layers: &[&Layer], gram: bool) -> Result<Vec<Inputs>> {
    let data = ctx.options.required(pass, "data")?.to_string();
    let batch = batch_size(graph, ctx.options.int("batch").unwrap_or(8))?;
    let mut out: Vec<Inputs> = layers.iter().map(|l| Inputs::new(l.columns, l.groups(), gram)).collect();
    // One entry for each distinct way to read a value; the first layer that reads so gathers for all.
    let mut ways: BTreeMap<(ValueId, Option<NodeId>, usize), Vec<usize>> = BTreeMap::new();
    for (i, layer) in layers.iter().enumerate() {
        for (node, input) in &layer.readers {
            let conv = matches!(layer.form, Form::Conv { .. }).then_some(*node);
            ways.entry((*input, conv, layer.columns)).or_default().push(i);
        }
    }
    let taps: BTreeSet<ValueId> = ways.keys().map(|(v, ..)| *v).collect();
    let (source, executor) = (ctx.data, ctx.executor);
    let mut samples = source.open(&data, graph, Some(batch))?;
    let mut runner = executor.load(graph, &taps.iter().copied().collect::<Vec<_>>())?;
    let mut gathered: BTreeMap<&(ValueId, Option<NodeId>, usize), Inputs> = BTreeMap::new();
    let (mut batches, mut failed) = (0, None);
    while let Some(inputs) = samples.next()? {
        batches += 1;
        runner.run(inputs, &mut |value, datum| {
            let Some(t) = datum.as_tensor() else { return };
            for (way, users) in ways.range((value, None, 0)..).take_while(|(w, _)| w.0 == value) {
                let layer = layers[users[0]];
                let into = gathered.entry(way).or_insert_with(|| Inputs::new(layer.columns, layer.groups(), gram));
                let node = way.1.unwrap_or(layer.readers[0].0);
                if let Err(e) = vectors(graph, layer, node, t, &mut |g, x| into.add(g, x)) {
                    failed.get_or_insert(e);
                }
            }
        })?;
        if let Some(e) = failed {
            return Err(e);
        }
    }
    if batches == 0 {
        return Err(Diagnostic::error("no-samples", format!("'{data}' holds no samples")).into());
    }
    for (way, users) in &ways {
        let Some(seen) = gathered.get(way) else { continue };
        if seen.squares.iter().any(|v| !v.is_finite()) {
            let name = &graph.value(way.0).name;
            let d = Diagnostic::error("not-finite", format!("elements of '{name}' are not finite on the calibration data")).value(&**name);
            return Err(d.help("the layers that read it cannot be fitted to such inputs: leave them out with on(…), or mend the data").into());
        }
        users.iter().for_each(|i| merge(&mut out[*i], seen));
    }
    Ok(out)
}

fn merge(into: &mut Inputs, from: &Inputs) {
    into.count += from.count;
    let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    add(&mut into.sum, &from.sum);
    add(&mut into.sum_abs, &from.sum_abs);
    add(&mut into.squares, &from.squares);
    into.max_abs.iter_mut().zip(&from.max_abs).for_each(|(a, b)| *a = a.max(*b));
    into.gram.iter_mut().zip(&from.gram).for_each(|(a, b)| *a += b);
}

/// Calls `f(group, vectors × columns)` with what a layer multiplies its weight by when its input is `t`, a limited number of vectors at a
/// time.
pub fn vectors(graph: &Graph, layer: &Layer, node: NodeId, t: &Tensor, f: &mut dyn FnMut(usize, MatRef<'_, f64>)) -> Result<()> {
    const AT_ONCE: usize = 512;
    let misfit = || Diagnostic::error("shape-conflict", format!("the input of '{}' is {:?}", layer.name, t.sizes())).at(graph.node(node));
    let values = t.to_f64().ok_or_else(misfit)?;
    let Form::Conv { groups } = layer.form else {
        if t.sizes().last() != Some(&layer.columns) {
            return Err(misfit().into());
        }
        for part in values.chunks(AT_ONCE * layer.columns) {
            f(0, MatRef::from_row_major_slice(part, part.len() / layer.columns, layer.columns));
        }
        return Ok(());
    };
    let weight = graph.as_constant(layer.weight).ok_or_else(misfit)?;
    let (image, kernel) = (t.sizes().get(2..).ok_or_else(misfit)?, weight.sizes().get(2..).ok_or_else(misfit)?);
    let (options, operator) = (EvalOptions::default(), graph.node(node));
    let w = Window::of(&EvalCtx::new(operator, &[], &options), &operator.attrs, image, kernel)?;
    let (pixels, channels) = (image.iter().product::<usize>(), weight.sizes()[1]);
    if t.sizes()[1] != channels * groups {
        return Err(misfit().into());
    }
    let mut part: Vec<f64> = Vec::with_capacity(AT_ONCE * layer.columns);
    for g in 0..groups {
        for n in 0..t.sizes()[0] {
            let first = (n * groups + g) * channels;
            for step in 0..w.steps() {
                let at = unravel(step, &w.out);
                for c in 0..channels {
                    let plane = &values[(first + c) * pixels..][..pixels];
                    part.extend((0..w.kernel_elements()).map(|k| w.place(&at, &unravel(k, kernel)).map_or(0.0, |p| plane[p])));
                }
                if part.len() == AT_ONCE * layer.columns {
                    f(g, MatRef::from_row_major_slice(&part, AT_ONCE, layer.columns));
                    part.clear();
                }
            }
        }
        if !part.is_empty() {
            f(g, MatRef::from_row_major_slice(&part, part.len() / layer.columns, layer.columns));
            part.clear();
        }
    }
    Ok(())
}

pub fn unravel(mut i: usize, sizes: &[usize]) -> Vec<usize> {
    let mut out = vec![0; sizes.len()];
    for (at, size) in out.iter_mut().zip(sizes).rev() {
        (*at, i) = (i % size, i / size);
    }
    out
}

/// As many samples as asked for; exactly those that a model with a fixed batch takes.
pub fn batch_size(graph: &Graph, asked: i64) -> Result<usize> {
    let Some(asked) = usize::try_from(asked).ok().filter(|n| *n > 0) else {
        return Err(Diagnostic::error("pass-option", format!("'batch' is {asked}, which is no number of samples")).into());
    };
    let first: Vec<Option<i64>> = graph.inputs().iter().filter_map(|i| graph.ty(*i).dims()?.first().map(|d| d.as_const())).collect();
    // Where one input's first axis is free, those that are fixed count something else than samples.
    let fixed = if first.contains(&None) { None } else { first.first().copied().flatten() };
    Ok(fixed.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(asked))
}

/// The layers by depth: each group's inputs depend only on layers of earlier groups.
pub fn depths(graph: &Graph, layers: &[Layer]) -> Vec<Vec<usize>> {
    let owner: BTreeMap<NodeId, usize> = layers.iter().enumerate().flat_map(|(i, l)| l.readers.iter().map(move |(n, _)| (*n, i))).collect();
    // Layers above each node, counted along the longest way.
    let mut above: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut depth = vec![0; layers.len()];
    for id in graph.operators() {
        let before = graph.node(id).inputs().iter().flatten().filter_map(|v| above.get(&v.node)).max().copied().unwrap_or(0);
        let here = owner.get(&id).map(|i| {
            depth[*i] = depth[*i].max(before);
            before + 1
        });
        above.insert(id, here.unwrap_or(before));
    }
    let mut out = vec![vec![]; depth.iter().max().map_or(0, |d| d + 1)];
    depth.iter().enumerate().for_each(|(i, d)| out[*d].push(i));
    out.retain(|g| !g.is_empty());
    out
}

/// Calls `f` on every layer with the statistics of its input. With the option `sequential`, layers at the same depth are measured together,
/// after all before them were changed; otherwise all are measured at once, on the model as it came.
pub fn each_layer(
    graph: &mut Graph,
    ctx: &mut PassCtx<'_>,
    pass: &str,
    layers: &mut [Layer],
    gram: bool,
    f: &mut dyn FnMut(&mut Graph, &mut PassCtx<'_>, &mut Layer, &Inputs) -> Result<()>,
) -> Result<()> {
    let groups = if ctx.options.flag("sequential") { depths(graph, layers) } else { vec![(0..layers.len()).collect()] };
    for group in groups {
        let seen = observe(graph, ctx, pass, &group.iter().map(|i| &layers[*i]).collect::<Vec<_>>(), gram)?;
        for (i, inputs) in group.into_iter().zip(&seen) {
            f(graph, ctx, &mut layers[i], inputs)?;
        }
    }
    Ok(())
}
