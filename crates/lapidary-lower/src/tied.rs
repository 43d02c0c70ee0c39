//! Weights that a product and a lookup share (the embeddings of a language model) are kept once, in the panels that the product streams: rows are
//! picked from there. A row then lies on one cache line an element, which the few rows of a lookup can bear.

use crate::rewrite::{AxisMap, rebuild};
use lapidary_ir::Dim;
use lapidary_kernel::{AxisId, BufferId, ExprKind, Index, Kernel, PACK, PANEL, Program, Stmt};

/// Smaller weights are worth their place twice.
const LEAST_BYTES: usize = 1 << 18;

/// Redirects every lookup in a constant to the panels that are made of it.
pub fn rewrite(p: &mut Program) {
    for i in 0..p.kernels.len() {
        let Some(panels) = Panels::of(p, &p.kernels[i]) else { continue };
        let large = p.buffer(panels.from).constant().is_some_and(|t| t.byte_size() >= LEAST_BYTES);
        let readers: Vec<usize> = (0..p.kernels.len()).filter(|r| *r != i && p.kernels[*r].reads().contains(&panels.from)).collect();
        if !large || readers.is_empty() {
            continue;
        }
        let new: Option<Vec<Kernel>> = readers.iter().map(|r| panels.redirected(&p.kernels[*r])).collect();
        if let Some(new) = new {
            readers.into_iter().zip(new).for_each(|(r, k)| p.kernels[r] = k);
            // It reads nothing but a constant, and is needed from the first lookup on.
            p.kernels[..=i].rotate_right(1);
        }
    }
}

/// A kernel that puts a constant into panels.
struct Panels {
    from: BufferId,
    to: BufferId,
    /// For each dim of the constant, its index, and of the panels.
    load: Vec<Index>,
    store: Vec<Index>,
    axes: usize,
}

impl Panels {
    fn of(p: &Program, k: &Kernel) -> Option<Panels> {
        let [Stmt::Store { buffer: to, index: store, value, .. }] = k.body.as_slice() else { return None };
        let ExprKind::Load { buffer: from, index: load, .. } = &k.expr(*value).kind else { return None };
        let packs = k.name.starts_with(PACK) && p.buffer(*from).constant().is_some();
        packs.then(|| Panels { from: *from, to: *to, load: load.clone(), store: store.clone(), axes: k.axes.len() })
    }
    /// The kernel with its lookups in the panels; `None` where it does something else with the constant, too.
    fn redirected(&self, k: &Kernel) -> Option<Kernel> {
        let mut possible = true;
        let new = rebuild(k, &AxisMap::same(k), &mut |n, site| {
            if site.buffer != self.from {
                return site.keep(n);
            }
            // Rows that are known only when they are read: a lookup, not another product.
            let looked_up = site.index.iter().any(|i| {
                let mut values = vec![];
                i.values(&mut values);
                !values.is_empty()
            });
            let at = self.at(&site.index, &|a| n.extent(a)).filter(|_| looked_up);
            match at {
                Some(at) => n.load_guarded(self.to, site.dtype, at, site.guard, site.otherwise),
                None => {
                    possible = false;
                    site.keep(n)
                }
            }
        });
        possible.then_some(new)
    }
    /// Where an element of the constant lies in the panels.
    fn at(&self, index: &[Index], extent: &dyn Fn(AxisId) -> Dim) -> Option<Vec<Index>> {
        let mut axes = vec![Index::from(0); self.axes];
        let width = Dim::from(PANEL);
        for (load, i) in self.load.iter().zip(index) {
            if let Some(axis) = load.as_axis() {
                axes[axis.0 as usize] = i.clone();
                continue;
            }
            // panel · 16 + lane
            let mut parts = vec![];
            load.axes(&mut parts);
            let of = |c: i64| parts.iter().copied().find(|a| load.coefficient(*a).and_then(|d| d.as_const()) == Some(c));
            let (panel, lane) = (of(PANEL)?, of(1)?);
            if parts.len() != 2 || Index::from(panel).scale(&width).add(&lane.into()) != *load {
                return None;
            }
            axes[panel.0 as usize] = i.floor_div(&width, &extent);
            axes[lane.0 as usize] = i.modulo(&width, &extent);
        }
        Some(self.store.iter().map(|s| s.substitute(&|a| axes[a.0 as usize].clone(), &Index::value, &extent)).collect())
    }
}
