//! The layout that generated code and this runtime agree on.
//!
//! # What a generated library is made of
//!
//! An emitted library is one generated object plus this runtime. The generated object holds, as constants of exactly
//! the layouts below:
//!
//! * one [`Model`], the *descriptor*: names, types, sizes, buffers, code versions, weights;
//! * the functions that it points to: [`SizesFn`], one [`RunFn`] per version and its kernels ([`KernelFn`]), and
//!   [`PrepareFn`] where weights are unpacked at load;
//! * the exported functions:
//!
//! ```c
//! static int32_t  count(int32_t o)                              { return lap_rt_count(&MODEL, o); }
//! static int32_t  describe(int32_t o, int32_t i, lap_value_info *v) { return lap_rt_describe(&MODEL, o, i, v); }
//! static lap_ctx *create(const lap_options *p)                  { return lap_rt_create(&MODEL, p); }
//! static const lap_api API = { 1, count, describe, create, lap_rt_run, lap_rt_memory, lap_rt_error, lap_rt_destroy };
//! const lap_api *NAME_v1(void)     { return &API; }             // .so and .a
//! const lap_api *lapidary_v1(void) { return &API; }             // .so alone
//! ```
//!
//! The last four functions of the table need no model, since a context knows its own. Everything that starts with
//! `lap_rt_` stays local to the library (version script for a `.so`, `objcopy --keep-global-symbol` for an `.a`).
//!
//! # One width, one encoding
//!
//! Every field of every descriptor is 8 bytes wide: a pointer, or an `i64`. There is no padding to agree on, and a
//! structure is an array of 8-byte words to whoever emits it. (The structures of the public C interface, [`Tensor`],
//! [`ValueInfo`], [`Options`] and [`Api`], have the layout that the header gives them.)
//!
//! An *extent* is an `i64` that is either a constant (`>= 0`) or names a slot of the value table: `-1 - slot`
//! ([`slot`] makes one). Dims, arena offsets and region sizes are extents.
//!
//! The *value table* of a context has `n_values` slots of `i64`. Slots `0 .. n_symbols` are the symbols themselves, in
//! the order of `Model::symbols`; the rest is derived from them by [`SizesFn`]. Kernels get the table and may read all
//! of it.
//!
//! # What one `run` does
//!
//! 1. Every input: dtype and rank equal the port's; constant dims match; a dim that is a plain symbol (an extent whose
//!    slot is below `n_symbols`) binds the symbol at its first occurrence and must be equal at every later one; bounds
//!    `lo ..= hi` hold. A symbol that no input dim binds is an error of the generator, refused by `create`.
//! 2. When a symbol differs from the previous run: `sizes(values)`; then input dims that are derived extents are
//!    compared; the arena and scratch grow where they must; pointers of constant and arena buffers are filled in.
//! 3. Every output: dims come from its extents. The caller's buffer is checked and used, or memory of the context is.
//! 4. `version.run(frame)`.
//!
//! # Rules for kernels
//!
//! * A kernel computes chunks `begin .. end` of `n_chunks`, in any order and on any thread; chunks write disjoint
//!   memory and read nothing that another chunk of the same step writes.
//! * Input and output pointers are aligned to the element only, and nothing may be read or written beyond their last
//!   element. Arena buffers, constants and scratch start at the alignment that their offsets give (regions are
//!   aligned to [`ALIGN`]); the planner decides about slack behind them.
//! * An input that is also an output, or an output that is used twice, needs a copy kernel: one port, one buffer.
//! * Scratch holds nothing from one call to the next.

use core::ffi::{c_char, c_void};

/// Version of the layouts in this file; `Model::abi` holds it, and `create` refuses another.
pub const ABI: i64 = 1;

/// Version of the public C interface, the first field of [`Api`].
pub const API_VERSION: u32 = 1;

/// Alignment in bytes of the arena, of each thread's scratch, of unpacked weights, of owned outputs, and of weights.
pub const ALIGN: usize = 64;

/// The extent that names slot `index` of the value table.
pub const fn slot(index: usize) -> i64 {
    -1 - index as i64
}

/// Computes `values[n_symbols ..]` from `values[.. n_symbols]`.
///
/// Returns 0, or `1 + index` of the entry of `Model::checks` that failed. It must use checked arithmetic (a product that
/// overflows is a failed check): the runtime trusts what it finds in the table.
pub type SizesFn = unsafe extern "C" fn(values: *mut i64) -> i64;

/// Runs all steps of the model in order: straight-line code that calls [`lap_rt_parallel_for`](crate::api::lap_rt_parallel_for),
/// or a kernel directly, once per step. Returns 0, or `1 + index` of the entry of `Model::checks` that failed.
pub type RunFn = unsafe extern "C" fn(frame: *const Frame) -> i64;

/// Computes chunks `begin .. end` of one step. `bufs` has `n_buffers` entries, `scratch` is private to the thread.
pub type KernelFn = unsafe extern "C" fn(bufs: *const *mut u8, values: *const i64, begin: i64, end: i64, scratch: *mut u8);

/// Fills the region of unpacked weights, `unpacked_bytes` long and 64-byte aligned, from the packed ones. Runs once per
/// context, inside `create`, on the calling thread.
pub type PrepareFn = unsafe extern "C" fn(weights: *const u8, unpacked: *mut u8);

/// Everything the runtime knows about one model. A constant of the generated object.
#[repr(C)]
pub struct Model {
    /// [`ABI`].
    pub abi: i64,
    /// The model's name, as in `NAME_v1`; used in messages.
    pub name: *const c_char,
    /// Graph inputs, in order.
    pub inputs: *const Port,
    pub n_inputs: i64,
    /// Graph outputs, in order.
    pub outputs: *const Port,
    pub n_outputs: i64,
    /// Symbols, in the order of their slots.
    pub symbols: *const Symbol,
    pub n_symbols: i64,
    /// Length of the value table; at least `n_symbols`.
    pub n_values: i64,
    /// NULL where `n_values == n_symbols` and nothing needs a check.
    pub sizes: Option<SizesFn>,
    /// What [`SizesFn`] and [`RunFn`] may complain about.
    pub checks: *const Check,
    pub n_checks: i64,
    /// Extent: bytes of the arena.
    pub arena_bytes: i64,
    /// What the entries of `bufs` point to.
    pub buffers: *const Buffer,
    pub n_buffers: i64,
    /// Code versions, best first: the first whose features the CPU has is used.
    pub versions: *const Version,
    pub n_versions: i64,
    /// Packed weights inside the library, [`ALIGN`]ed; NULL where they lie in a side file, or where there are none.
    pub weights: *const u8,
    /// Bytes of packed weights, embedded or in the side file.
    pub weights_bytes: i64,
    /// File name of the side file (`libNAME.weights`, no folder); NULL where weights are embedded.
    pub weights_file: *const c_char,
    /// The id that the side file must carry.
    pub build_id: u64,
    /// Bytes that `prepare` fills; 0 where nothing is unpacked.
    pub unpacked_bytes: i64,
    /// NULL where nothing is unpacked.
    pub prepare: Option<PrepareFn>,
}

/// A graph input or output.
#[repr(C)]
pub struct Port {
    pub name: *const c_char,
    /// ONNX `TensorProto.DataType`.
    pub dtype: i64,
    pub rank: i64,
    /// `rank` extents.
    pub dims: *const i64,
    /// `rank` sizes for `describe`: -1 where symbolic.
    pub shown_dims: *const i64,
    /// `rank` names for `describe`: the symbol's name, or NULL for constants (and for expressions that have no name).
    pub shown_symbols: *const *const c_char,
    /// Entry of `bufs` that gets this port's pointer, or -1 where no kernel uses it.
    pub buffer: i64,
}

/// A symbolic dimension.
#[repr(C)]
pub struct Symbol {
    pub name: *const c_char,
    /// Smallest size that `run` accepts (0 where nothing is known).
    pub lo: i64,
    /// Largest size that `run` accepts (`i64::MAX` where nothing is known).
    pub hi: i64,
}

/// A condition that generated code tests at run time.
#[repr(C)]
pub struct Check {
    /// What is wrong, in the user's words, such as "'N' and 'M' do not broadcast".
    pub text: *const c_char,
    /// Extents of the two sizes that disagree; the message ends in ": 3 and 4". Both [`NO_VALUE`] where there is
    /// nothing to show.
    pub left: i64,
    pub right: i64,
}

/// In [`Check`]: no value to show.
pub const NO_VALUE: i64 = i64::MIN;

/// What one entry of `bufs` points to.
#[repr(C)]
pub struct Buffer {
    /// One of the `BUFFER_` constants.
    pub kind: i64,
    /// See the constants.
    pub offset: i64,
}

/// The caller's input tensor or the result's memory: filled through `Port::buffer`; `offset` is not read.
pub const BUFFER_PORT: i64 = 0;
/// `offset` (a constant) bytes into the packed weights.
pub const BUFFER_WEIGHTS: i64 = 1;
/// `offset` (an extent) bytes into the arena.
pub const BUFFER_ARENA: i64 = 2;
/// `offset` (a constant) bytes into the unpacked weights.
pub const BUFFER_UNPACKED: i64 = 3;

/// The code for one level of CPU features.
#[repr(C)]
pub struct Version {
    /// Short name, such as "v3" or "v4"; `LAPIDARY_CPU` in the environment of `create` forces the version of that name.
    pub name: *const c_char,
    /// Bits of [`cpu`](crate::cpu) that the CPU must have.
    pub features: u64,
    pub run: RunFn,
    /// Extent: bytes of scratch per thread.
    pub scratch_bytes: i64,
    /// Table that `Frame::kernels` points to; may be NULL, the runtime does not read it.
    pub kernels: *const KernelFn,
}

/// What [`RunFn`] gets. Valid during one run.
#[repr(C)]
pub struct Frame {
    /// `n_buffers` pointers; pass on to kernels.
    pub bufs: *const *mut u8,
    /// The value table; pass on to kernels.
    pub values: *const i64,
    /// Scratch of the calling thread, for kernels that `RunFn` calls directly.
    pub scratch: *mut u8,
    /// `Version::kernels`.
    pub kernels: *const KernelFn,
    /// Threads of the context, the caller included: 1 means that `lap_rt_parallel_for` is a plain call.
    pub threads: i64,
    /// The context's pool; for the runtime alone.
    pub pool: *const c_void,
}

/// First bytes of a side file of weights; little-endian. The data follows at `data_offset`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightsHeader {
    /// [`WEIGHTS_MAGIC`].
    pub magic: [u8; 4],
    /// [`WEIGHTS_VERSION`].
    pub version: u32,
    /// Equals `Model::build_id`.
    pub build_id: u64,
    /// Equals `Model::weights_bytes`.
    pub data_bytes: u64,
    /// [`WEIGHTS_DATA_OFFSET`].
    pub data_offset: u64,
}

pub const WEIGHTS_MAGIC: [u8; 4] = *b"LAPW";
pub const WEIGHTS_VERSION: u32 = 1;
/// A page, so that mapped weights are aligned; the bytes between header and data are zero.
pub const WEIGHTS_DATA_OFFSET: u64 = 4096;

impl WeightsHeader {
    /// The header of a file with `data_bytes` bytes of weights.
    pub const fn new(build_id: u64, data_bytes: u64) -> Self {
        let (magic, version, data_offset) = (WEIGHTS_MAGIC, WEIGHTS_VERSION, WEIGHTS_DATA_OFFSET);
        WeightsHeader { magic, version, build_id, data_bytes, data_offset }
    }

    /// The bytes that start the file; zeros fill the rest up to `data_offset`.
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out[..4].copy_from_slice(&self.magic);
        out[4..8].copy_from_slice(&self.version.to_le_bytes());
        out[8..16].copy_from_slice(&self.build_id.to_le_bytes());
        out[16..24].copy_from_slice(&self.data_bytes.to_le_bytes());
        out[24..].copy_from_slice(&self.data_offset.to_le_bytes());
        out
    }
}

// ---- The public C interface: the same types as in include/lapidary.h.in ----

/// `lap_value_info`.
#[repr(C)]
pub struct ValueInfo {
    pub name: *const c_char,
    pub dtype: i32,
    pub rank: i32,
    pub dims: *const i64,
    pub symbols: *const *const c_char,
}

/// `lap_tensor`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tensor {
    pub data: *mut c_void,
    pub dtype: i32,
    pub rank: i32,
    pub dims: *const i64,
}

/// `lap_options`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Options {
    pub size: u32,
    pub threads: i32,
    pub weights_path: *const c_char,
    pub alloc: Option<unsafe extern "C" fn(size: usize, align: usize, user: *mut c_void) -> *mut c_void>,
    pub free: Option<unsafe extern "C" fn(*mut c_void, user: *mut c_void)>,
    pub user: *mut c_void,
}

/// `lap_api`. The context is opaque to callers.
#[repr(C)]
pub struct Api {
    pub abi_version: u32,
    pub count: unsafe extern "C" fn(is_output: i32) -> i32,
    pub describe: unsafe extern "C" fn(is_output: i32, index: i32, out: *mut ValueInfo) -> i32,
    pub create: unsafe extern "C" fn(*const Options) -> *mut c_void,
    pub run: unsafe extern "C" fn(*mut c_void, inputs: *const Tensor, outputs: *mut Tensor) -> i32,
    pub memory: unsafe extern "C" fn(*const c_void) -> usize,
    pub error: unsafe extern "C" fn(*const c_void) -> *const c_char,
    pub destroy: unsafe extern "C" fn(*mut c_void),
}
