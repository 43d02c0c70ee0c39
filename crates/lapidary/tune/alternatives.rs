//! What else each kernel could be.

use super::measure::Candidate;
use lapidary_kernel::{Algorithm, Block, Choices, Cpu, Target, Tile, WINOGRAD};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Sums that must go on at once, or a unit waits for the last one: two units of four cycles each.
const LEAST_SUMS: i64 = 8;
/// Runs that are tried of kernels that are connected.
const MOST_RUNS: usize = 3;
/// Pieces that must be left for threads when blocks grow.
const LEAST_CHUNKS: i64 = 8;

/// What is decided together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Algorithm,
    Strips,
    Tile,
    Block,
}

/// All of them, in the order in which they depend on each other.
pub const DECISIONS: &[Decision] = &[Decision::Algorithm, Decision::Strips, Decision::Tile, Decision::Block];

impl Decision {
    pub fn name(self) -> &'static str {
        match self {
            Decision::Algorithm => "algorithms",
            Decision::Strips => "strips",
            Decision::Tile => "tiles",
            Decision::Block => "blocks",
        }
    }
}

/// Kernels of the same code: they choose alike, so that they share it afterwards.
#[derive(Default)]
pub struct Group {
    /// Their names, with what each would ask for.
    units: BTreeMap<String, Vec<Choices>>,
}

impl Group {
    pub fn alternatives(&self) -> usize {
        self.units.values().map(Vec::len).min().unwrap_or(0)
    }
    pub fn has(&self, unit: &str) -> bool {
        self.units.contains_key(unit)
    }
    /// Adds what all of them ask for with their alternative of a number.
    pub fn take(&self, number: usize, asked: &mut Choices) {
        self.units.values().filter_map(|all| all.get(number)).for_each(|choice| asked.extend(choice));
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.units.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// For each kernel the name of what is measured together with it: all that computes a convolution, all that may go strip by strip together, or
/// what does.
pub fn units(c: &Candidate, decision: Decision) -> Vec<String> {
    match decision {
        Decision::Algorithm => c.plan.program.kernels.iter().map(|k| convolution(&k.name).into()).collect(),
        Decision::Strips => chains(c).iter().map(|first| c.keys[*first].clone()).collect(),
        Decision::Tile | Decision::Block => (0..c.keys.len()).map(|i| c.keys[c.plan.strips_of(i).map_or(i, |s| s.first)].clone()).collect(),
    }
}

/// The name that the kernel had before it became one of Winograd's.
fn convolution(kernel: &str) -> &str {
    kernel.strip_prefix(WINOGRAD).and_then(|rest| rest.split_once(' ')).map_or(kernel, |(_, name)| name)
}

/// For each kernel the first of those that runs connect with it.
fn chains(c: &Candidate) -> Vec<usize> {
    let kernels = &c.plan.program.kernels;
    let mut first: Vec<usize> = (0..kernels.len()).collect();
    for (i, k) in kernels.iter().enumerate() {
        let last = match c.plan.choices.strips.get(&*k.name) {
            Some(true) => c.plan.strips_of(i).map_or(i, |s| s.range().end - 1),
            // A run could begin here, with the next kernel at least.
            Some(false) => i + 1,
            None => i,
        };
        let start = first[i];
        first.iter_mut().take(last + 1).skip(i).for_each(|f| *f = start);
    }
    first
}

/// The kernels that leave a choice.
pub fn groups(c: &Candidate, decision: Decision, cpu: Cpu, exact: bool) -> Vec<Group> {
    // By unit: the code of its kernels, and the alternatives.
    let mut units: BTreeMap<String, (BTreeSet<usize>, Vec<Choices>)> = BTreeMap::new();
    for ((report, key), unit) in c.kernels.iter().zip(&c.keys).zip(self::units(c, decision)) {
        let (bodies, all) = units.entry(unit.clone()).or_default();
        bodies.insert(report.body);
        let tile = |t| Choices { tiles: [(cpu, [(key.clone(), t)].into())].into(), ..Choices::default() };
        match (decision, report.tile, c.plan.choices.strips.get(&report.name)) {
            (Decision::Tile, Some(now), _) => all.extend(other_tiles(now, cpu).into_iter().map(tile)),
            (Decision::Block, Some(now), _) => all.extend(other_blocks(now, report.chunks.parse().ok()).into_iter().map(tile)),
            (Decision::Strips, _, Some(now)) if all.len() < MOST_RUNS => {
                all.push(Choices { strips: [(report.name.clone(), !now)].into(), ..Choices::default() });
            }
            (Decision::Algorithm, ..) if all.is_empty() => {
                let Some(now) = c.plan.choices.algorithms.get(&unit) else { continue };
                let others =
                    [Algorithm::Direct, Algorithm::F2, Algorithm::F4].into_iter().filter(|a| a != now && (!exact || *a == Algorithm::Direct));
                all.extend(others.map(|a| Choices { algorithms: [(unit.clone(), a)].into(), ..Choices::default() }));
            }
            _ => {}
        }
    }
    let mut groups: BTreeMap<(BTreeSet<usize>, usize), Group> = BTreeMap::new();
    for (name, (bodies, all)) in units.into_iter().filter(|(_, (_, all))| !all.is_empty()) {
        groups.entry((bodies, all.len())).or_default().units.insert(name, all);
    }
    groups.into_values().collect()
}

/// Tiles that hold sums enough, with blocks by the cost model.
fn other_tiles(now: Tile, cpu: Cpu) -> Vec<Tile> {
    let registers = 64 / Target::of(cpu).vector_bytes as i64;
    let block = now.block.unwrap_or(Block { rows: now.rows, panels: now.vectors });
    let shapes = lapidary_llvm::row_counts(cpu).iter().flat_map(|r| (1..=lapidary_llvm::max_vectors(cpu)).map(|v| (*r, v)));
    let useful =
        |(r, v): &(i64, i64)| r * v * registers >= LEAST_SUMS && *r <= block.rows && *v <= block.panels && (*r, *v) != (now.rows, now.vectors);
    shapes.filter(useful).map(|(rows, vectors)| Tile { rows, vectors, block: None }).collect()
}

/// Blocks of half and twice as many rows or panels.
fn other_blocks(now: Tile, chunks: Option<i64>) -> Vec<Tile> {
    let Some(block) = now.block else { return vec![] };
    let half = |n: i64, of: i64| ((n / 2 + of - 1) / of * of).max(of);
    let (rows, panels) = (half(block.rows, now.rows), half(block.panels, now.vectors));
    let mut blocks = vec![Block { rows, ..block }, Block { panels, ..block }];
    // Of sizes that are known at run time only, blocks stay as small as they are.
    if chunks.is_some_and(|c| c >= 2 * LEAST_CHUNKS) {
        blocks.extend([Block { rows: 2 * block.rows, ..block }, Block { panels: 2 * block.panels, ..block }]);
    }
    blocks.retain(|b| *b != block);
    blocks.into_iter().map(|b| Tile { block: Some(b), ..now }).collect()
}
