//! Memory of a context: everything goes through the two functions of `lap_options`, in blocks that only grow.

use crate::abi::{ALIGN, Options};
use crate::message::{Failed, Message};
use crate::sys;
use core::ffi::c_void;
use core::ptr::null_mut;

/// The caller's allocator, or libc's.
#[derive(Clone, Copy)]
pub struct Allocator {
    alloc: unsafe extern "C" fn(usize, usize, *mut c_void) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void),
    user: *mut c_void,
}

/// A huge page of x86-64.
const HUGE_PAGE: usize = 2 << 20;

unsafe extern "C" fn default_alloc(size: usize, align: usize, _: *mut c_void) -> *mut c_void {
    let mut memory = null_mut();
    let huge = size >= HUGE_PAGE;
    // SAFETY: the alignment is a power of two and a multiple of a pointer's size.
    if unsafe { sys::posix_memalign(&mut memory, if huge { HUGE_PAGE } else { align }, size) } != 0 {
        return null_mut();
    }
    if huge {
        // Whole huge pages alone, so that no more memory is taken than was asked for. What the kernel makes of the advice does not matter.
        // SAFETY: the range lies within the block.
        unsafe { sys::madvise(memory, size & !(HUGE_PAGE - 1), sys::MADV_HUGEPAGE) };
    }
    memory
}

unsafe extern "C" fn default_free(memory: *mut c_void, _: *mut c_void) {
    // SAFETY: comes from `default_alloc`.
    unsafe { sys::free(memory) }
}

impl Allocator {
    /// What the options name; both functions or none.
    pub fn of(options: &Options, error: &mut Message) -> Result<Self, Failed> {
        match (options.alloc, options.free) {
            (Some(alloc), Some(free)) => Ok(Allocator { alloc, free, user: options.user }),
            (None, _) => Ok(Allocator { alloc: default_alloc, free: default_free, user: null_mut() }),
            (Some(_), None) => error.clear().text("the options have 'alloc' but no 'free'").fail(),
        }
    }

    /// `bytes` of memory, aligned to [`ALIGN`]; not cleared.
    pub fn block(&self, bytes: usize, what: &str, error: &mut Message) -> Result<Block, Failed> {
        if bytes == 0 {
            return Ok(Block::EMPTY);
        }
        // SAFETY: a call of the caller's own function.
        let start = unsafe { (self.alloc)(bytes, ALIGN, self.user) }.cast::<u8>();
        if start.is_null() {
            return error.clear().text("out of memory: no ").int(bytes as i64).text(" bytes for ").text(what).fail();
        }
        if !(start as usize).is_multiple_of(ALIGN) {
            self.release(Block { start, bytes });
            return error.clear().text("'alloc' returned memory that is not aligned to ").int(ALIGN as i64).text(" bytes").fail();
        }
        Ok(Block { start, bytes })
    }

    /// Makes `block` at least `bytes` long; what it held is lost when it grows. On failure it is empty.
    pub fn grow(&self, block: &mut Block, bytes: usize, what: &str, error: &mut Message) -> Result<(), Failed> {
        if block.bytes < bytes {
            // Free first: two arenas at a time would double the peak.
            self.release(core::mem::replace(block, Block::EMPTY));
            *block = self.block(bytes, what, error)?;
        }
        Ok(())
    }

    pub fn release(&self, block: Block) {
        if !block.start.is_null() {
            // SAFETY: comes from `alloc`, and the block is consumed.
            unsafe { (self.free)(block.start.cast(), self.user) }
        }
    }
}

/// Memory from an [`Allocator`].
pub struct Block {
    pub start: *mut u8,
    pub bytes: usize,
}

impl Block {
    pub const EMPTY: Block = Block { start: null_mut(), bytes: 0 };

    /// Does `[start, start + bytes)` share a byte with this block?
    pub fn overlaps(&self, start: *const u8, bytes: usize) -> bool {
        let (a, b) = (self.start as usize, start as usize);
        bytes > 0 && self.bytes > 0 && b < a.saturating_add(self.bytes) && a < b.saturating_add(bytes)
    }
}

/// Hands out arrays from one block, each aligned to [`ALIGN`]. Run once without memory, it tells the size.
pub struct Layout {
    start: *mut u8,
    offset: usize,
}

impl Layout {
    pub fn new(start: *mut u8) -> Self {
        Layout { start, offset: 0 }
    }

    pub fn array<T>(&mut self, count: usize) -> *mut T {
        let here = self.start.wrapping_add(self.offset).cast();
        self.offset += (count * size_of::<T>()).next_multiple_of(ALIGN);
        here
    }

    pub fn bytes(&self) -> usize {
        self.offset
    }
}
