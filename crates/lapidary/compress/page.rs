//! The ledger of a compression as one HTML page: tables and inline SVG, nothing that a network would be needed for.

use super::{Compressed, Figures, StageResult};
use lapidary_ir::{Diagnostic, Result};
use minijinja::{AutoEscape, Environment, Value, context};
use std::path::Path;

const TEMPLATE: &str = include_str!("report.html");

/// Rows of bars in the plots of stages and of values, in units of the drawing.
const ROW: usize = 22;
const LAYER_ROW: usize = 17;
/// Values shown at most: the noisiest.
const LAYERS: usize = 120;

/// Renders the page.
pub fn html(done: &Compressed, model: &Path, data: &str, output: &Path) -> Result<String> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    let (layers, cut) = layers(done);
    let page = context! {
        output => name(output), model => name(model), data, version => env!("CARGO_PKG_VERSION"),
        kept => done.stages.iter().filter(|s| s.accepted).count(),
        metric => done.metric.name(),
        start_metric => metric(&done.start), end_metric => metric(&done.end),
        start_bytes => bytes(done.start.bytes), end_bytes => bytes(done.end.bytes), start_nodes => done.start.nodes,
        plots => plots(done), stages => done.stages.iter().map(stage).collect::<Vec<Value>>(),
        layers_height => layers.len() * LAYER_ROW, layers_cut => cut, layers,
    };
    env.render_str(TEMPLATE, page).map_err(|e| Diagnostic::error("report", format!("the page cannot be rendered: {e}")).into())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn metric(f: &Figures) -> String {
    f.metric.map_or("–".into(), |v| if f.lower_is_better { format!("{v:.4}") } else { format!("{:.2} %", v * 100.0) })
}

fn sqnr(db: Option<f64>) -> String {
    db.map_or("∞".into(), |v| format!("{v:.1}"))
}

fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 20 => format!("{:.2} MiB", n as f64 / (1 << 20) as f64),
        n if n >= 1 << 10 => format!("{:.1} KiB", n as f64 / 1024.0),
        n => format!("{n} B"),
    }
}

fn arrow(a: String, b: String) -> String {
    if a == b { b } else { format!("{a} → {b}") }
}

fn stage(s: &StageResult) -> Value {
    let passes = s.ledger.entries.iter().filter(|e| e.changed).map(|e| {
        let changed: Vec<String> = e.touched.iter().map(|(rule, n)| format!("{rule} {n}")).collect();
        context! {
            name => e.pass, nodes => arrow(e.nodes_before.to_string(), e.nodes_after.to_string()),
            bytes => arrow(bytes(e.bytes_before), bytes(e.bytes_after)), changed => changed.join(", "), ms => format!("{:.1}", e.time_ms),
        }
    });
    let latency = s.figures.latency_before_ms.zip(s.figures.latency_ms);
    context! {
        name => s.name, accepted => s.accepted, pipeline => s.pipeline, gate => s.gate, reasons => s.reasons,
        metric => metric(&s.figures), sqnr => sqnr(s.figures.sqnr_db), bytes => bytes(s.figures.bytes), nodes => s.figures.nodes,
        latency => latency.map_or(String::new(), |(a, b)| format!("{a:.4} → {b:.4}")),
        passes => passes.collect::<Vec<Value>>(), notes => s.ledger.notes.iter().map(|n| n.message.clone()).collect::<Vec<_>>(),
    }
}

/// Metric, noise, size, and latency where it was measured, one bar per stage.
fn plots(done: &Compressed) -> Vec<Value> {
    let all = || {
        let stages = done.stages.iter().map(|s| (s.name.as_str(), if s.accepted { "kept" } else { "undone" }, &s.figures));
        std::iter::once(("as given", "start", &done.start)).chain(stages)
    };
    let mut out = vec![
        plot(done.metric.name(), all().filter_map(|(n, k, f)| Some((n, k, f.metric?, metric(f)))).collect()),
        plot("size of constants", all().map(|(n, k, f)| (n, k, f.bytes as f64, bytes(f.bytes))).collect()),
        plot("SQNR of the outputs, dB", all().filter_map(|(n, k, f)| f.sqnr_db.map(|v| (n, k, v.max(0.0), sqnr(f.sqnr_db)))).collect()),
    ];
    let mut timed: Vec<(&str, &str, f64, String)> = vec![];
    for s in &done.stages {
        if let Some((before, after)) = s.figures.latency_before_ms.zip(s.figures.latency_ms) {
            timed.push(("before", "start", before, format!("{before:.4}")));
            timed.push((&s.name, if s.accepted { "kept" } else { "undone" }, after, format!("{after:.4}")));
        }
    }
    out.push(plot("latency on one thread, ms", timed));
    out.into_iter().flatten().collect()
}

fn plot(title: &str, bars: Vec<(&str, &str, f64, String)>) -> Option<Value> {
    let top = bars.iter().map(|b| b.2).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let height = bars.len() * ROW;
    let bars: Vec<Value> =
        bars.iter().enumerate().map(|(i, (name, kind, value, label))| bar(name, kind, *value, top, 130.0, label, i * ROW, 14)).collect();
    (!bars.is_empty()).then(|| context! { title, height, bars })
}

#[allow(clippy::too_many_arguments)]
fn bar(name: &str, kind: &str, value: f64, top: f64, room: f64, label: &str, y: usize, letters: usize) -> Value {
    let share = if top > 0.0 && value.is_finite() { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    let width = (share * room * 10.0).round() / 10.0;
    context! { name, kind, label, y, width, short => short(name, letters) }
}

/// The end of a long name, where names of values differ.
fn short(name: &str, letters: usize) -> String {
    let count = name.chars().count();
    if count <= letters { name.into() } else { format!("…{}", name.chars().skip(count + 1 - letters).collect::<String>()) }
}

/// A bar per value that differs, and what to say when some are left out.
fn layers(done: &Compressed) -> (Vec<Value>, String) {
    let mut all: Vec<(usize, f64)> = done.layers.iter().enumerate().filter_map(|(i, v)| Some((i, v.total.sqnr_db?))).collect();
    let count = all.len();
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    all.truncate(LAYERS);
    all.sort_by_key(|a| a.0);
    let cut = if count > all.len() { format!(" (the {LAYERS} noisiest of {count})") } else { String::new() };
    let top = all.iter().map(|a| a.1).fold(0.0, f64::max);
    let row = |(at, (i, db)): (usize, &(usize, f64))| {
        let v = done.layers.get(*i)?;
        Some(bar(&v.name, "kept", *db, top, 280.0, &format!("{db:.1} {}", v.op), at * LAYER_ROW, 34))
    };
    (all.iter().enumerate().filter_map(row).collect(), cut)
}
