//! An adapter as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors` in a folder.

use super::config::Config;
use faer::Mat;
use lapidary_ir::{Diagnostic, Diagnostics, Result, Tensor};
use lapidary_rewrite::PassCtx;
use std::collections::BTreeMap;

/// What one adapter adds to one module.
#[derive(Clone, Debug)]
pub struct Module {
    /// `[r, in]`; of a convolution `[r, channels · kernel]`; of an embedding `[r, rows of the table]`.
    pub a: Mat<f64>,
    /// `[out, r]`; of an embedding `[width of the table, r]`.
    pub b: Mat<f64>,
    pub embedding: bool,
    /// The sizes of a convolution's kernel; empty for others.
    pub kernel: Vec<usize>,
    pub scale: f64,
    /// DoRA's length of each row.
    pub magnitude: Option<Vec<f64>>,
    /// What is added to the bias, unscaled.
    pub bias: Option<Vec<f64>>,
    /// The file's own keys, for messages.
    pub keys: Vec<String>,
}

impl Module {
    fn empty() -> Module {
        let (a, b) = (Mat::new(), Mat::new());
        Module { a, b, embedding: false, kernel: vec![], scale: 1.0, magnitude: None, bias: None, keys: vec![] }
    }
    /// Rows (outputs) and columns (inputs) of the matrix that changes; of a table, its own.
    pub fn size(&self) -> (usize, usize) {
        if self.embedding { (self.a.ncols(), self.b.nrows()) } else { (self.b.nrows(), self.a.ncols()) }
    }
    /// `B·A`, without the scale; turned for tables.
    pub fn product(&self) -> Mat<f64> {
        product(&self.a, &self.b, self.embedding)
    }
}

pub fn product(a: &Mat<f64>, b: &Mat<f64>, embedding: bool) -> Mat<f64> {
    let m = b * a;
    if embedding { m.transpose().to_owned() } else { m }
}

#[derive(Debug)]
pub struct Adapter {
    pub folder: String,
    pub dora: bool,
    pub modules: BTreeMap<String, Module>,
    /// Parameters that are saved whole (biases, `modules_to_save`, embeddings), by name, with the file's own key.
    pub saved: BTreeMap<String, (String, Tensor)>,
}

/// Which part of a module a key holds.
enum Part {
    A,
    B,
    EmbeddingA,
    EmbeddingB,
    Magnitude,
    Bias,
}

const PARTS: &[(&str, Part)] = &[
    (".lora_A.weight", Part::A),
    (".lora_B.weight", Part::B),
    (".lora_B.bias", Part::Bias),
    (".lora_embedding_A", Part::EmbeddingA),
    (".lora_embedding_B", Part::EmbeddingB),
    (".lora_magnitude_vector.weight", Part::Magnitude),
    (".lora_magnitude_vector", Part::Magnitude),
];

impl Adapter {
    /// Reads a folder through the data source of the pass.
    ///
    /// # Errors
    /// Files that cannot be read; fields that are not honoured; keys of unknown kinds, all of them listed; matrices of other ranks than the
    /// configuration says.
    pub fn read(folder: &str, ctx: &PassCtx<'_>) -> Result<Adapter> {
        let folder = folder.trim_end_matches('/');
        let (config, file) = (format!("{folder}/adapter_config.json"), format!("{folder}/adapter_model.safetensors"));
        let config = Config::parse(&ctx.data.bytes(&config)?, &config)?;
        let mut out = Adapter { folder: folder.into(), dora: config.dora, modules: BTreeMap::new(), saved: BTreeMap::new() };
        let mut unknown = vec![];
        for (key, tensor) in tensors(ctx.data.bytes(&file)?, &file)? {
            let name = plain(&key);
            match PARTS.iter().find_map(|(end, part)| Some((name.strip_suffix(end)?, part))) {
                Some((module, part)) => out.modules.entry(module.to_string()).or_insert_with(Module::empty).take(part, key, &tensor, &file)?,
                None if name.contains("lora_") || name.contains("trainable_tokens") => unknown.push(key),
                None => {
                    out.saved.insert(name, (key, tensor));
                }
            }
        }
        if !unknown.is_empty() {
            let d = Diagnostic::error("adapter-key", format!("{} keys of the adapter are of a kind that is not merged here", unknown.len()));
            return Err(unknown.into_iter().fold(d, |d, k| d.note(k)).file(&*file).into());
        }
        let wrong: Vec<Diagnostic> = out.modules.iter_mut().filter_map(|(name, m)| m.complete(name, &config)).map(|d| d.file(&*file)).collect();
        if !wrong.is_empty() {
            return Err(Diagnostics(wrong));
        }
        if out.modules.is_empty() && out.saved.is_empty() {
            return Err(Diagnostic::error("adapter-empty", "the adapter holds nothing").file(&*file).into());
        }
        Ok(out)
    }
}

impl Module {
    fn take(&mut self, part: &Part, key: String, t: &Tensor, file: &str) -> Result<()> {
        let values = t.to_f64().ok_or_else(|| Diagnostic::error("adapter-key", format!("'{key}' holds no numbers")).file(file))?;
        let first = t.sizes().first().copied().unwrap_or(1);
        let columns = values.len().checked_div(first).unwrap_or(0);
        let matrix = || Mat::from_fn(first, columns, |r, c| values[r * columns + c]);
        match part {
            Part::A | Part::EmbeddingA => {
                self.a = matrix();
                self.kernel = t.sizes().get(2..).unwrap_or_default().to_vec();
                self.embedding = matches!(part, Part::EmbeddingA);
            }
            Part::B | Part::EmbeddingB => self.b = matrix(),
            Part::Magnitude => self.magnitude = Some(values),
            Part::Bias => self.bias = Some(values),
        }
        self.keys.push(key);
        Ok(())
    }
    /// Sets the scale; says what does not fit together.
    fn complete(&mut self, name: &str, config: &Config) -> Option<Diagnostic> {
        let wrong = |text: String| Some(Diagnostic::error("adapter-key", text));
        if self.a.nrows() == 0 || self.b.ncols() == 0 {
            return wrong(format!("'{name}' has one of lora_A and lora_B, and not the other"));
        }
        let rank = config.rank(name);
        if self.a.nrows() != self.b.ncols() || self.a.nrows() as f64 != rank {
            let (a, b) = (self.a.nrows(), self.b.ncols());
            return wrong(format!("the rank of '{name}' is {rank} by the configuration, {a} in lora_A and {b} in lora_B"));
        }
        // Lengths of rows; of an embedding, of columns.
        let (rows, columns) = self.size();
        let lengths = if self.embedding { columns } else { rows };
        match &self.magnitude {
            None if config.dora => return wrong(format!("the adapter uses DoRA, and '{name}' has no magnitude vector")),
            Some(_) if !config.dora => return wrong(format!("'{name}' has a magnitude vector, and the configuration says nothing of DoRA")),
            Some(m) if m.len() != lengths => return wrong(format!("the magnitude vector of '{name}' has {} elements, not {lengths}", m.len())),
            _ => {}
        }
        match &self.bias {
            None if config.lora_bias && !self.embedding => return wrong(format!("the adapter has biases, and '{name}' has none")),
            Some(b) if b.len() != rows => return wrong(format!("the bias of '{name}' has {} elements, not {rows}", b.len())),
            _ => {}
        }
        self.scale = config.scale(name);
        None
    }
}

/// The name of a key's parameter in the base model: without PEFT's wrappers.
fn plain(key: &str) -> String {
    let mut parts: Vec<&str> = key.split('.').filter(|p| *p != "base_layer" && *p != "modules_to_save").collect();
    if parts.starts_with(&["base_model", "model"]) {
        parts.drain(..2);
    }
    parts.join(".")
}

/// The tensors of a safetensors file, sorted by key.
pub fn tensors(bytes: Vec<u8>, file: &str) -> Result<BTreeMap<String, Tensor>> {
    let all = lapidary_ir::safetensors::read(&bytes.into());
    Ok(all.map_err(|e| Diagnostics(e.0.into_iter().map(|d| d.file(file)).collect()))?.into_iter().collect())
}
