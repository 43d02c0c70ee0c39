//! [`Model`]: what is opened, changed by passes, evaluated, saved and compiled.

use crate::arrays::{self, Files, Port};
use crate::native::{self, CompileOptions, Compiled, NativeExecutor};
use crate::text;
use lapidary_ir::{Diagnostic, Diagnostics, Dim, Graph, NodeId, Result, Severity, Tensor, Type, nearest};
use lapidary_onnx::{Access, ExpandLimits, ReadOptions, WriteOptions};
use lapidary_ops::{Datum, EvalOptions, Facts, evaluate_with, infer_types, schema};
use lapidary_passes::{Observations, PASSES};
use lapidary_rewrite::{Check, Environment, Evaluator, Executor, Pipeline, Report, RunOptions, Step};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A model in memory. Weights stay slices of the mapped file.
#[derive(Clone, Debug)]
pub struct Model {
    onnx: lapidary_onnx::Model,
    /// What passes made besides the graph.
    side_files: Vec<(PathBuf, Vec<u8>)>,
}

/// How to open a model.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Map the file instead of reading it whole.
    pub map: bool,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions { map: true }
    }
}

/// How to save a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaveOptions {
    /// The version of ONNX's operator set to write; the model's own when `None`.
    pub target_opset: Option<u32>,
}

/// What runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The reference evaluator: slow, plain, every operator that Lapidary knows.
    Eval,
    /// Code generated for this machine.
    Native,
}

/// How to run passes.
pub struct PassOptions {
    /// The opset that the result will be written in; the model's own when `None`.
    pub target_opset: Option<u32>,
    pub check: Check,
    /// Inputs to compute results on, for the ledger's errors and for checks; random ones when empty.
    pub inputs: Vec<Vec<Datum>>,
    pub dump_each: Option<PathBuf>,
    pub stop_after: Option<usize>,
    pub why: Option<String>,
    /// Where crash reproducers go.
    pub crash_dir: PathBuf,
    /// What runs the model for passes that measure it.
    pub backend: Backend,
    /// What relative paths of `data=` options start from.
    pub data: Files,
    /// Called before each pass with its text, and how many ran before.
    pub progress: Option<Box<dyn Fn(&str, usize)>>,
}

impl Default for PassOptions {
    fn default() -> PassOptions {
        PassOptions {
            target_opset: None,
            check: Check::Off,
            inputs: vec![],
            dump_each: None,
            stop_after: None,
            why: None,
            crash_dir: ".".into(),
            backend: Backend::Eval,
            data: Files::default(),
            progress: None,
        }
    }
}

/// What `fold-quant` says that it touched when it drops an exporter's records.
const RECORDS_DROPPED: &str = "records";

/// What a symbolic dim may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimRange {
    pub symbol: String,
    pub low: i64,
    /// Equal to `low` for one size.
    pub high: i64,
}

impl std::fmt::Display for DimRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.low == self.high { write!(f, "{}={}", self.symbol, self.low) } else { write!(f, "{}={}..{}", self.symbol, self.low, self.high) }
    }
}

impl DimRange {
    /// Reads `NAME=V` or `NAME=LO..HI`, both ends included.
    pub fn parse(text: &str) -> Result<DimRange> {
        let wrong = |why: &str| -> Diagnostics {
            let d = Diagnostic::error("dim", format!("'{text}' is no size of a dim: {why}"));
            d.help("write NAME=8 for one size, NAME=1..64 for a range with both ends").into()
        };
        let (symbol, value) = text.rsplit_once('=').filter(|(n, _)| !n.is_empty()).ok_or_else(|| wrong("it is not NAME=SIZE"))?;
        let number = |s: &str| s.trim().parse::<i64>().ok().filter(|v| *v >= 0).ok_or_else(|| wrong(&format!("'{s}' is no size")));
        let (low, high) = match value.split_once("..") {
            Some((low, high)) => (number(low)?, number(high.trim_start_matches('='))?),
            None => (number(value)?, number(value)?),
        };
        if low > high {
            return Err(wrong(&format!("{low} is more than {high}")));
        }
        Ok(DimRange { symbol: symbol.trim().into(), low, high })
    }
}

/// The value that an input always has.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedInput {
    pub name: String,
    /// Of each of its elements.
    pub value: f64,
}

impl FixedInput {
    /// Reads `NAME=VALUE`: a number, or `true` or `false`.
    pub fn parse(text: &str) -> Result<FixedInput> {
        let wrong = || Diagnostic::error("fixed-input", format!("'{text}' gives no input a value")).help("write NAME=16000, or NAME=true");
        let (name, value) = text.rsplit_once('=').filter(|(n, _)| !n.is_empty()).ok_or_else(wrong)?;
        let value = match value.trim() {
            "true" => 1.0,
            "false" => 0.0,
            v => v.parse().map_err(|_| wrong())?,
        };
        Ok(FixedInput { name: name.trim().into(), value })
    }
}

/// What makes the branches of control flow that are decided by constants the only ones.
const DECIDED: &str = "fold-constants, canonicalize";

impl Model {
    /// Opens an ONNX file, or a graph in Lapidary's own text form (`.lap`). Types are inferred, and every node is checked against ONNX's
    /// definition of its operator.
    ///
    /// # Errors
    /// Files that cannot be read or are no model; graphs that contradict themselves or the operators' definitions.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
        let access = if options.map { Access::Map } else { Access::Read };
        let onnx = if path.extension().is_some_and(|e| e == "lap") {
            lapidary_onnx::Model::new(text::read(path)?)
        } else {
            lapidary_onnx::read_model(path, &ReadOptions { access, ..ReadOptions::default() })?
        };
        let place = path.display().to_string();
        Model::checked(onnx).map_err(|mut e| {
            for d in &mut e.0 {
                d.place.file.get_or_insert_with(|| place.clone());
            }
            e
        })
    }
    /// A model around a graph, with the newest operator sets.
    pub fn from_graph(graph: Graph) -> Result<Model> {
        Model::checked(lapidary_onnx::Model::new(graph))
    }
    fn checked(mut onnx: lapidary_onnx::Model) -> Result<Model> {
        let mut found = vec![];
        check_nodes(&onnx.graph, false, &mut found);
        if found.is_empty() {
            match infer_types(&mut onnx.graph) {
                Ok(facts) => {
                    onnx.notes.extend(facts.notes);
                    check_nodes(&onnx.graph, true, &mut found);
                }
                // Operands of a wrong type are the cause where inference fails further down.
                Err(e) => {
                    check_nodes(&onnx.graph, true, &mut found);
                    if found.is_empty() {
                        found = e.0;
                    }
                }
            }
        }
        if found.is_empty() { Ok(Model { onnx, side_files: vec![] }) } else { Err(text::with_lines(&onnx.graph, Diagnostics(found))) }
    }
    pub fn graph(&self) -> &Graph {
        &self.onnx.graph
    }
    /// Everything that the file says around the graph.
    pub fn onnx(&self) -> &lapidary_onnx::Model {
        &self.onnx
    }
    /// The graph as text.
    pub fn to_text(&self) -> String {
        text::print(self.graph())
    }
    /// The version of ONNX's operator set that the model is written in.
    pub fn opset(&self) -> u32 {
        self.onnx.opset()
    }
    pub fn inputs(&self) -> Vec<Port> {
        arrays::inputs_of(self.graph())
    }
    pub fn outputs(&self) -> Vec<Port> {
        arrays::outputs_of(self.graph())
    }
    /// Runs the pipeline `text`, such as `"fold-constants, dce"`.
    pub fn run_passes(&mut self, text: &str) -> Result<Report> {
        self.run_pipeline(&crate::parse_pipeline(text)?, PassOptions::default())
    }
    /// Runs the pipeline of a level, 0 to 3.
    pub fn optimize(&mut self, level: u8) -> Result<Report> {
        self.run_pipeline(&crate::level(level)?, PassOptions::default())
    }
    /// Runs a pipeline. On an error the model is as it was before the pass that failed. Opsets rise where the target or a pass asks for it.
    pub fn run_pipeline(&mut self, pipeline: &Pipeline, options: PassOptions) -> Result<Report> {
        let mut run = RunOptions::new(options.target_opset.unwrap_or_else(|| self.opset()));
        run.check = options.check;
        run.inputs = options.inputs;
        run.dump_each = options.dump_each;
        run.stop_after = options.stop_after;
        run.why = options.why;
        run.crash_dir = options.crash_dir;
        run.progress = options.progress;
        let (evaluator, native) = (Evaluator::default(), NativeExecutor::default());
        let executor: &dyn Executor = if options.backend == Backend::Native { &native } else { &evaluator };
        let env = Environment { passes: PASSES, executor, data: &options.data };
        let report = lapidary_rewrite::run(&mut self.onnx.graph, pipeline, &env, &run).map_err(|e| text::with_lines(&self.onnx.graph, e))?;
        self.onnx.opsets.insert("".into(), report.opset);
        let placed = report.files.iter().map(|f| (options.data.root.join(&f.path), f.bytes.clone()));
        self.side_files.extend(placed);
        // PyTorch's list of parameters names what is stored as codes now: it goes with its records on nodes.
        if report.ledger.entries.iter().any(|e| e.touched.contains_key(RECORDS_DROPPED)) {
            self.onnx.drop_graph_metadata("pkg.torch.export.");
        }
        Ok(report)
    }
    /// Writes what passes made besides the graph (an adapter, say), where their options said.
    ///
    /// # Errors
    /// Folders that cannot be made or written to.
    pub fn write_side_files(&self) -> Result<()> {
        for (path, bytes) in &self.side_files {
            if let Some(folder) = path.parent() {
                let failed = |e: std::io::Error| Diagnostic::error("file-unwritable", format!("'{}' cannot be made: {e}", folder.display()));
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            crate::files::replace(path, &|f| std::io::Write::write_all(f, bytes))?;
        }
        Ok(())
    }
    /// Runs the model over `data` (relative to `files`), `batch` samples at a time, and notes what appears in every float value.
    pub fn observe(&self, data: &str, files: &Files, batch: i64, backend: Backend) -> Result<Observations> {
        let expanded = self.executable()?;
        let (evaluator, native) = (Evaluator::default(), NativeExecutor::default());
        let executor: &dyn Executor = if backend == Backend::Native { &native } else { &evaluator };
        Observations::gather(expanded.graph(), executor, files, data, batch).map_err(|e| text::with_lines(expanded.graph(), e))
    }
    /// Writes the model: ONNX, or the text form when the name ends in `.lap`. The file is replaced at once or not at all.
    pub fn save(&self, path: &Path, options: &SaveOptions) -> Result<()> {
        if path.extension().is_some_and(|e| e == "lap") {
            return text::write(self.graph(), path);
        }
        let options = WriteOptions { target_opset: options.target_opset, ..WriteOptions::default() };
        lapidary_onnx::write_model(&self.onnx, path, &options).map(drop).map_err(|e| text::with_lines(self.graph(), e))
    }
    /// Runs the reference evaluator on inputs in the graph's order.
    pub fn evaluate(&self, inputs: Vec<Datum>) -> Result<Vec<Datum>> {
        self.evaluate_each(inputs, &mut |_, _| {})
    }
    /// As [`Model::evaluate`]; `tap` sees every value, by name, as it is made.
    pub fn evaluate_each(&self, inputs: Vec<Datum>, tap: &mut dyn FnMut(&str, &Datum)) -> Result<Vec<Datum>> {
        let expanded = self.executable()?;
        let g = expanded.graph();
        let run = evaluate_with(g, inputs, &EvalOptions::default(), &mut |v, d| tap(&g.value(v).name, d));
        run.map_err(|e| text::with_lines(g, e))
    }
    /// Takes inputs away that always have the same value, and the branches that are then never taken.
    ///
    /// # Errors
    /// A name that is no input; inputs whose size is not known; values that their types do not hold.
    pub fn fix_inputs(&mut self, inputs: &[FixedInput]) -> Result<()> {
        for f in inputs {
            let wrong = |why: String| Diagnostic::error("fixed-input", why);
            let g = &mut self.onnx.graph;
            let Some(old) = g.inputs().iter().copied().find(|v| *g.value(*v).name == *f.name) else {
                let names: Vec<&str> = g.inputs().iter().map(|v| &*g.value(*v).name).collect();
                let help = nearest(&f.name, names.iter().copied())
                    .map_or_else(|| format!("the inputs are: {}", names.join(", ")), |n| format!("did you mean '{n}'?"));
                return Err(wrong(format!("there is no input '{}'", f.name)).help(help).into());
            };
            let (ty, dtype) = (g.ty(old).clone(), g.ty(old).dtype());
            let sizes = ty.dims().and_then(|dims| dims.iter().map(|d| d.as_const()?.try_into().ok()).collect::<Option<Vec<usize>>>());
            let Some(sizes) = sizes else {
                let e = wrong(format!("input '{}' is {ty}, and has no one size", f.name));
                return Err(e.help("only an input of known size can be fixed").into());
            };
            let tensor = Tensor::from_f64(dtype, &sizes, &vec![f.value; sizes.iter().product()])?;
            if tensor.to_f64().is_none_or(|v| v.iter().any(|x| *x != f.value && !dtype.is_float())) {
                return Err(wrong(format!("input '{}' is {ty}, which does not hold {}", f.name, f.value)).into());
            }
            let name = g.fresh_name(&f.name);
            let new = g.add_const(name, tensor);
            g.replace_uses(old, new);
            g.remove_input(old);
        }
        if inputs.is_empty() { Ok(()) } else { self.run_passes(DECIDED).map(drop) }
    }
    /// Fixes or bounds symbolic dims.
    ///
    /// # Errors
    /// A name that is no symbolic dim of an input; sizes that contradict the graph.
    pub fn set_dims(&mut self, dims: &[DimRange]) -> Result<()> {
        let known = self.input_symbols();
        for d in dims {
            if !known.contains(&d.symbol) {
                let list: Vec<&str> = known.iter().map(String::as_str).collect();
                let e = Diagnostic::error("dim", format!("no input has a symbolic dim '{}'", d.symbol));
                return Err(match nearest(&d.symbol, list.iter().copied()) {
                    Some(near) => e.help(format!("did you mean '{near}'?")),
                    None if list.is_empty() => e.help("all dims of the inputs are constant"),
                    None => e.help(format!("the symbolic dims are: {}", list.join(", "))),
                }
                .into());
            }
            if d.low == d.high {
                substitute(&mut self.onnx.graph, &d.symbol, d.low);
            } else {
                self.onnx.graph.symbols.bounds.insert(d.symbol.as_str().into(), (d.low, Some(d.high)));
            }
        }
        infer_types(&mut self.onnx.graph).map(drop).map_err(|e| text::with_lines(&self.onnx.graph, e))
    }
    /// The names of the symbolic dims of the inputs.
    pub fn input_symbols(&self) -> BTreeSet<String> {
        let g = self.graph();
        g.inputs().iter().flat_map(|v| g.ty(*v).dims().into_iter().flatten()).flat_map(|d| d.symbols()).map(|s| s.to_string()).collect()
    }
    /// Generates native code: a library (`.so` or `.a` by name) with header and pkg-config file, or what `options.emit` names. Passes are
    /// the caller's: run [`Model::optimize`] before, with the newest opset as target.
    pub fn compile(&self, path: &Path, options: &CompileOptions) -> Result<Compiled> {
        let expanded = self.executable()?;
        native::compile(expanded.graph(), path, options).map_err(|e| text::with_lines(expanded.graph(), e))
    }
    /// The kernels that code is generated from.
    pub fn lower(&self, options: &native::LowerOptions) -> Result<lapidary_kernel::Plan> {
        let expanded = self.executable()?;
        native::lower(expanded.graph(), options).map_err(|e| text::with_lines(expanded.graph(), e))
    }
    /// Measures candidate schedules on this machine, see [`crate::tune`].
    pub fn tune(&self, inputs: &[Datum], options: &CompileOptions, progress: &mut dyn FnMut(&str)) -> Result<crate::tune::Tuned> {
        let expanded = self.executable()?;
        crate::tune::tune(expanded.graph(), inputs, options, progress).map_err(|e| text::with_lines(expanded.graph(), e))
    }
    /// Compiles the graph for this machine and loads it.
    pub fn load(&self, jobs: usize) -> Result<native::Loaded> {
        let expanded = self.executable()?;
        native::load(expanded.graph(), jobs).map_err(|e| text::with_lines(expanded.graph(), e))
    }
    /// As [`Model::load`], for a library that counts the time of each kernel, and the kernels.
    pub fn load_profiled(&self, jobs: usize) -> Result<(native::Loaded, lapidary_kernel::Plan)> {
        let expanded = self.executable()?;
        let options = CompileOptions { jobs, profile: true, ..CompileOptions::default() };
        native::load_with(expanded.graph(), options).map_err(|e| text::with_lines(expanded.graph(), e))
    }
    /// Replaces every call of one of the model's functions by the function's body, as running and compiling do.
    ///
    /// # Errors
    /// Functions that call themselves or grow beyond the limits; operators that Lapidary does not know.
    pub fn expand(&mut self) -> Result<()> {
        if !self.onnx.functions.is_empty() {
            *self = Model::checked(lapidary_onnx::expand_functions(&self.onnx, &ExpandLimits::default())?)?;
        }
        self.refuse_unknown()
    }
    /// The model without functions, all operators known.
    pub(crate) fn executable(&self) -> Result<Cow<'_, Model>> {
        if self.onnx.functions.is_empty() {
            return self.refuse_unknown().map(|()| Cow::Borrowed(self));
        }
        let mut expanded = self.clone();
        expanded.expand()?;
        Ok(Cow::Owned(expanded))
    }
    /// An error that names every operator that Lapidary does not know.
    fn refuse_unknown(&self) -> Result<()> {
        let mut found = vec![];
        unknown_operators(self.graph(), &mut found);
        if found.is_empty() { Ok(()) } else { Err(text::with_lines(self.graph(), Diagnostics(found))) }
    }
}

/// What inference knows of a graph, for lowering.
pub(crate) fn facts(graph: &mut Graph) -> Result<Facts> {
    infer_types(graph)
}

/// Checks nodes against ONNX's table of operators: arity and attributes, then (`types`) the operands' types.
fn check_nodes(graph: &Graph, types: bool, found: &mut Vec<Diagnostic>) {
    for id in graph.operators() {
        let node = graph.node(id);
        if let Some(schema) = schema::exact(&node.op) {
            let all = if types { schema.check(graph, id) } else { schema.check_form(node) };
            found.extend(all.into_iter().filter(|d| d.severity == Severity::Error));
        }
        node.regions.iter().for_each(|r| check_nodes(&r.graph, types, found));
    }
}

fn unknown_operators(graph: &Graph, found: &mut Vec<Diagnostic>) {
    for id in graph.operators() {
        let node = graph.node(id);
        if lapidary_ops::find(&node.op).is_none() {
            found.push(unknown(graph, id));
        }
        node.regions.iter().for_each(|r| unknown_operators(&r.graph, found));
    }
}

fn unknown(graph: &Graph, id: NodeId) -> Diagnostic {
    let node = graph.node(id);
    let d = Diagnostic::unsupported("unknown-operator", format!("operator '{}' is not known", node.op)).at(node);
    match nearest(&node.op.name, lapidary_ops::OPS.iter().map(|o| o.name)) {
        Some(near) if near != &*node.op.name => d.help(format!("the nearest known operator is '{near}'; `lapidary ops` lists all")),
        _ => d.help("`lapidary ops` lists the operators that are known; `inspect` and `opt` keep the others as they are"),
    }
}

/// Replaces a symbol by a size in every type of a graph and of the bodies within.
fn substitute(graph: &mut Graph, symbol: &str, size: i64) {
    let replace = |ty: &mut Type| {
        if let Type::Tensor(t) = ty
            && let lapidary_ir::Shape::Ranked(dims) = &mut t.shape
        {
            for d in dims {
                *d = d.substitute(&|n| (n == symbol).then(|| Dim::from(size)));
            }
        }
    };
    graph.symbols.bounds.remove(symbol);
    for id in graph.node_ids().collect::<Vec<_>>() {
        let node = graph.node_mut(id);
        node.outputs_mut().iter_mut().for_each(|v| replace(&mut v.ty));
        node.regions.iter_mut().for_each(|r| substitute(&mut r.graph, symbol, size));
    }
}

/// Whether a pipeline calls a pass that takes data, and so runs the model.
pub(crate) fn takes_data(pipeline: &Pipeline) -> bool {
    pipeline.0.iter().any(|s| match s {
        Step::Pass(c) => c.options.iter().any(|(name, _)| name == "data"),
        Step::Repeat { body, .. } | Step::On { body, .. } => takes_data(body),
    })
}

impl PassOptions {
    /// The backend that suits a pipeline: native code for passes that run the model on data, where code generation is built in; the
    /// evaluator for everything else.
    pub fn backend_for(pipeline: &Pipeline, check: Check) -> Backend {
        if check != Check::Verify && native::AVAILABLE && takes_data(pipeline) { Backend::Native } else { Backend::Eval }
    }
}
