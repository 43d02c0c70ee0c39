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
        start_metric => metric(done, &done.start), end_metric => metric(done, &done.end),
        start_bytes => bytes(done.start.bytes), end_bytes => bytes(done.end.bytes), start_nodes => done.start.nodes,
        plots => plots(done), stages => done.stages.iter().map(|s| stage(done, s)).collect::<Vec<Value>>(),
        layers_height => layers.len() * LAYER_ROW, layers_cut => cut, layers,
    };
    env.render_str(TEMPLATE, page).map_err(|e| Diagnostic::error("report", format!("the page cannot be rendered: {e}")).into())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn metric(done: &Compressed, f: &Figures) -> String {
    f.metric.map_or("–".into(), |v| done.metric.show(v))
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

fn stage(done: &Compressed, s: &StageResult) -> Value {
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
        metric => metric(done, &s.figures), sqnr => sqnr(s.figures.sqnr_db), bytes => bytes(s.figures.bytes), nodes => s.figures.nodes,
        latency => latency.map_or(String::new(), |(a, b)| format!("{a:.4} → {b:.4}")),
        passes => passes.collect::<Vec<Value>>(), notes => s.ledger.notes.iter().map(|n| n.message.clone()).collect::<Vec<_>>(), choices => s.choices(),
    }
}

/// Metric, noise, size, and latency where it was measured, one bar per stage.
fn plots(done: &Compressed) -> Vec<Value> {
    let all = || {
        let stages = done.stages.iter().map(|s| (s.name.as_str(), if s.accepted { "kept" } else { "undone" }, &s.figures));
        std::iter::once(("as given", "start", &done.start)).chain(stages)
    };
    let mut out = vec![
        plot(done.metric.name(), all().filter_map(|(name, kind, f)| Some(Bar { name, kind, value: f.metric?, label: metric(done, f) })).collect()),
        plot("size of constants", all().map(|(name, kind, f)| Bar { name, kind, value: f.bytes as f64, label: bytes(f.bytes) }).collect()),
        plot(
            "SQNR of the outputs, dB",
            all().filter_map(|(name, kind, f)| Some(Bar { name, kind, value: f.sqnr_db?.max(0.0), label: sqnr(f.sqnr_db) })).collect(),
        ),
    ];
    let mut timed: Vec<Bar<'_>> = vec![];
    for s in &done.stages {
        if let Some((before, after)) = s.figures.latency_before_ms.zip(s.figures.latency_ms) {
            timed.push(Bar { name: "before", kind: "start", value: before, label: format!("{before:.4}") });
            timed.push(Bar { name: &s.name, kind: if s.accepted { "kept" } else { "undone" }, value: after, label: format!("{after:.4}") });
        }
    }
    out.push(plot("latency on one thread, ms", timed));
    out.into_iter().flatten().collect()
}

fn plot(title: &str, bars: Vec<Bar<'_>>) -> Option<Value> {
    let top = bars.iter().map(|b| b.value).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let axis = Axis { top, room: 130.0, row: ROW, letters: 14 };
    let height = bars.len() * ROW;
    let bars: Vec<Value> = bars.iter().enumerate().map(|(i, b)| axis.draw(i, b)).collect();
    (!bars.is_empty()).then(|| context! { title, height, bars })
}

/// One bar of a plot.
struct Bar<'a> {
    name: &'a str,
    /// Its colour: `start`, `kept` or `undone`.
    kind: &'a str,
    value: f64,
    label: String,
}

/// Where the bars of a plot stand.
struct Axis {
    /// The value of the longest bar, and its width.
    top: f64,
    room: f64,
    /// From one bar to the next.
    row: usize,
    /// Letters that a name has room for.
    letters: usize,
}

impl Axis {
    fn draw(&self, at: usize, bar: &Bar<'_>) -> Value {
        let share = if self.top > 0.0 && bar.value.is_finite() { (bar.value / self.top).clamp(0.0, 1.0) } else { 0.0 };
        let width = (share * self.room * 10.0).round() / 10.0;
        context! { name => bar.name, kind => bar.kind, label => bar.label, y => at * self.row, width, short => short(bar.name, self.letters) }
    }
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
    let axis = Axis { top, room: 280.0, row: LAYER_ROW, letters: 34 };
    let row = |(at, (i, db)): (usize, &(usize, f64))| {
        let v = done.layers.get(*i)?;
        // By itself, fed with the values of the model at the start.
        let own = v.own.sqnr_db.filter(|own| (own - db).abs() > 0.05).map_or(String::new(), |own| format!(", by itself {own:.1}"));
        Some(axis.draw(at, &Bar { name: &v.name, kind: "kept", value: *db, label: format!("{db:.1}{own} {}", v.op) }))
    };
    (all.iter().enumerate().filter_map(row).collect(), cut)
}
