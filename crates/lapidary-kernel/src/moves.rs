//! Kernels that compute nothing: what each moves, and whether it may. Views, padding and the windows of a convolution are index
//! arithmetic of whoever reads them; a kernel that writes them to memory is a fault of lowering, and this finds it.

use crate::{Atom, AxisId, BufferId, BufferKind, ExprId, ExprKind, Guard, Index, Kernel, Program, Stmt};
use lapidary_ir::Dim;
use serde::{Deserialize, Serialize};

/// Names of the kernels that lowering adds to bring a buffer into the order of dims that its readers walk begin with this.
pub const LAYOUT: &str = "layout:";
/// Names of the kernels that lowering adds to put a contraction's operand into panels begin with this.
pub const PACK: &str = "pack:";
/// Kernels that together compute a convolution by Winograd's algorithm.
pub const WINOGRAD: &str = "winograd:";
/// Kernels that compute an image band by band.
pub const BAND: &str = "band:";

/// Why a kernel moves elements without computing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Move {
    /// Another order of dims, or panels, or a margin besides, for the template that reads it: each element once.
    Layout,
    /// A part of a buffer that several kernels fill (Concat, Pad of more than zeros).
    Piece,
    /// From places that are computed or loaded.
    Gather,
    /// A result of the program, which must lie densely in memory of its own.
    Output,
    /// Overlapping windows, element for element (im2col). Never wanted.
    Window,
    /// A larger copy with a margin, and nothing else. Never wanted.
    Padding,
    /// Anything else that an index could say: transposed, sliced, reshaped or repeated. Never wanted.
    View,
}

impl Move {
    /// Whether the kernel has no reason to be.
    pub fn is_waste(self) -> bool {
        matches!(self, Move::Window | Move::Padding | Move::View)
    }
    pub fn name(self) -> &'static str {
        match self {
            Move::Layout => "layout",
            Move::Piece => "piece",
            Move::Gather => "gather",
            Move::Output => "output",
            Move::Window => "window",
            Move::Padding => "padding",
            Move::View => "view",
        }
    }
}

/// An element that is stored as it was loaded.
struct Loaded<'k> {
    index: &'k [Index],
    guard: &'k Guard,
}

impl Program {
    /// What the kernel moves when every statement stores loaded elements as they are (or constants where a guard fails); `None` when it
    /// computes anything, or loads nothing.
    pub fn moves(&self, k: &Kernel) -> Option<Move> {
        let mut worst = None;
        for s in &k.body {
            let Stmt::Store { buffer, value, guard, .. } = s else { return None };
            let mut loads = vec![];
            if !loaded(k, *value, &mut loads) {
                return None;
            }
            for l in &loads {
                worst = worst.max(Some(self.classify(k, *buffer, l, guard)));
            }
        }
        worst
    }

    fn classify(&self, k: &Kernel, target: BufferId, l: &Loaded<'_>, stored: &Guard) -> Move {
        let writers = self.kernels.iter().flat_map(|k| &k.body).filter(|s| matches!(s, Stmt::Store { buffer, .. } if *buffer == target)).count();
        let mut values = vec![];
        l.index.iter().for_each(|i| i.values(&mut values));
        let named = k.name.starts_with(LAYOUT) || k.name.starts_with(PACK);
        if l.index.iter().any(|i| overlaps(k, i, l.guard)) {
            Move::Window
        } else if !values.is_empty() {
            Move::Gather
        } else if matches!(self.buffer(target).kind, BufferKind::Output(_)) {
            Move::Output
        } else if writers > 1 {
            Move::Piece
        } else if stored.is_empty() && (k.name.starts_with(LAYOUT) && every_axis(k, l) && reorders(l) || named && one_to_one(k, l)) {
            Move::Layout
        } else if !l.guard.is_empty() {
            Move::Padding
        } else {
            Move::View
        }
    }
}

/// Collects the loads that an expression chooses from; false when it does anything else with them.
fn loaded<'k>(k: &'k Kernel, e: ExprId, out: &mut Vec<Loaded<'k>>) -> bool {
    match &k.expr(e).kind {
        ExprKind::Const(_) => true,
        ExprKind::Load { index, guard, otherwise, .. } => {
            out.push(Loaded { index, guard });
            otherwise.is_none_or(|o| loaded(k, o, out))
        }
        ExprKind::Select(c, a, b) => matches!(k.expr(*c).kind, ExprKind::Within(_)) && loaded(k, *a, out) && loaded(k, *b, out),
        _ => false,
    }
}

/// Whether two points of the axes can have the same index along this dim: then some element is read more than once. A guard bounds the
/// sum of axes that it names: `i*8 + panel*16 + lane`, where `panel*16 + lane` stays below 8.
fn overlaps(k: &Kernel, index: &Index, guard: &Guard) -> bool {
    let mut steps = match steps(k, index) {
        Some(s) => s,
        None => return false,
    };
    for (part, size) in guard {
        let Some(bounded) = self::steps(k, part).filter(|b| !b.is_empty() && b.iter().all(|s| steps.contains(s))) else { continue };
        if collide(&bounded) {
            return true;
        }
        steps.retain(|s| !bounded.contains(s));
        steps.push((bounded[0].0.clone(), size.clone()));
    }
    collide(&steps)
}

/// `(stride, extent)` of every axis of more than one position, inner ones first; `None` where an index is no plain sum.
fn steps(k: &Kernel, index: &Index) -> Option<Vec<(Dim, Dim)>> {
    let mut out = vec![];
    for (a, c) in index.terms() {
        let Atom::Axis(x) = a else { return None };
        if k.extent(*x).as_const() != Some(1) {
            out.push((if c.as_const().is_some_and(|v| v < 0) { -c } else { c.clone() }, k.extent(*x).clone()));
        }
    }
    out.sort_by_key(|(c, _)| c.as_const().unwrap_or(i64::MAX));
    Some(out)
}

/// Whether some stride lies within what the one before it reaches.
fn collide(steps: &[(Dim, Dim)]) -> bool {
    let mut sorted: Vec<&(Dim, Dim)> = steps.iter().collect();
    sorted.sort_by_key(|(c, _)| c.as_const().unwrap_or(i64::MAX));
    sorted.windows(2).any(|pair| !(&pair[0].0 * &pair[0].1).known_le(&pair[1].0))
}

/// Whether every axis says where an element comes from, and guards cut off nothing but what is beyond the end (of the last panel).
fn one_to_one(k: &Kernel, l: &Loaded<'_>) -> bool {
    let from_zero = |i: &Index| i.range(&|a| k.extent(a).clone()).is_some_and(|(low, _)| low.known_non_negative());
    every_axis(k, l) && l.guard.iter().all(|(i, _)| from_zero(i))
}

fn every_axis(k: &Kernel, l: &Loaded<'_>) -> bool {
    k.parallel_axes().filter(|a| k.extent(*a).as_const() != Some(1)).all(|a| l.index.iter().any(|i| i.mentions(a)))
}

/// Whether dims change places.
fn reorders(l: &Loaded<'_>) -> bool {
    let axes: Vec<AxisId> = l.index.iter().flat_map(|i| i.terms()).filter_map(|(a, _)| if let Atom::Axis(x) = a { Some(*x) } else { None }).collect();
    !axes.is_sorted()
}
