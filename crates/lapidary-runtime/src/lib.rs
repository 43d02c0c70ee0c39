//! What an emitted library carries: everything that is the same for every model.
//!
//! The C interface, argument checks, contexts, the thread pool, memory, side files of weights, and the choice of code
//! for the CPU at hand. A generated object describes its model with the structures of [`abi`], whose module comment says
//! how the two halves meet.
//!
//! The crate is built twice. In the workspace it is an ordinary `no_std` library, tested with std. For emitted libraries
//! it is one static library without dependencies:
//!
//! ```text
//! rustc --edition 2024 --crate-name lapidary_runtime --crate-type staticlib --cfg lapidary_staticlib -C panic=abort
//!       -C opt-level=3 -C relocation-model=pic -C codegen-units=1 crates/lapidary-runtime/src/lib.rs
//! ```
//!
//! plus `--cfg lapidary_tsan` for `--sanitize thread`, which tells ThreadSanitizer about the pool's hand-offs.
//! Nothing here panics or formats: messages are put together by `message`.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod api;
mod check;
mod context;
pub mod cpu;
mod job;
mod memory;
mod message;
mod neighbours;
mod pool;
mod sync;
mod sys;
mod weights;

/// The C header of an emitted library: `@NAME@` stands for the model's name as a C identifier, `@GUARD@` for the same
/// in capitals.
#[cfg(not(lapidary_staticlib))]
pub const HEADER: &str = include_str!("../include/lapidary.h.in");

/// Unreachable by construction (no indexing, no unwrapping, no arithmetic that checks); the language asks for one.
#[cfg(lapidary_staticlib)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: `abort` takes nothing and does not return.
    unsafe { sys::abort() }
}
