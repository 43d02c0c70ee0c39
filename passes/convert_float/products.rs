//! Which products gain by factors of 16 bits, when their sums stay in f32.

use super::plan::Slots;
use lapidary_ir::{DType, Graph, Node, NodeId, ValueId};

/// Fewer neighbours along the sum, or columns, fill no registers.
pub const LEAST_SUM: i64 = 16;
pub const LEAST_COLUMNS: i64 = 16;
/// With so many channels the neighbours of a sum are channels of several columns.
const STEM_CHANNELS: std::ops::RangeInclusive<i64> = 2..=4;
/// Points of an output of a 3 × 3 convolution from which on Winograd's algorithm, which multiplies in f32, is faster.
const WINOGRAD_POINTS: i64 = 12 * 12;

/// The factors of a node that are rounded; `None`: it is no product.
///
/// # Errors
/// Why a product stays in f32.
pub fn factors(graph: &Graph, id: NodeId, winograd: bool) -> Result<Option<Slots>, String> {
    let node = graph.node(id);
    let slots: &[usize] = match &*node.op.name {
        _ if !node.op.domain.is_empty() => return Ok(None),
        "MatMul" | "Gemm" | "Conv" => &[0, 1],
        // Taken apart, its weights are multiplied elsewhere.
        "Attention" if graph.use_count(id.out(0)) == 0 => &[0, 1],
        "Attention" => &[0, 1, 2],
        "ConvTranspose" | "Einsum" | "RNN" | "GRU" | "LSTM" | "DeformConv" => return Err("no kernel multiplies its factors in 16 bits".into()),
        _ => return Ok(None),
    };
    let operands: Vec<ValueId> = slots.iter().filter_map(|s| node.input(*s)).collect();
    if operands.iter().any(|v| graph.dtype(*v) != DType::F32) {
        return Ok(None);
    }
    if operands.iter().any(|v| graph.producer(*v).is("DequantizeLinear")) {
        return Err("its operands are quantized".into());
    }
    let dims = |v: ValueId| graph.ty(v).dims().map(<[_]>::to_vec).ok_or("the shapes of its operands are not known");
    let at = |v: ValueId, from_end: usize| -> Result<Option<i64>, String> {
        let d = dims(v)?;
        Ok(d.len().checked_sub(from_end).and_then(|i| d.get(i)?.as_const()))
    };
    let (a, b) = (operands[0], operands[1]);
    let (sum, columns) = match &*node.op.name {
        "Conv" => {
            if node.attrs.int("group").unwrap_or(1) != 1 {
                return Err("each of its groups has few products".into());
            }
            convolution(graph, id, winograd)?;
            let w: Vec<Option<i64>> = dims(b)?.iter().map(|d| d.as_const()).collect();
            let channels = w.get(1).copied().flatten();
            // Few channels are multiplied with their columns, and an even number of them.
            let neighbours = match w.as_slice() {
                [_, Some(c), _, Some(columns)] if STEM_CHANNELS.contains(c) && ones(node, "dilations") => Some((c + c % 2) * columns),
                _ => channels,
            };
            (neighbours, w.first().copied().flatten())
        }
        "Gemm" => {
            let transposed = |name: &str| node.attrs.int(name).unwrap_or(0) != 0;
            (at(a, if transposed("transA") { 2 } else { 1 })?, at(b, if transposed("transB") { 2 } else { 1 })?)
        }
        "Attention" => (at(a, 1)?, None),
        _ => (at(a, 1)?, at(b, 1)?),
    };
    match sum {
        None => return Err("the length of its sums is not known".into()),
        Some(s) if s < LEAST_SUM => return Err(format!("its sums have {s} neighbours, which fill no registers")),
        Some(_) => {}
    }
    if columns.is_some_and(|c| c < LEAST_COLUMNS) {
        return Err(format!("it has {} columns, which fill no registers", columns.unwrap_or(0)));
    }
    Ok(Some(Slots { inputs: slots.iter().copied().collect(), outputs: Default::default() }))
}

fn ones(node: &Node, name: &str) -> bool {
    node.attrs.ints(name).is_none_or(|v| v.iter().all(|x| *x == 1))
}

/// Refuses a convolution that another algorithm computes faster in f32.
fn convolution(graph: &Graph, id: NodeId, winograd: bool) -> Result<(), String> {
    let node = graph.node(id);
    let kernel = node.input(1).and_then(|w| graph.ty(w).dims()).unwrap_or_default();
    let three = kernel.len() == 4 && kernel[2..].iter().all(|d| d.as_const() == Some(3));
    let points = graph.ty(id.out(0)).dims().unwrap_or_default();
    let points: Option<i64> = points.get(2..).and_then(|d| d.iter().map(|d| d.as_const()).product());
    if winograd && three && ones(node, "strides") && ones(node, "dilations") && points.is_none_or(|p| p >= WINOGRAD_POINTS) {
        return Err("Winograd's algorithm in f32 is faster".into());
    }
    Ok(())
}
