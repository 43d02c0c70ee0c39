use lapidary_ir::{Diagnostic, Result};
use lapidary_kernel::{Cpu, Tile};
use serde::Serialize;
use std::path::PathBuf;

/// How a plan is turned into files.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// Code versions, best first; the library uses the first that the CPU at hand can run.
    pub cpus: Vec<Cpu>,
    pub weights: WeightsMode,
    /// Threads that generate code. The result does not depend on it.
    pub jobs: usize,
    pub emit: Emit,
    /// Instrument for ThreadSanitizer; the program that loads the library must be instrumented too.
    pub sanitize_thread: bool,
    /// Keep the names of functions, for profilers and debuggers: step `i` of the program is `lap_step_VERSION_i`.
    pub symbols: bool,
    /// Count the time of each kernel: [`Library::profile`](crate::loaded::Library::profile) reads it.
    pub profile: bool,
}

impl Default for CompileOptions {
    fn default() -> CompileOptions {
        let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
        CompileOptions {
            cpus: vec![Cpu::X86V4, Cpu::X86V3],
            weights: WeightsMode::Auto,
            jobs,
            emit: Emit::Library,
            sanitize_thread: false,
            symbols: false,
            profile: false,
        }
    }
}

/// Where constants are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsMode {
    /// Inside the library up to 64 MiB, beside it above.
    Auto,
    Embed,
    Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// `.so` or `.a`, by the output's name.
    Library,
    /// LLVM IR after optimization, all modules in one file.
    Llvm,
    /// Assembly, all modules in one file.
    Asm,
    /// One relocatable object, without the runtime and the weights.
    Object,
}

impl WeightsMode {
    pub fn parse(s: &str) -> Result<WeightsMode> {
        match s {
            "auto" => Ok(WeightsMode::Auto),
            "embed" => Ok(WeightsMode::Embed),
            "side" => Ok(WeightsMode::Side),
            _ => Err(Diagnostic::error("option", format!("'{s}' is no place for weights")).help("there are: auto, embed, side").into()),
        }
    }
}

/// What was made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub files: Vec<PathBuf>,
    pub weights_bytes: u64,
    pub kernels: Vec<KernelReport>,
}

/// One step of the program, as the first version runs it.
#[derive(Clone, Debug, Serialize)]
pub struct KernelReport {
    pub name: String,
    /// Labels of the graph nodes that it computes.
    pub nodes: Vec<String>,
    pub template: String,
    /// How many pieces it is cut into, as an expression over symbols.
    pub chunks: String,
    /// Of a contraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile: Option<Tile>,
    /// Kernels of the same number share their code.
    #[serde(skip)]
    pub body: usize,
}
