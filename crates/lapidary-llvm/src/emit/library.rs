//! The main module of a library: the descriptor that the runtime reads, `sizes`, one `run` per version, and the exported functions.
//! Layouts are those of `lapidary_runtime::abi`.

use super::body::{Body, Code, Step, kernel_type};
use super::ir::{IntCmp, Ir, V};
use super::machine;
use super::sizes::emit_sizes;
use crate::CompileOptions;
use crate::weights::Weights;
use indexmap::IndexMap;
use lapidary_ir::{Diagnostic, Dim, Name, Result};
use lapidary_kernel::{BufferKind, Cpu, Plan, Port, Strips};
use lapidary_runtime::abi;

/// One code version: bodies and steps.
pub struct Version {
    pub cpu: Cpu,
    pub bodies: Vec<Body>,
    pub steps: Vec<Step>,
}

impl Version {
    pub fn body_name(&self, body: usize) -> String {
        format!("lap_body_{}_{body}", machine::short_name(self.cpu))
    }
    /// Scratch that any kernel, or run of kernels, needs.
    fn scratch_bytes(&self, plan: &Plan) -> Dim {
        let most = self.bodies.iter().fold(Dim::from(0), |most, b| most.maximum(b.code.scratch_bytes()));
        plan.strips.iter().fold(most, |most, s| {
            let inner = self.steps[s.range()].iter().map(|step| self.bodies[step.body].code.scratch_bytes());
            most.maximum(&(&inner.fold(Dim::from(0), |most, b| most.maximum(b)) + &s.private_bytes))
        })
    }
}

/// What the descriptor says besides the plan.
pub struct Label<'a> {
    /// The model's name as a C identifier.
    pub name: &'a str,
    pub weights: &'a Weights,
    /// File name of the side file, where weights are not embedded.
    pub weights_file: Option<&'a str>,
    pub build_id: u64,
    /// Export `lapidary_v1` too.
    pub shared: bool,
}

/// The name under which embedded weights are linked.
pub const WEIGHTS_SYMBOL: &str = "lap_weights";

struct Describer<'i, 'c> {
    ir: &'i Ir<'c>,
    symbols: &'i [Name],
    /// Sizes that the descriptor names, with their slots behind the symbols.
    slots: IndexMap<Dim, usize>,
    strings: IndexMap<String, V>,
}

impl Describer<'_, '_> {
    /// Where the value table holds a size; `None` for a constant.
    fn slot(&mut self, d: &Dim) -> Option<usize> {
        if d.is_const() {
            return None;
        }
        Some(match d.as_symbol().and_then(|s| self.symbols.iter().position(|x| x == s)) {
            Some(slot) => slot,
            None => {
                let next = self.symbols.len() + self.slots.len();
                *self.slots.entry(d.clone()).or_insert(next)
            }
        })
    }
    fn extent(&mut self, d: &Dim) -> V {
        let slot = self.slot(d);
        self.ir.c64(slot.map_or(d.as_const().unwrap_or(0), abi::slot))
    }
    fn string(&mut self, s: &str) -> V {
        if let Some(v) = self.strings.get(s) {
            return *v;
        }
        let v = self.ir.const_string(&format!("lap_text_{}", self.strings.len()), s);
        self.strings.insert(s.to_string(), v);
        v
    }
    fn table(&self, name: &str, words: &[V]) -> V {
        if words.is_empty() { self.ir.zero(self.ir.ptr()) } else { self.ir.constant_global(name, self.ir.const_words(words), 8) }
    }
    fn ports(&mut self, ports: &[Port], label: &str) -> V {
        let mut words = vec![];
        for (i, p) in ports.iter().enumerate() {
            let dims: Vec<V> = p.dims.iter().map(|d| self.extent(d)).collect();
            let shown: Vec<V> = p.dims.iter().map(|d| self.ir.c64(d.as_const().unwrap_or(-1))).collect();
            let symbols: Vec<V> = p.dims.iter().map(|d| d.as_symbol().map_or(self.ir.zero(self.ir.ptr()), |s| self.string(s))).collect();
            words.extend([
                self.string(&p.name),
                self.ir.c64(p.dtype.onnx_code() as i64),
                self.ir.c64(p.dims.len() as i64),
                self.table(&format!("lap_{label}_{i}_dims"), &dims),
                self.table(&format!("lap_{label}_{i}_shown"), &shown),
                self.table(&format!("lap_{label}_{i}_symbols"), &symbols),
                self.ir.c64(p.buffer.map_or(-1, |b| b.0 as i64)),
            ]);
        }
        self.table(&format!("lap_{label}s"), &words)
    }
}

/// Emits everything but the bodies.
pub fn emit(ir: &Ir, plan: &Plan, versions: &[Version], label: &Label, options: &CompileOptions) -> Result<()> {
    let sanitize = options.sanitize_thread;
    let symbols = plan.symbols();
    let mut d = Describer { ir, symbols: &symbols, slots: IndexMap::new(), strings: IndexMap::new() };
    let null = ir.zero(ir.ptr());

    let ticks = options.profile.then(|| emit_profile(&mut d, plan));
    let mut version_words = vec![];
    for v in versions {
        let run = emit_run(&mut d, plan, v, ticks, sanitize);
        let scratch = v.scratch_bytes(plan);
        version_words.extend([d.string(machine::short_name(v.cpu)), ir.c64(machine::required(v.cpu) as i64), run, d.extent(&scratch), null]);
    }

    let inputs = d.ports(&plan.inputs, "input");
    let outputs = d.ports(&plan.outputs, "output");
    let mut symbol_words = vec![];
    for s in &symbols {
        let bounds = plan.bounds.iter().find(|b| b.symbol == *s).map_or((0, i64::MAX), |b| (b.low, b.high));
        symbol_words.extend([d.string(s), ir.c64(bounds.0), ir.c64(bounds.1)]);
    }
    let mut buffer_words = vec![];
    for id in plan.program.buffer_ids() {
        let at = id.0 as usize;
        let (kind, offset) = match &plan.program.buffer(id).kind {
            BufferKind::Input(_) | BufferKind::Output(_) => (abi::BUFFER_PORT, ir.c64(0)),
            BufferKind::Const(_) => (abi::BUFFER_WEIGHTS, ir.c64(label.weights.offsets.get(at).copied().flatten().unwrap_or(0) as i64)),
            BufferKind::Temp if plan.unpacked.get(at).is_some_and(|o| o.is_some()) => {
                (abi::BUFFER_UNPACKED, ir.c64(plan.unpacked[at].unwrap_or_default()))
            }
            BufferKind::Temp => (abi::BUFFER_ARENA, plan.offsets.get(at).and_then(|o| o.as_ref()).map_or(ir.c64(0), |o| d.extent(o))),
        };
        buffer_words.extend([ir.c64(kind), offset]);
    }
    let arena = d.extent(&plan.arena_bytes);

    let checks = &plan.program.checks;
    let mut check_words = vec![];
    for c in checks {
        check_words.extend([d.string(&c.message), d.extent(&c.left), d.extent(&c.right)]);
    }
    let too_large = "the sizes of the inputs are too large: a product of dims does not fit 63 bits";
    check_words.extend([d.string(too_large), ir.c64(abi::NO_VALUE), ir.c64(abi::NO_VALUE)]);
    let n_checks = checks.len() + 1;

    let n_slots = symbols.len() + d.slots.len();
    let (sizes, n_values) = match d.slots.is_empty() && checks.is_empty() {
        true => (null, n_slots),
        false => emit_sizes(ir, checks, &d.slots, &symbols, n_slots, sanitize)?,
    };

    // The least demanding version runs on every CPU that any version runs on.
    let (prepare, scratch) = match versions.last() {
        Some(v) if plan.unpacked_bytes > 0 => emit_prepare(ir, plan, v, label, sanitize)?,
        _ => (null, 0),
    };
    let weights = &label.weights;
    let embedded = label.weights_file.is_none() && weights.bytes > 0;
    let words = [
        ir.c64(abi::ABI),
        d.string(label.name),
        inputs,
        ir.c64(plan.inputs.len() as i64),
        outputs,
        ir.c64(plan.outputs.len() as i64),
        d.table("lap_symbols", &symbol_words),
        ir.c64(symbols.len() as i64),
        ir.c64(n_values as i64),
        sizes,
        d.table("lap_checks", &check_words),
        ir.c64(n_checks as i64),
        arena,
        d.table("lap_buffers", &buffer_words),
        ir.c64(plan.program.buffers.len() as i64),
        d.table("lap_versions", &version_words),
        ir.c64(versions.len() as i64),
        if embedded { ir.extern_global(WEIGHTS_SYMBOL) } else { null },
        ir.c64(weights.bytes as i64),
        label.weights_file.map_or(null, |f| d.string(f)),
        ir.c64(label.build_id as i64),
        ir.c64(plan.unpacked_bytes + scratch),
        prepare,
    ];
    debug_assert_eq!(words.len() * 8, size_of::<abi::Model>());
    let model = d.table("lap_model", &words);
    emit_exports(ir, model, label);
    Ok(())
}

/// `i64 run(frame)`: every step in order, straight.
fn emit_run(d: &mut Describer, plan: &Plan, v: &Version, ticks: Option<V>, sanitize: bool) -> V {
    let ir = d.ir;
    let short = machine::short_name(v.cpu);
    let steps = v.steps.iter().zip(&plan.program.kernels).enumerate().filter(|(_, (_, k))| !plan.runs_once(k));
    let steps: Vec<(usize, &Step)> = steps.map(|(number, (s, _))| (number, s)).collect();
    // What is called, and how many chunks it has; a run of kernels is one call.
    let mut calls: Vec<(usize, V, &Dim)> = vec![];
    for (number, step) in steps {
        let name = format!("lap_step_{short}_{number}");
        match plan.strips_of(number) {
            Some(s) if s.first == number => calls.push((number, emit_strips(d, v, s, &name, sanitize), &s.count)),
            Some(_) => {}
            None => calls.push((number, emit_thunk(ir, v, step, &name, sanitize), v.bodies[step.body].code.chunks())),
        }
    }
    let run = ir.function(&format!("lap_run_{short}"), ir.function_type(ir.i64(), &[ir.ptr()]));
    ir.set_internal(run);
    machine::set_cpu(ir, run, None, sanitize);
    let frame = ir.arg(run, 0);
    ir.at_end(ir.block(run));
    let field = |i: i64| ir.load(ir.ptr(), ir.gep(ir.ptr(), frame, ir.c64(i)), 8);
    let (bufs, values, scratch) = (field(0), field(1), field(2));
    let parallel_type = ir.function_type(ir.void(), &[ir.ptr(), ir.ptr(), ir.i64()]);
    let parallel_for = ir.function("lap_rt_parallel_for", parallel_type);
    let now = || ir.intrinsic("llvm.readcyclecounter", &[], &[]);
    for (number, thunk, chunks) in calls {
        let before = ticks.map(|_| now());
        match chunks.as_const() {
            Some(0) => {}
            Some(1) => {
                ir.call(kernel_type(ir), thunk, &[bufs, values, ir.c64(0), ir.c64(1), scratch]);
            }
            _ => {
                let n = match d.slot(chunks) {
                    Some(slot) => ir.load(ir.i64(), ir.gep(ir.i64(), values, ir.c64(slot as i64)), 8),
                    None => ir.c64(chunks.as_const().unwrap_or(0)),
                };
                ir.call(parallel_type, parallel_for, &[frame, thunk, n]);
            }
        }
        if let (Some(ticks), Some(before)) = (ticks, before) {
            let place = ir.gep(ir.i64(), ticks, ir.c64(number as i64));
            let spent = ir.sub(now(), before);
            ir.store(ir.add(ir.load(ir.i64(), place, 8), spent), place, 8);
        }
    }
    ir.ret(Some(ir.c64(0)));
    run
}

/// The times of the kernels, in ticks of the CPU's counter, and `const Profile *lapidary_profile(void)`, which tells where they are. Gives the
/// times. A run of kernels counts as its first.
fn emit_profile(d: &mut Describer, plan: &Plan) -> V {
    let ir = d.ir;
    let kernels = &plan.program.kernels;
    let ticks = ir.zeroed_global("lap_ticks", 8 * kernels.len().max(1) as u64, 8);
    let mut words = vec![ir.c64(kernels.len() as i64), ticks];
    for (i, k) in kernels.iter().enumerate() {
        let run = plan.strips.iter().find(|s| s.first == i).map_or(1, |s| s.kernels);
        let mut nodes: Vec<&str> = vec![];
        kernels[i..i + run].iter().flat_map(|k| &k.origin).for_each(|n| {
            if !nodes.contains(&&**n) {
                nodes.push(n)
            }
        });
        words.extend([d.string(&k.name), d.string(&nodes.join(", "))]);
    }
    let table = d.table("lap_profile", &words);
    let f = ir.function("lapidary_profile", ir.function_type(ir.ptr(), &[]));
    ir.set_exported(f);
    ir.at_end(ir.block(f));
    ir.ret(Some(table));
    ticks
}

/// A kernel function whose chunks are strips, or the steps of a recurrence, each taken through all kernels of a run before the next.
fn emit_strips(d: &mut Describer, v: &Version, strips: &Strips, name: &str, sanitize: bool) -> V {
    let ir = d.ir;
    let f = ir.function(name, kernel_type(ir));
    ir.set_internal(f);
    machine::set_cpu(ir, f, None, sanitize);
    let (bufs, values, begin, end, scratch) = (ir.arg(f, 0), ir.arg(f, 1), ir.arg(f, 2), ir.arg(f, 3), ir.arg(f, 4));
    let entry = ir.block(f);
    ir.at_end(entry);
    let size = |d: &mut Describer, dim: &Dim| match d.slot(dim) {
        Some(slot) => ir.load(ir.i64(), ir.gep(ir.i64(), values, ir.c64(slot as i64)), 8),
        None => ir.c64(dim.as_const().unwrap_or(0)),
    };
    let own = size(d, &strips.private_bytes);
    let rest = ir.gep_bytes(scratch, own);
    let mut calls = vec![];
    for step in &v.steps[strips.range()] {
        let table = ir.alloca(ir.array(ir.ptr(), step.buffers.len().max(1) as u64), 8);
        for (i, b) in step.buffers.iter().enumerate() {
            let p = match strips.private.iter().find(|(x, ..)| x == b) {
                Some((_, _, at)) => {
                    let at = size(d, at);
                    ir.gep_bytes(scratch, at)
                }
                None => ir.load(ir.ptr(), ir.gep(ir.ptr(), bufs, ir.c64(b.0 as i64)), 8),
            };
            ir.store(p, ir.gep(ir.ptr(), table, ir.c64(i as i64)), 8);
        }
        // Contractions have several chunks a strip, which come one after the other.
        let each = match &v.bodies[step.body].code {
            Code::Contract(c) => c.chunks_in_strip(&v.bodies[step.body].kernel, strips.axes),
            Code::Nest(_) | Code::Turn(_) | Code::WindowCodes(_) => Dim::from(1),
        };
        calls.push((ir.function(&v.body_name(step.body), kernel_type(ir)), table, size(d, &each)));
    }
    let (turn, done) = (ir.block(f), ir.block(f));
    let each = size(d, &strips.each);
    let (begin, end) = (ir.mul(begin, each), ir.mul(end, each));
    ir.cond_br(ir.icmp(IntCmp::LLVMIntSLT, begin, end), turn, done);
    let before = entry;
    ir.at_end(turn);
    let strip = ir.phi(ir.i64(), &[(begin, before)]);
    let next = ir.add(strip, ir.c64(1));
    for (body, table, each) in calls {
        ir.call(kernel_type(ir), body, &[table, values, ir.mul(strip, each), ir.mul(next, each), rest]);
    }
    ir.add_incoming(strip, next, turn);
    ir.cond_br(ir.icmp(IntCmp::LLVMIntSLT, next, end), turn, done);
    ir.at_end(done);
    ir.ret(None);
    f
}

/// `void prepare(weights, unpacked)`: the steps that depend on constants alone. Gives the bytes of scratch memory that they need behind the
/// unpacked constants, too.
fn emit_prepare(ir: &Ir, plan: &Plan, v: &Version, label: &Label, sanitize: bool) -> Result<(V, i64)> {
    let f = ir.function("lap_prepare", ir.function_type(ir.void(), &[ir.ptr(), ir.ptr()]));
    ir.set_internal(f);
    machine::set_cpu(ir, f, None, sanitize);
    ir.at_end(ir.block(f));
    let once: Vec<&Step> = v.steps.iter().zip(&plan.program.kernels).filter(|(_, k)| plan.runs_once(k)).map(|(s, _)| s).collect();
    let most = once.iter().map(|s| s.buffers.len()).max().unwrap_or(0).max(1);
    let table = ir.alloca(ir.array(ir.ptr(), most as u64), 8);
    let scratch = ir.gep_bytes(ir.arg(f, 1), ir.c64(plan.unpacked_bytes));
    let mut scratch_bytes = 0;
    for step in once {
        for (i, b) in step.buffers.iter().enumerate() {
            let (base, at) = match plan.unpacked[b.0 as usize] {
                Some(at) => (ir.arg(f, 1), at),
                None => (ir.arg(f, 0), label.weights.offsets.get(b.0 as usize).copied().flatten().unwrap_or(0) as i64),
            };
            ir.store(ir.gep_bytes(base, ir.c64(at)), ir.gep(ir.ptr(), table, ir.c64(i as i64)), 8);
        }
        let code = &v.bodies[step.body].code;
        let known = code.chunks().as_const().zip(code.scratch_bytes().as_const());
        let (chunks, bytes) = known.ok_or_else(|| Diagnostic::error("plan", "a kernel of constants has a size that is not known"))?;
        scratch_bytes = bytes.max(scratch_bytes);
        let body = ir.function(&v.body_name(step.body), kernel_type(ir));
        ir.call(kernel_type(ir), body, &[table, ir.zero(ir.ptr()), ir.c64(0), ir.c64(chunks), scratch]);
    }
    ir.ret(None);
    Ok((f, scratch_bytes))
}

/// A kernel function that hands the body just the pointers that it uses.
fn emit_thunk(ir: &Ir, v: &Version, step: &Step, name: &str, sanitize: bool) -> V {
    let f = ir.function(name, kernel_type(ir));
    ir.set_internal(f);
    machine::set_cpu(ir, f, None, sanitize);
    let body = ir.function(&v.body_name(step.body), kernel_type(ir));
    ir.at_end(ir.block(f));
    let table = ir.alloca(ir.array(ir.ptr(), step.buffers.len().max(1) as u64), 8);
    for (i, b) in step.buffers.iter().enumerate() {
        let p = ir.load(ir.ptr(), ir.gep(ir.ptr(), ir.arg(f, 0), ir.c64(b.0 as i64)), 8);
        ir.store(p, ir.gep(ir.ptr(), table, ir.c64(i as i64)), 8);
    }
    ir.call(kernel_type(ir), body, &[table, ir.arg(f, 1), ir.arg(f, 2), ir.arg(f, 3), ir.arg(f, 4)]);
    ir.ret(None);
    f
}

fn emit_exports(ir: &Ir, model: V, label: &Label) {
    let (ptr, i32t) = (ir.ptr(), ir.int(32));
    let forward = |name: &str, runtime: &str, result, args: &[_]| {
        let f = ir.function(name, ir.function_type(result, args));
        ir.set_internal(f);
        ir.at_end(ir.block(f));
        let all: Vec<_> = std::iter::once(ptr).chain(args.iter().copied()).collect();
        let target = ir.function_type(result, &all);
        let values: Vec<V> = std::iter::once(model).chain((0..args.len() as u32).map(|i| ir.arg(f, i))).collect();
        let out = ir.call(target, ir.function(runtime, target), &values);
        ir.ret(Some(out));
        f
    };
    let count = forward("lap_count", "lap_rt_count", i32t, &[i32t]);
    let describe = forward("lap_describe", "lap_rt_describe", i32t, &[i32t, i32t, ptr]);
    let create = forward("lap_create", "lap_rt_create", ptr, &[ptr]);
    let run = ir.function("lap_rt_run", ir.function_type(i32t, &[ptr, ptr, ptr]));
    let memory = ir.function("lap_rt_memory", ir.function_type(ir.i64(), &[ptr]));
    let error = ir.function("lap_rt_error", ir.function_type(ptr, &[ptr]));
    let destroy = ir.function("lap_rt_destroy", ir.function_type(ir.void(), &[ptr]));
    // The first word is a u32 and its padding.
    let words = [ir.c64(abi::API_VERSION as i64), count, describe, create, run, memory, error, destroy];
    let api = ir.constant_global("lap_api", ir.const_words(&words), 8);
    let mut names = vec![format!("{}_v1", label.name)];
    if label.shared {
        names.push("lapidary_v1".into());
    }
    for name in names {
        let f = ir.function(&name, ir.function_type(ptr, &[]));
        ir.set_exported(f);
        ir.at_end(ir.block(f));
        ir.ret(Some(api));
    }
}
