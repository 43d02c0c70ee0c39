use super::args::{Global, PassArgs};
use super::{Outcome, Status, ledger, progress, say_json};
use clap::Args;
use lapidary::{Check, CheckFailure, Diagnostic, Effect, Model, PassOptions, Pipeline, Report, Result, SaveOptions};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  lapidary opt model.onnx -o small.onnx
  lapidary opt model.onnx -o small.onnx -O3 --check
  lapidary opt model.onnx -o small.onnx --passes 'fold-constants, on(op=Conv)(fuse-conv-bn), dce'
  lapidary opt model.onnx -o int8.onnx --recipe examples/recipes/int8.toml
  lapidary opt model.onnx -o small.onnx --why fuse-conv-bn

The ledger (what each pass did to nodes, bytes, multiply-adds and results) goes to standard error, or as JSON to standard output.";

/// Run passes and write the model again, in its own opset
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Opt {
    /// The model: ONNX, or Lapidary's text (.lap)
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Where the result goes: ONNX, or text when the name ends in .lap
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    passes: PassArgs,
}

impl Opt {
    pub fn run(&self, global: &Global) -> Outcome {
        let pipeline = self.passes.pipeline()?;
        let target = self.passes.target()?;
        if PassOptions::backend_for(&pipeline, self.passes.checks()) == lapidary::Backend::Native
            && let Some(outcome) = super::supervise::run(&self.model, global)
        {
            return outcome;
        }
        let mut model = global.open(&self.model)?;
        let opset = target.unwrap_or_else(|| model.opset());
        let mut report = run_passes(&mut model, &pipeline, Pipeline::default(), &self.passes, opset, &self.output, global)?;
        if report.failures.is_empty() {
            let _busy = progress::spinner(global, "checking the file");
            report.failures = self.read_back(&model, &report)?;
        }
        let findings = !report.failures.is_empty();
        if !findings {
            let _busy = progress::spinner(global, "writing");
            model.write_side_files()?;
            model.save(&self.output, &SaveOptions { target_opset: None })?;
        }
        ledger::show(&report, global, self.passes.why.as_deref());
        if global.json() {
            say_json(&serde_json::json!({ "output": self.output, "written": !findings, "report": report }));
        }
        Ok(if findings { Status::Findings } else { Status::Done })
    }
}

impl Opt {
    /// Under `--check`: writes the model aside, reads it again, and says which outputs are not, bit for bit, those of the graph that was
    /// checked. Nothing stays of that file.
    fn read_back(&self, model: &Model, report: &Report) -> Result<Vec<CheckFailure>> {
        let Some(verdict) = &report.verdict else { return Ok(vec![]) };
        let io = |e: std::io::Error| Diagnostic::error("io", format!("cannot write beside {}: {e}", self.output.display()));
        let beside = self.output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new().prefix(".lapidary-check-").tempdir_in(beside).map_err(io)?;
        let path = folder.path().join(self.output.file_name().unwrap_or_default());
        model.save(&path, &SaveOptions { target_opset: None })?;
        let written = Model::open(&path, &lapidary::OpenOptions::default())?;
        let mut out = vec![];
        for (inputs, outputs) in verdict.inputs.iter().zip(&verdict.outputs) {
            for ((info, want), got) in written.outputs().iter().zip(outputs).zip(&written.evaluate(inputs.clone())?) {
                if let Err(what) = lapidary_rewrite::compare::check(Effect::Exact, 0.0, want, got) {
                    out.push(CheckFailure { pass: "writing the file".into(), effect: Effect::Exact, output: info.name.clone(), what });
                }
            }
        }
        Ok(out)
    }
}

impl PassArgs {
    pub fn checks(&self) -> Check {
        if self.check { Check::Verify } else { Check::Off }
    }
}

/// Runs the passes that the arguments ask for, with progress. What `also` runs after them has its error measured only where data are given.
pub fn run_passes(
    model: &mut Model,
    pipeline: &Pipeline,
    also: Pipeline,
    args: &PassArgs,
    target: u32,
    out: &Path,
    global: &Global,
) -> Result<Report> {
    let busy = progress::spinner(global, "passes");
    let check = match args.checks() {
        // What loses precision on purpose has its error measured, as does everything when data are given.
        Check::Off if args.inputs.is_some() || lossy(pipeline) => Check::Measure,
        other => other,
    };
    let inputs = match &args.inputs {
        Some(path) => vec![lapidary::arrays::load_inputs(&model.inputs(), path)?],
        // What measured its ranges on data is judged on data: a part of the same.
        None if check == Check::Measure => sample(model, pipeline)?,
        None => vec![],
    };
    let pipeline = &Pipeline(pipeline.0.iter().cloned().chain(also.0).collect());
    let shown = busy.clone();
    let crash_dir = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    model.run_pipeline(
        pipeline,
        PassOptions {
            target_opset: Some(target),
            check,
            inputs,
            dump_each: args.dump_each.clone(),
            stop_after: args.stop_after,
            why: args.why.clone(),
            crash_dir,
            backend: PassOptions::backend_for(pipeline, args.checks()),
            progress: Some(Box::new(move |pass, n| shown.set_message(format!("pass {}: {pass}", n + 1)))),
            ..PassOptions::default()
        },
    )
}

/// Samples that errors are measured on when only passes were given data.
const SAMPLES: usize = 16;

/// The first samples of the first `data=` of a pipeline, as one batch; nothing where there are no data.
fn sample(model: &Model, pipeline: &Pipeline) -> Result<Vec<Vec<lapidary::Datum>>> {
    let mut text = None;
    pipeline.calls(&mut |c| {
        let data = c.options.iter().find(|(name, _)| name == "data");
        text = text.take().or(data.map(|(_, value)| value.to_string().trim_matches('"').to_string()));
    });
    match text {
        Some(text) => lapidary::arrays::first_samples(model.graph(), &text, SAMPLES),
        None => Ok(vec![]),
    }
}

fn lossy(pipeline: &Pipeline) -> bool {
    let mut found = false;
    pipeline.calls(&mut |c| found |= lapidary::PASSES.iter().any(|p| p.name == c.name && p.effect == Effect::Lossy));
    found
}
