//! The steps of `cargo xtask test` that use the built compiler: examples, native test programs, sanitizers.
//!
//! They use the binary of the dev profile, which the tests before them have built; emitted code is the same for every profile.

use crate::shell::{self, Failure, Outcome, cargo, command, finding, impossible, on_path, root, scratch, succeeds, target_dir};
use std::path::{Path, PathBuf};

const MODELS: [&str; 2] = ["digits_cnn", "char_gpt"];
const MAX_REL: &str = "1e-4";

/// The compiler's path, built if need be.
fn lapidary() -> Outcome<PathBuf> {
    shell::run(cargo().args(["build", "--quiet", "--locked", "--bin", "lapidary"]))?;
    Ok(target_dir()?.join("debug").join("lapidary"))
}

fn model(name: &str) -> PathBuf {
    Path::new("examples/models").join(name).join("model.onnx")
}

fn reference(name: &str, case: &str) -> PathBuf {
    Path::new("examples/models").join(name).join(format!("reference_{case}.npz"))
}

/// `lapidary compile MODEL -o LIBRARY EXTRA…`
fn compile_to(lapidary: &Path, name: &str, library: &Path, extra: &[&str]) -> Outcome {
    shell::run(command(lapidary).args(["compile", "-q"]).arg(model(name)).arg("-o").arg(library).args(extra))
}

/// Each example model at -O0 and -O3, for both code versions, at one and two threads, against both committed references.
pub fn compile() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("compile")?);
    let mut runs = 0;
    for name in MODELS {
        for (level, cpu) in [("-O0", "auto"), ("-O3", "auto"), ("-O3", "x86-64-v3")] {
            let library = work.join(format!("lib{name}{level}-{cpu}.so"));
            compile_to(&lapidary, name, &library, &[level, "--cpu", cpu])?;
            for (case, threads) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")] {
                let arrays = reference(name, case);
                let mut run = command(&lapidary);
                run.arg("run").arg(&library).args(["--threads", threads]);
                shell::run(run.arg("--inputs").arg(&arrays).arg("--expect").arg(&arrays).args(["--max-rel", MAX_REL]))?;
                runs += 1;
            }
        }
    }
    Ok(Some(format!("{runs} runs within {MAX_REL} of the largest")))
}

/// `opt` and `compile` twice, with one and two jobs: every file that they write must be the same, byte for byte.
pub fn same_bytes() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("same-bytes")?);
    for jobs in ["1", "2"] {
        let folder = work.join(jobs);
        std::fs::create_dir_all(&folder).map_err(|e| impossible(format!("'{}': {e}", folder.display())))?;
        for name in MODELS {
            shell::run(
                command(&lapidary).args(["opt", "-q", "-O3", "--jobs", jobs]).arg(model(name)).arg("-o").arg(folder.join(format!("{name}.onnx"))),
            )?;
            for extension in ["so", "a"] {
                compile_to(&lapidary, name, &folder.join(format!("lib{name}.{extension}")), &["--jobs", jobs])?;
            }
        }
    }
    let mut files = 0;
    for name in MODELS {
        for file in [format!("{name}.onnx"), format!("lib{name}.so"), format!("lib{name}.a"), format!("{name}.h")] {
            let (one, two) = (read(&work.join("1").join(&file))?, read(&work.join("2").join(&file))?);
            if one != two {
                return Err(finding(format!("'{file}' differs between --jobs 1 and --jobs 2, see {}", work.display())));
            }
            files += 1;
        }
    }
    Ok(Some(format!("{files} files equal")))
}

/// `make` in examples/c.
pub fn c_make() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("c")?);
    let mut make = command("make");
    make.args(["-C", "examples/c"]).arg(variable("LAPIDARY", &lapidary)).arg(variable("BUILD", &work)).arg("run");
    shell::run(&mut make).map(|()| None)
}

/// CMake in examples/c, which finds the library through its pkg-config file.
pub fn c_cmake() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("cmake")?);
    compile_to(&lapidary, "digits_cnn", &work.join("libdigits_cnn.so"), &[])?;
    let build = work.join("build");
    shell::run(command("cmake").env("PKG_CONFIG_PATH", &work).args(["-S", "examples/c", "-B"]).arg(&build))?;
    shell::run(command("cmake").arg("--build").arg(&build))?;
    shell::run(&mut command(build.join("digits"))).map(|()| None)
}

/// Two static libraries linked into one program; each exports one symbol, so nothing collides.
pub fn archives() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("archives")?);
    for name in MODELS {
        compile_to(&lapidary, name, &work.join(format!("lib{name}.a")), &[])?;
    }
    let program = work.join("two_archives");
    let mut cc = command("cc");
    cc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror"]).arg(include(&work)).args(two_archive_definitions(MODELS));
    cc.arg("tests/native/two_archives.c").arg("-o").arg(&program);
    cc.args(MODELS.map(|name| work.join(format!("lib{name}.a")))).args(["-lm", "-lpthread"]);
    shell::run(&mut cc)?;
    shell::run(&mut command(&program)).map(|()| None)
}

/// A static library whose calls of the C library's allocators are counted.
pub fn allocations() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("allocations")?);
    for name in MODELS {
        let (library, program) = (work.join(format!("lib{name}.a")), work.join(format!("count_{name}")));
        compile_to(&lapidary, name, &library, &[])?;
        let mut cc = command("cc");
        cc.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]).arg(include(&work));
        cc.args([format!("-DHEADER=\"{name}.h\""), format!("-DAPI={name}_v1")]);
        cc.arg("-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=aligned_alloc,--wrap=mmap");
        cc.arg("tests/native/count_allocations.c").arg("-o").arg(&program).arg(&library).args(["-lm", "-lpthread"]);
        shell::run(&mut cc)?;
        shell::run(&mut command(&program))?;
    }
    Ok(None)
}

fn two_archive_definitions([a, b]: [&str; 2]) -> [String; 4] {
    [format!("-DA_HEADER=\"{a}.h\""), format!("-DA_API={a}_v1"), format!("-DB_HEADER=\"{b}.h\""), format!("-DB_API={b}_v1")]
}

/// The façade's example.
pub fn rust() -> Outcome<Option<String>> {
    shell::run(cargo().args(["run", "--quiet", "--locked", "--example", "facade"])).map(|()| None)
}

/// The int8 recipe on the example model: a smaller file whose outputs stay close to the float ones.
pub fn recipe() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("recipe")?);
    let small = work.join("digits_cnn.int8.onnx");
    shell::run(command(&lapidary).args(["opt", "--recipe", "examples/recipes/int8.toml"]).arg(model("digits_cnn")).arg("-o").arg(&small))?;
    let (before, after) = (read(&root().join(model("digits_cnn")))?.len(), read(&small)?.len());
    let share = after as f64 / before as f64;
    // The logits reach about 20; int8 moves them by a few hundredths of that.
    let arrays = reference("digits_cnn", "a");
    shell::run(command(&lapidary).arg("run").arg(&small).arg("--inputs").arg(&arrays).arg("--expect").arg(&arrays).args(["--max-rel", "0.1"]))?;
    let remark = format!("{before} → {after} bytes, {:.0} %", share * 100.0);
    if share > 0.5 { Err(finding(format!("the int8 model is too large: {remark}"))) } else { Ok(Some(remark)) }
}

/// Several contexts of one library at once, program and library both instrumented.
pub fn tsan() -> Outcome<Option<String>> {
    let work = scratch("tsan")?;
    let Some(compiler) = ["cc", "clang"].into_iter().find(|c| sanitizes_threads(c, &work)) else {
        return Ok(Some("skipped: no compiler here links -fsanitize=thread".into()));
    };
    let lapidary = lapidary()?;
    for name in MODELS {
        let library = work.join(format!("lib{name}.so"));
        compile_to(&lapidary, name, &library, &["--sanitize", "thread"])?;
        let program = contexts_program(compiler, &work, name, &["-fsanitize=thread"])?;
        // No address space randomization: older ThreadSanitizers do not know the layouts of newer kernels.
        let mut run = if on_path("setarch") && succeeds(command("setarch").args(["-R", "true"])) {
            let mut run = command("setarch");
            run.arg("-R").arg(&program);
            run
        } else {
            command(&program)
        };
        shell::run(run.env("TSAN_OPTIONS", "halt_on_error=1 exitcode=66").arg(&library))?;
    }
    Ok(None)
}

/// The same program under memcheck, with code that valgrind's emulated CPU can run.
pub fn memcheck() -> Outcome<Option<String>> {
    let (lapidary, work) = (lapidary()?, scratch("memcheck")?);
    let library = work.join("libdigits_cnn.so");
    compile_to(&lapidary, "digits_cnn", &library, &["--cpu", "x86-64-v3"])?;
    let program = contexts_program("cc", &work, "digits_cnn", &[])?;
    let mut valgrind = command("valgrind");
    valgrind.args(["-q", "--error-exitcode=1", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]);
    shell::run(valgrind.arg(&program).arg(&library).args(["3", "2"])).map(|()| None)
}

fn contexts_program(compiler: &str, work: &Path, name: &str, extra: &[&str]) -> Outcome<PathBuf> {
    let program = work.join(format!("contexts_{name}"));
    let mut cc = command(compiler);
    cc.args(["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]).args(extra).arg(include(work)).arg(format!("-DHEADER=\"{name}.h\""));
    shell::run(cc.arg("tests/native/tsan_contexts.c").arg("-o").arg(&program).args(["-ldl", "-lpthread", "-lm"]))?;
    Ok(program)
}

/// Whether this compiler builds a program with ThreadSanitizer that starts.
fn sanitizes_threads(compiler: &str, work: &Path) -> bool {
    let (source, program) = (work.join("probe.c"), work.join("probe"));
    std::fs::write(&source, "int main(void) { return 0; }\n").is_ok()
        && on_path(compiler)
        && succeeds(command(compiler).arg("-fsanitize=thread").arg(&source).arg("-o").arg(&program))
}

fn include(folder: &Path) -> String {
    format!("-I{}", folder.display())
}

fn variable(name: &str, value: &Path) -> String {
    format!("{name}={}", value.display())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| finding(format!("cannot read '{}': {e}", path.display())))
}
