//! Files as [`Bytes`]: memory-mapped, so that weights are read when touched and never copied, or read whole (`--no-mmap`).
//!
//! This is the one module of the crate with unsafe code.

use crate::codes;
use bytes::Bytes;
use lapidary_ir::{Diagnostic, Diagnostics, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How the bytes of a file come into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Map the file: pages come when touched, and a slice keeps the whole map alive.
    #[default]
    Map,
    /// Read the file at once: for file systems that cannot map, and for files that another program may truncate.
    Read,
}

/// The largest file that is opened. Beyond this a size is taken for a damaged directory entry or a sparse trap.
pub const MAX_FILE_BYTES: u64 = 1 << 40;

/// The bytes of the regular file `path`.
///
/// # Errors
/// A missing, unreadable, empty or larger than [`MAX_FILE_BYTES`] file, and anything that is not a regular file.
pub fn open(path: &Path, access: Access) -> Result<Bytes> {
    let place = path.display().to_string();
    let fail = |e: std::io::Error| {
        let error = match e.kind() {
            std::io::ErrorKind::NotFound => Diagnostic::error(codes::FILE_MISSING, format!("there is no file '{place}'"))
                .help("check the path; it is relative to the current folder"),
            std::io::ErrorKind::PermissionDenied => Diagnostic::error(codes::FILE_UNREADABLE, format!("no permission to read '{place}'")),
            _ => Diagnostic::error(codes::FILE_UNREADABLE, format!("'{place}' cannot be read: {e}")),
        };
        Diagnostics::from(error.file(place.clone()))
    };
    // The kind is checked before opening: opening a pipe would wait for its writer.
    let kind = std::fs::metadata(path).map_err(fail)?;
    if kind.is_dir() {
        return Err(Diagnostic::error(codes::FILE_NOT_REGULAR, format!("'{place}' is a folder, not a file"))
            .file(place)
            .help("name the .onnx file inside it")
            .into());
    }
    if !kind.is_file() {
        return Err(Diagnostic::error(codes::FILE_NOT_REGULAR, format!("'{place}' is not a regular file"))
            .file(place)
            .help("write the data to a file first")
            .into());
    }
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    if size == 0 {
        return Err(Diagnostic::error(codes::FILE_EMPTY, format!("'{place}' is empty"))
            .file(place)
            .help("the download or export that should have filled it failed; repeat it")
            .into());
    }
    if size > MAX_FILE_BYTES {
        return Err(Diagnostic::error(codes::FILE_TOO_LARGE, format!("'{place}' has {size} bytes, more than the limit of {MAX_FILE_BYTES}"))
            .file(place)
            .into());
    }
    match access {
        Access::Map => map(&file).map_err(fail),
        Access::Read => read(file, size).map_err(fail),
    }
}

#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the map is private and read-only, and nothing in this process writes to it. Another process that changes
    // the file changes what is read, never memory safety of ours (all reads are bounds-checked bytes); one that
    // truncates it makes later reads fault, which is why `Access::Read` exists.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

fn read(file: File, size: u64) -> std::io::Result<Bytes> {
    let mut data = Vec::new();
    // Reserve by what the file system says, but never trust it for more than a first step: the read itself grows it.
    data.try_reserve(usize::try_from(size.min(1 << 31)).unwrap_or(0)).map_err(std::io::Error::other)?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut data)?;
    Ok(Bytes::from(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(open(&path, Access::Map).unwrap(), open(&path, Access::Read).unwrap());
    }

    #[test]
    fn refuses_missing_empty_and_folders() {
        let dir = tempfile::tempdir().unwrap();
        let code = |p: &Path| open(p, Access::Map).unwrap_err().0[0].code;
        assert_eq!(code(&dir.path().join("none")), codes::FILE_MISSING);
        assert_eq!(code(dir.path()), codes::FILE_NOT_REGULAR);
        std::fs::write(dir.path().join("empty"), b"").unwrap();
        assert_eq!(code(&dir.path().join("empty")), codes::FILE_EMPTY);
    }

    #[cfg(unix)]
    #[test]
    fn refuses_devices_and_sparse_giants() {
        assert_eq!(open(Path::new("/dev/zero"), Access::Read).unwrap_err().0[0].code, codes::FILE_NOT_REGULAR);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let file = File::create(&path).unwrap();
        if file.set_len(MAX_FILE_BYTES + 1).is_ok() {
            assert_eq!(open(&path, Access::Map).unwrap_err().0[0].code, codes::FILE_TOO_LARGE);
        }
    }
}
