use lapidary_ir::{Diagnostic, Diagnostics, Result, nearest};
use std::collections::BTreeMap;

/// One option of a pass: what it is called, what it takes, what it is when not given.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    pub name: &'static str,
    pub kind: Kind,
    /// As it would be written in a pipeline; `None`: must be given, or absence means something (see the help).
    pub default: Option<&'static str>,
    pub help: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Int,
    Float,
    Bool,
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Words separated by `|`, or one word.
    Words,
}

/// The value of an option as written in a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A word or a quoted string.
    Text(String),
}

/// The options of one call of a pass, checked against its [`OptionSpec`]s, defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(BTreeMap<String, OptionValue>);

impl OptionSpec {
    pub const fn new(name: &'static str, kind: Kind, default: Option<&'static str>, help: &'static str) -> OptionSpec {
        OptionSpec { name, kind, default, help }
    }
    /// Checks a value and brings it into the option's own type. The error says what would fit.
    pub fn check(&self, value: &OptionValue) -> Result<OptionValue, String> {
        let wants = |what: &str| Err(format!("option '{}' takes {what}, not '{value}'", self.name));
        match (self.kind, value) {
            (Kind::Int, OptionValue::Int(_)) | (Kind::Float, OptionValue::Float(_)) | (Kind::Bool, OptionValue::Bool(_)) => Ok(value.clone()),
            (Kind::Float, OptionValue::Int(i)) => Ok(OptionValue::Float(*i as f64)),
            (Kind::Int, _) => wants("an integer"),
            (Kind::Float, _) => wants("a number"),
            (Kind::Bool, _) => wants("true or false"),
            (Kind::Text | Kind::Words, OptionValue::Text(_)) => Ok(value.clone()),
            (Kind::Text | Kind::Words, other) => Ok(OptionValue::Text(other.to_string())),
            (Kind::Choice(words), OptionValue::Text(t)) if words.contains(&t.as_str()) => Ok(value.clone()),
            (Kind::Choice(words), other) => {
                let near = nearest(&other.to_string(), words.iter().copied()).map(|w| format!("; did you mean '{w}'?")).unwrap_or_default();
                Err(format!("option '{}' takes one of {}, not '{other}'{near}", self.name, words.join(", ")))
            }
        }
    }
}

impl Options {
    /// Checks what was written against what the pass takes. The error is `(index of the written option, message)`.
    pub fn resolve(pass: &str, specs: &[OptionSpec], written: &[(String, OptionValue)]) -> Result<Options, (usize, String)> {
        let mut out = BTreeMap::new();
        for spec in specs {
            if let Some(text) = spec.default {
                let value = crate::pipeline::parse_value(text).unwrap_or(OptionValue::Text(text.into()));
                out.insert(spec.name.to_string(), spec.check(&value).unwrap_or(value));
            }
        }
        for (i, (name, value)) in written.iter().enumerate() {
            let Some(spec) = specs.iter().find(|s| s.name == name) else {
                let near = nearest(name, specs.iter().map(|s| s.name)).map(|n| format!("; did you mean '{n}'?"));
                let all: Vec<_> = specs.iter().map(|s| s.name).collect();
                let all = if all.is_empty() { "; it takes none".to_string() } else { format!("; it takes {}", all.join(", ")) };
                return Err((i, format!("pass '{pass}' has no option '{name}'{}", near.unwrap_or(all))));
            };
            out.insert(name.clone(), spec.check(value).map_err(|m| (i, m))?);
        }
        Ok(Options(out))
    }
    pub fn get(&self, name: &str) -> Option<&OptionValue> {
        self.0.get(name)
    }
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            OptionValue::Int(v) => Some(*v),
            _ => None,
        }
    }
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            OptionValue::Float(v) => Some(*v),
            OptionValue::Int(v) => Some(*v as f64),
            _ => None,
        }
    }
    /// A switch; false when absent.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(OptionValue::Bool(true)))
    }
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            OptionValue::Text(v) => Some(v),
            _ => None,
        }
    }
    /// A text that must be given.
    pub fn required(&self, pass: &str, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| -> Diagnostics {
            let d = Diagnostic::error("missing-option", format!("pass '{pass}' needs the option '{name}'"));
            d.help(format!("write {pass}{{{name}=…}}; `lapidary passes {pass}` explains it")).into()
        })
    }
    /// The words of a `a|b|c` option.
    pub fn words(&self, name: &str) -> Vec<&str> {
        self.text(name).map(|t| t.split('|').filter(|w| !w.is_empty()).collect()).unwrap_or_default()
    }
}

impl std::fmt::Display for OptionValue {
    /// As a pipeline reads it back.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OptionValue::Int(v) => write!(f, "{v}"),
            OptionValue::Float(v) => write!(f, "{v:?}"),
            OptionValue::Bool(v) => write!(f, "{v}"),
            OptionValue::Text(t) => crate::pipeline::write_text(f, t),
        }
    }
}
