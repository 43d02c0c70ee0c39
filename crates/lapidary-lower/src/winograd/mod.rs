//! Convolutions of 3 × 3 by Winograd's algorithms F(4×4, 3×3) and F(2×2, 3×3): four times fewer products, or 2.25 times, in exchange for sums
//! before and after; at stride 2 by those of their even and odd taps: 1.8 or 1.4 times fewer.
//!
//! A tile of 6 × 6 inputs gives 4 × 4 outputs: `Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`, summed over the input channels between the brackets. One kernel
//! becomes three: the inputs' transform, 36 products of matrices (tiles × channels by channels × outputs), and the outputs' transform with what
//! followed the sum. The weights' transform depends on constants alone. Tiles of 4 × 4 inputs give 2 × 2 outputs; their transformed weights are
//! less than half as large, and small images are covered with less waste.
//!
//! Results differ from those of the plain sum by about 1e-5 of the largest, as the products are larger than the sums that are left of them.
//!
//! Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), §4.

mod transform;

pub use transform::Form;

use crate::chooser::Chooser;
use crate::contract::{self, Contract};
use crate::rewrite::{AxisMap, Copier, LoadSite, copy_stmt};
use lapidary_ir::{DType, Dim, Dims, Name, Result};
use lapidary_kernel::{
    AxisId, Buffer, BufferId, BufferKind, ExprId, ExprKind, Factors, Guard, Index, Kernel, KernelBuilder, PANEL, Program, Stmt, WINOGRAD, typical,
};
use transform::{TAPS, Transform};

/// What it takes to be worth it: products a nanosecond, and elements of a transformed tile.
const PRODUCTS_PER_NS: f64 = 100.0;
const TRANSFORMED_PER_NS: f64 = 18.0;
/// Steps of a sum for which a register tile begins and ends.
const TILE_STEPS: f64 = 4.0;
/// Bytes a nanosecond from memory, and from the last cache.
const MEMORY_PER_NS: f64 = 20.0;
const FAR_PER_NS: f64 = 60.0;
/// Bytes that the caches of a core hold, and the last one.
const NEAR_BYTES: f64 = 5e5;
const CACHED_BYTES: f64 = 8e6;
/// Tiles of a row that make strips worth it.
const LEAST_ROWS: f64 = 14.0;
/// What it may cost in parts of the plain sum.
const GAIN: f64 = 0.9;

/// Rewrites every convolution that gains by it; `exact`: none.
pub fn rewrite(p: &mut Program, exact: bool, choices: &mut Chooser) -> Result<()> {
    let mut i = 0;
    while i < p.kernels.len() {
        let found = contract::recognize(p, &p.kernels[i]).and_then(|c| Conv::of(p, &p.kernels[i], &c)).filter(Conv::fills_registers);
        let best = |c: &Conv| if exact { None } else { c.best() };
        let form = choices.form(&p.kernels[i].name, found.as_ref().map(best), exact)?;
        let Some(conv) = found.and_then(|c| Some(Conv { by: Transform { form: form?, ..c.by }, ..c })) else {
            i += 1;
            continue;
        };
        let k = p.kernels[i].clone();
        let kernels = conv.kernels(p, &k);
        let n = kernels.len();
        p.kernels.splice(i..=i, kernels);
        i += n;
    }
    Ok(())
}

/// A convolution with 3 × 3 taps at stride 1 or 2, and how it is computed.
struct Conv {
    by: Transform,
    a: BufferId,
    a_index: Vec<Index>,
    a_dims: Dims,
    b: BufferId,
    b_index: Vec<Index>,
    /// Rows and columns of the output, each with its tap and its dim of the input.
    window: [(AxisId, AxisId, usize); 2],
    /// The other axes of the rows: images of the batch.
    others: Vec<AxisId>,
    channels: AxisId,
    outputs: AxisId,
    extents: Vec<Dim>,
    names: Vec<Name>,
}

impl Conv {
    fn of(p: &Program, k: &Kernel, c: &Contract) -> Option<Conv> {
        let load = |e: ExprId| match &k.expr(e).kind {
            ExprKind::Load { buffer, index, guard, .. } => Some((*buffer, index.clone(), guard.clone())),
            _ => None,
        };
        let ((a, a_index, a_guard), (b, b_index, _)) = (load(c.a)?, load(c.b)?);
        let three = |x: &AxisId| k.extent(*x).as_const() == Some(TAPS);
        if c.factors != Factors::F32 || !c.batch.is_empty() || c.n.len() != 1 || c.k.len() != 3 || p.buffer(b).constant().is_none() {
            return None;
        }
        // Along each tap the input moves as it does along one axis of the output.
        let along = |tap: &AxisId| {
            let dim = a_index.iter().position(|i| i.mentions(*tap))?;
            let i = &a_index[dim];
            let step = |x: &AxisId| i.coefficient(*x).and_then(|c| c.as_const());
            let mut axes = vec![];
            i.axes(&mut axes);
            let m = *axes.iter().find(|x| *x != tap)?;
            let alone = a_index.iter().enumerate().all(|(d, i)| d == dim || !i.mentions(*tap) && !i.mentions(m));
            let stride = step(&m).filter(|s| (1..=2).contains(s))?;
            let simple = i.is_affine() && axes.len() == 2 && step(tap) == Some(1) && c.m.contains(&m) && i.offset().as_const().is_some();
            (alone && simple).then_some(((m, *tap, dim), stride))
        };
        let (taps, strides): (Vec<(AxisId, AxisId, usize)>, Vec<i64>) = c.k.iter().filter(|x| three(x)).filter_map(along).unzip();
        let (&[first, second], &[stride, other]) = (taps.as_slice(), strides.as_slice()) else { return None };
        if stride != other {
            return None;
        }
        let channels = *c.k.iter().find(|x| **x != first.1 && **x != second.1)?;
        let others: Vec<AxisId> = c.m.iter().copied().filter(|x| *x != first.0 && *x != second.0).collect();
        let window = [first, second];
        // Nothing else may decide what is read, or be written.
        // A part of the channels may be read, as of what is concatenated in place.
        let from_start = |i: &Index| i.sub(&Index::from(i.offset().clone())).as_axis();
        let plain = |i: &Index| from_start(i).is_some_and(|x| x == channels || others.contains(&x)) || i.as_const().is_some();
        let rest = a_index.iter().enumerate().filter(|(d, _)| !window.iter().any(|w| w.2 == *d));
        let guarded = a_guard.iter().all(|(i, d)| window.iter().any(|w| a_index[w.2] == *i && p.buffer(a).dims[w.2] == *d));
        let weights = b_index.iter().all(|i| i.as_axis().is_some() || i.as_const() == Some(0));
        let stores = k.body[1..].iter().all(|s| matches!(s, Stmt::Store { guard, .. } if guard.is_empty()));
        if !rest.into_iter().all(|(_, i)| plain(i)) || !guarded || !weights || !stores {
            return None;
        }
        let (extents, names) = k.axes.iter().map(|a| (a.extent.clone(), a.name.clone())).unzip();
        Some(Conv {
            by: Transform { form: Form::F4, stride },
            a,
            a_index,
            a_dims: p.buffer(a).dims.clone(),
            b,
            b_index,
            window,
            others,
            channels,
            outputs: c.n[0],
            extents,
            names,
        })
    }
    fn extent(&self, a: AxisId) -> &Dim {
        &self.extents[a.0 as usize]
    }
    /// Tiles along the first or second axis of the window.
    fn tiles(&self, w: usize) -> Dim {
        self.extent(self.window[w].0).ceil_div(&Dim::from(self.by.out()))
    }
    /// Few channels fill no registers.
    fn fills_registers(&self) -> bool {
        [self.channels, self.outputs].into_iter().all(|a| self.extent(a).as_const().is_some_and(|n| n >= PANEL))
    }
    /// The form whose sums cost least, if they cost less than the products that it saves.
    fn best(&self) -> Option<Form> {
        let (channels, outputs) = (self.extent(self.channels).as_const()?, self.extent(self.outputs).as_const()?);
        let (channels, outputs) = (channels as f64, outputs as f64);
        let size = |w: usize| typical::size(self.extent(self.window[w].0)) as f64;
        let images: f64 = self.others.iter().map(|a| self.extent(*a).as_const().unwrap_or(1) as f64).product();
        let direct = images * size(0) * size(1) * channels * outputs * (TAPS * TAPS) as f64 / PRODUCTS_PER_NS;
        let cost = |form: Form| {
            let by = Transform { form, ..self.by };
            let tiles = |w: usize| (size(w) / by.out() as f64).ceil();
            let (strips, row) = (images * tiles(0), tiles(1));
            let (tiles, positions) = (strips * row, by.positions() as f64);
            let transformed = positions * tiles * (channels + outputs);
            // Strip by strip, weights are read again for each; all at once, what is transformed goes through memory.
            let weights = 4.0 * by.weight_positions() as f64 * channels * outputs;
            let by_strips = match weights > NEAR_BYTES {
                true => strips * weights / FAR_PER_NS,
                false => 0.0,
            };
            let at_once = match 4.0 * transformed > CACHED_BYTES {
                true => 8.0 * transformed / MEMORY_PER_NS,
                false => 0.0,
            };
            let memory = at_once.min(if row < LEAST_ROWS { at_once } else { by_strips });
            // Tiles fetch the next weights while they multiply: what takes longer counts.
            let fetching = weights / if weights > CACHED_BYTES { MEMORY_PER_NS } else { FAR_PER_NS };
            let products = positions * tiles * (channels + TILE_STEPS) * outputs / PRODUCTS_PER_NS;
            products.max(fetching) + transformed / TRANSFORMED_PER_NS + memory
        };
        let costs = [Form::F4, Form::F2].map(|f| (f, cost(f)));
        let (form, least) = if costs[1].1 < costs[0].1 { costs[1] } else { costs[0] };
        (least < GAIN * direct).then_some(form)
    }
    fn kernels(&self, p: &mut Program, k: &Kernel) -> Vec<Kernel> {
        let (u, weights) = self.weights(p, k);
        let (v, inputs) = self.inputs(p, k);
        let (m, products) = self.products(p, k, v, u);
        vec![weights, inputs, products, self.outputs(k, m)]
    }
    fn builder(&self, k: &Kernel, what: &str) -> KernelBuilder {
        KernelBuilder::new(format!("{WINOGRAD}{what} {}", k.name), &k.origin)
    }
    /// Parallel axes for the images and the tiles.
    fn tile_axes(&self, b: &mut KernelBuilder) -> (Vec<AxisId>, [AxisId; 2]) {
        let others = self.others.iter().map(|a| b.parallel(&self.names[a.0 as usize], self.extent(*a).clone())).collect();
        let tiles = [b.parallel("t0", self.tiles(0)), b.parallel("t1", self.tiles(1))];
        (others, tiles)
    }
    /// Dims of transformed data: positions, images, tiles, channels. One tile more than there are, lest the positions of a tile lie at powers of two
    /// from each other, which share few lines of a cache.
    fn dims(&self, last: &Dim) -> Dims {
        let images = self.others.iter().map(|a| self.extent(*a).clone());
        [Dim::from(self.by.positions())].into_iter().chain(images).chain([self.tiles(0), &self.tiles(1) + &Dim::from(1), last.clone()]).collect()
    }
    fn temp(p: &mut Program, k: &Kernel, what: &str, dims: Dims) -> BufferId {
        p.add_buffer(Buffer { name: format!("{}.{what}", k.name).into(), dtype: DType::F32, dims, kind: BufferKind::Temp })
    }

    /// `G g Gᵀ`, in the panels that the tiles stream.
    fn weights(&self, p: &mut Program, k: &Kernel) -> (BufferId, Kernel) {
        let mut b = self.builder(k, "weights");
        let outputs = self.extent(self.outputs).clone();
        let panel = b.parallel("panel", outputs.ceil_div(&Dim::from(PANEL)));
        let channel = b.parallel("c", self.extent(self.channels).clone());
        let lane = b.parallel("lane", Dim::from(PANEL));
        let output = Index::from(panel).scale(&Dim::from(PANEL)).add(&lane.into());
        let taps = grid(TAPS, |i, j| {
            let at = |x: AxisId| match x {
                x if x == self.outputs => output.clone(),
                x if x == self.channels => channel.into(),
                x if x == self.window[0].1 => Index::from(i),
                _ => Index::from(j),
            };
            let index: Vec<Index> = self.b_index.iter().map(|i| i.as_axis().map_or(Index::from(0), at)).collect();
            b.load_guarded(self.b, DType::F32, index, vec![(output.clone(), outputs.clone())], None)
        });
        let u = Self::temp(
            p,
            k,
            "weights",
            [Dim::from(self.by.weight_positions()), outputs.ceil_div(&Dim::from(PANEL)), self.extent(self.channels).clone(), Dim::from(PANEL)].into(),
        );
        for (x, v) in both_ways(&mut b, &taps, &|b, x| self.by.weights(b, x)).into_iter().flatten().enumerate() {
            b.store(u, [Index::from(x as i64), panel.into(), channel.into(), lane.into()], v);
        }
        (u, b.finish())
    }
    /// `Bᵀ d B`.
    fn inputs(&self, p: &mut Program, k: &Kernel) -> (BufferId, Kernel) {
        let mut b = self.builder(k, "inputs");
        let (others, tiles) = self.tile_axes(&mut b);
        let channel = b.parallel("c", self.extent(self.channels).clone());
        let data = grid(self.by.inputs(), |i, j| {
            let at = |x: AxisId| match x {
                x if x == self.window[0].0 => Index::from(tiles[0]).scale(&Dim::from(self.by.out())),
                x if x == self.window[1].0 => Index::from(tiles[1]).scale(&Dim::from(self.by.out())),
                x if x == self.window[0].1 => Index::from(i),
                x if x == self.window[1].1 => Index::from(j),
                x if x == self.channels => channel.into(),
                x => self.others.iter().position(|o| *o == x).map_or(Index::from(0), |o| others[o].into()),
            };
            let index: Vec<Index> = self.a_index.iter().map(|i| i.substitute(&at, &Index::value, &|a| b.extent(a))).collect();
            let guard: Guard = self.window.iter().map(|w| (index[w.2].clone(), self.a_dims[w.2].clone())).collect();
            b.load_guarded(self.a, DType::F32, index, guard, None)
        });
        let v = Self::temp(p, k, "inputs", self.dims(self.extent(self.channels)));
        // What is computed of the same inputs comes one after the other: few vectors are held at a time.
        let size = self.by.inputs() as usize;
        let mut values: Vec<(usize, ExprId)> = both_ways(&mut b, &data, &|b, d| self.by.data(b, d)).into_iter().flatten().enumerate().collect();
        values.sort_by_key(|(x, _)| (self.by.is_odd(x / size), self.by.is_odd(x % size)));
        for (x, e) in values {
            b.store(v, position(x, &others, tiles, channel), e);
        }
        (v, b.finish())
    }
    /// The products of transformed inputs and weights, summed over the channels.
    fn products(&self, p: &mut Program, k: &Kernel, v: BufferId, u: BufferId) -> (BufferId, Kernel) {
        let mut b = self.builder(k, "products");
        // Strips of tiles come first: they can be taken through all three kernels one by one.
        let mut others: Vec<AxisId> = self.others.iter().map(|a| b.parallel(&self.names[a.0 as usize], self.extent(*a).clone())).collect();
        others.push(b.parallel("t0", self.tiles(0)));
        let x = b.parallel("x", Dim::from(self.by.positions()));
        let tiles = [b.parallel("t1", self.tiles(1))];
        let output = b.parallel("o", self.extent(self.outputs).clone());
        let channel = b.axis("c", self.extent(self.channels).clone());
        let at = |last: AxisId| -> Vec<Index> { [x].iter().chain(&others).chain(&tiles).chain([&last]).map(|a| (*a).into()).collect() };
        let left = b.load(v, DType::F32, at(channel));
        let panel = Dim::from(PANEL);
        let (group, lane) = (b.floor_div(&output.into(), &panel), b.modulo(&output.into(), &panel));
        let weight = self.by.weight_of(&b, x);
        let right = b.load(u, DType::F32, [weight, group, channel.into(), lane]);
        let product = b.mul(left, right);
        let sum = b.reduce(lapidary_kernel::ReduceOp::Sum, DType::F32, &[channel], product);
        let m = Self::temp(p, k, "products", self.dims(self.extent(self.outputs)));
        b.store(m, at(output), sum);
        (m, b.finish())
    }
    /// `Aᵀ M A`, and for each of the tile's outputs what followed the sum.
    fn outputs(&self, k: &Kernel, m: BufferId) -> Kernel {
        let mut b = self.builder(k, "outputs");
        let (others, tiles) = self.tile_axes(&mut b);
        let output = b.parallel("o", self.extent(self.outputs).clone());
        let size = self.by.inputs();
        let sums = grid(size, |i, j| b.load(m, DType::F32, position((i * size + j) as usize, &others, tiles, output)));
        let values = both_ways(&mut b, &sums, &|b, s| self.by.sums(b, s));
        let Some(Stmt::Reduce { local, .. }) = k.body.first() else { return b.finish() };
        for (i, row) in values.iter().enumerate() {
            for (j, v) in row.iter().enumerate() {
                let at = |w: usize, by: usize| Index::from(tiles[w]).scale(&Dim::from(self.by.out())).add_dim(&Dim::from(by as i64));
                let here = [at(0, i), at(1, j)];
                let mut index = vec![Index::from(0); k.axes.len()];
                index[self.outputs.0 as usize] = output.into();
                self.others.iter().zip(&others).for_each(|(old, new)| index[old.0 as usize] = (*new).into());
                self.window.iter().zip(&here).for_each(|(w, at)| index[w.0.0 as usize] = at.clone());
                // The last tiles reach beyond the output.
                let inside: Guard = self.window.iter().zip(&here).map(|(w, at)| (at.clone(), self.extent(w.0).clone())).collect();
                let inside: Guard = inside.into_iter().filter(|(i, d)| !i.known_within(d, &|a| b.extent(a))).collect();
                let mut copier = Copier::new(k, index, 0);
                copier.replace_local(*local, *v);
                let map = AxisMap::same(k);
                for s in &k.body[1..] {
                    copy_stmt(&mut b, &mut copier, s, &map, &mut |b, mut l: LoadSite| {
                        if l.index.iter().any(|i| tiles.iter().any(|t| i.mentions(*t))) {
                            l.guard.extend(inside.iter().cloned());
                        }
                        l.keep(b)
                    });
                    if let Some(Stmt::Store { guard, .. }) = b.kernel_mut().body.last_mut() {
                        guard.extend(inside.iter().cloned());
                    }
                }
            }
        }
        b.finish()
    }
}

/// The index of transformed data.
fn position(x: usize, others: &[AxisId], tiles: [AxisId; 2], last: AxisId) -> Vec<Index> {
    let axes = others.iter().chain(&tiles).chain([&last]).map(|a| Index::from(*a));
    [Index::from(x as i64)].into_iter().chain(axes).collect()
}

fn grid(n: i64, mut each: impl FnMut(i64, i64) -> ExprId) -> Vec<Vec<ExprId>> {
    (0..n).map(|i| (0..n).map(|j| each(i, j)).collect()).collect()
}

/// A linear map of columns, then of rows: `T x Tᵀ`.
fn both_ways(b: &mut KernelBuilder, x: &[Vec<ExprId>], map: &impl Fn(&mut KernelBuilder, &[ExprId]) -> Vec<ExprId>) -> Vec<Vec<ExprId>> {
    let columns: Vec<Vec<ExprId>> = (0..x[0].len()).map(|j| map(b, &x.iter().map(|row| row[j]).collect::<Vec<_>>())).collect();
    (0..columns[0].len()).map(|i| map(b, &columns.iter().map(|c| c[i]).collect::<Vec<_>>())).collect()
}
