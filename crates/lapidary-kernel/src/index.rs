//! Index expressions: sums of axes times sizes, with floor division, remainder and loaded integers, kept in a normal form that
//! undoes what reshapes do.

use crate::ExprId;
use lapidary_ir::Dim;
use std::sync::Arc;

/// An axis of a kernel, by position in [`crate::Kernel::axes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AxisId(pub u16);

/// `offset + Σ coefficient · atom`. Terms are sorted by atom and have non-zero coefficients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Index {
    terms: Vec<(Atom, Dim)>,
    offset: Dim,
}

/// What varies in an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    Axis(AxisId),
    /// An integer that the kernel computes or loads (gather).
    Value(ExprId),
    /// Quotient rounded towards minus infinity, by a positive size.
    FloorDiv(Arc<Index>, Dim),
    /// Remainder in `0..size`.
    Mod(Arc<Index>, Dim),
}

/// Holds when every index lies in `0..size`. Empty: always.
pub type Guard = Vec<(Index, Dim)>;

impl From<AxisId> for Index {
    fn from(a: AxisId) -> Index {
        Index { terms: vec![(Atom::Axis(a), Dim::from(1))], offset: Dim::from(0) }
    }
}
impl From<Dim> for Index {
    fn from(offset: Dim) -> Index {
        Index { terms: vec![], offset }
    }
}
impl From<i64> for Index {
    fn from(v: i64) -> Index {
        Dim::from(v).into()
    }
}

impl Index {
    /// An integer that the kernel computes.
    pub fn value(e: ExprId) -> Index {
        Index { terms: vec![(Atom::Value(e), Dim::from(1))], offset: Dim::from(0) }
    }
    /// One atom as it is, not simplified.
    pub(crate) fn atom(a: Atom) -> Index {
        Index { terms: vec![(a, Dim::from(1))], offset: Dim::from(0) }
    }
    /// The same index after the axes and computed integers got other numbers; quotients and remainders stay as they are.
    pub(crate) fn renumber(&self, axis: &impl Fn(AxisId) -> AxisId, value: &impl Fn(ExprId) -> ExprId) -> Index {
        let new = |a: &Atom| match a {
            Atom::Axis(x) => Atom::Axis(axis(*x)),
            Atom::Value(e) => Atom::Value(value(*e)),
            Atom::FloorDiv(i, d) => Atom::FloorDiv(Arc::new(i.renumber(axis, value)), d.clone()),
            Atom::Mod(i, d) => Atom::Mod(Arc::new(i.renumber(axis, value)), d.clone()),
        };
        Index::normal(self.terms.iter().map(|(a, c)| (new(a), c.clone())).collect(), self.offset.clone())
    }
    /// Every size within: coefficients, offsets, divisors.
    pub(crate) fn dims(&self, out: &mut Vec<Dim>) {
        out.push(self.offset.clone());
        for (a, c) in &self.terms {
            out.push(c.clone());
            if let Atom::FloorDiv(i, d) | Atom::Mod(i, d) = a {
                out.push(d.clone());
                i.dims(out);
            }
        }
    }
    pub fn terms(&self) -> &[(Atom, Dim)] {
        &self.terms
    }
    pub fn offset(&self) -> &Dim {
        &self.offset
    }
    /// The axis, when the index is nothing else.
    pub fn as_axis(&self) -> Option<AxisId> {
        match self.terms.as_slice() {
            [(Atom::Axis(a), c)] if c.as_const() == Some(1) && self.offset.as_const() == Some(0) => Some(*a),
            _ => None,
        }
    }
    /// The size, when no axis or value varies the index.
    pub fn as_dim(&self) -> Option<&Dim> {
        self.terms.is_empty().then_some(&self.offset)
    }
    pub fn as_const(&self) -> Option<i64> {
        self.as_dim()?.as_const()
    }
    /// The factor of an axis, when the axis occurs in no other way. `Some(0)` when it does not occur at all.
    pub fn coefficient(&self, axis: AxisId) -> Option<Dim> {
        let inside = |i: &Index| i.mentions(axis);
        for (a, _) in &self.terms {
            match a {
                Atom::FloorDiv(i, _) | Atom::Mod(i, _) if inside(i) => return None,
                Atom::Value(_) => return None,
                _ => {}
            }
        }
        Some(self.terms.iter().find(|(a, _)| *a == Atom::Axis(axis)).map_or(Dim::from(0), |(_, c)| c.clone()))
    }
    /// Whether the axis occurs (a loaded value is not looked into).
    pub fn mentions(&self, axis: AxisId) -> bool {
        self.terms.iter().any(|(a, _)| match a {
            Atom::Axis(x) => *x == axis,
            Atom::Value(_) => false,
            Atom::FloorDiv(i, _) | Atom::Mod(i, _) => i.mentions(axis),
        })
    }
    /// Every axis that occurs, loaded values not looked into.
    pub fn axes(&self, out: &mut Vec<AxisId>) {
        for (a, _) in &self.terms {
            match a {
                Atom::Axis(x) => out.push(*x),
                Atom::Value(_) => {}
                Atom::FloorDiv(i, _) | Atom::Mod(i, _) => i.axes(out),
            }
        }
    }
    /// Every computed integer that occurs.
    pub fn values(&self, out: &mut Vec<ExprId>) {
        for (a, _) in &self.terms {
            match a {
                Atom::Axis(_) => {}
                Atom::Value(e) => out.push(*e),
                Atom::FloorDiv(i, _) | Atom::Mod(i, _) => i.values(out),
            }
        }
    }
    /// Whether the index is a sum of axes alone.
    pub fn is_affine(&self) -> bool {
        self.terms.iter().all(|(a, _)| matches!(a, Atom::Axis(_)))
    }

    fn normal(mut terms: Vec<(Atom, Dim)>, offset: Dim) -> Index {
        terms.sort_by(|a, b| a.0.cmp(&b.0));
        let mut merged: Vec<(Atom, Dim)> = vec![];
        for (a, c) in terms {
            match merged.last_mut() {
                Some((last, sum)) if *last == a => *sum = &*sum + &c,
                _ => merged.push((a, c)),
            }
        }
        merged.retain(|(_, c)| c.as_const() != Some(0));
        // c·d·(x floordiv d) + c·(x mod d) = c·x
        for i in 0..merged.len() {
            let (Atom::Mod(x, d), c) = &merged[i] else { continue };
            let quotient = Atom::FloorDiv(x.clone(), d.clone());
            let scaled = c * d;
            if let Some(j) = merged.iter().position(|(a, k)| *a == quotient && *k == scaled) {
                let whole = x.scale(c);
                let rest = merged.iter().enumerate().filter(|(k, _)| *k != i && *k != j).map(|(_, t)| t.clone()).collect();
                return Index { terms: rest, offset }.add(&whole);
            }
        }
        Index { terms: merged, offset }
    }
    pub fn add(&self, other: &Index) -> Index {
        Index::normal(self.terms.iter().chain(&other.terms).cloned().collect(), &self.offset + &other.offset)
    }
    pub fn add_dim(&self, d: &Dim) -> Index {
        Index { terms: self.terms.clone(), offset: &self.offset + d }
    }
    pub fn sub(&self, other: &Index) -> Index {
        self.add(&other.scale(&Dim::from(-1)))
    }
    pub fn scale(&self, by: &Dim) -> Index {
        Index::normal(self.terms.iter().map(|(a, c)| (a.clone(), c * by)).collect(), &self.offset * by)
    }
    /// The smallest and largest value over the axes' ranges, both inclusive, if known. `extent` gives an axis' size.
    pub fn range(&self, extent: &impl Fn(AxisId) -> Dim) -> Option<(Dim, Dim)> {
        let (mut low, mut high) = (self.offset.clone(), self.offset.clone());
        for (a, c) in &self.terms {
            let (from, to) = match a {
                Atom::Axis(x) => (Dim::from(0), &extent(*x) - &Dim::from(1)),
                Atom::Value(_) => return None,
                Atom::FloorDiv(i, d) => {
                    let (l, h) = i.range(extent)?;
                    (l.floor_div(d), h.floor_div(d))
                }
                Atom::Mod(_, d) => (Dim::from(0), d - &Dim::from(1)),
            };
            if c.known_non_negative() {
                low = &low + &(c * &from);
                high = &high + &(c * &to);
            } else if (-c).known_non_negative() {
                low = &low + &(c * &to);
                high = &high + &(c * &from);
            } else {
                return None;
            }
        }
        Some((low, high))
    }
    /// Whether the index lies in `0..size` wherever the axes are.
    pub fn known_within(&self, size: &Dim, extent: &impl Fn(AxisId) -> Dim) -> bool {
        self.range(extent).is_some_and(|(l, h)| l.known_non_negative() && (&h + &Dim::from(1)).known_le(size))
    }
    /// `d·q + r` with `q`'s terms multiples of `d`, and `r` the rest.
    fn split_by(&self, d: &Dim) -> (Index, Index) {
        let (mut q, mut r) = (Index::from(0), Index::from(0));
        for (a, c) in &self.terms {
            match c.exact_div(d) {
                Some(c) => q.terms.push((a.clone(), c)),
                None => r.terms.push((a.clone(), c.clone())),
            }
        }
        match (self.offset.exact_div(d), self.offset.as_const(), d.as_const()) {
            (Some(o), ..) => q.offset = o,
            (None, Some(o), Some(d)) if d > 0 => {
                q.offset = Dim::from(o.div_euclid(d));
                r.offset = Dim::from(o.rem_euclid(d));
            }
            _ => r.offset = self.offset.clone(),
        }
        (q, r)
    }
    /// The quotient by a positive size, rounded down.
    pub fn floor_div(&self, d: &Dim, extent: &impl Fn(AxisId) -> Dim) -> Index {
        if d.as_const() == Some(1) {
            return self.clone();
        }
        let (q, r) = self.split_by(d);
        if r.known_within(d, extent) {
            return q;
        }
        if let Some(o) = r.as_dim() {
            return q.add_dim(&o.floor_div(d));
        }
        if let ([(Atom::FloorDiv(i, e), c)], Some(0), Some(1)) = (r.terms(), r.offset.as_const(), r.terms.first().and_then(|t| t.1.as_const()))
            && c.as_const() == Some(1)
        {
            return q.add(&i.floor_div(&(e * d), extent));
        }
        q.add(&Index { terms: vec![(Atom::FloorDiv(Arc::new(r), d.clone()), Dim::from(1))], offset: Dim::from(0) })
    }
    /// The remainder by a positive size.
    pub fn modulo(&self, d: &Dim, extent: &impl Fn(AxisId) -> Dim) -> Index {
        if d.as_const() == Some(1) {
            return Index::from(0);
        }
        let (_, r) = self.split_by(d);
        if r.known_within(d, extent) {
            return r;
        }
        if let Some(o) = r.as_dim() {
            return Index::from(o.modulo(d));
        }
        Index { terms: vec![(Atom::Mod(Arc::new(r), d.clone()), Dim::from(1))], offset: Dim::from(0) }
    }
    /// Every axis replaced by what `axis` says, every computed integer by what `value` says; ranges are those of the new axes.
    pub fn substitute(&self, axis: &impl Fn(AxisId) -> Index, value: &impl Fn(ExprId) -> Index, extent: &impl Fn(AxisId) -> Dim) -> Index {
        let mut out = Index::from(self.offset.clone());
        for (a, c) in &self.terms {
            let new = match a {
                Atom::Axis(x) => axis(*x),
                Atom::Value(e) => value(*e),
                Atom::FloorDiv(i, d) => i.substitute(axis, value, extent).floor_div(d, extent),
                Atom::Mod(i, d) => i.substitute(axis, value, extent).modulo(d, extent),
            };
            out = out.add(&new.scale(c));
        }
        out
    }
    /// The value of the index at a point.
    pub fn eval(&self, axis: &impl Fn(AxisId) -> i64, value: &impl Fn(ExprId) -> i64, symbol: &impl Fn(&str) -> Option<i64>) -> Option<i64> {
        let mut sum = self.offset.eval(symbol)?;
        for (a, c) in &self.terms {
            let v = match a {
                Atom::Axis(x) => axis(*x),
                Atom::Value(e) => value(*e),
                Atom::FloorDiv(i, d) => i.eval(axis, value, symbol)?.checked_div_euclid(d.eval(symbol)?)?,
                Atom::Mod(i, d) => i.eval(axis, value, symbol)?.checked_rem_euclid(d.eval(symbol)?)?,
            };
            sum = sum.checked_add(c.eval(symbol)?.checked_mul(v)?)?;
        }
        Some(sum)
    }
}

/// The row-major position of `index` within `dims`.
pub fn linearize(index: &[Index], dims: &[Dim]) -> Index {
    let mut stride = Dim::from(1);
    let mut out = Index::from(0);
    for (i, d) in index.iter().zip(dims).rev() {
        out = out.add(&i.scale(&stride));
        stride = &stride * d;
    }
    out
}

/// The index within `dims` of a row-major position.
pub fn delinearize(flat: &Index, dims: &[Dim], extent: &impl Fn(AxisId) -> Dim) -> Vec<Index> {
    let mut out = vec![Index::from(0); dims.len()];
    let mut rest = flat.clone();
    for (axis, d) in dims.iter().enumerate().rev() {
        out[axis] = if axis == 0 { rest.clone() } else { rest.modulo(d, extent) };
        rest = rest.floor_div(d, extent);
    }
    out
}
