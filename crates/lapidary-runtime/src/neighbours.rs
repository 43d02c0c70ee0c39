//! Whether other work takes the CPUs that the threads of a context run on.
//!
//! A thread that loses its CPU in the middle of a kernel keeps the others waiting for a time slice of the scheduler, which is milliseconds:
//! beside a busy neighbour two threads take longer than one. Where the caller has no CPU for a third of the time, because it lost it, shares it with its
//! own workers, or sleeps until one is done, it would be as fast alone: runs then stay on its thread for a while, before all threads are tried again.

/// Nanoseconds of work after which is decided.
const WINDOW: i64 = 24_000_000;
/// Windows that the caller stays alone: trying again costs about half of a window, which is a few percent then.
const ALONE: i64 = 12;

/// What one context has seen; times are nanoseconds of a steady clock.
pub struct Neighbours {
    /// Of runs in the window.
    worked: i64,
    /// What of it the caller had a CPU.
    on_cpu: i64,
    /// 0 while all threads work.
    alone_until: i64,
}

impl Neighbours {
    pub const fn new() -> Self {
        Neighbours { worked: 0, on_cpu: 0, alone_until: 0 }
    }

    /// Whether runs stay on the calling thread.
    pub fn alone(&self) -> bool {
        self.alone_until != 0
    }

    /// After a run that ended `now`, took `worked`, and had a CPU for `on_cpu` of it.
    pub fn after_run(&mut self, now: i64, worked: i64, on_cpu: i64) {
        if self.alone() {
            if now >= self.alone_until {
                *self = Neighbours::new();
            }
            return;
        }
        self.worked = self.worked.saturating_add(worked);
        self.on_cpu = self.on_cpu.saturating_add(on_cpu);
        if self.worked >= WINDOW {
            let in_vain = self.on_cpu < self.worked / 3 * 2;
            let alone_until = if in_vain { now.saturating_add(self.worked.saturating_mul(ALONE)) } else { 0 };
            *self = Neighbours { alone_until, ..Neighbours::new() };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Runs of `ms` for a second, each without a CPU for `lost` of it unless it is alone; gives how many were alone.
    fn alone(n: &mut Neighbours, from: i64, ms: i64, lost: i64) -> i64 {
        let runs = (from..from + 1000 * MS).step_by((ms * MS) as usize).filter(|now| {
            let was = n.alone();
            n.after_run(*now, ms * MS, if was { ms * MS } else { ms * MS - lost });
            was
        });
        runs.count() as i64
    }

    #[test]
    fn all_threads_work_while_little_is_lost() {
        assert_eq!(alone(&mut Neighbours::new(), 0, 1, 0), 0);
        assert_eq!(alone(&mut Neighbours::new(), 0, 4, 4 * MS / 4), 0);
    }

    #[test]
    fn the_caller_is_alone_beside_a_neighbour_and_no_longer() {
        let mut n = Neighbours::new();
        let runs = alone(&mut n, 0, 1, MS * 4 / 10);
        assert!((900..1000).contains(&runs), "{runs}");
        let after = alone(&mut n, 1000 * MS, 1, 0);
        assert!(after <= 300, "{after}");
        assert_eq!(alone(&mut n, 2000 * MS, 1, 0), 0);
    }

    /// Runs that take longer than a window decide one by one.
    #[test]
    fn long_runs_try_again_in_turn() {
        let mut n = Neighbours::new();
        let runs: i64 = (0..13).map(|second| alone(&mut n, second * 1000 * MS, 100, 60 * MS)).sum();
        assert_eq!(runs, 120);
    }
}
