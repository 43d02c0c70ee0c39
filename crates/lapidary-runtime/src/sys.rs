//! The functions of libc and pthreads that the runtime calls, declared by hand: no dependency, Linux (glibc or musl).

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

pub const O_RDONLY: c_int = 0;
pub const O_CLOEXEC: c_int = 0o2000000;
pub const SEEK_END: c_int = 2;
pub const PROT_READ: c_int = 1;
pub const MAP_SHARED: c_int = 1;
pub const MADV_HUGEPAGE: c_int = 14;
pub const SIG_SETMASK: c_int = 2;
const FUTEX_WAIT_PRIVATE: c_int = 128;
const FUTEX_WAKE_PRIVATE: c_int = 129;
#[cfg(target_arch = "x86_64")]
const SYS_FUTEX: c_long = 202;
#[cfg(not(target_arch = "x86_64"))]
const SYS_FUTEX: c_long = 98;
pub const AT_PHDR: usize = 3;
const CLOCK_MONOTONIC: c_int = 1;
const CLOCK_THREAD_CPUTIME_ID: c_int = 3;

/// `pthread_t`: an integer or a pointer, as wide as one.
pub type Thread = usize;
pub type Key = c_uint;

/// `Dl_info`.
#[repr(C)]
pub struct DlInfo {
    pub file: *const c_char,
    pub base: *mut c_void,
    pub symbol: *const c_char,
    pub address: *mut c_void,
}

/// `sigset_t`, and `cpu_set_t`: 1024 bits each.
#[repr(C, align(8))]
pub struct Bits(pub [u64; 16]);

/// `struct timespec` of 64-bit systems.
#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    #[cfg(lapidary_staticlib)]
    pub fn abort() -> !;
    pub fn malloc(size: usize) -> *mut c_void;
    pub fn free(memory: *mut c_void);
    pub fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int;
    pub fn strlen(text: *const c_char) -> usize;
    pub fn strcmp(a: *const c_char, b: *const c_char) -> c_int;
    pub fn strerror(error: c_int) -> *const c_char;
    pub fn getenv(name: *const c_char) -> *const c_char;
    pub fn getauxval(kind: usize) -> usize;
    pub fn readlink(path: *const c_char, out: *mut c_char, size: usize) -> isize;
    pub fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
    pub fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    pub fn close(file: c_int) -> c_int;
    pub fn lseek(file: c_int, offset: i64, whence: c_int) -> i64;
    pub fn mmap(address: *mut c_void, length: usize, protection: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
    pub fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    pub fn munmap(address: *mut c_void, length: usize) -> c_int;
    pub fn sched_getaffinity(process: c_int, size: usize, set: *mut Bits) -> c_int;
    pub fn sigfillset(set: *mut Bits) -> c_int;
    pub fn pthread_sigmask(how: c_int, set: *const Bits, old: *mut Bits) -> c_int;
    pub fn pthread_create(
        thread: *mut Thread,
        attributes: *const c_void,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
    pub fn pthread_join(thread: Thread, result: *mut *mut c_void) -> c_int;
    pub fn pthread_once(once: *mut c_int, init: extern "C" fn()) -> c_int;
    pub fn pthread_key_create(key: *mut Key, destructor: Option<unsafe extern "C" fn(*mut c_void)>) -> c_int;
    #[cfg(lapidary_staticlib)]
    pub fn pthread_key_delete(key: Key) -> c_int;
    pub fn pthread_getspecific(key: Key) -> *mut c_void;
    pub fn pthread_setspecific(key: Key, value: *const c_void) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut Time) -> c_int;
    fn __errno_location() -> *mut c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

/// The error number of the last failed call on this thread.
pub fn errno() -> c_int {
    // SAFETY: the location is valid for the calling thread.
    unsafe { *__errno_location() }
}

/// Sleeps while `*word == expected`; may return early.
///
/// # Safety
/// `word` is valid.
#[cfg_attr(all(test, loom), allow(dead_code))]
pub unsafe fn futex_wait(word: *const u32, expected: u32) {
    // SAFETY: the kernel reads the word and follows no other pointer (the timeout is NULL).
    unsafe { syscall(SYS_FUTEX, word, FUTEX_WAIT_PRIVATE, expected, core::ptr::null::<c_void>()) };
}

/// Wakes up to `count` threads that sleep on `word`.
#[cfg_attr(all(test, loom), allow(dead_code))]
pub fn futex_wake(word: *const u32, count: u32) {
    let count = count.min(i32::MAX as u32);
    // SAFETY: the address is a key here, the kernel does not read through it.
    unsafe { syscall(SYS_FUTEX, word, FUTEX_WAKE_PRIVATE, count) };
}

/// Nanoseconds of a steady clock.
pub fn now() -> i64 {
    nanoseconds(CLOCK_MONOTONIC)
}

/// Nanoseconds that the calling thread has had a CPU.
pub fn thread_time() -> i64 {
    nanoseconds(CLOCK_THREAD_CPUTIME_ID)
}

fn nanoseconds(clock: c_int) -> i64 {
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: the structure is the system's.
    unsafe { clock_gettime(clock, &mut time) };
    time.seconds.wrapping_mul(1_000_000_000).wrapping_add(time.nanoseconds)
}

/// CPUs that this process may use: at least 1.
pub fn cpus() -> usize {
    let mut set = Bits([0; 16]);
    // SAFETY: the set is as large as stated.
    if unsafe { sched_getaffinity(0, size_of::<Bits>(), &mut set) } < 0 {
        return 1;
    }
    let count: u32 = set.0.iter().map(|word| word.count_ones()).sum();
    (count as usize).max(1)
}
