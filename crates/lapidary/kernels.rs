//! Kernels as files: `NAME.kernels` with the text, `NAME.safetensors` beside it with the constants; and what such a file holds.

use crate::files;
use lapidary_ir::text::{read_tensors, write_tensor_table};
use lapidary_ir::{Diagnostic, Diagnostics, Result, Tensor};
use lapidary_kernel::{Move, Plan, Program, text::parse_program};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Whether a path names a file of kernels.
pub fn is_kernels(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "kernels")
}

/// Writes the constants, then the text that names them.
pub(crate) fn write(plan: &Plan, path: &Path) -> Result<()> {
    let constants: BTreeMap<u64, Arc<Tensor>> =
        plan.program.buffers.iter().filter_map(|b| b.constant()).map(|t| (t.content_hash(), t.clone())).collect();
    if is_kernels(path) && !constants.is_empty() {
        let table = write_tensor_table(&constants)?;
        files::replace(&path.with_extension("safetensors"), &|f| f.write_all(&table))?;
    }
    files::replace(path, &|f| f.write_all(plan.program.to_text().as_bytes()))
}

/// Reads what `compile --emit kernels -o NAME.kernels` wrote, and checks it as every stage of the compiler does.
///
/// # Errors
/// Files that are missing or not what was written together; text that is none; a program that breaks a rule of [`Program::verify`].
pub fn read(path: &Path) -> Result<Program> {
    let place = path.display().to_string();
    let fail = |path: &Path, e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { "file-missing" } else { "file-unreadable" };
        let place = path.display().to_string();
        Diagnostics::from(Diagnostic::error(code, format!("'{place}' cannot be read: {e}")).file(&place))
    };
    let source = std::fs::read_to_string(path).map_err(|e| fail(path, e))?;
    let side = path.with_extension("safetensors");
    let tensors = if side.is_file() { read_tensors(&std::fs::read(&side).map_err(|e| fail(&side, e))?.into())? } else { BTreeMap::new() };
    let program = parse_program(&source, &|hash| tensors.get(&hash).cloned()).map_err(|mut e| {
        e.0.iter_mut().for_each(|d| d.place.file = Some(place.clone()));
        e
    })?;
    let mut found = program.verify();
    found.iter_mut().for_each(|d| d.place.file = Some(place.clone()));
    if found.is_empty() { Ok(program) } else { Err(Diagnostics(found)) }
}

/// What `lapidary inspect NAME.kernels` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub name: String,
    pub kernels: Vec<KernelSummary>,
    pub buffers: usize,
    pub constants: usize,
    pub constant_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct KernelSummary {
    pub name: String,
    /// The graph's nodes that it computes.
    pub nodes: Vec<String>,
    pub template: String,
    /// Set when it computes nothing: what it moves, and why it may.
    pub moves: Option<Move>,
}

pub fn summary(p: &Program) -> Summary {
    let kernels = p.kernels.iter().map(|k| KernelSummary {
        name: k.name.to_string(),
        nodes: k.origin.iter().map(ToString::to_string).collect(),
        template: k.schedule.as_ref().map_or("none", |s| s.template()).into(),
        moves: p.moves(k),
    });
    let constants: Vec<&Arc<Tensor>> = p.buffers.iter().filter_map(|b| b.constant()).collect();
    Summary {
        name: p.name.to_string(),
        kernels: kernels.collect(),
        buffers: p.buffers.len(),
        constants: constants.len(),
        constant_bytes: constants.iter().map(|t| t.bytes().len() as u64).sum(),
    }
}
