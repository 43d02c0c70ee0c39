//! Which dims of which tensors must shrink together.
//!
//! Every size that is known is a row of *lanes*: the channels of an image, the columns of a weight, the heads of an attention. What an
//! operator says about its operands and results is said lane by lane: this lane is that one (a union), or this lane must stay (a pin, with
//! the reason). Lanes that are the same, directly or through any number of operators, are a *unit*: what can only be removed as a whole.
//! A head of 64 columns, the channels of a group of a convolution, the columns of a `Gemm` that read one channel of a flattened image are
//! units because a Reshape, a group, a Flatten ties their lanes, and for no other reason. Units that touch the same dims in the same way
//! are a [`Group`]: the choice that a pass has.
//!
//! A size `12·N` has 12 lanes, the lane of an index being its remainder (the symbols are the outer part, as in a batch of heads).
//!
//! A Reshape that merges `[12, 64]` into `[768]` leaves a choice: to remove heads, or places within them. The outermost factor that nothing
//! pins is taken, the others stay.
//!
//! Each use of a constant counts for itself: exporters store equal constants once, and that two layers have the same bias says nothing.
//!
//! [`Coupling::cut`] removes units: it slices constants, rewrites attributes and the constants that say shapes, and lets inference confirm
//! that every value then has the type that the analysis promised.
//!
//! The idea is that of dependency graphs for pruning: Fang et al., "DepGraph: Towards any structural pruning" (2023).

mod cut;
mod fix;
mod links;
mod recurrent;
mod shapes;
#[cfg(test)]
mod tests;
mod views;

use lapidary_ir::{Dim, Graph, NodeId, Result, ValueId};
use lapidary_ops::Facts;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A tensor as the analysis sees it: a computed value, or one use of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Value(ValueId),
    Use(NodeId, usize),
}

/// A dim of known size: `lanes` numbers starting at `first`.
#[derive(Clone, Debug)]
pub struct Axis {
    pub place: Place,
    pub dim: usize,
    /// The size as the type says it: the number of lanes, or that times symbols.
    pub size: Dim,
    first: usize,
    pub lanes: usize,
}

pub type AxisId = usize;

/// What an operator uses a dim for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Outputs of a weight.
    Rows,
    /// Outputs of a convolution's weight.
    Filters,
    /// Inputs of a weight.
    Columns,
    /// The scale of a batch norm.
    Gamma,
    /// Heads of an attention: matrices of activations that are multiplied side by side.
    Heads,
    /// Columns of a table of Gather.
    Table,
    /// What a layer norm, or a mean, is taken over: fewer lanes give other statistics.
    Statistic,
    /// The state that a recurrent operator feeds back to itself.
    State,
}

/// A sum over a dim: where a lane that is absent and a lane that is zero are the same.
#[derive(Clone, Debug)]
pub struct Sum {
    pub node: NodeId,
    /// The operand that is computed, and its dim.
    pub slot: usize,
    pub axis: AxisId,
    /// The dim of the other operand that the sum runs over.
    pub weight: Option<AxisId>,
}

/// Lanes that can only be removed together, by the number that stands for them.
pub type Unit = usize;

/// Units that touch the same dims in the same way.
#[derive(Clone, Debug)]
pub struct Group {
    /// The units that may go, in the order of their first lanes.
    pub units: Vec<Unit>,
    /// How many units of this kind must stay, and why.
    pub pinned: usize,
    pub reason: Option<Rc<str>>,
    /// The dims, and how many lanes of each a unit has.
    pub axes: Vec<(AxisId, usize)>,
}

/// What the analysis of a graph found.
pub struct Coupling {
    pub axes: Vec<Axis>,
    index: BTreeMap<(Place, usize), AxisId>,
    parent: Vec<u32>,
    pins: Vec<Pin>,
    pub roles: BTreeMap<AxisId, BTreeSet<Role>>,
    pub sums: Vec<Sum>,
    /// For dims that a Reshape merges: which factor may shrink.
    choices: BTreeMap<Merge, usize>,
    /// For each merge, the axes of its factors.
    merges: BTreeMap<Merge, Vec<AxisId>>,
    facts: Facts,
}

/// A dim that a Reshape makes of several, or takes apart: the node, whether on the side of its result, which dim.
type Merge = (NodeId, bool, usize);

#[derive(Clone, Debug)]
struct Pin {
    axis: AxisId,
    /// Lane numbers within the axis.
    lanes: std::ops::Range<usize>,
    reason: Rc<str>,
    /// Not by an operator, but by the choice of another factor of a merged dim.
    by_choice: bool,
}

/// More lanes than this in one dim are data, not structure.
const LANES: usize = 1 << 20;
/// How often the analysis runs again with other factors of merged dims.
const ROUNDS: usize = 6;

impl Coupling {
    /// Analyses a graph. Types are inferred first.
    ///
    /// # Errors
    /// Those of type inference.
    pub fn of(graph: &mut Graph) -> Result<Coupling> {
        let mut facts = lapidary_ops::infer_types(graph)?;
        let mut choices = BTreeMap::new();
        for round in 0.. {
            let mut c = Coupling::new(facts, choices);
            c.add_values(graph);
            for id in graph.operators() {
                links::link(&mut c, graph, id);
            }
            for v in graph.inputs() {
                c.pin_place(Place::Value(*v), &format!("'{}' is an input of the model", graph.value(*v).name));
            }
            for v in graph.outputs() {
                c.pin_place(Place::Value(*v), &format!("'{}' is an output of the model", graph.value(*v).name));
            }
            if round == ROUNDS || !c.choose() {
                return Ok(c);
            }
            (facts, choices) = (c.facts, c.choices);
        }
        unreachable!("the last round returns")
    }

    fn new(facts: Facts, choices: BTreeMap<Merge, usize>) -> Coupling {
        Coupling {
            axes: vec![],
            index: BTreeMap::new(),
            parent: vec![],
            pins: vec![],
            roles: BTreeMap::new(),
            sums: vec![],
            choices,
            merges: BTreeMap::new(),
            facts,
        }
    }

    /// Lanes for every dim of every value and every use of a constant, in the graph's order.
    fn add_values(&mut self, graph: &Graph) {
        for v in graph.inputs() {
            self.add_place(Place::Value(*v), graph.ty(*v).dims());
        }
        for v in graph.outputs() {
            if graph.as_constant(*v).is_some() {
                self.add_place(Place::Value(*v), graph.ty(*v).dims());
            }
        }
        for id in graph.operators() {
            for (slot, v) in graph.node(id).inputs().iter().enumerate() {
                if let Some(v) = v.filter(|v| graph.as_constant(*v).is_some()) {
                    self.add_place(Place::Use(id, slot), graph.ty(v).dims());
                }
            }
            for o in 0..graph.node(id).outputs().len() {
                self.add_place(Place::Value(id.out(o)), graph.ty(id.out(o)).dims());
            }
        }
    }

    fn add_place(&mut self, place: Place, dims: Option<&[Dim]>) {
        for (dim, size) in dims.into_iter().flatten().enumerate() {
            if let Some(lanes) = lanes_of(size) {
                let id = self.add_axis(place, dim, size.clone(), lanes);
                self.index.insert((place, dim), id);
            }
        }
    }

    fn add_axis(&mut self, place: Place, dim: usize, size: Dim, lanes: usize) -> AxisId {
        let first = self.parent.len();
        self.parent.extend((first..first + lanes).map(|i| i as u32));
        self.axes.push(Axis { place, dim, size, first, lanes });
        self.axes.len() - 1
    }

    /// The place of a node's operand.
    pub fn operand(&self, graph: &Graph, id: NodeId, slot: usize) -> Option<Place> {
        let v = graph.node(id).input(slot)?;
        Some(if graph.as_constant(v).is_some() { Place::Use(id, slot) } else { Place::Value(v) })
    }

    /// The axis of a dim that has lanes: of a known size of two or more.
    pub fn axis(&self, place: Place, dim: usize) -> Option<AxisId> {
        self.index.get(&(place, dim)).copied()
    }

    fn root(&self, lane: usize) -> usize {
        let mut at = lane;
        while self.parent[at] as usize != at {
            at = self.parent[at] as usize;
        }
        at
    }

    fn union(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        // The earlier lane stands for both: results do not depend on the order of unions.
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high] = low as u32;
    }

    /// As [`Coupling::root`], halving the way for those who come later.
    fn find(&mut self, mut lane: usize) -> usize {
        while self.parent[lane] as usize != lane {
            let up = self.parent[lane] as usize;
            self.parent[lane] = self.parent[up];
            lane = self.parent[up] as usize;
        }
        lane
    }

    /// Lane `lane` of an axis, as a number among all.
    fn lane(&self, axis: AxisId, lane: usize) -> usize {
        self.axes[axis].first + lane
    }

    /// The unit of each lane of an axis.
    pub fn units(&self, axis: AxisId) -> Vec<Unit> {
        let a = &self.axes[axis];
        (a.first..a.first + a.lanes).map(|l| self.root(l)).collect()
    }

    fn pin(&mut self, axis: AxisId, reason: impl Into<Rc<str>>) {
        let lanes = 0..self.axes[axis].lanes;
        self.pins.push(Pin { axis, lanes, reason: reason.into(), by_choice: false });
    }

    fn pin_place(&mut self, place: Place, reason: &str) {
        let reason: Rc<str> = reason.into();
        let axes: Vec<AxisId> = self.index.range((place, 0)..=(place, usize::MAX)).map(|(_, a)| *a).collect();
        axes.into_iter().for_each(|a| self.pin(a, reason.clone()));
    }

    /// Every pinned unit with the first reason for it.
    fn pinned(&self, by_choice: bool) -> BTreeMap<Unit, Rc<str>> {
        let mut out = BTreeMap::new();
        for p in self.pins.iter().filter(|p| by_choice || !p.by_choice) {
            for l in p.lanes.clone() {
                out.entry(self.root(self.lane(p.axis, l))).or_insert_with(|| p.reason.clone());
            }
        }
        out
    }

    /// Moves merged dims, the chosen factor of which must stay whole, to their next factor. Returns whether any moved.
    fn choose(&mut self) -> bool {
        let pinned = self.pinned(false);
        let stuck = |c: &Coupling, axis: AxisId| c.units(axis).iter().all(|u| pinned.contains_key(u));
        let mut moved = false;
        for (merge, factors) in std::mem::take(&mut self.merges) {
            let now = self.choices.get(&merge).copied().unwrap_or(0);
            if factors.get(now).is_some_and(|f| stuck(self, *f))
                && let Some(next) = (now + 1..factors.len()).find(|n| !stuck(self, factors[*n]))
            {
                self.choices.insert(merge, next);
                moved = true;
            }
        }
        moved
    }

    /// All groups that touch a weight, in the order of their first dims.
    pub fn groups(&self) -> Vec<Group> {
        let pinned = self.pinned(true);
        let mut touched: BTreeMap<Unit, Vec<(AxisId, usize)>> = BTreeMap::new();
        for (id, axis) in self.axes.iter().enumerate() {
            let mut counts: BTreeMap<Unit, usize> = BTreeMap::new();
            (axis.first..axis.first + axis.lanes).for_each(|l| *counts.entry(self.root(l)).or_default() += 1);
            counts.into_iter().for_each(|(u, n)| touched.entry(u).or_default().push((id, n)));
        }
        let mut by_axes: BTreeMap<Vec<(AxisId, usize)>, Vec<Unit>> = BTreeMap::new();
        for (unit, axes) in touched {
            by_axes.entry(axes).or_default().push(unit);
        }
        let mut out = vec![];
        for (axes, all) in by_axes {
            let has = |role: Role| axes.iter().any(|(a, _)| self.roles.get(a).is_some_and(|r| r.contains(&role)));
            if !(has(Role::Rows) || has(Role::Filters) || has(Role::Columns)) {
                continue;
            }
            let (stay, units): (Vec<Unit>, Vec<Unit>) = all.into_iter().partition(|u| pinned.contains_key(u));
            let reason = stay.first().and_then(|u| pinned.get(u)).cloned();
            out.push(Group { units, pinned: stay.len(), reason, axes });
        }
        out
    }

    /// Whether an axis has a role.
    pub fn is(&self, axis: AxisId, role: Role) -> bool {
        self.roles.get(&axis).is_some_and(|r| r.contains(&role))
    }
}

impl Group {
    /// Whether any of its dims has a role.
    pub fn has(&self, c: &Coupling, role: Role) -> bool {
        self.axes.iter().any(|(a, _)| c.is(*a, role))
    }
    /// Its axes of a role.
    pub fn of<'a>(&'a self, c: &'a Coupling, role: Role) -> impl Iterator<Item = AxisId> + 'a {
        self.axes.iter().map(|(a, _)| *a).filter(move |a| c.is(*a, role))
    }
}

/// How many lanes a dim has: the factor before its symbols. Dims of size 0 and 1 have none, nor sums of symbols.
fn lanes_of(size: &Dim) -> Option<usize> {
    let (factor, _) = split(size)?;
    usize::try_from(factor).ok().filter(|n| (2..=LANES).contains(n))
}

/// A size as a number times symbols; `None` for sums.
fn split(size: &Dim) -> Option<(i64, Dim)> {
    if let Some(n) = size.as_const() {
        return Some((n, Dim::from(1)));
    }
    match size.terms() {
        [(_, factor)] => Some((*factor, size.exact_div(&Dim::from(*factor))?)),
        _ => None,
    }
}
