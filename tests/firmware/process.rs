//! Child processes that end with the test, whatever way the test ends.
//!
//! **Invariant:** ends only processes that it started, by their id.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};

use crate::transcript::Transcript;

/// A running process; dropped, it is killed and waited for.
pub(crate) struct Process {
    child: Child,
    what: String,
}

impl Process {
    /// Starts `command` with its output and errors in `transcript`.
    pub(crate) fn start(mut command: Command, transcript: &Transcript) -> Self {
        let what = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        transcript.follow(child.stdout.take().expect("stdout is piped above"));
        transcript.follow(child.stderr.take().expect("stderr is piped above"));
        Self { child, what }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process ends by itself and tells whether it was content.
    pub(crate) fn wait(&mut self) -> bool {
        self.child.wait().unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.what)).success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end and returns what it printed; panics with all it said when it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}; `tests/run` installs what the lab needs"));
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        write!(said, "{errors}").expect("writing to a string cannot fail");
        panic!("{program} {} failed ({}): {said}", arguments.join(" "), output.status);
    }
    said
}
