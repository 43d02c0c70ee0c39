//! Writing files so that a failed or killed run leaves the old one whole: a temporary file in the target's folder, synced, renamed.

use lapidary_ir::{Diagnostic, Diagnostics, Result};
use std::fs::File;
use std::path::Path;

/// Replaces `path` by what `write` writes, at once or not at all.
///
/// # Errors
/// A folder that cannot be written to, a target that is no regular file, and what `write` itself reports.
pub fn replace(path: &Path, write: &dyn Fn(&mut File) -> std::io::Result<()>) -> Result<()> {
    let place = path.display().to_string();
    let fail = |e: std::io::Error| -> Diagnostics {
        let d = Diagnostic::error("file-unwritable", format!("'{place}' cannot be written: {e}")).file(&place);
        match e.kind() {
            std::io::ErrorKind::NotFound => d.help("its folder must exist"),
            _ => d,
        }
        .into()
    };
    if let Ok(meta) = std::fs::metadata(path)
        && !meta.is_file()
    {
        return Err(Diagnostic::error("file-unwritable", format!("'{place}' is no regular file")).file(place).into());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".lapidary-").tempfile_in(folder).map_err(fail)?;
    write(temporary.as_file_mut()).map_err(fail)?;
    temporary.as_file().sync_all().map_err(fail)?;
    readable_by_all(temporary.as_file(), path).map_err(fail)?;
    temporary.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

/// Temporary files are private; the result gets the permissions of what it replaces, else the usual ones.
#[cfg(unix)]
fn readable_by_all(file: &File, path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0o644, |m| m.permissions().mode());
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File, _: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        replace(&path, &|f| f.write_all(b"old")).unwrap();
        let failed = replace(&path, &|f| {
            f.write_all(b"new")?;
            Err(std::io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
