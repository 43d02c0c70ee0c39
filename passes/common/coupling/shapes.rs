//! What an operator's rule works with: the dims of its operands and results, and the sentences that it can say about them.

use super::{AxisId, Coupling, Pin, Place, Role, Sum, lanes_of};
use lapidary_ir::{Dim, Graph, Node, NodeId};
use std::rc::Rc;

/// A node under analysis.
pub struct At<'a> {
    pub c: &'a mut Coupling,
    pub graph: &'a Graph,
    pub id: NodeId,
}

/// A tensor's place with its dims.
#[derive(Clone)]
pub struct Shaped {
    pub place: Place,
    pub dims: Vec<Dim>,
}

impl Shaped {
    pub fn rank(&self) -> usize {
        self.dims.len()
    }
    /// A dim counted from the end when negative.
    pub fn dim(&self, axis: i64) -> Option<usize> {
        let rank = self.rank() as i64;
        usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|a| *a < self.rank())
    }
    pub fn size(&self, dim: usize) -> Option<usize> {
        self.dims.get(dim)?.as_const().and_then(|n| usize::try_from(n).ok())
    }
}

impl<'a> At<'a> {
    pub fn node(&self) -> &'a Node {
        self.graph.node(self.id)
    }
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.node().attrs.int(name).unwrap_or(default)
    }
    /// A tensor operand whose rank is known.
    pub fn input(&self, slot: usize) -> Option<Shaped> {
        let place = self.c.operand(self.graph, self.id, slot)?;
        Some(Shaped { place, dims: self.graph.ty(self.node().input(slot)?).dims()?.to_vec() })
    }
    /// A result whose rank is known.
    pub fn output(&self, o: usize) -> Option<Shaped> {
        self.node().outputs().get(o)?;
        Some(Shaped { place: Place::Value(self.id.out(o)), dims: self.graph.ty(self.id.out(o)).dims()?.to_vec() })
    }
    pub fn has(&self, slot: usize) -> bool {
        self.node().input(slot).is_some()
    }
    /// The elements of an integer operand, when they are plain numbers.
    pub fn ints(&self, slot: usize) -> Option<Vec<i64>> {
        self.c.facts.contents(self.graph, self.node().input(slot)?)?.as_ints()
    }
    /// Whether an operand is a constant.
    pub fn constant(&self, slot: usize) -> bool {
        self.node().input(slot).is_some_and(|v| self.graph.as_constant(v).is_some())
    }
    pub fn axis(&self, s: &Shaped, dim: usize) -> Option<AxisId> {
        self.c.axis(s.place, dim)
    }

    /// `Op 'node' does this`.
    pub fn says(&self, what: &str) -> Rc<str> {
        let n = self.node();
        format!("{} '{}' {what}", n.op, n.label()).into()
    }
    pub fn pin(&mut self, s: &Shaped, dim: usize, what: &str) {
        if let Some(a) = self.axis(s, dim) {
            let reason = self.says(what);
            self.c.pin(a, reason);
        }
    }
    pub fn pin_lanes(&mut self, s: &Shaped, dim: usize, lanes: std::ops::Range<usize>, what: &str) {
        if let Some(axis) = self.axis(s, dim) {
            let lanes = lanes.start.min(self.c.axes[axis].lanes)..lanes.end.min(self.c.axes[axis].lanes);
            let reason = self.says(what);
            self.c.pins.push(Pin { axis, lanes, reason, by_choice: false });
        }
    }
    /// All dims of a tensor must stay.
    pub fn pin_all(&mut self, s: &Shaped, what: &str) {
        (0..s.rank()).for_each(|d| self.pin(s, d, what));
    }
    /// Every operand and result must stay.
    pub fn pin_node(&mut self, what: &str) {
        let reason = self.says(what);
        for slot in 0..self.node().inputs().len() {
            if let Some(p) = self.c.operand(self.graph, self.id, slot) {
                self.c.pin_place(p, &reason);
            }
        }
        for o in 0..self.node().outputs().len() {
            self.c.pin_place(Place::Value(self.id.out(o)), &reason);
        }
    }

    /// Two dims are the same, lane by lane.
    pub fn link(&mut self, a: &Shaped, i: usize, b: &Shaped, j: usize) {
        match (self.axis(a, i), self.axis(b, j)) {
            (Some(x), Some(y)) if self.c.axes[x].size == self.c.axes[y].size => self.link_lanes(x, 0, y, 0, self.c.axes[x].lanes),
            (Some(x), Some(y)) => {
                let reason = self.says("relates sizes that cannot be compared");
                self.c.pin(x, reason.clone());
                self.c.pin(y, reason);
            }
            (Some(x), None) | (None, Some(x)) => {
                let reason = self.says("relates it to a size that is not known");
                self.c.pin(x, reason);
            }
            (None, None) => {}
        }
    }
    /// `count` lanes of one axis are those of another.
    pub fn link_lanes(&mut self, a: AxisId, first: usize, b: AxisId, other: usize, count: usize) {
        for l in 0..count {
            let (x, y) = (self.c.lane(a, first + l), self.c.lane(b, other + l));
            self.c.union(x, y);
        }
    }
    /// A dim of a broadcast operand is that of the result, unless it is 1.
    pub fn link_broadcast(&mut self, a: &Shaped, i: usize, out: &Shaped, j: usize) {
        if a.dims[i].as_const() != Some(1) {
            self.link(a, i, out, j);
        }
    }
    /// All dims are the same in the same order.
    pub fn link_all(&mut self, a: &Shaped, b: &Shaped) {
        if a.rank() != b.rank() {
            self.pin_all(a, "changes the number of its dims");
            self.pin_all(b, "changes the number of its dims");
            return;
        }
        (0..a.rank()).for_each(|d| self.link(a, d, b, d));
    }
    /// All dims but one are the same.
    pub fn link_but(&mut self, a: &Shaped, b: &Shaped, but: &[usize]) {
        if a.rank() == b.rank() {
            (0..a.rank()).filter(|d| !but.contains(d)).for_each(|d| self.link(a, d, b, d));
        } else {
            self.pin_all(a, "changes the number of its dims");
            self.pin_all(b, "changes the number of its dims");
        }
    }
    /// The lanes of each of `blocks` equal parts of an axis are one unit; part `p` of all axes is the same unit. Axes that do not divide
    /// stay.
    pub fn tie_blocks(&mut self, axes: &[AxisId], blocks: usize) {
        let Some(first) = axes.first().copied() else { return };
        for a in axes {
            let lanes = self.c.axes[*a].lanes;
            if blocks == 0 || !lanes.is_multiple_of(blocks) || !self.c.axes[first].lanes.is_multiple_of(blocks) {
                let reason = self.says("has parts of different sizes");
                self.c.pin(*a, reason);
                continue;
            }
            let part = lanes / blocks;
            for l in 0..lanes {
                let (x, y) = (self.c.lane(*a, l), self.c.lane(first, l / part * (self.c.axes[first].lanes / blocks)));
                self.c.union(x, y);
            }
        }
    }
    pub fn role(&mut self, s: &Shaped, dim: usize, role: Role) {
        if let Some(a) = self.axis(s, dim) {
            self.c.roles.entry(a).or_default().insert(role);
        }
    }
    /// Operand `slot` is summed over one of its dims, with `weight` as the other factor.
    pub fn sum(&mut self, slot: usize, s: &Shaped, dim: usize, weight: Option<(&Shaped, usize)>) {
        if let Some(axis) = self.axis(s, dim) {
            let weight = weight.and_then(|(w, d)| self.axis(w, d));
            self.c.sums.push(Sum { node: self.id, slot, axis, weight });
        }
    }
    /// A virtual dim, of no tensor: a factor of a merged one.
    pub fn factor(&mut self, like: &Shaped, size: usize) -> Option<AxisId> {
        let lanes = lanes_of(&Dim::from(size))?;
        Some(self.c.add_axis(like.place, usize::MAX, Dim::from(size), lanes))
    }
}
