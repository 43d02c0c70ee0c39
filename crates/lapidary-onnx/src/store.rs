//! [`ModelProto`] → files: the model, and beside it, where wanted or needed, one file of weights.
//!
//! Both are written under temporary names in the target folder, synced, and renamed into place, the weights first. A failed or
//! killed run leaves the old files whole; only the instant between the two renames of a pair is not covered.

use crate::codes;
use crate::encode;
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{ModelProto, StringStringEntryProto, TensorProto};
use crate::visit::{self, Holder};
use bytes::Bytes;
use lapidary_ir::{DType, Diagnostic, Diagnostics, Result};
use prost::Message;
use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Where weights go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalData {
    /// Into the model, unless the model came with external data or does not fit one protobuf message (2 GiB).
    #[default]
    Auto,
    /// Into the model, or fail.
    Embed,
    /// Initializers of at least `threshold` bytes into `NAME.onnx.data` beside the model.
    Side {
        /// In bytes.
        threshold: u64,
    },
}

/// Protobuf's limit for one message, which other readers enforce.
pub const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;
/// What other writers take for large: smaller tensors stay in the model.
pub const DEFAULT_THRESHOLD: u64 = 1024;
/// Tensors that are worth mapping on their own start at a page.
const PAGE_ALIGN: u64 = 4096;
const PAGE_ALIGN_FROM: u64 = 16 << 10;
/// The rest start at a cache line.
const LINE_ALIGN: u64 = 64;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the model file.
    pub model_bytes: u64,
    /// The file of weights and its bytes.
    pub data: Option<(PathBuf, u64)>,
}

/// Writes `model` to `path`; `came_external` says that its weights lay outside before. Weights are streamed from where they lie.
///
/// # Errors
/// A target that cannot be written or is not a regular file; a model that must be embedded and is too large.
pub fn write(mut model: ModelProto, path: &Path, external: ExternalData, came_external: bool) -> Result<Written> {
    check_target(path)?;
    let size = model.encoded_len();
    let threshold = match external {
        ExternalData::Side { threshold } => Some(threshold),
        ExternalData::Embed => None,
        ExternalData::Auto => (came_external || size > MESSAGE_BYTES_MAX).then_some(DEFAULT_THRESHOLD),
    };
    let mut side = None;
    if let Some(threshold) = threshold {
        let name = side_name(path)?;
        let mut plan = SidePlan::new(&name, threshold.max(1));
        plan.take(&mut model, Holder::Initializer)?;
        if model.encoded_len() > MESSAGE_BYTES_MAX {
            plan.take(&mut model, Holder::Attribute)?;
        }
        if !plan.pieces.is_empty() {
            side = Some((path.with_file_name(name), plan));
        }
    }
    if model.encoded_len() > MESSAGE_BYTES_MAX {
        return Err(Diagnostic::error(
            codes::TOO_LARGE_TO_EMBED,
            format!("the model has {} bytes, more than one protobuf message can hold", model.encoded_len()),
        )
        .file(path.display().to_string())
        .help("write its weights beside it as external data")
        .into());
    }
    let mut written = Written::default();
    let data = match &side {
        Some((target, plan)) => {
            check_target(target)?;
            let (file, bytes) = temporary(target, |out| plan.write(out))?;
            written.data = Some((target.clone(), bytes));
            Some((file, target))
        }
        None => None,
    };
    let (file, bytes) = temporary(path, |out| encode::write_model(model, out))?;
    written.model_bytes = bytes;
    if let Some((data, target)) = data {
        persist(data, target)?;
    }
    persist(file, path)?;
    sync_folder(path);
    Ok(written)
}

/// Writes `bytes` to `path` the same careful way; for other outputs that stand beside a model.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    check_target(path)?;
    let (file, _) = temporary(path, |out| out.write_all(bytes))?;
    persist(file, path)?;
    sync_folder(path);
    Ok(())
}

/// `NAME.onnx.data`, a plain name: what stands in the model as its location.
fn side_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
        Diagnostic::error(codes::FILE_UNWRITABLE, "a model with external data needs a file name in UTF-8").file(path.display().to_string())
    })?;
    Ok(format!("{name}.data"))
}

/// Which bytes go where in the file of weights.
struct SidePlan {
    location: String,
    threshold: u64,
    pieces: Vec<(u64, Bytes)>,
    end: u64,
    /// Tensors over the same memory share their place. By address, so only ever looked up, never listed.
    placed: HashMap<(usize, usize), u64>,
}

impl SidePlan {
    fn new(location: &str, threshold: u64) -> Self {
        SidePlan { location: location.to_owned(), threshold, pieces: vec![], end: 0, placed: HashMap::new() }
    }

    /// Moves the large tensors of one kind of holder out of the model.
    fn take(&mut self, model: &mut ModelProto, from: Holder) -> Result<()> {
        visit::model(model, &mut |holder, tensor| {
            let large = tensor.raw_data.as_ref().is_some_and(|raw| raw.len() as u64 >= self.threshold);
            if holder == from && large && tensor.data_type() != DType::String.onnx_code() {
                self.place(tensor);
            }
            Ok(())
        })
    }

    fn place(&mut self, tensor: &mut TensorProto) {
        let Some(raw) = tensor.raw_data.take() else { return };
        let length = raw.len() as u64;
        let offset = *self.placed.entry((raw.as_ptr() as usize, raw.len())).or_insert_with(|| {
            let align = if length >= PAGE_ALIGN_FROM { PAGE_ALIGN } else { LINE_ALIGN };
            let offset = self.end.next_multiple_of(align);
            self.end = offset + length;
            self.pieces.push((offset, raw));
            offset
        });
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        tensor.external_data =
            vec![entry("location", self.location.clone()), entry("offset", offset.to_string()), entry("length", length.to_string())];
        tensor.data_location = Some(DataLocation::External as i32);
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        const ZEROS: [u8; PAGE_ALIGN as usize] = [0; PAGE_ALIGN as usize];
        let mut at = 0;
        for (offset, bytes) in &self.pieces {
            // Offsets rise and gaps are shorter than a page, by construction.
            out.write_all(ZEROS.get(..(offset - at) as usize).unwrap_or(&ZEROS))?;
            out.write_all(bytes)?;
            at = offset + bytes.len() as u64;
        }
        Ok(())
    }
}

/// A device or folder must not be replaced by a rename.
fn check_target(path: &Path) -> Result<()> {
    let place = path.display().to_string();
    if path.file_name().is_none() {
        return Err(Diagnostic::error(codes::FILE_UNWRITABLE, format!("'{place}' names no file")).file(place).into());
    }
    match std::fs::metadata(path) {
        Ok(kind) if !kind.is_file() => Err(Diagnostic::error(codes::FILE_UNWRITABLE, format!("'{place}' exists and is not a regular file"))
            .file(place)
            .help("name a file to write")
            .into()),
        _ => Ok(()),
    }
}

/// Writes and syncs a temporary file in the folder of `target`. It is removed again unless persisted.
fn temporary(target: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(NamedTempFile, u64)> {
    let make = || -> io::Result<(NamedTempFile, u64)> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".lapidary-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // A temporary file is private by default, an output is not: the process's umask decides.
            builder.permissions(Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder_of(target))?;
        let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
        write(&mut out)?;
        out.flush()?;
        drop(out);
        file.as_file().sync_all()?;
        let bytes = file.as_file().metadata()?.len();
        Ok((file, bytes))
    };
    make().map_err(|e| unwritable(target, &e))
}

fn persist(file: NamedTempFile, target: &Path) -> Result<()> {
    file.persist(target).map(|_| ()).map_err(|e| unwritable(target, &e.error))
}

/// So that the renames survive a power cut. Not every file system can, and the data itself is already safe.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn unwritable(path: &Path, e: &io::Error) -> Diagnostics {
    let place = path.display().to_string();
    let error = Diagnostic::error(codes::FILE_UNWRITABLE, format!("'{place}' cannot be written: {e}")).file(place);
    match e.kind() {
        io::ErrorKind::NotFound => error.help("create the folder first"),
        io::ErrorKind::StorageFull => error.help("free some space; nothing was changed"),
        _ => error,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::GraphProto;

    fn model(sizes: &[usize]) -> ModelProto {
        let tensor = |(i, size): (usize, &usize)| TensorProto {
            name: Some(format!("w{i}")),
            data_type: Some(2),
            dims: vec![*size as i64],
            raw_data: Some(Bytes::from(vec![i as u8 + 1; *size])),
            ..Default::default()
        };
        let graph = GraphProto { initializer: sizes.iter().enumerate().map(tensor).collect(), ..Default::default() };
        ModelProto { ir_version: Some(8), graph: Some(graph), ..Default::default() }
    }

    fn read(path: &Path) -> ModelProto {
        crate::decode::model(&Bytes::from(std::fs::read(path).unwrap())).unwrap()
    }

    #[test]
    fn side_file_is_aligned_and_keeps_small_tensors_inside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        let sizes = [10, 2000, 50_000, 3000, 20_000];
        let written = write(model(&sizes), &path, ExternalData::Side { threshold: 1024 }, false).unwrap();
        let data = std::fs::read(dir.path().join("m.onnx.data")).unwrap();
        assert_eq!(written.data, Some((dir.path().join("m.onnx.data"), data.len() as u64)));
        let graph = read(&path).graph.unwrap();
        assert!(graph.initializer[0].raw_data.is_some());
        for (i, tensor) in graph.initializer.iter().enumerate().skip(1) {
            let location = crate::external::Location::parse(&tensor.external_data).unwrap();
            assert_eq!(location.path, "m.onnx.data");
            assert_eq!(location.offset % if sizes[i] >= 16 << 10 { 4096 } else { 64 }, 0);
            let at = location.offset as usize;
            assert_eq!(data[at..at + sizes[i]], vec![i as u8 + 1; sizes[i]]);
        }
    }

    #[test]
    fn auto_embeds_unless_the_weights_came_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        assert_eq!(write(model(&[5000]), &path, ExternalData::Auto, false).unwrap().data, None);
        assert!(read(&path).graph.unwrap().initializer[0].raw_data.is_some());
        assert!(write(model(&[5000]), &path, ExternalData::Auto, true).unwrap().data.is_some());
    }

    #[test]
    fn shared_weights_are_stored_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut model = model(&[5000]);
        let graph = model.graph.as_mut().unwrap();
        let twin = TensorProto { name: Some("twin".into()), ..graph.initializer[0].clone() };
        graph.initializer.push(twin);
        let side = ExternalData::Side { threshold: 1 };
        assert_eq!(write(model, &dir.path().join("m.onnx"), side, false).unwrap().data.unwrap().1, 5000);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        std::fs::write(&path, b"old").unwrap();
        let failed = temporary(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("disk on fire"))
        });
        assert_eq!(failed.unwrap_err().0[0].code, codes::FILE_UNWRITABLE);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_folders_devices_and_missing_folders() {
        let dir = tempfile::tempdir().unwrap();
        let code = |p: &Path| write(model(&[1]), p, ExternalData::Auto, false).unwrap_err().0[0].code;
        assert_eq!(code(dir.path()), codes::FILE_UNWRITABLE);
        assert_eq!(code(&dir.path().join("none/m.onnx")), codes::FILE_UNWRITABLE);
        #[cfg(unix)]
        assert_eq!(code(Path::new("/dev/null")), codes::FILE_UNWRITABLE);
    }

    #[cfg(unix)]
    #[test]
    fn outputs_have_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (path, plain) = (dir.path().join("m.onnx"), dir.path().join("plain"));
        write(model(&[1]), &path, ExternalData::Auto, false).unwrap();
        File::create(&plain).unwrap();
        let mode = |p: &Path| p.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
