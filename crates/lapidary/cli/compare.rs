use super::args::{Global, ToleranceArgs, inputs_or_random};
use super::table::{short, table};
use super::{Outcome, Status, progress, say, say_json};
use clap::Args;
use lapidary::difference::values;
use lapidary::{Diagnostic, Tolerance};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Evaluate two models on the same inputs and show where their values part
///
/// Values are matched by name, in the second model's order; the first that differs is where to look.
#[derive(Args)]
#[command(after_help = "Example:\n  lapidary compare model.onnx model.int8.onnx --inputs x.npz --max-rel 1e-2")]
pub struct Compare {
    /// The reference
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The model to look at
    #[arg(value_name = "B")]
    b: PathBuf,
    /// The inputs [default: random ones]
    #[arg(long, value_name = "ARRAYS")]
    inputs: Option<PathBuf>,
    #[command(flatten)]
    tolerance: ToleranceArgs,
}

impl Compare {
    pub fn run(&self, global: &Global) -> Outcome {
        let (a, b) = (global.open(&self.a)?, global.open(&self.b)?);
        let (pa, pb) = (a.inputs(), b.inputs());
        if pa.len() != pb.len() || pa.iter().zip(&pb).any(|(x, y)| x.name != y.name) {
            let d = Diagnostic::error("inputs-differ", "the two models do not have the same inputs");
            return Err(d.note(format!("first: {}", super::args::describe(&pa))).note(format!("second: {}", super::args::describe(&pb))).into());
        }
        let inputs = inputs_or_random(&a, self.inputs.as_deref(), &BTreeMap::new())?;
        let tolerance: Tolerance = self.tolerance.get();
        let busy = progress::spinner(global, "evaluating both");
        let found = values(&a, &b, &inputs, tolerance)?;
        busy.finish_and_clear();
        let differing = found.iter().filter(|v| !v.equal).count();
        let first = found.iter().find(|v| !v.equal);
        if global.json() {
            say_json(&serde_json::json!({ "first": first, "compared": found.len(), "differing": differing, "values": found }));
        } else {
            let mut t = table(&["value", "operator", "SQNR dB", "max error", "relative"], &["SQNR dB", "max error", "relative"]);
            for v in found.iter().filter(|v| global.verbose > 0 || !v.equal || v.is_output) {
                let db = v.sqnr_db.map_or(if v.problem.is_some() { String::new() } else { "∞".into() }, |d| format!("{d:.1}"));
                let error = v.problem.clone().unwrap_or_else(|| short(v.max_abs));
                t.add_row([v.name.clone(), v.op.clone(), db, error, short(v.max_rel)]);
            }
            say(t.trim_fmt());
            match first {
                Some(v) => say(format_args!("the first value that differs is '{}', made by {}", v.name, v.op)),
                None => say(format_args!("no value differs ({tolerance})")),
            }
            say(format_args!("{} values of one name compared, {differing} differ", found.len()));
        }
        Ok(if differing > 0 { Status::Findings } else { Status::Done })
    }
}
