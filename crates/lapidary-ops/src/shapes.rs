//! Small questions that shape rules and evaluators share: axes, sizes read from operands, contents moved like elements.

use crate::cells::{CellsMut, visit};
use crate::def::EvalFn;
use crate::{Contents, Datum, EvalCtx, EvalOptions, InferCtx};
use lapidary_ir::{DType, Diagnostic, Dim, Result, Shape, Tensor};

/// What can report a mistake at its node.
pub trait Report {
    fn report(&self, code: &'static str, message: String) -> Diagnostic;
}
impl Report for InferCtx<'_> {
    fn report(&self, code: &'static str, message: String) -> Diagnostic {
        self.error(code, message)
    }
}
impl Report for EvalCtx<'_> {
    fn report(&self, code: &'static str, message: String) -> Diagnostic {
        self.error(code, message)
    }
}

/// An axis as ONNX writes it, negative from the end, among `rank` axes.
pub fn axis_in(c: &impl Report, axis: i64, rank: usize) -> Result<usize> {
    let at = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(at) {
        Ok(a) if a < rank => Ok(a),
        _ => Err(c.report("axis-range", format!("axis {axis} is not within rank {rank}")).into()),
    }
}

/// Several different axes.
pub fn axes_in(c: &impl Report, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut out: Vec<usize> = vec![];
    for axis in axes {
        let a = axis_in(c, *axis, rank)?;
        if out.contains(&a) {
            return Err(c.report("axis-range", format!("axis {axis} is given twice")).into());
        }
        out.push(a);
    }
    Ok(out)
}

/// A size that must not be negative.
pub fn size_of(c: &impl Report, what: &str, v: i64) -> Result<usize> {
    usize::try_from(v).map_err(|_| c.report("negative-size", format!("{what} cannot be {v}")).into())
}

/// The shape that an integer operand spells: its contents, else as many unknown dims as it has elements, else nothing known.
pub fn shape_from(c: &mut InferCtx<'_>, slot: usize) -> Shape {
    if let Some(contents) = c.contents(slot) {
        return Shape::Ranked(contents.dims.into_iter().map(|d| non_negative(c, d)).collect());
    }
    match c.dims(slot) {
        Some([n]) => match n.as_const().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= MAX_RANK) {
            Some(rank) => c.fresh_shape(rank),
            None => Shape::Unranked,
        },
        _ => Shape::Unranked,
    }
}

/// Ranks that only a broken file asks for are not believed.
pub const MAX_RANK: usize = 64;

fn non_negative(c: &mut InferCtx<'_>, d: Dim) -> Dim {
    match d.as_const() {
        Some(v) if v < 0 => c.symbols.fresh(),
        _ => d,
    }
}

/// Carries contents through an operator that only moves elements: runs its evaluator on the numbers of the elements, and looks the
/// result up. `data` are the operands whose elements move; the others must compute to plain numbers. Nothing happens when something
/// is not known. Number 0 stands for the constant zero, which padding inserts.
pub fn move_contents(c: &mut InferCtx<'_>, data: &[usize], eval: EvalFn) {
    let mut known = vec![Dim::from(0)];
    let mut operands: Vec<Option<Datum>> = vec![];
    for slot in 0..c.input_count() {
        if !c.has(slot) {
            operands.push(None);
            continue;
        }
        let Some(contents) = c.contents(slot) else { return };
        let values: Vec<i64> = if data.contains(&slot) {
            let first = known.len() as i64;
            known.extend(contents.dims.iter().cloned());
            (first..known.len() as i64).collect()
        } else {
            let Some(values) = contents.as_ints() else { return };
            values
        };
        let Ok(t) = Tensor::from_i64(DType::I64, &contents.sizes, &values) else { return };
        operands.push(Some(t.into()));
    }
    let inputs: Vec<Option<&Datum>> = operands.iter().map(Option::as_ref).collect();
    let options = EvalOptions { max_value_bytes: 8 * Contents::LIMIT };
    // A mistake shows again, with a message, when the shape rule or the run meets it.
    let Ok(results) = eval(&EvalCtx::new(c.node, &inputs, &options)) else { return };
    for (output, result) in results.iter().enumerate() {
        let Some((t, places)) = result.as_tensor().and_then(|t| Some((t, t.to_i64()?))) else { continue };
        let dims = places.iter().map(|p| known.get(*p as usize).cloned()).collect::<Option<Vec<_>>>();
        if let Some(dims) = dims {
            c.set_contents(output, Contents { sizes: t.sizes().into(), dims });
        }
    }
}

/// Numpy broadcasting of plain sizes.
pub fn broadcast_sizes(c: &impl Report, a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            (x, y) => Err(c.report("shape-conflict", format!("shapes {a:?} and {b:?} cannot be broadcast: {x} and {y} differ")).into()),
        })
        .collect()
}

/// The strides with which a tensor of `sizes` is read as if it had the larger shape `to`: 0 along broadcast axes.
pub fn broadcast_strides(sizes: &[usize], to: &[usize]) -> Vec<isize> {
    let own = crate::cells::strides(sizes);
    let lead = to.len() - sizes.len();
    (0..to.len()).map(|i| if i < lead || (sizes[i - lead] == 1 && to[i] != 1) { 0 } else { own[i - lead] as isize }).collect()
}

/// `t` repeated to the shape `to`, which it must broadcast to.
pub fn expand(t: &Tensor, to: &[usize]) -> Result<Tensor> {
    if t.sizes() == to {
        return Ok(t.clone());
    }
    crate::cells::strided(t, to, &broadcast_strides(t.sizes(), to), 0)
}

/// Reads an index operand: each value in `-size..size`, negative ones from the end.
pub fn index_in(c: &impl Report, i: i64, size: usize) -> Result<usize> {
    let at = if i < 0 { i.saturating_add(size as i64) } else { i };
    match usize::try_from(at) {
        Ok(a) if a < size => Ok(a),
        _ => Err(c.report("index-range", format!("index {i} is not within an axis of size {size}")).into()),
    }
}

/// An unused-axis-free box copy: writes `from` (of `sizes`) into `out` (of `out_sizes`) with its corner at `corner`.
pub fn place(out: &mut CellsMut, out_sizes: &[usize], from: &Tensor, corner: &[usize]) {
    let cells = crate::cells::Cells::of(from);
    let sizes = from.sizes();
    let Some((inner, outer)) = sizes.split_last() else {
        out.put(0, &cells, 0);
        return;
    };
    let to = crate::cells::strides(out_sizes);
    let last = sizes.len() - 1;
    let mut row = 0;
    visit(outer, |index| {
        let start: usize = index.iter().enumerate().map(|(a, i)| (i + corner[a]) * to[a]).sum::<usize>() + corner[last];
        out.put_run(start, &cells, row * inner, *inner);
        row += 1;
    });
}
impl Report for crate::LowerCtx<'_> {
    fn report(&self, _code: &'static str, message: String) -> Diagnostic {
        self.unsupported(message)
    }
}
