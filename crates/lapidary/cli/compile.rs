use super::args::{Global, PassArgs, dim, fixed_input, inputs_or_random};
use super::table::{bytes, grouped, ms, table};
use super::{Outcome, Status, ledger, opt, progress, say, say_json, supervise};
use clap::{Args, ValueEnum};
use lapidary::tune::{Tuned, Tuning};
use lapidary::{CompileOptions, Compiled, Diagnostic, DimRange, Emit, FixedInput, Model, Result, WeightsMode};
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  lapidary compile model.onnx -o libmodel.so                 library, model.h and model.pc; runs on AVX2 and AVX-512 machines
  lapidary compile model.onnx -o libmodel.a --dim batch=1    a static library for one batch size
  lapidary compile model.onnx -o libm.so --fix-input sr=8000 an input less, and no branches that it decides
  lapidary compile model.onnx -o libmodel.so --report        which template computes which node
  lapidary compile model.onnx --emit graph                   print the graph after the passes
  lapidary compile model.onnx -o libmodel.so --tune m.tune   measure schedules, keep the fastest
  lapidary compile model.onnx -o libm.so --schedule m.tune   take them, on any machine

The header explains how to call the library. Weights above 64 MiB go into libmodel.weights beside it.";

/// Run passes and write a native library with its C header
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Compile {
    /// The model: ONNX, or Lapidary's text (.lap)
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The library: libNAME.so or libNAME.a; NAME.h and NAME.pc are written beside it
    #[arg(short, long, value_name = "libNAME.so", required_unless_present = "emit")]
    output: Option<PathBuf>,
    #[command(flatten)]
    passes: PassArgs,
    /// CPUs to generate code for: auto (x86-64-v3 and v4, chosen at load), native, x86-64-v3, x86-64-v4
    #[arg(long, value_name = "CPU", default_value = "auto", help_heading = "Code")]
    cpu: String,
    /// What factors of products are rounded to before they are multiplied
    #[arg(long, value_enum, default_value_t = Precision::F32, help_heading = "Code")]
    precision: Precision,
    /// Never choose a convolution algorithm that rounds differently
    #[arg(long, help_heading = "Code")]
    exact_conv: bool,
    /// Where weights go
    #[arg(long, value_enum, default_value_t = WeightsArg::Auto, help_heading = "Code")]
    weights: WeightsArg,
    /// Take away an input that always has this value, and the branches that it decides; several times for several inputs
    #[arg(long, value_name = "NAME=V", value_parser = fixed_input, help_heading = "Code")]
    fix_input: Vec<FixedInput>,
    /// Fix a symbolic dim to a size, or bound it; several times for several dims
    #[arg(long, value_name = "NAME=V|LO..HI", value_parser = dim, help_heading = "Code")]
    dim: Vec<DimRange>,
    /// Measure schedules of each kernel on this machine (on --inputs, one thread), write the fastest to this file, and compile with them
    #[arg(long, value_name = "F.tune", conflicts_with = "schedule", help_heading = "Code")]
    tune: Option<PathBuf>,
    /// Compile with the schedules of a file that --tune wrote: the same file gives the same code, on any machine
    #[arg(long, value_name = "F.tune", help_heading = "Code")]
    schedule: Option<PathBuf>,
    /// Instrument the code for ThreadSanitizer
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Code")]
    sanitize: Option<Sanitizer>,
    /// Keep the names of the library's functions, for profilers and debuggers
    #[arg(long)]
    symbols: bool,
    /// Count the time of each kernel, for `bench --profile`
    #[arg(long)]
    profile: bool,
    /// Print each node with the template that computes it, host calls, and where intermediate values lie
    #[arg(long, help_heading = "Code")]
    report: bool,
    /// Write an intermediate form instead (to standard output without -o)
    #[arg(long, value_enum, value_name = "FORM", help_heading = "Code")]
    emit: Option<EmitArg>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    /// 32-bit floats
    F32,
    /// Products whose factors are rounded to 16-bit brain floats, where that is faster; sums and all else in 32 bits
    Bf16,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeightsArg {
    /// Inside the library up to 64 MiB, beside it above
    Auto,
    /// Inside the library
    Embed,
    /// In libNAME.weights beside the library
    Side,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    Thread,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EmitArg {
    /// The graph after the passes, as text
    Graph,
    /// The scheduled kernels, as text
    Kernels,
    /// LLVM IR after optimization
    Llvm,
    /// Assembly
    Asm,
    /// A relocatable object
    Obj,
}

impl Compile {
    pub fn run(&self, global: &Global) -> Outcome {
        let pipeline = self.passes.pipeline()?;
        let target = self.passes.target()?.unwrap_or(lapidary::NEWEST_OPSET);
        let mut options = self.options(global)?;
        self.check_output(&options)?;
        if self.tune.is_some() || !matches!(options.emit, Emit::Graph | Emit::Kernels) {
            if !lapidary::native::AVAILABLE {
                return Err(Diagnostic::unsupported("no-llvm", "this build of lapidary has no code generation")
                    .help("build it with `--features llvm19` and LLVM 19 installed")
                    .into());
            }
            if let Some(outcome) = supervise::run(&self.model, global) {
                return outcome;
            }
        }
        let mut model = global.open(&self.model)?;
        model.expand()?;
        model.fix_inputs(&self.fix_input)?;
        model.set_dims(&self.dim)?;
        let beside = self.output.clone().unwrap_or_default();
        let mut report = opt::run_passes(&mut model, &pipeline, self.rounding()?, &self.passes, target, &beside, global)?;
        if !report.failures.is_empty() {
            ledger::show(&report, global, self.passes.why.as_deref());
            return Ok(Status::Findings);
        }
        let tuned = self.tuned(&model, &mut options, global)?;
        let schedule = self.schedule_hash()?;
        if let Some((path, sha256)) = &schedule {
            report.ledger.notes.push(Diagnostic::remark("schedule", format!("schedules are from '{path}', sha256 {sha256}")));
        }
        let busy = progress::spinner(global, "generating code");
        let compiled = self.compile(&model, &options)?;
        report.ledger.notes.extend(compiled.warnings.iter().cloned());
        model.write_side_files()?;
        busy.finish_and_clear();
        ledger::show(&report, global, self.passes.why.as_deref());
        if global.json() && self.output.is_some() {
            let mut value = serde_json::json!({ "files": compiled.files, "weights_bytes": compiled.weights_bytes, "nodes": compiled.nodes });
            if self.report {
                value["kernels"] = serde_json::json!(compiled.kernels);
                value["arena"] = serde_json::json!(compiled.arena);
                value["host_calls"] = serde_json::json!(compiled.host_calls);
            }
            if let Some((path, sha256)) = &schedule {
                value["schedule"] = serde_json::json!({ "path": path, "sha256": sha256 });
            }
            if let Some(tuned) = &tuned {
                value["tuned"] = serde_json::json!(tuned);
            }
            value["report"] = serde_json::json!(report);
            say_json(&value);
        } else if self.output.is_some() {
            if self.report {
                print_report(&compiled);
            }
            if !global.quiet {
                if let Some(t) = &tuned {
                    let (before, after) = (ms(t.before_ms), ms(t.after_ms));
                    say(format_args!("tuned: {before} ms → {after} ms on one thread, {} choices other than usual", t.changed));
                }
                for f in compiled.files.iter().chain(&self.tune) {
                    say(format_args!("wrote {} ({})", f.display(), bytes(std::fs::metadata(f).map_or(0, |m| m.len()))));
                }
            }
        }
        Ok(Status::Done)
    }

    /// Measures, writes the file of `--tune`, and puts what was found into the options.
    fn tuned(&self, model: &Model, options: &mut CompileOptions, global: &Global) -> Result<Option<Tuned>> {
        let Some(path) = &self.tune else { return Ok(None) };
        let sizes = self.dim.iter().map(|d| (d.symbol.clone(), d.low)).collect();
        let inputs = inputs_or_random(model, self.passes.inputs.as_deref(), &sizes)?;
        let busy = progress::spinner(global, "tuning");
        let tuned = model.tune(&inputs, options, &mut |what| busy.set_message(what.to_string()))?;
        let text = tuned.tuning.to_text()?;
        lapidary::replace_file(path, &|f| f.write_all(text.as_bytes()))?;
        options.lower.choices = tuned.tuning.choices();
        Ok(Some(tuned))
    }

    /// The file that schedules are taken from, and its hash.
    fn schedule_hash(&self) -> Result<Option<(String, String)>> {
        let path = self.schedule.as_ref().or(self.tune.as_ref());
        path.map(|p| Ok((p.display().to_string(), lapidary::compress::hash_file(p)?))).transpose()
    }

    /// What `--precision` adds to the passes, after all else: what is folded and fused is what is multiplied.
    fn rounding(&self) -> Result<lapidary::Pipeline> {
        match self.precision {
            Precision::F32 => Ok(Default::default()),
            Precision::Bf16 => lapidary::parse_pipeline(&format!("convert-float{{to=bf16, products=true, winograd={}}}", !self.exact_conv)),
        }
    }

    fn options(&self, global: &Global) -> Result<CompileOptions> {
        let emit = match self.emit {
            None => Emit::Library,
            Some(EmitArg::Graph) => Emit::Graph,
            Some(EmitArg::Kernels) => Emit::Kernels,
            Some(EmitArg::Llvm) => Emit::Llvm,
            Some(EmitArg::Asm) => Emit::Asm,
            Some(EmitArg::Obj) => Emit::Obj,
        };
        let weights = match self.weights {
            WeightsArg::Auto => WeightsMode::Auto,
            WeightsArg::Embed => WeightsMode::Embed,
            WeightsArg::Side => WeightsMode::Side,
        };
        let cpus = CompileOptions::cpus_of(&self.cpu)?;
        let sanitize_thread = self.sanitize == Some(Sanitizer::Thread);
        if self.tune.is_some() && emit == Emit::Graph {
            let d = Diagnostic::error("tune", "--tune measures kernels, and a graph has none");
            return Err(d.help("leave --emit graph out").into());
        }
        let choices = self.schedule.as_ref().map_or(Ok(Default::default()), |path| Tuning::read(path).map(|t| t.choices()))?;
        let lower = lapidary::LowerOptions { exact_conv: self.exact_conv, choices };
        Ok(CompileOptions { cpus, weights, emit, jobs: global.jobs(), sanitize_thread, symbols: self.symbols, profile: self.profile, lower })
    }

    /// A name that no library can have is refused before any work is done.
    fn check_output(&self, options: &CompileOptions) -> Result<()> {
        let Some(out) = &self.output else { return Ok(()) };
        if options.emit == Emit::Library && !out.extension().is_some_and(|e| e == "so" || e == "a") {
            let d = Diagnostic::error("output-name", format!("'{}' names neither a shared library nor an archive", out.display()));
            return Err(d.help("end it in .so or .a; --emit writes other forms").into());
        }
        let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let d = Diagnostic::error("file-unwritable", format!("there is no folder '{}'", folder.display()));
            return Err(d.file(out.display().to_string()).into());
        }
        Ok(())
    }

    fn compile(&self, model: &Model, options: &CompileOptions) -> Result<Compiled> {
        match (&self.output, options.emit) {
            (Some(out), _) => model.compile(out, options),
            (None, Emit::Graph) => {
                say(model.to_text().trim_end());
                Ok(Compiled::default())
            }
            (None, Emit::Kernels) => {
                let plan = model.lower(&options.lower)?;
                say(lapidary::native::kernels_text(&plan).trim_end());
                Ok(Compiled { warnings: lapidary::native::warnings(&plan, &options.lower), ..Compiled::default() })
            }
            (None, _) => {
                let fail = |e: std::io::Error| Diagnostic::error("temporary", format!("no temporary file can be made: {e}"));
                let folder = tempfile::tempdir().map_err(fail)?;
                let file = folder.path().join("libmodel.out");
                let compiled = model.compile(&file, options)?;
                let data = std::fs::read(&file).map_err(fail)?;
                // A reader that has gone away needs no message.
                let _ = std::io::stdout().write_all(&data);
                Ok(compiled)
            }
        }
    }
}

fn print_report(c: &Compiled) {
    let mut t = table(&["node", "operator", "template"], &[]);
    c.nodes.iter().for_each(|n| {
        t.add_row([&n.name, &n.op, &n.template]);
    });
    say(t.trim_fmt());
    let mut t = table(&["kernel", "template", "pieces", "nodes"], &["pieces"]);
    c.kernels.iter().for_each(|k| {
        t.add_row([k.name.clone(), k.template.clone(), k.chunks.clone(), k.nodes.len().to_string()]);
    });
    say(t.trim_fmt());
    let mut t = table(&["value in the arena", "offset", "bytes"], &["offset", "bytes"]);
    c.arena.buffers.iter().for_each(|b| {
        t.add_row([&b.name, &b.offset, &b.bytes]);
    });
    say(t.trim_fmt());
    say(format_args!("arena {} bytes, weights {} bytes, {} host calls", c.arena.bytes, grouped(c.weights_bytes), c.host_calls.len()));
    c.host_calls.iter().for_each(|h| say(format_args!("  host call: {h}")));
}
