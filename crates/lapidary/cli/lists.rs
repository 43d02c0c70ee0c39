//! `passes`, `ops` and `pipelines`: what there is, and the manual page of each.

use super::args::Global;
use super::table::table;
use super::{Outcome, Status, say, say_json};
use clap::Args;
use lapidary::{Diagnostic, PASSES, PIPELINES, nearest};
use lapidary_ops::OPS;

/// List the passes, or explain one: what it does, its options and rules
#[derive(Args)]
pub struct Passes {
    /// A pass
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// List the operators, or explain one
#[derive(Args)]
pub struct Ops {
    /// An operator, such as Softmax
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// List the named pipelines, or print one as the text that --passes takes
#[derive(Args)]
#[command(after_help = "Example:\n  lapidary opt model.onnx -o out.onnx --passes \"$(lapidary pipelines -O2), dce\"")]
pub struct Pipelines {
    /// The level whose text is wanted
    #[arg(short = 'O', value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=3))]
    level: Option<u8>,
}

/// The first line of a manual page, as a summary.
fn summary(manual: &str) -> String {
    let paragraph: Vec<&str> = manual.lines().take_while(|l| !l.trim().is_empty()).collect();
    let text = paragraph.join(" ");
    // Manual pages begin with the pass's own name.
    let text = text.split_once(": ").filter(|(name, _)| !name.contains(' ')).map_or(text.as_str(), |(_, rest)| rest);
    text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first).to_string()
}

fn unknown(code: &'static str, what: &str, command: &str, name: &str, near: Option<&str>) -> Outcome {
    let d = Diagnostic::error(code, format!("there is no {what} '{name}'"));
    Err(match near {
        Some(n) => d.help(format!("did you mean '{n}'?")),
        None => d.help(format!("`lapidary {command}` lists them all")),
    }
    .into())
}

impl Passes {
    pub fn run(&self, global: &Global) -> Outcome {
        let describe = |p: &lapidary_rewrite::Pass| {
            serde_json::json!({
                "name": p.name, "effect": p.effect, "summary": summary(&p.manual()), "manual": p.manual(),
                "options": p.options.iter().map(|o| serde_json::json!({ "name": o.name, "default": o.default, "help": o.help })).collect::<Vec<_>>(),
                "rules": p.rules.iter().map(|r| serde_json::json!({ "name": r.name, "doc": r.doc, "pattern": r.pattern })).collect::<Vec<_>>(),
            })
        };
        let Some(name) = &self.name else {
            if global.json() {
                say_json(&PASSES.iter().map(|p| describe(p)).collect::<Vec<_>>());
                return Ok(Status::Done);
            }
            let mut t = table(&["pass", "effect", "what it does"], &[]);
            PASSES.iter().for_each(|p| {
                t.add_row([p.name.to_string(), format!("{:?}", p.effect).to_lowercase(), summary(&p.manual())]);
            });
            say(t.trim_fmt());
            return Ok(Status::Done);
        };
        let Some(pass) = PASSES.iter().find(|p| p.name == name) else {
            return unknown("unknown-pass", "pass", "passes", name, nearest(name, PASSES.iter().map(|p| p.name)));
        };
        if global.json() {
            say_json(&describe(pass));
            return Ok(Status::Done);
        }
        say(format_args!("{} ({})\n\n{}", pass.name, format!("{:?}", pass.effect).to_lowercase(), pass.manual()));
        if !pass.options.is_empty() {
            let mut t = table(&["option", "takes", "default", "what it does"], &[]);
            for o in pass.options {
                t.add_row([o.name.to_string(), takes(o.kind), o.default.unwrap_or("").to_string(), o.help.to_string()]);
            }
            say(format_args!("\n{}", t.trim_fmt()));
        }
        if !pass.rules.is_empty() {
            say("\nRules:");
        }
        for r in pass.rules {
            say(format_args!("\n  {}\n    {}", r.name, r.doc.trim().replace('\n', "\n    ")));
            r.pattern.trim().lines().for_each(|l| say(format_args!("      {}", l.trim())));
        }
        Ok(Status::Done)
    }
}

fn takes(kind: lapidary_rewrite::Kind) -> String {
    use lapidary_rewrite::Kind;
    match kind {
        Kind::Int => "integer".into(),
        Kind::Float => "number".into(),
        Kind::Bool => "true, false".into(),
        Kind::Text => "text".into(),
        Kind::Choice(words) => words.join(", "),
        Kind::Words => "words with |".into(),
    }
}

impl Ops {
    pub fn run(&self, global: &Global) -> Outcome {
        let full = |o: &lapidary_ops::OpDef| if o.domain.is_empty() { o.name.to_string() } else { format!("{}.{}", o.domain, o.name) };
        let describe = |o: &lapidary_ops::OpDef| {
            serde_json::json!({
                "name": full(o), "evaluator": o.eval.is_some(), "native": o.lower.is_some(), "summary": summary(&o.manual()), "manual": o.manual(),
            })
        };
        let Some(name) = &self.name else {
            if global.json() {
                say_json(&OPS.iter().map(|o| describe(o)).collect::<Vec<_>>());
                return Ok(Status::Done);
            }
            let mut t = table(&["operator", "evaluator", "native", "what it does"], &[]);
            let yes = |b: bool| if b { "yes" } else { "no" }.to_string();
            OPS.iter().for_each(|o| {
                t.add_row([full(o), yes(o.eval.is_some()), yes(o.lower.is_some()), summary(&o.manual())]);
            });
            say(t.trim_fmt());
            let count = |f: fn(&lapidary_ops::OpDef) -> bool| OPS.iter().filter(|o| f(o)).count();
            say(format_args!("{} operators, {} in the evaluator, {} native", OPS.len(), count(|o| o.eval.is_some()), count(|o| o.lower.is_some())));
            return Ok(Status::Done);
        };
        let Some(op) = OPS.iter().find(|o| full(o) == *name || o.name == name) else {
            return unknown("unknown-operator", "operator", "ops", name, nearest(name, OPS.iter().map(|o| o.name)));
        };
        if global.json() {
            say_json(&describe(op));
            return Ok(Status::Done);
        }
        say(format_args!("{}\n\n{}", full(op), op.manual()));
        let versions: Vec<String> = lapidary_ops::schema::versions(op.domain, op.name).iter().map(|s| s.since.to_string()).collect();
        if !versions.is_empty() {
            say(format_args!("\nversions: {}", versions.join(", ")));
        }
        say(format_args!("evaluator: {}, native: {}", yes_no(op.eval.is_some()), yes_no(op.lower.is_some())));
        Ok(Status::Done)
    }
}

fn yes_no(b: bool) -> &'static str {
    if b { "yes" } else { "no" }
}

impl Pipelines {
    pub fn run(&self, global: &Global) -> Outcome {
        if let Some(level) = self.level {
            let text = lapidary::level(level)?.to_string();
            if global.json() {
                say_json(&serde_json::json!({ "name": format!("O{level}"), "text": text }))
            } else {
                say(text)
            }
            return Ok(Status::Done);
        }
        if global.json() {
            let all: Vec<_> = PIPELINES.iter().map(|(n, text, about)| serde_json::json!({ "name": n, "text": text, "about": about })).collect();
            say_json(&all);
            return Ok(Status::Done);
        }
        for (name, text, about) in PIPELINES {
            say(format_args!("-{name}  {about}\n     {}\n", if text.is_empty() { "(no passes)" } else { text }));
        }
        Ok(Status::Done)
    }
}
