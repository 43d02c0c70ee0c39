//! Kernels that read nothing but constants run at compile time; their results become constants.

use lapidary_ir::{Diagnostics, Tensor};
use lapidary_kernel::{BinaryOp, BufferId, BufferKind, ExprKind, Plan, Program, Scalar, interp};
use rustc_hash::FxHashMap;

/// Results larger than this many bytes stay code, which runs once for each context, unless they are hardly larger than what they are made of
/// (packed weights).
const GROWTH_LIMIT: i64 = 1 << 16;

/// Folds kernels in order until none is left that can be folded.
pub fn fold_constants(p: &mut Program) -> Result<(), Diagnostics> {
    let mut i = 0;
    while i < p.kernels.len() {
        match foldable(p, i) {
            Some(to) => {
                run(p, i, &to)?;
                p.kernels.remove(i);
            }
            None => i += 1,
        }
    }
    Ok(())
}

/// Bounds (operands of minimum and maximum) that are constants of one element become numbers of the kernel: against a number that is not NaN, a
/// comparison is one instruction. Other constants stay in memory, so that layers that differ in nothing else share their code.
pub fn inline_bounds(p: &mut Program) {
    let number = |b: BufferId| p.buffers[b.0 as usize].constant().filter(|t| t.len() == 1 && t.dtype().is_float()).and_then(|t| t.to_f64());
    for k in &mut p.kernels {
        let bounds = k.exprs.iter().filter_map(|e| match e.kind {
            ExprKind::Binary(BinaryOp::Min | BinaryOp::Max, a, b) => Some([a, b]),
            _ => None,
        });
        for e in bounds.flatten().collect::<Vec<_>>() {
            let e = &mut k.exprs[e.0 as usize];
            if let ExprKind::Load { buffer, guard, .. } = &e.kind
                && guard.is_empty()
                && let Some(v) = number(*buffer)
            {
                e.kind = ExprKind::Const(Scalar::float(v[0]));
            }
        }
    }
}

/// The temporaries that kernel `i` fills all by itself from constants.
fn foldable(p: &Program, i: usize) -> Option<Vec<BufferId>> {
    let k = &p.kernels[i];
    let reads = k.reads();
    let writes = k.writes();
    let constant = |b: &BufferId| p.buffer(*b).constant().is_some();
    let own = |b: &BufferId| p.buffer(*b).kind == BufferKind::Temp && p.kernels.iter().enumerate().all(|(j, k)| j == i || !k.writes().contains(b));
    if k.serial || !reads.iter().all(constant) || !writes.iter().all(own) || !k.symbols().is_empty() {
        return None;
    }
    let mut bytes = 0i64;
    for b in &writes {
        let b = p.buffer(*b);
        bytes = bytes.saturating_add(Plan::bytes_of(b.dtype, &b.elements()).as_const()?);
    }
    let source: usize = reads.iter().filter_map(|b| p.buffer(*b).constant()).map(|t| t.byte_size()).sum();
    // Packing pads to whole panels: a little growth is no growth.
    let allowed = (source as i64 / 2).saturating_mul(3).max(GROWTH_LIMIT);
    (bytes <= allowed).then_some(writes)
}

fn run(p: &mut Program, i: usize, to: &[BufferId]) -> Result<(), Diagnostics> {
    // A program of this kernel alone, so that memory holds no more than what it touches.
    let k = p.kernels[i].clone();
    let mut small = Program { name: p.name.clone(), ..Program::default() };
    let mut number: FxHashMap<BufferId, BufferId> = FxHashMap::default();
    for b in k.reads().into_iter().chain(to.iter().copied()) {
        number.entry(b).or_insert_with(|| small.add_buffer(p.buffer(b).clone()));
    }
    let mut k = k;
    k.rename_buffers(&|b| number.get(&b).copied().unwrap_or(b));
    let mut memory = interp::Memory::new(&small, &|_| None)?;
    interp::run_kernel(&small, &k, &mut memory, &|_| None)?;
    for b in to {
        let buffer = p.buffer_mut(*b);
        let sizes: Vec<usize> = buffer.dims.iter().filter_map(|d| d.as_const()).map(|v| v.max(0) as usize).collect();
        let bytes = std::mem::take(&mut memory.bytes[number[b].0 as usize]);
        buffer.kind = BufferKind::Const(Tensor::new(buffer.dtype, &sizes, bytes)?.into());
    }
    Ok(())
}
