//! Parts of concatenations. A buffer all of whose elements lie in another one as well, next to each other along one dim, needs no memory of its own:
//! it is computed where the other one has it, and everybody reads it there. A tensor that is split in two, of which both halves are concatenated
//! with others, is copied in two kernels; a tensor that others read besides is stored twice in one. Both end here.

use crate::fuse::{merge_origin, single_store};
use crate::rewrite::solve;
use crate::uses::{Uses, sweep};
use lapidary_ir::{Dim, Name};
use lapidary_kernel::{AxisId, BufferId, BufferKind, ExprKind, Index, Kernel, Program, Stmt, linearize, typical};

/// Neighbours of a part in memory; with fewer, the rows of the whole leave vectors mostly empty. A vector of f32.
const FEWEST_NEIGHBOURS: i64 = 16;

/// Moves every buffer that can be a part of another one there.
pub fn rewrite(p: &mut Program) {
    let mut uses = Uses::of(p);
    for part in p.buffer_ids() {
        if let Some((place, copies)) = places(p, &uses, part).into_iter().find(|(place, _)| place.is_possible(p, &uses)) {
            place.apply(p, &uses, copies);
            uses = Uses::of(p);
        }
    }
    sweep(p);
}

/// Where a buffer lies in another one: at `index[dim] + offset`, and the same index in all other dims.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    part: BufferId,
    whole: BufferId,
    dim: usize,
    offset: Dim,
}

/// The places that have all of a buffer, and the kernels that copy it there.
fn places(p: &Program, uses: &Uses, part: BufferId) -> Vec<(Place, Vec<usize>)> {
    if p.buffer(part).kind != BufferKind::Temp {
        return vec![];
    }
    let mut found: Vec<(Place, Vec<usize>)> = vec![];
    // Stored with it, by every kernel that stores it.
    if let Some((first, others)) = uses.writers(part).split_first() {
        let both = |i: &usize| stored_with(p, &p.kernels[*i], part);
        let all = both(first).into_iter().filter(|place| others.iter().all(|o| both(o).contains(place)));
        found.extend(all.map(|place| (place, vec![])));
    }
    // Copied, piece by piece.
    let mut pieces: Vec<(Place, Vec<(usize, Dim, Dim)>)> = vec![];
    for i in uses.readers(part) {
        let Some((place, low, end)) = copy(p, &p.kernels[*i], part) else { continue };
        match pieces.iter_mut().find(|(other, _)| *other == place) {
            Some((_, list)) => list.push((*i, low, end)),
            None => pieces.push((place, vec![(*i, low, end)])),
        }
    }
    for (place, list) in pieces {
        let mut reached = Dim::from(0);
        while let Some((.., end)) = list.iter().find(|(_, low, end)| *low == reached && low != end) {
            reached = end.clone();
        }
        if reached == p.buffer(part).dims[place.dim] {
            found.push((place, list.into_iter().map(|(i, ..)| i).collect()));
        }
    }
    found
}

/// The places at which a kernel stores everything that it stores in a buffer.
fn stored_with(p: &Program, k: &Kernel, part: BufferId) -> Vec<Place> {
    let own = |s: &&Stmt| matches!(s, Stmt::Store { buffer, .. } if *buffer == part);
    let places = |s: &Stmt| {
        let Stmt::Store { index: from, axes, guard, value, .. } = s else { return vec![] };
        let place = |s: &Stmt| match s {
            Stmt::Store { buffer, index, axes: a, guard: g, value: v } if *buffer != part && (a, g, v) == (axes, guard, value) => {
                Place::of(p, (part, from), (*buffer, index))
            }
            _ => None,
        };
        k.body.iter().filter_map(place).collect::<Vec<_>>()
    };
    let each: Vec<Vec<Place>> = k.body.iter().filter(own).map(places).collect();
    let Some((first, others)) = each.split_first() else { return vec![] };
    first.iter().filter(|place| others.iter().all(|o| o.contains(place))).cloned().collect()
}

/// Where a kernel that does nothing else copies a piece of a buffer to, and which piece: from where to where along the place's dim.
fn copy(p: &Program, k: &Kernel, part: BufferId) -> Option<(Place, Dim, Dim)> {
    let (whole, to, value) = single_store(k)?;
    let ExprKind::Load { buffer, index, guard, .. } = &k.expr(value).kind else { return None };
    if *buffer != part || whole == part || !guard.is_empty() {
        return None;
    }
    let place = Place::of(p, (part, index), (whole, to))?;
    let extent = |a: AxisId| k.extent(a).clone();
    let (low, high) = index[place.dim].range(&extent)?;
    let end = &high + &Dim::from(1);
    // Each element of the piece at one point.
    let (mut index, mut dims) = (index.clone(), p.buffer(part).dims.clone());
    index[place.dim] = index[place.dim].add_dim(&-&low);
    dims[place.dim] = &end - &low;
    let axes: Vec<(AxisId, Dim)> = k.parallel_axes().map(|a| (a, extent(a))).collect();
    solve(&axes, &index, &dims, &index, &extent)?;
    Some((place, low, end))
}

impl Place {
    /// Where what is at one index of a buffer is at another index of another.
    fn of(p: &Program, (part, from): (BufferId, &[Index]), (whole, to): (BufferId, &[Index])) -> Option<Place> {
        let (a, b) = (p.buffer(part), p.buffer(whole));
        if b.kind != BufferKind::Temp || a.dtype != b.dtype || a.dims.len() != b.dims.len() || a.dims.is_empty() {
            return None;
        }
        let dim = (0..a.dims.len()).find(|d| a.dims[*d] != b.dims[*d]).unwrap_or(0);
        let same = (0..a.dims.len()).all(|d| d == dim || (a.dims[d] == b.dims[d] && from[d] == to[d]));
        let offset = to[dim].sub(&from[dim]).as_dim()?.clone();
        same.then_some(Place { part, whole, dim, offset })
    }
    fn at(&self, index: &[Index]) -> Vec<Index> {
        index.iter().enumerate().map(|(d, i)| if d == self.dim { i.add_dim(&self.offset) } else { i.clone() }).collect()
    }
    /// Whether everybody can store and read the part there.
    fn is_possible(&self, p: &Program, uses: &Uses) -> bool {
        let (part, whole) = (p.buffer(self.part), p.buffer(self.whole));
        if typical::elements(&part.dims[self.dim..]) < FEWEST_NEIGHBOURS {
            return false;
        }
        let of = |b: BufferId| uses.writers(b).iter().chain(uses.readers(b));
        let in_order = |k: &Kernel| k.serial || k.recurrence.is_some();
        if of(self.part).chain(of(self.whole)).any(|i| in_order(&p.kernels[*i])) {
            return false;
        }
        // Such kernels run once for a context, if nobody else fills what they fill.
        if uses.writers(self.part).iter().any(|i| p.kernels[*i].reads().iter().all(|b| p.buffer(*b).constant().is_some())) {
            return false;
        }
        let begin = &self.offset;
        let end = begin + &part.dims[self.dim];
        let apart = |k: &Kernel, index: &[Index]| {
            let range = index[self.dim].range(&|a| k.extent(a).clone());
            range.is_some_and(|(low, high)| end.known_le(&low) || (&high + &Dim::from(1)).known_le(begin))
        };
        let own = |k: &Kernel, index: &[Index]| {
            let copies = copy(p, k, self.part).is_some_and(|(place, ..)| place == *self);
            copies || stored(k, self.part).any(|from| self.at(from) == index)
        };
        let others = uses.writers(self.whole).iter().map(|i| &p.kernels[*i]);
        if others.into_iter().any(|k| stored(k, self.whole).any(|index| !apart(k, index) && !own(k, index))) {
            return false;
        }
        // What walks the part by strides must walk the whole so.
        let keeps = |index: &[Index]| !linearize(index, &part.dims).is_affine() || linearize(&self.at(index), &whole.dims).is_affine();
        of(self.part).all(|i| stored(&p.kernels[*i], self.part).chain(loaded(&p.kernels[*i], self.part)).all(keeps))
    }
    fn apply(&self, p: &mut Program, uses: &Uses, copies: Vec<usize>) {
        let origin: Vec<Name> = copies.iter().flat_map(|i| p.kernels[*i].origin.clone()).collect();
        for i in &copies {
            p.kernels[*i].body.clear();
        }
        for i in uses.writers(self.part) {
            let k = &mut p.kernels[*i];
            merge_origin(k, &origin);
            let twice: Vec<Vec<Index>> = stored(k, self.whole).map(<[Index]>::to_vec).collect();
            k.body.retain(|s| !matches!(s, Stmt::Store { buffer, index, .. } if *buffer == self.part && twice.contains(&self.at(index))));
            for s in &mut k.body {
                if let Stmt::Store { buffer, index, .. } = s
                    && *buffer == self.part
                {
                    (*buffer, *index) = (self.whole, self.at(index));
                }
            }
        }
        for i in uses.readers(self.part) {
            for e in &mut p.kernels[*i].exprs {
                if let ExprKind::Load { buffer, index, .. } = &mut e.kind
                    && *buffer == self.part
                {
                    (*buffer, *index) = (self.whole, self.at(index));
                }
            }
        }
    }
}

fn stored(k: &Kernel, b: BufferId) -> impl Iterator<Item = &[Index]> {
    k.body.iter().filter_map(move |s| match s {
        Stmt::Store { buffer, index, .. } if *buffer == b => Some(index.as_slice()),
        _ => None,
    })
}

fn loaded(k: &Kernel, b: BufferId) -> impl Iterator<Item = &[Index]> {
    k.exprs.iter().filter_map(move |e| match &e.kind {
        ExprKind::Load { buffer, index, .. } if *buffer == b => Some(index.as_slice()),
        _ => None,
    })
}
