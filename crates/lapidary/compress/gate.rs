//! Acceptance gates: what a stage must reach to be kept.

use super::Figures;
use lapidary_ir::{Diagnostic, Result, nearest};
use std::fmt;

/// `accept-if{metric-drop<=0.5%, faster=true, smaller=true, sqnr>=20}`: all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate(pub Vec<Condition>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// The metric is at most this many per cent worse than the model's own at the start.
    MetricDrop(f64),
    /// Native latency fell against the graph before the stage, by more than measurements waver ([`FASTER`]).
    Faster,
    /// Constants take fewer bytes than before the stage.
    Smaller,
    /// The signal-to-noise ratio of the outputs, against the model at the start, in decibels.
    Sqnr(f64),
}

/// A stage is faster when its median latency is below this share of what it was.
pub const FASTER: f64 = 0.99;

const NAMES: [&str; 4] = ["metric-drop", "faster", "smaller", "sqnr"];

impl Gate {
    /// Reads conditions, with or without `accept-if{…}` around them.
    ///
    /// # Errors
    /// A condition that does not exist, or a value that it does not take; the message says which.
    pub fn parse(text: &str) -> Result<Gate> {
        let inner = text.trim();
        let inner = inner.strip_prefix("accept-if").map_or(inner, str::trim);
        let inner = inner.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(inner);
        let mut out = vec![];
        for part in inner.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            out.extend(condition(part)?);
        }
        if out.is_empty() {
            return Err(wrong(format!("the gate '{}' asks for nothing", text.trim()), "faster").into());
        }
        Ok(Gate(out))
    }
    pub fn asks_for_latency(&self) -> bool {
        self.0.contains(&Condition::Faster)
    }
    /// What does not hold, one sentence each; empty when the stage passes.
    ///
    /// # Errors
    /// A condition on a metric that the model does not have.
    pub fn unmet(&self, start: &Figures, before: &Figures, after: &Figures) -> Result<Vec<String>> {
        let mut out = vec![];
        for c in &self.0 {
            match *c {
                Condition::MetricDrop(most) => {
                    let Some(drop) = after.drop_from(start) else {
                        let d = Diagnostic::error("no-metric", "no output of this model has classes, so there is no metric that could drop");
                        return Err(d.help("ask for sqnr>=… instead").into());
                    };
                    if drop.is_nan() || drop > most + 1e-9 {
                        out.push(format!("the metric dropped by {drop:.3} %, and {most} % is allowed"));
                    }
                }
                Condition::Sqnr(least) => {
                    if let Some(db) = after.sqnr_db.filter(|db| *db < least) {
                        out.push(format!("the outputs keep {db:.1} dB, and {least} dB are asked for"));
                    }
                }
                Condition::Smaller => {
                    if after.bytes >= before.bytes {
                        out.push(format!("constants take {} bytes after {} before: not smaller", after.bytes, before.bytes));
                    }
                }
                Condition::Faster => match (after.latency_before_ms, after.latency_ms) {
                    (Some(a), Some(b)) if b < a * FASTER => {}
                    (Some(a), Some(b)) => out.push(format!("a run takes {b:.4} ms after {a:.4} ms before: not faster")),
                    _ => out.push("latency was not measured".into()),
                },
            }
        }
        Ok(out)
    }
}

fn condition(text: &str) -> Result<Option<Condition>> {
    let end = text.find(['<', '>', '=']).unwrap_or(text.len());
    let (name, rest) = (text[..end].trim(), text[end..].trim());
    if !NAMES.contains(&name) {
        return Err(wrong(format!("a gate has no condition '{name}'"), name).into());
    }
    let value =
        |sign: &str| rest.strip_prefix(sign).map(str::trim).ok_or_else(|| wrong(format!("'{name}' is written with '{sign}', not '{text}'"), name));
    let number = |t: &str| t.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| wrong(format!("'{t}' in '{text}' is no number"), name));
    match name {
        "metric-drop" => {
            let value = value("<=")?;
            let Some(percent) = value.strip_suffix('%') else {
                return Err(wrong(format!("'{text}' has no unit"), name).help(format!("write {name}<={value}%")).into());
            };
            Ok(Some(Condition::MetricDrop(number(percent.trim())?)))
        }
        "sqnr" => Ok(Some(Condition::Sqnr(number(value(">=")?.trim_end_matches("dB").trim())?))),
        _ => match value("=")? {
            "true" => Ok(Some(if name == "faster" { Condition::Faster } else { Condition::Smaller })),
            "false" => Ok(None),
            other => Err(wrong(format!("'{name}' takes true or false, not '{other}'"), name).into()),
        },
    }
}

fn wrong(message: String, name: &str) -> Diagnostic {
    let near = nearest(name, NAMES).filter(|n| *n != name).map(|n| format!("did you mean '{n}'? ")).unwrap_or_default();
    Diagnostic::error("gate", message).help(format!("{near}conditions are metric-drop<=0.5%, sqnr>=20, smaller=true, faster=true"))
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("accept-if{")?;
        for (i, c) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            match c {
                Condition::MetricDrop(v) => write!(f, "metric-drop<={v}%")?,
                Condition::Sqnr(v) => write!(f, "sqnr>={v}")?,
                Condition::Faster => f.write_str("faster=true")?,
                Condition::Smaller => f.write_str("smaller=true")?,
            }
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_read_back_as_they_print() {
        let text = "accept-if{metric-drop<=0.5%, faster=true, smaller=true, sqnr>=20}";
        let gate = Gate::parse(text).unwrap();
        assert_eq!(gate.0, [Condition::MetricDrop(0.5), Condition::Faster, Condition::Smaller, Condition::Sqnr(20.0)]);
        assert_eq!(gate.to_string(), text);
        assert_eq!(Gate::parse("metric-drop <= 0.5 %, faster=true, smaller=true, sqnr >= 20").unwrap(), gate);
        assert_eq!(Gate::parse("smaller=true, faster=false").unwrap().0, [Condition::Smaller]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("metric-dorp<=1%", "did you mean 'metric-drop'"),
            ("metric-drop<=1", "metric-drop<=1%"),
            ("sqnr<=1", "'>='"),
            ("sqnr>=much", "no number"),
            ("faster=maybe", "true or false"),
            ("", "asks for nothing"),
        ] {
            let e = format!("{:?}", Gate::parse(text).unwrap_err());
            assert!(e.contains(word), "{text}: {e}");
        }
    }
}
