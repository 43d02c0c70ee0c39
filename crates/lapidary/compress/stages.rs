//! Recipes with stages: pipelines that are run one after the other, each kept or undone as a whole.
//!
//! ```toml
//! [[stage]]
//! name = "int8"
//! pipeline = "calibrate, fake-quant, fold-quant"
//! accept-if = "metric-drop<=0.5%, smaller=true"
//!
//! [[stage]]
//! name = "clean"                    # no gate: kept in any case
//! step = [{ pass = "cse" }, { pass = "dce" }]
//! ```
//!
//! In a pipeline's text `accept-if{…}` ends a stage too, so `pipeline = "a, accept-if{smaller=true}, b"` is two of them; among steps,
//! `{ accept-if = "…" }` does. A recipe without either is one stage without a gate. What passes put by for the passes after them, such as
//! the ranges of `calibrate`, does not outlive the stage.

use super::gate::Gate;
use crate::PASSES;
use lapidary_ir::{Diagnostic, Result};
use lapidary_rewrite::pipeline::recipe::{self, wrong};
use lapidary_rewrite::{Kind, OptionValue, Pipeline, Step, pipeline};
use toml::{Table, Value};

/// What `data=` is in a pipeline that is to take the data of the command line.
pub const DATA: &str = "$DATA";

/// A pipeline that is kept or undone as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub name: String,
    /// Every option written out; [`DATA`] where data are taken.
    pub pipeline: Pipeline,
    pub gate: Option<Gate>,
}

/// The option of quantizing passes that names the runtime whose conventions they follow.
const PROFILE: &str = "profile";

/// The runtimes that quantizing passes know.
pub fn runtimes() -> &'static [&'static str] {
    let mut options = PASSES.iter().flat_map(|p| p.options).filter(|o| o.name == PROFILE);
    options.find_map(|o| if let Kind::Choice(names) = o.kind { Some(names) } else { None }).unwrap_or_default()
}

/// Reads a recipe. Names and options are checked, and defaults filled in: `runtime`'s conventions where the recipe names no profile.
pub fn from_toml(text: &str, runtime: Option<&str>) -> Result<Vec<Stage>> {
    let mut stages = read(text)?;
    stages.iter_mut().for_each(|s| s.pipeline = written_out(&s.pipeline, runtime));
    Ok(stages)
}

fn read(text: &str) -> Result<Vec<Stage>> {
    let table = recipe::table(text)?;
    let mut out = vec![];
    match table.get("stage") {
        None => stages_of(&table, "", &["description"], &mut out)?,
        Some(Value::Array(stages)) => {
            if let Some(key) = table.keys().find(|k| !["stage", "name", "description"].contains(&k.as_str())) {
                return Err(wrong(format!("a recipe with stages has no key '{key}'")).help("passes stand within [[stage]]").into());
            }
            for stage in stages {
                let Value::Table(t) = stage else { return Err(wrong("'stage' is a list of tables: write [[stage]]").into()) };
                let name = match t.get("name") {
                    None => format!("stage {}", out.len() + 1),
                    Some(Value::String(name)) => name.clone(),
                    Some(_) => return Err(wrong("the name of a stage is a text").into()),
                };
                stages_of(t, &name, &[], &mut out)?;
            }
        }
        Some(_) => return Err(wrong("'stage' is a list of tables: write [[stage]]").into()),
    }
    if out.is_empty() {
        return Err(wrong("the recipe has no stages").help("write [[stage]] with pipeline = \"…\"").into());
    }
    Ok(out)
}

/// The stages of one table: more than one where gates stand between its passes.
fn stages_of(table: &Table, name: &str, more: &[&str], out: &mut Vec<Stage>) -> Result<()> {
    let known = ["name", "pipeline", "step", "accept-if"];
    if let Some(key) = table.keys().find(|k| !known.contains(&k.as_str()) && !more.contains(&k.as_str())) {
        return Err(wrong(format!("a stage has no key '{key}'")).help("it has name, pipeline or step, and accept-if").into());
    }
    let last = table.get("accept-if").map(gate_of).transpose()?;
    let mut parts: Vec<(Pipeline, Option<Gate>)> = vec![];
    match (table.get("pipeline"), table.get("step")) {
        (Some(_), Some(_)) => return Err(wrong("a stage has either 'pipeline' or 'step', not both").into()),
        (Some(Value::String(text)), None) => {
            for (text, gate) in split(text)? {
                let parsed = crate::parse_pipeline(text)?;
                parts.push((parsed, gate.map(Gate::parse).transpose()?));
            }
        }
        (None, Some(Value::Array(steps))) => {
            let mut group = vec![];
            for step in steps {
                match step.as_table().and_then(|t| t.get("accept-if")) {
                    Some(gate) => parts.push((pipeline_of(std::mem::take(&mut group))?, Some(gate_of(gate)?))),
                    None => group.push(step.clone()),
                }
            }
            if !group.is_empty() {
                parts.push((pipeline_of(group)?, None));
            }
        }
        (Some(_), None) => return Err(wrong("'pipeline' takes a text").into()),
        (None, Some(_)) => return Err(wrong("'step' is a list of tables").into()),
        (None, None) => return Err(wrong("a stage needs 'pipeline' or 'step'").help("pipeline = \"canonicalize, dce\"").into()),
    }
    if let Some(gate) = last {
        match parts.last_mut() {
            Some((_, slot @ None)) => *slot = Some(gate),
            _ => return Err(wrong("a stage has one gate at its end, not two").into()),
        }
    }
    let several = parts.len() > 1;
    for (i, (pipeline, gate)) in parts.into_iter().enumerate() {
        if pipeline.0.is_empty() {
            return Err(wrong("a gate stands behind no pass").into());
        }
        let name = match (name.is_empty(), several) {
            (true, _) => format!("stage {}", i + 1),
            (false, true) => format!("{name} {}", i + 1),
            (false, false) => name.to_string(),
        };
        out.push(Stage { name, pipeline, gate });
    }
    Ok(())
}

fn pipeline_of(steps: Vec<Value>) -> Result<Pipeline> {
    let table = Table::from_iter([("step".to_string(), Value::Array(steps))]);
    let text = toml::to_string(&table).map_err(|e| wrong(e.to_string()))?;
    crate::parse_recipe(&text)
}

/// `"metric-drop<=1%, smaller=true"`, or the same as a table of `name = value`.
fn gate_of(value: &Value) -> Result<Gate> {
    match value {
        Value::String(text) => Gate::parse(text),
        Value::Table(t) => {
            let sign = |name: &str| match name {
                "metric-drop" => "<=",
                "sqnr" => ">=",
                _ => "=",
            };
            let parts: Vec<String> = t.iter().map(|(k, v)| format!("{k}{}{}", sign(k), v.as_str().map_or(v.to_string(), str::to_string))).collect();
            Gate::parse(&parts.join(", "))
        }
        _ => Err(wrong("'accept-if' takes conditions, as a text").help("accept-if = \"metric-drop<=0.5%, smaller=true\"").into()),
    }
}

/// Cuts a pipeline's text behind each `accept-if{…}` that stands outside brackets, quotes and comments.
fn split(text: &str) -> Result<Vec<(&str, Option<&str>)>> {
    const WORD: &str = "accept-if";
    let bytes = text.as_bytes();
    let (mut out, mut start, mut i, mut depth) = (vec![], 0, 0, 0usize);
    while let Some(b) = bytes.get(i) {
        match b {
            b'"' => {
                i += 1;
                while bytes.get(i).is_some_and(|b| *b != b'"') {
                    i += if bytes.get(i) == Some(&b'\\') { 2 } else { 1 };
                }
            }
            b'#' => {
                while bytes.get(i + 1).is_some_and(|b| *b != b'\n') {
                    i += 1;
                }
            }
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            b'a' if depth == 0 && bytes[i..].starts_with(WORD.as_bytes()) => {
                let Some(end) = text[i..].find('}').map(|n| i + n + 1) else {
                    return Err(Diagnostic::error("gate", "the gate is not closed")
                        .source(text, i..text.len())
                        .help("write accept-if{smaller=true}")
                        .into());
                };
                out.push((text[start..i].trim_end().trim_end_matches(','), Some(&text[i..end])));
                let rest = text[end..].trim_start();
                let rest = rest.strip_prefix(',').unwrap_or(rest);
                start = text.len() - rest.len();
                i = start;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    let rest = text.get(start..).unwrap_or_default();
    if !rest.trim().is_empty() {
        out.push((rest, None));
    }
    Ok(out)
}

/// The pipeline with every default of every option written down, and [`DATA`] for each `data` that is not given.
fn written_out(p: &Pipeline, runtime: Option<&str>) -> Pipeline {
    each_call(p, &mut |call| {
        let Some(pass) = PASSES.iter().find(|p| p.name == call.name) else { return };
        // Statistics that were gathered elsewhere stand for the data they came from.
        let has = |call: &lapidary_rewrite::Call, name: &str| call.options.iter().any(|(n, _)| n == name);
        let needs_none = has(call, "stats");
        for spec in pass.options {
            if has(call, spec.name) {
                continue;
            }
            let value = match runtime.filter(|_| spec.name == PROFILE).or(spec.default) {
                Some(text) => pipeline::parse_value(text).unwrap_or(OptionValue::Text(text.into())),
                None if spec.name == "data" && !needs_none => OptionValue::Text(DATA.into()),
                None => continue,
            };
            call.options.push((spec.name.into(), value));
        }
        call.option_spans.clear();
    })
}

/// The pipeline with `data` in place of [`DATA`].
pub fn with_data(p: &Pipeline, data: &str) -> Pipeline {
    each_call(p, &mut |call| {
        for (_, value) in call.options.iter_mut() {
            if let OptionValue::Text(t) = value
                && t == DATA
            {
                *t = data.to_string();
            }
        }
    })
}

fn each_call(p: &Pipeline, f: &mut dyn FnMut(&mut lapidary_rewrite::Call)) -> Pipeline {
    let step = |s: &Step, f: &mut dyn FnMut(&mut lapidary_rewrite::Call)| match s {
        Step::Pass(call) => {
            let mut call = call.clone();
            f(&mut call);
            Step::Pass(call)
        }
        Step::Repeat { body, limit } => Step::Repeat { body: each_call(body, f), limit: *limit },
        Step::On { selector, body } => Step::On { selector: selector.clone(), body: each_call(body, f) },
    };
    Pipeline(p.0.iter().map(|s| step(s, f)).collect())
}

/// Texts of options that name something else to read, such as a folder of adapters.
pub fn other_texts(p: &Pipeline) -> Vec<String> {
    let mut out = vec![];
    p.calls(&mut |call| {
        out.extend(call.options.iter().filter_map(|(_, v)| match v {
            OptionValue::Text(t) if t != DATA => Some(t.clone()),
            _ => None,
        }))
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, String, String)> {
        let all = from_toml(text, None).unwrap();
        all.into_iter().map(|s| (s.name, s.pipeline.to_string(), s.gate.map_or(String::new(), |g| g.to_string()))).collect()
    }

    #[test]
    fn gates_end_stages_in_every_notation() {
        let want = [("dce", "accept-if{smaller=true}"), ("cse", "")];
        for text in [
            "pipeline = \"dce, accept-if{smaller=true}, cse\"",
            "step = [{ pass = \"dce\" }, { accept-if = \"smaller=true\" }, { pass = \"cse\" }]",
            "[[stage]]\npipeline = \"dce\"\naccept-if = { smaller = true }\n[[stage]]\nstep = [{ pass = \"cse\" }]",
        ] {
            let got: Vec<(String, String)> = shown(text).into_iter().map(|(_, p, g)| (p, g)).collect();
            assert_eq!(got, want.map(|(p, g)| (p.to_string(), g.to_string())), "{text}");
        }
    }

    #[test]
    fn options_are_written_out_and_data_filled_in() {
        let all = from_toml("pipeline = \"calibrate\"", None).unwrap();
        let text = all[0].pipeline.to_string();
        assert!(text.contains("data=\"$DATA\"") && text.contains("method="), "{text}");
        assert_eq!(crate::parse_pipeline(&text).unwrap(), all[0].pipeline);
        assert!(with_data(&all[0].pipeline, "a.npz").to_string().contains("a.npz"));
        assert!(!shown("pipeline = 'calibrate{stats=\"a\"}'")[0].1.contains("DATA"));
    }

    #[test]
    fn the_runtime_is_a_default() {
        let profile = |text: &str, runtime| from_toml(text, runtime).unwrap()[0].pipeline.to_string();
        assert!(profile("pipeline = 'fake-quant'", None).contains("profile=ort"));
        for runtime in runtimes() {
            assert!(profile("pipeline = 'fake-quant'", Some(runtime)).contains(&format!("profile={runtime}")));
            assert!(profile("pipeline = 'fake-quant{profile=openvino}'", Some(runtime)).contains("profile=openvino"));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("[[stage]]\npipeline = \"dcee\"", "did you mean 'dce'"),
            ("[[stage]]\npasses = \"dce\"", "no key 'passes'"),
            ("[[stage]]\nname = \"a\"", "'pipeline' or 'step'"),
            ("pipeline = \"accept-if{smaller=true}\"", "behind no pass"),
            ("pipeline = \"dce, accept-if{smaller=true\"", "not closed"),
            ("pipeline = ", "recipe-syntax"),
            ("name = \"a\"", "'pipeline' or 'step'"),
        ] {
            let e = format!("{:?}", from_toml(text, None).unwrap_err());
            assert!(e.contains(word), "{text}: {e}");
        }
    }
}
