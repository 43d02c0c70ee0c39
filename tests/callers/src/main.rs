//! Latency of small models as a program sees it that calls a library through its C interface, and ONNX Runtime through its own with inputs and
//! outputs bound beforehand: no interpreter in between, whose calls cost more than such models do.
//!
//! ```text
//! cargo run --release --manifest-path tests/callers/Cargo.toml -- --onnxruntime libonnxruntime.so model.onnx libmodel.so [--size NAME=N …]
//! ```
//!
//! Both take turns, one thread each; medians of the rounds are printed. Outputs are compared first, within 1e-4 of the largest.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use ort::AsPointer;
use ort::session::Session;
use ort::value::{DynValue, Tensor};
use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Parser)]
struct Args {
    /// ONNX Runtime's shared library
    #[arg(long)]
    onnxruntime: PathBuf,
    /// The model
    model: PathBuf,
    /// The library that was compiled from it
    library: PathBuf,
    /// The size of a dim that has a name; 1 where none is given
    #[arg(long, value_name = "NAME=N")]
    size: Vec<String>,
    /// Rounds of some 20 ms for each side
    #[arg(long, default_value_t = 31)]
    rounds: usize,
}

// What the header of every emitted library declares.
#[repr(C)]
struct ValueInfo {
    name: *const c_char,
    dtype: i32,
    rank: i32,
    dims: *const i64,
    symbols: *const *const c_char,
}
#[repr(C)]
#[derive(Clone, Copy)]
struct RawTensor {
    data: *mut c_void,
    dtype: i32,
    rank: i32,
    dims: *const i64,
}
#[repr(C)]
struct Options {
    size: u32,
    threads: i32,
    weights_path: *const c_char,
    alloc: *const c_void,
    free: *const c_void,
    user: *const c_void,
}
#[repr(C)]
struct Api {
    abi_version: u32,
    count: extern "C" fn(i32) -> i32,
    describe: extern "C" fn(i32, i32, *mut ValueInfo) -> i32,
    create: extern "C" fn(*const Options) -> *mut c_void,
    run: extern "C" fn(*mut c_void, *const RawTensor, *mut RawTensor) -> i32,
    memory: extern "C" fn(*mut c_void) -> usize,
    error: extern "C" fn(*mut c_void) -> *const c_char,
    destroy: extern "C" fn(*mut c_void),
}

const F32: i32 = 1;
const I32: i32 = 6;
const I64: i32 = 7;

/// An input or output: its name, type and sizes.
struct Port {
    name: String,
    dtype: i32,
    sizes: Vec<i64>,
}

impl Port {
    fn elements(&self) -> usize {
        self.sizes.iter().product::<i64>() as usize
    }
    /// Numbers that repeat from run to run: small positive integers, or floats between -1 and 1.
    fn values(&self) -> Result<Values> {
        let n = self.elements();
        let float = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 23) as f32 - 1.0;
        Ok(match self.dtype {
            F32 => Values::F32((0..n).map(float).collect()),
            I32 => Values::I32((0..n).map(|i| (i % 19) as i32).collect()),
            I64 => Values::I64((0..n).map(|i| (i % 19) as i64).collect()),
            other => bail!("'{}' is of type {other}, for which no numbers are made up here", self.name),
        })
    }
}

enum Values {
    F32(Vec<f32>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

impl Values {
    fn pointer(&mut self) -> *mut c_void {
        match self {
            Values::F32(v) => v.as_mut_ptr().cast(),
            Values::I32(v) => v.as_mut_ptr().cast(),
            Values::I64(v) => v.as_mut_ptr().cast(),
        }
    }
    fn tensor(&self, sizes: &[i64]) -> Result<DynValue> {
        Ok(match self {
            Values::F32(v) => Tensor::from_array((sizes.to_vec(), v.clone()))?.into_dyn(),
            Values::I32(v) => Tensor::from_array((sizes.to_vec(), v.clone()))?.into_dyn(),
            Values::I64(v) => Tensor::from_array((sizes.to_vec(), v.clone()))?.into_dyn(),
        })
    }
}

fn ports(api: &Api, is_output: i32, sizes: &[(String, i64)]) -> Vec<Port> {
    let one = |i: i32| {
        let mut info = ValueInfo { name: std::ptr::null(), dtype: 0, rank: 0, dims: std::ptr::null(), symbols: std::ptr::null() };
        (api.describe)(is_output, i, &mut info);
        // SAFETY: the library keeps what it describes for as long as it is loaded.
        let text = |p: *const c_char| unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned();
        let dims = (0..info.rank as usize).map(|d| {
            // SAFETY: both arrays have `rank` elements; a dim without a name has no symbol.
            let (size, symbol) = unsafe { (*info.dims.add(d), *info.symbols.add(d)) };
            if size >= 0 || symbol.is_null() {
                return size.max(1);
            }
            let symbol = text(symbol);
            sizes.iter().find(|(s, _)| *s == symbol).map_or(1, |(_, n)| *n)
        });
        Port { name: text(info.name), dtype: info.dtype, sizes: dims.collect() }
    };
    (0..(api.count)(is_output)).map(one).collect()
}

/// Seconds of one of `n` runs.
fn timed(n: usize, run: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..n {
        run()?;
    }
    Ok(start.elapsed().as_secs_f64() / n as f64)
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn main() -> Result<()> {
    let args = Args::parse();
    let sizes = args.size.iter().map(|s| {
        let (name, n) = s.split_once('=').with_context(|| format!("'{s}' is not NAME=N"))?;
        Ok((name.to_string(), n.parse()?))
    });
    let sizes: Vec<(String, i64)> = sizes.collect::<Result<_>>()?;

    // SAFETY: the library was made by this project; its interface is the one declared above.
    let library = unsafe { libloading::Library::new(&args.library) }?;
    // SAFETY: as above.
    let api = unsafe { &*library.get::<extern "C" fn() -> *const Api>(b"lapidary_v1")?() };
    let none: *const c_void = std::ptr::null();
    let options = Options { size: size_of::<Options>() as u32, threads: 1, weights_path: none.cast(), alloc: none, free: none, user: none };
    let context = (api.create)(&options);
    ensure!(!context.is_null(), "the library makes no context");
    let (inputs, outputs) = (ports(api, 0, &sizes), ports(api, 1, &sizes));
    let mut values = inputs.iter().map(Port::values).collect::<Result<Vec<_>>>()?;
    let raw = inputs.iter().zip(&mut values).map(|(p, v)| RawTensor {
        data: v.pointer(),
        dtype: p.dtype,
        rank: p.sizes.len() as i32,
        dims: p.sizes.as_ptr(),
    });
    let raw: Vec<RawTensor> = raw.collect();
    let unset = RawTensor { data: std::ptr::null_mut(), dtype: 0, rank: 0, dims: std::ptr::null() };
    let mut results = vec![unset; outputs.len()];
    let ours = |results: &mut [RawTensor]| {
        results.iter_mut().for_each(|r| r.data = std::ptr::null_mut());
        let code = (api.run)(context, raw.as_ptr(), results.as_mut_ptr());
        ensure!(code == 0, "the library fails with {code}");
        Ok(())
    };

    ort::init_from(&args.onnxruntime)?.commit();
    let mut session = Session::builder()?.with_intra_threads(1).map_err(|e| anyhow::anyhow!("{e}"))?.commit_from_file(&args.model)?;
    let mut binding = session.create_binding()?;
    for (p, v) in inputs.iter().zip(&values) {
        binding.bind_input(&p.name, &v.tensor(&p.sizes)?)?;
    }
    for p in &outputs {
        binding.bind_output_to_device(&p.name, &session.allocator().memory_info())?;
    }
    // What can be compared: floats.
    let want: Vec<Option<Vec<f32>>> = {
        let found = session.run_binding(&binding)?;
        let of = |p: &Port| (p.dtype == F32).then(|| Ok(found[p.name.as_str()].try_extract_tensor::<f32>()?.1.to_vec())).transpose();
        outputs.iter().map(of).collect::<Result<_>>()?
    };
    let (api_of_theirs, session_pointer, binding_pointer) = (ort::api(), session.ptr_mut(), binding.ptr_mut());
    let mut theirs = || {
        // SAFETY: both live until the end of this function.
        let status = unsafe { (api_of_theirs.RunWithBinding)(session_pointer, std::ptr::null(), binding_pointer) };
        ensure!(status.0.is_null(), "ONNX Runtime fails");
        Ok(())
    };

    ours(&mut results)?;
    for ((p, r), want) in outputs.iter().zip(&results).zip(&want) {
        let Some(want) = want else { continue };
        // SAFETY: the library has filled in where its output lies, and it has as many elements as ONNX Runtime's, checked first.
        let got = unsafe {
            let sizes = std::slice::from_raw_parts(r.dims, r.rank as usize);
            ensure!(sizes.iter().product::<i64>() == want.len() as i64, "'{}' has sizes {sizes:?}", p.name);
            std::slice::from_raw_parts(r.data.cast::<f32>(), want.len())
        };
        let most = want.iter().fold(0f32, |m, v| m.max(v.abs()));
        let apart = got.iter().zip(want).fold(0f32, |m, (g, w)| m.max((g - w).abs()));
        ensure!(apart <= 1e-4 * most, "'{}' differs by {apart} where the largest is {most}", p.name);
    }
    let mut ours = || ours(&mut results);
    let once = |run: &mut dyn FnMut() -> Result<()>| -> Result<usize> {
        timed(20, run)?;
        Ok(((0.02 / timed(20, run)?.max(1e-9)) as usize).clamp(3, 50_000))
    };
    let (n_ours, n_theirs) = (once(&mut ours)?, once(&mut theirs)?);
    let (mut a, mut b) = (vec![], vec![]);
    for _ in 0..args.rounds {
        a.push(timed(n_ours, &mut ours)?);
        b.push(timed(n_theirs, &mut theirs)?);
    }
    let (a, b) = (median(a) * 1e6, median(b) * 1e6);
    println!("{}: Lapidary {a:.3} µs, ONNX Runtime {b:.3} µs, ratio {:.2}", args.model.display(), b / a);
    (api.destroy)(context);
    Ok(())
}
