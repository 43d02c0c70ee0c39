//! Lapidary cuts and polishes ONNX models: passes shrink and speed a model up, and out comes an optimized ONNX file or a native library.
//!
//! ```no_run
//! use lapidary::{CompileOptions, Model, OpenOptions, SaveOptions};
//! use std::path::Path;
//!
//! let mut model = Model::open(Path::new("model.onnx"), &OpenOptions::default())?;
//! let report = model.optimize(2)?;
//! println!("{} passes ran", report.ledger.entries.len());
//! model.save(Path::new("model.opt.onnx"), &SaveOptions::default())?;
//! model.compile(Path::new("libmodel.so"), &CompileOptions::default())?;
//! # Ok::<(), lapidary::Diagnostics>(())
//! ```
//!
//! This façade is the only stable interface; the crates below it may change. Mistakes are [`Diagnostics`]: data, with a code, a place, and
//! what to do about it.
#![forbid(unsafe_code)]

pub mod arrays;
pub mod compress;
pub mod difference;
mod files;
pub mod inspect;
pub mod kernels;
mod model;
pub mod native;
pub mod roofs;
pub mod sensitivity;
mod text;
pub mod tune;

pub use files::replace as replace_file;
pub use lapidary_ir::{
    Comparison, DType, Diagnostic, Diagnostics, Dim, Graph, Place, Result, Severity, Shape, Tensor, TensorType, Tolerance, Type,
    compare as compare_tensors, nearest,
};
pub use lapidary_ops::Datum;
pub use lapidary_rewrite::{Check, CheckFailure, Effect, Ledger, Pipeline, Report, random_inputs};
pub use model::{Backend, DimRange, FixedInput, Model, OpenOptions, PassOptions, SaveOptions};
pub use native::{CompileOptions, Compiled, Emit, Library, LowerOptions, NodeReport, WeightsMode};

/// What calibration notes about the values of a model.
pub use lapidary_passes::Observations;
/// All passes, sorted by name.
pub use lapidary_passes::PASSES;
/// The named pipelines: option, text, what it is for.
pub use lapidary_passes::PIPELINES;

/// Reads the text of a pipeline and checks its names and options. The error marks the place.
pub fn parse_pipeline(text: &str) -> Result<Pipeline> {
    let parsed = lapidary_rewrite::pipeline::parse(text)?;
    lapidary_rewrite::pipeline::resolve(&parsed, PASSES, text)?;
    Ok(parsed)
}

/// Reads a TOML recipe and checks its names and options.
pub fn parse_recipe(text: &str) -> Result<Pipeline> {
    let parsed = lapidary_rewrite::pipeline::from_toml(text)?;
    lapidary_rewrite::pipeline::resolve(&parsed, PASSES, "")?;
    Ok(parsed)
}

/// The pipeline of an optimization level, 0 to 3.
pub fn level(level: u8) -> Result<Pipeline> {
    match lapidary_passes::pipeline(&format!("O{level}")) {
        Some(text) => parse_pipeline(text),
        None => Err(Diagnostic::error("level", format!("there is no level {level}")).help("levels are 0 to 3").into()),
    }
}

/// The newest version of ONNX's operator set that is known here.
pub const NEWEST_OPSET: u32 = lapidary_ops::schema::newest_opset();
