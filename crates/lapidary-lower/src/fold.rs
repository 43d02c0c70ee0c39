//! Kernels that read nothing but constants run at compile time; their results become constants.

use lapidary_ir::{Diagnostics, Tensor};
use lapidary_kernel::{BinaryOp, BufferId, BufferKind, ExprId, ExprKind, Plan, Program, Scalar, interp};
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

/// Constants of one element that become numbers of the kernel: bounds (operands of minimum and maximum), as against a number that is not NaN a
/// comparison is one instruction, and zero points of 0, which then are not added at all. Other constants stay in memory, so that layers that
/// differ in nothing else share their code.
pub fn inline_numbers(p: &mut Program) {
    let number = |b: BufferId| p.buffers[b.0 as usize].constant().filter(|t| t.len() == 1).and_then(|t| Some((t.dtype(), *t.to_f64()?.first()?)));
    for k in &mut p.kernels {
        let loads = |a: ExprId, b: ExprId| {
            [a, b].map(|e| match k.expr(e).kind {
                ExprKind::Cast(v) => v,
                _ => e,
            })
        };
        let operands = k.exprs.iter().filter_map(|e| match e.kind {
            ExprKind::Binary(op @ (BinaryOp::Min | BinaryOp::Max), a, b) => Some((op, [a, b])),
            ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b) => Some((op, loads(a, b))),
            _ => None,
        });
        let operands: Vec<(BinaryOp, ExprId)> = operands.flat_map(|(op, each)| each.map(|e| (op, e))).collect();
        for (op, e) in operands {
            let e = &mut k.exprs[e.0 as usize];
            let ExprKind::Load { buffer, guard, .. } = &e.kind else { continue };
            let Some((dtype, v)) = number(*buffer).filter(|_| guard.is_empty()) else { continue };
            match (op, dtype.is_float()) {
                (BinaryOp::Min | BinaryOp::Max, true) => e.kind = ExprKind::Const(Scalar::float(v)),
                (BinaryOp::Add | BinaryOp::Sub, false) if v == 0.0 => e.kind = ExprKind::Const(Scalar::Int(0)),
                _ => {}
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
    if k.serial || k.recurrence.is_some() || !reads.iter().all(constant) || !writes.iter().all(own) || !k.symbols().is_empty() {
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
