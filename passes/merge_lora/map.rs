//! What the user says about names: `map="module=weight,…"`, or a file of such pairs.

use lapidary_ir::{Diagnostic, Result};
use lapidary_rewrite::PassCtx;
use std::collections::BTreeMap;

/// Modules (or parameters) of the adapter, with the name of a constant or node.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    pub fn read(ctx: &PassCtx<'_>) -> Result<Names> {
        let Some(text) = ctx.options.text("map") else { return Ok(Names::default()) };
        let wrong =
            |message: String| Diagnostic::error("adapter-map", message).help("write map=\"a.b.proj=onnx::MatMul_12,…\", or name a TOML or JSON file");
        let pairs: BTreeMap<String, String> = if text.contains('=') {
            let pair = |p: &str| {
                let (module, name) = p.split_once('=').ok_or_else(|| wrong(format!("'{p}' in the map is no pair")))?;
                Ok((module.trim().to_string(), name.trim().to_string()))
            };
            text.split(',').filter(|p| !p.trim().is_empty()).map(pair).collect::<Result<_>>()?
        } else {
            let bytes = ctx.data.bytes(text)?;
            let told = |e: String| wrong(format!("this is no map from modules to names: {e}")).file(text);
            if text.ends_with(".json") {
                serde_json::from_slice(&bytes).map_err(|e| told(e.to_string()))?
            } else {
                let content = std::str::from_utf8(&bytes).map_err(|e| told(e.to_string()))?;
                toml::from_str(content).map_err(|e| told(e.message().to_string()))?
            }
        };
        let plain = |k: String| k.strip_prefix("base_model.model.").map_or(k.clone(), str::to_string);
        Ok(Names(pairs.into_iter().map(|(k, v)| (plain(k), v)).collect()))
    }
    /// What the map says of a parameter, or of the module whose weight it is.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.get(name).or_else(|| self.0.get(name.strip_suffix(".weight")?));
        found.map(String::as_str)
    }
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
