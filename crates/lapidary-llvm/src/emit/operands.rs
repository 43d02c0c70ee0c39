//! What of a kernel a register tile multiplies: the two loads, their strides, and what stands in for rows outside the input.

use super::tile::{self, Factors, Family, LANES};
use lapidary_ir::Dim;
use lapidary_kernel::blocked::{WORD_BITS, packed_index, packed_scale_index};
use lapidary_kernel::f29::{STEPS, WORDS};
use lapidary_kernel::{
    self as kernel, Atom, AxisId, BinaryOp, Blocked, BufferId, Cpu, ExprId, ExprKind, F29, Guard, Index, Kernel, LocalId, Program, QUAD, ReduceOp,
    Schedule, Stmt, linearize,
};

/// Elements that stand for a row outside the input.
const PADDING_LIMIT: i64 = 1 << 16;

/// What a tile multiplies, and where it lies.
#[derive(Clone, Debug)]
pub struct Operands {
    pub family: Family,
    pub local: LocalId,
    /// Axes with one value per chunk.
    pub batch: Vec<AxisId>,
    pub m: Vec<AxisId>,
    pub n: AxisId,
    /// Reduced axes but the inner one: each of their points is a tap.
    pub taps: Vec<AxisId>,
    pub inner: AxisId,
    pub a: BufferId,
    pub a_flat: Index,
    pub a_guard: Guard,
    /// What is read where the guard fails, unless that is 0.
    pub a_padding: Option<ExprId>,
    pub a_stride: Dim,
    pub b: BufferId,
    /// B's index without the axes `n`, `taps` and `inner`.
    pub b_base: Index,
    pub b_tap: Dim,
    pub b_inner: Dim,
    pub b_panel: Dim,
    /// Steps of the inner sum.
    pub steps: Dim,
    /// Bytes of scratch memory for a row of padding that is not 0.
    pub padding_bytes: i64,
    /// B is weights in blocks.
    pub blocks: Option<BlockOperands>,
    /// Statements of the kernel that the tile computes.
    pub statements: usize,
}

/// What is read for each block besides the factors.
#[derive(Clone, Debug, Default)]
pub struct BlockOperands {
    pub scale: Option<BufferId>,
    pub minus: Option<BufferId>,
    pub row_scale: Option<BufferId>,
    /// For each row, and for each column.
    pub offset: Option<(BufferId, BufferId)>,
}

impl Operands {
    /// `None` where the tiles do not fit.
    pub fn of(kernel: &Kernel, program: &Program, kept: &dyn Fn(BufferId) -> Option<F29>, cpu: Cpu) -> Option<Operands> {
        if let Some(c) = kernel.blocked() {
            return Operands::of_blocks(kernel, program, cpu, &c);
        }
        let Some(Schedule::Contract { batch, m, n, k, a, b }) = &kernel.schedule else { return None };
        let axes = |v: &[u16]| v.iter().map(|a| AxisId(*a)).collect::<Vec<_>>();
        let (mut batch, m, n, k) = (axes(batch), axes(m), axes(n), axes(k));
        let (first, rest) = kernel.body.split_first()?;
        let Stmt::Reduce { local, op: ReduceOp::Sum, value, over } = first else { return None };
        let local_axes_free = kernel.local(*local).axes.is_empty();
        let simple = |s: &Stmt| match s {
            Stmt::Store { axes, .. } => axes.is_empty(),
            Stmt::Let { local, .. } => kernel.local(*local).axes.is_empty(),
            Stmt::Reduce { .. } => false,
        };
        if !local_axes_free || !rest.iter().all(simple) || over.len() != k.len() || kernel.reads_own() || kernel.serial {
            return None;
        }
        let (a, b) = (ExprId(*a), ExprId(*b));
        let ExprKind::Binary(BinaryOp::Mul, x, y) = kernel.expr(*value).kind else { return None };
        let (of, [x, y]) = kernel.factors(kernel.local(*local).dtype, x, y)?;
        let flip = if (x.load, y.load) == (a, b) {
            x.moved
        } else if (x.load, y.load) == (b, a) {
            y.moved
        } else {
            return None;
        };
        // Elements of a step of the inner sum.
        let (width, grouped) = (Dim::from(of.group()), of.group() > 1);
        let (n, outer_n) = n.split_last()?;
        let (inner, taps) = k.split_last()?;
        batch.extend(outer_n);
        let mut factors = match of {
            kernel::Factors::F32 => Factors::F32,
            kernel::Factors::Bf16 => Factors::Bf16 { odd: kernel.extent(*inner).as_const()? % 2 != 0 },
            kernel::Factors::Codes => Factors::Codes { flip },
        };
        let operand = |e: ExprId| match &kernel.expr(e).kind {
            ExprKind::Load { buffer, index, guard, otherwise } => {
                let zero = otherwise.is_none_or(|o| matches!(kernel.expr(o).kind, ExprKind::Const(s) if s.as_f64() == 0.0));
                let d = program.buffer(*buffer);
                let known = of == kernel::Factors::Codes || zero;
                let padding = otherwise.filter(|_| !zero);
                known.then(|| (*buffer, linearize(index, &d.dims), guard.clone(), index.clone(), padding))
            }
            _ => None,
        };
        let (a, a_flat, a_guard, _, a_padding) = operand(a)?;
        let (b, b_flat, b_guard, b_index, _) = operand(b)?;

        // A: a fixed stride along the inner sum, nothing along n.
        let a_stride = a_flat.coefficient(*inner)?;
        if a_flat.mentions(*n) || a_guard.iter().any(|(i, _)| i.mentions(*n) || i.mentions(*inner)) || !b_guard.is_empty() {
            return None;
        }
        let one = Dim::from(1);
        if grouped && a_stride.as_const() != Some(1) {
            return None;
        }
        // Rows outside the input are read as zeros, of which there must be enough.
        let reach = (&(&(kernel.extent(*inner) - &one) * &a_stride) + &one).as_const();
        if !a_guard.is_empty() && reach.is_none_or(|r| r > PADDING_LIMIT) {
            return None;
        }
        let padding_bytes = if a_padding.is_some() { reach.unwrap_or(0) + QUAD } else { 0 };
        // B: panels of 16 columns, one stride from tap to tap.
        if m.iter().any(|x| b_flat.mentions(*x)) {
            return None;
        }
        let lanes = Dim::from(LANES as i64);
        let b_inner = if grouped {
            let quotient = b_flat.terms().iter().find_map(|(atom, c)| match atom {
                Atom::FloorDiv(x, d) if *d == width && x.as_axis() == Some(*inner) => Some(c.clone()),
                _ => None,
            });
            quotient.unwrap_or(&lanes * &width)
        } else {
            b_flat.coefficient(*inner)?
        };
        let b_tap = match taps.split_last() {
            None => Dim::from(0),
            Some((last, outer)) => {
                let stride = b_flat.coefficient(*last)?;
                let mut expect = &stride * kernel.extent(*last);
                for x in outer.iter().rev() {
                    if b_flat.coefficient(*x)? != expect {
                        return None;
                    }
                    expect = &expect * kernel.extent(*x);
                }
                stride
            }
        };
        let (mut b_panel, mut unit) = (lanes.clone(), false);
        let n_extent = kernel.extent(*n);
        let moving = |x: &AxisId| x == n || x == inner || taps.contains(x);
        for (atom, c) in b_flat.terms() {
            match atom {
                Atom::Axis(x) if x == n && !grouped => {
                    let last = program.buffer(b).dims.last().and_then(|d| d.as_const());
                    let at_end = b_index.last().is_some_and(|i| i.as_axis() == Some(*n));
                    let padded = at_end && last.is_some_and(|d| d % LANES as i64 == 0);
                    let whole = n_extent.as_const().is_some_and(|e| e % LANES as i64 == 0);
                    if c.as_const() != Some(1) || !(padded || whole) {
                        return None;
                    }
                    unit = true;
                }
                // Groups that hold the whole axis are no quotients and remainders.
                Atom::Axis(x) if x == n => match n_extent.as_const() {
                    Some(e) if e <= LANES as i64 && *c == width => unit = true,
                    _ => return None,
                },
                Atom::Axis(x) if grouped && x == inner => match (c.as_const(), kernel.extent(*inner).as_const()) {
                    (Some(1), Some(e)) if e <= of.group() => {}
                    _ => return None,
                },
                Atom::Axis(_) => {}
                Atom::FloorDiv(x, d) if *d == lanes && x.as_axis() == Some(*n) => b_panel = c.clone(),
                Atom::Mod(x, d) if *d == lanes && x.as_axis() == Some(*n) && *c == width => unit = true,
                Atom::FloorDiv(x, d) if grouped && *d == width && x.as_axis() == Some(*inner) => {}
                Atom::Mod(x, d) if grouped && *d == width && x.as_axis() == Some(*inner) && c.as_const() == Some(1) => {}
                Atom::FloorDiv(x, _) | Atom::Mod(x, _) => {
                    if kernel.axes.iter().enumerate().any(|(i, _)| moving(&AxisId(i as u16)) && x.mentions(AxisId(i as u16))) {
                        return None;
                    }
                }
                Atom::Value(_) => return None,
            }
        }
        if !unit {
            return None;
        }
        let extent = |x: AxisId| kernel.extent(x).clone();
        let b_base = b_flat.substitute(&|x| if moving(&x) { Index::from(0) } else { x.into() }, &Index::value, &extent);

        // In units of 4 bytes, as are strides from here on.
        let steps = if grouped { kernel.extent(*inner).ceil_div(&width) } else { kernel.extent(*inner).clone() };
        let unit_of = |d: Dim| if grouped { d.exact_div(&width) } else { Some(d) };
        let (mut b_tap, b_inner, mut b_panel) = (unit_of(b_tap)?, unit_of(b_inner)?, unit_of(b_panel)?);
        if let Some(form) = kept(b) {
            // Panels of one row's product, from the first to the last.
            let words = (form.steps * LANES as usize) as i64;
            let grouped = kernel.extent(*inner).modulo(&Dim::from(STEPS as i64)).as_const() == Some(0);
            let plain = factors == Factors::F32 && b_inner == lanes && b_base == Index::from(0) && b_panel.as_const() == Some(words);
            if !plain || !grouped || m.iter().any(|x| kernel.extent(*x).as_const() != Some(1)) {
                return None;
            }
            factors = Factors::F29;
            b_tap = (&b_tap * &Dim::from(WORDS as i64)).exact_div(&Dim::from(STEPS as i64))?;
            b_panel = Dim::from(form.panel_words() as i64);
        }
        let family = Family::new(cpu, a_stride.as_const() == Some(1), b_inner.as_const() == Some(LANES as i64), factors);
        Some(Operands {
            family,
            local: *local,
            batch,
            m,
            n: *n,
            taps: taps.to_vec(),
            inner: *inner,
            a,
            a_flat,
            a_guard,
            a_padding,
            a_stride,
            b,
            b_base,
            b_tap,
            b_inner,
            b_panel,
            steps,
            padding_bytes,
            blocks: None,
            statements: 1,
        })
    }
    /// A product with weights in blocks: codes in panels, a block a tap.
    fn of_blocks(kernel: &Kernel, program: &Program, cpu: Cpu, c: &Blocked) -> Option<Operands> {
        let Some(Schedule::Contract { m, n, .. }) = &kernel.schedule else { return None };
        let m: Vec<AxisId> = m.iter().map(|a| AxisId(*a)).collect();
        let &[n] = n.as_slice() else { return None };
        let n = AxisId(n);
        let extent = |a: AxisId| kernel.extent(a).clone();
        let load = |e: ExprId| match &kernel.expr(e).kind {
            ExprKind::Load { buffer, index, .. } => Some((*buffer, index)),
            _ => None,
        };
        let stores = kernel.body[c.statements()..].iter().all(|s| matches!(s, Stmt::Store { axes, .. } if axes.is_empty()));
        let taps = c.block_axes().to_vec();
        let at_block: Vec<Index> = taps.iter().map(|a| (*a).into()).collect();
        let count = taps.iter().fold(Dim::from(1), |d, a| &d * kernel.extent(*a));
        let dtype = kernel.expr(c.b).dtype;
        let bits = dtype.bits() as i64;
        let ((a, a_index), (b, b_index)) = (load(c.a)?, load(c.b)?);
        let a_flat = linearize(a_index, &program.buffer(a).dims);
        if !stores || *b_index != packed_index(&n.into(), &at_block, &c.inner.into(), bits, &extent) {
            return None;
        }
        let words = kernel.extent(c.inner).exact_div(&Dim::from(WORD_BITS / bits))?;
        let a_stride = a_flat.coefficient(c.inner)?;
        if c.codes && a_stride.as_const() != Some(1) {
            return None;
        }
        let mut operands = BlockOperands::default();
        if let Some(blocks) = &c.blocks {
            // Rows count through the axes of `m` in order, each row with one element for each block.
            let by_row = m.iter().chain(&taps).fold(Index::from(0), |i, x| i.scale(kernel.extent(*x)).add(&(*x).into()));
            let of_row = |e: ExprId| load(e).filter(|(b, i)| linearize(i, &program.buffer(*b).dims) == by_row).map(|(b, _)| b);
            let by_column = packed_scale_index(&n.into(), &at_block, &extent);
            let of_column = |e: ExprId| load(e).filter(|(_, i)| **i == by_column).map(|(b, _)| b);
            let maybe = |e: Option<ExprId>| e.map(|e| of_row(e).ok_or(())).transpose();
            operands.scale = Some(of_column(blocks.scale)?);
            operands.minus = maybe(blocks.minus).ok()?;
            operands.row_scale = maybe(blocks.row_scale).ok()?;
            if let Some((row, column)) = blocks.offset {
                operands.offset = Some((of_row(row)?, of_column(column)?));
            }
        }
        let factors = Factors::Blocks(tile::Blocks {
            bits: bits as u32,
            signed: dtype.is_signed_int(),
            zero: c.zero,
            codes: c.codes,
            scaled: operands.scale.is_some(),
            minus: operands.minus.is_some(),
            row_scale: operands.row_scale.is_some(),
            offset: operands.offset.is_some(),
        });
        let lanes = Dim::from(LANES as i64);
        let block = &words * &lanes;
        Some(Operands {
            family: Family::new(cpu, a_stride.as_const() == Some(1), true, factors),
            local: c.result(),
            batch: vec![],
            m,
            n,
            taps,
            inner: c.inner,
            a,
            a_flat,
            a_guard: vec![],
            a_padding: None,
            a_stride,
            b,
            b_base: Index::from(0),
            b_tap: block.clone(),
            b_inner: lanes,
            b_panel: &count * &block,
            steps: words,
            padding_bytes: 0,
            blocks: Some(operands),
            statements: c.statements(),
        })
    }
    /// Bytes of zeros for one row.
    pub fn zero_bytes(&self, kernel: &Kernel) -> i64 {
        let one = Dim::from(1);
        let elements = (&(&(kernel.extent(self.inner) - &one) * &self.a_stride) + &one).as_const().unwrap_or(1).max(1);
        // Codes are read in groups.
        elements * self.family.factors.element_bytes() + QUAD
    }
}
