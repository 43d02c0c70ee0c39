//! What a machine needs before the workspace builds, and how it gets there.
//!
//! On Debian and Ubuntu, as root, missing packages are installed through apt-get after saying which and why. Elsewhere the exact line
//! is printed and the task ends with exit code 2. Nothing is downloaded outside the system's own package manager.

use crate::shell::{self, Outcome, command, impossible, known_arguments, on_path, succeeds};
use std::path::{Path, PathBuf};

/// The LLVM that the default feature `llvm19` links.
const LLVM: &str = "19";

/// The variable that llvm-sys reads for an LLVM outside the usual places.
const LLVM_PREFIX: &str = "LLVM_SYS_191_PREFIX";

/// One thing that must be there: the Debian package that brings it, what it is for, and how to tell.
struct Need {
    package: &'static str,
    why: &'static str,
    only_tests: bool,
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need { package: "llvm-19-dev", why: "LLVM 19's headers and shared library, for the code generator", only_tests: false, present: llvm_present },
    Need {
        package: "g++",
        why: "a C and C++ compiler: LLVM's bindings are linked with it, and so are emitted libraries",
        only_tests: false,
        present: cpp_present,
    },
    Need {
        package: "binutils",
        why: "ld and objcopy, which make one object of a static library",
        only_tests: false,
        present: || on_path("ld") && on_path("objcopy"),
    },
    Need {
        package: "pkg-config",
        why: "programs find an emitted library through its .pc file",
        only_tests: false,
        present: || on_path("pkg-config"),
    },
    Need { package: "make", why: "the C example's Makefile", only_tests: true, present: || on_path("make") },
    Need { package: "cmake", why: "the example that uses an emitted library from CMake", only_tests: true, present: || on_path("cmake") },
    Need { package: "valgrind", why: "memcheck runs over an emitted library", only_tests: true, present: || on_path("valgrind") },
];

/// `cargo xtask setup [--tests]`
pub fn run(arguments: &[String]) -> Outcome {
    known_arguments(arguments, &["--tests"], &[])?;
    ensure(arguments.iter().any(|a| a == "--tests"))?;
    println!("everything that is needed is here");
    Ok(())
}

/// Installs what is missing, or says the line that would. `tests` adds what only the tests use.
pub fn ensure(tests: bool) -> Outcome {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| (tests || !need.only_tests) && !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing on this machine:");
    for need in &missing {
        println!("  {:<12} {}", need.package, need.why);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let install = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !Path::new("/etc/debian_version").exists() || !on_path("apt-get") {
        return Err(impossible(format!(
            "this is no Debian or Ubuntu system; install what these packages bring with your package manager, then run this again: {}\n  \
             (an LLVM {LLVM} outside the usual places is found through {LLVM_PREFIX})",
            packages.join(" ")
        )));
    }
    if !is_root() {
        return Err(impossible(format!("not root; run this line, then this task again:\n  sudo apt-get update && sudo {install}")));
    }
    println!("installing through apt-get: {}", packages.join(" "));
    let mut update = command("apt-get");
    let mut apt = command("apt-get");
    for apt in [&mut update, &mut apt] {
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    }
    shell::run(update.args(["update", "-q"])).map_err(|f| impossible(f.message))?;
    shell::run(apt.args(["install", "-y", "-q", "--no-install-recommends"]).args(&packages)).map_err(|f| {
        impossible(format!(
            "{}; LLVM {LLVM} is in Debian 12 (point release 9 and later), Debian 13 and Ubuntu 24.04; older systems need LLVM's own package archive",
            f.message
        ))
    })?;
    let still: Vec<&str> = missing.iter().filter(|need| !(need.present)()).map(|need| need.package).collect();
    if still.is_empty() { Ok(()) } else { Err(impossible(format!("apt-get ended well, yet this is still missing: {}", still.join(" ")))) }
}

/// A compiler that links a C++ program: `g++` on the PATH may lack its library.
fn cpp_present() -> bool {
    on_path("cc") && on_path("g++") && succeeds(command("g++").args(["-print-file-name=libstdc++.so"]))
}

/// LLVM's headers *and* library. The program `llvm-config-19` belongs to another package and proves nothing.
fn llvm_present() -> bool {
    llvm_prefixes().iter().any(|prefix| {
        let header = ["include", "include/llvm-c-19"].iter().any(|dir| prefix.join(dir).join("llvm-c/Core.h").is_file());
        let library = ["libLLVM-19.so", "libLLVM.so.19.1", "libLLVM.so"].iter().any(|name| prefix.join("lib").join(name).is_file());
        let config = prefix.join("bin/llvm-config").is_file() || on_path("llvm-config-19");
        header && library && config
    })
}

/// Where an LLVM 19 may stand: what the environment names, what `llvm-config-19` says, and Debian's folder.
fn llvm_prefixes() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = std::env::var_os(LLVM_PREFIX).into_iter().map(PathBuf::from).collect();
    if on_path("llvm-config-19")
        && let Ok(prefix) = shell::capture(command("llvm-config-19").arg("--prefix"))
    {
        prefixes.push(PathBuf::from(prefix.trim()));
    }
    prefixes.push(PathBuf::from("/usr/lib/llvm-19"));
    prefixes
}

fn is_root() -> bool {
    shell::capture(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_says_why_and_packages_are_named_once() {
        let mut seen = std::collections::BTreeSet::new();
        for need in NEEDS {
            assert!(!need.why.is_empty() && seen.insert(need.package), "{}", need.package);
        }
    }

    #[test]
    fn the_prefix_of_the_environment_comes_first_and_debians_last() {
        assert_eq!(llvm_prefixes().last(), Some(&PathBuf::from("/usr/lib/llvm-19")));
    }
}
