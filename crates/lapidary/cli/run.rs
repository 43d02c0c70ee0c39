use super::args::{BackendArg, ExpectArgs, Global, is_library};
use super::table::{short, table};
use super::{Outcome, Status, progress, say, say_json, supervise};
use clap::Args;
use lapidary::arrays::{self, Port};
use lapidary::native::{self, Library};
use lapidary::{Comparison, Datum, Diagnostic, Model, Result, Tolerance, compare_tensors};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  lapidary run model.onnx --inputs x.npz                         print what comes out
  lapidary run libmodel.so --inputs x.npz --outputs y.npz        save it
  lapidary run model.onnx --inputs ref.npz --expect ref.npz      compare with keys out.NAME; exit code 1 where they differ

Arrays: an .npz or .safetensors whose keys are the inputs' names (or in.NAME), one .npy, or a folder with input_0.pb, … or NAME.npy.";

/// Run a model or a compiled library on arrays
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// The model, or a library that `compile` wrote
    #[arg(value_name = "MODEL|LIB")]
    model: PathBuf,
    /// The inputs
    #[arg(long, value_name = "ARRAYS")]
    inputs: PathBuf,
    /// Save the outputs under their names
    #[arg(long, value_name = "Y.npz")]
    outputs: Option<PathBuf>,
    #[command(flatten)]
    expect: ExpectArgs,
    /// What runs a model [default: native where code generation is built in]
    #[arg(long, value_enum)]
    backend: Option<BackendArg>,
    /// Threads of native code; 0: one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: u16,
}

impl Run {
    pub fn run(&self, global: &Global) -> Outcome {
        let backend = self.backend.unwrap_or_else(BackendArg::default_here);
        let library = is_library(&self.model);
        if library && self.backend == Some(BackendArg::Eval) {
            let d = Diagnostic::error("backend", "the evaluator runs models, and a library is none");
            return Err(d.help("name the model that the library was compiled from").into());
        }
        if (library || backend == BackendArg::Native)
            && let Some(outcome) = supervise::run(&self.model, global)
        {
            return outcome;
        }
        let (ports, values) = if library {
            exists(&self.model)?;
            let lib = Library::open(&self.model)?;
            let inputs = arrays::load_inputs(&native::ports(&lib.inputs), &self.inputs)?;
            (native::ports(&lib.outputs), run_library(&lib, &inputs, self.threads)?)
        } else {
            let mut model = global.open(&self.model)?;
            model.expand()?;
            let inputs = arrays::load_inputs(&model.inputs(), &self.inputs)?;
            (model.outputs(), run_model(&model, inputs, backend, self.threads, global)?)
        };
        self.finish(&ports, &values, global)
    }

    /// Compares before anything is written: a failed comparison still saves what came out.
    fn finish(&self, ports: &[Port], values: &[Datum], global: &Global) -> Outcome {
        let comparisons = match &self.expect.expect {
            Some(path) => {
                let want = arrays::load_expected(&as_computed(ports, values), path)?;
                Some(compare_all(ports, values, &want, self.expect.tolerance.get()))
            }
            None if self.expect.tolerance.given() => {
                return Err(Diagnostic::error("tolerance", "a tolerance compares with something").help("add --expect ARRAYS").into());
            }
            None => None,
        };
        if let Some(path) = &self.outputs {
            let named: Vec<(String, Datum)> = ports.iter().map(|p| p.name.clone()).zip(values.iter().cloned()).collect();
            arrays::save(path, &named)?;
        }
        let passed = comparisons.as_ref().is_none_or(|c| c.iter().all(|(_, c)| c.passed));
        if global.json() {
            let outputs: Vec<_> = ports.iter().zip(values).map(|(p, v)| serde_json::json!({ "name": p.name, "type": type_of(v) })).collect();
            let comparison = comparisons.map(|c| c.into_iter().map(|(n, c)| serde_json::json!({ "name": n, "comparison": c })).collect::<Vec<_>>());
            say_json(&serde_json::json!({ "outputs": outputs, "comparison": comparison, "passed": passed }));
        } else if let Some(c) = &comparisons {
            print_comparison(c, self.expect.tolerance.get());
        } else if self.outputs.is_none() {
            ports.iter().zip(values).for_each(|(p, v)| say(format_args!("{}: {}", p.name, preview(v))));
        } else if !global.quiet {
            ports.iter().zip(values).for_each(|(p, v)| say(format_args!("{}: {}", p.name, type_of(v))));
        }
        Ok(if passed { Status::Done } else { Status::Findings })
    }
}

/// A library that does not exist is said to be missing, not unloadable.
pub fn exists(path: &Path) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    let d = Diagnostic::error("file-missing", format!("there is no file '{}'", path.display())).file(path.display().to_string());
    Err(d.help("`lapidary compile MODEL -o libNAME.so` makes a library").into())
}

pub fn run_library(library: &Library, inputs: &[Datum], threads: u16) -> Result<Vec<Datum>> {
    let outputs = library.context(i32::from(threads), None)?.run(&native::tensors(inputs)?)?;
    Ok(outputs.into_iter().map(Datum::from).collect())
}

pub fn run_model(model: &Model, inputs: Vec<Datum>, backend: BackendArg, threads: u16, global: &Global) -> Result<Vec<Datum>> {
    match backend {
        BackendArg::Eval => {
            let _busy = progress::spinner(global, "evaluating");
            model.evaluate(inputs)
        }
        BackendArg::Native => {
            let busy = progress::spinner(global, "generating code");
            let mut fast = model.clone();
            let target = Some(lapidary::NEWEST_OPSET);
            fast.run_pipeline(&lapidary::level(2)?, lapidary::PassOptions { target_opset: target, ..Default::default() })?;
            let loaded = fast.load(global.jobs())?;
            busy.set_message("running");
            run_library(&loaded.library, &inputs, threads)
        }
    }
}

/// Ports with the types of the values that came out: expected arrays must have exactly these element types; shapes are compared later.
fn as_computed(ports: &[Port], values: &[Datum]) -> Vec<Port> {
    let ty = |v: &Datum, p: &Port| match v {
        Datum::Tensor(t) => {
            let any = lapidary::TensorType::new(t.dtype(), lapidary::Shape::Unranked);
            lapidary::Type::Tensor(any)
        }
        _ => p.ty.clone(),
    };
    ports.iter().zip(values).map(|(p, v)| Port { name: p.name.clone(), ty: ty(v, p) }).collect()
}

/// Compares outputs by name; the elements of containers one by one.
pub fn compare_all(ports: &[Port], got: &[Datum], want: &[Datum], tolerance: Tolerance) -> Vec<(String, Comparison)> {
    let mut out = vec![];
    for ((p, g), w) in ports.iter().zip(got).zip(want) {
        compare_data(&p.name, g, w, tolerance, &mut out);
    }
    out
}

fn compare_data(name: &str, got: &Datum, want: &Datum, tolerance: Tolerance, out: &mut Vec<(String, Comparison)>) {
    match (got, want) {
        (Datum::Tensor(g), Datum::Tensor(w)) => out.push((name.into(), compare_tensors(g, w, tolerance))),
        (Datum::Sequence(_, g), Datum::Sequence(_, w)) if g.len() == w.len() => {
            g.iter().zip(w).enumerate().for_each(|(i, (g, w))| compare_data(&format!("{name}[{i}]"), g, w, tolerance, out));
        }
        (Datum::Optional(_, Some(g)), Datum::Optional(_, Some(w))) => compare_data(name, g, w, tolerance, out),
        (Datum::Optional(_, None), Datum::Optional(_, None)) => {}
        // Some writers store what an optional holds in place of the optional.
        (Datum::Optional(_, Some(g)), w) => compare_data(name, g, w, tolerance, out),
        _ => {
            let empty = lapidary::Tensor::from_vec(Vec::<f32>::new());
            let problem = format!("got {}, want {}", type_of(got), type_of(want));
            out.push((name.into(), Comparison { passed: false, problem: Some(problem), ..compare_tensors(&empty, &empty, tolerance) }));
        }
    }
}

fn print_comparison(all: &[(String, Comparison)], tolerance: Tolerance) {
    let mut t = table(&["output", "elements", "max error", "relative", "SQNR dB", "verdict"], &["elements", "max error", "relative", "SQNR dB"]);
    for (name, c) in all {
        let db = c.sqnr_db.map_or(String::new(), |v| if v.is_finite() { format!("{v:.1}") } else { "∞".into() });
        let verdict = match (&c.problem, c.passed, &c.first_mismatch) {
            (Some(p), ..) => p.clone(),
            (_, true, _) => "equal".into(),
            (_, _, Some(m)) => format!("{} elements differ, the first {m}", c.mismatches),
            _ => format!("{} elements differ", c.mismatches),
        };
        t.add_row([name.clone(), c.elements.to_string(), short(c.max_abs), short(c.max_rel), db, verdict]);
    }
    say(t.trim_fmt());
    let failed = all.iter().filter(|(_, c)| !c.passed).count();
    match failed {
        0 => say(format_args!("{} outputs as expected ({tolerance})", all.len())),
        n => say(format_args!("{n} of {} outputs differ ({tolerance})", all.len())),
    }
}

pub fn type_of(d: &Datum) -> String {
    match d {
        Datum::Tensor(t) => t.ty().to_string(),
        Datum::Sequence(ty, v) => format!("seq<{ty}> of {}", v.len()),
        Datum::Optional(ty, v) => format!("optional<{ty}>{}", if v.is_none() { ", empty" } else { "" }),
    }
}

/// The type and the first elements.
fn preview(d: &Datum) -> String {
    const SHOWN: usize = 8;
    let Datum::Tensor(t) = d else { return type_of(d) };
    let mut parts: Vec<String> = match (t.as_strings(), t.to_i64(), t.to_f64()) {
        (Some(s), ..) => s.iter().take(SHOWN).map(|s| format!("{:?}", String::from_utf8_lossy(s))).collect(),
        (_, Some(v), _) => v.iter().take(SHOWN).map(|v| v.to_string()).collect(),
        (_, _, Some(v)) => v.iter().take(SHOWN).map(|v| format!("{v:.6}")).collect(),
        _ => vec![],
    };
    if t.len() > SHOWN {
        parts.push("…".into());
    }
    format!("{} [{}]", t.ty(), parts.join(", "))
}
