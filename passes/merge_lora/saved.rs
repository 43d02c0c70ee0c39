//! Parameters that an adapter saves whole: biases, modules_to_save, embeddings.

use super::NAME;
use super::place::{Finder, Problem};
use crate::common::modules::names::{Fit, fit};
use crate::common::modules::store::{store, swap};
use crate::common::modules::{Role, Site, scopes};
use lapidary_ir::{Graph, NodeId, Result, Tensor, ValueId};

/// Where a saved parameter goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// A constant that kept its sizes, where these read it.
    Constant(ValueId, Vec<(NodeId, usize)>),
    /// A weight that was turned or lost its name, `[rows, columns]` in the file.
    Weight(usize),
}

/// Places saved parameters, or says for each that has no place why.
pub fn place<'a>(finder: &Finder<'_>, saved: &[(&String, &'a (String, Tensor))]) -> (Vec<(Target, &'a Tensor)>, Vec<Problem>) {
    let mut out = vec![];
    let mut problems = vec![];
    for (name, (key, tensor)) in saved {
        match target(finder, name, tensor) {
            Ok(found) if found.is_empty() => {
                let of_size = |s: &Site| tensor.sizes() == [s.rows, s.columns];
                let why = format!("no parameter of sizes {:?} has this name{}", tensor.sizes(), finder.near(name, &of_size));
                problems.push(Problem { keys: vec![key.clone()], why });
            }
            Ok(found) => out.extend(found.into_iter().map(|t| (t, tensor))),
            Err(why) => problems.push(Problem { keys: vec![key.clone()], why }),
        }
    }
    (out, problems)
}

fn target(finder: &Finder<'_>, name: &str, tensor: &Tensor) -> Result<Vec<Target>, String> {
    let graph = finder.graph;
    let fits = |s: &Site| {
        let sizes = tensor.sizes();
        sizes.len() >= 2 && sizes[0] == s.rows && sizes[1..].iter().product::<usize>() == s.columns
    };
    let module = name.strip_suffix(".weight").unwrap_or(name);
    if let Some(called) = finder.map.get(name) {
        let values = graph.values_by_name();
        let constant = values.get(called).copied().filter(|v| graph.as_constant(*v).is_some_and(|t| t.sizes() == tensor.sizes()));
        let sites: Vec<Target> = finder.called(called).into_iter().filter(|s| fits(&finder.sites[*s])).map(Target::Weight).collect();
        return match constant {
            // A square weight that was turned is no copy of the file's.
            Some(v) if sites.is_empty() => Ok(vec![Target::Constant(v, graph.uses(v))]),
            _ if !sites.is_empty() => Ok(sites),
            _ => Err(format!("the map names '{called}', which is no constant of sizes {:?}", tensor.sizes())),
        };
    }
    let mut named: Vec<(Fit, ValueId, &str)> = vec![];
    for id in graph.node_ids().filter(|id| graph.node(*id).is_const()) {
        let found = &graph.value(id.out(0)).name;
        let same = graph.as_constant(id.out(0)).is_some_and(|t| t.sizes() == tensor.sizes());
        named.extend(fit(name, found).filter(|_| same).map(|f| (f, id.out(0), &**found)));
    }
    if let Some(best) = named.iter().map(|n| n.0).max() {
        named.retain(|n| n.0 == best);
        if named.len() > 1 {
            let all: Vec<String> = named.iter().take(4).map(|n| format!("'{}'", n.2)).collect();
            return Err(format!("several parameters end so: {}", all.join(", ")));
        }
        let uses = graph.uses(named[0].1);
        let belongs = |(node, _): &(NodeId, usize)| {
            let all = scopes(graph, *node);
            all.is_empty() || all.iter().any(|s| fit(owner(name), s).is_some())
        };
        // Exporters store equal parameters once: only the module's own readers change.
        let own: Vec<_> = uses.iter().copied().filter(belongs).collect();
        return Ok(vec![Target::Constant(named[0].1, if own.is_empty() { uses } else { own })]);
    }
    let stored_once = by_scope(finder, name, tensor);
    if !stored_once.is_empty() {
        return Ok(stored_once);
    }
    if let Some(module) = name.strip_suffix(".bias") {
        let found = finder.named(&[module.to_string()], &|s| s.rows == tensor.len())?;
        let readers = found.iter().flat_map(|(s, _)| finder.sites[*s].readers.iter()).filter_map(|r| r.bias);
        return Ok(readers.map(|(node, slot, v)| Target::Constant(v, vec![(node, slot)])).collect());
    }
    let kind = |s: &Site| fits(s) && (s.role != Role::Conv || tensor.sizes()[2..] == s.kernel[..]);
    Ok(finder.named(&[module.to_string()], &kind)?.into_iter().map(|(s, _)| Target::Weight(s)).collect())
}

/// The module of a parameter.
fn owner(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |n| n.0)
}

/// Where operators with several parameters keep them.
const SLOTS: &[(&str, &[(&str, usize)])] = &[
    ("LayerNormalization", &[("weight", 1), ("bias", 2)]),
    ("InstanceNormalization", &[("weight", 1), ("bias", 2)]),
    ("GroupNormalization", &[("weight", 1), ("bias", 2)]),
    ("RMSNormalization", &[("weight", 1)]),
    ("BatchNormalization", &[("weight", 1), ("bias", 2), ("running_mean", 3), ("running_var", 4)]),
];

/// A parameter of a normalization in the module, whatever it is called: exporters store equal ones once, under the first one's name.
fn by_scope(finder: &Finder<'_>, name: &str, tensor: &Tensor) -> Vec<Target> {
    let graph = finder.graph;
    let last = name.rsplit('.').next().unwrap_or(name);
    let mut out = vec![];
    for id in graph.operators() {
        let node = graph.node(id);
        let Some((_, slots)) = SLOTS.iter().find(|s| node.is(s.0)) else { continue };
        let Some(slot) = slots.iter().find(|s| s.0 == last).map(|s| s.1) else { continue };
        let Some(v) = node.input(slot).filter(|v| graph.as_constant(*v).is_some_and(|t| t.sizes() == tensor.sizes())) else { continue };
        if scopes(graph, id).iter().any(|s| fit(owner(name), s).is_some_and(|f| f > Fit::End)) {
            out.push(Target::Constant(v, vec![(id, slot)]));
        }
    }
    out
}

/// Puts a parameter where it goes, in the element type that stands there.
pub fn write(graph: &mut Graph, sites: &[Site], target: Target, tensor: &Tensor) -> Result<()> {
    let values = tensor.to_f64().unwrap_or_default();
    match target {
        Target::Weight(site) => {
            let site = &sites[site];
            let m = faer::Mat::from_fn(site.rows, site.columns, |r, c| values[r * site.columns + c]);
            store(graph, NAME, site, &(0..site.readers.len()).collect::<Vec<_>>(), &m)?;
        }
        Target::Constant(v, uses) => replace(graph, v, &values, &uses)?,
    }
    Ok(())
}

fn replace(graph: &mut Graph, constant: ValueId, values: &[f64], uses: &[(NodeId, usize)]) -> Result<()> {
    let Some(old) = graph.as_constant(constant) else { return Ok(()) };
    let new = Tensor::from_f64(old.dtype(), old.sizes(), values)?;
    swap(graph, NAME, constant, new, uses);
    Ok(())
}
