//! Contractions: a register tile, and around it blocks of rows and columns that stay in the caches. Convolutions are contractions whose
//! rows of A are found by index arithmetic.

use super::expr::{Ahead, Emitter};
use super::finish::{Finish, Part};
use super::ir::{IntCmp as I, V};
use super::operands::{BlockOperands, Operands};
use super::scope::AxisValue;
use super::tile::{self, Factors, LANES};
use lapidary_ir::{Diagnostic, Dim, Result};
use lapidary_kernel::{AxisId, Block, BufferId, Cpu, F29, Index, Kernel, Program, Stmt, Tile};
use std::ops::Deref;

/// Multiply-adds of a chunk at most: some tens of microseconds.
const CHUNK_PRODUCTS: i64 = 4 << 20;
/// Multiply-adds that are worth a chunk: some microseconds.
const LEAST_PRODUCTS: i64 = 512 << 10;
/// Multiply-adds that take as long as a word of B that comes from memory.
const PRODUCTS_A_WORD: i64 = 16;
/// Chunks that even out how far threads get.
const EVEN_CHUNKS: i64 = 64;
/// Tiles of rows that share a panel of B in the first-level cache.
const SHARING_TILES: i64 = 4;
/// Rows of A of one block stay in the L2 cache, beside a panel of B.
const A_BLOCK_BYTES: i64 = 384 << 10;
/// The columns of B that a chunk streams, where rows are few.
const B_BLOCK_BYTES: i64 = 1 << 20;
/// Steps of the inner sum up to which tiles that write their results themselves have one vector.
const BRIEF_STEPS: i64 = 32;
/// Stands for sizes that are known at run time only, in choosing blocks; any choice is correct.
const TYPICAL: i64 = 512;
/// Rows and panels of the largest block that may be asked for.
const MOST_BLOCK: i64 = 4096;
/// Expressions of a kernel whose epilogue may be written out for each vector of a tile.
const SHORT_EPILOGUE: usize = 40;

/// A kernel that the tiles can compute, cut into blocks.
#[derive(Clone, Debug)]
pub struct Contract {
    operands: Operands,
    /// Rows of a tile: of as many as registers hold, or few less, so that tiles are equally full.
    tile_rows: i64,
    /// Rows of a block, a multiple of the tile's.
    block_rows: i64,
    /// Panels of a block.
    block_panels: i64,
    vectors: i64,
    rows: Dim,
    panels: Dim,
    row_blocks: Dim,
    panel_blocks: Dim,
    pub chunks: Dim,
    pub scratch_bytes: Dim,
    /// The epilogue is written out for the vectors of a row.
    short: bool,
    /// It is written out for all vectors of a whole tile, whose sums are still in registers: of codes, where storing and loading them takes a
    /// quarter of the epilogue's time.
    in_registers: bool,
    finish: Finish,
}

impl Deref for Contract {
    type Target = Operands;
    fn deref(&self) -> &Operands {
        &self.operands
    }
}

impl Contract {
    /// `None` where the tiles do not fit; the kernel then runs as a nest of loops. `kept`: the form of buffers that do not lie as their sizes say;
    /// `asked`: the tile to take instead of the cost model's.
    pub fn of(kernel: &Kernel, program: &Program, kept: &dyn Fn(BufferId) -> Option<F29>, cpu: Cpu, asked: Option<Tile>) -> Result<Option<Contract>> {
        asked.map_or(Ok(()), |t| check(cpu, t))?;
        let Some(operands) = Operands::of(kernel, program, kept, cpu) else { return Ok(None) };
        // Weights in 29 bits have tiles of one row alone.
        let asked = asked.map(|t| if operands.family.factors == Factors::F29 { Tile { rows: 1, ..t } } else { t });
        let mut c = Contract::cut(operands, kernel, program, asked);
        let live = kernel.live_exprs().into_iter().filter(|live| *live).count();
        c.short = c.vectors > 1 && live <= SHORT_EPILOGUE;
        c.in_registers = c.short && c.tile_rows > 1 && matches!(c.family.factors, Factors::Codes { .. });
        c.finish = Finish::of(&c.operands, kernel, program, !c.short);
        c.operands.family.finishes = c.finish.is_more();
        Ok(Some(c))
    }
    /// Chooses the tile, and blocks of rows and columns.
    fn cut(operands: Operands, kernel: &Kernel, program: &Program, asked: Option<Tile>) -> Contract {
        let cpu = operands.family.cpu();
        let most_tile_rows = tile::row_counts(cpu)[0];
        let product = |axes: &[AxisId]| axes.iter().fold(Dim::from(1), |p, a| &p * kernel.extent(*a));
        let (rows, taps) = (product(&operands.m), product(&operands.taps));
        let panels = kernel.extent(operands.n).ceil_div(&Dim::from(LANES as i64));
        // Of A in units of 4 bytes, and of B's panels.
        let words = (&taps * &operands.steps).as_const().unwrap_or(TYPICAL).max(1);
        let depth = words * operands.family.factors.products();
        let ceil = |v: i64, by: i64| (v + by - 1) / by;
        let up = |v: i64, to: i64| ceil(v, to) * to;
        // Where the batch is known at run time only, one of its samples should fill tiles.
        let sample = rows.eval(&|_| Some(1)).unwrap_or(1);
        let tile_rows = match (asked, rows.as_const()) {
            (Some(tile), _) => tile.rows,
            (None, Some(r)) => even_rows(cpu, r.max(1)),
            (None, None) if sample >= most_tile_rows => even_rows(cpu, sample),
            (None, None) => most_tile_rows,
        };
        let asked_block = asked.and_then(|t| t.block);
        let most_rows = (A_BLOCK_BYTES / 4 / depth).clamp(tile_rows, 192) / tile_rows * tile_rows;
        let mut block_rows = match (asked_block, rows.as_const()) {
            (Some(block), _) => block.rows,
            (None, Some(r)) => up(ceil(r.max(1), ceil(r.max(1), most_rows)), tile_rows),
            (None, None) => most_rows.min(tile_rows * 8),
        };
        // Of weights in blocks few rows are usual.
        let typical_rows = if operands.blocks.is_some() { tile_rows } else { block_rows };
        let known_rows = rows.as_const().map_or(typical_rows, |r| r.clamp(1, block_rows));
        // Whole tiles of codes end in registers: narrower ones, if all of them are whole.
        let codes = matches!(operands.family.factors, Factors::Codes { .. });
        // Of sums so short that writing the results of a tile takes a good part of its time, smaller tiles overlap.
        let brief = words <= BRIEF_STEPS && Finish::of(&operands, kernel, program, true).is_direct();
        let vectors = match (asked, rows.as_const(), panels.as_const()) {
            (Some(tile), ..) => tile.vectors,
            (None, Some(1), _) => 1,
            (None, _, Some(p)) if brief && p >= tile::max_vectors(cpu) * 2 => 1,
            (None, _, Some(p)) if p == 4 || codes && p % 2 == 0 && p % 3 != 0 => 2.min(tile::max_vectors(cpu)),
            (None, _, p) => tile::max_vectors(cpu).min(p.unwrap_or(i64::MAX)).max(1),
        };
        let by_work = CHUNK_PRODUCTS / (known_rows * depth * LANES as i64);
        let by_bytes = B_BLOCK_BYTES / (words * LANES as i64 * 4);
        let mut block_panels = up(by_work.min(by_bytes).max(1), vectors);
        if let Some(p) = panels.as_const() {
            let mut blocks = ceil(p.max(1), block_panels);
            // What is known at run time only counts as few: rows as a block of them.
            let batch = product(&operands.batch).eval(&|_| Some(1)).unwrap_or(1);
            let r = rows.as_const().unwrap_or(sample.max(block_rows));
            if asked_block.is_none() {
                // Smaller blocks than the caches ask for, as long as they are worth a chunk: of rows first, whose places are found once for each block.
                let work = (r * depth).max(words * PRODUCTS_A_WORD) * p * LANES as i64 * batch;
                let wanted = (work / LEAST_PRODUCTS).min(EVEN_CHUNKS);
                let chunks = |block_rows: i64, blocks: i64| batch * ceil(r, block_rows) * blocks;
                if chunks(block_rows, blocks) < wanted {
                    let row_blocks = ceil(wanted, batch * blocks);
                    block_rows = block_rows.min(up(ceil(r.max(1), row_blocks), tile_rows).max(tile_rows * SHARING_TILES));
                }
                blocks = blocks.max(ceil(wanted, batch * ceil(r.max(1), block_rows)));
            }
            block_panels = up(ceil(p.max(1), blocks), vectors);
        }
        if let Some(block) = asked_block {
            block_panels = block.panels;
        }
        let (row_blocks, panel_blocks) = (rows.ceil_div(&Dim::from(block_rows)), panels.ceil_div(&Dim::from(block_panels)));
        let chunks = &(&product(&operands.batch) * &row_blocks) * &panel_blocks;
        let scratch_bytes = Dim::from(0);
        let mut c = Contract {
            operands,
            tile_rows,
            block_rows,
            block_panels,
            vectors,
            rows,
            panels,
            row_blocks,
            panel_blocks,
            chunks,
            scratch_bytes,
            short: false,
            in_registers: false,
            finish: Finish::default(),
        };
        let padding = lapidary_kernel::align(&Dim::from(c.padding_bytes));
        c.scratch_bytes = &(&c.table_bytes(&taps) + &Dim::from(c.coordinate_bytes())) + &padding;
        c
    }
    /// Of the table of row pointers of a block: for each tile and tap a vector of them.
    fn table_bytes(&self, taps: &Dim) -> Dim {
        &Dim::from(self.block_rows / self.tile_rows * tile::TABLE_ROWS * 8) * taps
    }
    /// Of where the rows of a block lie along each of their axes: for each tile and axis a vector.
    fn coordinate_bytes(&self) -> i64 {
        self.block_rows / self.tile_rows * tile::TABLE_ROWS * 8 * self.m.len() as i64
    }
    pub fn tile(&self) -> Tile {
        Tile { rows: self.tile_rows, vectors: self.vectors, block: Some(Block { rows: self.block_rows, panels: self.block_panels }) }
    }
    /// Chunks of one point of the first `axes` axes, which are batch axes.
    pub fn chunks_in_strip(&self, kernel: &Kernel, axes: usize) -> Dim {
        let inner = self.batch.iter().filter(|a| usize::from(a.0) >= axes).fold(Dim::from(1), |n, a| &n * kernel.extent(*a));
        &(&inner * &self.row_blocks) * &self.panel_blocks
    }
}

/// Refuses a tile for which there is no code, and a block that it does not fill.
fn check(cpu: Cpu, t: Tile) -> Result<()> {
    let (counts, vectors) = (tile::row_counts(cpu), tile::max_vectors(cpu));
    if !counts.contains(&t.rows) || t.vectors > vectors {
        let counts: Vec<String> = counts.iter().map(|c| c.to_string()).collect();
        let d = Diagnostic::error("schedule", format!("there is no tile '{}x{}' for {}", t.rows, t.vectors, cpu.name()));
        return Err(d.help(format!("tiles have {} rows and at most {vectors} vectors", counts.join(", "))).into());
    }
    let whole = |b: Block| b.rows % t.rows == 0 && b.panels % t.vectors == 0 && b.rows.max(b.panels) <= MOST_BLOCK;
    if !t.block.is_none_or(whole) {
        let d = Diagnostic::error("schedule", format!("the block of '{t}' does not fit its tile"));
        return Err(d.help(format!("blocks have multiples of the tile's rows and vectors, of each at most {MOST_BLOCK}")).into());
    }
    Ok(())
}

/// Rows of tiles that are about equally full when there are `rows`.
fn even_rows(cpu: Cpu, rows: i64) -> i64 {
    let counts = tile::row_counts(cpu);
    let tiles = (rows + counts[0] - 1) / counts[0];
    let even = (rows + tiles - 1) / tiles;
    counts.iter().copied().filter(|c| *c >= even).min().unwrap_or(counts[0])
}

impl Emitter<'_, '_> {
    /// Emits the whole body of the kernel's function.
    pub fn contract(&mut self, c: &Contract) -> Result<()> {
        let ir = self.ir;
        let cpu = c.family.cpu();
        let tile_rows = c.tile_rows;
        let row_floats = tile::max_vectors(cpu) * LANES as i64;
        let tile_memory = self.at(0, |s| s.ir.alloca(ir.array(ir.f32(), (tile::row_counts(cpu)[0] * row_floats) as u64), 64));
        let kernel = self.kernel;
        let product = |axes: &[AxisId], kernel: &Kernel| axes.iter().fold(Dim::from(1), |p, a| &p * kernel.extent(*a));
        let taps_dim = product(&c.taps, self.kernel);
        let (rows, panels, taps) = (self.size(&c.rows)?, self.size(&c.panels)?, self.size(&taps_dim)?);
        let (row_blocks, panel_blocks) = (self.size(&c.row_blocks)?, self.size(&c.panel_blocks)?);
        let inner = self.size(&c.steps)?;
        let (a_stride, b_tap, b_inner, b_panel) = (self.size(&c.a_stride)?, self.size(&c.b_tap)?, self.size(&c.b_inner)?, self.size(&c.b_panel)?);
        let columns = self.size(kernel.extent(c.n))?;
        let table = self.scratch;
        let table_bytes = self.size(&c.table_bytes(&taps_dim))?;
        let coordinates = self.at(0, |s| s.ir.gep_bytes(table, table_bytes));
        let zeros = match (c.a_guard.is_empty(), c.a_padding) {
            (true, _) => None,
            (false, None) => Some(ir.zeroed_global("lap_zero_row", c.zero_bytes(kernel) as u64, 64)),
            (false, Some(e)) => {
                let row = self.at(0, |s| s.ir.gep_bytes(coordinates, ir.c64(c.coordinate_bytes())));
                let code = self.expr(e)?;
                self.for_each(ir.c64(0), ir.c64(c.padding_bytes), 1, &[], |_, i, _| {
                    ir.store(code, ir.gep_bytes(row, i), 1);
                    Ok(vec![])
                })?;
                Some(row)
            }
        };
        let min = |a: V, b: V| ir.select(ir.icmp(I::LLVMIntSLT, a, b), a, b);
        let tile_type = tile::tile_type(ir, c.family);
        let tile_function = ir.function(&c.family.name(), tile_type);
        let whole_type = tile::whole_type(ir, c.family);
        let whole_function = ir.function(&c.family.whole_name(tile_rows, c.vectors), whole_type);

        let (first, last) = (ir.arg(self.function, 2), ir.arg(self.function, 3));
        self.for_each(first, last, 1, &[], |s, chunk, _| {
            let (rest, panel_block) = s.split(chunk, panel_blocks);
            let (batch, row_block) = s.split(rest, row_blocks);
            s.enter_point(&c.batch, batch)?;
            let row = ir.mul(row_block, ir.c64(c.block_rows));
            let count = min(ir.c64(c.block_rows), ir.sub(rows, row));
            let panel = ir.mul(panel_block, ir.c64(c.block_panels));
            let panel_end = min(ir.add(panel, ir.c64(c.block_panels)), panels);
            s.row_pointers(c, (table, coordinates), taps, zeros, (row, count))?;
            let b = s.operand(c, c.b, &c.b_base)?;
            let results = s.places(c, &c.finish)?;
            // While the rows of a block are multiplied by some panels, the next ones are fetched: each tile has its share of them.
            let (tiles, _) = super::scope::floor_div(ir, ir.add(count, ir.c64(tile_rows - 1)), ir.c64(tile_rows), true);
            let steps = ir.mul(taps, inner);
            let ahead = min(ir.add(ir.udiv(ir.c64(c.vectors * tile::LINE), tiles), ir.c64(1)), ir.c64(tile::LINES_AHEAD * tile::LINE));

            s.for_each(panel, panel_end, c.vectors, &[], |s, p, _| {
                let vectors = min(ir.c64(c.vectors), ir.sub(panel_end, p));
                let b = ir.gep(ir.f32(), b, ir.mul(p, b_panel));
                let next = ir.gep(ir.f32(), b, ir.mul(b_panel, ir.c64(c.vectors)));
                s.for_each(ir.c64(0), count, tile_rows, &[], |s, r, _| {
                    let left = min(ir.c64(tile_rows), ir.sub(count, r));
                    let (tile, _) = super::scope::floor_div(ir, r, ir.c64(tile_rows), true);
                    let pointers = ir.gep(ir.ptr(), table, ir.mul(ir.mul(tile, ir.c64(tile::TABLE_ROWS)), taps));
                    let places = ir.gep(ir.i64(), coordinates, ir.mul(tile, ir.c64(tile::TABLE_ROWS * c.m.len() as i64)));
                    let mut args = vec![pointers, taps, inner, a_stride, b, b_tap, b_inner, b_panel, tile_memory];
                    match &c.blocks {
                        Some(blocks) => args.extend(s.block_arguments(blocks, taps, p, ir.add(row, r))?),
                        None => args.extend([ir.gep_bytes(next, ir.mul(ir.mul(tile, steps), ahead)), ahead, ir.c64(row_floats)]),
                    }
                    let column = ir.mul(p, ir.c64(LANES as i64));
                    let within = |vectors: V| ir.icmp(I::LLVMIntSLE, ir.add(column, ir.mul(vectors, ir.c64(LANES as i64))), columns);
                    // Vectors of a row one after the other, without a loop, and what belongs to their columns in registers for all rows.
                    let at_once = if c.short { within(ir.c64(c.vectors)) } else { ir.c1(false) };
                    if c.family.finishes {
                        args.extend([ir.zero(ir.ptr()); 2]);
                    }
                    let full = ir.icmp(I::LLVMIntEQ, left, ir.c64(tile_rows));
                    let part =
                        Part { row: ir.add(row, r), column, wide: within(vectors), full, starts: at_once, rows: c.tile_rows, vectors: c.vectors };
                    let mut written = results.tell(ir, &mut args, &part);
                    // Few tiles are not whole.
                    let mut partial = ir.c1(true);
                    if tile_rows > 1 {
                        let whole = ir.and(full, if c.in_registers { at_once } else { ir.icmp(I::LLVMIntEQ, vectors, ir.c64(c.vectors)) });
                        partial = ir.not(whole);
                        let w = s.begin_when(whole);
                        if c.in_registers {
                            s.tile_in_registers(c, &args, (places, ir.add(row, r)), column)?;
                            written = whole;
                        } else {
                            ir.call(whole_type, whole_function, &args);
                        }
                        s.end_when(w, &[], &[]);
                    }
                    let w = s.begin_when(partial);
                    args.extend([left, vectors]);
                    ir.call(tile_type, tile_function, &args);
                    s.end_when(w, &[], &[]);
                    let sums = ir.vec(c.family.factors.sum(ir), LANES);
                    let unwritten = s.begin_when(ir.not(written));
                    let row_of = |s: &mut Self, i: V| {
                        let axes = s.row_axes(c, places, ir.add(row, r), i);
                        s.current().axes.extend(axes);
                        ir.gep(ir.f32(), tile_memory, ir.mul(i, ir.c64(row_floats)))
                    };
                    let vector_of = |s: &mut Self, from: V, j: V, whole: bool| {
                        let column = ir.mul(ir.add(p, j), ir.c64(LANES as i64));
                        let sum = ir.load(sums, ir.gep(ir.f32(), from, ir.mul(j, ir.c64(LANES as i64))), 64);
                        s.epilogue(c, column, columns, sum, whole)
                    };
                    if c.short {
                        let w = s.begin_when(at_once);
                        s.for_each(ir.c64(0), left, 1, &[], |s, i, _| {
                            let from = row_of(s, i);
                            (0..c.vectors).try_for_each(|j| vector_of(s, from, ir.c64(j), true))?;
                            Ok(vec![])
                        })?;
                        s.end_when(w, &[], &[]);
                    }
                    let w = s.begin_when(ir.not(at_once));
                    s.for_each(ir.c64(0), left, 1, &[], |s, i, _| {
                        let from = row_of(s, i);
                        s.for_each(ir.c64(0), vectors, 1, &[], |s, j, _| {
                            vector_of(s, from, j, false)?;
                            Ok(vec![])
                        })
                    })?;
                    s.end_when(w, &[], &[]);
                    s.end_when(unwritten, &[], &[]);
                    Ok(vec![])
                })
            })
        })?;
        ir.ret(None);
        Ok(())
    }
    /// A whole tile and what follows its sums, which stay in registers: one vector of columns after the other, so that scale and bias take registers
    /// for one vector only.
    fn tile_in_registers(&mut self, c: &Contract, args: &[V], (places, row): (V, V), column: V) -> Result<()> {
        let ir = self.ir;
        let zero = ir.zero(ir.vec(c.family.factors.sum(ir), LANES));
        let sums = tile::sums(ir, self.function, c.family, c.tile_rows, &vec![zero; c.vectors as usize], args);
        let rows: Vec<_> = (0..c.tile_rows).map(|i| self.row_axes(c, places, row, ir.c64(i))).collect();
        for j in 0..c.vectors {
            let column = ir.add(column, ir.c64(j * LANES as i64));
            for (axes, of_row) in rows.iter().zip(sums.chunks(c.vectors as usize)) {
                let w = self.begin_when(ir.c1(true));
                self.current().axes.extend(axes.iter().copied());
                self.epilogue(c, column, column, of_row[j as usize], true)?;
                self.end_when(w, &[], &[]);
            }
        }
        Ok(())
    }
    /// What tiles of weights in blocks read besides, from panel `p` and row `row` on.
    fn block_arguments(&mut self, c: &BlockOperands, taps: V, panel: V, row: V) -> Result<[V; 5]> {
        let ir = self.ir;
        let (rows, columns) = (ir.mul(row, taps), ir.mul(ir.mul(panel, taps), ir.c64(LANES as i64)));
        let at = |s: &mut Self, b: Option<BufferId>, offset: V| -> Result<V> {
            Ok(match b {
                Some(b) => ir.gep(ir.f32(), s.base(b)?, offset),
                None => ir.zero(ir.ptr()),
            })
        };
        let (of_rows, of_columns) = c.offset.unzip();
        let (scale, offset) = (at(self, c.scale, columns)?, at(self, of_columns, columns)?);
        Ok([scale, offset, at(self, c.row_scale, rows)?, at(self, c.minus, rows)?, at(self, of_rows, rows)?])
    }
    pub fn base(&self, b: BufferId) -> Result<V> {
        let base = self.pointers.get(&b).map(|p| p.base);
        base.ok_or_else(|| self.broken("an operand is not among the buffers read"))
    }
    /// The address of an element of a buffer that all lanes share.
    fn operand(&mut self, c: &Contract, b: BufferId, flat: &Index) -> Result<V> {
        let i = self.index(flat)?;
        let base = self.base(b)?;
        let element = self.ir.int(c.family.factors.element_bytes() as u32 * 8);
        Ok(self.ir.gep(element, base, i))
    }
    /// Fills the table of row pointers for `count` rows from `row` on, and remembers their coordinates: all rows of a tile at once, and its
    /// last row in the place of those that do not exist.
    fn row_pointers(&mut self, c: &Contract, (table, coordinates): (V, V), taps: V, zeros: Option<V>, (row, count): (V, V)) -> Result<()> {
        let ir = self.ir;
        const ROWS: u32 = tile::TABLE_ROWS as u32;
        let kernel = self.kernel;
        let last = ir.sub(ir.add(row, count), ir.c64(1));
        self.for_each(ir.c64(0), count, c.tile_rows, &[], |s, r, _| {
            let (tile, _) = super::scope::floor_div(ir, r, ir.c64(c.tile_rows), true);
            let numbers = ir.add(ir.splat(ir.add(row, r), ROWS), ir.iota(ROWS));
            let numbers = ir.select(ir.icmp(I::LLVMIntSLT, numbers, last), numbers, last);
            let at = s.positions(&c.m, numbers)?;
            let vector = |number: V| ir.mul(number, ir.c64(tile::TABLE_ROWS));
            if c.m.len() > 1 {
                for (i, v) in at.iter().enumerate() {
                    let number = ir.add(ir.mul(tile, ir.c64(c.m.len() as i64)), ir.c64(i as i64));
                    ir.store(*v, ir.gep(ir.i64(), coordinates, vector(number)), 8);
                }
            }
            let axes = c.m.iter().zip(at).map(|(a, v)| (*a, AxisValue::Each(v)));
            // The inner axis is at its start.
            s.current().axes.extend(axes.chain([(c.inner, AxisValue::Scalar(ir.c64(0)))]));
            let lanes = std::mem::replace(&mut s.lanes, ROWS);
            let first = ir.mul(tile, taps);
            s.each_tap(kernel, &c.taps, ir.c64(0), &mut |s, tap| {
                let mut p = s.operand(c, c.a, &c.a_flat)?;
                if let (same, each) = s.guard(&c.a_guard)?
                    && let Some(z) = zeros
                {
                    p = same.into_iter().chain(each).fold(p, |p, inside| ir.select(inside, p, z));
                }
                ir.store(ir.splat(p, ROWS), ir.gep(ir.ptr(), table, vector(ir.add(first, tap))), 8);
                Ok(())
            })?;
            s.lanes = lanes;
            Ok(vec![])
        })?;
        Ok(())
    }
    /// Where the points of these numbers lie along each of the axes. Divides in f64: half a step from every multiple of an extent, rounding leaves
    /// the quotient right for all numbers below 2⁵⁰.
    fn positions(&mut self, axes: &[AxisId], numbers: V) -> Result<Vec<V>> {
        let ir = self.ir;
        let Some((_, inner)) = axes.split_first() else { return Ok(vec![]) };
        if inner.is_empty() {
            return Ok(vec![numbers]);
        }
        let mut out = vec![];
        let mut rest = ir.si_to_fp(numbers, ir.f64());
        for axis in inner.iter().rev() {
            let kernel = self.kernel;
            let extent = self.size(kernel.extent(*axis))?;
            let (size, inverse) = self.at(0, |_| {
                let size = ir.si_to_fp(extent, ir.f64());
                (size, ir.fdiv(ir.cfloat(ir.f64(), 1.0), size))
            });
            let middle = ir.fadd(rest, ir.cfloat(ir.f64(), 0.5));
            let product = ir.fmul(middle, inverse);
            let quotient = ir.intrinsic("llvm.floor", &[ir.ty(product)], &[product]);
            out.push(ir.fp_to_si(ir.fsub(rest, ir.fmul(quotient, size)), ir.i64()));
            rest = quotient;
        }
        out.push(ir.fp_to_si(rest, ir.i64()));
        out.reverse();
        Ok(out)
    }
    /// Runs the body for every point of `axes`, with its number.
    fn each_tap(&mut self, kernel: &Kernel, axes: &[AxisId], number: V, body: &mut dyn FnMut(&mut Self, V) -> Result<()>) -> Result<()> {
        let Some((axis, rest)) = axes.split_first() else { return body(self, number) };
        let extent = self.size(kernel.extent(*axis))?;
        let ir = self.ir;
        self.for_each(ir.c64(0), extent, 1, &[], |s, i, _| {
            s.current().axes.push((*axis, AxisValue::Scalar(i)));
            let number = ir.add(ir.mul(number, extent), i);
            s.each_tap(kernel, rest, number, body)?;
            Ok(vec![])
        })?;
        Ok(())
    }
    /// The row axes at row `at` of the tile that starts at row `first`, of which `places` tells where its rows lie.
    fn row_axes(&self, c: &Contract, places: V, first: V, at: V) -> Vec<(AxisId, AxisValue)> {
        let ir = self.ir;
        let place = |i: usize| match c.m.len() {
            1 => ir.add(first, at),
            _ => ir.load(ir.i64(), ir.gep(ir.i64(), places, ir.add(ir.c64(i as i64 * tile::TABLE_ROWS), at)), 8),
        };
        c.m.iter().enumerate().map(|(i, axis)| (*axis, AxisValue::Scalar(place(i)))).collect()
    }
    /// What follows the sum, for 16 columns; `whole`: all of them exist, and the sum started from its bias.
    fn epilogue(&mut self, c: &Contract, column: V, columns: V, sum: V, whole: bool) -> Result<()> {
        let ir = self.ir;
        let with_bias = c.finish.sum().filter(|_| whole);
        let whole = whole || self.kernel.extent(c.n).modulo(&Dim::from(LANES as i64)).as_const() == Some(0);
        let end = ir.add(column, ir.c64(LANES as i64));
        let full = if whole { ir.c1(true) } else { ir.icmp(I::LLVMIntSLE, end, columns) };
        for masked in [false, true] {
            if masked && whole {
                break;
            }
            let w = self.begin_when(if masked { ir.not(full) } else { full });
            self.vector = Some(c.n);
            // What the next tile adds to its sums, and where they go, comes from memory while it multiplies.
            self.ahead = c.m.last().map(|m| Ahead { axis: *m, points: c.tile_rows });
            if masked {
                let left = ir.sub(columns, column);
                self.mask = Some(ir.icmp(I::LLVMIntSLT, ir.iota(LANES), ir.splat(left, LANES)));
            }
            self.current().axes.push((c.n, AxisValue::Lanes(column)));
            self.set_scalar(c.local, sum);
            with_bias.into_iter().for_each(|e| self.remember(e, sum));
            let kernel = self.kernel;
            for s in &kernel.body[c.statements..] {
                match s {
                    Stmt::Let { local, value } => {
                        let v = self.expr(*value)?;
                        self.set_scalar(*local, v);
                    }
                    Stmt::Store { buffer, index, guard, value, .. } => self.store(*buffer, index, guard, *value)?,
                    Stmt::Reduce { .. } => return Err(self.broken("a second sum in a contraction")),
                }
            }
            self.ahead = None;
            self.vector = None;
            self.mask = None;
            self.end_when(w, &[], &[]);
        }
        Ok(())
    }
}
