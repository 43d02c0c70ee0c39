//! Recipes: the same pipelines as TOML, for files that are edited and reviewed.
//!
//! ```toml
//! [[step]]
//! pass = "canonicalize"
//!
//! [[step]]
//! limit = 4
//! repeat = [{ pass = "fuse-conv-bn" }, { pass = "dce" }]
//!
//! [[step]]
//! on = { name = "layer[0-3]/*", op = "Conv" }     # `name`, `value`: globs; `op`: the operator
//! steps = [{ pass = "fake-quant", weights = "int8" }]
//! ```
//!
//! Instead of steps, `pipeline = "…"` holds the text form.

use super::{Call, DEPTH, Pipeline, Step};
use crate::options::OptionValue;
use crate::selector::{Condition, Field, Selector};
use lapidary_ir::{Diagnostic, Result};
use toml::{Table, Value};

/// Reads a recipe. Keys other than `pipeline`, `step`, `name` and `description` are errors.
pub fn from_toml(text: &str) -> Result<Pipeline> {
    let table = table(text)?;
    let mut out = None;
    for (key, value) in &table {
        let part = match (key.as_str(), value) {
            ("name" | "description", _) => continue,
            ("pipeline", Value::String(text)) => super::parse(text)?,
            ("step", Value::Array(steps)) => steps_of(steps, 0)?,
            ("pipeline", _) => return Err(wrong("'pipeline' takes a text").into()),
            ("step", _) => return Err(wrong("'step' is a list: write [[step]]").into()),
            _ => return Err(wrong(format!("a recipe has no key '{key}'")).help("it has 'pipeline' or [[step]], 'name' and 'description'").into()),
        };
        if out.replace(part).is_some() {
            return Err(wrong("a recipe has either 'pipeline' or [[step]], not both").into());
        }
    }
    out.ok_or_else(|| wrong("the recipe has no steps").help("write [[step]] with pass = \"…\"").into())
}

/// Parses TOML; the error marks the place.
pub fn table(text: &str) -> Result<Table> {
    text.parse().map_err(|e: toml::de::Error| {
        let d = Diagnostic::error("recipe-syntax", e.message().trim_end_matches('\n').to_string());
        match e.span() {
            Some(span) => d.source(text, span),
            None => d,
        }
        .into()
    })
}

/// A mistake in what a recipe says.
pub fn wrong(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error("recipe", message)
}

fn steps_of(steps: &[Value], depth: usize) -> Result<Pipeline> {
    if depth > DEPTH {
        return Err(wrong(format!("steps are nested more than {DEPTH} deep")).into());
    }
    let mut out = vec![];
    for step in steps {
        match step {
            Value::Table(t) => out.push(step_of(t, depth)?),
            Value::String(text) => out.extend(super::parse(text)?.0),
            _ => return Err(wrong("a step is a table with 'pass', 'repeat' or 'on', or a text").into()),
        }
    }
    Ok(Pipeline(out))
}

fn step_of(table: &Table, depth: usize) -> Result<Step> {
    let only = |keys: &[&str]| -> Result<()> {
        match table.keys().find(|k| !keys.contains(&k.as_str())) {
            Some(k) => Err(wrong(format!("this step takes {}, not '{k}'", keys.join(", "))).into()),
            None => Ok(()),
        }
    };
    if let Some(body) = table.get("repeat") {
        only(&["repeat", "limit"])?;
        let Value::Array(body) = body else { return Err(wrong("'repeat' takes a list of steps").into()) };
        let limit = match table.get("limit") {
            None => None,
            Some(Value::Integer(n)) if (1..=10_000).contains(n) => Some(*n as u32),
            Some(_) => return Err(wrong("'limit' takes a count from 1 to 10000").into()),
        };
        return Ok(Step::Repeat { body: steps_of(body, depth + 1)?, limit });
    }
    if let Some(on) = table.get("on") {
        only(&["on", "steps"])?;
        let (Value::Table(on), Some(Value::Array(body))) = (on, table.get("steps")) else {
            return Err(wrong("'on' takes a table of conditions, and 'steps' a list").into());
        };
        let mut conditions = vec![];
        for (key, value) in on {
            let (Some((field, _)), Value::String(text)) = (Field::ALL.iter().find(|(_, w)| w == key), value) else {
                return Err(wrong(format!("nodes cannot be selected by '{key}'")).help("conditions: name, op, value, each a text").into());
            };
            conditions.push(Condition { field: *field, glob: *field != Field::Op, text: text.clone() });
        }
        return Ok(Step::On { selector: Selector(conditions), body: steps_of(body, depth + 1)? });
    }
    let Some(Value::String(name)) = table.get("pass") else {
        return Err(wrong("a step needs 'pass', 'repeat' or 'on'").into());
    };
    let mut call = Call::new(name);
    for (key, value) in table.iter().filter(|(k, _)| *k != "pass") {
        let value = match value {
            Value::String(t) => OptionValue::Text(t.clone()),
            Value::Integer(i) => OptionValue::Int(*i),
            Value::Float(v) => OptionValue::Float(*v),
            Value::Boolean(b) => OptionValue::Bool(*b),
            _ => return Err(wrong(format!("option '{key}' of '{name}' takes a text, a number, true or false")).into()),
        };
        call.options.push((key.clone(), value));
    }
    Ok(Step::Pass(call))
}

/// Writes a pipeline as a recipe. Conditions with `=` on names (recipes hold globs) keep the text form.
pub fn to_toml(pipeline: &Pipeline) -> String {
    let steps: Vec<Value> = pipeline.0.iter().map(step_to).collect();
    let mut table = Table::new();
    table.insert("step".into(), Value::Array(steps));
    toml::to_string(&table).unwrap_or_default()
}

fn step_to(step: &Step) -> Value {
    let mut t = Table::new();
    match step {
        Step::Pass(call) => {
            t.insert("pass".into(), Value::String(call.name.clone()));
            for (name, value) in &call.options {
                let value = match value {
                    OptionValue::Int(v) => Value::Integer(*v),
                    OptionValue::Float(v) => Value::Float(*v),
                    OptionValue::Bool(v) => Value::Boolean(*v),
                    OptionValue::Text(v) => Value::String(v.clone()),
                };
                t.insert(name.clone(), value);
            }
        }
        Step::Repeat { body, limit } => {
            t.insert("repeat".into(), Value::Array(body.0.iter().map(step_to).collect()));
            if let Some(n) = limit {
                t.insert("limit".into(), Value::Integer(*n as i64));
            }
        }
        Step::On { selector, body } => {
            // TOML tables come back sorted.
            let fields: Vec<&str> = selector.0.iter().map(|c| c.field.word()).collect();
            let plain = selector.0.iter().all(|c| c.glob == (c.field != Field::Op)) && fields.windows(2).all(|w| w[0] < w[1]);
            if !plain {
                return Value::String(step.to_string());
            }
            let on = selector.0.iter().map(|c| (c.field.word().to_string(), Value::String(c.text.clone()))).collect();
            t.insert("on".into(), Value::Table(on));
            t.insert("steps".into(), Value::Array(body.0.iter().map(step_to).collect()));
        }
    }
    Value::Table(t)
}
