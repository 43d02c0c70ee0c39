//! Files → [`Model`].

use crate::external::ExternalFiles;
use crate::mapping::{self, Access};
use crate::model::Model;
use crate::proto::ModelProto;
use crate::{codes, decode, import};
use bytes::Bytes;
use lapidary_ir::{Diagnostic, Diagnostics, Result, Severity};
use std::path::Path;

/// How to read a model.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Map files or read them.
    pub access: Access,
    /// Turn operators of old opsets into their newest forms, as far as [`lapidary_ops`] knows how. Writing turns them back.
    pub lift: bool,
    /// Keep graph inputs that have an initial value as inputs, with the value in [`Model::defaults`]. Otherwise they are constants, which is
    /// what exporters that list all weights among the inputs mean.
    pub keep_defaults: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { access: Access::Map, lift: true, keep_defaults: false }
    }
}

/// Reads a model and the files of weights that it names. Weights are not copied: they stay slices of the mapped files.
///
/// # Errors
/// A file that cannot be read or is no model, with the cause (another format, truncated, damaged); a model that contradicts itself
/// (undefined, duplicate or cyclic values, tensors that do not fit their types); external data that is missing, short or outside the folder.
pub fn read_model(path: &Path, options: &ReadOptions) -> Result<Model> {
    let place = path.display().to_string();
    let named = |mut e: Diagnostics| {
        for d in &mut e.0 {
            d.place.file.get_or_insert_with(|| place.clone());
        }
        e
    };
    let read = || {
        let data = mapping::open(path, options.access)?;
        let proto = decode::model(&data)?;
        let dropped = decode::dropped_bytes(&data, &proto);
        let mut model = import::model(proto, &mut ExternalFiles::beside(path, options.access), options)?;
        if dropped > 0 {
            let message = format!("{dropped} bytes of the file are fields that ONNX does not define; they were dropped");
            model.notes.push(Diagnostic { severity: Severity::Note, ..Diagnostic::warning(codes::DROPPED, message) });
        }
        Ok(model)
    };
    let mut model = read().map_err(named)?;
    model.notes = named(Diagnostics(std::mem::take(&mut model.notes))).0;
    Ok(model)
}

/// Reads a model from memory. External data is an error.
pub fn model_from_bytes(data: &Bytes, options: &ReadOptions) -> Result<Model> {
    model_from_proto(decode::model(data)?, options)
}

/// Reads a model from its messages. External data is an error.
pub fn model_from_proto(proto: ModelProto, options: &ReadOptions) -> Result<Model> {
    import::model(proto, &mut ExternalFiles::none(), options)
}
