//! One decision after the other, each by measuring.

use super::alternatives::{self, DECISIONS, Decision, Group};
use super::measure::{self, Candidate, Race};
use super::{Tuned, Tuning};
use crate::native::{CompileOptions, Emit, tensors, this_machine};
use lapidary_ir::{Diagnostic, Graph, Result, Tensor};
use lapidary_kernel::{Choices, Cpu};
use lapidary_ops::Datum;

/// What an alternative must save of a kernel's time: runs of the same code differ by less.
const GAIN: f64 = 0.03;
/// How often what was chosen is measured together, each time without those that gained nothing.
const TOGETHER: usize = 3;

/// Measures a graph on these inputs, for the first of the options' code versions that this machine runs.
///
/// # Errors
/// No code version that this machine runs; inputs that are no tensors.
pub fn tune(graph: &Graph, inputs: &[Datum], options: &CompileOptions, progress: &mut dyn FnMut(&str)) -> Result<Tuned> {
    let cpu = version(options)?;
    let options = CompileOptions { cpus: vec![cpu], emit: Emit::Library, sanitize_thread: false, profile: true, ..options.clone() };
    let inputs = tensors(inputs)?;
    progress("tuning");
    let mut best = Candidate::new(graph, &options, Choices::default())?;
    let usual = best.choices(cpu);
    for decision in DECISIONS {
        if let Some(better) = decide(graph, &mut best, *decision, cpu, &inputs, &options, progress)? {
            best = better;
        }
    }
    let found = best.choices(cpu);
    progress("tuning: the whole model");
    let mut start = Candidate::new(graph, &options, Choices::default())?;
    let [before_ms, after_ms] = measure::race(&mut start, &mut best, &inputs)?.ms;
    let changed = different(&found, &usual);
    Ok(Tuned { tuning: Tuning::new(measure::cpu_name(), measure::THREADS, found), changed, before_ms, after_ms })
}

/// The best of the code versions that this machine runs.
fn version(options: &CompileOptions) -> Result<Cpu> {
    let here = this_machine()?;
    // A machine runs its version and those before it.
    let runs = |c: &&Cpu| here.iter().any(|h| *h >= **c);
    options.cpus.iter().find(runs).copied().ok_or_else(|| {
        let d = Diagnostic::unsupported("cpu", "this machine does not run the code that is to be measured");
        d.help("--tune measures on the machine that it runs on: leave --cpu out").into()
    })
}

/// The library in which the kernels that gain by an alternative have taken it; `None` where none does.
fn decide(
    graph: &Graph,
    best: &mut Candidate,
    decision: Decision,
    cpu: Cpu,
    inputs: &[&Tensor],
    options: &CompileOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Option<Candidate>> {
    let groups = alternatives::groups(best, decision, cpu, options.lower.exact_conv);
    let most = groups.iter().map(Group::alternatives).max().unwrap_or(0);
    let asked = |best: &Candidate, taken: &[(usize, usize)]| {
        let mut asked = best.asked.clone();
        taken.iter().for_each(|(g, number)| groups[*g].take(*number, &mut asked));
        asked
    };
    // Of each group the alternative that took the least part of its time.
    let mut least: Vec<Option<(f64, usize)>> = vec![None; groups.len()];
    for number in 0..most {
        progress(&format!("tuning {}: {} of {most}", decision.name(), number + 1));
        let taken: Vec<(usize, usize)> = (0..groups.len()).filter(|g| number < groups[*g].alternatives()).map(|g| (g, number)).collect();
        let mut other = Candidate::new(graph, options, asked(best, &taken))?;
        let race = measure::race(best, &mut other, inputs)?;
        for (g, _) in taken {
            let part = part(&groups[g], decision, &race, [best, &other]);
            tracing::debug!("{}: alternative {number} takes {part:.3} of the time", groups[g]);
            if part < 1.0 - GAIN && least[g].is_none_or(|(p, _)| part < p) {
                least[g] = Some((part, number));
            }
        }
    }
    let mut taken: Vec<(usize, usize)> = least.iter().enumerate().filter_map(|(g, l)| Some((g, (*l)?.1))).collect();
    for _ in 0..TOGETHER {
        if taken.is_empty() {
            break;
        }
        progress(&format!("tuning {}: together", decision.name()));
        let mut other = Candidate::new(graph, options, asked(best, &taken))?;
        let race = measure::race(best, &mut other, inputs)?;
        let before = taken.len();
        taken.retain(|(g, _)| part(&groups[*g], decision, &race, [best, &other]) < 1.0 - GAIN / 2.0);
        if taken.len() == before {
            return Ok((race.total(1) < race.total(0)).then_some(other));
        }
    }
    Ok(None)
}

/// The time of a group's kernels in the second library, in parts of that in the first.
fn part(group: &Group, decision: Decision, race: &Race, libraries: [&Candidate; 2]) -> f64 {
    let ticks = |i: usize| -> u64 {
        // Another algorithm is other kernels of the same name; all else keeps their order.
        let units = alternatives::units(if decision == Decision::Algorithm { libraries[i] } else { libraries[0] }, decision);
        units.iter().zip(&race.ticks[i]).filter(|(u, _)| group.has(u)).map(|(_, t)| *t).sum()
    };
    ticks(1) as f64 / ticks(0).max(1) as f64
}

/// How many choices are other than the usual ones.
fn different(found: &Choices, usual: &Choices) -> usize {
    let algorithms = found.algorithms.iter().filter(|(k, v)| usual.algorithms.get(*k) != Some(v)).count();
    let strips = found.strips.iter().filter(|(k, v)| usual.strips.get(*k) != Some(v)).count();
    let tiles = found.tiles.iter().flat_map(|(cpu, t)| t.iter().filter(|(k, v)| usual.tile(*cpu, k) != Some(**v)));
    algorithms + strips + tiles.count()
}
