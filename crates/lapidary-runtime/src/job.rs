//! How one thread hands a step to others: the protocol alone, without threads, so that loom can explore it.
//!
//! A job is `units` pieces of work, each a range of chunks. All that is shared is one number, the *ticket*: the job's
//! count of units, and how many of them are handed out from the front and from the back. Whoever adds to either
//! and finds that there were units left owns as many of them as it added, or what was left, and only then reads what the
//! job is. Threads add a share of what they saw was left (guided self-scheduling, Polychronopoulos and Kuck 1987): many
//! units first, single ones at the end, so that claims are few and threads end together. This is why it is sound:
//!
//! * A job ends when every unit is *done*, and the caller writes the next job only after that. So from the moment a
//!   thread owns a unit until it reports it done, the fields of the job stand still.
//! * A thread that was delayed between looking at the ticket and adding to it gets units of the job that is current
//!   *now*, or none. There is nothing old that it could act on, hence no epoch to wrap around.
//! * The caller waits for units, never for threads: a worker that has not woken up yet holds nothing, and is not missed.
//!
//! Each thread takes units from its own end: of job after job it gets about the same part, and finds in its own cache
//! what it made of it before.

use crate::sync::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, Word, fence, happens_after, happens_before, publish};
use Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::num::NonZeroU64;

/// Keeps what different threads write on different cache lines (two, since CPUs fetch lines in pairs).
#[repr(align(128))]
struct Apart<T>(T);

/// A place where one caller at a time offers a job to workers.
pub struct Job {
    ticket: Apart<AtomicU64>,
    what: Apart<What>,
    /// Units that workers have finished.
    done: Apart<Word>,
    /// Not 0 while the caller sleeps on `done`.
    caller_sleeps: AtomicU32,
    /// Workers asleep on `wake`, or about to be.
    sleepers: Apart<AtomicU32>,
    /// Counts the times that sleepers were called.
    wake: Word,
    stop: AtomicU32,
    /// The caller and all workers; not zero, as a division by it must not be able to panic.
    threads: NonZeroU64,
}

/// Stable while any unit is owned and not done; ordered by the ticket, so that relaxed accesses will do.
struct What {
    kernel: AtomicUsize,
    n_chunks: AtomicI64,
    chunks_per_unit: AtomicI64,
}

/// Units per thread that a job is cut into at most: the last ones even out unequal progress.
const UNITS_PER_THREAD: u64 = 32;
/// Claims of a thread that would together take its part of what is left.
const SHARES: u64 = 2;

/// Bits below a ticket's count of units, and below its count of units from the back. Failed claims count, too: one share for each
/// thread at most, together half of all units, so that counts of 16 bits hold all units of a job of 1024 threads.
const UNITS_SHIFT: u32 = 32;
const BACK_SHIFT: u32 = 16;

fn taken(ticket: u64) -> (u64, u64) {
    (ticket & 0xffff, ticket >> BACK_SHIFT & 0xffff)
}

/// Units that nobody owns.
fn left(ticket: u64) -> u64 {
    let (front, back) = taken(ticket);
    (ticket >> UNITS_SHIFT).saturating_sub(front + back)
}

/// The end from which a thread takes units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Front,
    Back,
}

impl End {
    /// Of the thread of this index; 0 is the caller.
    pub fn of(index: usize) -> End {
        if index.is_multiple_of(2) { End::Front } else { End::Back }
    }
}

impl Job {
    /// For the caller and `threads - 1` workers.
    pub fn new(threads: usize) -> Self {
        Job {
            threads: NonZeroU64::new(threads as u64).unwrap_or(NonZeroU64::MIN),
            ticket: Apart(AtomicU64::new(0)),
            what: Apart(What { kernel: AtomicUsize::new(0), n_chunks: AtomicI64::new(0), chunks_per_unit: AtomicI64::new(1) }),
            done: Apart(Word::new(0)),
            caller_sleeps: AtomicU32::new(0),
            sleepers: Apart(AtomicU32::new(0)),
            wake: Word::new(0),
            stop: AtomicU32::new(0),
        }
    }

    /// Caller: runs `work(kernel, begin, end)` over all of `0 .. n_chunks` (at least one) with the help of workers, and returns when
    /// everything is done. Spins up to `spins` rounds before it sleeps.
    pub fn run(&self, kernel: usize, n_chunks: i64, spins: u32, work: impl Fn(usize, i64, i64)) {
        let wanted = (self.threads.get() * UNITS_PER_THREAD).min(n_chunks as u64).max(1);
        let chunks_per_unit = (n_chunks as u64).div_ceil(wanted).max(1);
        let units = (n_chunks as u64).div_ceil(chunks_per_unit);
        let chunks_per_unit = chunks_per_unit as i64;

        let what = &self.what.0;
        what.kernel.store(kernel, Relaxed);
        what.n_chunks.store(n_chunks, Relaxed);
        what.chunks_per_unit.store(chunks_per_unit, Relaxed);
        self.done.0.value().store(0, Relaxed);
        happens_before(&self.ticket);
        // The first units are the caller's own.
        let first = self.share(units);
        publish(&self.ticket.0, units << UNITS_SHIFT | first);

        // Pairs with the fence in `sleep`: either the sleeper is seen here, or it sees the ticket.
        fence(SeqCst);
        let sleepers = self.sleepers.0.load(Relaxed);
        if sleepers > 0 {
            self.wake.value().fetch_add(1, Release);
            self.wake.wake(sleepers.min((units - first) as u32));
        }

        work(kernel, 0, (first as i64 * chunks_per_unit).min(n_chunks));
        let own = first as u32 + self.claim(End::Front, &work);
        self.wait(units as u32 - own, spins);
        happens_after(&self.done);
    }

    /// Worker: claims units until there are none, and reports them.
    pub fn help(&self, end: End, work: impl Fn(usize, i64, i64)) {
        let finished = self.claim(end, &work);
        if finished > 0 {
            happens_before(&self.done);
            self.done.0.value().fetch_add(finished, Release);
            // Pairs with the fence in `wait`: either the caller sees the count, or its sleep is seen here.
            fence(SeqCst);
            if self.caller_sleeps.load(Relaxed) != 0 {
                self.done.0.wake(1);
            }
        }
    }

    /// Worker: is there a unit to claim? Cheap enough to spin on.
    pub fn is_open(&self) -> bool {
        left(self.ticket.0.load(Relaxed)) > 0
    }

    /// Worker: sleeps until a job or the end comes; may return early.
    pub fn sleep(&self) {
        self.sleepers.0.fetch_add(1, Relaxed);
        let seen = self.wake.value().load(Acquire);
        fence(SeqCst);
        if !self.is_open() && !self.is_stopped() {
            self.wake.wait(seen);
        }
        self.sleepers.0.fetch_sub(1, Relaxed);
    }

    /// Caller: tells workers to leave. No job may be running.
    pub fn stop(&self) {
        self.stop.store(1, Release);
        self.wake.value().fetch_add(1, Release);
        fence(SeqCst);
        self.wake.wake(u32::MAX);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Acquire) != 0
    }

    /// The units that a thread takes at once when `left` are left.
    fn share(&self, left: u64) -> u64 {
        (left / SHARES / self.threads).max(1)
    }

    /// Works on units until none is left; returns how many.
    fn claim(&self, end: End, work: &impl Fn(usize, i64, i64)) -> u32 {
        let mut finished = 0;
        loop {
            // Looking before adding keeps idle workers from counting the ticket up.
            let seen = left(self.ticket.0.load(Relaxed));
            if seen == 0 {
                break;
            }
            let share = self.share(seen);
            let added = match end {
                End::Front => share,
                End::Back => share << BACK_SHIFT,
            };
            let ticket = self.ticket.0.fetch_add(added, Acquire);
            let own = share.min(left(ticket));
            if own == 0 {
                break;
            }
            if finished == 0 {
                happens_after(&self.ticket);
            }
            let what = &self.what.0;
            let (n_chunks, step) = (what.n_chunks.load(Relaxed), what.chunks_per_unit.load(Relaxed));
            let (front, back) = taken(ticket);
            let first = match end {
                End::Front => front,
                End::Back => (ticket >> UNITS_SHIFT) - back - own,
            };
            work(what.kernel.load(Relaxed), first as i64 * step, ((first + own) as i64 * step).min(n_chunks));
            finished += own as u32;
        }
        finished
    }

    /// Waits until workers have done `units` units.
    fn wait(&self, units: u32, spins: u32) {
        let done = self.done.0.value();
        for _ in 0..spins {
            if done.load(Acquire) == units {
                return;
            }
            core::hint::spin_loop();
        }
        if done.load(Acquire) == units {
            return;
        }
        self.caller_sleeps.store(1, Relaxed);
        fence(SeqCst);
        loop {
            let seen = done.load(Acquire);
            if seen == units {
                break;
            }
            self.done.0.wait(seen);
        }
        self.caller_sleeps.store(0, Relaxed);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two jobs in a row, with a worker that may be late for either, awake or asleep: every chunk is done once, with
    /// the kernel of its own job, and what workers wrote is seen by the caller.
    fn two_jobs(workers: usize, chunks: i64, preemptions: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(move || {
            let job = Arc::new(Job::new(workers + 1));
            let cells: Arc<Vec<AtomicU64>> = Arc::new((0..2 * chunks).map(|_| AtomicU64::new(0)).collect());
            let work = |cells: Arc<Vec<AtomicU64>>| {
                move |kernel: usize, begin: i64, end: i64| {
                    for chunk in begin..end {
                        let cell = &cells[(kernel as i64 * chunks + chunk) as usize];
                        cell.store(cell.load(Relaxed) + 1, Relaxed);
                    }
                }
            };
            let threads: Vec<_> = (0..workers)
                .map(|worker| {
                    let (job, work) = (job.clone(), work(cells.clone()));
                    thread::spawn(move || {
                        while !job.is_stopped() {
                            job.help(End::of(worker + 1), &work);
                            job.sleep();
                        }
                    })
                })
                .collect();
            for kernel in 0..2 {
                job.run(kernel, chunks, 0, work(cells.clone()));
                for chunk in 0..chunks {
                    assert_eq!(cells[(kernel as i64 * chunks + chunk) as usize].load(Relaxed), 1);
                }
            }
            job.stop();
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_one_worker() {
        two_jobs(1, 2, 4);
    }

    #[test]
    fn loom_one_worker_more_chunks() {
        two_jobs(1, 3, 3);
    }

    /// So many that shares are of several units.
    #[test]
    fn loom_shares() {
        two_jobs(1, 9, 2);
    }

    #[test]
    fn loom_two_workers() {
        two_jobs(2, 2, 1);
    }
}
