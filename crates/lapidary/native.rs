//! Native code: compiling models, opening libraries, running graphs natively for passes that measure them.

use lapidary_ir::{Diagnostic, Diagnostics, Graph, Result, Tensor, ValueId};
use lapidary_kernel::{Bounds, Choices, Cpu, Kernel, Plan, WINOGRAD};
pub use lapidary_llvm::loaded::{Context, Info, KernelTime, Library, counter};
pub use lapidary_llvm::{KernelReport, WeightsMode};
pub use lapidary_lower::LowerOptions;
use lapidary_ops::Datum;
use lapidary_rewrite::{Evaluator, Executor, Runner};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whether code generation is built in (feature `llvm19` or `llvm22`).
pub const AVAILABLE: bool = cfg!(feature = "llvm");

/// What `compile` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emit {
    /// `.so` or `.a`, by the output's name.
    #[default]
    Library,
    /// The graph after the passes, as text.
    Graph,
    /// The scheduled kernels, as text.
    Kernels,
    /// LLVM IR after optimization.
    Llvm,
    Asm,
    /// One relocatable object without runtime and weights.
    Obj,
}

/// How to generate code.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// Code versions, best first: the library uses the first that the CPU at hand can run.
    pub cpus: Vec<Cpu>,
    pub weights: WeightsMode,
    pub emit: Emit,
    /// Threads that generate code; the result does not depend on it.
    pub jobs: usize,
    pub sanitize_thread: bool,
    /// Keep the names of local functions.
    pub symbols: bool,
    /// Count the time of each kernel.
    pub profile: bool,
    pub lower: LowerOptions,
}

impl Default for CompileOptions {
    fn default() -> CompileOptions {
        let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
        let cpus = vec![Cpu::X86V4, Cpu::X86V3];
        CompileOptions {
            cpus,
            weights: WeightsMode::Auto,
            emit: Emit::Library,
            jobs,
            sanitize_thread: false,
            symbols: false,
            profile: false,
            lower: LowerOptions::default(),
        }
    }
}

impl CompileOptions {
    /// Reads `--cpu`: `auto`, `native`, or the name of a code version.
    pub fn cpus_of(name: &str) -> Result<Vec<Cpu>> {
        match name {
            "auto" => Ok(vec![Cpu::X86V4, Cpu::X86V3]),
            "native" => this_machine(),
            "x86-64-v3" | "v3" => Ok(vec![Cpu::X86V3]),
            "x86-64-v4" | "v4" => Ok(vec![Cpu::X86V4]),
            _ => {
                let d = Diagnostic::error("cpu", format!("there is no code version for CPU '{name}'"));
                let near = lapidary_ir::nearest(name, ["auto", "native", "x86-64-v3", "x86-64-v4"]).map(|n| format!("did you mean '{n}'? "));
                Err(d.help(format!("{}there are: auto, native, x86-64-v3, x86-64-v4", near.unwrap_or_default())).into())
            }
        }
    }
}

/// The best code version that this machine runs.
#[cfg(target_arch = "x86_64")]
pub(crate) fn this_machine() -> Result<Vec<Cpu>> {
    macro_rules! has {
        ($($feature:tt),+) => { $(std::arch::is_x86_feature_detected!($feature))&&+ };
    }
    if has!("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx512bf16") {
        Ok(vec![Cpu::X86V4])
    } else if has!("avx2", "fma", "bmi2", "f16c") {
        Ok(vec![Cpu::X86V3])
    } else {
        Err(Diagnostic::unsupported("cpu", "this CPU has neither AVX2 with FMA nor AVX-512")
            .help("compile with --cpu auto for other machines")
            .into())
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn this_machine() -> Result<Vec<Cpu>> {
    Err(Diagnostic::unsupported("cpu", "code is generated for x86-64 alone, and this machine is another").into())
}

/// What `compile` made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Compiled {
    pub files: Vec<PathBuf>,
    pub weights_bytes: u64,
    /// Each operator of the graph and the template that computes it.
    pub nodes: Vec<NodeReport>,
    pub kernels: Vec<KernelReport>,
    pub arena: Arena,
    /// Nodes computed by calls into the runtime or a library.
    pub host_calls: Vec<String>,
    pub warnings: Vec<Diagnostic>,
}

#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    pub name: String,
    pub op: String,
    /// `folded` for what needs no code at run time: computed at compile time, or part of index arithmetic.
    pub template: String,
}

/// The memory of intermediate values; sizes are expressions over the symbolic dims.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Arena {
    pub bytes: String,
    pub buffers: Vec<ArenaBuffer>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ArenaBuffer {
    pub name: String,
    pub offset: String,
    pub bytes: String,
}

/// Lowers a graph to scheduled kernels.
pub(crate) fn lower(graph: &Graph, options: &LowerOptions) -> Result<Plan> {
    let mut graph = graph.clone();
    let facts = crate::model::facts(&mut graph)?;
    refuse_giants(&graph)?;
    let mut plan = lapidary_lower::lower(&graph, &facts, options)?;
    let (asked, unknown) = (options.choices.len(), unknown_kernels(&plan, &options.choices));
    if unknown > 0 && unknown == asked {
        let d = Diagnostic::error("schedule", format!("none of the {asked} choices of the schedule is for a kernel of this model"));
        return Err(d.help("--tune writes a schedule for this model").into());
    }
    let symbols = plan.symbols();
    for (symbol, (low, high)) in &graph.symbols.bounds {
        if symbols.contains(symbol) && !plan.bounds.iter().any(|b| b.symbol == *symbol) {
            plan.bounds.push(Bounds { symbol: symbol.clone(), low: *low, high: high.unwrap_or(i64::MAX) });
        }
    }
    Ok(plan)
}

/// How many choices are for kernels that the model does not have.
fn unknown_kernels(plan: &Plan, asked: &Choices) -> usize {
    let known: BTreeSet<String> = plan.keys().into_iter().collect();
    let algorithms = asked.algorithms.keys().filter(|n| !plan.choices.algorithms.contains_key(*n)).count();
    let kernels = asked.strips.keys().chain(asked.tiles.values().flat_map(|t| t.keys()));
    algorithms + kernels.filter(|n| !known.contains(*n)).count()
}

/// What the user should know of a schedule that is not for this model alone.
pub fn warnings(plan: &Plan, options: &LowerOptions) -> Vec<Diagnostic> {
    let (asked, unknown) = (options.choices.len(), unknown_kernels(plan, &options.choices));
    let warning = || {
        let d = Diagnostic::warning(
            "schedule",
            format!("{unknown} of the {asked} choices of the schedule are for kernels that this model does not have"),
        );
        d.help("--tune writes a schedule for this model, with these passes")
    };
    (unknown > 0).then(warning).into_iter().collect()
}

/// The largest value that a model may compute, in bytes: what the evaluator allows too. Beyond it a size is a mistake, not a wish.
const VALUE_BYTES_MAX: usize = 8 << 30;

fn refuse_giants(graph: &Graph) -> Result<()> {
    for id in graph.operators() {
        for v in graph.node(id).outputs() {
            let elements = v.ty.as_tensor().and_then(|t| t.shape.sizes()).map(|s| s.iter().fold(1usize, |n, s| n.saturating_mul(*s)));
            if elements.is_some_and(|n| v.ty.dtype().bytes_for(n).is_none_or(|b| b > VALUE_BYTES_MAX)) {
                let d = Diagnostic::unsupported("too-large", format!("the result {} is larger than {VALUE_BYTES_MAX} bytes", v.ty));
                return Err(d.at(graph.node(id)).into());
            }
        }
    }
    Ok(())
}

/// Generates code for a graph and writes it.
pub(crate) fn compile(graph: &Graph, path: &Path, options: &CompileOptions) -> Result<Compiled> {
    if options.emit == Emit::Graph {
        crate::text::write(graph, path)?;
        return Ok(Compiled { files: vec![path.into()], ..Compiled::default() });
    }
    let plan = lower(graph, &options.lower)?;
    let mut out = report(graph, &plan);
    out.warnings = warnings(&plan, &options.lower);
    if options.emit == Emit::Kernels {
        crate::kernels::write(&plan, path)?;
        out.files.push(path.into());
        return Ok(out);
    }
    generate(&plan, path, options, &mut out)?;
    Ok(out)
}

/// The scheduled kernels as text.
pub fn kernels_text(plan: &Plan) -> String {
    plan.program.to_text()
}

#[cfg(feature = "llvm")]
pub(crate) fn generate(plan: &Plan, path: &Path, options: &CompileOptions, out: &mut Compiled) -> Result<()> {
    let emit = match options.emit {
        Emit::Llvm => lapidary_llvm::Emit::Llvm,
        Emit::Asm => lapidary_llvm::Emit::Asm,
        Emit::Obj => lapidary_llvm::Emit::Object,
        Emit::Library | Emit::Graph | Emit::Kernels => lapidary_llvm::Emit::Library,
    };
    let options = lapidary_llvm::CompileOptions {
        cpus: options.cpus.clone(),
        weights: options.weights,
        jobs: options.jobs,
        emit,
        sanitize_thread: options.sanitize_thread,
        symbols: options.symbols,
        profile: options.profile,
    };
    let made = lapidary_llvm::compile(plan, &options, path)?;
    let template = |label: &str| {
        let kernel = made.kernels.iter().rev().find(|k| k.nodes.iter().any(|n| n == label))?;
        Some(algorithm(&kernel.name).map_or_else(|| kernel.template.clone(), str::to_string))
    };
    for node in &mut out.nodes {
        node.template = template(&node.name).unwrap_or_else(|| "folded".into());
    }
    (out.files, out.weights_bytes, out.kernels) = (made.files, made.weights_bytes, made.kernels);
    Ok(())
}

#[cfg(not(feature = "llvm"))]
pub(crate) fn generate(_: &Plan, _: &Path, _: &CompileOptions, _: &mut Compiled) -> Result<()> {
    Err(no_code_generation())
}

/// What to say where code generation is not built in.
pub(crate) fn no_code_generation() -> Diagnostics {
    let d = Diagnostic::unsupported("no-llvm", "this build has no code generation");
    d.help("build with `--features llvm19` and LLVM 19 installed, or use `--backend eval`").into()
}

/// What several kernels together are, by the name of one.
fn algorithm(kernel: &str) -> Option<&'static str> {
    kernel.starts_with(WINOGRAD).then_some("winograd")
}

/// What lowering tells of each node and buffer.
fn report(graph: &Graph, plan: &Plan) -> Compiled {
    let p = &plan.program;
    let mut out = Compiled::default();
    for id in graph.operators() {
        let node = graph.node(id);
        if graph.as_constant(id.out(0)).is_some() {
            continue;
        }
        let kernel = p.kernels.iter().rev().find(|k| k.origin.iter().any(|n| &**n == node.label()));
        let template = |k: &Kernel| algorithm(&k.name).unwrap_or_else(|| k.schedule.as_ref().map_or("serial", |s| s.template()));
        let template = kernel.map_or("folded", template);
        if template == "host" {
            out.host_calls.push(node.label().to_string());
        }
        out.nodes.push(NodeReport { name: node.label().to_string(), op: node.op.to_string(), template: template.into() });
    }
    out.arena.bytes = plan.arena_bytes.to_string();
    for (id, offset) in p.buffer_ids().zip(&plan.offsets) {
        if let Some(offset) = offset {
            let b = p.buffer(id);
            let bytes = Plan::bytes_of(b.dtype, &b.elements());
            out.arena.buffers.push(ArenaBuffer { name: b.name.to_string(), offset: offset.to_string(), bytes: bytes.to_string() });
        }
    }
    out
}

/// A graph compiled into a temporary folder and loaded.
pub struct Loaded {
    pub library: Library,
    /// Holds the files as long as the library may read its weights.
    _folder: tempfile::TempDir,
}

/// Compiles a graph for this machine and loads it.
pub fn load(graph: &Graph, jobs: usize) -> Result<Loaded> {
    Ok(load_with(graph, CompileOptions { jobs, ..CompileOptions::default() })?.0)
}

/// As [`load`], with options; the CPU is this machine's. Gives the plan that the library was made of, too.
pub fn load_with(graph: &Graph, options: CompileOptions) -> Result<(Loaded, Plan)> {
    if !AVAILABLE {
        return Err(no_code_generation());
    }
    let fail = |e: std::io::Error| Diagnostic::error("temporary", format!("no temporary folder can be made: {e}"));
    let folder = tempfile::Builder::new().prefix("lapidary-").tempdir().map_err(fail)?;
    let path = folder.path().join("libmodel.so");
    let options = CompileOptions { cpus: this_machine()?, ..options };
    let plan = lower(graph, &options.lower)?;
    generate(&plan, &path, &options, &mut Compiled::default())?;
    Ok((Loaded { library: Library::open(&path)?, _folder: folder }, plan))
}

/// The inputs or outputs of a library, as arrays must fit them.
pub fn ports(infos: &[Info]) -> Vec<crate::arrays::Port> {
    use lapidary_ir::{Dim, Type};
    let port = |i: &Info| {
        let dims = i.dims.iter().enumerate().map(|(axis, d)| match d {
            Some(d) => Dim::from(*d),
            // A dim that has no name of its own is like no other.
            None => Dim::symbol(i.symbols.get(axis).cloned().flatten().unwrap_or_else(|| format!("{}.{axis}", i.name))),
        });
        crate::arrays::Port { name: i.name.clone(), ty: Type::tensor(i.dtype, dims) }
    };
    infos.iter().map(port).collect()
}

/// Tensors alone; native code takes nothing else.
pub fn tensors(values: &[Datum]) -> Result<Vec<&Tensor>> {
    let refuse = || Diagnostics::from(Diagnostic::unsupported("native-type", "native code takes and gives tensors alone"));
    values.iter().map(|d| d.as_tensor().ok_or_else(refuse)).collect()
}

/// Runs graphs natively for passes that measure them, and on the evaluator what has no native code. Values that a pass wants to see become
/// outputs of the compiled graph.
#[derive(Default)]
pub struct NativeExecutor {
    evaluator: Evaluator,
}

impl Executor for NativeExecutor {
    fn name(&self) -> &str {
        "native"
    }
    fn load<'a>(&'a self, graph: &'a Graph, taps: &[ValueId]) -> Result<Box<dyn Runner + 'a>> {
        let is_input = |v: &ValueId| graph.producer(*v).is_input();
        let computed: Vec<ValueId> = taps.iter().copied().filter(|v| !is_input(v) && graph.as_constant(*v).is_none()).collect();
        let mut tapped = graph.clone();
        computed.iter().filter(|v| !graph.is_output(**v)).for_each(|v| tapped.add_output(*v));
        match load(&tapped, std::thread::available_parallelism().map_or(1, |n| n.get())) {
            Ok(loaded) => {
                let inputs = taps.iter().copied().filter(is_input).collect();
                Ok(Box::new(NativeRunner { graph, context: loaded.library.context(0, None)?, _loaded: loaded, inputs, computed }))
            }
            Err(e) => {
                tracing::info!("measured on the evaluator: {e}");
                self.evaluator.load(graph, taps)
            }
        }
    }
}

struct NativeRunner<'a> {
    graph: &'a Graph,
    /// One for all runs: its arena and unpacked weights are made once.
    context: Context,
    _loaded: Loaded,
    /// Tapped inputs of the graph.
    inputs: Vec<ValueId>,
    /// Tapped values, in the order in which those that were no outputs were added.
    computed: Vec<ValueId>,
}

impl Runner for NativeRunner<'_> {
    fn run(&mut self, inputs: Vec<Datum>, tap: &mut dyn FnMut(ValueId, &Datum)) -> Result<Vec<Datum>> {
        let mut results = self.context.run(&tensors(&inputs)?)?;
        let mut extra = results.split_off(self.graph.outputs().len()).into_iter();
        for (v, d) in self.graph.inputs().iter().zip(&inputs).filter(|(v, _)| self.inputs.contains(v)) {
            tap(*v, d);
        }
        for v in &self.computed {
            let at = self.graph.outputs().iter().position(|o| o == v);
            if let Some(t) = at.map_or_else(|| extra.next(), |i| results.get(i).cloned()) {
                tap(*v, &t.into());
            }
        }
        Ok(results.into_iter().map(Datum::from).collect())
    }
}
