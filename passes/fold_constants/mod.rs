//! fold-constants: compute at compile time what depends on constants alone.
//!
//! Evaluates nodes whose operands are all constant and stores the result. Left alone, with the reason in the ledger:
//! results larger than `limit` (the actual size counts, not a declared one), results that would make the file grow by more than
//! `growth` (a mask that is cheaper to compute than to ship), operators that draw random numbers, outputs of the graph, and
//! QuantizeLinear and DequantizeLinear, since folding those would store quantized weights as floats again.

use crate::common::{is_random, replace_by_constant};
use lapidary_ir::{Graph, NodeId, Result};
use lapidary_ops::{Datum, EvalOptions, evaluate_node, find};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run, for_each_graph};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: // The evaluator sums in f64: a folded contraction may round differently from one that runs.
        Effect::Rounding, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "fold-constants";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("limit", Kind::Int, None, "the most bytes that the result of one node may take (default: 16 MiB)"),
    OptionSpec::new("growth", Kind::Int, Some("65536"), "bytes that one folded node may add to the file"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let limit = ctx.options.int("limit").map_or(ctx.limits.fold_bytes, |v| v.max(0) as usize);
    let growth = ctx.options.int("growth").unwrap_or(65536).max(0) as usize;
    let mut out = Outcome::default();
    for_each_graph(graph, &mut |g, _| {
        for id in g.topological()? {
            match fold(g, id, ctx, limit, growth) {
                Folded::Yes => out.touch(NAME, 1),
                Folded::NotConstant => {}
                Folded::No(reason) => ctx.miss(NAME, g, id, reason),
            }
        }
        g.sweep();
        Ok(())
    })?;
    Ok(out)
}

enum Folded {
    Yes,
    NotConstant,
    No(String),
}

fn fold(g: &mut Graph, id: NodeId, ctx: &PassCtx<'_>, limit: usize, growth: usize) -> Folded {
    let node = g.node(id);
    let constants: Option<Vec<_>> = node.inputs().iter().map(|v| v.map_or(Some(None), |v| g.as_constant(v).map(Some))).collect();
    let Some(operands) = constants else { return Folded::NotConstant };
    let used = (0..node.outputs().len()).any(|o| g.use_count(id.out(o)) > 0);
    // Constants themselves, what waits for a sweep (its operands are detached), and operators that nobody can evaluate.
    let skip = node.is_input() || node.is_const() || node.is("Constant") || !used || find(&node.op).is_none_or(|d| d.eval.is_none());
    if skip || !ctx.selected(g, id) {
        return Folded::NotConstant;
    }
    if is_random(g, id) {
        return Folded::No("it draws random numbers".into());
    }
    // Codes that a table or a scale gives their meaning, too.
    let coded =
        |t: &Option<&std::sync::Arc<lapidary_ir::Tensor>>| t.is_some_and(|t| t.dtype().bits() < 8 || (t.dtype().is_float() && t.dtype().bits() == 8));
    if node.is("QuantizeLinear") || node.is("DequantizeLinear") || node.is("Cast") && operands.iter().any(coded) {
        return Folded::No("quantized weights stay quantized".into());
    }
    if let Some(o) = (0..node.outputs().len()).find(|o| g.is_output(id.out(*o))) {
        return Folded::No(format!("'{}' is an output of the graph", g.value(id.out(o)).name));
    }
    let too_large = |bytes: usize| (bytes > limit).then(|| format!("the result takes {bytes} bytes, the limit is {limit}"));
    for v in node.outputs() {
        let declared = v.ty.sizes().and_then(|s| s.iter().try_fold(1usize, |a, d| a.checked_mul(*d))).and_then(|n| v.ty.dtype().bytes_for(n));
        if let Some(reason) = declared.and_then(too_large) {
            return Folded::No(reason);
        }
    }
    let data: Vec<Option<Datum>> = operands.iter().map(|t| t.map(|t| Datum::Tensor((**t).clone()))).collect();
    let refs: Vec<Option<&Datum>> = data.iter().map(Option::as_ref).collect();
    let options = EvalOptions { max_value_bytes: limit };
    let results = match evaluate_node(node, &refs, &options) {
        Ok(r) => r,
        Err(e) => return Folded::No(e.to_string()),
    };
    let used: Vec<usize> = (0..node.outputs().len()).filter(|o| g.use_count(id.out(*o)) > 0).collect();
    let mut tensors = vec![];
    for o in used {
        match results.get(o) {
            Some(Datum::Tensor(t)) => tensors.push((o, t.clone())),
            _ => return Folded::No("a result is not a tensor".into()),
        }
    }
    let added: usize = tensors.iter().map(|(_, t)| t.byte_size()).sum();
    if let Some(reason) = too_large(added) {
        return Folded::No(reason);
    }
    // What goes with the node: constants that nothing else uses.
    let freed: usize =
        node.inputs().iter().flatten().filter(|v| g.use_count(**v) == 1).filter_map(|v| g.as_constant(*v)).map(|t| t.byte_size()).sum();
    if added > freed + growth {
        return Folded::No(format!("the file would grow by {} bytes, {growth} are allowed", added - freed));
    }
    for (o, t) in tensors {
        replace_by_constant(g, id.out(o), t, NAME);
    }
    Folded::Yes
}
