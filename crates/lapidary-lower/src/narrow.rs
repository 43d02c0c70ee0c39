//! Values that every reader wants in 16 bits are stored in 16 bits: where all that is read of a buffer is rounded to bf16 through views (the parts
//! of a joint projection), it is rounded once, so that what computes it can do so, and the views are views again.

use crate::fuse::{single_store, zero};
use crate::uses::{Uses, live_reads};
use lapidary_ir::DType;
use lapidary_kernel::{Buffer, BufferId, BufferKind, ExprId, ExprKind, Index, Kernel, KernelBuilder, Program};

/// Rewrites every buffer that it can.
pub fn rewrite(p: &mut Program) {
    let uses = Uses::of(p);
    let mut new: Vec<(usize, Kernel)> = vec![];
    for b in p.buffer_ids() {
        let readers = uses.readers(b);
        let Some(rounded) = readers.iter().map(|r| rounded_view(&p.kernels[*r], b)).collect::<Option<Vec<_>>>() else { continue };
        let (Some(first), source) = (readers.first(), p.buffer(b).clone()) else { continue };
        if readers.len() < 2 || source.kind != BufferKind::Temp || source.dtype != DType::F32 {
            continue;
        }
        let name = format!("{}.{}", source.name, DType::BF16);
        let to = p.add_buffer(Buffer { name: name.clone().into(), dtype: DType::BF16, ..source.clone() });
        let mut k = KernelBuilder::new(name, &p.kernels[*first].origin);
        let at: Vec<Index> = k.parallel_all("i", &source.dims).into_iter().map(Index::from).collect();
        let v = k.load(b, source.dtype, at.clone());
        let v = k.cast(DType::BF16, v);
        k.store(to, at, v);
        new.push((*first, k.finish()));
        for (r, (cast, load)) in readers.iter().zip(rounded) {
            let exprs = &mut p.kernels[*r].exprs;
            let ExprKind::Load { index, guard, .. } = exprs[load.0 as usize].kind.clone() else { continue };
            exprs[cast.0 as usize].kind = ExprKind::Load { buffer: to, index, guard, otherwise: None };
        }
    }
    // From the end, so that the numbers of kernels before hold.
    new.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    new.into_iter().for_each(|(at, k)| p.kernels.insert(at, k));
}

/// The conversion to bf16, and the load in it, of a kernel that does nothing else with `b`.
fn rounded_view(k: &Kernel, b: BufferId) -> Option<(ExprId, ExprId)> {
    let (_, _, value) = single_store(k)?;
    let ExprKind::Cast(load) = k.expr(value).kind else { return None };
    let ExprKind::Load { otherwise, .. } = &k.expr(load).kind else { return None };
    (k.expr(value).dtype == DType::BF16 && zero(k, *otherwise) && live_reads(k) == [b]).then_some((value, load))
}
