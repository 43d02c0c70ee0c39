//! From graph to kernels: operators are lowered one by one, fused, laid out, packed, scheduled and given memory. Every stage is a
//! function over [`Program`]; [`lower`] runs them all and gives the [`Plan`] that code generation starts from.
#![forbid(unsafe_code)]

mod bands;
mod blocks;
mod chooser;
mod contract;
mod f29;
mod fold;
mod fuse;
mod graph;
mod integers;
mod layout;
mod memory;
mod narrow;
mod parts;
mod requantize;
mod rewrite;
mod schedule;
mod stems;
mod strips;
mod tied;
mod uses;
mod winograd;

use chooser::Chooser;
use lapidary_ir::{Graph, Result};
use lapidary_kernel::{BufferKind, Choices, Plan, Port, Program};
use lapidary_ops::Facts;

pub use graph::lower_graph;

/// Lowers a graph whose types are inferred.
pub fn lower(graph: &Graph, facts: &Facts, options: &LowerOptions) -> Result<Plan> {
    let mut p = lower_graph(graph, facts)?;
    let mut choices = Chooser::new(&options.choices);
    stages(&mut p, options, &mut choices)?;
    plan(graph, p, choices)
}

/// What may be given up for speed, and what was chosen beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LowerOptions {
    /// No algorithm that rounds more than the plain sum of products does: Winograd's is not used.
    pub exact_conv: bool,
    /// Asked before the cost models are.
    pub choices: Choices,
}

/// Fusion, algorithms, layouts, packing, folding, schedules.
pub fn optimize(p: &mut Program, options: &LowerOptions) -> Result<()> {
    stages(p, options, &mut Chooser::new(&options.choices))
}

fn stages(p: &mut Program, options: &LowerOptions, choices: &mut Chooser) -> Result<()> {
    sound(p, "lowering");
    uses::sweep(p);
    fuse::fuse(p);
    sound(p, "fusion");
    fold::fold_constants(p)?;
    sound(p, "folding");
    winograd::rewrite(p, options.exact_conv, choices)?;
    sound(p, "Winograd");
    layout::assign(p);
    uses::sweep(p);
    sound(p, "layouts");
    contract::merge_columns(p);
    sound(p, "merging columns");
    contract::pack(p);
    tied::rewrite(p);
    sound(p, "packing");
    fold::fold_constants(p)?;
    fold::inline_numbers(p);
    requantize::rewrite(p);
    sound(p, "requantizing");
    parts::rewrite(p);
    sound(p, "placing parts");
    bands::rewrite(p);
    sound(p, "bands");
    contract::merge_rows(p);
    sound(p, "merging rows");
    schedule::assign(p);
    drop_unused_constants(p);
    sound(p, "scheduling");
    Ok(())
}

/// In debug builds each stage is held to what [`Program::verify`] checks, so that a mistake names the stage that made it.
fn sound(p: &Program, after: &str) {
    if cfg!(debug_assertions) {
        let findings = p.verify();
        assert!(findings.is_empty(), "after {after}: {}", findings.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("; "));
    }
}

/// Constants that no kernel reads any more (folded or packed) take no place in the library.
fn drop_unused_constants(p: &mut Program) {
    let mut used = vec![false; p.buffers.len()];
    for k in &p.kernels {
        let live = k.live_exprs();
        for (e, live) in k.exprs.iter().zip(live) {
            if let (true, lapidary_kernel::ExprKind::Load { buffer, .. }) = (live, &e.kind) {
                used[buffer.0 as usize] = true;
            }
        }
    }
    for (b, used) in p.buffers.iter_mut().zip(used) {
        if !used && b.constant().is_some() {
            b.kind = BufferKind::Temp;
        }
    }
}

/// Memory, ports, and the form of constants.
fn plan(graph: &Graph, mut p: Program, mut choices: Chooser) -> Result<Plan> {
    let (unpacked, unpacked_bytes) = memory::unpack(&p);
    let strips = strips::assign(&mut p, &unpacked, &mut choices);
    let choices = choices.finish(&p, &strips)?;
    let (offsets, arena_bytes) = memory::assign(&p, &unpacked, &strips);
    let port = |v: &lapidary_ir::ValueId, kind: BufferKind| {
        let value = graph.value(*v);
        let buffer = p.buffer_ids().find(|b| p.buffer(*b).kind == kind);
        Port { name: value.name.clone(), dtype: value.ty.dtype(), dims: value.ty.dims().unwrap_or_default().into(), buffer }
    };
    let inputs = graph.inputs().iter().enumerate().map(|(i, v)| port(v, BufferKind::Input(i as u32))).collect();
    let outputs = graph.outputs().iter().enumerate().map(|(i, v)| port(v, BufferKind::Output(i as u32))).collect();
    let mut plan = Plan { program: p, offsets, arena_bytes, unpacked, unpacked_bytes, f29: vec![], strips, inputs, outputs, bounds: vec![], choices };
    plan.f29 = f29::assign(&plan);
    Ok(plan)
}
