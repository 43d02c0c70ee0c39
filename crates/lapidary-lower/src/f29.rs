//! Weights that a product of one row streams from memory are kept in 29 bits each, where that loses nothing (see [`lapidary_kernel::f29`]). What else
//! reads them may be lookups, which put a row together again.

use crate::contract;
use crate::uses::live_reads;
use lapidary_ir::{DType, Dim};
use lapidary_kernel::{AxisId, BufferId, ExprId, ExprKind, F29, Factors, Index, Kernel, PANEL, Plan, Program};

/// Smaller weights stay in the caches of a core, which are as fast as it multiplies.
const LEAST_BYTES: usize = 1 << 20;

/// By buffer: the form in which it is kept, if that is not as it is.
pub fn assign(plan: &Plan) -> Vec<Option<F29>> {
    let p = &plan.program;
    let mut readers: Vec<Vec<usize>> = vec![vec![]; p.buffers.len()];
    for (i, k) in p.kernels.iter().enumerate() {
        live_reads(k).into_iter().for_each(|b| readers[b.0 as usize].push(i));
    }
    let form = |b: BufferId| {
        let t = p.buffer(b).constant().filter(|t| t.dtype() == DType::F32 && t.byte_size() >= LEAST_BYTES)?;
        let kernels = || readers[b.0 as usize].iter().map(|i| (&p.kernels[*i], plan.strips_of(*i).is_some()));
        // Weights of a recurrence come from the caches from the second step on.
        let streamed = |(k, in_strips): (&Kernel, bool)| !in_strips && streams_once(p, k, b);
        let possible = kernels().any(streamed) && kernels().all(|k| streamed(k) || looks_up(k.0, b));
        F29::of(t.sizes()).filter(|f| possible && f.holds(t.bytes()))
    };
    p.buffer_ids().map(form).collect()
}

/// Whether the kernel multiplies one row by the buffer's panels, and does nothing else with it.
fn streams_once(p: &Program, k: &Kernel, b: BufferId) -> bool {
    let Some(c) = contract::recognize(p, k).filter(|c| k.schedule.as_ref() == Some(&c.schedule())) else { return false };
    let (&[n], true, Factors::F32) = (c.n.as_slice(), c.batch.is_empty(), c.factors) else { return false };
    let extent = |x: AxisId| k.extent(x).clone();
    let (panel, column) = (Dim::from(PANEL), Index::from(n));
    let at: Vec<Index> =
        [column.floor_div(&panel, &extent)].into_iter().chain(c.k.iter().map(|x| (*x).into())).chain([column.modulo(&panel, &extent)]).collect();
    let dims = &p.buffer(b).dims;
    let whole = dims.len() == at.len() && c.k.iter().zip(&dims[1..]).all(|(x, d)| k.extent(*x) == d);
    let one_row = c.m.iter().all(|x| k.extent(*x).as_const() == Some(1));
    let in_panels = matches!(&k.expr(c.b).kind, ExprKind::Load { index, guard, .. } if *index == at && guard.is_empty());
    whole && one_row && in_panels && loads(k, b).collect::<Vec<_>>() == [c.b]
}

/// Whether all that the kernel reads of the buffer are rows that are known when they are read.
fn looks_up(k: &Kernel, b: BufferId) -> bool {
    let known_then = |e: ExprId| match &k.expr(e).kind {
        ExprKind::Load { index, .. } => {
            let mut values = vec![];
            index.iter().for_each(|i| i.values(&mut values));
            !values.is_empty()
        }
        _ => false,
    };
    loads(k, b).all(known_then)
}

/// What the kernel reads of the buffer.
fn loads(k: &Kernel, b: BufferId) -> impl Iterator<Item = ExprId> {
    let live = k.live_exprs();
    let ids = (0..k.exprs.len() as u32).map(ExprId);
    ids.filter(move |e| live[e.0 as usize] && matches!(&k.expr(*e).kind, ExprKind::Load { buffer, .. } if *buffer == b))
}
