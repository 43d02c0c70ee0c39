//! The files that come out: their names, symbols, bytes, and what they say when something is wrong.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::*;
use lapidary_llvm::loaded::Library;
use lapidary_llvm::{CompileOptions, Emit, WeightsMode, compile};
use std::path::Path;
use std::process::Command;

/// `y = x + w`, and a check that N is 4.
fn program() -> Program {
    let mut b = Build::new();
    let n = Dim::symbol("N");
    let x = b.input(DType::F32, &[n.clone()]);
    let w = b.constant(Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0]));
    let same = b.constant(Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0]));
    let y = b.output(DType::F32, &[n.clone()]);
    let mut k = KernelBuilder::new("add", &[]);
    let i = k.parallel("i", n.clone());
    let (a, c, d) = (k.load(x, DType::F32, [i.into()]), k.load(w, DType::F32, [i.into()]), k.load(same, DType::F32, [i.into()]));
    let v = k.add(a, c);
    let v = k.add(v, d);
    k.store(y, [i.into()], v);
    b.kernel(k.finish(), Schedule::Map { vector: 0 });
    b.0.checks.push(Check { left: n, right: Dim::from(4), or_one: false, message: "'N' must be the length of the weights".into() });
    b.0
}

fn made(out: &Path, options: &CompileOptions) {
    compile(&Plan::unshared(program()).unwrap(), options, out).unwrap_or_else(|e| panic!("{e}"));
}

fn tool(name: &str, args: &[&str]) -> String {
    let o = Command::new(name).args(args).output().unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(o.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&o.stderr));
    String::from_utf8_lossy(&o.stdout).into_owned()
}

fn subfolder(name: &str) -> std::path::PathBuf {
    let f = folder().join(name);
    let _ = std::fs::remove_dir_all(&f);
    std::fs::create_dir_all(&f).unwrap();
    f
}

fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn a_shared_library_exports_two_functions_and_needs_libc_alone() {
    let f = subfolder("shared");
    let so = f.join("libadd-two.so");
    made(&so, &CompileOptions::default());
    assert_eq!(names(&f), ["add-two.h", "add-two.pc", "libadd-two.so"]);
    let defined = tool("nm", &["-D", "--defined-only", so.to_str().unwrap()]);
    let mut defined: Vec<&str> = defined.lines().filter_map(|l| l.split_whitespace().last()).collect();
    defined.sort();
    assert_eq!(defined, ["add_two_v1", "lapidary_v1"]);
    let undefined = tool("nm", &["-D", "--undefined-only", so.to_str().unwrap()]);
    for l in undefined.lines() {
        assert!(l.contains("@GLIBC"), "{l}");
    }
    assert!(std::fs::read_to_string(f.join("add-two.h")).unwrap().contains("add_two_v1"));
}

#[test]
fn bytes_depend_on_the_input_alone() {
    let f = subfolder("bytes");
    let mut all = vec![];
    for jobs in [1, 2, 2] {
        let so = f.join("libsame.so");
        made(&so, &CompileOptions { jobs, ..CompileOptions::default() });
        all.push(std::fs::read(&so).unwrap());
        let a = f.join("libsame.a");
        made(&a, &CompileOptions { jobs, ..CompileOptions::default() });
        all.push(std::fs::read(&a).unwrap());
    }
    assert!(all[0] == all[2] && all[2] == all[4], "shared libraries differ");
    assert!(all[1] == all[3] && all[3] == all[5], "archives differ");
    let text = String::from_utf8_lossy(&all[0]).into_owned();
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "a path of this machine is in the library");
}

#[test]
fn weights_beside_the_library() {
    let f = subfolder("side");
    let so = f.join("libside.so");
    made(&so, &CompileOptions { weights: WeightsMode::Side, ..CompileOptions::default() });
    assert_eq!(names(&f), ["libside.so", "libside.weights", "side.h", "side.pc"]);
    // Equal constants are kept once.
    assert_eq!(std::fs::metadata(f.join("libside.weights")).unwrap().len(), 4096 + 16);
    let lib = Library::open(&so).unwrap();
    let x = Tensor::from_vec(vec![10f32, 20.0, 30.0, 40.0]);
    let want = Tensor::from_vec(vec![12f32, 24.0, 36.0, 48.0]);
    assert_eq!(lib.context(1, None).unwrap().run(&[&x]).unwrap()[0], want);
    let elsewhere = f.join("elsewhere");
    std::fs::rename(f.join("libside.weights"), &elsewhere).unwrap();
    let Err(e) = lib.context(1, None) else { panic!("weights are gone") };
    assert!(e.to_string().contains("libside.weights"), "{e}");
    assert_eq!(lib.context(1, Some(&elsewhere)).unwrap().run(&[&x]).unwrap()[0], want);
}

#[test]
fn a_check_that_fails_says_why() {
    let lib = library(&program(), &CompileOptions::default());
    let e = lib.context(1, None).unwrap().run(&[&Tensor::from_vec(vec![1f32; 5])]).unwrap_err().to_string();
    assert!(e.contains("'N' must be the length of the weights") && e.contains("5 and 4"), "{e}");
}

#[test]
fn two_archives_in_one_program() {
    let f = subfolder("archive");
    made(&f.join("libone.a"), &CompileOptions::default());
    made(&f.join("libtwo.a"), &CompileOptions { weights: WeightsMode::Side, ..CompileOptions::default() });
    let globals = tool("nm", &["-g", "--defined-only", f.join("libone.a").to_str().unwrap()]);
    let globals: Vec<&str> = globals.lines().filter(|l| l.contains(' ')).filter_map(|l| l.split_whitespace().last()).collect();
    assert_eq!(globals, ["one_v1"]);
    let program = r#"
#include <stdio.h>
#include "one.h"
#include "two.h"
static float run(const lap_api *api) {
  lap_ctx *ctx = api->create(NULL);
  if (!ctx) { puts(api->error(NULL)); return -1; }
  float x[4] = {10, 20, 30, 40}; int64_t dims[1] = {4};
  lap_tensor in[1] = {{x, 1, 1, dims}}, out[1] = {{NULL, 0, 0, NULL}};
  if (api->run(ctx, in, out)) { puts(api->error(ctx)); return -1; }
  float y = ((float *)out[0].data)[3];
  api->destroy(ctx);
  return y;
}
int main(void) { printf("%g %g\n", run(one_v1()), run(two_v1())); return 0; }
"#;
    std::fs::write(f.join("main.c"), program).unwrap();
    let path = |n: &str| f.join(n).to_str().unwrap().to_string();
    tool("cc", &["-Wall", "-Werror", &path("main.c"), "-o", &path("main"), &path("libone.a"), &path("libtwo.a"), "-lm", "-lpthread"]);
    assert_eq!(tool(&path("main"), &[]), "48 48\n");
}

#[test]
fn texts_and_objects() {
    let f = subfolder("text");
    for (emit, file, inside) in [(Emit::Llvm, "a.ll", "define"), (Emit::Asm, "a.s", "lap_body_v4_0:"), (Emit::Object, "a.o", "ELF")] {
        made(&f.join(file), &CompileOptions { emit, ..CompileOptions::default() });
        let text = std::fs::read(f.join(file)).unwrap();
        assert!(String::from_utf8_lossy(&text).contains(inside), "{file}");
    }
    assert_eq!(names(&f), ["a.ll", "a.o", "a.s"]);
}

#[test]
fn nothing_is_left_behind_by_a_failure() {
    let f = subfolder("failure");
    let mut p = program();
    p.kernels[0].axes[0].extent = Dim::symbol("M");
    let e = compile(&Plan::unshared(p).unwrap(), &CompileOptions::default(), &f.join("libx.so")).unwrap_err().to_string();
    assert!(e.contains("'M'"), "{e}");
    let e = compile(&Plan::unshared(program()).unwrap(), &CompileOptions::default(), &f.join("x.txt")).unwrap_err().to_string();
    assert!(e.contains(".so or .a"), "{e}");
    assert!(names(&f).is_empty(), "{:?}", names(&f));
}

#[test]
fn instrumented_for_thread_sanitizer() {
    let f = subfolder("tsan");
    let so = f.join("libtsan.so");
    made(&so, &CompileOptions { sanitize_thread: true, ..CompileOptions::default() });
    let undefined = tool("nm", &["-D", "--undefined-only", so.to_str().unwrap()]);
    assert!(undefined.contains("__tsan_"), "{undefined}");
}
