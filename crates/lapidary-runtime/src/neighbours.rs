//! Whether other work wants the CPUs that the threads of a context run on.
//!
//! A thread that loses its CPU in the middle of a kernel keeps the others waiting for a time slice of the scheduler, which is milliseconds: beside
//! a busy neighbour two threads take longer than one. The system counts how often threads lose their CPU to others (`ru_nivcsw`). Where that
//! happens often, runs stay on the calling thread for a while, before all threads are tried again.

/// Nanoseconds between two looks at the count.
const WINDOW: i64 = 24_000_000;
/// Where a CPU is shared, threads lose it about every 3 to 6 ms; a quiet system takes it a few times a second.
const OFTEN: i64 = 8_000_000;
/// Fewer are chance.
const LEAST: i64 = 3;
/// Windows that the calling thread stays alone: trying again, which costs less than half of a window, is then a few percent at most.
const ALONE: i64 = 16;

/// What one context has seen; times are nanoseconds of a steady clock.
pub struct Neighbours {
    since: i64,
    lost: i64,
    /// 0 while all threads work.
    alone_until: i64,
}

impl Neighbours {
    pub const fn new() -> Self {
        Neighbours { since: 0, lost: 0, alone_until: 0 }
    }

    /// Whether runs stay on the calling thread.
    pub fn alone(&self) -> bool {
        self.alone_until != 0
    }

    /// After a run that ended `now`; `lost` tells how often threads of this process have lost their CPU.
    pub fn after_run(&mut self, now: i64, lost: impl FnOnce() -> i64) {
        if self.alone() {
            if now >= self.alone_until {
                *self = Neighbours { since: now, lost: lost(), alone_until: 0 };
            }
            return;
        }
        let window = now.saturating_sub(self.since);
        if window < WINDOW {
            return;
        }
        let before = core::mem::replace(&mut self.lost, lost());
        self.since = now;
        let times = self.lost.saturating_sub(before);
        if times >= LEAST && window <= times.saturating_mul(OFTEN) {
            self.alone_until = now.saturating_add(window.saturating_mul(ALONE));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Runs of a millisecond for a second, on CPUs that are lost every `every` of them; gives how many runs were alone.
    fn alone(n: &mut Neighbours, from: i64, every: i64) -> i64 {
        let runs = (from..from + 1000).filter(|ms| {
            let was = n.alone();
            n.after_run((1000 + ms) * 1_000_000, || if every == 0 { 0 } else { ms / every });
            was
        });
        runs.count() as i64
    }

    #[test]
    fn all_threads_work_on_quiet_cpus() {
        assert_eq!(alone(&mut Neighbours::new(), 0, 0), 0);
        assert_eq!(alone(&mut Neighbours::new(), 0, 100), 0);
    }

    #[test]
    fn the_caller_is_alone_beside_a_neighbour_and_no_longer() {
        let mut n = Neighbours::new();
        let runs = alone(&mut n, 0, 4);
        assert!((900..1000).contains(&runs), "{runs}");
        let after = alone(&mut n, 1000, 0);
        assert!(after <= 400, "{after}");
        assert_eq!(alone(&mut n, 2000, 0), 0);
    }

    /// Runs that take longer than a window are looked at one by one.
    #[test]
    fn long_runs_try_again_in_turn() {
        let mut n = Neighbours::new();
        let was: Vec<bool> = (1..=40)
            .map(|run| {
                let was = n.alone();
                n.after_run(run * 300_000_000, || run * 60);
                was
            })
            .collect();
        assert_eq!(was.iter().filter(|alone| !**alone).count(), 3, "{was:?}");
    }
}
