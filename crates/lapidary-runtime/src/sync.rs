//! Atomics, futexes, and what ThreadSanitizer is told: the machine in production, loom's model of it in its tests.

pub use core::sync::atomic::Ordering;
#[cfg(not(all(test, loom)))]
pub use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(all(test, loom))]
pub use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, fence};

/// A number that threads can sleep on until it changes.
#[cfg(not(all(test, loom)))]
pub struct Word(AtomicU32);

#[cfg(not(all(test, loom)))]
impl Word {
    pub fn new(value: u32) -> Self {
        Word(AtomicU32::new(value))
    }

    pub fn value(&self) -> &AtomicU32 {
        &self.0
    }

    /// Sleeps while the number is `expected`; may return early.
    pub fn wait(&self, expected: u32) {
        // SAFETY: the word lives as long as `self`.
        unsafe { crate::sys::futex_wait(self.0.as_ptr(), expected) }
    }

    /// Wakes up to `count` sleepers; call it after the change.
    pub fn wake(&self, count: u32) {
        crate::sys::futex_wake(self.0.as_ptr(), count)
    }
}

/// The same with a lock and a condition, whose meaning loom knows.
#[cfg(all(test, loom))]
pub struct Word(AtomicU32, loom::sync::Mutex<()>, loom::sync::Condvar);

#[cfg(all(test, loom))]
impl Word {
    pub fn new(value: u32) -> Self {
        Word(AtomicU32::new(value), loom::sync::Mutex::new(()), loom::sync::Condvar::new())
    }

    pub fn value(&self) -> &AtomicU32 {
        &self.0
    }

    pub fn wait(&self, expected: u32) {
        let guard = self.1.lock().unwrap();
        if self.0.load(Ordering::Acquire) == expected {
            drop(self.2.wait(guard).unwrap());
        }
    }

    pub fn wake(&self, _count: u32) {
        let _guard = self.1.lock().unwrap();
        self.2.notify_all();
    }
}

/// Replaces a number that other threads may be counting up, in one store.
///
/// A count that started from the old number is older than the store, since nothing comes between the two halves of an
/// addition. Loom does not know that, and would let the store be overtaken; a swap says the same in its terms.
#[inline(always)]
pub fn publish(number: &AtomicU64, value: u64) {
    #[cfg(not(all(test, loom)))]
    number.store(value, Ordering::Release);
    #[cfg(all(test, loom))]
    number.swap(value, Ordering::Release);
}

/// Tells ThreadSanitizer that what happened before `happens_before(x)` is seen after `happens_after(x)`.
///
/// Rust's stable compiler cannot instrument the atomics of this crate, while the kernels of a library made by
/// `--sanitize thread` are instrumented; without these two calls every hand-off would be reported as a race.
#[inline(always)]
pub fn happens_before<T>(_on: &T) {
    #[cfg(lapidary_tsan)]
    // SAFETY: the sanitizer uses the address as a key.
    unsafe {
        __tsan_release(core::ptr::from_ref(_on).cast_mut().cast())
    }
}

/// See [`happens_before`].
#[inline(always)]
pub fn happens_after<T>(_on: &T) {
    #[cfg(lapidary_tsan)]
    // SAFETY: the sanitizer uses the address as a key.
    unsafe {
        __tsan_acquire(core::ptr::from_ref(_on).cast_mut().cast())
    }
}

#[cfg(lapidary_tsan)]
unsafe extern "C" {
    fn __tsan_acquire(address: *mut core::ffi::c_void);
    fn __tsan_release(address: *mut core::ffi::c_void);
}
