//! What the passes that remove units have in common: which groups are theirs, what a unit is worth, how many go, and the report.

mod bonsai;
pub mod measure;
mod plan;
mod score;

use super::coupling::{Coupling, Group, Place, Role, Unit};
use super::nothing_done;
pub use bonsai::RUNS;
use lapidary_ir::{Diagnostic, Graph, NodeId, Result};
use lapidary_rewrite::{Kind, OptionSpec, Outcome, PassCtx};
pub use plan::Amount;
use std::collections::BTreeSet;

pub const METRIC: OptionSpec = OptionSpec::new(
    "metric",
    Kind::Choice(&["error", "kl"]),
    Some("error"),
    "how ablation measures the outputs: their squared error, or the divergence of the probabilities along their last axis",
);
pub const MULTIPLE: OptionSpec =
    OptionSpec::new("multiple", Kind::Int, Some("16"), "what is left of 4 times as many or more is a multiple of this (whole registers stay in use)");

/// What a pass removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Channels that convolutions make.
    Channels,
    /// Heads of attention.
    Heads,
    /// Inner columns of feed-forward layers, hidden units of MLPs and recurrent layers.
    Width,
    /// The columns of the residual stream: embeddings and what layer norms see.
    Hidden,
}

impl What {
    fn of(c: &Coupling, g: &Group) -> What {
        if g.has(c, Role::Statistic) || g.has(c, Role::Table) {
            What::Hidden
        } else if g.has(c, Role::Heads) {
            What::Heads
        } else if g.has(c, Role::Filters) {
            What::Channels
        } else {
            What::Width
        }
    }
    /// As the ledger calls them.
    pub fn plural(self) -> &'static str {
        match self {
            What::Channels => "channels",
            What::Heads => "heads",
            What::Width => "units",
            What::Hidden => "columns",
        }
    }
}

/// A group that a pass may take from.
pub struct Candidate {
    pub group: Group,
    pub what: What,
    /// The first node that makes it, for reports.
    pub node: NodeId,
}

/// What a pass does, from its options.
pub struct Order {
    pub pass: &'static str,
    pub what: Vec<What>,
    pub amount: Amount,
}

/// Nodes that make the lanes of a group: those whose weights have them as outputs.
fn producers(c: &Coupling, g: &Group) -> Vec<NodeId> {
    let of = |role: Role| {
        let nodes = g.of(c, role).filter_map(|a| if let Place::Use(n, _) = c.axes[a].place { Some(n) } else { None });
        nodes.collect::<Vec<NodeId>>()
    };
    let mut out = of(Role::Filters);
    out.extend(of(Role::Rows));
    if out.is_empty() {
        out = of(Role::Table);
    }
    out
}

/// The groups of a kind that may be cut; what may not be is a miss, with its reason.
fn candidates(graph: &Graph, c: &Coupling, ctx: &mut PassCtx<'_>, order: &Order) -> Vec<Candidate> {
    let mut out = vec![];
    for group in c.groups() {
        let what = What::of(c, &group);
        let made_by = producers(c, &group);
        let Some(node) = made_by.first().copied() else { continue };
        if !made_by.iter().any(|n| ctx.selected(graph, *n)) {
            continue;
        }
        if !order.what.contains(&what) {
            if order.what == [What::Channels] && what == What::Hidden && group.has(c, Role::Filters) {
                ctx.miss(order.pass, graph, node, "its channels are normalised together: prune-width{hidden=true} removes such");
            }
            continue;
        }
        if let Some(reason) = &group.reason {
            let some = if group.units.is_empty() { String::new() } else { format!("{} of its {} stay: ", group.pinned, what.plural()) };
            ctx.miss(order.pass, graph, node, format!("{some}{reason}"));
        }
        if group.units.len() + group.pinned < 2 {
            ctx.miss(order.pass, graph, node, format!("its {} are one unit: nothing would be left", what.plural()));
        } else if !group.units.is_empty() {
            out.push(Candidate { group, what, node });
        }
    }
    out
}

/// Analyses the graph, scores the units, removes the lowest and says what it did.
///
/// # Errors
/// Options that do not fit together, data that is missing or does not fit, a selection in which nothing can be done.
pub fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>, order: &Order) -> Result<Outcome> {
    let before = parameters(graph);
    let c = Coupling::of(graph)?;
    let found = candidates(graph, &c, ctx, order);
    let mut out = Outcome::default();
    if found.is_empty() {
        nothing_done(ctx, order.pass)?;
        return Ok(out);
    }
    let scores = score::all(graph, ctx, order.pass, &c, &found)?;
    let removed = plan::choose(ctx, order, &found, &scores)?;
    let all: BTreeSet<Unit> = removed.iter().flatten().copied().collect();
    if all.is_empty() {
        ctx.note(Diagnostic::error("nothing-cut", format!("the amount asked for is less than one of each {}", order.what[0].plural())));
        return Ok(out);
    }
    let lines: Vec<String> = found
        .iter()
        .zip(&removed)
        .filter(|(_, r)| !r.is_empty())
        .map(|(f, r)| {
            let units = f.group.units.len() + f.group.pinned;
            format!("'{}' keeps {} of {units} {}", graph.node(f.node).label(), units - r.len(), f.what.plural())
        })
        .collect();
    c.cut(graph, &all, order.pass)?;
    for (f, r) in found.iter().zip(&removed) {
        out.touch(f.what.plural(), r.len());
    }
    lines.into_iter().for_each(|l| ctx.note(Diagnostic::error("cut", l)));
    let after = parameters(graph);
    let share = 100.0 * after as f64 / before.max(1) as f64;
    ctx.note(Diagnostic::error("parameters", format!("{after} parameters of {before} are left ({share:.2} %)")));
    Ok(out)
}

/// Elements of all floating-point constants.
pub fn parameters(graph: &Graph) -> usize {
    graph.node_ids().filter_map(|n| graph.as_constant(n.out(0))).filter(|t| t.dtype().is_float()).map(|t| t.len()).sum()
}
