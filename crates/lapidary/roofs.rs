//! What this machine computes and reads in a second at best: the roofs under which kernels work, and the least time that a kernel needs.
//!
//! Roofs are measured with kernels that `compile` makes of small graphs, so that they are as near to the machine's limits as its code comes.
//! Each thread runs a library of its own context, all at once: no thread waits for another, and what they share (memory, the last cache, a
//! core's units) is shared as in a run.

use crate::native::{self, CompileOptions, Context, Loaded};
use lapidary_ir::{DType, Result, Tensor};
use lapidary_kernel::Factors;
use rayon::prelude::*;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Rounds of a measurement; the best counts, as neighbours on the machine can only take time away.
const ROUNDS: usize = 16;
const ROUND: Duration = Duration::from_millis(3);
/// Rows, terms and columns of the products that are timed. The left factor and the weights lie in a second-level cache, the panels that a tile
/// reads in the first; products of other shapes of that size come within 2 % of it.
const PRODUCT: [usize; 3] = [384, 512, 512];
/// Columns of the rows that are added up: 16 KiB, long enough that what is done once a row does not count.
const COLUMNS: usize = 4096;
/// Caches where the system does not tell their sizes.
const SECOND_CACHE_BYTES: usize = 1 << 20;
/// What is read to time memory has at least this size, or four times the caches'.
const MEMORY_BYTES: usize = 64 << 20;

/// The roofs of this machine at a number of threads.
#[derive(Clone, Debug, Serialize)]
pub struct Roofs {
    pub threads: usize,
    /// By what products multiply, the slowest first.
    pub peaks: Vec<Peak>,
    /// Where data lies, the nearest first.
    pub levels: Vec<Level>,
}

/// The operations of products, a product and its sum counted apart.
#[derive(Clone, Debug, Serialize)]
pub struct Peak {
    #[serde(skip)]
    pub factors: Factors,
    pub name: &'static str,
    pub operations_per_second: f64,
}

/// A cache, or memory.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    pub name: &'static str,
    /// What the threads' caches hold together; `None` for memory.
    pub capacity_bytes: Option<usize>,
    /// Of reading.
    pub bytes_per_second: f64,
}

/// What a kernel cannot do without.
#[derive(Clone, Debug)]
pub struct Work {
    pub operations: f64,
    /// What most of its products multiply.
    pub factors: Factors,
    pub moves: Vec<Moved>,
}

/// Bytes that a kernel reads or writes, and how many there are that take turns in the same place: a cache that holds those holds these.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub bytes: f64,
    pub among: f64,
}

impl Roofs {
    /// Seconds that the operations take at the peak.
    pub fn computing(&self, w: &Work) -> f64 {
        self.peaks.iter().find(|p| p.factors == w.factors).map_or(0.0, |p| w.operations / p.operations_per_second)
    }
    /// Seconds that the bytes take, each from the nearest level that can hold them.
    pub fn moving(&self, w: &Work) -> f64 {
        let holds = |l: &&Level, m: &Moved| l.capacity_bytes.is_none_or(|c| m.among <= c as f64);
        let seconds = |m: &Moved| self.levels.iter().find(|l| holds(l, m)).map_or(0.0, |l| m.bytes / l.bytes_per_second);
        w.moves.iter().map(seconds).sum()
    }
}

/// Measures the roofs; 0 threads are one per core. Takes about half a second.
///
/// # Errors
/// Builds without code generation; machines that it makes no code for.
pub fn measure(threads: u16, jobs: usize) -> Result<Roofs> {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = if threads == 0 { cores() } else { usize::from(threads) };
    let [rows, terms, columns] = PRODUCT;
    let all = [Factors::F32, Factors::Bf16, Factors::Codes];
    let load =
        |text: String| native::load_with(&lapidary_ir::text::parse(&text, &Default::default())?, CompileOptions { jobs, ..Default::default() });
    let texts: Vec<String> = all.into_iter().map(product).chain([sums()]).collect();
    let mut loaded: Vec<Loaded> = texts.into_par_iter().map(|t| load(t).map(|(l, _)| l)).collect::<Result<_>>()?;
    let reader = loaded.pop();

    let mut peaks = vec![];
    for (factors, loaded) in all.into_iter().zip(&loaded) {
        let (name, dtype) = match factors {
            Factors::F32 => ("f32", DType::F32),
            Factors::Bf16 => ("bf16", DType::BF16),
            Factors::Codes => ("8-bit", DType::U8),
        };
        let a = filled(dtype, &[rows, terms])?;
        let operations = 2.0 * (rows * terms * columns) as f64;
        peaks.push(Peak { factors, name, operations_per_second: operations * runs_per_second(loaded, threads, &a)? });
    }
    let mut levels = vec![];
    for (name, capacity_bytes, each) in places(threads) {
        let rows = (each / (4 * COLUMNS)).max(1);
        let x = filled(DType::F32, &[rows, COLUMNS])?;
        let rate = reader.as_ref().map_or(Ok(0.0), |r| runs_per_second(r, threads, &x))?;
        levels.push(Level { name, capacity_bytes, bytes_per_second: rate * x.bytes().len() as f64 });
    }
    Ok(Roofs { threads, peaks, levels })
}

/// A product with constant weights, which lie in panels as a model's do.
fn product(factors: Factors) -> String {
    let [m, k, n] = PRODUCT;
    match factors {
        Factors::F32 => format!(
            "graph @peak(%a: f32[{m}, {k}]) {{\n  const %w : f32[{k}, {n}] = random(1)\n  %y = MatMul(%a, %w) : f32[{m}, {n}]\n  return %y\n}}\n"
        ),
        Factors::Bf16 => format!(
            "graph @peak(%a: bf16[{m}, {k}]) {{\n  const %w : bf16[{k}, {n}] = random(1)\n  %x = Cast(%a) {{to=1}} : f32[{m}, {k}]\n  \
             %v = Cast(%w) {{to=1}} : f32[{k}, {n}]\n  %y = MatMul(%x, %v) : f32[{m}, {n}]\n  return %y\n}}\n"
        ),
        Factors::Codes => format!(
            "graph @peak(%a: u8[{m}, {k}]) {{\n  const %w : i8[{k}, {n}] = random(1)\n  %y = MatMulInteger(%a, %w) : i32[{m}, {n}]\n  \
             return %y\n}}\n"
        ),
    }
}

/// Sums of rows: the kernel that does least for what it reads.
fn sums() -> String {
    format!(
        "graph @read(%x: f32[M, {COLUMNS}]) {{\n  const %axis : i64[1] = [1]\n  %y = ReduceSum(%x, %axis) {{keepdims=0}} : f32[M]\n  \
         return %y\n}}\n"
    )
}

/// Small normal numbers in every type.
fn filled(dtype: DType, sizes: &[usize]) -> Result<Tensor> {
    Tensor::new(dtype, sizes, vec![0x3c_u8; dtype.bytes_for(sizes.iter().product()).unwrap_or(0)])
}

/// How often all threads together run the library in a second, in the best round.
fn runs_per_second(loaded: &Loaded, threads: usize, input: &Tensor) -> Result<f64> {
    let mut contexts: Vec<Context> = (0..threads).map(|_| loaded.library.context(1, None)).collect::<Result<_>>()?;
    // The first run touches memory for the first time.
    contexts.iter_mut().try_for_each(|c| c.run_in_place(&[input]))?;
    let rate = |context: &mut Context| -> Result<f64> {
        let (start, mut runs) = (Instant::now(), 0u32);
        while start.elapsed() < ROUND {
            context.run_in_place(&[input])?;
            runs += 1;
        }
        Ok(f64::from(runs) / start.elapsed().as_secs_f64())
    };
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let rates: Vec<Result<f64>> = std::thread::scope(|s| {
            let running: Vec<_> = contexts.iter_mut().map(|c| s.spawn(|| rate(c))).collect();
            running.into_iter().map(|r| r.join().unwrap_or(Ok(0.0))).collect()
        });
        best = best.max(rates.into_iter().sum::<Result<f64>>()?);
    }
    Ok(best)
}

/// Where data may lie: name, what the threads' caches hold of it together, and what each thread reads to time it.
fn places(threads: usize) -> Vec<(&'static str, Option<usize>, usize)> {
    let second = cache_bytes(2).unwrap_or(SECOND_CACHE_BYTES);
    let mut out = vec![("L2", Some(second * threads), second / 2)];
    let third = cache_bytes(3).unwrap_or(0);
    // Four times what the second-level cache holds, so that nothing of it is left there; a third-level cache that is no larger is no place of its own.
    if 8 * second * threads <= third {
        out.push(("L3", Some(third), 4 * second));
    }
    let memory = MEMORY_BYTES.max(4 * third) / threads;
    out.push(("DRAM", None, memory.max(8 * second)));
    out
}

/// The size of this machine's data cache of a level, as Linux tells it.
fn cache_bytes(level: u8) -> Option<usize> {
    (0..8).find_map(|i| {
        let read = |what: &str| std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{i}/{what}")).ok();
        let found = read("level")?.trim() == level.to_string() && read("type")?.trim() != "Instruction";
        let kibibytes: usize = read("size")?.trim().strip_suffix('K')?.parse().ok()?;
        (found && kibibytes > 0).then_some(kibibytes << 10)
    })
}

/// What the CPU calls itself.
pub fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_string()));
    name.filter(|n| !n.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roofs() -> Roofs {
        let peak = |factors, name, operations_per_second| Peak { factors, name, operations_per_second };
        let level = |name, capacity_bytes, bytes_per_second| Level { name, capacity_bytes, bytes_per_second };
        Roofs {
            threads: 1,
            peaks: vec![peak(Factors::F32, "f32", 200.0), peak(Factors::Codes, "8-bit", 800.0)],
            levels: vec![level("L2", Some(1000), 100.0), level("DRAM", None, 10.0)],
        }
    }

    #[test]
    fn codes_are_faster_than_floats() {
        let work = |factors| Work { operations: 400.0, factors, moves: vec![] };
        assert_eq!((roofs().computing(&work(Factors::F32)), roofs().computing(&work(Factors::Codes))), (2.0, 0.5));
    }

    #[test]
    fn bytes_come_from_the_nearest_level_that_holds_all_that_take_turns() {
        let moves = vec![Moved { bytes: 500.0, among: 500.0 }, Moved { bytes: 500.0, among: 5000.0 }];
        assert_eq!(roofs().moving(&Work { operations: 0.0, factors: Factors::F32, moves }), 5.0 + 50.0);
    }

    #[test]
    fn memory_is_the_last_place_and_holds_everything() {
        for threads in [1, 2, 64] {
            let all = places(threads);
            assert!(all.iter().take(all.len() - 1).all(|(_, c, _)| c.is_some()) && all.last().is_some_and(|(_, c, _)| c.is_none()), "{all:?}");
        }
    }

    #[test]
    #[cfg(feature = "llvm")]
    fn roofs_are_measured() {
        let roofs = measure(1, 1).unwrap();
        assert!(roofs.peaks.iter().all(|p| p.operations_per_second > 1e8), "{roofs:?}");
        assert!(roofs.levels.iter().all(|l| l.bytes_per_second > 1e7), "{roofs:?}");
    }
}
