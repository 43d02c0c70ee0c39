//! The time of each kernel beside what it computes and moves, and beside the least that this machine needs for that.

use super::say;
use super::table::{ms, table};
use lapidary::Tensor;
use lapidary::native::KernelTime;
use lapidary::roofs::{Moved, Roofs, Work};
use lapidary_kernel::{BinaryOp, BufferId, BufferKind, ExprKind, Factors, Plan, Stmt};
use serde::Serialize;
use std::collections::BTreeMap;

/// Kernels that the table shows.
const SHOWN: usize = 24;

/// What one kernel, or a run of kernels that take turns, takes of each run.
#[derive(Serialize)]
pub struct Kernel {
    pub name: String,
    /// The graph's nodes that it computes.
    pub nodes: String,
    pub ms: f64,
    /// What follows is not known of a library.
    #[serde(flatten)]
    pub work: Option<Counted>,
}

#[derive(Serialize)]
pub struct Counted {
    /// Additions, products and other operations.
    pub operations: f64,
    /// What its products multiply.
    #[serde(skip)]
    pub factors: Factors,
    /// Bytes that it reads and writes.
    pub bytes: f64,
    /// The least time that operations and bytes take here, the longer of the two.
    pub floor_ms: f64,
    /// The floor's share of the time that it takes.
    pub floor_percent: f64,
    pub limit: Limit,
}

/// What takes longer at best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    Operations,
    Bytes,
}

impl Kernel {
    /// The operator that gave it its name.
    pub fn kind(&self) -> &str {
        self.name.split(':').next().unwrap_or_default()
    }
}

/// The kernels that took any time, the slowest first. `ms` turns a kernel's ticks before and after into milliseconds a run.
pub fn kernels(
    now: &[KernelTime],
    before: &[KernelTime],
    ms: &dyn Fn(&KernelTime, &KernelTime) -> f64,
    known: Option<(&Plan, &[&Tensor], &Roofs)>,
) -> Vec<Kernel> {
    let work = known.map(|(plan, inputs, roofs)| (work_of(plan, inputs), roofs));
    let kernel = |(i, (now, before)): (usize, (&KernelTime, &KernelTime))| {
        let ms = ms(now, before);
        let work = work.as_ref().and_then(|(all, roofs)| all.get(i).map(|w| counted(w, roofs, ms)));
        Kernel { name: now.name.clone(), nodes: now.nodes.clone(), ms, work }
    };
    let mut out: Vec<Kernel> = now.iter().zip(before).enumerate().map(kernel).filter(|k| k.ms > 0.0).collect();
    out.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    out
}

fn counted(w: &Work, roofs: &Roofs, ms: f64) -> Counted {
    let (computing, moving) = (roofs.computing(w), roofs.moving(w));
    let floor_ms = 1e3 * computing.max(moving);
    Counted {
        operations: w.operations,
        factors: w.factors,
        bytes: w.moves.iter().map(|m| m.bytes).sum(),
        floor_ms,
        floor_percent: 100.0 * floor_ms / ms,
        limit: if computing >= moving { Limit::Operations } else { Limit::Bytes },
    }
}

/// What each kernel does for inputs of these sizes; that of a run of kernels that take turns counts as its first's.
fn work_of(plan: &Plan, inputs: &[&Tensor]) -> Vec<Work> {
    let mut sizes: BTreeMap<String, i64> = BTreeMap::new();
    for (port, t) in plan.inputs.iter().zip(inputs) {
        for (d, size) in port.dims.iter().zip(t.sizes()) {
            if let Some(symbol) = d.as_symbol() {
                sizes.insert(symbol.to_string(), *size as i64);
            }
        }
    }
    let p = &plan.program;
    let number = |d: &lapidary_ir::Dim| d.eval(&|s| sizes.get(s).copied()).unwrap_or(0) as f64;
    let moved = |k: &lapidary_kernel::Kernel| -> Vec<(BufferId, f64)> {
        k.moved(p).into_iter().map(|(b, bytes)| (b, plan.kept_bytes(b, number(&bytes)))).collect()
    };
    let is_weight =
        |b: BufferId| matches!(p.buffer(b).kind, BufferKind::Const(_)) || plan.unpacked.get(b.0 as usize).is_some_and(|offset| offset.is_some());
    // From one use of a weight to the next all others pass.
    let mut weights: BTreeMap<BufferId, f64> = BTreeMap::new();
    for (b, bytes) in p.kernels.iter().filter(|k| !plan.runs_once(k)).flat_map(moved).filter(|(b, _)| is_weight(*b)) {
        weights.entry(b).and_modify(|most| *most = most.max(bytes)).or_insert(bytes);
    }
    let weight_bytes: f64 = weights.values().sum();
    let work = |(i, k): (usize, &lapidary_kernel::Kernel)| {
        let strip = plan.strips_of(i);
        let among = |b: BufferId, bytes: f64| match strip {
            // A strip of it is written and read again before the next.
            Some(s) if s.private.iter().any(|(private, ..)| *private == b) => 0.0,
            _ if is_weight(b) => weight_bytes,
            _ => bytes,
        };
        let moves = moved(k).into_iter().map(|(b, bytes)| Moved { bytes, among: among(b, bytes) }).collect();
        Work { operations: number(&k.operations()), factors: factors(k), moves }
    };
    let mut out: Vec<Work> = p.kernels.iter().enumerate().map(work).collect();
    for s in &plan.strips {
        let all = out[s.range()].to_vec();
        let most = all.iter().max_by(|a, b| a.operations.total_cmp(&b.operations)).map_or(Factors::F32, |w| w.factors);
        let moves = all.iter().flat_map(|w| w.moves.iter().copied()).collect();
        out[s.first] = Work { operations: all.iter().map(|w| w.operations).sum(), factors: most, moves };
    }
    out
}

/// What a kernel's products multiply; f32 where it has none.
fn factors(k: &lapidary_kernel::Kernel) -> Factors {
    if let Some(blocked) = k.blocked() {
        return if blocked.codes { Factors::Codes } else { Factors::F32 };
    }
    let product = |s: &Stmt| match s {
        Stmt::Reduce { local, value, .. } => match k.expr(*value).kind {
            ExprKind::Binary(BinaryOp::Mul, x, y) => k.factors(k.local(*local).dtype, x, y).map(|(of, _)| of),
            _ => None,
        },
        _ => None,
    };
    k.body.iter().find_map(product).unwrap_or(Factors::F32)
}

/// The table of the slowest kernels.
pub fn print(kernels: &[Kernel]) {
    let total: f64 = kernels.iter().map(|k| k.ms).sum();
    let figures = ["ms", "%", "Gop/s", "GB/s", "floor %"];
    let mut t = table(&[&["kernel", "nodes"][..], &figures].concat(), &figures);
    for k in kernels.iter().take(SHOWN) {
        let rate = |count: fn(&Counted) -> f64| k.work.as_ref().map_or("".into(), |w| format!("{:.1}", count(w) / k.ms / 1e6));
        t.add_row([
            k.kind(),
            &shortened(&k.nodes, 48),
            &ms(k.ms),
            &format!("{:.1}", 100.0 * k.ms / total.max(1e-12)),
            &rate(|w| w.operations),
            &rate(|w| w.bytes),
            &k.work.as_ref().map_or("".into(), |w| format!("{:.0}", w.floor_percent)),
        ]);
    }
    say(t.trim_fmt());
    if kernels.len() > SHOWN {
        say(format_args!("{} more kernels: --format json lists all", kernels.len() - SHOWN));
    }
}

/// Text of at most that many characters.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() > most { text.chars().take(most - 1).chain(['…']).collect() } else { text.into() }
}
