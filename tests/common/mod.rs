//! What the tests of the whole program share.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The clip whose truth is known.
pub fn demo_clip() -> PathBuf {
    repository("assets/demo/demo.avi")
}

/// The program, with no configuration of the machine's user in its way.
pub fn facetrackd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_facetrackd"));
    command.args(args).env("XDG_CONFIG_HOME", std::env::temp_dir().join("facetrackd-no-config"));
    command.env_remove("RUST_LOG").env_remove("JOURNAL_STREAM").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    facetrackd(args).output().expect("the binary runs")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output, a JSON value a line.
pub fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The program running, its standard output read by line. Killed when dropped.
pub struct Running {
    /// The process.
    pub child: Child,
    /// Its standard output.
    pub lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts it.
    pub fn start(args: &[&str]) -> Self {
        let mut child = facetrackd(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// The next line of standard output; panics at its end.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("output goes on").expect("readable")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process lives");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
