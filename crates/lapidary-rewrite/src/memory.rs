//! The peak of resident memory, as Linux counts it in `/proc/self/status` (`VmHWM`). Writing 5 to `/proc/self/clear_refs` sets the peak
//! back to the present size, so that each pass has its own; where that is not allowed the peak is that of the process so far. Elsewhere
//! than on Linux nothing is reported. The figure covers the whole process: other threads and mapped files count.

/// Starts a new peak.
pub fn reset_peak() {
    // Not being allowed to is no error: the figure is then an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak since the last reset, in bytes.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
