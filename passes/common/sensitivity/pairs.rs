//! Two graphs that should compute the same: which of their values correspond, where they part, and which of the differences arise where,
//! rather than being handed on.

use super::rig::{Handle, Loaded, Settings, Values, cut};
use super::{Batches, Noise, PARTS};
use crate::common::modules;
use lapidary_ir::{Attrs, Diagnostic, Graph, Node, NodeId, Result, Tensor, Tolerance, Type, ValueId, compare};
use lapidary_ops::Datum;
use lapidary_rewrite::{Executor, Metric, Runner, Samples, Sums, newest_op};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How far a value is from its counterpart.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Deviation {
    pub equal: bool,
    /// Why the two cannot be compared, if so.
    pub problem: Option<String>,
    pub max_abs: f64,
    pub max_rel: f64,
    /// Absent where nothing differs, or where types do.
    pub sqnr_db: Option<f64>,
    #[serde(skip)]
    noise: Noise,
    #[serde(skip)]
    seen: bool,
}

impl Deviation {
    fn add(&mut self, got: &Datum, want: &Datum, tolerance: Tolerance) {
        let (Datum::Tensor(got), Datum::Tensor(want)) = (got, want) else { return };
        let c = compare(got, want, tolerance);
        self.equal = c.passed && (self.equal || !self.seen);
        self.seen = true;
        self.max_abs = self.max_abs.max(c.max_abs);
        self.max_rel = self.max_rel.max(c.max_rel);
        if c.problem.is_some() {
            self.problem = c.problem;
        } else {
            self.noise.add(want, got);
            self.sqnr_db = self.noise.db();
        }
    }
}

/// A value of the second graph beside its counterpart in the first.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// In the first graph, and in the second.
    pub reference: String,
    pub name: String,
    /// The node that makes it in the first graph, its operator, its module.
    pub node: String,
    pub reference_op: String,
    pub module: Option<String>,
    /// The operator that makes it in the second graph.
    pub op: String,
    pub is_output: bool,
    /// Both graphs from their inputs on.
    #[serde(flatten)]
    pub total: Deviation,
    /// The second graph fed with the first one's values for everything that corresponds: what is lost between those and this one.
    pub own: Deviation,
    /// The worst rounding of a value that the node reads: what is lost where the second graph stores it as codes. Elements of 10⁹ and more are
    /// masks, and do not count.
    pub reads: Option<Read>,
    /// What that does to the outputs of the first graph, everything else as it is there; where it was measured.
    pub effect: Option<PairEffect>,
}

/// A value that is stored as codes.
#[derive(Clone, Debug, Serialize)]
pub struct Read {
    /// In the first graph.
    pub name: String,
    pub sqnr_db: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct PairEffect {
    pub output_db: Option<f64>,
    pub outputs_db: Vec<Option<f64>>,
    pub max_rel: f64,
    pub metric: Option<f64>,
    pub loss: f64,
}

/// What [`explain`] found.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    pub metric: Metric,
    /// Of the first graph and of the second, where the metric has a figure.
    pub start: Option<f64>,
    pub end: Option<f64>,
    /// Of the outputs of the second graph against those of the first.
    pub output_db: Option<f64>,
    pub samples: u64,
    /// In the second graph's order.
    pub pairs: Vec<Pair>,
}

/// How to compare.
pub struct Comparison<'a> {
    pub executor: &'a dyn Executor,
    /// Opens the samples: inputs in the first graph's order, then classes where the metric has a key.
    pub open: &'a dyn Fn() -> Result<Box<dyn Samples + 'a>>,
    pub samples: usize,
    pub tolerance: Tolerance,
    pub metric: Metric,
    /// For how many values the effect on the outputs is measured: those that lose most by themselves.
    pub effects: usize,
}

/// Corresponding values.
#[derive(Clone, Copy)]
struct Match {
    a: ValueId,
    /// What is compared.
    b: ValueId,
    /// The codes behind it, with scale and zero point, where the second graph hands on codes.
    codes: Option<(ValueId, ValueId, Option<ValueId>)>,
}

/// Operators that give codes, and where the scale of their result stands; the zero point is behind it.
const CODES: [(&str, usize); 11] = [
    ("QLinearConv", 6),
    ("QLinearMatMul", 6),
    ("QGemm", 7),
    ("QLinearAdd", 6),
    ("QLinearMul", 6),
    ("QLinearSigmoid", 3),
    ("QLinearLeakyRelu", 3),
    ("QLinearSoftmax", 3),
    ("QLinearGlobalAveragePool", 3),
    ("QLinearAveragePool", 3),
    ("QuantizeLinear", 1),
];

/// Pairs of values of one name; where quantizers renamed them, of the names that those give; else of nodes with the same name, or the same
/// place among the operators of a module. `b` may get nodes that decode what it hands on as codes.
fn matches(a: &Graph, b: &mut Graph) -> Vec<Match> {
    let mut names: BTreeMap<String, ValueId> = BTreeMap::new();
    for id in b.operators() {
        names.extend((0..b.node(id).outputs().len()).map(|o| (b.value(id.out(o)).name.to_string(), id.out(o))));
    }
    let by_node = unique(b, |n| Some(n.name.to_string()).filter(|t| !t.is_empty()));
    let by_place = places(b);
    let own_places = places(a);
    let place_of: BTreeMap<NodeId, &String> = own_places.iter().map(|(k, n)| (*n, k)).collect();
    let mut taken = BTreeSet::new();
    let mut out = vec![];
    for id in a.operators() {
        for o in 0..a.node(id).outputs().len() {
            let v = id.out(o);
            if a.as_constant(v).is_some() || a.ty(v).as_tensor().is_none() {
                continue;
            }
            let name = &a.value(v).name;
            let of_node = |n: &NodeId| {
                Some(n.out(o)).filter(|v| b.node(*n).op.name == a.node(id).op.name && b.node(*n).outputs().get(v.output as usize).is_some())
            };
            let found = names
                .get(&**name)
                .or_else(|| names.get(&format!("{name}_QuantizeLinear_Input")))
                .copied()
                .or_else(|| names.get(&format!("{name}_quantized")).copied())
                .or_else(|| by_node.get(&*a.node(id).name).and_then(of_node))
                .or_else(|| place_of.get(&id).and_then(|k| by_place.get(*k)).and_then(of_node));
            let Some(found) = found.filter(|v| b.as_constant(*v).is_none() && taken.insert(*v)) else { continue };
            let float = a.dtype(v).is_float();
            let m = if float && b.dtype(found).is_int() { decoded(b, v, found) } else { Some(Match { a: v, b: found, codes: None }) };
            out.extend(m);
        }
    }
    let order: BTreeMap<NodeId, usize> = b.operators().into_iter().enumerate().map(|(i, n)| (n, i)).collect();
    out.sort_by_key(|m| (order.get(&m.codes.map_or(m.b, |c| c.0).node).copied(), m.b.output));
    out
}

/// Nodes by a text that only one has.
fn unique(g: &Graph, key: impl Fn(&Node) -> Option<String>) -> BTreeMap<String, NodeId> {
    let mut all: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for id in g.operators() {
        if let Some(k) = key(g.node(id)) {
            all.entry(k).or_default().push(id);
        }
    }
    all.into_iter().filter(|(_, n)| n.len() == 1).filter_map(|(k, n)| Some((k, *n.first()?))).collect()
}

/// Nodes by what the exporter says of their place, and the operator.
fn places(g: &Graph) -> BTreeMap<String, NodeId> {
    unique(g, |n| {
        let scope = n.metadata.get("pkg.torch.onnx.name_scopes").or_else(|| n.metadata.get("namespace"))?;
        Some(format!("{scope} {}", n.op.name))
    })
}

/// A value that the second graph keeps as codes.
fn decoded(b: &mut Graph, a: ValueId, codes: ValueId) -> Option<Match> {
    let node = b.producer(codes);
    let at = CODES.iter().find(|(n, _)| **n == *node.op.name)?.1;
    let (scale, zero) = (node.input(at)?, node.input(at + 1));
    let mut ty = b.ty(codes).as_tensor()?.clone();
    ty.dtype = b.dtype(scale);
    let hint = format!("{}.decoded", b.value(codes).name);
    let operands: Vec<ValueId> = [codes, scale].into_iter().chain(zero).collect();
    let value = b.add_op(newest_op("DequantizeLinear"), operands, Attrs::new(), &hint, ty);
    Some(Match { a, b: value, codes: Some((codes, scale, zero)) })
}

/// The second graph with an input in the place of every matched value; in the order of the matches. Beside, for each match, what its readers
/// see where the value is stored as codes.
fn fed(b: &Graph, matches: &[Match]) -> (Graph, Vec<Option<ValueId>>) {
    let (mut g, mut stored) = (b.clone(), vec![]);
    for m in matches {
        let hint = format!("{}.fed", g.value(m.b).name);
        let name = g.fresh_name(&hint);
        let input = g.add_input(name, g.ty(m.b).clone());
        let (old, new) = match m.codes {
            None => (m.b, input),
            Some((codes, scale, zero)) => {
                let Type::Tensor(ty) = g.ty(codes).clone() else { continue };
                let operands: Vec<ValueId> = [input, scale].into_iter().chain(zero).collect();
                let new = g.add_op(newest_op("QuantizeLinear"), operands, Attrs::new(), &hint, ty);
                let Type::Tensor(ty) = g.ty(m.b).clone() else { continue };
                let operands: Vec<ValueId> = [new, scale].into_iter().chain(zero).collect();
                stored.push(Some(g.add_op(newest_op("DequantizeLinear"), operands, Attrs::new(), &hint, ty)));
                (codes, new)
            }
        };
        for (node, slot) in g.uses(old) {
            if node != new.node && node != m.b.node {
                g.set_input(node, slot, Some(new));
            }
        }
        if m.codes.is_none() {
            let through = |v: ValueId, op: &str| g.uses(v).into_iter().find(|(n, slot)| *slot == 0 && g.node(*n).is(op)).map(|(n, _)| n.out(0));
            stored.push(through(new, "QuantizeLinear").and_then(|q| through(q, "DequantizeLinear")));
        }
    }
    (g, stored)
}

/// The first graph with a switch behind each chosen value: on, what is fed is read in its place.
fn switched(a: &Graph, chosen: &[ValueId]) -> (Graph, Settings) {
    let (mut g, mut handles, mut values) = (a.clone(), vec![], vec![]);
    for v in chosen {
        let Some(ty) = g.ty(*v).as_tensor().cloned() else { continue };
        let name = g.value(*v).name.to_string();
        let on_name = g.fresh_name(&format!("{name}.on"));
        let on = g.add_input(on_name, Tensor::scalar(false).ty());
        let fed_name = g.fresh_name(&format!("{name}.fed"));
        let fed = g.add_input(fed_name, ty.clone());
        let out = g.add_op(newest_op("Where"), [on, fed, *v], Attrs::new(), &format!("{name}.chosen"), ty);
        g.node_mut(out.node).position = g.producer(*v).position;
        g.replace_uses(*v, out);
        g.set_input(out.node, 2, Some(*v));
        handles.push(Handle { weight: values.len(), rounding: None, inputs: vec![on, fed] });
        values.extend([Datum::from(Tensor::scalar(false)), Datum::from(Tensor::scalar(false))]);
    }
    (g, Settings { handles, values })
}

/// A tensor in the element type of another graph's value.
fn converted(d: &Datum, g: &Graph, v: ValueId) -> Result<Datum> {
    let (Some(t), to) = (d.as_tensor(), g.dtype(v)) else { return Ok(d.clone()) };
    if t.dtype() == to || !(to.is_float() && t.dtype().is_float()) {
        return Ok(d.clone());
    }
    Ok(Tensor::from_f64(to, t.sizes(), &t.to_f64().unwrap_or_default())?.into())
}

/// Compares `b` with `a` value by value.
///
/// # Errors
/// Inputs that do not correspond; data that do not fit; operators that nothing can run.
pub fn explain(a: &Graph, b: &Graph, with: &Comparison<'_>, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<Explained> {
    progress("making the models ready", 0, 0);
    let order = input_order(a, b)?;
    let mut b = b.clone();
    let all = matches(a, &mut b);
    let (second, stored) = fed(&b, &all);
    let (taps_a, taps_b): (Vec<ValueId>, Vec<ValueId>) = (all.iter().map(|m| m.a).collect(), all.iter().map(|m| m.b).collect());
    let mut first = with.executor.load(a, &taps_a)?;
    let mut whole = with.executor.load(&b, &taps_b)?;
    let taps_alone: Vec<ValueId> = taps_b.iter().copied().chain(stored.iter().flatten().copied()).collect();
    let mut alone = with.executor.load(&second, &taps_alone)?;
    let mut rounding = vec![Noise::default(); all.len()];
    let mut pairs: Vec<Pair> = all.iter().map(|m| pair(a, &b, m)).collect();
    let (mut sums, mut start, mut samples) = (Sums::default(), Sums::default(), 0);
    let mut batches = Batches::new((with.open)()?, a, with.samples);
    while let Some((given, classes)) = batches.next()? {
        samples += batches.last as u64;
        progress(&format!("{samples} samples"), 0, 0);
        let mut want = Values::new();
        let outputs = first.run(given.clone(), &mut |v, d| drop(want.insert(v, d.clone())))?;
        let theirs: Vec<Datum> = order.iter().filter_map(|i| given.get(*i).cloned()).collect();
        let mut got = Values::new();
        let results = whole.run(theirs.clone(), &mut |v, d| drop(got.insert(v, d.clone())))?;
        start.add(&outputs, &outputs, with.metric, classes.as_ref())?;
        sums.add(&outputs, &results, with.metric, classes.as_ref())?;
        let own = run_alone(&mut *alone, &theirs, &all, &want, &b)?;
        for ((m, p), (stored, rounding)) in all.iter().zip(&mut pairs).zip(stored.iter().zip(&mut rounding)) {
            let Some(want) = want.get(&m.a) else { continue };
            if let (Some(want), Some(stored)) = (want.as_tensor(), stored.and_then(|v| own.get(&v)).and_then(|d| d.as_tensor())) {
                rounding.add_unmasked(want, stored);
            }
            if let Some(got) = got.get(&m.b) {
                p.total.add(got, want, with.tolerance);
            }
            if let Some(own) = own.get(&m.b) {
                p.own.add(own, want, with.tolerance);
            }
        }
    }
    let rounded: BTreeMap<ValueId, f64> = all.iter().zip(&rounding).filter_map(|(m, n)| Some((m.a, n.db()?))).collect();
    for (m, p) in all.iter().zip(&mut pairs) {
        let read = a.node(m.a.node).inputs().iter().flatten().filter_map(|v| Some((*v, *rounded.get(v)?)));
        let worst = read.min_by(|x, y| x.1.total_cmp(&y.1));
        p.reads = worst.map(|(v, sqnr_db)| Read { name: a.value(v).name.to_string(), sqnr_db });
    }
    let figure = |s: &Sums| s.metric(with.metric).filter(|_| with.metric.key().is_some());
    let mut out = Explained { metric: with.metric, start: figure(&start), end: sums.metric(with.metric), output_db: sums.sqnr_db(), samples, pairs };
    let mut side = Side { a, b: &b, all: &all, first, alone, order };
    side.effects(with, &mut out, progress)?;
    Ok(out)
}

/// Runs the second graph on the first one's values.
fn run_alone(runner: &mut dyn Runner, inputs: &[Datum], all: &[Match], want: &Values, b: &Graph) -> Result<Values> {
    let mut operands = inputs.to_vec();
    for m in all {
        let Some(d) = want.get(&m.a) else { return Err(Diagnostic::error("no-value", "a value was not computed").into()) };
        operands.push(converted(d, b, m.b)?);
    }
    let mut own = Values::new();
    runner.run(operands, &mut |v, d| drop(own.insert(v, d.clone())))?;
    Ok(own)
}

/// Both graphs, ready to run.
struct Side<'a> {
    a: &'a Graph,
    b: &'a Graph,
    all: &'a [Match],
    first: Box<dyn Runner + 'a>,
    alone: Box<dyn Runner + 'a>,
    order: Vec<usize>,
}

impl Side<'_> {
    /// Measures what the values that lose most by themselves do to the outputs, each alone.
    fn effects(&mut self, with: &Comparison<'_>, out: &mut Explained, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<()> {
        let (a, b, all) = (self.a, self.b, self.all);
        let noisy = |p: &Pair| !p.own.equal && p.own.problem.is_none() && p.own.sqnr_db.is_some();
        let mut chosen: Vec<usize> = (0..all.len()).filter(|i| noisy(&out.pairs[*i]) && a.dtype(all[*i].a).is_float()).collect();
        chosen.sort_by(|i, j| out.pairs[*i].own.sqnr_db.unwrap_or(f64::MAX).total_cmp(&out.pairs[*j].own.sqnr_db.unwrap_or(f64::MAX)));
        chosen.truncate(with.effects);
        chosen.sort();
        if chosen.is_empty() {
            return Ok(());
        }
        progress("making the model ready", 0, 0);
        let values: Vec<ValueId> = chosen.iter().map(|i| all[*i].a).collect();
        let (rig, settings) = switched(a, &values);
        let parts = cut(&rig, &settings, PARTS);
        let mut loaded = Loaded::new(&rig, &parts, with.executor)?;
        let mut sums = vec![Sums::default(); chosen.len()];
        let mut start = Sums::default();
        let mut batches = Batches::new((with.open)()?, a, with.samples);
        while let Some((given, classes)) = batches.next()? {
            let mut want = Values::new();
            self.first.run(given.clone(), &mut |v, d| drop(want.insert(v, d.clone())))?;
            let theirs: Vec<Datum> = self.order.iter().filter_map(|i| given.get(*i).cloned()).collect();
            let own = run_alone(&mut *self.alone, &theirs, all, &want, b)?;
            let mut off = settings.clone();
            for (k, v) in values.iter().enumerate() {
                if let Some(d) = want.get(v) {
                    off.values[2 * k + 1] = d.clone();
                }
            }
            let (outputs, before) = loaded.run(0, &off.after(&given), &Values::new())?;
            start.add(&outputs, &outputs, with.metric, classes.as_ref())?;
            for (k, i) in chosen.iter().enumerate() {
                progress("effects on the outputs", k, chosen.len());
                let Some(d) = own.get(&all[*i].b) else { continue };
                let mut on = off.clone();
                on.values[2 * k] = Tensor::scalar(true).into();
                on.values[2 * k + 1] = converted(d, a, all[*i].a)?;
                let results = loaded.run(parts.of_layer.get(k).copied().unwrap_or(0), &on.after(&given), &before)?.0;
                sums[k].add(&outputs, &results, with.metric, classes.as_ref())?;
            }
        }
        let first = start.metric(with.metric).filter(|_| with.metric.key().is_some());
        for (i, sum) in chosen.iter().zip(&sums) {
            let metric = sum.metric(with.metric);
            let loss = if sum.equal() { 0.0 } else { with.metric.loss(first, metric) };
            out.pairs[*i].effect =
                Some(PairEffect { output_db: sum.sqnr_db(), outputs_db: sum.each_sqnr_db(), max_rel: sum.max_rel(), metric, loss });
        }
        Ok(())
    }
}

fn pair(a: &Graph, b: &Graph, m: &Match) -> Pair {
    let made = m.codes.map_or(m.b, |c| c.0);
    Pair {
        reference: a.value(m.a).name.to_string(),
        name: b.value(made).name.to_string(),
        node: a.producer(m.a).label().to_string(),
        reference_op: a.producer(m.a).op.to_string(),
        module: modules::scopes(a, m.a.node).into_iter().next(),
        op: b.producer(made).op.to_string(),
        is_output: b.is_output(m.b) || a.is_output(m.a),
        total: Deviation::default(),
        own: Deviation::default(),
        reads: None,
        effect: None,
    }
}

/// For each input of `b`, which of `a` it is.
fn input_order(a: &Graph, b: &Graph) -> Result<Vec<usize>> {
    let list = |g: &Graph| g.inputs().iter().map(|v| format!("'{}' {}", g.value(*v).name, g.ty(*v))).collect::<Vec<_>>().join(", ");
    let find = |v: &ValueId| a.inputs().iter().position(|o| a.value(*o).name == b.value(*v).name);
    let all: Option<Vec<usize>> = b.inputs().iter().map(find).collect();
    all.filter(|all| all.len() == a.inputs().len()).ok_or_else(|| {
        let d = Diagnostic::error("inputs-differ", "the two models do not have the same inputs");
        d.note(format!("first: {}", list(a))).note(format!("second: {}", list(b))).into()
    })
}
