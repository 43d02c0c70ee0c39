use crate::emit::body;
use crate::emit::ir::Ir;
use crate::emit::library::{self, Label, Version};
use crate::emit::machine::{self, Form};
use crate::emit::tile::{self, Family};
use crate::link::{Parts, io};
use crate::options::{CompileOptions, Emit, KernelReport, Report, WeightsMode};
use crate::weights::{PartsWriter, Weights};
use inkwell::context::Context;
use lapidary_ir::{Diagnostic, Name, Result};
use lapidary_kernel::Plan;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Weights up to this size are embedded unless asked otherwise.
const EMBED_LIMIT: u64 = 64 << 20;
/// Bodies of one module. Fixed, so that the number of threads changes no byte.
const MODULE_BODIES: usize = 4;

/// Turns a plan into `out`: `libNAME.so` or `libNAME.a` with `NAME.h`, `NAME.pc` and, for large weights, `libNAME.weights` beside it; or
/// the text or object that `options.emit` names. Nothing is left behind when it fails.
pub fn compile(plan: &Plan, options: &CompileOptions, out: &Path) -> Result<Report> {
    if options.cpus.is_empty() {
        return Err(Diagnostic::error("cpu", "no CPU to generate code for").into());
    }
    let file_name = out.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let stem = file_name.split('.').next().unwrap_or_default();
    let short = stem.strip_prefix("lib").filter(|s| !s.is_empty()).unwrap_or(stem);
    let name = identifier(short);
    let archive = out.extension().is_some_and(|e| e == "a");
    if options.emit == Emit::Library && !archive && out.extension().is_none_or(|e| e != "so") {
        let message = format!("'{file_name}' names neither a shared library nor an archive");
        return Err(Diagnostic::error("output-name", message).help("end the output's name in .so or .a").into());
    }
    let weights = Weights::of(plan)?;
    let side = match options.weights {
        WeightsMode::Embed => false,
        WeightsMode::Side => weights.bytes > 0,
        WeightsMode::Auto => weights.bytes > EMBED_LIMIT,
    };
    let side_name = format!("lib{short}.weights");
    let form = match options.emit {
        Emit::Llvm => Form::Llvm,
        Emit::Asm => Form::Asm,
        Emit::Library | Emit::Object => Form::Object,
    };

    let symbols = plan.symbols();
    let mut versions = vec![];
    for cpu in &options.cpus {
        let (bodies, steps) = body::bodies(plan, *cpu)?;
        versions.push(Version { cpu: *cpu, bodies, steps });
    }
    let mut modules = generate(&versions, &symbols, options, form)?;
    // The id of the weights that belong to this code: of both.
    let mut id = xxhash_rust::xxh3::Xxh3::new();
    id.update(&weights.hash.to_le_bytes());
    modules.iter().for_each(|m| id.update(m));
    let label = Label { name: &name, weights: &weights, weights_file: side.then_some(side_name.as_str()), build_id: id.digest(), shared: !archive };
    let context = Context::create();
    let ir = Ir::new(&context, "library");
    library::emit(&ir, plan, &versions, &label, options)?;
    modules.insert(0, machine::translate(&ir, &machine::machine()?, options.sanitize_thread, form)?);

    let mut report = Report { weights_bytes: weights.bytes, ..Report::default() };
    for (step, kernel) in versions[0].steps.iter().zip(&plan.program.kernels) {
        let b = &versions[0].bodies[step.body];
        report.kernels.push(KernelReport {
            name: kernel.name.to_string(),
            nodes: kernel.origin.iter().map(|n| n.to_string()).collect(),
            template: b.code.template(&b.kernel).into(),
            chunks: b.code.chunks().to_string(),
            tile: b.code.tile(),
            body: step.body,
        });
    }

    let target = match out.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let folder = tempfile::Builder::new().prefix(".lapidary-").tempdir_in(&target).map_err(|e| io("cannot write here", &target, e))?;
    let temporary = |e| io("cannot write a temporary file", folder.path(), e);
    let mut parts = Parts {
        folder: folder.path(),
        objects: vec![],
        name: &name,
        sanitize: options.sanitize_thread,
        symbols: options.symbols,
        profile: options.profile,
    };
    if form == Form::Object {
        for (i, m) in modules.iter().enumerate() {
            parts.objects.push(format!("{i}.o"));
            std::fs::write(folder.path().join(format!("{i}.o")), m).map_err(temporary)?;
        }
    }
    let mut done = vec![];
    match options.emit {
        Emit::Llvm | Emit::Asm => {
            let file = folder.path().join("text");
            std::fs::write(&file, modules.concat()).map_err(temporary)?;
            done.push((file, out.to_path_buf()));
        }
        Emit::Object => done.push((parts.relocatable()?, out.to_path_buf())),
        Emit::Library => {
            if side {
                let file = folder.path().join("side");
                let mut w = PartsWriter::new(std::fs::File::create(&file).map_err(temporary)?);
                weights.write_side(&mut w, label.build_id).and_then(|_| w.flush()).map_err(temporary)?;
                done.push((file, target.join(&side_name)));
            } else if weights.bytes > 0 {
                weights.write_assembly(folder.path()).map_err(temporary)?;
                parts.assemble("weights.s", "weights.o")?;
                parts.objects.push("weights.o".into());
            }
            let library = if archive { parts.archive()? } else { parts.shared()? };
            let text = |file: &str, content: String| {
                let path = folder.path().join(file);
                std::fs::write(&path, content).map_err(temporary).map(|_| path)
            };
            let header = lapidary_runtime::HEADER.replace("@NAME@", &name).replace("@GUARD@", &name.to_uppercase());
            done.push((text("header", header)?, target.join(format!("{short}.h"))));
            done.push((text("pc", pkg_config(short, archive))?, target.join(format!("{short}.pc"))));
            // The library last: whoever sees it finds what it needs.
            done.push((library, out.to_path_buf()));
        }
    }
    for (from, to) in done {
        let sync = std::fs::File::open(&from).and_then(|f| f.sync_all());
        sync.and_then(|_| std::fs::rename(&from, &to)).map_err(|e| io("cannot write", &to, e))?;
        report.files.push(to);
    }
    Ok(report)
}

/// Translates all bodies, a few to a module, on several threads; the modules come in order.
fn generate(versions: &[Version], symbols: &[Name], options: &CompileOptions, form: Form) -> Result<Vec<Vec<u8>>> {
    let mut units = vec![];
    for version in versions {
        for start in (0..version.bodies.len()).step_by(MODULE_BODIES) {
            units.push(Unit::Bodies(version, start..version.bodies.len().min(start + MODULE_BODIES)));
        }
        let families = version.bodies.iter().filter_map(|b| if let body::Code::Contract(c) = &b.code { Some(c.family) } else { None });
        units.extend(families.collect::<BTreeSet<_>>().into_iter().map(Unit::Tiles));
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(vec![None; units.len()]));
    std::thread::scope(|s| {
        for _ in 0..options.jobs.clamp(1, units.len().max(1)) {
            s.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(unit) = units.get(i) else { break };
                    let made = module(unit, symbols, options.sanitize_thread, form);
                    if let Ok(mut all) = results.lock() {
                        all[i] = Some(made);
                    }
                }
            });
        }
    });
    let lost = || Err(Diagnostic::error("llvm", "a thread that generates code ended early").into());
    results.into_inner().unwrap_or_default().into_iter().map(|r| r.unwrap_or_else(lost)).collect()
}

/// What one module holds.
enum Unit<'a> {
    Bodies(&'a Version, std::ops::Range<usize>),
    Tiles(Family),
}

fn module(unit: &Unit, symbols: &[Name], sanitize: bool, form: Form) -> Result<Vec<u8>> {
    let context = Context::create();
    let ir = Ir::new(&context, "kernels");
    match unit {
        Unit::Bodies(version, range) => {
            for i in range.clone() {
                body::emit(&ir, &version.bodies[i], &version.body_name(i), version.cpu, symbols, sanitize)?;
            }
        }
        Unit::Tiles(family) => tile::emit(&ir, *family, sanitize),
    }
    machine::translate(&ir, &machine::machine()?, sanitize, form)
}

/// The name with everything that C does not allow replaced by `_`.
fn identifier(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    out
}

fn pkg_config(name: &str, archive: bool) -> String {
    let private = if archive { "Libs.private: -lm -lpthread\n" } else { "" };
    format!(
        "prefix=${{pcfiledir}}\n\nName: {name}\nDescription: the model {name}, compiled by lapidary\nVersion: 1\n\
         Cflags: -I${{prefix}}\nLibs: -L${{prefix}} -l{name}\n{private}"
    )
}
