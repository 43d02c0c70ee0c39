use super::args::{BackendArg, Global, dim, known_opset};
use super::table::{bytes, ms, table};
use super::{Outcome, Status, progress, render, say, say_json, supervise};
use clap::{Args, builder::PossibleValuesParser};
use lapidary::compress::{self, Compressed, Figures, Lock, LockedFile, LockedStage};
use lapidary::{Backend, Diagnostic, Diagnostics, DimRange, Result};
use std::path::{Path, PathBuf};
use std::rc::Rc;

const EXAMPLES: &str = "\
Example:
  lapidary compress examples/models/digits_cnn/model.onnx -o int8.onnx --data examples/models/digits_cnn/calibration.npz
  lapidary compress examples/models/digits_cnn/model.onnx -o small.onnx \\
      --recipe examples/recipes/staged.toml --data examples/models/digits_cnn/calibration.npz
  lapidary compress --lock small.onnx.lock -o again.onnx       the same bytes again, without measuring

Without --recipe the model becomes static int8, as examples/recipes/static-int8.toml says: SmoothQuant on matrix products, ranges measured
on the data, weights, activations and tables in 8 bits. Such a file is made for ONNX Runtime. A library, and an ONNX file with --runtime native,
of which `lapidary compile` makes the same, follow examples/recipes/native-int8.toml: batch norms go into convolutions first, values are
rounded behind whole activations only, and biases are corrected. A recipe is a list of stages:

  [[stage]]
  name = \"int8\"
  pipeline = \"calibrate, fake-quant, fold-quant\"
  accept-if = \"metric-drop<=0.5%, smaller=true\"

Conditions, all of which must hold: metric-drop<=P% and sqnr>=DB, against the model as it was given; smaller=true (constants) and
faster=true (native latency on one thread, by 1 % or more), against the model before the stage. A stage that does not pay is undone and
reported, and the command ends with exit code 1; what the other stages made is written.

The metric comes from the data alone: accuracy where they hold 'labels' beside the inputs, perplexity where they hold 'targets', else how
often the largest output stands where it did. Passes that take data and are given none use these data too; \"$DATA\" names them.

Beside OUT stand OUT.lock, from which --lock makes OUT again, and OUT.html, a page with tables and plots of what each stage did.
Progress and what was undone go to standard error.";

/// Make a model smaller and faster in stages, each kept only if it pays
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Compress {
    /// The model: ONNX, or Lapidary's text (.lap) [with --lock: default the one locked]
    #[arg(value_name = "MODEL", required_unless_present = "lock")]
    model: Option<PathBuf>,
    /// Where the result goes: ONNX, or a library where the name ends in .so or .a
    #[arg(short, long, value_name = "OUT", required_unless_present = "lock")]
    output: Option<PathBuf>,
    /// The stages, as TOML [default: static int8]
    #[arg(long, value_name = "R.toml", conflicts_with = "lock")]
    recipe: Option<PathBuf>,
    /// What the result is to run in: whose conventions passes that quantize follow where the recipe names no profile. `native` stands for
    /// libraries that Lapidary compiles [default: native where OUT is a library, else ort]
    #[arg(long, value_name = "RUNTIME", value_parser = PossibleValuesParser::new(compress::runtimes()), conflicts_with = "lock")]
    runtime: Option<String>,
    /// Samples for passes that take data, and for judging stages: .npz or .safetensors, or a folder
    #[arg(long, value_name = "DATA", required_unless_present = "lock")]
    data: Option<String>,
    /// Make the output of this lock file again, byte for byte, without measuring
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Where the page with tables and plots goes [default: OUT.html]
    #[arg(long, value_name = "FILE", conflicts_with = "lock")]
    report: Option<PathBuf>,
    /// Fix a symbolic dim to a size, or bound it, before the first stage; several times for several dims
    #[arg(long, value_name = "NAME=V|LO..HI", value_parser = dim, conflicts_with = "lock")]
    dim: Vec<DimRange>,
    /// Write this version of ONNX's operator set [default: the model's own, or what a pass needs]
    #[arg(long, value_name = "N", conflicts_with = "lock")]
    target_opset: Option<u32>,
    /// What runs the model for passes and metrics [default: native where code generation is built in]
    #[arg(long, value_enum, conflicts_with = "lock")]
    backend: Option<BackendArg>,
}

impl Compress {
    pub fn run(&self, global: &Global) -> Outcome {
        match (&self.lock, &self.model, &self.output, &self.data) {
            (Some(lock), ..) => self.reproduce(lock, global),
            (None, Some(model), Some(output), Some(data)) => self.compress(model, output, data, global),
            // The parser asks for all of them.
            _ => Err(Diagnostic::error("arguments", "compress takes MODEL, -o and --data, or --lock").into()),
        }
    }

    fn compress(&self, path: &Path, out: &Path, data: &str, global: &Global) -> Outcome {
        let runtime = self.runtime.as_deref().or(compress::is_library(out).then_some(compress::NATIVE));
        let (built_in, default) = compress::default_recipe(runtime);
        let text = match &self.recipe {
            Some(recipe) => std::fs::read_to_string(recipe).map_err(|e| {
                let place = recipe.display().to_string();
                Diagnostic::error("file-unreadable", format!("the recipe '{place}' cannot be read: {e}")).file(place)
            })?,
            None => default.into(),
        };
        let recipe = self.recipe.as_deref().unwrap_or(Path::new(built_in));
        let stages = compress::from_toml(&text, runtime).map_err(|e| placed(e, recipe))?;
        let lock_path = beside(out, "lock");
        let page_path = self.report.clone().unwrap_or_else(|| beside(out, "html"));
        [out, &lock_path, &page_path].into_iter().try_for_each(writable)?;
        let target_opset = known_opset(self.target_opset)?;
        let backend = self.backend.unwrap_or_else(BackendArg::default_here);
        // Latency and libraries take native code whatever runs the passes.
        if lapidary::native::AVAILABLE
            && let Some(outcome) = supervise::run(path, global)
        {
            return outcome;
        }
        let hashes = [compress::hash_file(path)?, compress::hash_data(data)?, compress::hash_bytes(text.as_bytes())];
        let mut others: Vec<String> = stages.iter().flat_map(|s| compress::other_texts(&s.pipeline)).collect();
        others.sort();
        others.dedup();
        let others = others.iter().map(Path::new).filter(|p| p.exists());
        let others = others.map(|p| Ok(LockedFile::new(p, compress::hash_file(p)?))).collect::<Result<Vec<_>>>()?;
        let mut model = global.open(path)?;
        let weights = compress::hash_weights(&model, path)?;
        model.set_dims(&self.dim)?;
        let busy = progress::spinner(global, "measuring the model");
        let done = compress::compress(&model, &stages, data, &options(backend, target_opset, out, &busy, global))?;
        busy.set_message("writing");
        let folder = Staging::new(out)?;
        let made = folder.path(out);
        compress::write(&done.model, &made, target_opset, global.jobs())?;
        let [model_hash, data_hash, recipe_hash] = hashes;
        let lock = Lock {
            lock: Lock::FORM,
            lapidary: env!("CARGO_PKG_VERSION").into(),
            backend: backend.name().into(),
            cpu: cpu(),
            seed: 0,
            metric: done.metric.name().into(),
            model: LockedFile::new(path, model_hash),
            data: LockedFile { path: data.into(), sha256: data_hash },
            recipe: LockedFile::new(recipe, recipe_hash),
            output: LockedFile::new(out, compress::hash_file(&made)?),
            dim: self.dim.iter().map(DimRange::to_string).collect(),
            target_opset,
            weights,
            file: others,
            stage: LockedStage::of(&done),
        };
        folder.write(&lock_path, lock.to_text()?.as_bytes())?;
        let page = compress::html(&done, path, data, out)?;
        if self.report.is_none() {
            folder.write(&page_path, page.as_bytes())?;
        } else {
            lapidary::replace_file(&page_path, &|f| std::io::Write::write_all(f, page.as_bytes()))?;
        }
        let mut files = folder.publish()?;
        files.extend(self.report.clone());
        busy.finish_and_clear();
        show(&done, &files, global);
        if global.json() {
            say_json(&serde_json::json!({ "output": out, "written": true, "files": files, "sha256": lock.output.sha256, "result": done }));
        }
        Ok(if done.stages.iter().all(|s| s.accepted) { Status::Done } else { Status::Findings })
    }

    fn reproduce(&self, path: &Path, global: &Global) -> Outcome {
        let lock = Lock::read(path)?;
        let model = self.model.clone().unwrap_or_else(|| lock.model.path.clone().into());
        let out = self.output.clone().unwrap_or_else(|| lock.output.path.clone().into());
        let data = self.data.clone().unwrap_or_else(|| lock.data.path.clone());
        writable(&out)?;
        let library = compress::is_library(&out);
        if library != compress::is_library(Path::new(&lock.output.path)) {
            let d =
                Diagnostic::error("output-name", format!("'{}' is locked, and '{}' would be another kind of file", lock.output.path, out.display()));
            return Err(d.help("keep the ending of the name").into());
        }
        let backend = if lock.backend == "native" { BackendArg::Native } else { BackendArg::Eval };
        if (library || backend == BackendArg::Native)
            && let Some(outcome) = supervise::run(&model, global)
        {
            return outcome;
        }
        lock.model.check("model", &compress::hash_file(&model)?, path)?;
        lock.data.check("data", &compress::hash_data(&data)?, path)?;
        for f in &lock.file {
            f.check(&format!("file '{}'", f.path), &compress::hash_file(Path::new(&f.path))?, path)?;
        }
        let accepted = lock.stage.iter().filter(|s| s.accepted);
        let pipelines = accepted.map(|s| lapidary::parse_pipeline(&s.pipeline)).collect::<Result<Vec<_>>>().map_err(|e| placed(e, path))?;
        let mut opened = global.open(&model)?;
        let folder = folder_of(&model);
        for f in &lock.weights {
            f.check(&format!("file of weights '{}'", f.path), &compress::hash_file(&folder.join(&f.path))?, path)?;
        }
        let dims = lock.dim.iter().map(|d| DimRange::parse(d)).collect::<Result<Vec<_>>>().map_err(|e| placed(e, path))?;
        opened.set_dims(&dims)?;
        let busy = progress::spinner(global, "passes");
        let done = compress::replay(&opened, &pipelines, &data, &options(backend, lock.target_opset, &out, &busy, global))?;
        busy.set_message("writing");
        let folder = Staging::new(&out)?;
        compress::write(&done, &folder.path(&out), lock.target_opset, global.jobs())?;
        let now = compress::hash_file(&folder.path(&out))?;
        if now != lock.output.sha256 {
            let d = Diagnostic::error("not-reproduced", format!("what '{}' describes came out with other bytes", path.display()));
            let d = d.note(format!("its sha256 is {now}, locked is {}", lock.output.sha256));
            let here = format!("here is lapidary {} on {}", env!("CARGO_PKG_VERSION"), cpu());
            let d = d.note(format!("it was made by lapidary {} on {}, {here}", lock.lapidary, lock.cpu));
            let help =
                if library { "a library holds its own name: give -o the name that is locked" } else { "compress again for this version and machine" };
            return Err(d.help(help).into());
        }
        let files = folder.publish()?;
        busy.finish_and_clear();
        if global.json() {
            say_json(&serde_json::json!({ "output": out, "written": true, "files": files, "sha256": now, "reproduced": true }));
        } else if !global.quiet {
            say(format_args!("wrote {} as locked, sha256 {now}", out.display()));
        }
        Ok(Status::Done)
    }
}

fn options(backend: BackendArg, target_opset: Option<u32>, out: &Path, busy: &indicatif::ProgressBar, global: &Global) -> compress::Options {
    let shown = busy.clone();
    compress::Options {
        backend: if backend == BackendArg::Native { Backend::Native } else { Backend::Eval },
        jobs: global.jobs(),
        crash_dir: folder_of(out).to_path_buf(),
        target_opset,
        progress: Rc::new(move |text| shown.set_message(text.to_string())),
    }
}

fn placed(mut e: Diagnostics, path: &Path) -> Diagnostics {
    for d in &mut e.0 {
        d.place.file.get_or_insert_with(|| path.display().to_string());
    }
    e
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `OUT.ending`.
fn beside(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}

/// Refuses, before any work, a place that cannot be written to.
fn writable(path: &Path) -> Result<()> {
    let place = path.display().to_string();
    let refuse = |why: String| Err(Diagnostic::error("file-unwritable", why).file(&place).into());
    if !folder_of(path).is_dir() {
        return refuse(format!("there is no folder '{}'", folder_of(path).display()));
    }
    if path.file_name().is_none() || path.exists() && !path.is_file() {
        return refuse(format!("'{place}' is no regular file"));
    }
    Ok(())
}

/// A folder beside the output, where everything is made before anything takes its place.
struct Staging {
    folder: tempfile::TempDir,
    target: PathBuf,
}

impl Staging {
    fn new(out: &Path) -> Result<Staging> {
        let target = folder_of(out).to_path_buf();
        let fail = |e| Diagnostic::error("file-unwritable", format!("'{}' cannot be written to: {e}", target.display()));
        let folder = tempfile::Builder::new().prefix(".lapidary-").tempdir_in(&target).map_err(fail)?;
        Ok(Staging { folder, target })
    }
    /// Where a file of the target's folder is made.
    fn path(&self, of: &Path) -> PathBuf {
        self.folder.path().join(of.file_name().unwrap_or_default())
    }
    fn write(&self, of: &Path, data: &[u8]) -> Result<()> {
        lapidary::replace_file(&self.path(of), &|f| std::io::Write::write_all(f, data))
    }
    /// Moves all files to where they belong.
    fn publish(self) -> Result<Vec<PathBuf>> {
        let fail = |e: std::io::Error| Diagnostic::error("file-unwritable", format!("'{}' cannot be written to: {e}", self.target.display()));
        let entries: std::io::Result<Vec<PathBuf>> = std::fs::read_dir(self.folder.path()).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
        let mut entries = entries.map_err(fail)?;
        entries.sort();
        let mut out = vec![];
        for from in entries {
            let name = from.file_name().unwrap_or_default();
            let to = if self.target == Path::new(".") { PathBuf::from(name) } else { self.target.join(name) };
            std::fs::rename(&from, &to).map_err(fail)?;
            out.push(to);
        }
        Ok(out)
    }
}

/// The code version that native code runs as here.
fn cpu() -> String {
    let cpu = lapidary::CompileOptions::cpus_of("native").ok().and_then(|c| serde_json::to_value(c.first()?).ok());
    cpu.and_then(|v| v.as_str().map(str::to_string)).unwrap_or_else(|| "other".into())
}

/// The table of stages, and why some were undone.
fn show(done: &Compressed, files: &[PathBuf], global: &Global) {
    if global.quiet || global.json() {
        return;
    }
    let header = ["stage", "kept", done.metric.name(), "SQNR dB", "constants", "nodes", "latency ms"];
    let mut t = table(&header, &header[2..]);
    let row = |name: &str, kept: &str, f: &Figures| {
        let metric = f.metric.map_or("–".into(), |v| done.metric.show(v));
        let latency = f.latency_before_ms.zip(f.latency_ms).map_or(String::new(), |(a, b)| format!("{} → {}", ms(a), ms(b)));
        let db = f.sqnr_db.map_or("∞".into(), |v| format!("{v:.1}"));
        [name.to_string(), kept.to_string(), metric, db, bytes(f.bytes), f.nodes.to_string(), latency]
    };
    t.add_row(row("(as given)", "", &done.start));
    for s in &done.stages {
        t.add_row(row(&s.name, if s.accepted { "yes" } else { "undone" }, &s.figures));
    }
    say(t.trim_fmt());
    for s in &done.stages {
        s.ledger.notes.iter().for_each(|n| render::show(n, global));
        if !s.accepted {
            let mut d = Diagnostic::warning("gate", format!("stage '{}' was undone: {}", s.name, s.reasons.join("; ")));
            d = d.note(format!("its passes: {}", s.pipeline));
            render::show(&d.help(format!("its gate is {}", s.gate.as_deref().unwrap_or_default())), global);
        }
    }
    for f in files {
        say(format_args!("wrote {} ({})", f.display(), bytes(std::fs::metadata(f).map_or(0, |m| m.len()))));
    }
}
