use super::args::{BackendArg, Global};
use super::table::{short, table};
use super::{Outcome, Status, progress, say, say_json};
use clap::{Args, Subcommand};
use lapidary::arrays::Files;
use lapidary::{Backend, Diagnostic, Observations, Result};
use std::path::{Path, PathBuf};

/// Gather what values appear in a model, and merge what was gathered elsewhere
///
/// Statistics are the same, byte for byte, however the samples are split: shards can be gathered anywhere and merged in any order.
#[derive(Args)]
#[command(after_help = "\
Example:
  lapidary calib collect model.onnx --data part1.npz -o a.stats
  lapidary calib collect model.onnx --data part2.npz -o b.stats
  lapidary calib merge a.stats b.stats -o all.stats
  lapidary opt model.onnx -o int8.onnx --passes 'calibrate{stats=\"all.stats\"}, fake-quant, fold-quant'")]
pub struct Calib {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a model on samples and write what appeared
    Collect {
        /// The model that `calibrate{stats=…}` will later run on
        #[arg(value_name = "MODEL")]
        model: PathBuf,
        /// The samples: .npz or .safetensors files separated by commas, or a folder; axis 0 is samples
        #[arg(long, value_name = "ARRAYS")]
        data: String,
        /// Where the statistics go
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Samples run at a time
        #[arg(long, value_name = "N", default_value_t = 8)]
        batch: u32,
        /// What runs the model [default: native code where it is built in]
        #[arg(long, value_enum)]
        backend: Option<BackendArg>,
    },
    /// Merge statistics of one model; the order changes nothing
    Merge {
        /// Files that `calib collect` wrote
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Where the result goes
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Show the range of every value
    Show {
        /// A file of statistics
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Calib {
    pub fn run(&self, global: &Global) -> Outcome {
        match &self.command {
            Command::Collect { model, data, output, batch, backend } => {
                let model = global.open(model)?;
                let backend = match backend.unwrap_or_else(BackendArg::default_here) {
                    BackendArg::Native => Backend::Native,
                    BackendArg::Eval => Backend::Eval,
                };
                let busy = progress::spinner(global, "running the samples");
                let found = model.observe(data, &Files::default(), i64::from(*batch), backend)?;
                busy.finish_and_clear();
                write(global, &found, output)
            }
            Command::Merge { files, output } => {
                let mut all: Option<Observations> = None;
                for path in files {
                    let part = read(path)?;
                    match &mut all {
                        Some(all) => all.merge(&part).map_err(|e| in_file(e, path))?,
                        None => {
                            let mut first = Observations { executor: part.executor.clone(), ..Observations::default() };
                            first.values = part.values.keys().map(|k| (k.clone(), Default::default())).collect();
                            first.merge(&part)?;
                            all = Some(first);
                        }
                    }
                }
                write(global, &all.unwrap_or_default(), output)
            }
            Command::Show { file } => {
                let found = read(file)?;
                if global.json() {
                    let values: Vec<_> = found.values.iter().map(|(name, o)| {
                        let h = &o.histogram;
                        serde_json::json!({ "name": name, "low": h.low, "high": h.high, "count": h.count, "zeros": h.zeros, "not_finite": o.not_finite })
                    }).collect();
                    say_json(&serde_json::json!({ "executor": found.executor, "samples": found.samples, "values": values }));
                } else {
                    let mut t = table(&["value", "low", "high", "median", "zeros %"], &["low", "high", "median", "zeros %"]);
                    for (name, o) in &found.values {
                        let h = &o.histogram;
                        let zeros = 100.0 * h.zeros as f64 / h.count.max(1) as f64;
                        t.add_row([name.clone(), short(h.low), short(h.high), short(h.quantile(0.5)), format!("{zeros:.1}")]);
                    }
                    say(t.trim_fmt());
                    say(format_args!("{} values over {} samples, run by {}", found.values.len(), found.samples, found.executor));
                }
                Ok(Status::Done)
            }
        }
    }
}

fn read(path: &Path) -> Result<Observations> {
    let fail = |e: std::io::Error| {
        Diagnostic::error("file-unreadable", format!("'{}' cannot be read: {e}", path.display())).file(path.display().to_string())
    };
    Observations::parse(&std::fs::read_to_string(path).map_err(fail)?).map_err(|e| in_file(e, path))
}

fn in_file(mut e: lapidary::Diagnostics, path: &Path) -> lapidary::Diagnostics {
    e.0.iter_mut().for_each(|d| d.place.file = Some(path.display().to_string()));
    e
}

fn write(global: &Global, found: &Observations, path: &Path) -> Outcome {
    let text = found.to_text();
    lapidary::replace_file(path, &|f| std::io::Write::write_all(f, text.as_bytes()))?;
    if global.json() {
        say_json(&serde_json::json!({ "output": path, "samples": found.samples, "values": found.values.len() }));
    } else if !global.quiet {
        say(format_args!("wrote {}: {} values over {} samples", path.display(), found.values.len(), found.samples));
    }
    Ok(Status::Done)
}
