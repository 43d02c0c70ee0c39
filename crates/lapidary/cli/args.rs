//! Arguments that several commands share, each defined once.

use clap::{Args, ValueEnum};
use lapidary::arrays::{self, Port};
use lapidary::{Diagnostic, DimRange, FixedInput, Model, OpenOptions, Pipeline, Result, Tolerance};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// What every command takes.
#[derive(Args, Clone)]
pub struct Global {
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, help_heading = "Everywhere")]
    pub format: Format,
    /// Threads that the compiler uses [default: one per core]; no output depends on it
    #[arg(long, global = true, value_name = "N", help_heading = "Everywhere")]
    pub jobs: Option<NonZeroUsize>,
    /// Print results and errors alone: no ledger, no progress
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Everywhere")]
    pub quiet: bool,
    /// Say more about what is done; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub verbose: u8,
    /// Read models whole instead of mapping them, for file systems that cannot map
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub no_mmap: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences
    Text,
    /// One JSON object on standard output; diagnostics as JSON on standard error
    Json,
}

impl Global {
    pub fn json(&self) -> bool {
        self.format == Format::Json
    }
    pub fn jobs(&self) -> usize {
        self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()), NonZeroUsize::get)
    }
    pub fn open(&self, path: &Path) -> Result<Model> {
        let model = Model::open(path, &OpenOptions { map: !self.no_mmap })?;
        if self.verbose > 0 {
            model.onnx().notes.iter().for_each(|n| super::render::show(n, self));
        }
        Ok(model)
    }
}

/// Which passes run.
#[derive(Args)]
pub struct PassArgs {
    /// Optimization level: 0 none, 1 what changes no bit, 2 the default, 3 everything within rounding
    #[arg(short = 'O', value_name = "LEVEL", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3), help_heading = "Passes")]
    pub level: u8,
    /// Run these passes instead of a level's, such as 'fold-constants, repeat(cse, dce)'
    #[arg(long, value_name = "TEXT", conflicts_with = "level", help_heading = "Passes")]
    pub passes: Option<String>,
    /// Run the passes of a TOML recipe instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["level", "passes"], help_heading = "Passes")]
    pub recipe: Option<PathBuf>,
    /// Compute results before and after each pass, and test them against what the pass promises
    #[arg(long, help_heading = "Passes")]
    pub check: bool,
    /// Arrays for --check and for the errors in the ledger [default: random ones]
    #[arg(long, value_name = "ARRAYS", help_heading = "Passes")]
    pub inputs: Option<PathBuf>,
    /// Write the graph's text into this folder after each pass
    #[arg(long, value_name = "DIR", help_heading = "Passes")]
    pub dump_each: Option<PathBuf>,
    /// Stop after that many passes
    #[arg(long, value_name = "N", help_heading = "Passes")]
    pub stop_after: Option<usize>,
    /// List where this rule (or the rules of this pass) did not apply, and why
    #[arg(long, value_name = "RULE", help_heading = "Passes")]
    pub why: Option<String>,
    /// Write this version of ONNX's operator set [default: the model's own]
    #[arg(long, value_name = "N", help_heading = "Passes")]
    pub target_opset: Option<u32>,
}

impl PassArgs {
    pub fn pipeline(&self) -> Result<Pipeline> {
        match (&self.passes, &self.recipe) {
            (Some(text), _) => lapidary::parse_pipeline(text),
            (_, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    let d = Diagnostic::error("file-unreadable", format!("the recipe '{}' cannot be read: {e}", path.display()));
                    d.file(path.display().to_string())
                })?;
                lapidary::parse_recipe(&text).map_err(|mut e| {
                    e.0.iter_mut().for_each(|d| d.place.file = Some(path.display().to_string()));
                    e
                })
            }
            _ => lapidary::level(self.level),
        }
    }
    /// The opset to write, checked against what is known here.
    pub fn target(&self) -> Result<Option<u32>> {
        known_opset(self.target_opset)
    }
}

/// An opset, checked against what is known here.
pub fn known_opset(opset: Option<u32>) -> Result<Option<u32>> {
    match opset {
        Some(n) if n == 0 || n > lapidary::NEWEST_OPSET => {
            let d = Diagnostic::error("opset", format!("there is no opset {n}"));
            Err(d.help(format!("known are 1 to {}", lapidary::NEWEST_OPSET)).into())
        }
        other => Ok(other),
    }
}

/// Expected outputs, and how far results may be from them.
#[derive(Args)]
pub struct ExpectArgs {
    /// Compare the outputs with these arrays; a difference ends with exit code 1
    #[arg(long, value_name = "ARRAYS", help_heading = "Comparison")]
    pub expect: Option<PathBuf>,
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
}

#[derive(Args)]
pub struct ToleranceArgs {
    /// |a - b| ≤ atol + rtol·|b| [default: 1e-3]
    #[arg(long, value_name = "R", help_heading = "Comparison", conflicts_with = "max_rel", value_parser = tolerance)]
    pub rtol: Option<f64>,
    /// See --rtol [default: 1e-5]
    #[arg(long, value_name = "A", help_heading = "Comparison", conflicts_with = "max_rel", value_parser = tolerance)]
    pub atol: Option<f64>,
    /// max|a - b| ≤ R·max|b| for each output
    #[arg(long, value_name = "R", help_heading = "Comparison", value_parser = tolerance)]
    pub max_rel: Option<f64>,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v >= 0.0 => Ok(v),
        Ok(_) => Err("a tolerance is 0 or more".into()),
        Err(e) => Err(e.to_string()),
    }
}

impl ToleranceArgs {
    pub fn get(&self) -> Tolerance {
        self.get_or(1e-3, 1e-5)
    }
    pub fn given(&self) -> bool {
        self.rtol.is_some() || self.atol.is_some() || self.max_rel.is_some()
    }
    pub fn get_or(&self, rtol: f64, atol: f64) -> Tolerance {
        match self.max_rel {
            Some(r) => Tolerance::MaxRel(r),
            None => Tolerance::AbsRel { rtol: self.rtol.unwrap_or(rtol), atol: self.atol.unwrap_or(atol) },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// The reference evaluator: every operator, slow
    Eval,
    /// Code generated for this machine
    Native,
}

impl BackendArg {
    pub fn name(self) -> &'static str {
        match self {
            BackendArg::Eval => "eval",
            BackendArg::Native => "native",
        }
    }
    /// Native code where it is built in.
    pub fn default_here() -> BackendArg {
        if lapidary::native::AVAILABLE { BackendArg::Native } else { BackendArg::Eval }
    }
}

/// Reads `NAME=V` or `NAME=LO..HI` for clap.
pub fn dim(text: &str) -> Result<DimRange, String> {
    DimRange::parse(text).map_err(|e| e.to_string())
}

pub fn fixed_input(text: &str) -> Result<FixedInput, String> {
    FixedInput::parse(text).map_err(|e| e.to_string())
}

/// Whether a path names an emitted library rather than a model.
pub fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".so") || name.contains(".so.") || path.extension().is_some_and(|e| e == "a")
}

/// Arrays for all inputs, or random ones.
pub fn inputs_or_random(model: &Model, path: Option<&Path>, sizes: &std::collections::BTreeMap<String, i64>) -> Result<Vec<lapidary::Datum>> {
    match path {
        Some(path) => arrays::load_inputs(&model.inputs(), path),
        None => lapidary::random_inputs(model.graph(), sizes, 0),
    }
}

/// Type of a port as a user reads it.
pub fn describe(ports: &[Port]) -> String {
    ports.iter().map(|p| format!("'{}' {}", p.name, p.ty)).collect::<Vec<_>>().join(", ")
}
