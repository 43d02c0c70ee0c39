//! Lock files: what it takes to make a compressed model again, byte for byte, without measuring.

use super::{Compressed, Figures};
use crate::Model;
use crate::arrays::{Files, unreadable};
use lapidary_ir::{Diagnostic, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The form of lock files that this version writes and reads.
const FORM: u32 = 1;

/// The contents of `OUT.lock`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// Version of this form.
    pub lock: u32,
    /// Version of Lapidary that made the output.
    pub lapidary: String,
    /// What ran the model for passes that measure it: `native` or `eval`.
    pub backend: String,
    /// The instructions that native code was made of: results of passes that measure may differ in the last bits elsewhere.
    pub cpu: String,
    /// Start of every sequence of random numbers.
    pub seed: u64,
    pub metric: String,
    pub model: LockedFile,
    pub data: LockedFile,
    pub recipe: LockedFile,
    pub output: LockedFile,
    /// Sizes of symbolic dims that were fixed or bounded, as `NAME=V` or `NAME=LO..HI`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dim: Vec<String>,
    /// The version of ONNX's operator set that was asked for.
    #[serde(rename = "target-opset", default, skip_serializing_if = "Option::is_none")]
    pub target_opset: Option<u32>,
    /// Where the model's weights lie outside its file; paths are relative to the model's folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<LockedFile>,
    /// What options of passes name besides the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file: Vec<LockedFile>,
    #[serde(default)]
    pub stage: Vec<LockedStage>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockedFile {
    /// Relative to where lapidary ran, unless given as absolute.
    pub path: String,
    pub sha256: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockedStage {
    pub name: String,
    /// With every option written out.
    pub pipeline: String,
    #[serde(rename = "accept-if", default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    pub accepted: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What each pass did to how many nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// What was chosen for each layer, where a pass chose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    pub figures: Figures,
}

impl LockedFile {
    pub fn new(path: &Path, sha256: String) -> LockedFile {
        LockedFile { path: path.display().to_string(), sha256 }
    }
    /// Refuses a file that is not what it was.
    pub fn check(&self, what: &str, now: &str, lock: &Path) -> Result<()> {
        if self.sha256 == now {
            return Ok(());
        }
        let d = Diagnostic::error("lock-input", format!("the {what} is not the one that '{}' was made with", lock.display()));
        Err(d.note(format!("its sha256 is {now}, locked is {}", self.sha256)).help("compress again with --recipe to make a new lock").into())
    }
}

impl LockedStage {
    pub fn of(c: &Compressed) -> Vec<LockedStage> {
        let stage = |s: &super::StageResult| LockedStage {
            name: s.name.clone(),
            pipeline: s.pipeline.clone(),
            gate: s.gate.clone(),
            accepted: s.accepted,
            reasons: s.reasons.clone(),
            changed: s.ledger.entries.iter().flat_map(|e| &e.touched).map(|(rule, n)| format!("{rule} {n}")).collect(),
            choices: s.choices(),
            figures: s.figures.clone(),
        };
        c.stages.iter().map(stage).collect()
    }
}

impl Lock {
    pub const FORM: u32 = FORM;
    pub fn read(path: &Path) -> Result<Lock> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
        let lock: Lock = toml::from_str(&text).map_err(|e| {
            let d = Diagnostic::error("lock-syntax", format!("'{place}' is no lock file: {}", e.message().trim_end())).file(&place);
            d.help("lock files are written by `lapidary compress`, beside its output")
        })?;
        if lock.lock != FORM {
            let d = Diagnostic::error("lock-version", format!("'{place}' has form {}, and this version reads form {FORM}", lock.lock));
            return Err(d.file(place).help(format!("it was written by lapidary {}", lock.lapidary)).into());
        }
        Ok(lock)
    }
    pub fn to_text(&self) -> Result<String> {
        let body = toml::to_string(self).map_err(|e| Diagnostic::error("lock", format!("the lock cannot be written: {e}")))?;
        Ok(format!("# `lapidary compress --lock FILE` makes the output again from this, byte for byte.\n{body}"))
    }
}

/// The files beside a model that hold its weights.
pub fn hash_weights(model: &Model, path: &Path) -> Result<Vec<LockedFile>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    model.onnx().external_files.iter().map(|f| Ok(LockedFile { path: f.clone(), sha256: hash_file(&folder.join(f))? })).collect()
}

/// SHA-256 of bytes.
pub fn hash_bytes(bytes: &[u8]) -> String {
    let mut h = Sha256::new();
    h.update(bytes);
    hex(h)
}

/// SHA-256 of a file, or of all files below a folder with their names.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut h = Sha256::new();
    feed(&mut h, path)?;
    Ok(hex(h))
}

/// SHA-256 of what a `data=` text names: the bytes of its files, in order. Their names do not count, so that they may move.
pub fn hash_data(text: &str) -> Result<String> {
    let files: Vec<PathBuf> = Files::default().expand(text)?;
    let mut h = Sha256::new();
    files.iter().try_for_each(|f| feed(&mut h, f))?;
    Ok(hex(h))
}

fn feed(h: &mut Sha256, path: &Path) -> Result<()> {
    let fail = |e: std::io::Error| unreadable(path, &e);
    if std::fs::metadata(path).map_err(fail)?.is_dir() {
        let entries: std::io::Result<Vec<PathBuf>> = std::fs::read_dir(path).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
        let mut entries = entries.map_err(fail)?;
        entries.sort();
        for e in entries {
            h.update(e.file_name().unwrap_or_default().to_string_lossy().as_bytes());
            feed(h, &e)?;
        }
        return Ok(());
    }
    let mut file = File::open(path).map_err(fail)?;
    let mut part = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut part).map_err(fail)?;
        match part.get(..n) {
            Some(bytes) if n > 0 => h.update(bytes),
            _ => return Ok(()),
        }
    }
}

fn hex(h: Sha256) -> String {
    h.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
