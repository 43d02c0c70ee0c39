//! Makes libraries of the hand-written model, the way the compiler makes them: this crate as a static library, one
//! object, a link by `cc` that drops what is not used.

use lapidary_runtime::HEADER;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder that all tests of this process share; libraries are loaded from it, so it stays until the next run.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("library");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// The runtime as an archive, with or without annotations for ThreadSanitizer.
pub fn runtime(tsan: bool) -> &'static Path {
    static PLAIN: OnceLock<PathBuf> = OnceLock::new();
    static TSAN: OnceLock<PathBuf> = OnceLock::new();
    let (cell, name) = if tsan { (&TSAN, "liblapidary_runtime_tsan.a") } else { (&PLAIN, "liblapidary_runtime.a") };
    cell.get_or_init(|| {
        let out = folder().join(name);
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
        rustc.args(["--edition", "2024", "--crate-name", "lapidary_runtime", "--crate-type", "staticlib"]);
        rustc.args(["--cfg", "lapidary_staticlib", "-C", "panic=abort", "-C", "opt-level=3"]);
        rustc.args(["-C", "relocation-model=pic", "-C", "codegen-units=1", "-D", "warnings"]);
        if tsan {
            rustc.args(["--cfg", "lapidary_tsan"]);
        }
        run(rustc.arg("-o").arg(&out).arg(format!("{CRATE}/src/lib.rs")));
        out
    })
}

/// What varies between the models that tests build.
#[derive(Clone, Copy)]
pub struct Toy {
    pub name: &'static str,
    pub first_weight: i32,
    pub side: bool,
    /// Features of version v4.
    pub best: u64,
    pub tsan: Tsan,
}

/// How much ThreadSanitizer knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tsan {
    Off,
    /// Kernels are instrumented, and the runtime tells of its hand-offs.
    Annotated,
    /// Kernels are instrumented, the runtime says nothing.
    KernelsOnly,
}

impl Toy {
    pub fn named(name: &'static str) -> Self {
        Toy { name, first_weight: 1, side: false, best: 0, tsan: Tsan::Off }
    }

    /// A folder for what is built of this model: tests run side by side.
    fn folder(&self) -> PathBuf {
        let kind = match self.tsan {
            Tsan::Off => "plain",
            Tsan::Annotated => "annotated",
            Tsan::KernelsOnly => "kernels_only",
        };
        let folder = folder().join(kind);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The object and the header.
    fn object(&self, shared: bool) -> PathBuf {
        let (folder, name) = (&self.folder(), self.name);
        let header = HEADER.replace("@NAME@", name).replace("@GUARD@", &name.to_uppercase());
        std::fs::write(folder.join(format!("{name}.h")), header).unwrap();
        let object = folder.join(format!("{name}.o"));
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-g", "-Wall", "-Werror", "-fPIC", "-ffunction-sections", "-c", "-I"]).arg(folder);
        cc.args([format!("-DNAME={name}"), format!("-DHEADER=\"{name}.h\""), format!("-DW={}", self.first_weight)]);
        cc.arg(format!("-DBEST={}u", self.best));
        cc.args(self.side.then_some("-DSIDE").into_iter().chain(shared.then_some("-DSHARED")));
        cc.args((self.tsan != Tsan::Off).then_some("-fsanitize=thread"));
        run(cc.arg("-o").arg(&object).arg(format!("{CRATE}/tests/library/model.c")));
        object
    }

    /// `libNAME.so`.
    pub fn shared(&self) -> PathBuf {
        let object = self.object(true);
        let exports = self.folder().join(format!("{}.map", self.name));
        std::fs::write(&exports, format!("{{ global: lapidary_v1; {}_v1; local: *; }};", self.name)).unwrap();
        let library = self.folder().join(format!("lib{}.so", self.name));
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-Wl,--gc-sections", "-Wl,-z,defs"]);
        cc.arg(format!("-Wl,--version-script={}", exports.display())).arg("-o").arg(&library);
        run(cc.arg(object).arg(runtime(self.tsan == Tsan::Annotated)).args(["-lm", "-lpthread"]));
        library
    }

    /// `libNAME.a`: one object with one global symbol.
    pub fn archive(&self) -> PathBuf {
        let (object, name) = (self.object(false), self.name);
        let whole = self.folder().join(format!("{name}_whole.o"));
        let symbol = format!("{name}_v1");
        run(Command::new("ld").args(["-r", "--gc-sections", "-u", &symbol, "-o"]).arg(&whole).arg(object).arg(runtime(self.tsan == Tsan::Annotated)));
        run(Command::new("objcopy").args([format!("--keep-global-symbol={symbol}").as_str(), "-R", ".llvmbc", "-R", ".llvmcmd"]).arg(&whole));
        let archive = self.folder().join(format!("lib{name}.a"));
        let _ = std::fs::remove_file(&archive);
        run(Command::new("ar").arg("rcsD").arg(&archive).arg(&whole));
        archive
    }

    /// A program with two models linked into it.
    pub fn program(name: &str, one: Toy, two: Toy) -> PathBuf {
        let (a, b) = (one.archive(), two.archive());
        let program = one.folder().join(name);
        let mut cc = Command::new("cc");
        cc.args([format!("-DONE={}", one.name), format!("-DTWO={}", two.name)]);
        cc.args([format!("-DONE_H=\"{}.h\"", one.name), format!("-DTWO_H=\"{}.h\"", two.name)]);
        cc.args(["-O1", "-g", "-Wall", "-Werror", "-I"]).arg(one.folder()).arg("-o").arg(&program);
        cc.args((one.tsan != Tsan::Off).then_some("-fsanitize=thread"));
        run(cc.arg(format!("{CRATE}/tests/library/program.c")).args([a, b]).args(["-lm", "-lpthread"]));
        program
    }

    /// The content of the side file.
    pub fn side_file(&self, build_id: u64) -> Vec<u8> {
        let header = lapidary_runtime::abi::WeightsHeader::new(build_id, 16);
        let mut bytes = header.to_bytes().to_vec();
        bytes.resize(header.data_offset as usize, 0);
        for weight in [self.first_weight, 2, 3, 4] {
            bytes.extend((weight as f32).to_le_bytes());
        }
        bytes
    }
}

pub const BUILD_ID: u64 = 0x1234567890abcdef;
