//! What can be wrong with an output, and what the person can do about it.

use std::io;
use std::path::PathBuf;

/// What can be wrong with an output.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A setting makes no sense.
    #[error("the {output} output cannot work like this: {problem}")]
    Config {
        /// The `type` of the output.
        output: &'static str,
        /// What is wrong, with the value.
        problem: String,
    },
    /// A host name that nobody knows, or a malformed address.
    #[error("cannot find the receiver `{address}` ({source}); give it as HOST:PORT, such as 127.0.0.1:39539")]
    Resolve {
        /// As it was given.
        address: String,
        /// The resolver's word.
        source: io::Error,
    },
    /// The system gives no socket.
    #[error("cannot open a socket to send to {address}: {source}")]
    Socket {
        /// As it was given.
        address: String,
        /// The system's word.
        source: io::Error,
    },
    /// A port that others send to is taken, or not this machine's.
    #[error(
        "cannot listen on {address}: {source}; does another program, or another facetrackd, hold that port?"
    )]
    Listen {
        /// As it was given.
        address: String,
        /// The system's word.
        source: io::Error,
    },
    /// The system gives no thread, or nothing to wake it with.
    #[error(
        "cannot start the thread of the {output} output: {source}; is the process limit reached? (ulimit -u)"
    )]
    Thread {
        /// The `type` of the output.
        output: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// A file cannot be created.
    #[error("cannot write to {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// VRChat's file of an avatar cannot be used.
    #[error("cannot read the avatar {}: {source}; VRChat writes it to OSC/usr_.../Avatars/ when OSC is on", path.display())]
    Avatar {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Writing failed; the output is at its end.
    #[error("writing to {} failed: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// No space left; the output is at its end.
    #[error("the disk is full: {} is cut off in its last line; free some space and start again", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Whoever read the pipe has left. For standard output this is a quiet end of the program.
    #[error("the reader of {} has closed it", path.display())]
    PipeClosed {
        /// The pipe; `-` for standard output.
        path: PathBuf,
    },
    /// The ring in shared memory.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Ring(#[from] super::shm::RingError),
    /// A number that is not finite reached the outputs. Nothing of the sample was sent. A stage before let it pass.
    #[error("frame {frame} has a number that is not finite; it was not sent")]
    NotFinite {
        /// [`crate::face::FaceSample::index`].
        frame: u64,
    },
}

impl SinkError {
    /// What a failed write to `path` means.
    pub(super) fn from_write(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Write { path, source },
        }
    }

    /// Whether the output may go on with the next sample.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NotFinite { .. })
    }
}
