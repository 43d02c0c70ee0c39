//! `cargo xtask demo`: from a fresh machine to a compiled model in one command.

use crate::setup;
use crate::shell::{self, Outcome, cargo, command, finding, heading, known_arguments, root, scratch, target_dir};
use std::path::Path;

/// The model that the demo compiles, and what its outputs may differ by, as a share of the largest.
const MODEL: &str = "examples/models/digits_cnn";
const MAX_REL: &str = "1e-4";

pub fn run(arguments: &[String]) -> Outcome {
    known_arguments(arguments, &[], &[])?;
    setup::ensure(false)?;

    heading("build the compiler (a few minutes the first time)");
    shell::run(cargo().args(["build", "--release", "--bin", "lapidary"]))?;
    let lapidary = target_dir()?.join("release").join("lapidary");
    let work = scratch("demo")?;
    let library = work.join("libdigits_cnn.so");
    let model = Path::new(MODEL).join("model.onnx");

    heading("what the model is");
    shell::run(command(&lapidary).arg("inspect").arg(&model))?;

    heading("compile it: the ledger says what each pass did");
    shell::run(command(&lapidary).arg("compile").arg(&model).arg("-o").arg(&library))?;
    for name in ["libdigits_cnn.so", "digits_cnn.h", "digits_cnn.pc"] {
        let Ok(meta) = std::fs::metadata(work.join(name)) else {
            return Err(finding(format!("the compiler wrote no '{name}'")));
        };
        println!("  {name:<20} {:>8} bytes", meta.len());
    }

    heading("run the library on real digits and compare with the committed reference");
    for case in ["a", "b"] {
        let arrays = root().join(MODEL).join(format!("reference_{case}.npz"));
        let mut run = command(&lapidary);
        run.arg("run").arg(&library).arg("--inputs").arg(&arrays).arg("--expect").arg(&arrays).args(["--max-rel", MAX_REL]);
        shell::run(&mut run)?;
    }

    heading("done");
    println!("A handwritten-digit classifier is now a native library that needs nothing but libc, libm and pthreads:\n");
    println!("  {}", library.display());
    println!("\nIts outputs equal ONNX Runtime's within {MAX_REL} of the largest, for two batch sizes. Next:\n");
    println!("  {} --help", lapidary.display());
    println!("  examples/c/      a C program that links such a library");
    println!("  cargo xtask test everything that CI checks");
    Ok(())
}
