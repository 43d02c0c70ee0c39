//! The graph's text as a file (`.lap`), and its lines as the source that diagnostics point at.

use crate::files;
use lapidary_ir::text::{self, ParseOptions, PrintOptions};
use lapidary_ir::{Diagnostic, Diagnostics, Graph, Result};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// The version that a text means where it names none.
fn newest(domain: &str, name: &str) -> u32 {
    lapidary_ops::schema::newest(domain, name).map_or(0, |s| s.since)
}

fn options() -> PrintOptions<'static> {
    PrintOptions { newest: &newest, comments: true, ..PrintOptions::default() }
}

/// The graph as text, with the newest operator versions left out.
pub(crate) fn print(graph: &Graph) -> String {
    graph.to_text(&options())
}

/// Reads `NAME.lap`, with large constants from `NAME.safetensors` beside it.
pub(crate) fn read(path: &Path) -> Result<Graph> {
    let place = path.display().to_string();
    let fail = |e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { "file-missing" } else { "file-unreadable" };
        Diagnostics::from(Diagnostic::error(code, format!("'{place}' cannot be read: {e}")).file(&place))
    };
    let source = std::fs::read_to_string(path).map_err(fail)?;
    let side = path.with_extension("safetensors");
    let tensors = if side.is_file() { text::read_tensors(&std::fs::read(&side).map_err(fail)?.into())? } else { BTreeMap::new() };
    let options = ParseOptions { newest: &newest, tensors: &|hash| tensors.get(&hash).cloned(), ..ParseOptions::default() };
    let graph = text::parse(&source, &options).map_err(|mut e| {
        e.0.iter_mut().for_each(|d| d.place.file = Some(place.clone()));
        e
    })?;
    let found: Vec<Diagnostic> = graph.verify().into_iter().filter(|d| d.severity == lapidary_ir::Severity::Error).collect();
    if found.is_empty() { Ok(graph) } else { Err(Diagnostics(found)) }
}

/// Writes `NAME.lap` and, where there are large constants, `NAME.safetensors`, the constants first.
pub(crate) fn write(graph: &Graph, path: &Path) -> Result<()> {
    let source = print(graph);
    let tensors = text::write_tensors(graph, &options())?;
    // A file of no tensors holds an empty table alone.
    if tensors.len() > 16 {
        files::replace(&path.with_extension("safetensors"), &|f| f.write_all(&tensors))?;
    }
    files::replace(path, &|f| f.write_all(source.as_bytes()))
}

/// Gives diagnostics that name a node or value, and have no source yet, that node's line as their source.
pub(crate) fn with_lines(graph: &Graph, mut found: Diagnostics) -> Diagnostics {
    for d in &mut found.0 {
        let (None, Some(label)) = (&d.place.source, d.place.node.as_deref().or(d.place.value.as_deref())) else { continue };
        let node = graph.node_ids().find(|id| {
            let n = graph.node(*id);
            n.label() == label || n.outputs().iter().any(|v| &*v.name == label)
        });
        if let Some(id) = node {
            let line = graph.print_line(id, &options()).trim_end().to_string();
            // A long literal or attribute list would bury the point.
            if !line.is_empty() && line.len() < 400 {
                let range = marked(&line, d.place.value.as_deref(), d.place.op.as_deref());
                d.place.source = Some((line, range));
            }
        }
    }
    found
}

/// The part of the line to mark: the value that is meant, else the operator, else all.
fn marked(line: &str, value: Option<&str>, op: Option<&str>) -> std::ops::Range<usize> {
    let find = |what: Option<&str>| what.filter(|w| !w.is_empty()).and_then(|w| line.find(w).map(|at| at..at + w.len()));
    find(value).or_else(|| find(op)).unwrap_or(0..line.len())
}
