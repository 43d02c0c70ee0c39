//! What each operator says about the lanes of its operands and results. An operator that is not here keeps every dim that it touches.

use super::shapes::{At, Shaped};
use super::{AxisId, Coupling, Role, recurrent, views};
use lapidary_ir::{Graph, NodeId};

/// Results of these have the dims of their first operand; the other operands are scalars or have the same dims.
const UNARY: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Bernoulli",
    "BitwiseNot",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "RandomNormalLike",
    "RandomUniformLike",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
];

/// Operands are broadcast to the result.
const BROADCAST: &[&str] = &[
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
    "Xor",
];

/// Records what a node says.
pub fn link(c: &mut Coupling, graph: &Graph, id: NodeId) {
    let node = graph.node(id);
    let mut at = At { c, graph, id };
    let name = &*node.op.name;
    let known = node.op.domain.is_empty() && node.regions.is_empty();
    let done = if !known {
        None
    } else if UNARY.contains(&name) {
        unary(&mut at)
    } else if BROADCAST.contains(&name) {
        broadcast(&mut at)
    } else {
        match name {
            "Conv" => conv(&mut at),
            "ConvTranspose" => conv_transpose(&mut at),
            "MatMul" => mat_mul(&mut at),
            "Gemm" => gemm(&mut at),
            "BatchNormalization" => per_channel(&mut at, Some(Role::Gamma)),
            "InstanceNormalization" => per_channel(&mut at, None),
            "GroupNormalization" => group_norm(&mut at),
            "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => layer_norm(&mut at),
            "Softmax" | "LogSoftmax" | "Hardmax" | "LpNormalization" => along(&mut at, "takes it all together"),
            "CumSum" | "TopK" => along_operand(&mut at),
            "MaxPool" | "AveragePool" | "LpPool" | "GlobalMaxPool" | "GlobalAveragePool" | "GlobalLpPool" => pool(&mut at),
            "LRN" => pool_but_channels(&mut at),
            "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" | "ReduceProd" | "ReduceLogSum"
            | "ReduceLogSumExp" | "ArgMax" | "ArgMin" => reduce(&mut at, name),
            "Attention" => attention(&mut at),
            "RotaryEmbedding" => rotary(&mut at),
            "LSTM" | "GRU" | "RNN" => recurrent::link(&mut at),
            "Transpose" => views::transpose(&mut at),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => views::reshape(&mut at),
            "Concat" => views::concat(&mut at),
            "Split" => views::split(&mut at),
            "Slice" => views::slice(&mut at),
            "Gather" => views::gather(&mut at),
            "Pad" => views::pad(&mut at),
            "Expand" | "Tile" => views::expand(&mut at),
            "Resize" | "Upsample" => views::resize(&mut at),
            "Shape" | "Size" => views::shape(&mut at),
            "Trilu" => views::trilu(&mut at),
            "DepthToSpace" | "SpaceToDepth" => views::depth(&mut at),
            // Its result is what an operand says, which a cut rewrites.
            "ConstantOfShape" => Some(()),
            "Constant" => Some(()),
            "QuantizeLinear" | "DequantizeLinear" => quantize(&mut at),
            _ => None,
        }
    };
    if done.is_none() {
        at.pin_node("keeps the sizes that it has");
    }
}

fn unary(at: &mut At<'_>) -> Option<()> {
    let x = at.input(0)?;
    for o in 0..at.node().outputs().len() {
        let y = at.output(o)?;
        at.link_all(&x, &y);
    }
    Some(())
}

fn broadcast(at: &mut At<'_>) -> Option<()> {
    let y = at.output(0)?;
    let operands: Vec<Shaped> = (0..at.node().inputs().len()).map(|s| at.input(s)).collect::<Option<_>>()?;
    for x in operands {
        let before = y.rank().checked_sub(x.rank())?;
        (0..x.rank()).for_each(|d| at.link_broadcast(&x, d, &y, d + before));
    }
    Some(())
}

fn groups(at: &At<'_>) -> Option<usize> {
    usize::try_from(at.int("group", 1)).ok().filter(|g| *g > 0)
}

/// `Y[n, o] = Σ X[n, i] · W[o, i] + B[o]`, the channels in `group` parts that do not meet: a part goes or stays as a whole.
fn conv(at: &mut At<'_>) -> Option<()> {
    let (x, w, y, groups) = (at.input(0)?, at.input(1)?, at.output(0)?, groups(at)?);
    if x.rank() < 3 || w.rank() != x.rank() || y.rank() != x.rank() {
        return None;
    }
    at.link(&x, 0, &y, 0);
    spatial(at, &[&x, &w, &y]);
    let b = at.input(2);
    at.role(&w, 0, Role::Filters);
    if groups == 1 {
        at.role(&w, 1, Role::Columns);
        at.link(&x, 1, &w, 1);
        at.sum(0, &x, 1, Some((&w, 1)));
    } else {
        at.pin(&w, 1, "has as many input channels in each group");
        tie(at, &x, &y, groups);
    }
    at.link(&w, 0, &y, 1);
    if let Some(b) = b {
        at.link(&b, 0, &y, 1);
    }
    Some(())
}

/// As a convolution with the weight `[inputs, outputs of a group, …]`.
fn conv_transpose(at: &mut At<'_>) -> Option<()> {
    let (x, w, y, groups) = (at.input(0)?, at.input(1)?, at.output(0)?, groups(at)?);
    if x.rank() < 3 || w.rank() != x.rank() || y.rank() != x.rank() {
        return None;
    }
    at.link(&x, 0, &y, 0);
    spatial(at, &[&x, &w, &y]);
    at.link(&x, 1, &w, 0);
    if groups == 1 {
        at.role(&w, 1, Role::Filters);
        at.role(&w, 0, Role::Columns);
        at.sum(0, &x, 1, Some((&w, 0)));
        at.link(&w, 1, &y, 1);
    } else {
        at.role(&w, 0, Role::Filters);
        at.pin(&w, 1, "has as many output channels in each group");
        tie(at, &x, &y, groups);
    }
    if let Some(b) = at.input(2) {
        at.link(&b, 0, &y, 1);
    }
    Some(())
}

fn tie(at: &mut At<'_>, x: &Shaped, y: &Shaped, groups: usize) {
    match (at.axis(x, 1), at.axis(y, 1)) {
        (Some(a), Some(b)) => at.tie_blocks(&[a, b], groups),
        _ => [x, y].into_iter().for_each(|s| at.pin(s, 1, "has groups of an unknown size")),
    }
}

/// The dims of pixels stay: a window needs its neighbours.
fn spatial(at: &mut At<'_>, all: &[&Shaped]) {
    for s in all {
        (2..s.rank()).for_each(|d| at.pin(s, d, "slides a window along it"));
    }
}

/// Channels are the second dim, the other operands hold one element per channel.
fn per_channel(at: &mut At<'_>, role: Option<Role>) -> Option<()> {
    let x = at.input(0)?;
    if x.rank() < 2 || at.int("spatial", 1) != 1 {
        return None;
    }
    let y = at.output(0)?;
    at.link_all(&x, &y);
    // Statistics of a batch norm in training.
    for o in 1..at.node().outputs().len() {
        if let Some(s) = at.output(o) {
            at.link(&s, 0, &x, 1);
        }
    }
    for slot in 1..at.node().inputs().len() {
        let p = at.input(slot)?;
        at.link(&p, 0, &x, 1);
        if slot == 1
            && let Some(role) = role
        {
            at.role(&p, 0, role);
        }
    }
    Some(())
}

/// The channels of a group are normalised together: a group goes or stays as a whole.
fn group_norm(at: &mut At<'_>) -> Option<()> {
    let (x, scale, bias, y) = (at.input(0)?, at.input(1)?, at.input(2)?, at.output(0)?);
    let groups = usize::try_from(at.node().attrs.int("num_groups")?).ok()?;
    if x.rank() < 3 {
        return None;
    }
    at.link_all(&x, &y);
    let axes: Vec<AxisId> = [(&x, 1), (&scale, 0), (&bias, 0)].into_iter().filter_map(|(s, d)| at.axis(s, d)).collect();
    at.tie_blocks(&axes, groups);
    Some(())
}

/// Statistics over the last dims, from `axis` on: of what is left when lanes go.
fn layer_norm(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let first = x.dim(at.int("axis", -1))?;
    at.link_all(&x, &y);
    for o in 1..at.node().outputs().len() {
        let s = at.output(o)?;
        (0..first.min(s.rank())).for_each(|d| at.link_broadcast(&s, d, &x, d));
    }
    for slot in 1..at.node().inputs().len() {
        let p = at.input(slot)?;
        let before = x.rank().checked_sub(p.rank())?;
        (0..p.rank()).for_each(|d| at.link_broadcast(&p, d, &x, d + before));
    }
    (first..x.rank()).for_each(|d| at.role(&x, d, Role::Statistic));
    Some(())
}

fn along(at: &mut At<'_>, what: &str) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let old = at.node().op.version < 13 && !at.node().is("LpNormalization");
    let axis = x.dim(at.int("axis", if old { 1 } else { -1 }))?;
    at.link_all(&x, &y);
    // Before opset 13 all dims from `axis` on were one.
    (axis..if old { x.rank() } else { axis + 1 }).for_each(|d| at.pin(&x, d, what));
    Some(())
}

fn along_operand(at: &mut At<'_>) -> Option<()> {
    let x = at.input(0)?;
    let axis = if at.node().is("CumSum") { at.ints(1)?.first().copied()? } else { at.int("axis", -1) };
    let axis = x.dim(axis)?;
    for o in 0..at.node().outputs().len() {
        let y = at.output(o)?;
        at.link_but(&x, &y, &[axis]);
        at.pin(&y, axis, "takes it all together");
    }
    at.pin(&x, axis, "takes it all together");
    Some(())
}

fn pool(at: &mut At<'_>) -> Option<()> {
    let x = at.input(0)?;
    for o in 0..at.node().outputs().len() {
        let y = at.output(o)?;
        if y.rank() != x.rank() || x.rank() < 3 || o > 0 {
            return None;
        }
        at.link(&x, 0, &y, 0);
        at.link(&x, 1, &y, 1);
        spatial(at, &[&x, &y]);
    }
    Some(())
}

fn pool_but_channels(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    at.link_all(&x, &y);
    at.pin(&x, 1, "sums over neighbours along it");
    Some(())
}

/// A sum does not see lanes that are zero, a mean divides by how many there are, others look at every lane.
fn reduce(at: &mut At<'_>, name: &str) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    let index = name.starts_with("Arg");
    let axes: Option<Vec<i64>> = if index {
        Some(vec![at.int("axis", 0)])
    } else if at.has(1) {
        Some(at.ints(1)?)
    } else {
        at.node().attrs.ints("axes").map(<[i64]>::to_vec)
    };
    let axes: Vec<usize> = match axes {
        Some(a) if !a.is_empty() => a.into_iter().map(|a| x.dim(a)).collect::<Option<_>>()?,
        _ if at.int("noop_with_empty_axes", 0) != 0 => vec![],
        _ => (0..x.rank()).collect(),
    };
    let keep = at.int("keepdims", 1) != 0;
    let mut j = 0;
    for d in 0..x.rank() {
        if !axes.contains(&d) {
            if j >= y.rank() {
                return None;
            }
            at.link(&x, d, &y, j);
            j += 1;
            continue;
        }
        j += usize::from(keep);
        match name {
            "ReduceSum" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" => at.sum(0, &x, d, None),
            "ReduceMean" => at.role(&x, d, Role::Statistic),
            _ => at.pin(&x, d, "looks at every one of it"),
        }
    }
    Some(())
}

/// `Y[…, m, n] = Σ A[…, m, k] · B[…, k, n]`, the dims before broadcast.
fn mat_mul(at: &mut At<'_>) -> Option<()> {
    let (a, b, y) = (at.input(0)?, at.input(1)?, at.output(0)?);
    let (ka, kb) = (a.rank().checked_sub(1)?, b.rank().saturating_sub(2));
    b.rank().checked_sub(1)?;
    at.link(&a, ka, &b, kb);
    match (at.constant(0), at.constant(1)) {
        (false, _) => at.sum(0, &a, ka, Some((&b, kb))),
        (true, false) => at.sum(1, &b, kb, Some((&a, ka))),
        (true, true) => return None,
    }
    let mut end = y.rank();
    if b.rank() > 1 {
        end = end.checked_sub(1)?;
        at.link(&b, b.rank() - 1, &y, end);
    }
    if a.rank() > 1 {
        end = end.checked_sub(1)?;
        at.link(&a, a.rank() - 2, &y, end);
    }
    for s in [&a, &b] {
        let batch = s.rank().saturating_sub(2);
        let before = end.checked_sub(batch)?;
        (0..batch).for_each(|d| at.link_broadcast(s, d, &y, d + before));
    }
    if at.constant(1) {
        at.role(&b, kb, Role::Columns);
        if b.rank() > 1 {
            at.role(&b, b.rank() - 1, Role::Rows);
        }
    } else if at.constant(0) {
        at.role(&a, ka, Role::Columns);
        if a.rank() > 1 {
            at.role(&a, a.rank() - 2, Role::Rows);
        }
    } else {
        (0..end).for_each(|d| at.role(&y, d, Role::Heads));
    }
    Some(())
}

/// `Y = α · A' · B' + β · C`.
fn gemm(at: &mut At<'_>) -> Option<()> {
    let (a, b, y) = (at.input(0)?, at.input(1)?, at.output(0)?);
    if a.rank() != 2 || b.rank() != 2 || y.rank() != 2 {
        return None;
    }
    let (ta, tb) = (usize::from(at.int("transA", 0) != 0), usize::from(at.int("transB", 0) != 0));
    at.link(&a, 1 - ta, &b, tb);
    at.link(&a, ta, &y, 0);
    at.link(&b, 1 - tb, &y, 1);
    if at.constant(1) {
        at.role(&b, tb, Role::Columns);
        at.role(&b, 1 - tb, Role::Rows);
    }
    at.sum(0, &a, 1 - ta, Some((&b, tb)));
    if let Some(c) = at.input(2) {
        let before = 2usize.checked_sub(c.rank())?;
        (0..c.rank()).for_each(|d| at.link_broadcast(&c, d, &y, d + before));
    }
    Some(())
}

/// Operands of four dims `[batch, heads, tokens, size]`. With fewer heads of keys and values, each serves as many heads of the query: they
/// are one unit. Operands of three dims hold the heads in their last dim.
fn attention(at: &mut At<'_>) -> Option<()> {
    let (q, k, v, y) = (at.input(0)?, at.input(1)?, at.input(2)?, at.output(0)?);
    if at.has(4) || at.has(5) || at.node().outputs().len() > 1 {
        return None;
    }
    let wide = q.rank() == 3;
    if ![3, 4].contains(&q.rank()) || [&k, &v, &y].iter().any(|s| s.rank() != q.rank()) {
        return None;
    }
    let heads = if wide { 2 } else { 1 };
    let count = |at: &At<'_>, s: &Shaped, name: &str| {
        if wide { at.node().attrs.int(name).and_then(|n| usize::try_from(n).ok()) } else { s.size(1) }
    };
    let keys = count(at, &k, "kv_num_heads")?;
    let queries = count(at, &q, "q_num_heads")?;
    if keys == 0 || !queries.is_multiple_of(keys) {
        return None;
    }
    for s in [&q, &k, &v, &y] {
        at.link(s, 0, &q, 0);
        (1..s.rank()).filter(|d| *d != heads).for_each(|d| at.pin(s, d, "needs it whole"));
    }
    let axes: Vec<AxisId> = [&q, &k, &v, &y].into_iter().filter_map(|s| at.axis(s, heads)).collect();
    if axes.len() == 4 {
        at.tie_blocks(&axes, keys);
    } else {
        [&q, &k, &v, &y].into_iter().for_each(|s| at.pin(s, heads, "has a single head on one side"));
    }
    at.role(&y, heads, Role::Heads);
    if let Some(mask) = at.input(3) {
        // A mask for each head goes with its head.
        let d = mask.rank().checked_sub(3);
        (0..mask.rank()).filter(|i| Some(*i) != d).for_each(|i| at.pin(&mask, i, "needs it whole"));
        if let Some(d) = d {
            if wide { at.pin(&mask, d, "needs it whole") } else { at.link_broadcast(&mask, d, &q, 1) }
        }
    }
    Some(())
}

/// Heads turn one by one; the places within a head belong together.
fn rotary(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    if x.rank() != 4 || at.int("num_heads", 0) != 0 {
        return None;
    }
    at.link_all(&x, &y);
    at.pin(&x, 3, "turns pairs of it");
    at.pin(&x, 2, "turns each of it by another angle");
    for slot in 1..at.node().inputs().len() {
        if let Some(s) = at.input(slot) {
            at.pin_all(&s, "needs it whole");
        }
    }
    Some(())
}

/// One scale for all, or one for each lane of an axis.
fn quantize(at: &mut At<'_>) -> Option<()> {
    let (x, y) = (at.input(0)?, at.output(0)?);
    if at.int("block_size", 0) != 0 {
        return None;
    }
    at.link_all(&x, &y);
    for slot in 1..at.node().inputs().len() {
        let s = at.input(slot)?;
        if s.rank() == 1 && s.size(0) != Some(1) {
            let axis = x.dim(at.int("axis", 1))?;
            at.link(&s, 0, &x, axis);
        }
    }
    Some(())
}
