//! External data: tensors whose bytes lie in files beside the model.
//!
//! A model is input from anywhere, so its `location` is never trusted: relative paths beneath the model's folder only,
//! no `..`, no link that leaves it, regular files, known keys, and offset and length within the file.

use crate::codes;
use crate::mapping::{self, Access};
use crate::proto::StringStringEntryProto;
use crate::sha1;
use bytes::Bytes;
use lapidary_ir::{Diagnostic, Diagnostics, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Where a tensor says that its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Relative to the model's folder.
    pub path: String,
    /// In bytes; zero when absent.
    pub offset: u64,
    /// In bytes; the rest of what the tensor needs when absent.
    pub length: Option<u64>,
    /// SHA-1 of the whole file, hex.
    pub checksum: Option<String>,
}

impl Location {
    /// Reads the keys `location`, `offset`, `length`, `checksum`; `basepath`, which some writers leave behind, is never used.
    ///
    /// # Errors
    /// A missing location, a key twice, an unknown key, a number that is none.
    pub fn parse(entries: &[StringStringEntryProto]) -> Result<Self> {
        let bad = |message: String| Diagnostic::error(codes::EXTERNAL_DATA, message);
        let mut seen = BTreeMap::new();
        for entry in entries {
            let (key, value) = (entry.key(), entry.value());
            if seen.insert(key, value).is_some() {
                return Err(bad(format!("external data has the key '{key}' twice")).into());
            }
            if !["location", "offset", "length", "checksum", "basepath"].contains(&key) {
                return Err(bad(format!("external data has the unknown key '{key}'"))
                    .help("known keys are location, offset, length, checksum")
                    .into());
            }
        }
        let number = |key: &str| match seen.get(key) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<u64>() {
                Ok(v) => Ok(Some(v)),
                Err(_) => Err(Diagnostics::from(bad(format!("external data has {key} '{text}', which is no size in bytes")))),
            },
        };
        Ok(Location {
            path: seen.get("location").ok_or_else(|| bad("external data names no location".into()))?.to_string(),
            offset: number("offset")?.unwrap_or(0),
            length: number("length")?,
            checksum: seen.get("checksum").filter(|c| !c.is_empty()).map(ToString::to_string),
        })
    }
}

/// The files that a model's tensors name, each opened once and shared by its tensors.
#[derive(Debug)]
pub struct ExternalFiles {
    folder: PathBuf,
    access: Access,
    open: BTreeMap<String, Bytes>,
    checked: BTreeSet<String>,
}

impl ExternalFiles {
    /// Files beneath the folder of the model at `model`.
    pub fn beside(model: &Path, access: Access) -> Self {
        let folder = match model.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        ExternalFiles { folder, access, open: BTreeMap::new(), checked: BTreeSet::new() }
    }

    /// No folder: for models that come from memory. Any external tensor is then an error.
    pub fn none() -> Self {
        ExternalFiles { folder: PathBuf::new(), access: Access::Read, open: BTreeMap::new(), checked: BTreeSet::new() }
    }

    /// Whether any tensor came from a file.
    pub fn used(&self) -> bool {
        !self.open.is_empty()
    }

    /// The files that tensors came from, relative to the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }

    /// The `need` bytes of a tensor, as a slice of the file's map.
    ///
    /// # Errors
    /// A path outside the folder, a missing or too short file, a length that is not `need`, a checksum that differs.
    pub fn slice(&mut self, location: &Location, need: u64) -> Result<Bytes> {
        if let Some(length) = location.length
            && length != need
        {
            let message = format!("external data in '{}' has {length} bytes where the tensor's type and shape need {need}", location.path);
            return Err(Diagnostic::error(codes::EXTERNAL_DATA, message).help("the file belongs to another model, or its writer is broken").into());
        }
        if need == 0 && location.length == Some(0) {
            return Ok(Bytes::new());
        }
        let file = self.file(&location.path)?;
        let size = file.len() as u64;
        let end = location.offset.checked_add(need).filter(|&end| end <= size).ok_or_else(|| {
            Diagnostic::error(
                codes::EXTERNAL_SHORT,
                format!("'{}' has {size} bytes, and the tensor's {need} bytes would start at {}", location.path, location.offset),
            )
            .help("the file was cut off or belongs to another model; fetch both again")
        })?;
        if let Some(checksum) = &location.checksum
            && self.checked.insert(location.path.clone())
        {
            let actual = sha1::hex(&file);
            if !actual.eq_ignore_ascii_case(checksum) {
                return Err(Diagnostic::error(codes::EXTERNAL_CHECKSUM, format!("'{}' does not have its checksum", location.path))
                    .note(format!("expected {checksum}, found {actual}"))
                    .help("the file was damaged or belongs to another model; fetch both again")
                    .into());
            }
        }
        // Both ends are at most `size`, which came from a usize.
        Ok(file.slice(location.offset as usize..end as usize))
    }

    fn file(&mut self, location: &str) -> Result<Bytes> {
        if let Some(bytes) = self.open.get(location) {
            return Ok(bytes.clone());
        }
        let path = self.resolve(location)?;
        let bytes = mapping::open(&path, self.access).map_err(|e| match e.0.first().map(|d| d.code) {
            Some(codes::FILE_EMPTY) => Diagnostic::error(codes::EXTERNAL_SHORT, format!("'{location}' is empty")).into(),
            Some(codes::FILE_NOT_REGULAR) => {
                Diagnostics::from(Diagnostic::error(codes::EXTERNAL_PATH, format!("'{location}' is not a regular file")))
            }
            _ => e,
        })?;
        self.open.insert(location.to_owned(), bytes.clone());
        Ok(bytes)
    }

    /// The real path of `location`, which lies beneath the real folder of the model.
    fn resolve(&self, location: &str) -> Result<PathBuf> {
        let outside = |why: &str| {
            Diagnostic::error(codes::EXTERNAL_PATH, format!("external data at '{location}' {why}"))
                .help("a model may name only files beneath its own folder; put the file there and name it relatively")
        };
        let relative = Path::new(location);
        if location.is_empty() || location.contains('\0') {
            return Err(outside("names no file").into());
        }
        for part in relative.components() {
            match part {
                Component::Normal(_) | Component::CurDir => {}
                Component::ParentDir => return Err(outside("leaves the model's folder by '..'").into()),
                Component::RootDir | Component::Prefix(_) => return Err(outside("is an absolute path").into()),
            }
        }
        if self.folder.as_os_str().is_empty() {
            return Err(outside("cannot be opened: the model was not read from a file").into());
        }
        let missing = |e: std::io::Error| {
            if e.kind() == std::io::ErrorKind::NotFound {
                Diagnostic::error(codes::EXTERNAL_MISSING, format!("there is no file '{location}' beside the model"))
                    .help("the model's weights lie in that file; copy it into the model's folder")
            } else {
                Diagnostic::error(codes::EXTERNAL_MISSING, format!("'{location}' cannot be opened: {e}"))
            }
        };
        let folder = self.folder.canonicalize().map_err(missing)?;
        let path = folder.join(relative).canonicalize().map_err(missing)?;
        if !path.starts_with(&folder) {
            return Err(outside("leaves the model's folder through a link").into());
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(path: &str, offset: u64, length: Option<u64>) -> Location {
        Location { path: path.into(), offset, length, checksum: None }
    }

    fn entries(list: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
        list.iter().map(|(k, v)| StringStringEntryProto { key: Some((*k).into()), value: Some((*v).into()) }).collect()
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("m")).unwrap();
            std::fs::write(dir.path().join("m/w.bin"), b"0123456789").unwrap();
            std::fs::write(dir.path().join("secret"), b"0123456789").unwrap();
            Folder(dir)
        }
        fn slice(&self, location: &Location, need: u64) -> Result<Bytes> {
            ExternalFiles::beside(&self.0.path().join("m/model.onnx"), Access::Map).slice(location, need)
        }
        fn code(&self, location: &Location, need: u64) -> &'static str {
            self.slice(location, need).unwrap_err().0[0].code
        }
    }

    #[test]
    fn gives_slices_of_one_map() {
        let folder = Folder::new();
        assert_eq!(folder.slice(&location("w.bin", 2, Some(3)), 3).unwrap(), "234");
        assert_eq!(folder.slice(&location("./w.bin", 7, None), 3).unwrap(), "789");
        assert_eq!(folder.slice(&location("w.bin", 10, Some(0)), 0).unwrap(), "");
    }

    #[test]
    fn refuses_paths_outside() {
        let folder = Folder::new();
        let absolute = folder.0.path().join("secret").display().to_string();
        for path in ["../secret", "a/../../secret", "", &absolute] {
            assert_eq!(folder.code(&location(path, 0, None), 1), codes::EXTERNAL_PATH, "{path}");
        }
        assert_eq!(ExternalFiles::none().slice(&location("w.bin", 0, None), 1).unwrap_err().0[0].code, codes::EXTERNAL_PATH);
    }

    #[cfg(unix)]
    #[test]
    fn refuses_links_that_leave_and_follows_those_that_stay() {
        let folder = Folder::new();
        std::os::unix::fs::symlink("../secret", folder.0.path().join("m/out")).unwrap();
        std::os::unix::fs::symlink("w.bin", folder.0.path().join("m/in")).unwrap();
        assert_eq!(folder.code(&location("out", 0, None), 1), codes::EXTERNAL_PATH);
        assert_eq!(folder.slice(&location("in", 0, None), 1).unwrap(), "0");
    }

    #[test]
    fn refuses_missing_short_and_mismatched_files() {
        let folder = Folder::new();
        std::fs::write(folder.0.path().join("m/empty"), b"").unwrap();
        assert_eq!(folder.code(&location("none", 0, None), 1), codes::EXTERNAL_MISSING);
        assert_eq!(folder.code(&location("w.bin", 8, Some(4)), 4), codes::EXTERNAL_SHORT);
        assert_eq!(folder.code(&location("w.bin", u64::MAX, None), 4), codes::EXTERNAL_SHORT);
        assert_eq!(folder.code(&location("empty", 0, None), 4), codes::EXTERNAL_SHORT);
        assert_eq!(folder.code(&location("w.bin", 0, Some(4)), 8), codes::EXTERNAL_DATA);
        std::fs::create_dir(folder.0.path().join("m/dir")).unwrap();
        assert_eq!(folder.code(&location("dir", 0, None), 4), codes::EXTERNAL_PATH);
    }

    #[test]
    fn checks_the_checksum() {
        let folder = Folder::new();
        let mut at = location("w.bin", 0, None);
        at.checksum = Some("87acec17cd9dcd20a716cc2cf67417b71c8a7016".into());
        assert_eq!(folder.slice(&at, 1).unwrap(), "0");
        at.checksum = Some("00".into());
        assert_eq!(folder.code(&at, 1), codes::EXTERNAL_CHECKSUM);
    }

    #[test]
    fn refuses_unknown_keys_repeats_and_non_numbers() {
        let good = Location::parse(&entries(&[("location", "a"), ("offset", "4096"), ("length", "8")])).unwrap();
        assert_eq!(good, location("a", 4096, Some(8)));
        for bad in [
            &[("offset", "0")][..],
            &[("location", "a"), ("location", "b")],
            &[("location", "a"), ("mode", "w")],
            &[("location", "a"), ("offset", "-1")],
            &[("location", "a"), ("length", "ten")],
        ] {
            assert_eq!(Location::parse(&entries(bad)).unwrap_err().0[0].code, codes::EXTERNAL_DATA, "{bad:?}");
        }
    }
}
