//! Runs every `tests/filetests/**/*.lap`: a graph, the passes to run on it, and below a line `----` what must come out.
//!
//! ```text
//! // passes: canonicalize
//! // opset: 17                     (optional; default: the newest)
//! // sqnr: 30                      (optional: the least signal-to-noise ratio in dB that lossy passes must keep)
//! // inputs: random                (the default), or `none: REASON` where nothing can evaluate the graph
//! graph @g(%x: f32[2]) { … }
//! ----
//! graph @g(…) { … }
//! // touched: rule 1
//! // miss rule at Op 'node': reason
//! ```
//!
//! Besides the text, the evaluator checks the meaning: results before and after must agree as the passes' effects promise, on random
//! inputs. `BLESS=1 cargo test -p lapidary-passes --test filetests` writes what comes out into the files.

use lapidary_ir::text::{self, ParseOptions, PrintOptions};
use lapidary_passes::PASSES;
use lapidary_rewrite::{Check, DataSource, Environment, Evaluator, RunOptions, Samples, pipeline, random_inputs, run};
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn newest(domain: &str, name: &str) -> u32 {
    lapidary_ops::schema::newest(domain, name).map_or(0, |s| s.since)
}

/// `data=random`: three random batches, one of them that on which results are compared.
struct Random;

impl DataSource for Random {
    fn open(&self, _: &str, graph: &lapidary_ir::Graph, _: Option<usize>) -> lapidary_ir::Result<Box<dyn Samples + '_>> {
        let batches: Vec<_> = [1, 2, 7].into_iter().map(|seed| random_inputs(graph, &Default::default(), seed)).collect::<Result<_, _>>()?;
        Ok(Box::new(batches.into_iter()))
    }
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out)
        } else if path.extension().is_some_and(|e| e == "lap") {
            out.push(path)
        }
    }
}

/// What the graph above the line gives.
fn actual(source: &str) -> Result<String, String> {
    let header =
        |key: &str| source.lines().filter_map(|l| l.strip_prefix("// ")).find_map(|l| l.strip_prefix(key)?.strip_prefix(": ")).map(str::trim);
    let passes = header("passes").ok_or("the file has no line '// passes: …'")?;
    let pipeline = pipeline::parse(passes).map_err(|e| e.to_string())?;
    let opset = header("opset").map_or(Ok(28), str::parse).map_err(|e| format!("opset: {e}"))?;
    let mut graph = text::parse(source, &ParseOptions { newest: &newest, ..ParseOptions::default() }).map_err(|e| format!("the input: {e}"))?;
    let found = graph.verify();
    if !found.is_empty() {
        return Err(format!("the input is not well formed: {found:?}"));
    }
    let mut options = RunOptions::new(opset);
    options.check = if header("inputs").is_some_and(|i| i.starts_with("none")) { Check::Off } else { Check::Verify };
    options.seed = 7;
    options.crash_dir = std::env::temp_dir();
    let env = Environment { passes: PASSES, executor: &Evaluator::default(), data: &Random };
    let report = match run(&mut graph, &pipeline, &env, &options) {
        Ok(r) => r,
        Err(e) => {
            // Crash reproducers lie in a folder that is another on every system.
            let place = options.crash_dir.display().to_string();
            return Ok(e.0.iter().map(|d| format!("// error {}: {}\n", d.code, d.message.replace(&place, "DIR"))).collect());
        }
    };
    if let Some(f) = report.failures.first() {
        return Err(format!("the meaning changed: after {} (effect {:?}) output '{}': {}", f.pass, f.effect, f.output, f.what));
    }
    if let Some(least) = header("sqnr").and_then(|v| v.parse::<f64>().ok()) {
        let error = report.ledger.entries.last().and_then(|e| e.error.as_ref()).ok_or("nothing was measured")?;
        if error.sqnr_db.is_some_and(|db| db < least) {
            return Err(format!("the signal-to-noise ratio is {:?} dB, {least} were asked for", error.sqnr_db));
        }
    }
    let mut out = graph.to_text(&PrintOptions { newest: &newest, ..PrintOptions::default() });
    let mut touched = std::collections::BTreeMap::new();
    for (rule, n) in report.ledger.entries.iter().flat_map(|e| &e.touched) {
        *touched.entry(rule).or_insert(0) += n;
    }
    for (rule, n) in touched {
        let _ = writeln!(out, "// touched: {rule} {n}");
    }
    for m in &report.ledger.misses {
        let _ = writeln!(out, "// miss {} at {} '{}': {}", m.rule, m.op, m.node, m.reason);
    }
    for n in &report.ledger.notes {
        let _ = writeln!(out, "// note {}: {}", n.code, n.message);
    }
    Ok(out)
}

#[test]
fn every_case_gives_what_its_file_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/filetests");
    let mut files = vec![];
    collect(&root, &mut files);
    files.sort();
    let only = std::env::var("FILETEST").unwrap_or_default();
    let bless = std::env::var_os("BLESS").is_some();
    let mut failed = vec![];
    for file in files.iter().filter(|f| f.to_string_lossy().contains(&only)) {
        let name = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        let text = std::fs::read_to_string(file).unwrap();
        let (source, expected) = text.split_once("\n----\n").unwrap_or((text.trim_end(), ""));
        match actual(source) {
            Err(e) => failed.push(format!("{name}: {e}")),
            Ok(got) if got == expected => {}
            Ok(got) if bless => std::fs::write(file, format!("{source}\n----\n{got}")).unwrap(),
            Ok(got) => failed.push(format!("{name}:\n--- expected\n{expected}--- got\n{got}")),
        }
    }
    assert!(files.len() > 10, "the cases were not found");
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), files.len(), failed.join("\n"));
}

/// Every rule has a case in which it applies.
#[test]
fn every_rule_is_shown_by_a_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/filetests");
    let mut files = vec![];
    collect(&root, &mut files);
    let all: String = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let missing: Vec<_> = PASSES.iter().flat_map(|p| p.rules).map(|r| r.name).filter(|name| !all.contains(&format!("// touched: {name} "))).collect();
    assert!(missing.is_empty(), "rules without a case: {}", missing.join(", "));
}
