//! The threads of one context: the calling thread and `threads - 1` workers around one [`Job`].

use crate::abi::KernelFn;
use crate::job::{End, Job};
use crate::message::{Failed, Message};
use crate::neighbours::Neighbours;
use crate::sync::{AtomicU32, Ordering};
use crate::sys;
use core::cell::{Cell, UnsafeCell};
use core::ffi::{CStr, c_void};
use core::ptr::null_mut;

/// More threads than any machine has cores; a limit on what a wrong option may start.
pub const MAX_THREADS: usize = 1024;

/// Rounds that a worker spins for the next step of a run before it sleeps (a round is 10 to 40 ns, so about 0.5 ms:
/// longer than the serial parts of most runs).
const SPINS_IN_RUN: u32 = 20_000;
/// The same between runs, about 0.1 ms: enough for a caller that prepares the next run in between, as waking a thread takes half as long;
/// no burden for one that does not run again.
const SPINS_IDLE: u32 = 4_000;
/// Rounds that the caller spins for units that workers have claimed.
const SPINS_CALLER: u32 = 5_000;

/// Nanoseconds of runs that are worth a look at the caller's time.
const TIMED: i64 = 100_000;

/// What kernels are called with. Written between jobs only.
pub struct Arguments {
    pub bufs: *const *mut u8,
    pub values: *const i64,
    pub scratch: *mut u8,
    /// Bytes from one thread's scratch to the next one's.
    pub scratch_stride: usize,
}

pub struct Pool {
    job: Job,
    arguments: UnsafeCell<Arguments>,
    /// Not 0 while a run is on its way, so that workers expect more.
    in_run: AtomicU32,
    /// False where there are more threads than CPUs: who spins then takes a CPU from who works.
    may_spin: bool,
    /// Of the thread that runs the context, as are the next three.
    neighbours: UnsafeCell<Neighbours>,
    /// When this run had the first kernel for all threads; 0 before.
    since: Cell<i64>,
    /// The time of the caller's thread then, where `timed`.
    thread_since: Cell<i64>,
    /// Whether the run before was long enough for that clock, which is a call of the system.
    timed: Cell<bool>,
    workers: *mut Worker,
    /// Workers that were started.
    started: usize,
}

/// One worker thread; lives in the context's memory as long as the thread.
pub struct Worker {
    pool: *const Pool,
    /// 1 for the first: 0 is the caller.
    index: usize,
    thread: sys::Thread,
}

impl Pool {
    /// A pool without threads in `place`; [`start`](Self::start) makes them.
    ///
    /// # Safety
    /// `place` is free for one pool, `workers` for as many workers as will be started; both stay put.
    pub unsafe fn init(place: *mut Pool, workers: *mut Worker, threads: usize) {
        let arguments = UnsafeCell::new(Arguments { bufs: null_mut(), values: null_mut(), scratch: null_mut(), scratch_stride: 0 });
        let may_spin = threads <= sys::cpus();
        let (neighbours, since, thread_since, timed) = (UnsafeCell::new(Neighbours::new()), Cell::new(0), Cell::new(0), Cell::new(false));
        let pool = Pool {
            job: Job::new(threads),
            arguments,
            in_run: AtomicU32::new(0),
            may_spin,
            neighbours,
            since,
            thread_since,
            timed,
            workers,
            started: 0,
        };
        // SAFETY: as the caller promises.
        unsafe { place.write(pool) }
    }

    /// Starts `threads - 1` workers. After a failure [`stop`](Self::stop) ends those that were started.
    ///
    /// # Safety
    /// `pool` was made by `init` with as many threads, and has not been started.
    pub unsafe fn start(pool: *mut Pool, threads: usize, error: &mut Message) -> Result<(), Failed> {
        let mut all = sys::Bits([0; 16]);
        let mut before = sys::Bits([0; 16]);
        // SAFETY: the sets are valid. Workers block every signal, so that the program's handlers run on its own
        // threads. `started` and `workers` are not read by workers.
        unsafe {
            sys::sigfillset(&mut all);
            sys::pthread_sigmask(sys::SIG_SETMASK, &all, &mut before);
            let mut result = 0;
            for index in 1..threads {
                let worker = (*pool).workers.add(index - 1);
                worker.write(Worker { pool, index, thread: 0 });
                result = sys::pthread_create(&raw mut (*worker).thread, null_mut(), work, worker.cast());
                if result != 0 {
                    break;
                }
                (*pool).started += 1;
            }
            sys::pthread_sigmask(sys::SIG_SETMASK, &before, null_mut());
            if result != 0 {
                let started = (*pool).started as i64 + 1;
                error.clear().text("could not start thread ").int(started + 1).text(" of ").int(threads as i64);
                return error.text(": ").errno(result).fail();
            }
        }
        Ok(())
    }

    /// Ends the workers and waits for them.
    pub fn stop(&self) {
        self.job.stop();
        for index in 0..self.started {
            // SAFETY: the worker was started, and is joined once.
            unsafe { sys::pthread_join((*self.workers.add(index)).thread, null_mut()) };
        }
    }

    /// Marks the begin of a run, with what its kernels get.
    ///
    /// # Safety
    /// No job is running, and the pointers hold until the next call.
    pub unsafe fn begin(&self, arguments: Arguments) {
        // SAFETY: workers read the arguments only while they own a unit, and there is no job.
        unsafe { *self.arguments.get() = arguments };
        // SAFETY: only the thread that runs the context comes here.
        let alone = unsafe { (*self.neighbours.get()).alone() };
        self.in_run.store(u32::from(!alone), Ordering::Relaxed);
    }

    /// Marks the end of a run.
    ///
    /// # Safety
    /// On the thread that ran the context, after `begin`.
    pub unsafe fn end(&self) {
        self.in_run.store(0, Ordering::Relaxed);
        let since = self.since.replace(0);
        // More threads than CPUs take them from each other.
        if since != 0 && self.may_spin {
            let now = sys::now();
            let worked = now.wrapping_sub(since);
            // SAFETY: only the thread that runs the context comes here.
            let neighbours = unsafe { &mut *self.neighbours.get() };
            // Short runs, too, end the time alone.
            if self.timed.replace(worked >= TIMED) || neighbours.alone() {
                let on_cpu = sys::thread_time().wrapping_sub(self.thread_since.get());
                neighbours.after_run(now, worked, on_cpu);
            }
        }
    }

    /// Runs chunks `0 .. n_chunks` of `kernel` on all threads, or on the calling one alone beside busy neighbours.
    ///
    /// # Safety
    /// Between `begin` and `end`, on the thread that runs the context; the kernel keeps the rules of `abi`.
    pub unsafe fn run(&self, kernel: KernelFn, n_chunks: i64) {
        if self.since.get() == 0 {
            self.since.set(sys::now());
            if self.timed.get() {
                self.thread_since.set(sys::thread_time());
            }
        }
        // SAFETY: only the thread that runs the context comes here.
        if unsafe { (*self.neighbours.get()).alone() } {
            // SAFETY: there is no job, so that nobody else has a unit.
            return unsafe { self.call(kernel as usize, 0, n_chunks, 0) };
        }
        let spins = if self.may_spin { SPINS_CALLER } else { 0 };
        self.job.run(kernel as usize, n_chunks, spins, |kernel, begin, end| {
            // SAFETY: the unit is owned.
            unsafe { self.call(kernel, begin, end, 0) }
        });
    }

    /// # Safety
    /// The thread of that index owns a unit with these chunks.
    unsafe fn call(&self, kernel: usize, begin: i64, end: i64, index: usize) {
        // SAFETY: the number is the function that `run` was given; the arguments stand still during a job.
        unsafe {
            let kernel = core::mem::transmute::<usize, KernelFn>(kernel);
            let arguments = &*self.arguments.get();
            let scratch = arguments.scratch.wrapping_add(index * arguments.scratch_stride);
            kernel(arguments.bufs, arguments.values, begin, end, scratch)
        }
    }
}

/// A worker's life.
extern "C" fn work(worker: *mut c_void) -> *mut c_void {
    // SAFETY: `start` passes a worker that lives until it is joined. Only these two fields are read: the creating
    // thread may still be writing the third.
    let (pool, index) = unsafe { (&*(*worker.cast::<Worker>()).pool, (*worker.cast::<Worker>()).index) };
    let mut spins = 0;
    while !pool.job.is_stopped() {
        if pool.job.is_open() {
            // SAFETY: `help` passes units that this thread owns.
            pool.job.help(End::of(index), |kernel, begin, end| unsafe { pool.call(kernel, begin, end, index) });
            spins = 0;
            continue;
        }
        let in_run = pool.in_run.load(Ordering::Relaxed) != 0;
        let limit = if !pool.may_spin {
            0
        } else if in_run {
            SPINS_IN_RUN
        } else {
            SPINS_IDLE
        };
        if spins < limit {
            spins += 1;
            core::hint::spin_loop();
        } else {
            pool.job.sleep();
        }
    }
    null_mut()
}

/// The number of threads that an option asks for: 0 is one per CPU.
pub fn threads(option: i32, error: &mut Message) -> Result<usize, Failed> {
    match usize::try_from(option) {
        Ok(0) => Ok(sys::cpus().min(MAX_THREADS)),
        Ok(threads) if threads <= MAX_THREADS => Ok(threads),
        _ => {
            let most: &CStr = c" is not a number of threads: 0 (one per core) to ";
            error.clear().text("'threads' = ").int(option as i64).name(most).int(MAX_THREADS as i64).fail()
        }
    }
}
