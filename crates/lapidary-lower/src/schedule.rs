//! Picks a template for each kernel by its structure.

use crate::contract;
use crate::layout::contiguity;
use lapidary_kernel::{AxisId, Kernel, Program, Schedule, Stmt};

/// Half a vector of f32.
const FEW_ELEMENTS: i64 = 8;

/// Gives every kernel a schedule.
pub fn assign(p: &mut Program) {
    for i in 0..p.kernels.len() {
        let s = choose(p, &p.kernels[i]);
        p.kernels[i].schedule = Some(s);
    }
}

pub fn choose(p: &Program, k: &Kernel) -> Schedule {
    // Nothing to do is done in any way.
    if k.serial || k.parallel_axes().any(|a| k.extent(a).as_const() == Some(0)) {
        return Schedule::Serial;
    }
    if let Some(c) = contract::recognize(p, k).filter(|c| contract::fits(p, k, c)) {
        return c.schedule();
    }
    let local: Vec<AxisId> = (k.parallel as u16..k.axes.len() as u16).map(AxisId).collect();
    // Few elements leave most of a vector empty, however they lie.
    let fills = |a: &AxisId| k.extent(*a).as_const().is_none_or(|e| e >= FEW_ELEMENTS);
    let best = |axes: &[AxisId]| axes.iter().copied().max_by_key(|a| (fills(a), contiguity(p, k, *a), a.0));
    let parallel: Vec<AxisId> = k.free_axes().collect();
    let along_parallel = best(&parallel);
    if local.is_empty() {
        return match along_parallel {
            Some(a) => Schedule::Map { vector: a.0 },
            None => Schedule::Serial,
        };
    }
    // Arrays along a local axis live in a row; otherwise the axis with the most contiguous accesses wins.
    let arrays: Vec<AxisId> = k.locals.iter().flat_map(|l| l.axes.clone()).chain(k.body.iter().flat_map(stored_along)).collect();
    let along_local = if arrays.is_empty() { best(&local) } else { best(&arrays) };
    match (along_parallel, along_local) {
        (Some(v), Some(r)) if arrays.is_empty() && contiguity(p, k, v) > contiguity(p, k, r) => Schedule::Window { vector: v.0 },
        (_, Some(r)) => Schedule::Row { vector: r.0 },
        (Some(v), None) => Schedule::Window { vector: v.0 },
        (None, None) => Schedule::Serial,
    }
}

fn stored_along(s: &Stmt) -> Vec<AxisId> {
    match s {
        Stmt::Store { axes, .. } => axes.clone(),
        _ => vec![],
    }
}
