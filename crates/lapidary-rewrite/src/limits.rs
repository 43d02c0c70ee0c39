/// Bounds on what a run of passes may spend, settable by the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Sweeps of a rule set over a graph until it must have settled.
    pub sweeps: usize,
    /// Rounds of `repeat(…)` without a limit of its own.
    pub rounds: usize,
    /// Bytes that folding may produce for one node, checked on the actual result.
    pub fold_bytes: usize,
    /// Bytes that one value may take while a pass evaluates the model.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { sweeps: 32, rounds: 8, fold_bytes: 16 << 20, value_bytes: 8 << 30 }
    }
}
