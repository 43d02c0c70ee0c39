//! How a kernel is cut: the templates map, window, row and serial are one plan of loops, with vectors along a parallel axis, along an axis of
//! the statements, or nowhere. `loops` and `statements` emit it.

use super::expr::{Emitter, broken};
use super::memory::is_far;
use super::scope::Run;
use lapidary_ir::{Dim, Result};
use lapidary_kernel::{AxisId, BinaryOp, ExprKind, Index, Kernel, Program, Schedule, Stmt, UnaryOp};
use std::collections::BTreeSet;

/// Work that one chunk should hold, in units of about 0.1 ns: some microseconds, so that claiming it costs little, and kernels of ten
/// microseconds are shared out evenly.
pub const CHUNK_WORK: i64 = 40_000;
/// Work along the vector axis that is one tile, where there are enough rows for all threads.
const TILE_WORK: i64 = 300_000;
/// Rows that are enough.
const MANY_ROWS: i64 = 16;

/// Loops of a fixed number of turns are written out up to this many.
const UNROLL_LIMIT: i64 = 32;
/// Points of a run, where it is not known how many there are.
const RUN: i64 = 4;
/// Points of a run whose windows come from beyond the caches of a core and hardly overlap.
const STREAMING_RUN: i64 = 2;

/// How neighbouring points share what is read.
#[derive(Clone, Copy, Debug)]
pub enum Sharing {
    /// Runs of up to so many are computed together.
    Run(i64),
    /// A chunk has at least so many, for which something is read once.
    Chunk(i64),
}

/// How a kernel is cut into loops, vectors and chunks.
#[derive(Clone, Debug)]
pub struct Nest {
    pub lanes: u32,
    pub vector: Option<AxisId>,
    /// Lanes run along a parallel axis.
    pub parallel: bool,
    /// The parallel axes but for the vector axis; together they count rows.
    pub rows: Vec<AxisId>,
    /// Elements of a parallel vector axis that are one tile.
    pub block: i64,
    pub blocks: Dim,
    pub tiles: Dim,
    pub tiles_per_chunk: Dim,
    /// Points of the last axis of rows that are computed together.
    pub run: Option<Run>,
    /// The axis of rows along which what is read and written is fetched ahead.
    pub ahead: Option<AxisId>,
    pub chunks: Dim,
    /// Offset in scratch memory of each local array.
    pub scratch: Vec<Option<Dim>>,
    pub scratch_bytes: Dim,
}

impl Nest {
    /// The nest of a kernel whose schedule is not a contraction (or a contraction that is run as a window along `fallback`).
    /// With `strips`, each point of that many first axes is one chunk.
    pub fn of(kernel: &Kernel, program: &Program, fallback: Option<AxisId>, strips: usize, sharing: Sharing) -> Result<Nest> {
        let vector = match (&kernel.schedule, fallback) {
            (_, Some(a)) => Some(a),
            (Some(Schedule::Map { vector } | Schedule::Window { vector } | Schedule::Row { vector }), _) => Some(AxisId(*vector)),
            (Some(Schedule::Serial), _) => None,
            _ => return Err(broken("has no schedule for loops", kernel)),
        };
        if vector.is_some_and(|a| a.0 as usize >= kernel.axes.len()) {
            return Err(broken("the vector axis does not exist", kernel));
        }
        let vector = if kernel.serial { None } else { vector };
        let parallel = vector.is_some_and(|a| kernel.is_parallel(a));
        let lanes = if vector.is_some() { lanes(kernel) } else { 1 };
        let one = Dim::from(1);
        let rows: Vec<AxisId> = kernel.parallel_axes().filter(|a| Some(*a) != vector || !parallel).collect();
        let row_count = rows.iter().fold(one.clone(), |n, a| &n * kernel.extent(*a));
        let point = point_cost(kernel);
        let (mut block, mut blocks, mut tile) = (0, one.clone(), point.clone());
        if let (Some(a), true) = (vector, parallel) {
            let extent = kernel.extent(a);
            let per_point = point.as_const().unwrap_or(1000).max(1);
            let work = if row_count.as_const().is_some_and(|n| n < MANY_ROWS) { CHUNK_WORK } else { TILE_WORK };
            block = (work / per_point / lanes as i64).clamp(4, 1 << 12) * lanes as i64;
            if extent.as_const().is_none_or(|e| e > block) {
                blocks = extent.ceil_div(&Dim::from(block));
                tile = &extent.minimum(&Dim::from(block)) * &point;
            } else {
                tile = extent * &point;
            }
        }
        let run = match sharing {
            Sharing::Run(most) if parallel && blocks.as_const() == Some(1) => rows.last().and_then(|a| run(kernel, program, *a, most)),
            _ => None,
        };
        let row_count = rows.iter().fold(one.clone(), |n, a| &n * &turns(kernel, run, *a));
        let tile = &tile * &Dim::from(run.map_or(1, |r| r.points));
        let tiles = &row_count * &blocks;
        let serial = kernel.serial || kernel.schedule == Some(Schedule::Serial);
        let tiles_per_chunk = if serial { tiles.maximum(&one) } else { Dim::from(CHUNK_WORK).floor_div(&tile.maximum(&one)).maximum(&one) };
        let tiles_per_chunk = match sharing {
            Sharing::Chunk(least) if !serial => tiles_per_chunk.maximum(&Dim::from(least)),
            _ => tiles_per_chunk,
        };
        let tiles_per_chunk = match strips {
            0 => tiles_per_chunk,
            n => rows.iter().filter(|a| usize::from(a.0) >= n).fold(blocks.clone(), |t, a| &t * &turns(kernel, run, *a)).maximum(&one),
        };
        let chunks = if serial { one } else { tiles.ceil_div(&tiles_per_chunk) };
        let mut end = Dim::from(0);
        let scratch = kernel.locals.iter().map(|l| {
            (!l.axes.is_empty()).then(|| {
                let elements = l.axes.iter().fold(Dim::from(1), |n, a| &n * kernel.extent(*a));
                let each = Emitter::local_bytes(l.dtype) * if parallel { lanes as i64 } else { 1 };
                let at = end.clone();
                end = &end + &lapidary_kernel::align(&(&elements * &Dim::from(each)));
                at
            })
        });
        let scratch = scratch.collect();
        let map = matches!(kernel.schedule, Some(Schedule::Map { .. }));
        let ahead = rows.last().copied().filter(|_| parallel && map);
        Ok(Nest { lanes, vector, parallel, rows, run, ahead, block, blocks, tiles, tiles_per_chunk, chunks, scratch, scratch_bytes: end })
    }
}

/// How often the loop along an axis of rows turns.
pub fn turns(kernel: &Kernel, run: Option<Run>, axis: AxisId) -> Dim {
    let extent = kernel.extent(axis);
    run.filter(|r| r.axis == axis).map_or(extent.clone(), |r| extent.ceil_div(&Dim::from(r.points)))
}

/// Runs along `axis`, of up to `most` points: where windows move along it, and nothing but scalars follows from what is in them.
fn run(kernel: &Kernel, program: &Program, axis: AxisId, most: i64) -> Option<Run> {
    let scalar = |s: &Stmt| match s {
        Stmt::Reduce { local, .. } => kernel.local(*local).axes.is_empty() && written_out(kernel, &stmt_axes(kernel, s), true) > 0,
        _ => stmt_axes(kernel, s).is_empty(),
    };
    let moves = |i: &&Index| i.mentions(axis) && (kernel.parallel as u16..kernel.axes.len() as u16).any(|a| i.mentions(AxisId(a)));
    let windows = kernel.exprs.iter().zip(kernel.live_exprs()).filter_map(|(e, live)| match &e.kind {
        ExprKind::Load { buffer, index, .. } if live => Some((program.buffer(*buffer), index.iter().find(moves)?.coefficient(axis))),
        _ => None,
    });
    let windows: Vec<_> = windows.collect();
    // What comes from afar and is hardly shared comes in order.
    let streams = windows.iter().any(|(b, step)| is_far(b) && step.as_ref().is_none_or(|s| s.as_const() != Some(1)));
    let most = if streams { most.min(STREAMING_RUN) } else { most };
    if windows.is_empty() || !kernel.body.iter().all(scalar) || kernel.reads_own() {
        return None;
    }
    let points = match kernel.extent(axis).as_const() {
        // As few turns as can be, what is left at the end taking one for each point.
        Some(extent) => (1..=most).min_by_key(|p| (extent / p + extent % p, extent % p))?,
        None => most.min(RUN),
    };
    (points > 1).then_some(Run { axis, points })
}

/// How many loops of a reduction are written out: all or none, or the inner ones, where that does for as many points as are in a run.
pub fn written_out(kernel: &Kernel, axes: &[AxisId], in_runs: bool) -> usize {
    let few = |axes: &[AxisId]| turns_of(kernel, axes).is_some_and(|n| n <= UNROLL_LIMIT);
    match in_runs {
        false if few(axes) => axes.len(),
        false => 0,
        true => (0..=axes.len()).rev().find(|n| few(&axes[axes.len() - n..])).unwrap_or(0),
    }
}

/// How often the innermost of these loops turns in all.
pub fn turns_of(kernel: &Kernel, axes: &[AxisId]) -> Option<i64> {
    axes.iter().try_fold(1i64, |n, a| kernel.extent(*a).as_const().map(|e| n.saturating_mul(e)))
}

/// Lanes such that the widest element fills a register of 64 bytes.
fn lanes(kernel: &Kernel) -> u32 {
    let live = kernel.live_exprs();
    let memory = kernel.exprs.iter().zip(live).filter(|(e, live)| *live && !matches!(e.kind, ExprKind::Index(_) | ExprKind::Const(_)));
    let widest = memory.map(|(e, _)| e.dtype.bits()).chain(kernel.locals.iter().map(|l| l.dtype.bits())).max().unwrap_or(32);
    if widest > 32 { 8 } else { 16 }
}

/// The work of one point of the parallel axes, in units of [`CHUNK_WORK`].
pub fn point_cost(kernel: &Kernel) -> Dim {
    let mut sum = Dim::from(1);
    for s in &kernel.body {
        let turns = stmt_axes(kernel, s).iter().fold(Dim::from(1), |n, a| &n * kernel.extent(*a));
        let (mut seen, mut work, mut each) = (BTreeSet::new(), s.exprs(), 1);
        while let Some(e) = work.pop() {
            if !seen.insert(e) {
                continue;
            }
            let kind = &kernel.expr(e).kind;
            work.extend(kind.operands());
            each += match kind {
                ExprKind::Const(_) | ExprKind::Local(_) => 0,
                ExprKind::Unary(op, _) => match op {
                    UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not | UnaryOp::IsNan => 1,
                    UnaryOp::Sqrt | UnaryOp::Reciprocal => 3,
                    _ => 8,
                },
                ExprKind::Binary(BinaryOp::Div | BinaryOp::Mod | BinaryOp::Rem, ..) => 4,
                ExprKind::Binary(BinaryOp::Pow, ..) => 20,
                _ => 1,
            };
        }
        sum = &sum + &(&turns * &Dim::from(each));
    }
    sum
}

/// The axes that a statement loops over: those of its local array, and those that it reduces.
pub fn stmt_axes(kernel: &Kernel, s: &Stmt) -> Vec<AxisId> {
    match s {
        Stmt::Let { local, .. } => kernel.local(*local).axes.clone(),
        Stmt::Reduce { local, over, .. } => kernel.local(*local).axes.iter().chain(over).copied().collect(),
        Stmt::Store { axes, .. } => axes.clone(),
    }
}
