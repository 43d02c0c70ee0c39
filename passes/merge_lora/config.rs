//! `adapter_config.json`: what the scale of each module is, and which fields would make the result another one.

use lapidary_ir::{Diagnostic, Result};
use regex::Regex;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value};

/// Fields that say how the adapter was trained, made or loaded, and nothing about what it computes.
const WITHOUT_EFFECT: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];

/// Fields that are read here or where the weights are.
const READ: &[&str] = &[
    "alpha_pattern",
    "bias",
    "fan_in_fan_out",
    "init_lora_weights",
    "lora_alpha",
    "lora_bias",
    "peft_type",
    "r",
    "rank_pattern",
    "use_dora",
    "use_rslora",
];

/// Ways to initialize A and B that leave the base as it is.
const KEEPS_THE_BASE: &[&str] = &["gaussian", "orthogonal", "eva", "true", "false"];

/// What a module's scale is made of.
#[derive(Debug)]
pub struct Config {
    r: f64,
    alpha: f64,
    root: bool,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
    pub dora: bool,
    pub lora_bias: bool,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default = "eight")]
    r: f64,
    #[serde(default = "eight")]
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: Option<bool>,
    #[serde(default)]
    use_dora: Option<bool>,
    #[serde(default)]
    lora_bias: Option<bool>,
    #[serde(default)]
    rank_pattern: Option<Ordered>,
    #[serde(default)]
    alpha_pattern: Option<Ordered>,
}

fn eight() -> f64 {
    8.0
}

/// A map in the order of the file: of several patterns that fit, the first holds.
#[derive(Default)]
struct Ordered(Vec<(String, f64)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Ordered, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Ordered;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map from patterns to numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut out = vec![];
                while let Some(pair) = map.next_entry()? {
                    out.push(pair);
                }
                Ok(Ordered(out))
            }
        }
        d.deserialize_map(Pairs)
    }
}

impl Config {
    /// # Errors
    /// What is no LoRA, and every field that would change the result in a way that merging does not honour, by name.
    pub fn parse(text: &[u8], path: &str) -> Result<Config> {
        let wrong = |message: String| Diagnostic::error("adapter-config", message).file(path);
        let all: Map<String, Value> = serde_json::from_slice(text).map_err(|e| wrong(format!("this is no adapter configuration: {e}")))?;
        let kind = all.get("peft_type").and_then(Value::as_str).unwrap_or("none");
        if kind != "LORA" {
            return Err(wrong(format!("its 'peft_type' is '{kind}': merge-lora merges LORA")).into());
        }
        let refused: Vec<Diagnostic> = all.iter().filter_map(|(k, v)| refuse(k, v)).map(|d| d.file(path)).collect();
        if !refused.is_empty() {
            return Err(lapidary_ir::Diagnostics(refused));
        }
        let fields: Fields = serde_json::from_slice(text).map_err(|e| wrong(format!("a field is of another kind: {e}")))?;
        let patterns = |field: &str, of: Option<Ordered>| -> Result<Vec<(Regex, f64)>> {
            let compiled = of.unwrap_or_default().0.into_iter().map(|(key, v)| {
                let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{key})$"));
                regex.map(|r| (r, v)).map_err(|e| wrong(format!("'{key}' in '{field}' is no pattern that is understood here: {e}")).into())
            });
            compiled.collect()
        };
        Ok(Config {
            r: fields.r,
            alpha: fields.lora_alpha,
            root: fields.use_rslora == Some(true),
            ranks: patterns("rank_pattern", fields.rank_pattern)?,
            alphas: patterns("alpha_pattern", fields.alpha_pattern)?,
            dora: fields.use_dora == Some(true),
            lora_bias: fields.lora_bias == Some(true),
        })
    }
    /// The rank that a module must have.
    pub fn rank(&self, module: &str) -> f64 {
        first(&self.ranks, module).unwrap_or(self.r)
    }
    /// What `B·A` is multiplied by: α / r, or α / √r for rank-stabilized LoRA (Kalajdzievski, 2023).
    pub fn scale(&self, module: &str) -> f64 {
        let r = self.rank(module);
        first(&self.alphas, module).unwrap_or(self.alpha) / if self.root { r.sqrt() } else { r }
    }
}

fn first(patterns: &[(Regex, f64)], module: &str) -> Option<f64> {
    patterns.iter().find(|(p, _)| p.is_match(module)).map(|(_, v)| *v)
}

/// Why a field stands in the way, if it does.
fn refuse(field: &str, value: &Value) -> Option<Diagnostic> {
    let unset = match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::String(s) => s.is_empty(),
        Value::Number(_) => false,
    };
    if field == "init_lora_weights" {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_lowercase);
        let kept = unset || KEEPS_THE_BASE.contains(&text.as_str());
        let d = Diagnostic::error("adapter-field", format!("the adapter was made with init_lora_weights = {value}, which changes the base too"));
        return (!kept).then(|| d.help("save it as a plain LoRA: save_pretrained(…, path_initial_model_for_weight_conversion=…)"));
    }
    if unset || WITHOUT_EFFECT.contains(&field) || READ.contains(&field) {
        return None;
    }
    Some(Diagnostic::error("adapter-field", format!("the field '{field}' = {value} changes what the adapter computes, and is not merged here")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Result<Config> {
        Config::parse(format!(r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8{more}}}"#).as_bytes(), "c.json")
    }

    #[test]
    fn patterns_hold_in_the_order_of_the_file() {
        let c = config(r#", "use_rslora": true, "rank_pattern": {"b.*": 16, "b1": 9}, "alpha_pattern": {"^.*h\\.1$": 2}"#).unwrap();
        assert_eq!((c.rank("a.b1"), c.rank("a.c"), c.scale("a.b1"), c.scale("a.h.1")), (16.0, 4.0, 2.0, 1.0));
        assert_eq!(c.rank("xb1"), 4.0);
    }

    #[test]
    fn fields_that_change_the_result_are_refused_by_name() {
        for (more, word) in [
            (r#", "use_qalora": true"#, "use_qalora"),
            (r#", "layer_replication": [[0, 2]]"#, "layer_replication"),
            (r#", "init_lora_weights": "pissa""#, "pissa"),
            (r#", "of_tomorrow": 1"#, "of_tomorrow"),
        ] {
            assert!(config(more).unwrap_err().to_string().contains(word), "{more}");
        }
        assert!(config(r#", "init_lora_weights": true, "megatron_config": null, "lora_dropout": 0.1"#).is_ok());
    }
}
