//! Tests of the command line: what it prints (`tests/cli/cmd`), what each flag does, and what it refuses.

mod bad_input;
mod flags;

/// Commands and what they print, in `tests/cli/cmd/*.trycmd`. `TRYCMD=overwrite` writes what is printed into the files.
#[test]
fn prints_what_is_written_down() {
    let cases = trycmd::TestCases::new();
    cases.env("NO_COLOR", "1").env("COLUMNS", "100").case("tests/cli/cmd/*.trycmd");
    if cfg!(not(feature = "llvm")) {
        cases.skip("tests/cli/cmd/native*.trycmd");
    }
}
