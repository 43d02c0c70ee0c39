//! What the passes did, as a table.

use super::args::Global;
use super::table::{bytes, count, ms, short, table};
use lapidary::{Diagnostic, Effect, Ledger, Report};
use std::io::Write;

/// Prints a report to standard error: the ledger, what was left alone, and what `--check` found.
pub fn show(report: &Report, global: &Global, why: Option<&str>) {
    if global.quiet || global.json() {
        return;
    }
    let mut out = std::io::stderr();
    let _ = writeln!(out, "{}", text(&report.ledger, global.verbose > 0));
    report.ledger.notes.iter().for_each(|n| super::render::show(n, global));
    if let Some(rule) = why {
        let _ = writeln!(out, "{}", misses(&report.ledger, rule));
    }
    for f in &report.failures {
        let what = format!("pass '{}' promises {} results, but output '{}' differs: {}", f.pass, effect(f.effect), f.output, f.what);
        super::render::show(&Diagnostic::error("check-failed", what), global);
    }
}

/// The ledger as a table. Passes that changed nothing are summed up unless `all`.
pub fn text(ledger: &Ledger, all: bool) -> String {
    let measured = ledger.entries.iter().any(|e| e.error.is_some());
    let mut header = vec!["pass", "effect", "nodes", "bytes", "multiply-adds", "ms", "peak memory"];
    if measured {
        header.extend(["SQNR dB", "max error"]);
    }
    let mut t = table(&header, &["nodes", "bytes", "multiply-adds", "ms", "peak memory", "SQNR dB", "max error"]);
    let arrow = |a: String, b: String| if a == b { b } else { format!("{a} → {b}") };
    let mut quiet = 0;
    for e in &ledger.entries {
        if !e.changed && !all {
            quiet += 1;
            continue;
        }
        let touched: Vec<String> = e.touched.iter().map(|(rule, n)| format!("{rule} {n}")).collect();
        let own = touched.len() == 1 && touched[0].starts_with(&e.pass);
        let what = if touched.is_empty() || own { e.pass.clone() } else { format!("{}\n  {}", e.pass, touched.join("\n  ")) };
        let mut row = vec![
            what,
            effect(e.effect).to_string(),
            arrow(e.nodes_before.to_string(), e.nodes_after.to_string()),
            arrow(bytes(e.bytes_before), bytes(e.bytes_after)),
            arrow(count(e.multiply_adds_before as f64), count(e.multiply_adds_after as f64)),
            ms(e.time_ms),
            e.peak_memory_bytes.map_or(String::new(), bytes),
        ];
        if measured {
            row.push(e.error.as_ref().map_or(String::new(), |s| s.sqnr_db.map_or("∞".into(), |v| format!("{v:.1}"))));
            row.push(e.error.as_ref().map_or(String::new(), |s| short(s.max_rel)));
        }
        t.add_row(row);
    }
    let mut out = format!("passes: {}\n", if ledger.pipeline.is_empty() { "none" } else { &ledger.pipeline });
    if ledger.entries.iter().any(|e| e.changed) || all && !ledger.entries.is_empty() {
        out.push_str(&t.trim_fmt());
        out.push('\n');
    }
    if quiet > 0 {
        out.push_str(&format!("{quiet} runs of passes changed nothing\n"));
    }
    if measured {
        out.push_str(&format!("errors are against the model before the first pass, relative to the largest value; {}\n", ledger.measured_with));
    }
    if let (Some(first), Some(last)) = (ledger.entries.first(), ledger.entries.last()) {
        out.push_str(&format!(
            "nodes {} → {}, constants {} → {}, multiply-adds {} → {}\n",
            first.nodes_before,
            last.nodes_after,
            bytes(first.bytes_before),
            bytes(last.bytes_after),
            count(first.multiply_adds_before as f64),
            count(last.multiply_adds_after as f64)
        ));
    }
    out.trim_end().to_string()
}

fn effect(e: Effect) -> &'static str {
    match e {
        Effect::Exact => "exact",
        Effect::Rounding => "rounding",
        Effect::Lossy => "lossy",
    }
}

/// The answers to `--why`.
fn misses(ledger: &Ledger, rule: &str) -> String {
    if ledger.misses.is_empty() {
        return format!("'{rule}' met no place that it nearly fits");
    }
    let mut t = table(&["rule", "node", "operator", "why it did not apply"], &[]);
    for m in &ledger.misses {
        t.add_row([&m.rule, &m.node, &m.op, &m.reason]);
    }
    t.trim_fmt()
}
