//! From graph to kernels: operators' `lower` rules called from the outputs backwards, so that only what is needed is lowered.

use lapidary_ir::{Diagnostic, Diagnostics, Dim, Graph, Name, NodeId, Result, Tensor, ValueId};
use lapidary_kernel::{Buffer, BufferId, BufferKind, Index, Kernel, KernelBuilder, Program};
use lapidary_ops::{Facts, LowerCtx, find};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// The kernels of a graph whose types are inferred, one or a few per operator, in order, nothing fused yet. Every size must follow from
/// the symbols of the graph's inputs.
pub fn lower_graph(graph: &Graph, facts: &Facts) -> Result<Program> {
    let mut program = Program { name: graph.name.clone(), ..Program::default() };
    let mut buffers: FxHashMap<ValueId, BufferId> = FxHashMap::default();
    let mut errors = vec![];
    for (i, v) in graph.inputs().iter().enumerate() {
        match declare(graph, *v, BufferKind::Input(i as u32)) {
            Ok(b) => {
                buffers.insert(*v, program.add_buffer(b));
            }
            Err(e) => errors.push(e),
        }
    }
    let mut copies = vec![];
    for (i, v) in graph.outputs().iter().enumerate() {
        match declare(graph, *v, BufferKind::Output(i as u32)) {
            Ok(b) => {
                let own = buffers.contains_key(v) || graph.as_constant(*v).is_some();
                let id = program.add_buffer(b);
                if own {
                    copies.push((*v, id));
                } else {
                    buffers.insert(*v, id);
                }
            }
            Err(e) => errors.push(e),
        }
    }
    if !errors.is_empty() {
        return Err(Diagnostics(errors));
    }
    let mut groups: Vec<Vec<Kernel>> = vec![];
    for (v, output) in copies {
        groups.push(vec![copy_of(graph, v, output, &mut program, &mut buffers)]);
    }
    let order = graph.topological()?;
    for id in order.into_iter().rev() {
        let node = graph.node(id);
        if node.is_input() || graph.as_constant(id.out(0)).is_some() {
            continue;
        }
        let wanted: Vec<ValueId> = (0..node.outputs().len()).map(|o| id.out(o)).filter(|v| buffers.contains_key(v)).collect();
        if wanted.is_empty() {
            continue;
        }
        match lower_node(graph, id, facts, &wanted, &mut program, &mut buffers) {
            Ok(kernels) => groups.push(kernels),
            Err(e) => errors.extend(e.0),
        }
    }
    if !errors.is_empty() {
        return Err(Diagnostics(errors));
    }
    program.kernels = groups.into_iter().rev().flatten().collect();
    check_sizes(graph, &program, &buffers)?;
    Ok(program)
}

fn declare(graph: &Graph, v: ValueId, kind: BufferKind) -> Result<Buffer, Diagnostic> {
    let value = graph.value(v);
    match (value.ty.as_tensor(), value.ty.dims()) {
        (Some(t), Some(dims)) => Ok(Buffer { name: value.name.clone(), dtype: t.dtype, dims: dims.into(), kind }),
        _ => Err(Diagnostic::unsupported("unknown-shape", format!("the shape of '{}' is not known at compile time", value.name))
            .at(graph.producer(v))
            .value(&*value.name)),
    }
}

fn copy_of(graph: &Graph, v: ValueId, output: BufferId, program: &mut Program, buffers: &mut FxHashMap<ValueId, BufferId>) -> Kernel {
    let from = match (buffers.get(&v), graph.as_constant(v)) {
        (Some(b), _) => *b,
        (None, Some(t)) => {
            let b = program.buffer(output);
            let constant = Buffer { kind: BufferKind::Const(t.clone()), ..b.clone() };
            program.add_buffer(constant)
        }
        (None, None) => output,
    };
    let b = program.buffer(output).clone();
    copy_kernel(&format!("copy:{}", b.name), from, output, &b, &[b.name.clone()])
}

/// `to[i…] = from[i…]`.
pub fn copy_kernel(name: &str, from: BufferId, to: BufferId, shape: &Buffer, origin: &[Name]) -> Kernel {
    let mut k = KernelBuilder::new(name, origin);
    let at: Vec<Index> = k.parallel_all("i", &shape.dims).into_iter().map(Into::into).collect();
    let v = k.load(from, shape.dtype, at.clone());
    k.store(to, at, v);
    k.finish()
}

fn lower_node(
    graph: &Graph,
    id: NodeId,
    facts: &Facts,
    wanted: &[ValueId],
    program: &mut Program,
    buffers: &mut FxHashMap<ValueId, BufferId>,
) -> Result<Vec<Kernel>> {
    let node = graph.node(id);
    // What is known from sizes alone needs no operator.
    let known: Vec<_> = wanted.iter().map(|v| facts.contents(graph, *v)).collect();
    if known.iter().all(Option::is_some) {
        let mut kernels = vec![];
        for (v, c) in wanted.iter().zip(known.into_iter().flatten()) {
            let buffer = buffers[v];
            let b = program.buffer_mut(buffer);
            if let (Some(ints), BufferKind::Temp) = (c.as_ints(), &b.kind) {
                b.kind = BufferKind::Const(Tensor::from_i64(b.dtype, &c.sizes, &ints)?.into());
                continue;
            }
            let label: Name = node.label().into();
            let dtype = b.dtype;
            let mut k = KernelBuilder::new(format!("sizes:{label}"), &[label]);
            for (flat, d) in c.dims.iter().enumerate() {
                let mut rest = flat;
                let mut at: Vec<Index> = vec![];
                for s in c.sizes.iter().rev() {
                    at.insert(0, Index::from((rest % s) as i64));
                    rest /= s;
                }
                let v = k.index(Index::from(d.clone()));
                let v = k.cast(dtype, v);
                k.store(buffer, at, v);
            }
            kernels.push(k.finish());
        }
        return Ok(kernels);
    }
    let Some(def) = find(&node.op) else {
        return Err(Diagnostic::unsupported("unknown-operator", format!("operator '{}' is not known, so there is no code for it", node.op))
            .at(node)
            .help("`lapidary inspect` lists the operators of a model and which of them run natively")
            .into());
    };
    let Some(lower) = def.lower else {
        let help = match node.is("If") {
            true => "where inputs of one value decide it, `lapidary compile --fix-input NAME=V` leaves the branch that is taken",
            false => "`lapidary ops` lists what can be compiled; `lapidary run --backend eval` runs the model in the evaluator",
        };
        let d = Diagnostic::unsupported("no-native-code", format!("there is no native code for operator '{}' yet", node.op));
        return Err(d.at(node).help(help).into());
    };
    let mut ctx = LowerCtx { graph, id, facts, program, buffers, kernels: vec![] };
    lower(&mut ctx)?;
    Ok(ctx.kernels)
}

/// Sizes that no input tells cannot be computed before the run.
fn check_sizes(graph: &Graph, program: &Program, buffers: &FxHashMap<ValueId, BufferId>) -> Result<()> {
    let known: BTreeSet<Name> =
        graph.inputs().iter().flat_map(|v| graph.ty(*v).dims().into_iter().flatten().filter_map(Dim::as_symbol).cloned()).collect();
    let mut values: Vec<_> = buffers.iter().map(|(v, b)| (*b, *v)).collect();
    values.sort();
    let mut errors = vec![];
    for (b, v) in values {
        let buffer = program.buffer(b);
        if let Some(d) = buffer.dims.iter().find(|d| d.symbols().iter().any(|s| !known.contains(s))) {
            let message = format!("the size {d} of '{}' is only known once the data is there", buffer.name);
            errors.push(Diagnostic::unsupported("data-dependent-size", message).at(graph.producer(v)).value(&*buffer.name));
            if errors.len() == 8 {
                break;
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)) }
}
