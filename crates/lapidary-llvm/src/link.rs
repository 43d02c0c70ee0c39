//! Objects to `.so` and `.a`, with the system's `cc`, `ld` and `objcopy`.

use lapidary_ir::{Diagnostic, Diagnostics, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const RUNTIME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.o"));
const RUNTIME_TSAN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime_tsan.o"));

pub fn io(what: &str, path: &Path, e: std::io::Error) -> Diagnostics {
    Diagnostic::error("write", format!("{what}: {e}")).file(path.display().to_string()).into()
}

/// Runs a tool of the system in `folder`.
fn run(tool: &str, folder: &Path, args: &[&OsStr]) -> Result<()> {
    let output = Command::new(tool).current_dir(folder).args(args).env("LC_ALL", "C").output();
    match output {
        Err(e) => Err(Diagnostic::error("link", format!("cannot run '{tool}': {e}"))
            .help("install a C compiler and binutils (Debian: gcc binutils)")
            .into()),
        Ok(o) if o.status.success() => Ok(()),
        Ok(o) => Err(Diagnostic::error("link", format!("'{tool}' failed")).note(String::from_utf8_lossy(&o.stderr).trim().to_string()).into()),
    }
}

/// What is linked.
pub struct Parts<'a> {
    /// A folder for temporary files.
    pub folder: &'a Path,
    /// Names of objects in it, in link order.
    pub objects: Vec<String>,
    /// The model's name as a C identifier.
    pub name: &'a str,
    pub sanitize: bool,
    /// Keep names of local functions.
    pub symbols: bool,
    /// Export the times of the kernels.
    pub profile: bool,
}

impl Parts<'_> {
    fn runtime(&self) -> Result<&'static str> {
        let file = self.folder.join("runtime.o");
        std::fs::write(&file, if self.sanitize { RUNTIME_TSAN } else { RUNTIME }).map_err(|e| io("cannot write a temporary file", &file, e))?;
        Ok("runtime.o")
    }
    fn args<'x>(&'x self, before: &[&'x str], after: &[&'x str]) -> Vec<&'x OsStr> {
        before.iter().copied().chain(self.objects.iter().map(String::as_str)).chain(after.iter().copied()).map(OsStr::new).collect()
    }
    /// Assembles a file of the folder.
    pub fn assemble(&self, source: &str, object: &str) -> Result<()> {
        run("cc", self.folder, &["-c", source, "-o", object].map(OsStr::new))
    }
    /// One relocatable object of all objects.
    pub fn relocatable(&self) -> Result<PathBuf> {
        run("ld", self.folder, &self.args(&["-r", "-o", "all.o"], &[]))?;
        Ok(self.folder.join("all.o"))
    }
    /// A shared library that exports two functions.
    pub fn shared(&self) -> Result<PathBuf> {
        let runtime = self.runtime()?;
        let profile = if self.profile { "lapidary_profile; " } else { "" };
        let script = format!("{{ global: lapidary_v1; {}_v1; {profile}local: *; }};\n", self.name);
        let file = self.folder.join("exports.map");
        std::fs::write(&file, script).map_err(|e| io("cannot write a temporary file", &file, e))?;
        let mut before = vec!["-shared", "-nostartfiles", "-o", "library.so"];
        if self.sanitize {
            before.push("-fsanitize=thread");
        }
        let after = [
            if self.symbols { "-g" } else { "-s" },
            runtime,
            "-Wl,--gc-sections",
            "-Wl,--version-script=exports.map",
            "-Wl,--build-id=none",
            "-Wl,-z,noexecstack",
            "-Wl,-z,relro,-z,now",
            "-Wl,--as-needed",
            "-lm",
            "-lpthread",
        ];
        run("cc", self.folder, &self.args(&before, &after))?;
        Ok(self.folder.join("library.so"))
    }
    /// An archive of one object with one global symbol.
    pub fn archive(&self) -> Result<PathBuf> {
        let runtime = self.runtime()?;
        let entry = format!("{}_v1", self.name);
        run("ld", self.folder, &self.args(&["-r", "--gc-sections", "-u", &entry, "-o", "linked.o"], &[runtime]))?;
        let keep = format!("--keep-global-symbol={entry}");
        let object = format!("{}.o", self.name);
        let strip = ["-R", ".llvmbc", "-R", ".llvmcmd", "--strip-debug", &keep, "linked.o", &object];
        run("objcopy", self.folder, &strip.map(OsStr::new))?;
        let file = self.folder.join("library.a");
        let _ = std::fs::remove_file(&file);
        run("ar", self.folder, &["crsD", "library.a", &object].map(OsStr::new))?;
        Ok(file)
    }
}
