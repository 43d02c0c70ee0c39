//! `conformance`: the cases of a folder, each in a worker process, so that a crash, a hang or a panic is one failed case and no more.

use super::args::{BackendArg, Global, ToleranceArgs};
use super::run::compare_all;
use super::table::table;
use super::{Outcome, Status, progress, say, say_json};
use clap::Args;
use lapidary::arrays::load_expected;
use lapidary::{Diagnostic, Model, Result, Tolerance, arrays};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const ABOUT: &str = "\
A case is a folder with model.onnx and test_data_set_N/{input,output}_N.pb, as ONNX's backend tests have them. An index.json in DIR may \
give each case's tolerance: {\"node/test_abs\": {\"rtol\": 1e-3, \"atol\": 1e-7}}.

Every case counts: one that is not supported has failed. Exit code 1 where any has; the last line is `N passed, N failed`.

Examples:
  lapidary conformance suite/
  lapidary conformance suite/ --backend native --filter conv
  lapidary conformance suite/ --passes 'fold-constants, canonicalize, cse, dce'";

/// Run a folder of test cases and report which pass, per operator
#[derive(Args)]
#[command(after_help = ABOUT)]
pub struct Conformance {
    /// The folder; all model.onnx below it count
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// What runs the models
    #[arg(long, value_enum, default_value_t = BackendArg::Eval)]
    backend: BackendArg,
    /// Run these passes on each model first
    #[arg(long, value_name = "TEXT")]
    passes: Option<String>,
    /// Only cases whose path holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Seconds that one case may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// List every failed case with its reason
    #[arg(long)]
    failures: bool,
    #[command(flatten)]
    tolerance: ToleranceArgs,
}

/// The other end: takes a request per line, answers each with a line.
#[derive(Args)]
pub struct Worker {
    /// What runs the models
    #[arg(long, value_enum, default_value_t = BackendArg::Eval)]
    backend: BackendArg,
    /// Passes to run first
    #[arg(long)]
    passes: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    folder: PathBuf,
    tolerance: Wanted,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Wanted {
    AbsRel { rtol: f64, atol: f64 },
    MaxRel(f64),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Answer {
    /// Why the case failed; `None`: it passed.
    failure: Option<String>,
    /// The operators of the model.
    operators: BTreeSet<String>,
}

#[derive(Clone, Debug, Serialize)]
struct CaseResult {
    name: String,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    operators: BTreeSet<String>,
}

#[derive(Deserialize)]
struct IndexEntry {
    rtol: Option<f64>,
    atol: Option<f64>,
}

impl Conformance {
    pub fn run(&self, global: &Global) -> Outcome {
        if let Some(text) = &self.passes {
            lapidary::parse_pipeline(text)?;
        }
        if self.backend == BackendArg::Native && !lapidary::native::AVAILABLE {
            return Err(Diagnostic::unsupported("no-llvm", "this build has no code generation").help("use --backend eval").into());
        }
        let cases = self.cases()?;
        let bar = progress::bar(global, cases.len(), "cases");
        let next = AtomicUsize::new(0);
        let results: Mutex<BTreeMap<usize, CaseResult>> = Mutex::new(BTreeMap::new());
        let failed_start: Mutex<Option<String>> = Mutex::new(None);
        std::thread::scope(|s| {
            for _ in 0..global.jobs().min(cases.len()) {
                s.spawn(|| {
                    let mut hand = None;
                    while let Some((name, request)) = cases.get(next.fetch_add(1, Ordering::Relaxed)).map(|c| (&c.0, &c.1)) {
                        let answer = match self.ask(&mut hand, request) {
                            Ok(answer) => answer,
                            Err(e) => {
                                if let Ok(mut f) = failed_start.lock() {
                                    f.get_or_insert(e);
                                }
                                break;
                            }
                        };
                        let at = cases.binary_search_by(|c| c.0.cmp(name)).unwrap_or(0);
                        let result =
                            CaseResult { name: name.clone(), passed: answer.failure.is_none(), failure: answer.failure, operators: answer.operators };
                        if let Ok(mut all) = results.lock() {
                            all.insert(at, result);
                        }
                        bar.inc(1);
                    }
                });
            }
        });
        bar.finish_and_clear();
        if let Some(e) = failed_start.into_inner().unwrap_or_default() {
            return Err(Diagnostic::error("process", format!("no worker can be started: {e}")).into());
        }
        let results: Vec<CaseResult> = results.into_inner().unwrap_or_default().into_values().collect();
        Ok(self.report(&results, global))
    }

    /// Names and requests, sorted by name.
    fn cases(&self) -> Result<Vec<(String, Request)>> {
        let place = self.dir.display().to_string();
        let fail = |e: String| Diagnostic::error("file-unreadable", format!("'{place}' cannot be read: {e}")).file(&place);
        if !self.dir.is_dir() {
            return Err(fail("there is no such folder".into()).help("tests/scripts/dump_suite.py writes ONNX's own suite to a folder").into());
        }
        let mut folders = vec![];
        let mut work = vec![self.dir.clone()];
        while let Some(dir) = work.pop() {
            for e in std::fs::read_dir(&dir).map_err(|e| fail(e.to_string()))? {
                let path = e.map_err(|e| fail(e.to_string()))?.path();
                if path.is_dir() && !path.is_symlink() {
                    work.push(path);
                } else if path.file_name().is_some_and(|n| n == "model.onnx") {
                    folders.push(dir.clone());
                }
            }
        }
        let index: BTreeMap<String, IndexEntry> = match std::fs::read(self.dir.join("index.json")) {
            Ok(data) => serde_json::from_slice(&data).map_err(|e| fail(format!("index.json: {e}")))?,
            Err(_) => BTreeMap::new(),
        };
        let mut out = vec![];
        for folder in folders {
            let name = folder.strip_prefix(&self.dir).unwrap_or(&folder).display().to_string();
            if self.filter.as_ref().is_some_and(|f| !name.contains(f.as_str())) {
                continue;
            }
            let entry = index.get(&name).filter(|_| !self.tolerance.given());
            let (rtol, atol) = (entry.and_then(|e| e.rtol).unwrap_or(1e-3), entry.and_then(|e| e.atol).unwrap_or(1e-5));
            let tolerance = match self.tolerance.get_or(rtol, atol) {
                Tolerance::MaxRel(r) => Wanted::MaxRel(r),
                Tolerance::AbsRel { rtol, atol } => Wanted::AbsRel { rtol, atol },
                Tolerance::Exact => Wanted::MaxRel(0.0),
            };
            out.push((name, Request { folder, tolerance }));
        }
        if out.is_empty() {
            return Err(Diagnostic::error("no-cases", format!("'{place}' holds no case"))
                .file(&place)
                .help("a case is a folder with model.onnx")
                .into());
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(out)
    }

    /// Lets a worker answer, in time. A worker that crashed or hangs is replaced for the next case.
    fn ask(&self, hand: &mut Option<Hand>, request: &Request) -> Result<Answer, String> {
        // A worker that ended between two cases is found out by writing to it: one more try with a new one.
        for _ in 0..2 {
            let worker = match hand {
                Some(w) => w,
                None => hand.insert(Hand::start(self).map_err(|e| e.to_string())?),
            };
            let line = serde_json::to_string(request).map_err(|e| e.to_string())?;
            if writeln!(worker.requests, "{line}").and_then(|()| worker.requests.flush()).is_err() {
                *hand = None;
                continue;
            }
            let failure = match worker.answers.recv_timeout(Duration::from_secs(self.timeout)) {
                Ok(line) => match serde_json::from_str::<Answer>(&line) {
                    Ok(answer) => return Ok(answer),
                    Err(e) => format!("the worker answered nonsense: {e}"),
                },
                Err(RecvTimeoutError::Timeout) => format!("it took more than {} s", self.timeout),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = worker.child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
                    format!("it crashed ({status})")
                }
            };
            *hand = None;
            return Ok(Answer { failure: Some(failure), operators: operators_of(&request.folder) });
        }
        Err("workers end at once".into())
    }

    fn report(&self, results: &[CaseResult], global: &Global) -> Status {
        let passed = results.iter().filter(|r| r.passed).count();
        let failed = results.len() - passed;
        let mut by_op: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for r in results {
            for op in &r.operators {
                let entry = by_op.entry(op).or_default();
                if r.passed { entry.0 += 1 } else { entry.1 += 1 }
            }
        }
        if global.json() {
            let ops: BTreeMap<_, _> = by_op.iter().map(|(op, (p, f))| (op, serde_json::json!({ "passed": p, "failed": f }))).collect();
            say_json(&serde_json::json!({
                "backend": self.backend.name(), "passes": self.passes, "passed": passed, "failed": failed, "operators": ops, "cases": results,
            }));
            return if failed > 0 { Status::Findings } else { Status::Done };
        }
        if self.failures || global.verbose > 0 {
            results.iter().filter(|r| !r.passed).for_each(|r| say(format_args!("{}: {}", r.name, r.failure.as_deref().unwrap_or(""))));
        }
        if !global.quiet {
            let mut t = table(&["operator", "passed", "failed"], &["passed", "failed"]);
            by_op.iter().for_each(|(op, (p, f))| {
                t.add_row([op.to_string(), p.to_string(), f.to_string()]);
            });
            say(t.trim_fmt());
            if failed > 0 && !self.failures && global.verbose == 0 {
                say("--failures lists the failed cases");
            }
        }
        say(format_args!("{passed} passed, {failed} failed"));
        if failed > 0 { Status::Findings } else { Status::Done }
    }
}

/// A worker process.
struct Hand {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
}

impl Hand {
    fn start(c: &Conformance) -> std::io::Result<Hand> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["conformance-worker", "--jobs", "1", "--backend", c.backend.name()]);
        if let Some(text) = &c.passes {
            command.args(["--passes", text]);
        }
        // What a crashing worker prints would be noise: the case says that it crashed.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let missing = || std::io::Error::other("no pipe");
        let (requests, out) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Hand { child, requests, answers })
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        // It may hang; whatever it does, it has nothing more to say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn operators_of(folder: &Path) -> BTreeSet<String> {
    Model::open(&folder.join("model.onnx"), &Default::default()).map(|m| operators(&m)).unwrap_or_default()
}

fn operators(model: &Model) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    fn walk(g: &lapidary::Graph, out: &mut BTreeSet<String>) {
        for id in g.operators() {
            let node = g.node(id);
            out.insert(node.op.to_string());
            node.regions.iter().for_each(|r| walk(&r.graph, out));
        }
    }
    walk(model.graph(), &mut out);
    out
}

impl Worker {
    pub fn run(&self, global: &Global) -> Outcome {
        let pipeline = self.passes.as_deref().map(lapidary::parse_pipeline).transpose()?;
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let Ok(request) = serde_json::from_str::<Request>(&line) else { break };
            let mut answer = Answer::default();
            let start = Instant::now();
            let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.case(&request, pipeline.as_ref(), global, &mut answer)));
            answer.failure = match attempt {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                Err(panic) => {
                    let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
                    Some(format!("it panicked: {}", what.unwrap_or_default()))
                }
            };
            tracing::debug!("{} took {:?}", request.folder.display(), start.elapsed());
            say(serde_json::to_string(&answer).unwrap_or_default());
        }
        Ok(Status::Done)
    }

    fn case(&self, request: &Request, pipeline: Option<&lapidary::Pipeline>, global: &Global, answer: &mut Answer) -> Result<(), String> {
        let text = |e: lapidary::Diagnostics| one_line(&e);
        let tolerance = match request.tolerance {
            Wanted::AbsRel { rtol, atol } => Tolerance::AbsRel { rtol, atol },
            Wanted::MaxRel(r) => Tolerance::MaxRel(r),
        };
        let mut model = global.open(&request.folder.join("model.onnx")).map_err(text)?;
        answer.operators = operators(&model);
        model.expand().map_err(text)?;
        let (inputs, outputs) = (model.inputs(), model.outputs());
        if let Some(p) = pipeline {
            let opset = Some(lapidary::NEWEST_OPSET);
            let options = lapidary::PassOptions { target_opset: opset, crash_dir: std::env::temp_dir(), ..Default::default() };
            model.run_pipeline(p, options).map_err(text)?;
        }
        let native = match self.backend {
            BackendArg::Eval => None,
            BackendArg::Native => Some(model.load(1).map_err(text)?),
        };
        let sets = data_sets(&request.folder)?;
        for set in &sets {
            let given = if inputs.is_empty() { vec![] } else { arrays::load_inputs(&inputs, set).map_err(text)? };
            let got = match &native {
                None => model.evaluate(given),
                Some(loaded) => super::run::run_library(&loaded.library, &given, 1),
            };
            let got = got.map_err(text)?;
            let want = load_expected(&outputs, set).map_err(text)?;
            if let Some((name, c)) = compare_all(&outputs, &got, &want, tolerance).into_iter().find(|(_, c)| !c.passed) {
                return Err(format!("output '{name}': {c}"));
            }
        }
        Ok(())
    }
}

/// The first mistake, without its help, and how many there are.
fn one_line(e: &lapidary::Diagnostics) -> String {
    let first = e.0.first().cloned().map(|d| Diagnostic { help: None, place: lapidary::Place { file: None, ..d.place }, ..d });
    let more = if e.0.len() > 1 { format!(" (and {} more)", e.0.len() - 1) } else { String::new() };
    format!("{}{more}", first.map_or(String::new(), |d| d.to_string().replace('\n', " ")))
}

fn data_sets(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| e.to_string())?;
    let mut sets: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    sets.retain(|p| p.is_dir() && p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("test_data_set_")));
    sets.sort();
    if sets.is_empty() { Err("it has no test_data_set_N".into()) } else { Ok(sets) }
}
