//! Tests of the command line: what it prints (`tests/cli/cmd`), what each flag does, and what it refuses.

mod bad_input;
mod compress;
mod flags;
mod real_models;
mod sensitivity;

/// Commands and what they print, in `tests/cli/cmd/*.trycmd`. `TRYCMD=overwrite` writes what is printed into the files.
#[test]
fn prints_what_is_written_down() {
    let cases = trycmd::TestCases::new();
    cases.env("NO_COLOR", "1").env("COLUMNS", "100").case("tests/cli/cmd/*.trycmd");
    if cfg!(not(feature = "llvm")) {
        cases.skip("tests/cli/cmd/native*.trycmd");
    }
}

/// The flags of every command, as its help lists them, stand in some test below `tests/cli`.
#[test]
fn every_flag_is_tested() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut tests = String::new();
    for folder in [folder.clone(), folder.join("cmd")] {
        for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|e| e.path().is_file() && e.file_name() != "help.trycmd") {
            tests.push_str(&std::fs::read_to_string(entry.path()).unwrap());
        }
    }
    let help = |arguments: &[&str]| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_lapidary")).args(arguments).arg("--help").output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let mut commands = vec![];
    for line in help(&[]).lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty()) {
        commands.extend(line.split_whitespace().next().filter(|_| line.starts_with("  ") && !line.starts_with("   ")).map(str::to_string));
    }
    assert!(commands.len() > 8, "{commands:?}");
    let mut missing = vec![];
    for command in commands.iter().filter(|c| *c != "help") {
        assert!(tests.contains(&format!("\"{command}\"")) || tests.contains(&format!("lapidary {command}")), "no test runs '{command}'");
        for word in help(&[command]).split(|c: char| c.is_whitespace() || c == ',').filter(|w| w.starts_with("--") && *w != "--help") {
            let flag = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            // In Rust a flag is a string of its own; in a command line a word.
            if !tests.contains(&format!("\"{flag}\"")) && !tests.contains(&format!(" {flag} ")) && !missing.contains(&format!("{command} {flag}")) {
                missing.push(format!("{command} {flag}"));
            }
        }
    }
    assert!(missing.is_empty(), "no test mentions: {}", missing.join(", "));
}
