use super::args::{BackendArg, Global, ToleranceArgs, inputs_or_random};
use super::table::{short, table};
use super::{Outcome, Status, progress, say, say_json, supervise};
use clap::Args;
use lapidary::difference::{Explained, Options, Pair, Source, explain};
use lapidary::{Backend, Diagnostic, Tolerance};
use std::collections::BTreeMap;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Example:
  lapidary compare model.onnx model.int8.onnx --inputs x.npz --max-rel 1e-2

Values correspond by name, in B's order; where a quantizer renamed them (ONNX Runtime's QDQ and QOperator models), by the names that it
gives; else by the name of the node, or by what the exporter says of its place in the module.

'SQNR dB' compares both models as they are. 'own dB' feeds B with A's values for everything that corresponds, so that only what is lost
between those and this value counts: the first value whose own error is too large is where B goes wrong, and values behind it only hand
that on; -v shows them too. 'output dB' is what A's outputs would keep if this value alone were computed as in B.";

/// Evaluate two models on the same inputs and show where their values part
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    /// The reference
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The model to look at: optimized, quantized
    #[arg(value_name = "B")]
    b: PathBuf,
    /// The inputs [default: random ones]
    #[arg(long, value_name = "ARRAYS")]
    inputs: Option<PathBuf>,
    /// For how many values the effect on the outputs is computed: those with the largest errors of their own
    #[arg(long, value_name = "N", default_value_t = 5)]
    effects: usize,
    /// What runs the models
    #[arg(long, value_enum, default_value_t = BackendArg::Eval)]
    backend: BackendArg,
    #[command(flatten)]
    tolerance: ToleranceArgs,
}

impl Compare {
    pub fn run(&self, global: &Global) -> Outcome {
        if self.backend == BackendArg::Native
            && let Some(outcome) = supervise::run(&self.a, global)
        {
            return outcome;
        }
        let (a, b) = (global.open(&self.a)?, global.open(&self.b)?);
        let (pa, pb) = (a.inputs(), b.inputs());
        if pa.len() != pb.len() || pa.iter().any(|x| pb.iter().all(|y| x.name != y.name)) {
            let d = Diagnostic::error("inputs-differ", "the two models do not have the same inputs");
            return Err(d.note(format!("first: {}", super::args::describe(&pa))).note(format!("second: {}", super::args::describe(&pb))).into());
        }
        let inputs = inputs_or_random(&a, self.inputs.as_deref(), &BTreeMap::new())?;
        let tolerance: Tolerance = self.tolerance.get();
        let backend = if self.backend == BackendArg::Native { Backend::Native } else { Backend::Eval };
        let busy = progress::spinner(global, "evaluating both");
        let options = Options { tolerance, effects: self.effects, backend, ..Options::default() };
        let found = explain(&a, &b, &Source::Inputs(&inputs), &options, &mut |what, _, _| busy.set_message(what.to_string()))?;
        busy.finish_and_clear();
        let differing = found.pairs.iter().filter(|v| !v.total.equal).count();
        let first = found.pairs.iter().find(|v| !v.total.equal);
        let worst = worst(&found);
        if global.json() {
            say_json(&serde_json::json!({
                "first": first, "worst": worst, "compared": found.pairs.len(), "differing": differing, "values": found.pairs
            }));
            return Ok(if differing > 0 { Status::Findings } else { Status::Done });
        }
        self.show(&found, global);
        match first {
            Some(v) => say(format_args!("the first value that differs is '{}', made by {}{}", v.name, v.op, place(v))),
            None => say(format_args!("no value differs ({tolerance})")),
        }
        if let Some(v) = worst {
            let read = v.reads.as_ref().map_or(String::new(), |r| format!(", reading '{}' rounded to {:.1} dB", r.name, r.sqnr_db));
            let own = v.own.sqnr_db.map_or(String::new(), |d| format!(": {d:.1} dB{read}"));
            let outputs = v
                .effect
                .as_ref()
                .map(|e| e.output_db.map_or("no output changes by it".into(), |d| format!("the outputs keep {d:.1} dB if it alone is so")));
            say(format_args!(
                "most is lost at '{}', made by {}{}{own}{}",
                v.name,
                v.op,
                place(v),
                outputs.map_or(String::new(), |t| format!("; {t}"))
            ));
        }
        let handed = found.pairs.iter().filter(|v| !v.total.equal && v.own.equal).count();
        say(format_args!("{} values compared, {differing} differ, {handed} of them only hand on what differs before them", found.pairs.len()));
        Ok(if differing > 0 { Status::Findings } else { Status::Done })
    }

    fn show(&self, found: &Explained, global: &Global) {
        let right = ["SQNR dB", "own dB", "output dB", "max error", "relative"];
        let mut t = table(&["value", "operator", "SQNR dB", "own dB", "output dB", "max error", "relative"], &right);
        for v in found.pairs.iter().filter(|v| global.verbose > 0 || !v.own.equal || (v.is_output && !v.total.equal)) {
            let db = |d: &lapidary::difference::Deviation| {
                d.sqnr_db.map_or(if d.problem.is_some() { String::new() } else { "∞".into() }, |d| format!("{d:.1}"))
            };
            let effect = v.effect.as_ref().map_or(String::new(), |e| e.output_db.map_or("∞".into(), |d| format!("{d:.1}")));
            let error = v.total.problem.clone().unwrap_or_else(|| short(v.total.max_abs));
            t.add_row([v.name.clone(), v.op.clone(), db(&v.total), db(&v.own), effect, error, short(v.total.max_rel)]);
        }
        say(t.trim_fmt());
    }
}

/// Where a value is made in the first model, if that says more than its name.
fn place(v: &Pair) -> String {
    let node = if v.node == v.name { String::new() } else { format!("node '{}'", v.node) };
    let module = v.module.as_ref().map_or(String::new(), |m| format!("module '{m}'"));
    match (node.is_empty(), module.is_empty()) {
        (true, true) => String::new(),
        (false, false) => format!(" ({node}, {module})"),
        _ => format!(" ({node}{module})"),
    }
}

/// The value that harms the outputs most by itself; without measured effects, the one that loses most by itself.
pub fn worst(found: &Explained) -> Option<&Pair> {
    let noisy = || found.pairs.iter().filter(|v| !v.own.equal && v.own.sqnr_db.is_some());
    let by_effect = noisy().filter_map(|v| Some((v, v.effect.as_ref()?.output_db?))).min_by(|a, b| a.1.total_cmp(&b.1));
    by_effect.map(|(v, _)| v).or_else(|| noisy().min_by(|a, b| a.own.sqnr_db.unwrap_or(f64::MAX).total_cmp(&b.own.sqnr_db.unwrap_or(f64::MAX))))
}
