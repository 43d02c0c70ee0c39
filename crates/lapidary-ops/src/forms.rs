//! What the version forms of several operators share. A lift leaves the node with the version that brought the newer form; a lower
//! leaves the version to its caller, who knows the target.

use crate::Form;
use lapidary_ir::{Attr, Attrs, Graph, NodeId, NodeSpec, OpName, Tensor, TensorType, Value, ValueId};
use lapidary_ir::{Result, Shape};

/// Version 6 dropped the attribute `consumed_inputs`, which never meant anything to a result.
pub(crate) const CONSUMED_INPUTS: Form = Form {
    since: 6,
    lift: |g, n| {
        g.node_mut(n).attrs.remove("consumed_inputs");
        lifted(g, n, 6)
    },
    lower: |_, _| Ok(()),
};

/// Version 7 brought numpy broadcasting to binary operators; before, `broadcast=1` aligned operand 1 with the axes of operand 0 from
/// `axis` on.
pub(crate) const BROADCAST: Form = Form { since: 7, lift: lift_broadcast, lower: lower_broadcast };

/// Version 8 brought numpy broadcasting to variadic operators.
pub(crate) const VARIADIC: Form = Form {
    since: 8,
    lift: |g, n| lifted(g, n, 8),
    lower: |g, n| {
        let mut dims = g.node(n).inputs().iter().flatten().map(|v| g.ty(*v).dims());
        let first = dims.next().flatten();
        if first.is_some() && dims.all(|d| d == first) { Ok(()) } else { Err("before version 8, operands must have equal shapes".into()) }
    },
};

/// Notes that the node has the form of version `since`.
pub(crate) fn lifted(g: &mut Graph, n: NodeId, since: u32) -> Result<bool> {
    g.node_mut(n).op.version = since;
    Ok(true)
}

/// Makes a new constant the operand in `slot`.
pub(crate) fn set_constant(g: &mut Graph, n: NodeId, slot: usize, hint: &str, tensor: Tensor) {
    let label = g.node(n).outputs().first().map(|v| v.name.clone()).unwrap_or_default();
    let name = g.fresh_name(&format!("{label}_{hint}"));
    let value = g.add_const(name, tensor);
    g.set_input(n, slot, Some(value));
}

/// The tensor of the constant operand in `slot`: `Ok(None)` when the operand is omitted, an error when it is computed.
pub(crate) fn constant(g: &Graph, n: NodeId, slot: usize, what: &str) -> Result<Option<std::sync::Arc<Tensor>>, String> {
    match g.node(n).input(slot) {
        None => Ok(None),
        Some(v) => match g.as_constant(v) {
            Some(t) => Ok(Some(t.clone())),
            None => Err(format!("'{what}' is computed, and older versions have it as an attribute")),
        },
    }
}

/// Takes the operand in `slot` away.
pub(crate) fn drop_operand(g: &mut Graph, n: NodeId, slot: usize) {
    g.set_input(n, slot, None);
}

/// Moves the attribute `name` (a list of integers) to the operand in `slot`.
pub(crate) fn ints_to_operand(g: &mut Graph, n: NodeId, name: &str, slot: usize) {
    if let Some(Attr::Ints(v)) = g.node_mut(n).attrs.remove(name) {
        set_constant(g, n, slot, name, Tensor::from_vec(v));
    }
}

/// Moves the constant operand in `slot` to the attribute `name` (a list of integers).
pub(crate) fn operand_to_ints(g: &mut Graph, n: NodeId, slot: usize, name: &str) -> Result<(), String> {
    if let Some(t) = constant(g, n, slot, name)? {
        let ints = t.to_i64().ok_or_else(|| format!("'{name}' is not integer"))?;
        drop_operand(g, n, slot);
        g.node_mut(n).attrs.set(name, ints);
    }
    Ok(())
}

/// Puts `count` axes of size one behind the last axis of a value of this rank.
pub(crate) fn append_axes(g: &mut Graph, before: NodeId, value: ValueId, rank: usize, count: usize) -> ValueId {
    let position = g.node(before).position;
    let hint = g.value(value).name.clone();
    let axes: Vec<i64> = (rank..rank + count).map(|a| a as i64).collect();
    let axes_name = g.fresh_name(&format!("{hint}_axes"));
    let axes = g.add_const(axes_name, Tensor::from_vec(axes));
    let shape = match g.ty(value).dims() {
        Some(d) => Shape::of(d.iter().cloned().chain((0..count).map(|_| 1.into()))),
        None => Shape::Unranked,
    };
    let ty = TensorType::new(g.dtype(value), shape);
    let name = g.fresh_name(&format!("{hint}_aligned"));
    let mut spec = NodeSpec::new(OpName::onnx("Unsqueeze", 13), [value, axes], vec![Value::new(name, ty)]).attrs(Attrs::new());
    spec.position = Some(position);
    g.add(spec).out(0)
}

fn lift_broadcast(g: &mut Graph, n: NodeId) -> Result<bool> {
    let node = g.node(n);
    let (broadcast, axis) = (node.attrs.int("broadcast") == Some(1), node.attrs.int("axis"));
    if broadcast && let (Some(axis), Some(a), Some(b)) = (axis, node.input(0), node.input(1)) {
        let (Some(ra), Some(rb)) = (g.ty(a).rank(), g.ty(b).rank()) else { return Ok(false) };
        let Some(axis) = crate::numbers::axis_index(axis, ra) else { return Ok(false) };
        let count = ra.saturating_sub(axis + rb);
        if count > 0 && rb > 0 {
            let aligned = append_axes(g, n, b, rb, count);
            g.set_input(n, 1, Some(aligned));
        }
    }
    let attrs = &mut g.node_mut(n).attrs;
    for name in ["broadcast", "axis", "consumed_inputs"] {
        attrs.remove(name);
    }
    lifted(g, n, 7)
}

fn lower_broadcast(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let dims = |slot| g.node(n).input(slot).and_then(|v| g.ty(v).dims());
    let (Some(a), Some(b)) = (dims(0), dims(1)) else { return Err("before version 7, shapes must be known".into()) };
    if a == b {
        return Ok(());
    }
    if a.len() < b.len() || &a[a.len() - b.len()..] != b {
        return Err("before version 7, only operand 1 is broadcast, to the last axes of operand 0".into());
    }
    g.node_mut(n).attrs.set("broadcast", 1);
    Ok(())
}

/// Attributes that version `$since` brought, each with the value that means what older versions do: it goes when the node is made older,
/// and any other value has no older form. `then` is asked too. One form holds all that a version brought, as each version is undone once.
macro_rules! new_attribute {
    ($since:expr, $($name:literal, $neutral:expr);+ $(; then $f:expr)?) => {
        $crate::Form {
            since: $since,
            lift: |g, n| $crate::forms::lifted(g, n, $since),
            lower: |g, n| {
                $($crate::forms::drop_neutral(g, n, $name, $neutral.into(), $since)?;)+
                $(let more: fn(&mut lapidary_ir::Graph, lapidary_ir::NodeId) -> Result<(), String> = $f;
                more(g, n)?;)?
                Ok(())
            },
        }
    };
}
pub(crate) use new_attribute;

/// A list of integers that became an operand: attribute `$name`, operand `$slot`.
macro_rules! list_to_operand {
    ($since:expr, $name:literal, $slot:expr) => {
        $crate::Form {
            since: $since,
            lift: |g, n| {
                $crate::forms::ints_to_operand(g, n, $name, $slot);
                $crate::forms::lifted(g, n, $since)
            },
            lower: |g, n| $crate::forms::operand_to_ints(g, n, $slot, $name),
        }
    };
}
pub(crate) use list_to_operand;

/// Takes an attribute away that says what its absence says before version `since`.
pub(crate) fn drop_neutral(g: &mut Graph, n: NodeId, name: &str, neutral: Attr, since: u32) -> Result<(), String> {
    match g.node(n).attrs.get(name) {
        None => Ok(()),
        Some(v) if *v == neutral => {
            g.node_mut(n).attrs.remove(name);
            Ok(())
        }
        Some(_) => Err(format!("attribute '{name}' exists since version {since} only")),
    }
}

/// Axes counted from the end, in a list attribute of the node, as axes counted from the front of a tensor of the rank that `rank` gives.
pub(crate) fn axes_from_front(g: &mut Graph, n: NodeId, name: &str, rank: Option<usize>) -> Result<(), String> {
    let Some(list) = g.node(n).attrs.ints(name).filter(|l| l.iter().any(|a| *a < 0)) else { return Ok(()) };
    let Some(rank) = rank else { return Err(format!("'{name}' counts from the end, and the rank is not known")) };
    let front: Vec<i64> = list.iter().map(|a| if *a < 0 { a + rank as i64 } else { *a }).collect();
    g.node_mut(n).attrs.set(name, front);
    Ok(())
}

/// The rank of the operand in `slot`.
pub(crate) fn rank_of(g: &Graph, n: NodeId, slot: usize) -> Option<usize> {
    g.ty(g.node(n).input(slot)?).rank()
}

/// Makes another operator of the node.
pub(crate) fn rename(g: &mut Graph, n: NodeId, name: &str, version: u32) {
    g.node_mut(n).op = OpName::onnx(name, version);
}
