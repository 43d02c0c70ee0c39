//! The repository's own rules, which no other tool checks: layering between crates and passes, where unsafe code may stand, a filetest
//! folder per pass, and no path of somebody's machine in a committed file.

use crate::shell::{Failure, Outcome, capture, command, finding, impossible, known_arguments, root};
use std::collections::BTreeSet;
use std::path::Path;

/// Who may depend on whom (design: each crate knows only those to its left). Development dependencies are free.
const LAYERS: &[(&str, &[&str])] = &[
    ("lapidary-ir", &[]),
    ("lapidary-kernel", &["lapidary-ir"]),
    ("lapidary-ops", &["lapidary-ir", "lapidary-kernel"]),
    ("lapidary-rewrite", &["lapidary-ir", "lapidary-kernel", "lapidary-ops"]),
    ("lapidary-passes", &["lapidary-ir", "lapidary-kernel", "lapidary-ops", "lapidary-rewrite"]),
    ("lapidary-onnx", &["lapidary-ir", "lapidary-kernel", "lapidary-ops"]),
    ("lapidary-lower", &["lapidary-ir", "lapidary-kernel", "lapidary-ops"]),
    ("lapidary-llvm", &["lapidary-ir", "lapidary-kernel", "lapidary-runtime"]),
    ("lapidary-runtime", &[]),
    ("xtask", &[]),
];

/// Crates whose work needs unsafe code; elsewhere it stands in modules of these names alone.
const UNSAFE_CRATES: [&str; 3] = ["crates/lapidary-llvm/", "crates/lapidary-runtime/", "tests/callers/"];
const UNSAFE_MODULES: [&str; 2] = ["mapping.rs", "loaded.rs"];

/// Beginnings of paths that exist on one machine only. Split, so that this file does not match itself.
const MACHINE_PATHS: [&str; 5] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("C:\\Us", "ers\\")];

/// Past this a file holds two ideas (style); reported, not refused.
const LONG_FILE_LINES: usize = 600;

pub fn run(arguments: &[String]) -> Outcome {
    known_arguments(arguments, &[], &[])?;
    println!("{}", check()?);
    Ok(())
}

/// Checks every rule and reports all breaches at once.
pub fn check() -> Result<String, Failure> {
    let files = committed_files()?;
    let mut breaches = Vec::new();
    let mut long = 0;
    // `common` is no pass: it holds what passes share.
    let passes: BTreeSet<&str> = files.iter().filter_map(|f| pass_of(f)).filter(|p| *p != "common").collect();
    for file in &files {
        let Ok(bytes) = std::fs::read(root().join(file)) else { continue };
        for path in MACHINE_PATHS {
            if contains(&bytes, path.as_bytes()) {
                breaches.push(format!("{file}: names a path of one machine ('{path}…')"));
            }
        }
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        if file.ends_with(".rs") {
            check_unsafe(file, text, &mut breaches);
            check_siblings(file, text, &passes, &mut breaches);
            if text.lines().count() > LONG_FILE_LINES && !file.contains("generated") {
                long += 1;
                println!("note: {file} has {} lines", text.lines().count());
            }
        }
        if file.ends_with("Cargo.toml") {
            check_layers(file, text, &mut breaches);
        }
    }
    for pass in &passes {
        let (folder, name) = (format!("tests/filetests/{pass}/"), pass.replace('_', "-"));
        if !files.iter().any(|f| f.ends_with(".lap") && (f.starts_with(&folder) || runs_pass(f, &name))) {
            breaches.push(format!("passes/{pass}: no filetest in {folder} nor one whose `// passes:` line names it"));
        }
    }
    for breach in &breaches {
        println!("{breach}");
    }
    if breaches.is_empty() {
        Ok(format!("{} files, {} passes, {long} files over {LONG_FILE_LINES} lines", files.len(), passes.len()))
    } else {
        Err(finding(format!("{} breaches of the repository's rules", breaches.len())))
    }
}

/// Tracked files and new ones that git does not ignore, sorted.
pub fn committed_files() -> Outcome<Vec<String>> {
    let listed = capture(command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))
        .map_err(|f| impossible(format!("the rules are checked on what git tracks: {}", f.message)))?;
    let files: BTreeSet<String> = listed.lines().filter(|f| root().join(f).is_file()).map(str::to_string).collect();
    Ok(files.into_iter().collect())
}

/// The pass that a file of `passes/` belongs to: the name of its folder. A folder without a `mod.rs` is no pass.
fn pass_of(file: &str) -> Option<&str> {
    let (pass, rest) = file.strip_prefix("passes/")?.split_once('/')?;
    (rest == "mod.rs").then_some(pass)
}

/// `unsafe` outside its crates and modules. Attributes (`unsafe_code`) and comments do not count.
fn check_unsafe(file: &str, text: &str, breaches: &mut Vec<String>) {
    let name = Path::new(file).file_name().and_then(|n| n.to_str()).unwrap_or(file);
    if UNSAFE_CRATES.iter().any(|c| file.starts_with(c)) || UNSAFE_MODULES.contains(&name) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        if [concat!("uns", "afe {"), concat!("uns", "afe fn"), concat!("uns", "afe impl"), concat!("uns", "afe extern")]
            .iter()
            .any(|word| code.contains(word))
        {
            breaches
                .push(format!("{file}:{}: unsafe code outside lapidary-llvm, lapidary-runtime, tests/callers, mapping.rs and loaded.rs", number + 1));
        }
    }
    let root_of_crate = file.ends_with("src/lib.rs")
        || matches!(file, "passes/lib.rs" | "crates/lapidary/lib.rs" | "crates/lapidary/main.rs" | "crates/xtask/src/main.rs");
    if root_of_crate && !text.contains("#![forbid(unsafe_code)]") && !text.contains("#![deny(unsafe_code)]") {
        breaches.push(format!("{file}: starts without #![forbid(unsafe_code)] (or deny, where a mapping module needs it)"));
    }
}

/// Whether a filetest's first line runs the pass, alone or with those that it works together with.
fn runs_pass(file: &str, name: &str) -> bool {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    let header = text.lines().next().unwrap_or("").strip_prefix("// passes:").unwrap_or("");
    header.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == name)
}

/// A pass that names another pass's module. What two passes share belongs to `lapidary-rewrite` or a module that is no pass.
fn check_siblings(file: &str, text: &str, passes: &BTreeSet<&str>, breaches: &mut Vec<String>) {
    let Some((own, _)) = file.strip_prefix("passes/").and_then(|rest| rest.split_once('/')) else { return };
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        for other in passes.iter().filter(|pass| **pass != own) {
            let named = ["crate::", "super::super::"].iter().any(|prefix| {
                code.match_indices(&format!("{prefix}{other}"))
                    .any(|(at, found)| !code[at + found.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            if named {
                breaches.push(format!("{file}:{}: pass '{own}' uses its sibling '{other}'", number + 1));
            }
        }
    }
}

/// The `[dependencies]` of a crate against the layers.
fn check_layers(file: &str, text: &str, breaches: &mut Vec<String>) {
    let name = text.lines().find_map(|line| line.strip_prefix("name = ")).map(|n| n.trim().trim_matches('"'));
    let Some((name, allowed)) = name.and_then(|name| LAYERS.iter().find(|(layer, _)| *layer == name)) else { return };
    let mut section = "";
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[dependencies]" || section == "[build-dependencies]" {
            let dependency = line.split(['.', '=', ' ']).next().unwrap_or("");
            if dependency.starts_with("lapidary") && !allowed.contains(&dependency) {
                breaches.push(format!(
                    "{file}: '{name}' may not depend on '{dependency}' (it knows {})",
                    if allowed.is_empty() { "no other crate".into() } else { allowed.join(", ") }
                ));
            }
            if *name == "xtask" && !dependency.is_empty() && !dependency.starts_with('#') {
                breaches.push(format!("{file}: xtask has no dependencies, so that it builds first"));
            }
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches_of(check: impl FnOnce(&mut Vec<String>)) -> Vec<String> {
        let mut breaches = Vec::new();
        check(&mut breaches);
        breaches
    }

    #[test]
    fn a_pass_may_use_itself_but_not_its_sibling() {
        let passes = BTreeSet::from(["cse", "dce"]);
        assert_eq!(breaches_of(|b| check_siblings("passes/cse/mod.rs", "use crate::cse::Key;\n// like crate::dce\n", &passes, b)).len(), 0);
        assert_eq!(breaches_of(|b| check_siblings("passes/cse/mod.rs", "use crate::dce::sweep;", &passes, b)).len(), 1);
        assert_eq!(breaches_of(|b| check_siblings("passes/cse/mod.rs", "use crate::dce_helper;", &passes, b)).len(), 0);
    }

    #[test]
    fn a_layer_knows_only_what_is_below() {
        let up = "[package]\nname = \"lapidary-ir\"\n[dependencies]\nlapidary-ops.workspace = true\n";
        assert_eq!(breaches_of(|b| check_layers("x/Cargo.toml", up, b)).len(), 1);
        let tests = "[package]\nname = \"lapidary-ir\"\n[dev-dependencies]\nlapidary-ops.workspace = true\n";
        assert_eq!(breaches_of(|b| check_layers("x/Cargo.toml", tests, b)).len(), 0);
    }

    #[test]
    fn unsafe_code_is_refused_outside_its_modules() {
        let text = concat!("#![forbid(unsafe_code)]\nfn f() { uns", "afe { g() } }\n");
        assert_eq!(breaches_of(|b| check_unsafe("crates/lapidary-ir/src/lib.rs", text, b)).len(), 1);
        assert_eq!(breaches_of(|b| check_unsafe("crates/lapidary-onnx/src/mapping.rs", text, b)).len(), 0);
        assert_eq!(breaches_of(|b| check_unsafe("crates/lapidary-ir/src/lib.rs", "", b)).len(), 1);
    }

    #[test]
    fn a_pass_is_a_folder_with_a_module() {
        assert_eq!(pass_of("passes/cse/mod.rs"), Some("cse"));
        assert_eq!(pass_of("passes/lib.rs"), None);
        assert_eq!(pass_of("passes/cse/rules.rs"), None);
    }
}
