//! Kernel bodies: equal kernels of a model (the layers of a network) share one function, which finds its buffers in a table.

use super::contract::Contract;
use super::expr::Emitter;
use super::ir::Ir;
use super::machine;
use super::nest::{Nest, Sharing};
use super::quantize::is_scale;
use super::tile::LANES;
use super::turn::Turn;
use super::window_codes::WindowCodes;
use lapidary_ir::{Diagnostic, Dim, Name, Result};
use lapidary_kernel::{AxisId, BufferId, BufferKind, Cpu, ExprKind, F29, Index, Kernel, Plan, Program, Schedule, Stmt, Strips, Tile};
use rustc_hash::FxHashMap;

/// A kernel without names, its buffers numbered in order of first use.
pub struct Body {
    /// The name of the first kernel that has this body, for messages.
    pub name: Name,
    pub kernel: Kernel,
    /// Just its buffers.
    pub program: Program,
    pub traits: Vec<Traits>,
    pub code: Code,
}

/// What is known of a buffer of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Nothing writes it while the kernel runs.
    pub invariant: bool,
    /// It holds one number, which [`is_scale`] knows.
    pub scale: bool,
    /// It is kept in another form than its sizes say.
    pub f29: Option<F29>,
}

/// The template with its numbers.
pub enum Code {
    Nest(Nest),
    Contract(Box<Contract>),
    Turn(Turn),
    WindowCodes(Box<WindowCodes>),
}

impl Code {
    pub fn chunks(&self) -> &Dim {
        match self {
            Code::Nest(n) => &n.chunks,
            Code::Contract(c) => &c.chunks,
            Code::Turn(t) => &t.chunks,
            Code::WindowCodes(w) => &w.nest.chunks,
        }
    }
    pub fn scratch_bytes(&self) -> &Dim {
        match self {
            Code::Nest(n) => &n.scratch_bytes,
            Code::Contract(c) => &c.scratch_bytes,
            Code::Turn(t) => &t.scratch_bytes,
            Code::WindowCodes(w) => &w.nest.scratch_bytes,
        }
    }
    pub fn tile(&self) -> Option<Tile> {
        match self {
            Code::Contract(c) => Some(c.tile()),
            Code::Nest(_) | Code::Turn(_) | Code::WindowCodes(_) => None,
        }
    }
    pub fn template(&self, kernel: &Kernel) -> &'static str {
        match self {
            Code::Contract(_) => "contract",
            Code::Turn(_) => "turn",
            Code::WindowCodes(_) => "window of codes",
            Code::Nest(_) => match &kernel.schedule {
                // A contraction that the tiles do not fit.
                Some(Schedule::Contract { .. }) => "window",
                s => s.as_ref().map_or("serial", |s| s.template()),
            },
        }
    }
}

/// One kernel of the program: its body, and the buffers that it passes.
pub struct Step {
    pub body: usize,
    pub buffers: Vec<BufferId>,
}

/// The distinct bodies of a program for one version, and its steps in order.
pub fn bodies(plan: &Plan, cpu: Cpu) -> Result<(Vec<Body>, Vec<Step>)> {
    let mut known: FxHashMap<String, usize> = FxHashMap::default();
    let (mut bodies, mut steps) = (vec![], vec![]);
    let keys = plan.keys();
    for (number, kernel) in plan.program.kernels.iter().enumerate() {
        let strips = plan.strips_of(number);
        let mut buffers = kernel.writes();
        let written = buffers.clone();
        kernel.reads().into_iter().for_each(|b| {
            if !buffers.contains(&b) {
                buffers.push(b)
            }
        });
        let offset = |b: &BufferId| plan.offsets.get(b.0 as usize).and_then(|o| o.as_ref());
        let traits = buffers.iter().map(|b| Traits {
            invariant: !written.contains(b) && !written.iter().any(|w| offset(b).is_some() && offset(w) == offset(b)),
            scale: plan.program.buffer(*b).constant().is_some_and(|t| is_scale(t)),
            f29: plan.f29(*b),
        });
        let traits: Vec<Traits> = traits.collect();
        let (anonymous, program) = match strips {
            Some(s) => {
                let (kernel, program) = of_one_strip(kernel, &plan.program, s);
                anonymous(&kernel, &program, &buffers)
            }
            None => anonymous(kernel, &plan.program, &buffers),
        };
        let strip_axes = strips.map_or(0, |s| s.axes);
        let tile = plan.choices.tile(cpu, &keys[number]);
        let key = format!("{anonymous:?} {:?} {traits:?} {strip_axes} {tile:?}", program.buffers);
        let body = match known.get(&key) {
            Some(b) => *b,
            None => {
                let code = choose(&anonymous, &program, &traits, cpu, strip_axes, tile).map_err(|mut e| {
                    e.0.iter_mut().for_each(|d| d.notes.push(format!("in kernel '{}'", kernel.name)));
                    e
                })?;
                bodies.push(Body { name: kernel.name.clone(), kernel: anonymous, program, traits, code });
                known.insert(key, bodies.len() - 1);
                bodies.len() - 1
            }
        };
        steps.push(Step { body, buffers });
    }
    Ok((bodies, steps))
}

/// The kernel with its private buffers as large as one strip.
fn of_one_strip(kernel: &Kernel, program: &Program, strips: &Strips) -> (Kernel, Program) {
    let (mut k, mut p) = (kernel.clone(), program.clone());
    for (b, dims, _) in &strips.private {
        let flat = |index: &mut [Index]| dims.iter().for_each(|d| index[*d] = Index::from(0));
        for e in &mut k.exprs {
            if let ExprKind::Load { buffer, index, .. } = &mut e.kind
                && buffer == b
            {
                flat(index);
            }
        }
        for s in &mut k.body {
            if let Stmt::Store { buffer, index, .. } = s
                && buffer == b
            {
                flat(index);
            }
        }
        let buffer = p.buffer_mut(*b);
        buffer.dims = buffer.dims.iter().enumerate().map(|(d, size)| if dims.contains(&d) { Dim::from(1) } else { size.clone() }).collect();
    }
    (k, p)
}

fn choose(kernel: &Kernel, program: &Program, traits: &[Traits], cpu: Cpu, strip_axes: usize, tile: Option<Tile>) -> Result<Code> {
    let kept = |b: BufferId| traits.get(b.0 as usize).and_then(|t| t.f29);
    if let Some(c) = Contract::of(kernel, program, &kept, cpu, tile)? {
        return Ok(Code::Contract(Box::new(c)));
    }
    if let Some(tile) = tile {
        let d = Diagnostic::error("schedule", format!("tile '{tile}' is for a contraction, and the kernel is none"));
        return Err(d.help("leave its line out").into());
    }
    if let Some(t) = Turn::of(kernel, program, strip_axes) {
        return Ok(Code::Turn(t));
    }
    if let Some(w) = WindowCodes::of(kernel, program, cpu, strip_axes) {
        return Ok(Code::WindowCodes(Box::new(w)));
    }
    let fallback = match &kernel.schedule {
        Some(Schedule::Contract { n, m, .. }) => n.last().or(m.last()).map(|a| AxisId(*a)),
        _ => None,
    };
    // Half of the registers hold sums; those of x86-64-v3 hold half of a vector.
    let run = Sharing::Run(if cpu == Cpu::X86V4 { 8 } else { 4 });
    Ok(Code::Nest(Nest::of(kernel, program, fallback, strip_axes, run)?))
}

fn anonymous(kernel: &Kernel, program: &Program, buffers: &[BufferId]) -> (Kernel, Program) {
    let number = |b: &mut BufferId| *b = BufferId(buffers.iter().position(|x| x == b).unwrap_or(0) as u32);
    let mut k = kernel.clone();
    k.name = "".into();
    k.origin.clear();
    k.recurrence = None;
    k.axes.iter_mut().for_each(|a| a.name = "".into());
    k.locals.iter_mut().for_each(|l| l.name = "".into());
    for e in &mut k.exprs {
        if let ExprKind::Load { buffer, .. } = &mut e.kind {
            number(buffer)
        }
    }
    for s in &mut k.body {
        if let Stmt::Store { buffer, .. } = s {
            number(buffer)
        }
    }
    let mut p = Program::default();
    for b in buffers {
        let mut b = program.buffer(*b).clone();
        b.name = "".into();
        b.kind = BufferKind::Temp;
        p.add_buffer(b);
    }
    (k, p)
}

/// Emits the function of a body.
pub fn emit(ir: &Ir, body: &Body, function: &str, cpu: Cpu, symbols: &[Name], sanitize: bool) -> Result<()> {
    let f = ir.function(function, kernel_type(ir));
    machine::set_cpu(ir, f, Some(cpu), sanitize);
    let buffers: Vec<(BufferId, Traits)> = body.program.buffer_ids().zip(body.traits.iter().copied()).collect();
    let emitter = |lanes| Emitter::new(ir, f, &body.program, &body.kernel, &buffers, symbols, lanes);
    let result = match &body.code {
        Code::Nest(nest) => emitter(nest.lanes).and_then(|mut e| e.nest(nest)),
        Code::Contract(c) => emitter(LANES).and_then(|mut e| e.contract(c)),
        Code::Turn(t) => emitter(LANES).and_then(|mut e| e.turn(t)),
        Code::WindowCodes(w) => emitter(LANES).and_then(|mut e| e.window_codes(w)),
    };
    result.map_err(|mut e| {
        e.0.iter_mut().for_each(|d| d.notes.push(format!("in kernel '{}'", body.name)));
        e
    })
}

/// `void (ptr bufs, ptr values, i64 begin, i64 end, ptr scratch)`
pub fn kernel_type(ir: &Ir) -> super::ir::T {
    ir.function_type(ir.void(), &[ir.ptr(), ir.ptr(), ir.i64(), ir.i64(), ir.ptr()])
}
