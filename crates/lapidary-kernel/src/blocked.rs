//! Products with weights that are codes of few bits, scaled block by block along the sum:
//!
//! `Σ_b s[n, b] · Σ_j x[m, b, j] · (q[n, b, j] − z)`
//!
//! Lowering writes such a sum as two reductions, the inner one over a block, the outer one over blocks, so that codes are read as codes and
//! their scales count once for a block. The left factor is f32, or signed codes of 8 bits with a scale for each row and block. Zero points that
//! vary are a second sum over blocks, of the products of what `x` sums up to and `−s·z`.

use crate::{AxisId, BinaryOp, ExprId, ExprKind, Index, Kernel, LocalId, QUAD, ReduceOp, Stmt};
use lapidary_ir::{DType, Dim};

/// Bits of a word of codes: what a lane of a vector holds.
pub const WORD_BITS: i64 = 32;
/// Columns of a panel of packed weights: one AVX-512 register of f32, two of AVX2.
pub const PANEL: i64 = 16;

/// What the first statements of a kernel compute, see the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocked {
    /// The sum over one block.
    pub partial: LocalId,
    /// The axis within a block.
    pub inner: AxisId,
    /// The loads of both factors: of f32 or codes on the left, of codes on the right.
    pub a: ExprId,
    pub b: ExprId,
    /// What is taken from each code before it is multiplied by a float.
    pub zero: i64,
    /// The left factor is codes, and the partial sum an i32.
    pub codes: bool,
    /// The sum over blocks; `None` where one block is the whole sum, which needs no scale before its end.
    pub blocks: Option<Blocks>,
}

/// The sum over blocks of `(partial − minus) · row_scale · scale + offset.0 · offset.1`. All are loads: `scale` and `offset.1` of something for
/// each column and block, the others for each row and block.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// Together they count blocks.
    pub axes: Vec<AxisId>,
    pub total: LocalId,
    pub scale: ExprId,
    pub minus: Option<ExprId>,
    pub row_scale: Option<ExprId>,
    pub offset: Option<(ExprId, ExprId)>,
}

impl Blocked {
    /// The axes that count blocks.
    pub fn block_axes(&self) -> &[AxisId] {
        self.blocks.as_ref().map_or(&[], |b| &b.axes)
    }
    /// The loads of what there is for each row: the left factor, and what belongs to a row and block.
    pub fn row_operands(&self) -> Vec<ExprId> {
        let of_blocks = self.blocks.iter().flat_map(|b| [b.minus, b.row_scale, b.offset.map(|o| o.0)]);
        [self.a].into_iter().chain(of_blocks.flatten()).collect()
    }
    /// How many statements it takes.
    pub fn statements(&self) -> usize {
        1 + usize::from(self.blocks.is_some())
    }
    /// The local that the rest of the kernel reads.
    pub fn result(&self) -> LocalId {
        self.blocks.as_ref().map_or(self.partial, |b| b.total)
    }
}

/// Whether values of the type are codes of few bits.
pub fn is_code(dtype: DType) -> bool {
    dtype.is_int() && dtype.bits() <= 8
}

/// Sizes of codes in panels: `[ceil(N / 16), blocks…, block / per, 16, 4, per / 4]`, `per` the codes of a word. Each lane of a vector reads the
/// word of its column; shifted to the right by one code after the other, its bytes hold four neighbours of the sum at a time.
pub fn packed_dims(columns: &Dim, blocks: &[Dim], block: &Dim, bits: i64) -> Vec<Dim> {
    let per = WORD_BITS / bits;
    let mut dims = vec![columns.ceil_div(&Dim::from(PANEL))];
    dims.extend(blocks.iter().cloned());
    dims.extend([block.floor_div(&Dim::from(per)), Dim::from(PANEL), Dim::from(QUAD), Dim::from(per / QUAD)]);
    dims
}

/// The place of a code in panels: column `n`, block `b`, position `j` within the block.
pub fn packed_index(n: &Index, b: &[Index], j: &Index, bits: i64, extent: &impl Fn(AxisId) -> Dim) -> Vec<Index> {
    let per = WORD_BITS / bits;
    let (panel, quad) = (Dim::from(PANEL), Dim::from(QUAD));
    let mut at = vec![n.floor_div(&panel, extent)];
    at.extend(b.iter().cloned());
    at.extend([j.floor_div(&Dim::from(per), extent), n.modulo(&panel, extent), j.modulo(&quad, extent)]);
    at.push(j.floor_div(&quad, extent).modulo(&Dim::from(per / QUAD), extent));
    at
}

/// The place of a block's scale in panels.
pub fn packed_scale_index(n: &Index, b: &[Index], extent: &impl Fn(AxisId) -> Dim) -> Vec<Index> {
    let panel = Dim::from(PANEL);
    let mut at = vec![n.floor_div(&panel, extent)];
    at.extend(b.iter().cloned());
    at.push(n.modulo(&panel, extent));
    at
}

impl Kernel {
    /// The product in blocks that the kernel begins with.
    pub fn blocked(&self) -> Option<Blocked> {
        let (Stmt::Reduce { local: partial, op: ReduceOp::Sum, over, value }, rest) = self.body.split_first()? else { return None };
        let &[inner] = over.as_slice() else { return None };
        let ExprKind::Binary(BinaryOp::Mul, x, y) = self.expr(*value).kind else { return None };
        let codes = match self.local(*partial).dtype {
            DType::F32 => false,
            DType::I32 => true,
            _ => return None,
        };
        let (a, b, zero) = if codes {
            (self.cast_code(x, DType::I32)?, self.cast_code(y, DType::I32)?, 0)
        } else {
            let (y, zero) = match self.expr(y).kind {
                ExprKind::Binary(BinaryOp::Sub, v, z) => (v, self.whole_constant(z)?),
                _ => (y, 0),
            };
            (x, self.cast_code(y, DType::F32)?, zero)
        };
        let left = if codes { DType::I8 } else { DType::F32 };
        let plain = |e: ExprId| matches!(&self.expr(e).kind, ExprKind::Load { guard, .. } if guard.is_empty());
        // Signed by signed codes have no instruction; products of bytes that are not in blocks are another form.
        let unsigned = !self.expr(b).dtype.is_signed_int();
        if self.expr(a).dtype != left || !plain(a) || !plain(b) || codes && !unsigned {
            return None;
        }
        let blocks = match self.local(*partial).axes.as_slice() {
            [] if codes => return None,
            [] => None,
            axes => Some(self.blocks(axes, *partial, rest)?),
        };
        Some(Blocked { partial: *partial, inner, a, b, zero, codes, blocks })
    }

    fn blocks(&self, axes: &[AxisId], partial: LocalId, rest: &[Stmt]) -> Option<Blocks> {
        let Some(Stmt::Reduce { local: total, op: ReduceOp::Sum, over, value }) = rest.first() else { return None };
        if *over != axes || !self.local(*total).axes.is_empty() || self.local(*total).dtype != DType::F32 {
            return None;
        }
        let load = |e: ExprId| matches!(&self.expr(e).kind, ExprKind::Load { guard, .. } if guard.is_empty()).then_some(e);
        let product = |e: ExprId| match self.expr(e).kind {
            ExprKind::Binary(BinaryOp::Mul, x, y) => Some((x, y)),
            _ => None,
        };
        let (scaled, offset) = match self.expr(*value).kind {
            ExprKind::Binary(BinaryOp::Add, v, o) => {
                let (x, y) = product(o)?;
                (v, Some((load(x)?, load(y)?)))
            }
            _ => (*value, None),
        };
        let (sum, scale) = product(scaled)?;
        let (row_scale, scale) = match product(scale) {
            Some((r, s)) => (Some(load(r)?), load(s)?),
            None => (None, load(scale)?),
        };
        let sum = match self.expr(sum).kind {
            ExprKind::Cast(v) => v,
            _ => sum,
        };
        let (sum, minus) = match self.expr(sum).kind {
            ExprKind::Binary(BinaryOp::Sub, v, c) => (v, Some(load(c)?)),
            _ => (sum, None),
        };
        (self.expr(sum).kind == ExprKind::Local(partial)).then_some(Blocks { axes: axes.to_vec(), total: *total, scale, minus, row_scale, offset })
    }

    fn cast_code(&self, e: ExprId, to: DType) -> Option<ExprId> {
        match self.expr(e).kind {
            ExprKind::Cast(v) if self.expr(e).dtype == to && is_code(self.expr(v).dtype) => Some(v),
            _ => None,
        }
    }

    fn whole_constant(&self, e: ExprId) -> Option<i64> {
        match self.expr(e).kind {
            ExprKind::Const(s) if s.as_f64().fract() == 0.0 && s.as_f64().abs() < 256.0 => Some(s.as_f64() as i64),
            _ => None,
        }
    }

    /// The only parallel axis that a load walks.
    pub fn only_axis(&self, load: ExprId) -> Option<AxisId> {
        let ExprKind::Load { index, .. } = &self.expr(load).kind else { return None };
        let mut axes = vec![];
        index.iter().for_each(|i| i.axes(&mut axes));
        axes.retain(|a| self.is_parallel(*a));
        axes.dedup();
        match axes.as_slice() {
            [a] => Some(*a),
            _ => None,
        }
    }
}
