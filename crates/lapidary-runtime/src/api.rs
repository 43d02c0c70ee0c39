//! The C functions: what `lap_api` leads to, and what generated code calls. `abi` says how a library wires them up.
//!
//! # Safety
//! All of them trust their caller as C functions do: pointers are valid or NULL where the header allows it, a context
//! comes from `create` and is used by one thread at a time.

#![allow(clippy::missing_safety_doc)]

use crate::abi::{Frame, KernelFn, Model, Options, Port, Tensor, ValueInfo};
use crate::context::{self, Context};
use crate::message::{self, Message};
use crate::pool::Pool;
use core::ffi::{c_char, c_void};
use core::ptr::null_mut;

/// Runs chunks `0 .. n_chunks` of one step, on the threads of the context, and returns when all are done. For
/// [`RunFn`](crate::abi::RunFn) alone: not from inside a kernel. A step that is too small to share should call its kernel
/// directly instead, with `frame.scratch`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_parallel_for(frame: *const Frame, kernel: KernelFn, n_chunks: i64) {
    // SAFETY: the frame is the one of the current run.
    unsafe {
        let frame = &*frame;
        if n_chunks > 1 && frame.threads > 1 {
            (*frame.pool.cast::<Pool>()).run(kernel, n_chunks);
        } else if n_chunks > 0 {
            kernel(frame.bufs, frame.values, 0, n_chunks, frame.scratch);
        }
    }
}

/// `lap_api.count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_count(model: *const Model, is_output: i32) -> i32 {
    // SAFETY: see the module.
    unsafe { ports(&*model, is_output).1 as i32 }
}

/// `lap_api.describe`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_describe(model: *const Model, is_output: i32, index: i32, out: *mut ValueInfo) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let (ports, count) = ports(&*model, is_output);
        if index < 0 || i64::from(index) >= count || out.is_null() {
            let what = if is_output != 0 { "output " } else { "input " };
            if let Some(message) = message::of_thread() {
                message.clear().text("there is no ").text(what).int(i64::from(index)).text(": the model has ").int(count);
            }
            return 1;
        }
        let port = &*ports.add(index as usize);
        out.write(ValueInfo {
            name: port.name,
            dtype: port.dtype as i32,
            rank: port.rank as i32,
            dims: port.shown_dims,
            symbols: port.shown_symbols,
        });
        0
    }
}

/// `lap_api.create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_create(model: *const Model, options: *const Options) -> *mut c_void {
    let mut spare = Message::new();
    let error = message::of_thread().unwrap_or(&mut spare).clear();
    // SAFETY: see the module; descriptors are constants.
    unsafe {
        match context::create(&*model, options, error) {
            Ok(context) => context.cast(),
            Err(_) => null_mut(),
        }
    }
}

/// `lap_api.run`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_run(context: *mut c_void, inputs: *const Tensor, outputs: *mut Tensor) -> i32 {
    let context = context.cast::<Context>();
    if context.is_null() {
        if let Some(message) = message::of_thread() {
            message.clear().text("the context is NULL");
        }
        return 1;
    }
    // SAFETY: see the module.
    unsafe {
        let result = (*context).run(inputs, outputs);
        if result.is_ok() {
            (*context).error().clear();
        }
        result.is_err() as i32
    }
}

/// `lap_api.memory`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_memory(context: *const c_void) -> usize {
    // SAFETY: see the module.
    if context.is_null() { 0 } else { unsafe { (*context.cast::<Context>()).memory() } }
}

/// `lap_api.error`: empty where nothing has failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_error(context: *const c_void) -> *const c_char {
    if context.is_null() {
        return message::text_of_thread();
    }
    // SAFETY: see the module.
    unsafe { (*context.cast::<Context>()).error_text() }
}

/// `lap_api.destroy`; NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lap_rt_destroy(context: *mut c_void) {
    if !context.is_null() {
        // SAFETY: see the module.
        unsafe { context::destroy(context.cast()) }
    }
}

fn ports(model: &Model, is_output: i32) -> (*const Port, i64) {
    if is_output != 0 { (model.outputs, model.n_outputs) } else { (model.inputs, model.n_inputs) }
}
