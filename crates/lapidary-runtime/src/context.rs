//! A context: the memory and threads with which one caller runs a model.

use crate::abi::{self, ALIGN, Check, Frame, Model, NO_VALUE, Options, Tensor, Version};
use crate::check::{self, Side, extent};
use crate::memory::{Allocator, Block, Layout};
use crate::message::{Failed, Message};
use crate::pool::{self, Arguments, Pool, Worker};
use crate::weights::Weights;
use crate::{cpu, sys};
use core::ffi::c_void;
use core::ptr::{null, null_mut};

/// What `lap_ctx` points to.
pub struct Context {
    model: &'static Model,
    version: &'static Version,
    allocator: Allocator,
    frame: Frame,
    /// NULL for one thread.
    pool: *mut Pool,
    tables: Tables,
    /// Holds this context and its tables.
    own: Block,
    arena: Block,
    scratch: Block,
    /// Results that the context owns.
    results: Block,
    unpacked: Block,
    weights: Weights,
    /// Do values, arena and buffers fit the symbols in the value table?
    sized: bool,
    error: Message,
}

/// Arrays that live as long as the context; only their content changes.
struct Tables {
    /// The value table.
    values: *mut i64,
    /// Symbols of the run that is being checked.
    symbols: *mut i64,
    bufs: *mut *mut u8,
    /// Dims of all outputs, one after the other.
    out_dims: *mut i64,
    /// For each output its bytes, and its place among the owned results.
    out_bytes: *mut usize,
    out_offset: *mut usize,
    pool: *mut Pool,
    workers: *mut Worker,
}

impl Tables {
    unsafe fn place(model: &Model, threads: usize, layout: &mut Layout) -> Tables {
        // SAFETY: the descriptor's tables are as long as it says.
        let ranks: i64 = unsafe { (0..model.n_outputs as usize).map(|i| (*model.outputs.add(i)).rank).sum() };
        Tables {
            values: layout.array(model.n_values.max(model.n_symbols) as usize),
            symbols: layout.array(model.n_symbols as usize),
            bufs: layout.array(model.n_buffers as usize),
            out_dims: layout.array(ranks as usize),
            out_bytes: layout.array(model.n_outputs as usize),
            out_offset: layout.array(model.n_outputs as usize),
            pool: layout.array(if threads > 1 { 1 } else { 0 }),
            workers: layout.array(threads - 1),
        }
    }
}

/// Makes a context; see `lap_api.create`.
///
/// # Safety
/// `model` is a descriptor; `options` is NULL or valid up to its `size`.
pub unsafe fn create(model: &'static Model, options: *const Options, error: &mut Message) -> Result<*mut Context, Failed> {
    // SAFETY: as the caller promises. The context's memory is written before it is used.
    unsafe {
        if model.abi != abi::ABI {
            return error.clear().text("the library was made for another runtime").fail();
        }
        let options = read_options(options, error)?;
        let allocator = Allocator::of(&options, error)?;
        let threads = pool::threads(options.threads, error)?;
        check::symbols_are_bound(model, error)?;
        let version = choose_version(model, error)?;

        let mut sizing = Layout::new(null_mut());
        sizing.array::<Context>(1);
        Tables::place(model, threads, &mut sizing);
        let own = allocator.block(sizing.bytes(), "the context", error)?;
        core::ptr::write_bytes(own.start, 0, own.bytes);
        let mut layout = Layout::new(own.start);
        let context = layout.array::<Context>(1);
        let tables = Tables::place(model, threads, &mut layout);

        let frame =
            Frame { bufs: tables.bufs, values: tables.values, scratch: null_mut(), kernels: version.kernels, threads: threads as i64, pool: null() };
        let (arena, scratch, results, unpacked) = (Block::EMPTY, Block::EMPTY, Block::EMPTY, Block::EMPTY);
        let (pool, weights, sized) = (null_mut(), Weights::NONE, false);
        context.write(Context {
            model,
            version,
            allocator,
            frame,
            pool,
            tables,
            own,
            arena,
            scratch,
            results,
            unpacked,
            weights,
            sized,
            error: Message::new(),
        });
        match (*context).furnish(&options, threads, error) {
            Ok(()) => Ok(context),
            Err(failed) => {
                destroy(context);
                Err(failed)
            }
        }
    }
}

/// Ends the threads of a context and frees what it holds.
///
/// # Safety
/// `context` comes from [`create`], and is not used again.
pub unsafe fn destroy(context: *mut Context) {
    // SAFETY: the context is read out of its memory before that is freed.
    unsafe {
        if !(*context).pool.is_null() {
            (*(*context).pool).stop();
        }
        let Context { allocator, own, arena, scratch, results, unpacked, weights, .. } = context.read();
        weights.close();
        for block in [arena, scratch, results, unpacked, own] {
            allocator.release(block);
        }
    }
}

/// The options, with defaults where the caller's structure is NULL or older than this one.
unsafe fn read_options(options: *const Options, error: &mut Message) -> Result<Options, Failed> {
    let mut read = Options { size: size_of::<Options>() as u32, threads: 0, weights_path: null(), alloc: None, free: None, user: null_mut() };
    if !options.is_null() {
        // SAFETY: `size` bytes are valid, and every combination of the fields' bits is a value.
        unsafe {
            let size = (*options).size as usize;
            if size < 8 {
                return error.clear().text("set 'size' of the options to sizeof(lap_options)").fail();
            }
            let known = size.min(size_of::<Options>());
            core::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut read).cast::<u8>(), known);
        }
    }
    Ok(read)
}

/// The best version for this CPU, or the one that `LAPIDARY_CPU` names.
unsafe fn choose_version(model: &'static Model, error: &mut Message) -> Result<&'static Version, Failed> {
    let has = cpu::detect();
    // SAFETY: the descriptor's tables are as long as it says, names are C strings.
    unsafe {
        let forced = sys::getenv(c"LAPIDARY_CPU".as_ptr());
        let forced = if forced.is_null() || *forced == 0 { null() } else { forced };
        let mut nearest: Option<&'static Version> = None;
        for index in 0..model.n_versions as usize {
            let version = &*model.versions.add(index);
            if !forced.is_null() && sys::strcmp(forced, version.name) != 0 {
                continue;
            }
            if version.features & !has == 0 {
                return Ok(version);
            }
            // The last is the least demanding one.
            nearest = Some(version);
        }
        error.clear();
        match nearest {
            Some(version) => {
                error.text("this CPU cannot run the code for ").quoted(version.name).text(" of ").quoted(model.name).text(": it lacks");
                for feature in cpu::FEATURES {
                    if version.features & !has & feature.bit != 0 {
                        error.text(" ").name(feature.name);
                    }
                }
                error.fail()
            }
            None => {
                error.text("LAPIDARY_CPU=").c(forced).text(" names no version of the code in ").quoted(model.name).text("; there are:");
                for index in 0..model.n_versions as usize {
                    error.text(" ").c((*model.versions.add(index)).name);
                }
                error.fail()
            }
        }
    }
}

impl Context {
    /// What `create` does once there is a context to clean up.
    unsafe fn furnish(&mut self, options: &Options, threads: usize, error: &mut Message) -> Result<(), Failed> {
        // SAFETY: as for `create`.
        unsafe {
            let model = self.model;
            self.weights = Weights::open(model, options.weights_path, error)?;
            if let Some(prepare) = model.prepare
                && model.unpacked_bytes > 0
            {
                self.unpacked = self.allocator.block(model.unpacked_bytes as usize, "unpacked weights", error)?;
                prepare(self.weights.data, self.unpacked.start);
            }
            if threads > 1 {
                Pool::init(self.tables.pool, self.tables.workers, threads);
                self.pool = self.tables.pool;
                self.frame.pool = self.pool.cast::<c_void>();
                Pool::start(self.pool, threads, error)?;
            }
        }
        Ok(())
    }

    /// See `lap_api.run`; the message of a failure is the context's.
    ///
    /// # Safety
    /// `inputs` and `outputs` have as many tensors as the model.
    pub unsafe fn run(&mut self, inputs: *const Tensor, outputs: *mut Tensor) -> Result<(), Failed> {
        // SAFETY: as the caller promises; `bind` and `results` have checked what kernels rely on.
        unsafe {
            check::bind(self.model, inputs, self.tables.symbols, &mut self.error)?;
            self.size()?;
            check::derived(self.model, inputs, self.tables.values, &mut self.error)?;
            self.take_inputs(inputs)?;
            self.give_results(outputs)?;
            let code = if self.pool.is_null() {
                (self.version.run)(&self.frame)
            } else {
                let pool = &*self.pool;
                let scratch_stride = self.scratch_stride()?;
                pool.begin(Arguments { bufs: self.frame.bufs, values: self.frame.values, scratch: self.frame.scratch, scratch_stride });
                let code = (self.version.run)(&self.frame);
                pool.end();
                code
            };
            if code != 0 { self.failed_check(code) } else { Ok(()) }
        }
    }

    /// Bytes that this context holds: its tables, arena, scratch, owned results and unpacked weights. Weights inside the
    /// library, and mapped ones, are shared and do not count.
    pub fn memory(&self) -> usize {
        let blocks = [&self.own, &self.arena, &self.scratch, &self.results, &self.unpacked];
        blocks.iter().map(|block| block.bytes).sum()
    }

    /// The last message of this context.
    pub fn error(&mut self) -> &mut Message {
        &mut self.error
    }

    pub fn error_text(&self) -> *const core::ffi::c_char {
        self.error.as_ptr()
    }

    /// Brings values, arena, scratch and buffers in line with the symbols; nothing to do where they equal the last run's.
    unsafe fn size(&mut self) -> Result<(), Failed> {
        // SAFETY: the tables have the lengths that the descriptor gives.
        unsafe {
            let (model, values, symbols) = (self.model, self.tables.values, self.tables.symbols);
            let n_symbols = model.n_symbols as usize;
            if self.sized && (0..n_symbols).all(|i| *values.add(i) == *symbols.add(i)) {
                return Ok(());
            }
            self.sized = false;
            core::ptr::copy_nonoverlapping(symbols, values, n_symbols);
            if let Some(sizes) = model.sizes {
                let code = sizes(values);
                if code != 0 {
                    return self.failed_check(code);
                }
            }
            let arena_bytes = usize::try_from(extent(model.arena_bytes, values)).unwrap_or(usize::MAX);
            self.allocator.grow(&mut self.arena, arena_bytes, "the arena", &mut self.error)?;
            let scratch_bytes = self.scratch_stride()?.saturating_mul(self.frame.threads as usize);
            self.allocator.grow(&mut self.scratch, scratch_bytes, "scratch", &mut self.error)?;
            self.frame.scratch = self.scratch.start;
            self.place_buffers();
            self.sized = true;
        }
        Ok(())
    }

    /// Bytes from one thread's scratch to the next: apart by two cache lines, so that threads do not share one.
    unsafe fn scratch_stride(&mut self) -> Result<usize, Failed> {
        // SAFETY: the slot is in the table.
        let bytes = unsafe { extent(self.version.scratch_bytes, self.tables.values) };
        match usize::try_from(bytes).ok().and_then(|bytes| bytes.checked_next_multiple_of(2 * ALIGN)) {
            Some(bytes) => Ok(bytes),
            None => self.error.clear().text("scratch is too large").fail(),
        }
    }

    unsafe fn place_buffers(&mut self) {
        // SAFETY: offsets lie inside their regions, as the descriptor promises.
        unsafe {
            for index in 0..self.model.n_buffers as usize {
                let buffer = &*self.model.buffers.add(index);
                let base = match buffer.kind {
                    abi::BUFFER_WEIGHTS => self.weights.data.cast_mut(),
                    abi::BUFFER_UNPACKED => self.unpacked.start,
                    abi::BUFFER_ARENA => self.arena.start,
                    _ => continue,
                };
                *self.tables.bufs.add(index) = base.wrapping_add(extent(buffer.offset, self.tables.values) as usize);
            }
        }
    }

    unsafe fn take_inputs(&mut self, inputs: *const Tensor) -> Result<(), Failed> {
        // SAFETY: `bind` has checked dtype, rank and dims.
        unsafe {
            for index in 0..self.model.n_inputs as usize {
                let (port, tensor) = (&*self.model.inputs.add(index), &*inputs.add(index));
                let bytes = check::bytes(Side::Input, port, tensor.dims, &mut self.error)?;
                if tensor.data.is_null() && bytes > 0 {
                    return self.error.clear().text("input ").quoted(port.name).text(" has no data").fail();
                }
                // The result of the last run, handed back as an input of this one.
                if self.results.overlaps(tensor.data.cast(), bytes) {
                    self.error.clear().text("input ").quoted(port.name).text(" lies in a result that the context owns");
                    return self.error.text(", which this run overwrites: copy it, or give the outputs buffers of their own").fail();
                }
                if port.buffer >= 0 {
                    *self.tables.bufs.add(port.buffer as usize) = tensor.data.cast();
                }
            }
        }
        Ok(())
    }

    /// Checks the caller's buffers, finds memory for the other results, and fills in both.
    unsafe fn give_results(&mut self, outputs: *mut Tensor) -> Result<(), Failed> {
        // SAFETY: `outputs` has `n_outputs` tensors; the tables have room for every output and dim.
        unsafe {
            let (model, tables) = (self.model, &self.tables);
            if outputs.is_null() && model.n_outputs > 0 {
                return self.error.clear().text("no outputs: the model has ").int(model.n_outputs).fail();
            }
            let mut dims = tables.out_dims;
            let mut owned = 0usize;
            for index in 0..model.n_outputs as usize {
                let (port, tensor) = (&*model.outputs.add(index), &*outputs.add(index));
                for dim in 0..port.rank as usize {
                    *dims.add(dim) = extent(*port.dims.add(dim), tables.values);
                }
                let bytes = check::bytes(Side::Output, port, dims, &mut self.error)?;
                if self.owns(tensor) {
                    *tables.out_offset.add(index) = owned;
                    // An empty result still gets an address.
                    owned = owned.saturating_add(bytes.max(1).saturating_add(ALIGN - 1) & !(ALIGN - 1));
                } else {
                    check::output(port, tensor, dims, &mut self.error)?;
                }
                *tables.out_bytes.add(index) = bytes;
                dims = dims.add(port.rank as usize);
            }
            // What lies in the old block is marked before the block goes.
            for index in 0..model.n_outputs as usize {
                let tensor = &mut *outputs.add(index);
                if self.owns(tensor) {
                    tensor.data = null_mut();
                }
            }
            self.allocator.grow(&mut self.results, owned, "results", &mut self.error)?;

            dims = self.tables.out_dims;
            for index in 0..model.n_outputs as usize {
                let (port, tensor) = (&*model.outputs.add(index), &mut *outputs.add(index));
                if tensor.data.is_null() {
                    tensor.data = self.results.start.add(*self.tables.out_offset.add(index)).cast();
                    tensor.dtype = port.dtype as i32;
                    tensor.rank = port.rank as i32;
                    tensor.dims = dims;
                }
                if port.buffer >= 0 {
                    *self.tables.bufs.add(port.buffer as usize) = tensor.data.cast();
                }
                dims = dims.add(port.rank as usize);
            }
        }
        Ok(())
    }

    /// Is the context to find memory for this output? So it is for one that holds the last run's result, as it does where
    /// a caller passes the same array again.
    fn owns(&self, tensor: &Tensor) -> bool {
        tensor.data.is_null() || self.results.overlaps(tensor.data.cast(), 1)
    }

    /// The message of entry `code - 1` of the model's checks.
    #[cold]
    unsafe fn failed_check(&mut self, code: i64) -> Result<(), Failed> {
        if code < 1 || code > self.model.n_checks {
            return self.error.clear().text("the model failed with code ").int(code).fail();
        }
        // SAFETY: the check exists, and its extents name slots of the value table.
        unsafe {
            let Check { text, left, right } = &*self.model.checks.add(code as usize - 1);
            self.error.clear().c(*text);
            if *left != NO_VALUE && *right != NO_VALUE {
                let values = self.tables.values;
                self.error.text(": ").int(extent(*left, values)).text(" and ").int(extent(*right, values));
            }
        }
        self.error.fail()
    }
}
