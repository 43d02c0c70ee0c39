use crate::Miss;
use lapidary_ir::Diagnostic;
use serde::Serialize;
use std::collections::BTreeMap;

/// What each pass did, in numbers: as JSON by serde, as a table by the command line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// The pipeline that ran, as text.
    pub pipeline: String,
    pub entries: Vec<Entry>,
    /// What was left alone, opset changes and the like.
    pub notes: Vec<Diagnostic>,
    /// Rules that fitted a place and were not applied (those of `--why`, or all).
    pub misses: Vec<Miss>,
    /// What the error columns were measured with: executor and inputs; empty when they were not.
    pub measured_with: String,
}

/// One run of one pass.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// As in the pipeline.
    pub pass: String,
    /// In which round of a `repeat`, from 1; 0 outside.
    pub round: u32,
    pub effect: crate::Effect,
    pub changed: bool,
    pub nodes_before: usize,
    pub nodes_after: usize,
    /// Nodes touched, by rule.
    pub touched: BTreeMap<String, usize>,
    /// Bytes of constants.
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// With given sizes; symbols without one count as 1.
    pub multiply_adds_before: i64,
    pub multiply_adds_after: i64,
    /// The same in terms of the model's sizes.
    pub multiply_adds_symbolic: String,
    pub time_ms: f64,
    /// Of the whole process while the pass ran; `None` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Against the model before the first pass, where results were compared.
    pub error: Option<ErrorStats>,
}

/// The worst over all outputs and batches.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ErrorStats {
    /// Signal to quantization noise, in dB; `None` when all is equal.
    pub sqnr_db: Option<f64>,
    pub max_abs: f64,
    /// Of the largest magnitude of the output.
    pub max_rel: f64,
    pub outputs: Vec<OutputError>,
}

#[derive(Clone, Debug, Serialize)]
pub struct OutputError {
    pub name: String,
    pub sqnr_db: Option<f64>,
    pub max_abs: f64,
    pub max_rel: f64,
}
