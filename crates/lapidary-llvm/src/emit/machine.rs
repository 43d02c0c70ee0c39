//! LLVM's target machine, the features of code versions, and the passes that are run.

use super::ir::{Ir, V};
use inkwell::OptimizationLevel;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{CodeModel, FileType, InitializationConfig, RelocMode, Target, TargetMachine, TargetTriple};
use lapidary_ir::{Diagnostic, Diagnostics, Result};
use lapidary_kernel::Cpu;
use lapidary_runtime::cpu as features;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// What is worth its time on code that is already clean; more changes the speed of the result by less than can be measured.
const PASSES: &str =
    "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,loop-mssa(licm),simplifycfg,early-cse,instcombine<no-verify-fixpoint>)";

/// The name of a code version, as `LAPIDARY_CPU` knows it.
pub fn short_name(cpu: Cpu) -> &'static str {
    match cpu {
        Cpu::X86V3 => "v3",
        Cpu::X86V4 => "v4",
    }
}

/// The features that the runtime must find before it runs the version.
pub fn required(cpu: Cpu) -> u64 {
    match cpu {
        Cpu::X86V3 => features::X86_64_V3,
        Cpu::X86V4 => features::X86_64_V4_DOT,
    }
}

/// Makes a function one of a version's, or of the baseline.
pub fn set_cpu(ir: &Ir, f: V, cpu: Option<Cpu>, sanitize: bool) {
    ir.cpu.set(cpu);
    ir.sanitize.set(sanitize);
    ir.attribute(f, "nounwind", None);
    match cpu {
        None => {}
        Some(Cpu::X86V3) => ir.attribute(f, "target-cpu", Some("x86-64-v3")),
        Some(Cpu::X86V4) => {
            ir.attribute(f, "target-cpu", Some("x86-64-v4"));
            ir.attribute(f, "target-features", Some("+avx512vnni,+avx512bf16"));
            ir.attribute(f, "prefer-vector-width", Some("512"));
        }
    }
    if sanitize {
        ir.attribute(f, "sanitize_thread", None);
    }
}

fn failed(what: &str, why: impl std::fmt::Display) -> Diagnostics {
    Diagnostic::error("llvm", format!("{what}: {why}")).help("this is a mistake in code generation; please report it with the model").into()
}

/// What an LLVM module is turned into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Llvm,
    Asm,
    Object,
}

pub fn machine() -> Result<TargetMachine> {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| Target::initialize_x86(&InitializationConfig::default()));
    let triple = TargetTriple::create(TRIPLE);
    let target = Target::from_triple(&triple).map_err(|e| failed("this LLVM has no x86-64 code generator", e))?;
    target
        .create_target_machine(&triple, "x86-64", "", OptimizationLevel::Default, RelocMode::PIC, CodeModel::Small)
        .ok_or_else(|| failed("LLVM", "no target machine"))
}

/// Checks, optimizes and translates a module.
pub fn translate(ir: &Ir, machine: &TargetMachine, sanitize: bool, form: Form) -> Result<Vec<u8>> {
    let module = &ir.module;
    module.set_triple(&machine.get_triple());
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    if std::env::var_os("LAPIDARY_DUMP_LLVM").is_some() {
        eprintln!("{}", module.print_to_string().to_string());
    }
    module.verify().map_err(|e| failed("LLVM finds the emitted code malformed", e.to_string()))?;
    module.run_passes(PASSES, machine, PassBuilderOptions::create()).map_err(|e| failed("LLVM's passes", e.to_string()))?;
    if sanitize {
        module.run_passes("tsan-module,function(tsan)", machine, PassBuilderOptions::create()).map_err(|e| failed("LLVM's tsan", e.to_string()))?;
    }
    let kind = match form {
        Form::Llvm => return Ok(module.print_to_string().to_bytes().to_vec()),
        Form::Asm => FileType::Assembly,
        Form::Object => FileType::Object,
    };
    let buffer = machine.write_to_memory_buffer(module, kind).map_err(|e| failed("LLVM's code generator", e.to_string()))?;
    let bytes = buffer.as_slice();
    // Text comes with a final zero.
    Ok(if form == Form::Asm { bytes.strip_suffix(&[0]).unwrap_or(bytes).to_vec() } else { bytes.to_vec() })
}
