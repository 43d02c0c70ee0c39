use crate::pass::{Outcome, PassCtx, for_each_graph};
use crate::patch::Patch;
use crate::pattern::Pattern;
use crate::rule::{Match, Reason, Rule};
use lapidary_ir::{Diagnostic, Graph, NodeId, Result};
use lapidary_ops::{Facts, infer_types};
use rustc_hash::FxHashMap;

/// Applies rules all over a graph and the graphs nested in it until none applies any more. Misses go to the context. When
/// [`crate::Limits::sweeps`] is reached first, a note says so and what was done stays (every single patch is sound).
pub fn apply_rules(graph: &mut Graph, rules: &[Rule], ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut set = RuleSet { rules: vec![], by_op: FxHashMap::default() };
    for rule in rules {
        let pattern = Pattern::parse(rule.pattern).map_err(|e| {
            Diagnostic::error("broken-rule", format!("the pattern of rule '{}' is not valid: {e}", rule.name)).help("this is a bug of Lapidary")
        })?;
        for op in pattern.root_ops() {
            set.by_op.entry(op.clone()).or_default().push(set.rules.len());
        }
        set.rules.push((rule, pattern));
    }
    let mut out = Outcome::default();
    // Types of nested graphs come from the graph around them, so one inference from the top precedes all.
    infer_types(graph)?;
    for_each_graph(graph, &mut |g, _| {
        out.merge(settle(g, &set, ctx)?);
        Ok(())
    })?;
    Ok(out)
}

struct RuleSet<'a> {
    rules: Vec<(&'a Rule, Pattern)>,
    by_op: FxHashMap<String, Vec<usize>>,
}

fn settle(graph: &mut Graph, set: &RuleSet<'_>, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = Outcome::default();
    for _ in 0..ctx.limits.sweeps {
        let before = out.touched.values().sum::<usize>();
        let mut facts = infer_types(graph)?;
        for id in graph.operators() {
            sweep_node(graph, id, set, &mut facts, ctx, &mut out);
        }
        graph.sweep();
        if out.touched.values().sum::<usize>() == before {
            return Ok(out);
        }
    }
    let names: Vec<&str> = out.touched.keys().map(String::as_str).collect();
    let message = format!("rules still applied after {} sweeps: {}", ctx.limits.sweeps, names.join(", "));
    ctx.note(Diagnostic::error("not-settled", message).help("run the pass once more, or raise the limit of sweeps"));
    Ok(out)
}

fn is_dead(graph: &Graph, id: NodeId) -> bool {
    (0..graph.node(id).outputs().len()).all(|o| graph.use_count(id.out(o)) == 0)
}

fn sweep_node(graph: &mut Graph, id: NodeId, set: &RuleSet<'_>, facts: &mut Facts, ctx: &mut PassCtx<'_>, out: &mut Outcome) {
    if is_dead(graph, id) || !ctx.selected(graph, id) {
        return;
    }
    let op = &graph.node(id).op;
    let key = if op.domain.is_empty() { op.name.to_string() } else { op.to_string() };
    let Some(candidates) = set.by_op.get(&key) else { return };
    for index in candidates {
        let (rule, pattern) = &set.rules[*index];
        let ways = match pattern.matches(graph, id) {
            Ok(ways) => ways,
            Err((depth, reason)) => {
                if depth > 0 && ctx.why.as_deref() == Some(rule.name) {
                    ctx.miss(rule.name, graph, id, format!("the pattern stops: {reason}"));
                }
                continue;
            }
        };
        let mut reasons: Vec<Reason> = vec![];
        for bindings in &ways {
            let attempt = || -> Result<Patch, Reason> {
                if !rule.shared {
                    inner_unused(graph, id, &bindings.inner)?;
                }
                let m = Match { graph, facts, root: id, target_opset: ctx.target_opset, bindings };
                (rule.when)(&m)?;
                let mut patch = Patch::default();
                (rule.build)(&m, &mut patch)?;
                Ok(patch)
            };
            match attempt().and_then(|patch| patch.apply(graph, facts, id, rule.name, &bindings.inner, ctx.target_opset)) {
                Ok(()) => {
                    tracing::debug!(rule = rule.name, node = id.index(), "applied");
                    out.touch(rule.name, 1);
                    return; // the node is gone or changed: the next sweep looks again
                }
                Err(reason) => reasons.push(reason),
            }
        }
        // Of several orders of operands, the one with the constant where the rule wants it says what is really in the way.
        let telling = reasons.iter().position(|r| !r.text.ends_with("is not a constant")).unwrap_or(0);
        if let Some(reason) = reasons.into_iter().nth(telling)
            && (!reason.plain || ctx.why.as_deref() == Some(rule.name))
        {
            ctx.miss(rule.name, graph, id, reason.text);
        }
    }
}

/// Whether values inside a match are used by the match alone.
fn inner_unused(graph: &Graph, root: NodeId, inner: &[NodeId]) -> Result<(), Reason> {
    for n in inner {
        for o in 0..graph.node(*n).outputs().len() {
            let value = n.out(o);
            let name = &graph.value(value).name;
            if graph.is_output(value) {
                return Err(format!("'{name}' is an output of the graph").into());
            }
            if let Some((user, _)) = graph.uses(value).into_iter().find(|(u, _)| *u != root && !inner.contains(u)) {
                return Err(format!("'{name}' is also used by {} '{}'", graph.node(user).op, graph.node(user).label()).into());
            }
        }
    }
    Ok(())
}
