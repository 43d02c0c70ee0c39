//! Opening emitted libraries, and running them through their C interface.
//!
//! A library is trusted code: opening one runs it. Nothing here opens a path that a model names.

use lapidary_ir::{DType, Diagnostic, Diagnostics, Result, Tensor};
use lapidary_runtime::abi::{Api, Options, Tensor as Raw, ValueInfo};
use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::Arc;

/// An input or output of a library.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    pub name: String,
    pub dtype: DType,
    /// `None` where symbolic.
    pub dims: Vec<Option<i64>>,
    /// The names of symbolic dims.
    pub symbols: Vec<Option<String>>,
}

/// What one kernel of a library took.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    pub name: String,
    /// The graph's nodes that it computes, with commas.
    pub nodes: String,
    /// Of the CPU's counter, which runs at a constant rate.
    pub ticks: u64,
}

struct Opened {
    api: &'static Api,
    /// Keeps the code in memory.
    library: libloading::Library,
}

// SAFETY: the table is constant, and its functions may be called from any thread.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

/// An emitted library, in memory.
#[derive(Clone)]
pub struct Library {
    opened: Arc<Opened>,
    pub inputs: Vec<Info>,
    pub outputs: Vec<Info>,
}

/// The CPU's counter, by which [`KernelTime`] counts.
pub fn counter() -> u64 {
    // SAFETY: every x86-64 CPU has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn failed(message: impl Into<String>, path: &Path) -> Diagnostics {
    Diagnostic::error("library", message).file(path.display().to_string()).into()
}

impl Library {
    /// Opens a shared library that `compile` has made.
    pub fn open(path: impl AsRef<Path>) -> Result<Library> {
        let path = path.as_ref();
        // A name without a folder would be searched for in the system's folders.
        let full = std::path::absolute(path).map_err(|e| failed(format!("cannot open the library: {e}"), path))?;
        // SAFETY: the caller asked for this code to be run; emitted libraries have no constructors.
        let library = unsafe { libloading::Library::new(&full) }.map_err(|e| failed(format!("cannot open the library: {e}"), path))?;
        // SAFETY: in an emitted library the function of this name has this type.
        let api = unsafe {
            let entry = library.get::<unsafe extern "C" fn() -> *const Api>(b"lapidary_v1\0");
            let entry = entry.map_err(|_| failed("this is no library of a compiled model: it has no 'lapidary_v1'", path))?;
            entry().as_ref()
        };
        let Some(api) = api.filter(|a| a.abi_version == 1) else {
            return Err(failed("the library has another version of the interface", path));
        };
        let opened = Arc::new(Opened { api, library });
        let (inputs, outputs) = (describe(api, 0)?, describe(api, 1)?);
        Ok(Library { opened, inputs, outputs })
    }
    /// The time that each kernel took so far, over all contexts and runs; `None` for a library that was not compiled to count it.
    pub fn profile(&self) -> Option<Vec<KernelTime>> {
        // SAFETY: in an emitted library the function of this name has this type, and gives a table of that layout: the number of kernels, their
        // times, and two names each. Times are only added up, by whole words.
        unsafe {
            let entry = self.opened.library.get::<unsafe extern "C" fn() -> *const *const c_void>(b"lapidary_profile\0").ok()?;
            let table = entry();
            let (n, ticks) = (*table as usize, (*table.add(1)).cast::<u64>());
            let text = |i: usize| CStr::from_ptr((*table.add(i)).cast()).to_string_lossy().into_owned();
            let kernel = |i| KernelTime { name: text(2 + 2 * i), nodes: text(3 + 2 * i), ticks: ticks.add(i).read_volatile() };
            Some((0..n).map(kernel).collect())
        }
    }
    /// A context with that many threads (0: one per core), and its weights from a given file or from beside the library.
    pub fn context(&self, threads: i32, weights: Option<&Path>) -> Result<Context> {
        let path = weights.and_then(|p| CString::new(p.as_os_str().as_encoded_bytes()).ok());
        let options = Options {
            size: size_of::<Options>() as u32,
            threads,
            weights_path: path.as_ref().map_or(null(), |p| p.as_ptr()),
            alloc: None,
            free: None,
            user: null_mut(),
        };
        // SAFETY: the options are valid during the call.
        let raw = unsafe { (self.opened.api.create)(&options) };
        if raw.is_null() {
            return Err(Diagnostic::error("context", message(self.opened.api, null())).into());
        }
        let results = self.outputs.iter().map(|_| Raw { data: null_mut(), dtype: 0, rank: 0, dims: null() }).collect();
        Ok(Context { library: self.clone(), raw, inputs: vec![], results })
    }
}

fn describe(api: &Api, is_output: i32) -> Result<Vec<Info>> {
    // SAFETY: the functions of the table, called as the header says; strings and arrays live as long as the library.
    unsafe {
        let mut out = vec![];
        for i in 0..(api.count)(is_output) {
            let mut v = ValueInfo { name: null(), dtype: 0, rank: 0, dims: null(), symbols: null() };
            if (api.describe)(is_output, i, &mut v) != 0 {
                return Err(Diagnostic::error("library", message(api, null())).into());
            }
            let rank = v.rank.max(0) as usize;
            let dims = (0..rank).map(|d| Some(*v.dims.add(d)).filter(|d| *d >= 0)).collect();
            let text = |p: *const std::ffi::c_char| (!p.is_null()).then(|| CStr::from_ptr(p).to_string_lossy().into_owned());
            let symbols = (0..rank).map(|d| if v.symbols.is_null() { None } else { text(*v.symbols.add(d)) }).collect();
            let dtype = DType::from_onnx_code(v.dtype).unwrap_or(DType::Unknown);
            out.push(Info { name: text(v.name).unwrap_or_default(), dtype, dims, symbols });
        }
        Ok(out)
    }
}

fn message(api: &Api, context: *const c_void) -> String {
    // SAFETY: as above; the message is a C string, or NULL.
    unsafe {
        let p = (api.error)(context);
        if p.is_null() { "the library gives no reason".into() } else { CStr::from_ptr(p).to_string_lossy().into_owned() }
    }
}

/// Memory and threads of one caller.
pub struct Context {
    library: Library,
    raw: *mut c_void,
    inputs: Vec<Raw>,
    results: Vec<Raw>,
}

// SAFETY: a context may move between threads; it is used by one at a time, as `&mut` says.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `create`, destroyed once.
        unsafe { (self.library.opened.api.destroy)(self.raw) }
    }
}

impl Context {
    pub fn library(&self) -> &Library {
        &self.library
    }
    /// Bytes that the context holds.
    pub fn memory(&self) -> usize {
        // SAFETY: the context is alive.
        unsafe { (self.library.opened.api.memory)(self.raw) }
    }
    /// Runs the model on inputs in the library's order; gives copies of the outputs.
    pub fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.run_in_place(inputs)?;
        (0..self.results.len()).map(|i| self.output(i)).collect()
    }
    /// Runs the model and leaves the outputs where they are: for timing.
    pub fn run_in_place(&mut self, inputs: &[&Tensor]) -> Result<()> {
        let infos = &self.library.inputs;
        if inputs.len() != infos.len() {
            return Err(Diagnostic::error("inputs", format!("the model has {} inputs, {} are given", infos.len(), inputs.len())).into());
        }
        let sizes: Vec<Vec<i64>> = inputs.iter().map(|t| t.sizes().iter().map(|s| *s as i64).collect()).collect();
        // Elements must lie at their alignment; bytes of a mapped file may not.
        let mut copies: Vec<Option<Vec<u64>>> = vec![];
        for t in inputs {
            let bytes = t.bytes();
            let aligned = (bytes.as_ptr() as usize).is_multiple_of((t.dtype().bits() / 8).max(1));
            copies.push((!aligned).then(|| {
                let words = bytes.chunks(8).map(|c| {
                    let mut w = [0; 8];
                    w[..c.len()].copy_from_slice(c);
                    u64::from_ne_bytes(w)
                });
                words.collect()
            }));
        }
        self.inputs.clear();
        for ((t, dims), copy) in inputs.iter().zip(&sizes).zip(&copies) {
            let data = copy.as_ref().map_or(t.bytes().as_ptr().cast::<c_void>(), |c| c.as_ptr().cast()).cast_mut();
            self.inputs.push(Raw { data, dtype: t.dtype().onnx_code(), rank: dims.len() as i32, dims: dims.as_ptr() });
        }
        for r in &mut self.results {
            r.data = null_mut();
        }
        // SAFETY: as many tensors as the model has; data and dims are alive during the call.
        let code = unsafe { (self.library.opened.api.run)(self.raw, self.inputs.as_ptr(), self.results.as_mut_ptr()) };
        if code != 0 {
            return Err(Diagnostic::error("run", message(self.library.opened.api, self.raw)).into());
        }
        Ok(())
    }
    /// A copy of an output of the last run.
    pub fn output(&self, index: usize) -> Result<Tensor> {
        let Some(r) = self.results.get(index).filter(|r| !r.data.is_null()) else {
            return Err(Diagnostic::error("outputs", format!("there is no output {index}")).into());
        };
        let dtype = DType::from_onnx_code(r.dtype).unwrap_or(DType::Unknown);
        // SAFETY: the context owns dims and data of this rank and size until its next run.
        let (sizes, bytes) = unsafe {
            let sizes: Vec<usize> = (0..r.rank.max(0) as usize).map(|d| *r.dims.add(d) as usize).collect();
            let count = dtype.bytes_for(sizes.iter().product()).unwrap_or(0);
            (sizes, std::slice::from_raw_parts(r.data.cast::<u8>(), count).to_vec())
        };
        Tensor::new(dtype, &sizes, bytes)
    }
}
