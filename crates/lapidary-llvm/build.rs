//! Compiles the runtime of emitted libraries to objects that this crate embeds; `lapidary-runtime/src/lib.rs` documents the command.
//! The object alone, without the archive around it: it needs nothing of Rust's libraries, whose copies of libm's functions would
//! otherwise be linked before libm's own.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let source = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../lapidary-runtime/src");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    if std::env::var_os("CARGO_FEATURE_LLVM19").is_none() && std::env::var_os("CARGO_FEATURE_LLVM22").is_none() {
        return;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    object(&source, &out.join("runtime.o"), &[]);
    object(&source, &out.join("runtime_tsan.o"), &["--cfg", "lapidary_tsan"]);
}

fn object(source: &Path, out: &Path, more: &[&str]) {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition", "2024", "--crate-name", "lapidary_runtime", "--crate-type", "staticlib"]);
    rustc.args(["--cfg", "lapidary_staticlib", "-C", "panic=abort", "-C", "opt-level=3"]);
    rustc.args(["-C", "relocation-model=pic", "-C", "codegen-units=1", "--emit", "obj"]).args(more);
    // Paths of this machine must not end up in emitted libraries.
    let mut remap = std::ffi::OsString::from("--remap-path-prefix=");
    remap.push(source);
    remap.push("=lapidary-runtime");
    rustc.arg(remap);
    if let Some(target) = std::env::var_os("TARGET") {
        rustc.arg("--target").arg(target);
    }
    let status = rustc.arg("-o").arg(out).arg(source.join("lib.rs")).status();
    match status {
        Ok(s) if s.success() => {}
        other => {
            println!("cargo::error=compiling the runtime failed: {other:?}");
            std::process::exit(1);
        }
    }
}
