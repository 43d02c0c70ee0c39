//! Who reads and who writes each buffer, kept up to date while kernels are replaced one by one.

use lapidary_kernel::{BufferId, BufferKind, ExprKind, Kernel, KernelBuilder, Program, Stmt};

/// Kernels by buffer, in order. Kernels keep their numbers: one that goes is left empty until [`sweep`].
pub struct Uses {
    writers: Vec<Vec<usize>>,
    readers: Vec<Vec<usize>>,
}

impl Uses {
    pub fn of(p: &Program) -> Uses {
        let mut u = Uses { writers: vec![vec![]; p.buffers.len()], readers: vec![vec![]; p.buffers.len()] };
        for (i, k) in p.kernels.iter().enumerate() {
            u.enter(i, k);
        }
        u
    }
    pub fn writers(&self, b: BufferId) -> &[usize] {
        &self.writers[b.0 as usize]
    }
    pub fn readers(&self, b: BufferId) -> &[usize] {
        &self.readers[b.0 as usize]
    }
    /// Puts another kernel in the place of kernel `i`.
    pub fn replace(&mut self, p: &mut Program, i: usize, new: Kernel) {
        let old = std::mem::replace(&mut p.kernels[i], new);
        for b in old.writes() {
            self.writers[b.0 as usize].retain(|k| *k != i);
        }
        for b in live_reads(&old) {
            self.readers[b.0 as usize].retain(|k| *k != i);
        }
        self.enter(i, &p.kernels[i]);
    }
    /// Empties kernel `i`.
    pub fn remove(&mut self, p: &mut Program, i: usize) {
        self.replace(p, i, KernelBuilder::new("", &[]).finish());
    }
    /// Drops what kernel `i` stores in temporaries that nobody reads, the whole kernel if nothing is left.
    pub fn tidy(&mut self, p: &mut Program, i: usize) {
        let unread = |b: BufferId| self.readers(b).is_empty() && p.buffer(b).kind == BufferKind::Temp;
        let dead = |s: &Stmt| matches!(s, Stmt::Store { buffer, .. } if unread(*buffer));
        let k = &p.kernels[i];
        let stores = k.body.iter().filter(|s| matches!(s, Stmt::Store { .. })).count();
        let going = k.body.iter().filter(|s| dead(s)).count();
        if stores == going && stores > 0 {
            self.remove(p, i);
        } else if going > 0 {
            let mut new = k.clone();
            new.body = k.body.iter().filter(|s| !dead(s)).cloned().collect();
            self.replace(p, i, new);
        }
    }
    fn enter(&mut self, i: usize, k: &Kernel) {
        let put = |list: &mut Vec<usize>| {
            if let Err(at) = list.binary_search(&i) {
                list.insert(at, i);
            }
        };
        k.writes().into_iter().for_each(|b| put(&mut self.writers[b.0 as usize]));
        live_reads(k).into_iter().for_each(|b| put(&mut self.readers[b.0 as usize]));
    }
}

/// Buffers that the kernel's statements really read, each once.
pub fn live_reads(k: &Kernel) -> Vec<BufferId> {
    let live = k.live_exprs();
    let mut out = vec![];
    for (e, live) in k.exprs.iter().zip(live) {
        if let (true, ExprKind::Load { buffer, .. }) = (live, &e.kind)
            && !out.contains(buffer)
        {
            out.push(*buffer);
        }
    }
    out
}

/// Drops kernels and stores none of whose results is read, and kernels left empty.
pub fn sweep(p: &mut Program) {
    let mut u = Uses::of(p);
    // From the end, so that what only dead kernels read is dead by the time it is looked at.
    for i in (0..p.kernels.len()).rev() {
        u.tidy(p, i);
    }
    p.kernels.retain(|k| k.body.iter().any(|s| matches!(s, Stmt::Store { .. })));
}
