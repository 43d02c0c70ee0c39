//! Progress of long work, when standard error is a terminal and nobody asked for quiet.

use super::args::Global;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

fn wanted(global: &Global) -> bool {
    !global.quiet && !global.json() && std::io::stderr().is_terminal()
}

/// A line that says what is being done; it goes away when dropped.
pub fn spinner(global: &Global, what: &str) -> ProgressBar {
    if !wanted(global) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_string());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar over a known number of steps.
pub fn bar(global: &Global, steps: usize, what: &str) -> ProgressBar {
    if !wanted(global) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len}  {elapsed}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(what.to_string());
    bar
}
