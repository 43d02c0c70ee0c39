//! Code generation and generated code in a process of their own.
//!
//! LLVM's fatal errors abort the process, and a fault in generated code kills it. So a command that generates or runs native code starts
//! this program again with the same arguments and waits: the child does everything; the parent turns an abnormal end into a diagnostic, and
//! keeps the graph that led to it.

use super::args::Global;
use super::{Outcome, Status};
use lapidary::{Diagnostic, SaveOptions};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the child. Its standard input is a pipe that ends when the parent does.
const CHILD: &str = "LAPIDARY_SUPERVISED";

/// In the parent: runs the child and gives its outcome; exits with its code. In the child (or where no child can be started): `None`, and
/// the work is done here.
pub fn run(model: &Path, global: &Global) -> Option<Outcome> {
    if is_child() {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let mut command = Command::new(program);
    let mut child = command.args(std::env::args_os().skip(1)).env(CHILD, "1").stdin(Stdio::piped()).spawn().ok()?;
    // Held open while the child runs.
    let _pipe = child.stdin.take();
    let status = match child.wait() {
        Ok(status) => status,
        Err(e) => return Some(Err(Diagnostic::error("process", format!("the code generator's end was missed: {e}")).into())),
    };
    Some(match status.code() {
        Some(0) => Ok(Status::Done),
        Some(1) => Ok(Status::Findings),
        // It has said why.
        Some(2) => std::process::exit(2),
        _ => Err(crashed(model, &status.to_string(), global).into()),
    })
}

pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// In a child: ends this process when the parent's end of the pipe is closed.
pub fn leave_with_parent() {
    if is_child() {
        std::thread::spawn(|| {
            let mut byte = [0];
            while std::io::stdin().read(&mut byte).is_ok_and(|n| n > 0) {}
            std::process::exit(2);
        });
    }
}

/// A bug of ours. The graph as text goes beside where the command ran.
fn crashed(model: &Path, how: &str, global: &Global) -> Diagnostic {
    let d = Diagnostic::error("native-crashed", format!("a bug of Lapidary: generating or running native code ended abnormally ({how})"));
    let dump = Path::new("lapidary-crash-native.lap");
    match global.open(model).and_then(|m| m.save(dump, &SaveOptions::default())) {
        Ok(()) => d
            .file(dump.display().to_string())
            .note(format!("the model as text is in '{}', large constants beside it", dump.display()))
            .help("please report it with these files and the command line; `--backend eval` runs the model without native code"),
        Err(_) => d.help("please report it with the model and the command line; `--backend eval` runs the model without native code"),
    }
}
