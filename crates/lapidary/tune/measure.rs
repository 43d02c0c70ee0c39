//! Libraries that count the time of their kernels, and take turns.

use crate::native::{self, CompileOptions, Compiled, Context, KernelReport, Library};
use lapidary_ir::{Diagnostic, Graph, Result, Tensor};
use lapidary_kernel::{Choices, Cpu, Plan};
use std::time::Instant;

/// Threads that are measured: with more of them, whoever else uses a core decides.
pub const THREADS: u16 = 1;
/// How long two libraries take turns, and how often.
const SECONDS: f64 = 0.3;
const TURNS: std::ops::Range<usize> = 4..100;
/// Runs of a turn that count; the first finds the caches full of the other library's data, and does not.
const RUNS: usize = 3;
/// From here on the caches hold little of a run: it counts from the first.
const LONG_MS: f64 = 30.0;

/// A graph compiled with some choices, and loaded.
pub struct Candidate {
    /// What was chosen beforehand.
    pub asked: Choices,
    pub plan: Plan,
    pub kernels: Vec<KernelReport>,
    /// The names by which kernels choose tiles.
    pub keys: Vec<String>,
    library: Library,
    context: Context,
    /// Holds the files as long as the library may read its weights.
    _folder: tempfile::TempDir,
}

impl Candidate {
    pub fn new(graph: &Graph, options: &CompileOptions, asked: Choices) -> Result<Candidate> {
        let fail = |e: std::io::Error| Diagnostic::error("temporary", format!("no temporary folder can be made: {e}"));
        let folder = tempfile::Builder::new().prefix("lapidary-").tempdir().map_err(fail)?;
        let path = folder.path().join("libmodel.so");
        let mut options = options.clone();
        options.lower.choices = asked.clone();
        let plan = native::lower(graph, &options.lower)?;
        let mut made = Compiled::default();
        native::generate(&plan, &path, &options, &mut made)?;
        let library = Library::open(&path)?;
        let context = library.context(THREADS.into(), None)?;
        let keys = plan.keys();
        Ok(Candidate { asked, plan, keys, kernels: made.kernels, library, context, _folder: folder })
    }
    /// Everything that was chosen, by whomever.
    pub fn choices(&self, cpu: Cpu) -> Choices {
        let tiles = self.keys.iter().zip(&self.kernels).filter_map(|(key, k)| Some((key.clone(), k.tile?)));
        Choices { tiles: [(cpu, tiles.collect())].into(), ..self.plan.choices.clone() }
    }
    /// Runs once; the least ticks of each kernel, and milliseconds of the run, are kept.
    fn run(&mut self, inputs: &[&Tensor], ticks: &mut Vec<u64>, ms: &mut f64) -> Result<()> {
        let now = |c: &Candidate| c.library.profile().unwrap_or_default().iter().map(|k| k.ticks).collect::<Vec<u64>>();
        let (before, start) = (now(self), Instant::now());
        self.context.run_in_place(inputs)?;
        *ms = ms.min(start.elapsed().as_secs_f64() * 1e3);
        let spent = now(self).into_iter().zip(before).map(|(now, before)| now - before);
        ticks.resize(self.plan.program.kernels.len(), u64::MAX);
        ticks.iter_mut().zip(spent).for_each(|(least, spent)| *least = spent.min(*least));
        Ok(())
    }
}

/// What two libraries took.
pub struct Race {
    /// The least ticks of each kernel of each library. Kernels that go strip by strip count as the first of their run.
    pub ticks: [Vec<u64>; 2],
    /// The fastest run of each.
    pub ms: [f64; 2],
}

impl Race {
    /// The ticks of all kernels of a library.
    pub fn total(&self, library: usize) -> u64 {
        self.ticks[library].iter().sum()
    }
}

/// Runs two libraries in turns.
pub fn race(a: &mut Candidate, b: &mut Candidate, inputs: &[&Tensor]) -> Result<Race> {
    let mut race = Race { ticks: [vec![], vec![]], ms: [f64::INFINITY; 2] };
    let start = Instant::now();
    for turn in 0..TURNS.end {
        if turn >= TURNS.start && start.elapsed().as_secs_f64() > SECONDS {
            break;
        }
        for (i, c) in [&mut *a, &mut *b].into_iter().enumerate() {
            let long = race.ms[i] > LONG_MS && race.ms[i].is_finite();
            if !long {
                c.context.run_in_place(inputs)?;
            }
            for _ in 0..if long { 1 } else { RUNS } {
                c.run(inputs, &mut race.ticks[i], &mut race.ms[i])?;
            }
        }
    }
    Ok(race)
}

/// What the system calls this machine's CPU.
pub fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, n)| n.trim().into())
}
