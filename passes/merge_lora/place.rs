//! Which weight of the graph each module of the adapter is.

use super::adapter::tensors;
use super::combine::Change;
use super::map::Names;
use crate::common::modules::names::{self, Fit, fit};
use crate::common::modules::{Role, Site};
use faer::Mat;
use lapidary_ir::{Graph, Result, nearest};
use lapidary_rewrite::PassCtx;
use std::collections::{BTreeMap, BTreeSet};

/// How a module was recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Map,
    Name,
    Scope,
    Bias,
    Joined,
    Value,
    Shape,
}

impl How {
    pub fn text(self) -> &'static str {
        match self {
            How::Map => "the map",
            How::Name => "the weight's name",
            How::Scope => "the node's scope",
            How::Bias => "the bias's name",
            How::Joined => "the name of the joined weight",
            How::Value => "its value",
            How::Shape => "its shape alone",
        }
    }
}

/// Rows of a module that are rows of a site.
#[derive(Clone, Debug)]
pub struct Place {
    pub change: usize,
    pub site: usize,
    /// The first row in the module, in the site, and how many.
    pub from: usize,
    pub to: usize,
    pub rows: usize,
    /// Readers of the site that belong to the module.
    pub readers: Vec<usize>,
    pub how: How,
}

/// A key that fits nothing, and why.
#[derive(Debug)]
pub struct Problem {
    pub keys: Vec<String>,
    pub why: String,
}

pub struct Finder<'a> {
    pub graph: &'a Graph,
    pub sites: &'a [Site],
    pub map: &'a Names,
    /// Names that the graph gives each site, with what gave them.
    names: Vec<Vec<(How, String)>>,
}

impl<'a> Finder<'a> {
    pub fn new(graph: &'a Graph, sites: &'a [Site], map: &'a Names) -> Finder<'a> {
        let of = |s: &Site| {
            let own = s.own().into_iter().map(|n| (How::Name, n));
            let scopes = s.readers.iter().flat_map(|r| r.scopes.iter().map(|n| (How::Scope, n.clone())));
            own.chain(scopes).chain(s.by_bias().into_iter().map(|n| (How::Bias, n))).collect()
        };
        Finder { graph, sites, map, names: sites.iter().map(of).collect() }
    }
    /// Sites that fit one of these names best, of those that `accept` takes.
    pub fn named(&self, wanted: &[String], accept: &dyn Fn(&Site) -> bool) -> Result<Vec<(usize, How)>, String> {
        let mut found: Vec<(Fit, usize, How, &str)> = vec![];
        for (i, site) in self.sites.iter().enumerate() {
            let fits = self.names[i].iter().flat_map(|(how, n)| wanted.iter().filter_map(move |w| Some((fit(w, n)?, i, *how, n.as_str()))));
            // Of equal fits the first, which is the most certain.
            if let Some(best) = fits.rev().max_by_key(|f| f.0).filter(|_| accept(site)) {
                found.push(best);
            }
        }
        let Some(best) = found.iter().map(|f| f.0).max() else { return Ok(vec![]) };
        found.retain(|f| f.0 == best);
        let different: BTreeSet<&str> = found.iter().map(|f| f.3).collect();
        if best == Fit::End && different.len() > 1 {
            let some: Vec<String> = different.iter().take(4).map(|n| format!("'{n}'")).collect();
            return Err(format!("several weights end so: {}", some.join(", ")));
        }
        Ok(found.into_iter().map(|f| (f.1, f.2)).collect())
    }
    /// The site that a constant's or node's name means.
    pub fn called(&self, name: &str) -> Vec<usize> {
        let is = |s: &Site| {
            s.name == name
                || s.readers
                    .iter()
                    .any(|r| &*self.graph.node(r.node).name == name || self.graph.node(r.node).outputs().iter().any(|o| &*o.name == name))
        };
        (0..self.sites.len()).filter(|i| is(&self.sites[*i])).collect()
    }
    /// The readers that stand in the module, where some say so; else all.
    fn readers(&self, site: usize, module: &str) -> Vec<usize> {
        let all = &self.sites[site].readers;
        let inside = |i: &usize| all[*i].scopes.iter().any(|s| fit(module, s).is_some());
        let some: Vec<usize> = (0..all.len()).filter(inside).collect();
        let silent = |i: &usize| all[*i].scopes.is_empty();
        if some.is_empty() { (0..all.len()).collect() } else { (0..all.len()).filter(|i| some.contains(i) || silent(i)).collect() }
    }
    /// Places every change, or says for each that has none why.
    pub fn place(&self, changes: &[Change<'_>], ctx: &PassCtx<'_>) -> Result<(Vec<Place>, Vec<Problem>)> {
        let mut out: Vec<Place> = vec![];
        let mut problems = vec![];
        let mut left = vec![];
        for i in 0..changes.len() {
            match self.one(changes, i) {
                Ok(places) if places.is_empty() => left.push(i),
                Ok(places) => out.extend(places),
                Err(why) => problems.push(self.problem(&changes[i], why)),
            }
        }
        if !left.is_empty() {
            if let Some(path) = ctx.options.text("base") {
                let base = tensors(ctx.data.bytes(path)?, path)?;
                self.by_value(changes, &base, &mut left, &mut out);
            }
            self.by_shape(changes, &mut left, &mut out);
        }
        for i in left {
            let (rows, columns) = changes[i].first().map_or((0, 0), |m| m.size());
            problems.push(self.problem(&changes[i], format!("no weight of {rows} outputs by {columns} inputs is known by this name")));
        }
        self.overlaps(changes, &out, &mut problems);
        Ok((out, problems))
    }
    fn one(&self, changes: &[Change<'_>], i: usize) -> Result<Vec<Place>, String> {
        let change = &changes[i];
        let Some(module) = change.first() else { return Ok(vec![]) };
        let (rows, columns) = module.size();
        let accept = |s: &Site| fits(change, s);
        let whole = |site: usize, how: How| Place { change: i, site, from: 0, to: 0, rows, readers: self.readers(site, &change.module), how };
        if let Some(name) = self.map.get(&change.module) {
            let called = self.called(name);
            let Some(first) = called.first() else { return Err(format!("the map names '{name}', which is no weight that something multiplies by")) };
            let good: Vec<usize> = called.iter().copied().filter(|s| accept(&self.sites[*s])).collect();
            if good.is_empty() {
                let s = &self.sites[*first];
                return self.joined(changes, i, &|_| called.clone()).map(|p| p.into_iter().map(|p| Place { how: How::Map, ..p }).collect()).and_then(
                    |p: Vec<Place>| {
                        let text = format!("the map names '{name}', of {} outputs by {} inputs, not {rows} by {columns}", s.rows, s.columns);
                        if p.is_empty() { Err(text) } else { Ok(p) }
                    },
                );
            }
            return Ok(good.into_iter().map(|s| Place { readers: (0..self.sites[s].readers.len()).collect(), ..whole(s, How::Map) }).collect());
        }
        let found = self.named(&[change.module.clone()], &accept)?;
        if !found.is_empty() {
            if let Some((s, _)) = found.iter().find(|(s, _)| self.sites[*s].groups > 1) {
                let text = format!("'{}' is a convolution of {} groups, which an adapter crosses", self.sites[*s].name, self.sites[*s].groups);
                return Err(text);
            }
            return Ok(found.into_iter().map(|(s, how)| whole(s, how)).collect());
        }
        let joined = self.joined(changes, i, &|parent| {
            let wide = |s: &Site| s.role == Role::Product && s.columns == columns && s.rows > rows;
            self.named(&names::wholes(parent), &wide).unwrap_or_default().into_iter().map(|f| f.0).collect()
        })?;
        if !joined.is_empty() || module.embedding {
            return Ok(joined);
        }
        // The other way round: the graph has three weights where the adapter has one.
        for set in names::parts(&change.module) {
            let narrow = |s: &Site| s.role == Role::Product && s.columns == columns && s.rows < rows;
            let three: Vec<Vec<(usize, How)>> = set.iter().map(|n| self.named(&[n.clone()], &narrow)).collect::<Result<_, _>>()?;
            let sizes: Option<Vec<usize>> = three.iter().map(|t| t.first().map(|f| self.sites[f.0].rows)).collect();
            if sizes.as_ref().is_none_or(|s| s.iter().sum::<usize>() != rows) {
                continue;
            }
            let mut from = 0;
            let mut out = vec![];
            for (sites, name) in three.iter().zip(&set) {
                let size = sites.first().map_or(0, |s| self.sites[s.0].rows);
                out.extend(sites.iter().map(|s| Place { from, rows: size, readers: self.readers(s.0, name), how: How::Joined, ..whole(s.0, s.1) }));
                from += size;
            }
            return Ok(out);
        }
        Ok(vec![])
    }
    /// Rows of a joined query, key and value weight.
    fn joined(&self, changes: &[Change<'_>], i: usize, find: &dyn Fn(&str) -> Vec<usize>) -> Result<Vec<Place>, String> {
        let change = &changes[i];
        let Some((rows, columns)) = change.first().map(|m| m.size()) else { return Ok(vec![]) };
        let Some((parent, which, three)) = names::three(&change.module) else { return Ok(vec![]) };
        let known: Vec<Option<usize>> =
            three.iter().map(|n| changes.iter().find(|c| c.module == *n).and_then(|c| c.first()).map(|m| m.size().0)).collect();
        let mut out = vec![];
        for site in find(parent) {
            let all = self.sites[site].rows;
            if self.sites[site].columns != columns {
                continue;
            }
            // Keys and values have as many rows as each other, and may have fewer than queries.
            let (q, kv) = match (known[0], known[1].or(known[2])) {
                (Some(q), Some(kv)) => (q, kv),
                (Some(q), None) => (q, all.saturating_sub(q) / 2),
                (None, Some(kv)) => (all.saturating_sub(2 * kv), kv),
                (None, None) => continue,
            };
            if q + 2 * kv != all || kv == 0 || !q.is_multiple_of(kv) || (which > 0 && rows != kv) {
                continue;
            }
            let to = [0, q, q + kv][which];
            out.push(Place { change: i, site, from: 0, to, rows, readers: (0..self.sites[site].readers.len()).collect(), how: How::Joined });
        }
        Ok(out)
    }
    /// Weights that hold the numbers that the base checkpoint has for the module.
    fn by_value(&self, changes: &[Change<'_>], base: &BTreeMap<String, lapidary_ir::Tensor>, left: &mut Vec<usize>, out: &mut Vec<Place>) {
        left.retain(|i| {
            let (i, change) = (*i, &changes[*i]);
            let Some((rows, columns)) = change.first().map(|m| m.size()) else { return true };
            let wanted = format!("{}.weight", change.module);
            let Some(t) = base.iter().filter_map(|(k, t)| Some((fit(&wanted, k)?, t))).max_by_key(|f| f.0).map(|f| f.1) else { return true };
            let Some(values) = t.to_f64().filter(|v| v.len() == rows * columns) else { return true };
            let straight = Mat::from_fn(rows, columns, |r, c| values[r * columns + c]);
            // Conv1D keeps its weight `[in, out]`.
            let conv1d = (t.sizes() == [columns, rows]).then(|| Mat::from_fn(rows, columns, |r, c| values[c * rows + r]));
            let candidates: Vec<&Mat<f64>> = (t.sizes().first() == Some(&rows)).then_some(&straight).into_iter().chain(conv1d.as_ref()).collect();
            let before = out.len();
            for (s, site) in self.sites.iter().enumerate() {
                let tables = (site.role == Role::Table) == change.first().is_some_and(|m| m.embedding);
                if site.columns != columns || site.rows < rows || !tables || site.groups > 1 {
                    continue;
                }
                let Some(w) = site.matrix(self.graph) else { continue };
                for to in (0..=site.rows - rows).step_by(rows.max(1)) {
                    if candidates.iter().any(|m| same(m, &w, to)) {
                        let readers = (0..site.readers.len()).collect();
                        out.push(Place { change: i, site: s, from: 0, to, rows, readers, how: How::Value });
                        break;
                    }
                }
            }
            out.len() == before
        });
    }
    /// The only weight without any name that has the size, for the only module that has it.
    fn by_shape(&self, changes: &[Change<'_>], left: &mut Vec<usize>, out: &mut Vec<Place>) {
        let taken: BTreeSet<usize> = out.iter().map(|p| p.site).collect();
        let size = |i: usize| changes[i].first().map(|m| (m.size(), m.embedding));
        let alone: Vec<usize> = left.iter().copied().filter(|i| left.iter().filter(|j| size(**j) == size(*i)).count() == 1).collect();
        left.retain(|i| {
            let free = |s: &usize| !taken.contains(s) && self.sites[*s].anonymous() && fits(&changes[*i], &self.sites[*s]);
            let sites: Vec<usize> = (0..self.sites.len()).filter(free).collect();
            let ([site], true) = (&sites[..], alone.contains(i)) else { return true };
            let rows = self.sites[*site].rows;
            let readers = (0..self.sites[*site].readers.len()).collect();
            out.push(Place { change: *i, site: *site, from: 0, to: 0, rows, readers, how: How::Shape });
            false
        });
    }
    /// Two modules cannot be the same rows of one weight.
    fn overlaps(&self, changes: &[Change<'_>], places: &[Place], problems: &mut Vec<Problem>) {
        for (n, a) in places.iter().enumerate() {
            let meets = |b: &&Place| {
                let rows = a.to < b.to + b.rows && b.to < a.to + a.rows;
                b.change != a.change && b.site == a.site && rows && a.readers.iter().any(|r| b.readers.contains(r))
            };
            if let Some(b) = places[..n].iter().find(meets) {
                let why = format!("'{}' would be '{}' and '{}'", self.sites[a.site].name, changes[b.change].module, changes[a.change].module);
                problems.push(self.problem(&changes[a.change], why));
            }
        }
    }
    fn problem(&self, change: &Change<'_>, why: String) -> Problem {
        let why = format!("{why}{}", self.near(&change.module, &|s| fits(change, s)));
        Problem { keys: change.keys().iter().map(|k| k.to_string()).collect(), why }
    }
    /// What a name may have meant.
    pub fn near(&self, name: &str, accept: &dyn Fn(&Site) -> bool) -> String {
        let all: BTreeSet<&str> = self.names.iter().flatten().map(|n| n.1.as_str()).collect();
        if let Some(near) = nearest(name, all) {
            return format!("; near is '{near}'");
        }
        let sized: Vec<String> = self.sites.iter().filter(|s| accept(s)).take(3).map(|s| format!("'{}'", s.name)).collect();
        if sized.is_empty() { "; none has this size".into() } else { format!("; of this size are {}", sized.join(", ")) }
    }
}

/// Whether a change has the size and kind of a site.
pub fn fits(change: &Change<'_>, site: &Site) -> bool {
    let Some(m) = change.first() else { return false };
    let (rows, columns) = m.size();
    let crossed = site.groups > 1 && rows == site.rows && columns == site.columns * site.groups;
    let kernel = m.kernel == site.kernel || m.kernel.iter().chain(&site.kernel).all(|k| *k == 1);
    (site.rows == rows && site.columns == columns || crossed) && m.embedding == (site.role == Role::Table) && kernel
}

/// Whether rows of `w` from `to` on are those of `m`, but for rounding to a narrower type.
fn same(m: &Mat<f64>, w: &Mat<f64>, to: usize) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs());
    (0..m.nrows()).all(|r| (0..m.ncols()).all(|c| near(m[(r, c)], w[(to + r, c)])))
}
