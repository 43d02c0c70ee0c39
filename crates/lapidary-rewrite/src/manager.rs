use crate::compare;
use crate::cost::{self, Sizes};
use crate::inputs::nudged;
use crate::ledger::{Entry, ErrorStats, Ledger};
use crate::pass::{Effect, Pass, PassCtx, SideFile};
use crate::pipeline::{self, Call, Pipeline, Step};
use crate::selector::Selector;
use crate::{DataSource, Executor, Limits, Miss, Options, crash, memory, random_inputs};
use lapidary_ir::{Attr, Diagnostic, Graph, Result, Severity};
use lapidary_ops::{Datum, infer_types};
use std::path::PathBuf;
use std::time::Instant;

/// What the passes may ask for.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    pub passes: &'a [&'static Pass],
    pub executor: &'a dyn Executor,
    pub data: &'a dyn DataSource,
}

/// How to run a pipeline.
pub struct RunOptions {
    /// The version of ONNX's default operator set in which the result will be written.
    pub target_opset: u32,
    /// Whether results are computed after every pass.
    pub check: Check,
    /// Batches to compute results on; empty: one random batch from `seed`.
    pub inputs: Vec<Vec<Datum>>,
    pub seed: u64,
    /// For multiply-adds and random inputs.
    pub sizes: Sizes,
    /// Writes the graph's text after each pass into this folder.
    pub dump_each: Option<PathBuf>,
    /// Stops after this many runs of passes.
    pub stop_after: Option<usize>,
    /// Records near misses of this rule too.
    pub why: Option<String>,
    /// Where crash reproducers go.
    pub crash_dir: PathBuf,
    pub limits: Limits,
    /// Called before each pass, for progress: its text, and how many ran before.
    pub progress: Option<Box<dyn Fn(&str, usize)>>,
}

/// What is computed besides the passes themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    #[default]
    Off,
    /// The error against the model before, for the ledger.
    Measure,
    /// That, and each pass's result against what its effect promises.
    Verify,
}

impl RunOptions {
    pub fn new(target_opset: u32) -> RunOptions {
        RunOptions {
            target_opset,
            check: Check::Off,
            inputs: vec![],
            seed: 0,
            sizes: Sizes::new(),
            dump_each: None,
            stop_after: None,
            why: None,
            crash_dir: ".".into(),
            limits: Limits::default(),
            progress: None,
        }
    }
}

/// What came of a run besides the changed graph.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    pub ledger: Ledger,
    /// The opset to write: the target, or higher where a pass needed it.
    pub opset: u32,
    /// Promises that `--check` found broken.
    pub failures: Vec<CheckFailure>,
    /// Under `Check::Verify`: what the final graph gives, for whoever writes it.
    #[serde(skip)]
    pub verdict: Option<Verdict>,
    /// What passes made besides the graph.
    #[serde(skip)]
    pub files: Vec<SideFile>,
    /// Whether `stop_after` ended the run before its end.
    pub stopped: bool,
}

/// Batches of inputs, and what the final graph gives for them.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub inputs: Vec<Vec<Datum>>,
    pub outputs: Vec<Vec<Datum>>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct CheckFailure {
    pub pass: String,
    pub effect: Effect,
    pub output: String,
    pub what: String,
}

/// Runs a pipeline. On an error the graph is as it was before the pass that failed.
pub fn run(graph: &mut Graph, pipeline: &Pipeline, env: &Environment<'_>, options: &RunOptions) -> Result<Report> {
    pipeline::resolve(pipeline, env.passes, "")?;
    let mut ctx = PassCtx::new(env.executor, env.data, options.target_opset);
    ctx.limits = options.limits.clone();
    ctx.why = options.why.clone();
    if let Some(rule) = &options.why {
        let all: Vec<&str> = env.passes.iter().flat_map(|p| p.rules).map(|r| r.name).collect();
        if !all.contains(&rule.as_str()) && !env.passes.iter().any(|p| p.name == rule) {
            let d = Diagnostic::error("unknown-rule", format!("there is no rule '{rule}'"));
            let names = all.into_iter().chain(env.passes.iter().map(|p| p.name));
            return Err(match lapidary_ir::nearest(rule, names) {
                Some(near) => d.help(format!("did you mean '{near}'?")),
                None => d.help("`lapidary passes NAME` lists the rules of a pass"),
            }
            .into());
        }
    }
    infer_types(graph)?;
    if !pipeline.0.is_empty() {
        crate::lift::lift(graph)?;
        infer_types(graph)?;
    }
    let mut manager = Manager { env, options, ctx, report: Report::default(), ran: 0, results: None };
    manager.report.ledger.pipeline = pipeline.to_string();
    if options.check != Check::Off {
        manager.results = manager.first_results(graph)?;
    }
    let mut rest: Vec<Work> = vec![];
    push_steps(&mut rest, pipeline, &[], 0);
    manager.execute(graph, rest)?;
    let Manager { ctx, mut report, results, .. } = manager;
    if options.check == Check::Verify {
        report.verdict = results.map(|r| Verdict { inputs: r.inputs, outputs: r.now });
    }
    report.opset = ctx.target_opset;
    report.files = ctx.files;
    report.ledger.notes = ctx.raised.into_iter().chain(ctx.notes).collect();
    let mut misses: Vec<Miss> = ctx.misses;
    if let Some(why) = &options.why {
        let of_pass: Vec<&str> = env.passes.iter().filter(|p| p.name == why).flat_map(|p| p.rules).map(|r| r.name).collect();
        misses.retain(|m| m.rule == *why || of_pass.contains(&m.rule.as_str()));
    }
    report.ledger.misses = misses;
    Ok(report)
}

/// What is left to do, the next at the end: a stack, so that what remains can be printed into a reproducer at any time.
#[derive(Clone)]
enum Work {
    Pass(Call, Vec<Selector>, u32),
    /// Begins another round of a body unless the rounds are used up or nothing changed in the last.
    Round {
        body: Pipeline,
        selectors: Vec<Selector>,
        round: u32,
        limit: Option<u32>,
        changes_before: usize,
    },
}

fn push_steps(stack: &mut Vec<Work>, pipeline: &Pipeline, selectors: &[Selector], round: u32) {
    for step in pipeline.0.iter().rev() {
        match step {
            Step::Pass(call) => stack.push(Work::Pass(call.clone(), selectors.to_vec(), round)),
            Step::Repeat { body, limit } => {
                stack.push(Work::Round { body: body.clone(), selectors: selectors.to_vec(), round: 0, limit: *limit, changes_before: usize::MAX })
            }
            Step::On { selector, body } => {
                let mut inner = selectors.to_vec();
                inner.push(selector.clone());
                push_steps(stack, body, &inner, round);
            }
        }
    }
}

/// What is left, as a pipeline.
fn remaining(stack: &[Work]) -> Pipeline {
    let wrap =
        |body: Pipeline, selectors: &[Selector]| selectors.iter().rev().fold(body, |body, s| Pipeline(vec![Step::On { selector: s.clone(), body }]));
    let steps = stack.iter().rev().flat_map(|w| match w {
        Work::Pass(call, selectors, _) => wrap(Pipeline(vec![Step::Pass(call.clone())]), selectors).0,
        Work::Round { body, selectors, limit, .. } => wrap(Pipeline(vec![Step::Repeat { body: body.clone(), limit: *limit }]), selectors).0,
    });
    Pipeline(steps.collect())
}

/// The inputs in the float types that the graph takes by now: a pass may have changed those.
fn fitting(graph: &Graph, inputs: &[Datum]) -> Result<Vec<Datum>> {
    let fit = |(v, d): (&lapidary_ir::ValueId, &Datum)| match d.as_tensor() {
        Some(t) if t.dtype().is_float() && graph.dtype(*v).is_float() && t.dtype() != graph.dtype(*v) => {
            let values = t.to_f64().unwrap_or_default();
            Ok(lapidary_ir::Tensor::from_f64(graph.dtype(*v), t.sizes(), &values)?.into())
        }
        _ => Ok(d.clone()),
    };
    graph.inputs().iter().zip(inputs).map(fit).collect()
}

/// Results of the model before the first pass and of the graph as it is now, and the inputs that they are of.
struct Results {
    inputs: Vec<Vec<Datum>>,
    names: Vec<String>,
    original: Vec<Vec<Datum>>,
    now: Vec<Vec<Datum>>,
}

struct Manager<'a> {
    env: &'a Environment<'a>,
    options: &'a RunOptions,
    ctx: PassCtx<'a>,
    report: Report,
    /// Runs of passes so far.
    ran: usize,
    results: Option<Results>,
}

impl Manager<'_> {
    fn first_results(&mut self, graph: &Graph) -> Result<Option<Results>> {
        let given = !self.options.inputs.is_empty();
        let attempt = (|| {
            let inputs = if given { self.options.inputs.clone() } else { vec![random_inputs(graph, &self.options.sizes, self.options.seed)?] };
            let original = self.evaluate(graph, &inputs)?;
            Ok::<_, lapidary_ir::Diagnostics>((inputs, original))
        })();
        match attempt {
            Ok((inputs, original)) => {
                let names = graph.outputs().iter().map(|o| graph.value(*o).name.to_string()).collect();
                let what = if given { format!("{} given batches", inputs.len()) } else { format!("random inputs, seed {}", self.options.seed) };
                self.report.ledger.measured_with = format!("{}, {what}", self.env.executor.name());
                Ok(Some(Results { inputs, names, now: original.clone(), original }))
            }
            // Asked for a verdict, none can be given: an error. A column of the ledger may stay empty, with the reason.
            Err(e) if self.options.check == Check::Verify || given => Err(e),
            Err(e) => {
                for d in e.0 {
                    self.ctx.note(Diagnostic { message: format!("errors are not measured: {}", d.message), ..d });
                }
                Ok(None)
            }
        }
    }
    fn evaluate(&self, graph: &Graph, inputs: &[Vec<Datum>]) -> Result<Vec<Vec<Datum>>> {
        let mut runner = self.env.executor.load(graph, &[])?;
        inputs.iter().map(|i| runner.run(fitting(graph, i)?, &mut |_, _| {})).collect()
    }
    fn changes(&self) -> usize {
        self.report.ledger.entries.iter().filter(|e| e.changed).count()
    }
    fn execute(&mut self, graph: &mut Graph, mut stack: Vec<Work>) -> Result<()> {
        while let Some(work) = stack.pop() {
            if self.options.stop_after.is_some_and(|n| self.ran >= n) {
                self.report.stopped = true;
                return Ok(());
            }
            match work {
                Work::Round { body, selectors, round, limit, changes_before } => {
                    let rounds = limit.unwrap_or(self.options.limits.rounds as u32);
                    if round > 0 && self.changes() == changes_before {
                        continue;
                    }
                    if round >= rounds {
                        if limit.is_none() {
                            let message = format!("repeat({body}) still changed something in round {rounds}");
                            self.ctx.note(Diagnostic::error("not-settled", message).help("give it a limit: repeat{limit=N}(…)"));
                        }
                        continue;
                    }
                    let changes_before = self.changes();
                    stack.push(Work::Round { body: body.clone(), selectors: selectors.clone(), round: round + 1, limit, changes_before });
                    push_steps(&mut stack, &body, &selectors, round + 1);
                }
                Work::Pass(call, selectors, round) => {
                    let mut left = stack.clone();
                    left.push(Work::Pass(call.clone(), selectors.clone(), round));
                    self.one_pass(graph, call, selectors, round, &|| remaining(&left).to_string())?;
                }
            }
        }
        Ok(())
    }
    fn one_pass(&mut self, graph: &mut Graph, call: Call, selectors: Vec<Selector>, round: u32, left: &dyn Fn() -> String) -> Result<()> {
        let Some(pass) = self.env.passes.iter().find(|p| p.name == call.name) else {
            return Err(Diagnostic::error("unknown-pass", format!("there is no pass '{}'", call.name)).into());
        };
        let text = selectors.iter().rev().fold(call.to_string(), |t, s| format!("on({s})({t})"));
        if let Some(progress) = &self.options.progress {
            progress(&text, self.ran);
        }
        if let Some(s) = selectors.iter().find(|s| !selects_any(graph, s)) {
            return Err(Diagnostic::error("empty-selection", format!("on({s}) selects no node"))
                .help("names of nodes are shown by `lapidary inspect` and `--emit graph`; globs match the whole name")
                .into());
        }
        let (nodes_before, bytes_before, macs_before) = self.figures(graph);
        let before = graph.clone();
        self.ctx.options = Options::resolve(pass.name, pass.options, &call.options).map_err(|(_, m)| Diagnostic::error("pass-option", m))?;
        self.ctx.selection = selectors;
        memory::reset_peak();
        let start = Instant::now();
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pass.apply(graph, &mut self.ctx)));
        let time_ms = start.elapsed().as_secs_f64() * 1e3;
        let peak_memory_bytes = memory::peak_bytes();
        let broken = |graph: &mut Graph, what: &str| {
            *graph = before.clone();
            crash::reproducer(&before, &self.options.crash_dir, pass.name, &left(), self.options.target_opset, what)
        };
        let outcome = match attempt {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(diagnostics)) => {
                *graph = before;
                return Err(diagnostics);
            }
            Err(panic) => {
                let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
                return Err(broken(graph, &what.unwrap_or_else(|| "it panicked".into())).into());
            }
        };
        if outcome.changed {
            graph.sweep();
            let found =
                graph.verify().into_iter().filter(|d| d.severity == Severity::Error).chain(infer_types(graph).err().into_iter().flat_map(|e| e.0));
            let found: Vec<String> = found.take(4).map(|d| d.to_string()).collect();
            if !found.is_empty() {
                return Err(broken(graph, &format!("it left an invalid graph: {}", found.join("; "))).into());
            }
        }
        self.ran += 1;
        let error = if self.results.is_some() { self.measure(graph, pass, &text, outcome.changed)? } else { None };
        let (nodes_after, bytes_after, macs_after) = self.figures(graph);
        self.report.ledger.entries.push(Entry {
            pass: text,
            round,
            effect: pass.effect,
            changed: outcome.changed,
            nodes_before,
            nodes_after,
            touched: outcome.touched,
            bytes_before,
            bytes_after,
            multiply_adds_before: cost::evaluate(&macs_before, &self.options.sizes),
            multiply_adds_after: cost::evaluate(&macs_after, &self.options.sizes),
            multiply_adds_symbolic: macs_after.to_string(),
            time_ms,
            peak_memory_bytes,
            error,
        });
        if let Some(dir) = &self.options.dump_each {
            let header = format!("// after pass {}: {}\n", self.ran, self.report.ledger.entries.last().map_or("", |e| &e.pass));
            crash::dump(graph, dir, &format!("{:03}-{}", self.ran, pass.name), &header)?;
        }
        Ok(())
    }
    fn figures(&self, graph: &Graph) -> (usize, u64, lapidary_ir::Dim) {
        (cost::node_count(graph), cost::graph_bytes(graph), cost::graph_multiply_adds(graph))
    }
    /// How much each output of each batch changes, as a part of its largest value, when inputs and constants move by one unit in the last place.
    fn noise(&self, graph: &Graph, inputs: &[Vec<Datum>], results: &[Vec<Datum>]) -> Result<Vec<Vec<f64>>> {
        let mut worst: Vec<Vec<f64>> = results.iter().map(|r| vec![0.0; r.len()]).collect();
        for seed in 0..NUDGES {
            let moved: Result<Vec<Vec<Datum>>> = inputs.iter().map(|i| i.iter().map(|d| nudged(d, seed)).collect()).collect();
            let mut other = graph.clone();
            nudge_constants(&mut other, seed)?;
            for ((worst, a), b) in worst.iter_mut().zip(results).zip(self.evaluate(&other, &moved?)?) {
                for ((worst, a), b) in worst.iter_mut().zip(a).zip(&b) {
                    if let (Some(a), Some(b)) = (a.as_tensor(), b.as_tensor()) {
                        *worst = worst.max(lapidary_ir::compare(b, a, lapidary_ir::Tolerance::Exact).max_rel);
                    }
                }
            }
        }
        Ok(worst)
    }
    /// Notes where the results `now` break what the pass promises. A promise of rounding is held to twice the model's own noise, where that is
    /// more.
    fn hold_to_promise(&mut self, graph: &Graph, pass: &Pass, text: &str, r: &Results, now: &[Vec<Datum>]) -> Result<()> {
        let mut noise: Option<Vec<Vec<f64>>> = None;
        for (i, (before, after)) in r.now.iter().zip(now).enumerate() {
            for (o, ((name, a), b)) in r.names.iter().zip(before).zip(after).enumerate() {
                let Err(what) = compare::check(pass.effect, 0.0, a, b) else { continue };
                if pass.effect == Effect::Rounding && noise.is_none() {
                    noise = Some(self.noise(graph, &r.inputs, now)?);
                }
                let own = noise.as_ref().and_then(|n| n.get(i)?.get(o)).copied().unwrap_or(0.0);
                if compare::check(pass.effect, 2.0 * own, a, b).is_ok() {
                    let message =
                        format!("one unit in the last place of inputs and constants changes output '{name}' by {own:.1e} of its largest value");
                    let note = format!("what pass '{text}' changes is no more than twice that: {what}");
                    self.ctx.note(Diagnostic::error("ill-conditioned", message).note(note));
                    continue;
                }
                let what = if r.now.len() > 1 { format!("batch {i}: {what}") } else { what };
                self.report.failures.push(CheckFailure { pass: text.into(), effect: pass.effect, output: name.clone(), what });
            }
        }
        Ok(())
    }
    /// Computes the results of the changed graph, compares them with what the effect promises and with the first.
    fn measure(&mut self, graph: &Graph, pass: &Pass, text: &str, changed: bool) -> Result<Option<ErrorStats>> {
        let Some(mut r) = self.results.take() else { return Ok(None) };
        if changed {
            let now = self.evaluate(graph, &r.inputs)?;
            if self.options.check == Check::Verify {
                self.hold_to_promise(graph, pass, text, &r, &now)?;
            }
            r.now = now;
        }
        let stats = compare::errors(&r.names, &r.original, &r.now);
        self.results = Some(r);
        Ok(Some(stats))
    }
}

/// Moves every constant as [`nudged`] does.
fn nudge_constants(graph: &mut Graph, seed: u64) -> Result<()> {
    let constants: Vec<_> = graph.node_ids().filter(|n| graph.node(*n).is_const()).collect();
    for id in constants {
        let value = id.out(0);
        let Some(t) = graph.as_constant(value).cloned() else { continue };
        if let Datum::Tensor(moved) = nudged(&Datum::Tensor(t.as_ref().clone()), seed)? {
            graph.node_mut(id).attrs.set("value", Attr::Tensor(moved.into()));
        }
    }
    Ok(())
}

/// Nudges of inputs and constants that a model's own noise is measured with.
const NUDGES: u64 = 4;

fn selects_any(graph: &Graph, selector: &Selector) -> bool {
    graph.node_ids().any(|n| {
        let node = graph.node(n);
        let own = !node.is_input() && !node.is_const() && selector.matches(node);
        own || node.regions.iter().any(|r| selects_any(&r.graph, selector))
    })
}
