//! Tiles that write where their results go: full ones, when nothing follows their sums but what tiles do themselves, a bias for each column and
//! bounds (Relu, Clip).

use super::expr::Emitter;
use super::ir::{Ir, V};
use super::memory::is_far;
use super::operands::Operands;
use super::scope::AxisValue;
use super::tile::{self, LANES};
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{AxisId, BinaryOp, BufferId, ExprId, ExprKind, Index, Kernel, Program, Stmt, linearize};

const UNBOUNDED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// What tiles do to sums, and where full ones write their results.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    bias: Option<Bias>,
    direct: Option<Direct>,
}

/// What is added to the sums of each column.
#[derive(Clone, Debug)]
struct Bias {
    row: Row,
    /// The sum with it, in which alone the sum is used.
    sum: ExprId,
}

/// Where results go that need nothing else.
#[derive(Clone, Debug)]
struct Direct {
    to: Row,
    /// From one row to the next.
    stride: Dim,
    /// No bounds are infinite.
    bounds: [f32; 2],
}

/// Elements side by side along the columns.
#[derive(Clone, Debug)]
struct Row {
    buffer: BufferId,
    flat: Index,
}

impl Row {
    fn of(o: &Operands, program: &Program, buffer: BufferId, index: &[Index]) -> Option<Row> {
        let flat = linearize(index, &program.buffer(buffer).dims);
        let mut values = vec![];
        flat.values(&mut values);
        let side_by_side = values.is_empty() && flat.coefficient(o.n)?.as_const() == Some(1);
        (side_by_side && program.buffer(buffer).dtype == DType::F32).then_some(Row { buffer, flat })
    }
}

impl Finish {
    /// `sums_alone`: just the tiles that write their results themselves can add a bias.
    pub fn of(o: &Operands, kernel: &Kernel, program: &Program, sums_alone: bool) -> Finish {
        if !o.family.factors.can_finish() {
            return Finish::default();
        }
        let bias = Bias::of(o, kernel, program);
        let sum = bias.as_ref().map(|b| b.sum);
        let direct = Direct::of(o, kernel, program, sum);
        Finish { bias: bias.filter(|_| direct.is_some() || !sums_alone), direct }
    }
    /// Whether there is more to do than to sum up.
    pub fn is_more(&self) -> bool {
        self.bias.is_some() || self.direct.as_ref().is_some_and(|d| d.bounds != UNBOUNDED)
    }
    /// Whether full tiles write their results themselves.
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }
    /// The expression that a tile computes that started from the bias.
    pub fn sum(&self) -> Option<ExprId> {
        self.bias.as_ref().map(|b| b.sum)
    }
}

impl Bias {
    fn of(o: &Operands, kernel: &Kernel, program: &Program) -> Option<Bias> {
        let mut users = kernel.exprs.iter().zip(kernel.live_exprs()).enumerate().filter(|(_, (e, live))| {
            let uses = e.kind.operands().iter().any(|x| is_sum(o, kernel, *x));
            *live && uses
        });
        let (sum, _) = users.next()?;
        let stored = kernel.body.iter().flat_map(Stmt::exprs).any(|e| is_sum(o, kernel, e));
        let sum = ExprId(sum as u32);
        let ExprKind::Binary(BinaryOp::Add, a, b) = kernel.expr(sum).kind else { return None };
        let bias = if is_sum(o, kernel, a) { b } else { a };
        let ExprKind::Load { buffer, index, guard, .. } = &kernel.expr(bias).kind else { return None };
        let row = Row::of(o, program, *buffer, index)?;
        let moving = |a: &AxisId| o.m.contains(a) || !kernel.is_parallel(*a);
        let steady = !(0..kernel.axes.len() as u16).map(AxisId).filter(moving).any(|a| row.flat.mentions(a));
        let alone = users.next().is_none() && !stored && kernel.expr(sum).dtype == DType::F32;
        (alone && steady && guard.is_empty() && !kernel.writes().contains(buffer)).then_some(Bias { row, sum })
    }
}

/// Whether the expression is the sum as the tile computes it.
fn is_sum(o: &Operands, kernel: &Kernel, e: ExprId) -> bool {
    matches!(kernel.expr(e).kind, ExprKind::Local(l) if l == o.local)
}

impl Direct {
    fn of(o: &Operands, kernel: &Kernel, program: &Program, with_bias: Option<ExprId>) -> Option<Direct> {
        let [Stmt::Store { buffer, index, axes, guard, value }] = &kernel.body[o.statements..] else { return None };
        let (value, bounds) = bounded(kernel, *value);
        let sum = with_bias == Some(value) || is_sum(o, kernel, value) && kernel.expr(value).dtype == DType::F32;
        if !sum || !axes.is_empty() || !guard.is_empty() || bounds[0] > bounds[1] {
            return None;
        }
        let to = Row::of(o, program, *buffer, index)?;
        let strides = o.m.iter().map(|a| to.flat.coefficient(*a)).collect::<Option<Vec<Dim>>>()?;
        let even = o.m.windows(2).zip(strides.windows(2)).all(|(axes, s)| s[0] == &s[1] * kernel.extent(axes[1]));
        let stride = strides.last().cloned().unwrap_or(Dim::from(0));
        even.then_some(Direct { to, stride, bounds })
    }
}

/// What lies within constant bounds, and these.
fn bounded(kernel: &Kernel, value: ExprId) -> (ExprId, [f32; 2]) {
    let (mut value, mut bounds) = (value, UNBOUNDED);
    while let ExprKind::Binary(op @ (BinaryOp::Min | BinaryOp::Max), v, bound) = kernel.expr(value).kind
        && let ExprKind::Const(bound) = kernel.expr(bound).kind
        && kernel.expr(value).dtype == DType::F32
        && !bound.as_f64().is_nan()
    {
        let bound = bound.as_f64() as f32;
        match op {
            BinaryOp::Min => bounds[1] = bounds[1].min(bound),
            _ => bounds[0] = bounds[0].max(bound),
        }
        value = v;
    }
    (value, bounds)
}

/// Where the results of a chunk go.
pub struct Places {
    bias: Option<V>,
    direct: Option<To>,
}

struct To {
    first: V,
    stride: V,
    bounds: Option<V>,
    /// What the buffer holds lies beyond the caches of a core.
    far: bool,
}

/// A tile that is to be computed.
pub struct Part {
    pub row: V,
    pub column: V,
    /// All of its columns exist.
    pub wide: V,
    /// All of its rows exist.
    pub full: V,
    /// Its epilogue expects that sums with a bias start from it where `wide`.
    pub starts: V,
    pub rows: i64,
    pub vectors: i64,
}

impl Places {
    /// Sets what a tile is told; gives whether it writes its results itself.
    pub fn tell(&self, ir: &Ir, args: &mut [V], part: &Part) -> V {
        let mut set = |at: usize, when: V, v: V| args[at] = ir.select(when, v, args[at]);
        let itself = if self.direct.is_some() { ir.and(part.wide, part.full) } else { ir.c1(false) };
        if let Some(bias) = self.bias {
            set(tile::BIAS, ir.or(itself, part.starts), ir.gep(ir.f32(), bias, part.column));
        }
        if let Some(to) = &self.direct {
            let here = ir.gep(ir.f32(), to.first, ir.add(ir.mul(part.row, to.stride), part.column));
            set(tile::OUT, itself, here);
            set(tile::OUT_ROW, itself, to.stride);
            to.bounds.into_iter().for_each(|b| set(tile::BOUNDS, itself, b));
            if to.far {
                fetch_next(ir, part, here, to.stride);
            }
        }
        itself
    }
}

/// Fetches where the results of the next tile go, when those of this one go `here`: as epilogues do, they come from memory while it multiplies.
fn fetch_next(ir: &Ir, part: &Part, here: V, stride: V) {
    for i in part.rows..2 * part.rows {
        let row = ir.gep(ir.f32(), here, ir.mul(stride, ir.c64(i)));
        (0..part.vectors).for_each(|j| ir.prefetch(ir.gep(ir.f32(), row, ir.c64(j * LANES as i64))));
    }
}

impl Emitter<'_, '_> {
    /// Where the results of this chunk's batch go, and what is added to them.
    pub fn places(&mut self, o: &Operands, f: &Finish) -> Result<Places> {
        let ir = self.ir;
        let bias = f.bias.as_ref().map(|b| self.first(o, &b.row)).transpose()?;
        let Some(d) = &f.direct else { return Ok(Places { bias, direct: None }) };
        let bounds = (d.bounds != UNBOUNDED).then(|| {
            let bounds = d.bounds.map(|b| ir.cfloat(ir.f32(), b.into()));
            ir.constant_global("lap_bounds", ir.cvec(&bounds), 8)
        });
        let far = is_far(self.program.buffer(d.to.buffer));
        let to = To { first: self.first(o, &d.to)?, stride: self.size(&d.stride)?, bounds, far };
        Ok(Places { bias, direct: Some(to) })
    }
    /// The address of the first row and column.
    fn first(&mut self, o: &Operands, row: &Row) -> Result<V> {
        let ir = self.ir;
        let w = self.begin_when(ir.c1(true));
        let axes = o.m.iter().chain([&o.n]).map(|a| (*a, AxisValue::Scalar(ir.c64(0))));
        self.current().axes.extend(axes);
        let first = self.index(&row.flat)?;
        let p = ir.gep(ir.f32(), self.base(row.buffer)?, first);
        Ok(self.end_when(w, &[], &[p])[0])
    }
}
