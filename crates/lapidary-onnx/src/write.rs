//! [`Model`] → files.

use crate::model::Model;
use crate::proto::ModelProto;
use crate::store::{self, ExternalData, Written};
use crate::{encode, export};
use lapidary_ir::{Diagnostic, Diagnostics, Result};
use std::path::Path;

/// How to write a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Where weights go.
    pub external: ExternalData,
    /// Version of ONNX's operator set to write; the model's own when `None`.
    pub target_opset: Option<u32>,
    /// Which values get a declared type.
    pub value_info: ValueInfo,
}

/// Which values between inputs and outputs get a declared type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueInfo {
    /// Those that had one in the file.
    #[default]
    Kept,
    /// All whose type is known.
    All,
    None,
}

/// Writes a model, and beside it its weights where they do not go into it. See [`store`] for what a failed run leaves behind.
///
/// # Errors
/// Operators without a form at the opset; a target that cannot be written.
pub fn write_model(model: &Model, path: &Path, options: &WriteOptions) -> Result<Written> {
    store::write(model_to_proto(model, options)?, path, options.external, model.external)
}

/// The messages of a model; tensors share their bytes with it.
pub fn model_to_proto(model: &Model, options: &WriteOptions) -> Result<ModelProto> {
    export::model(model, options)
}

/// A model as the bytes of a file, weights included.
pub fn model_to_bytes(model: &Model, options: &WriteOptions) -> Result<Vec<u8>> {
    let mut out = vec![];
    encode::write_model(model_to_proto(model, options)?, &mut out)
        .map_err(|e| Diagnostics::from(Diagnostic::error(crate::codes::FILE_UNWRITABLE, e.to_string())))?;
    Ok(out)
}
