//! What can go wrong between a fresh machine and an installed pack, each with what to do next.

use super::tflite::ConvertError;
use std::io;
use std::path::{Path, PathBuf};

/// Why runtime or networks are not there.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// Packages are fetched by pip, which needs Python.
    #[error(
        "python3 was not found; packages are fetched with its pip. Install it (Debian, Ubuntu: sudo apt install python3 \
         python3-pip), or copy the data directory of another machine and name it in FACETRACKD_DATA"
    )]
    NoPython,
    /// Python is there without pip.
    #[error(
        "python3 has no pip; install it (Debian, Ubuntu: sudo apt install python3-pip; elsewhere: python3 -m ensurepip)"
    )]
    NoPip,
    /// pip gave up.
    #[error(
        "pip could not fetch {package}: {reason}. Is the network up? Behind a mirror, pip's own settings hold \
         (PIP_INDEX_URL, PIP_FIND_LINKS); the data directory of another machine may also be copied and named in \
         FACETRACKD_DATA"
    )]
    Fetch {
        /// Package and version.
        package: String,
        /// The end of what pip said.
        reason: String,
    },
    /// What came is not what was pinned.
    #[error(
        "{what} is not the file that was pinned (its SHA-256 differs); nothing was installed. A mirror may serve \
         something else: try again with another one, and report it if it stays"
    )]
    WrongHash {
        /// Package or file.
        what: String,
    },
    /// The package is whole but does not hold what it should.
    #[error(
        "{package} cannot be unpacked: {reason}; remove it from pip's cache (python3 -m pip cache purge) and retry"
    )]
    Unpack {
        /// The package's file name.
        package: String,
        /// What the archive reader said.
        reason: String,
    },
    /// A network could not be converted.
    #[error("{network} cannot be converted: {reason}; this is a defect, please report it")]
    Convert {
        /// Its name.
        network: String,
        /// Why.
        reason: ConvertError,
    },
    /// No space.
    #[error(
        "no space left for {path} (about {needed_mb} MB are needed while installing); free some, or set FACETRACKD_DATA \
         to a directory on another disk"
    )]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// Estimate of the whole need.
        needed_mb: u64,
    },
    /// Not ours to write.
    #[error(
        "{path} cannot be written: {source}; mend its permissions, or set FACETRACKD_DATA to a directory of yours"
    )]
    NotWritable {
        /// Directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading failed.
    #[error("{path} cannot be read: {source}")]
    NotReadable {
        /// Directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No home directory, no XDG variables.
    #[error("there is no home directory to keep data in; set FACETRACKD_DATA to a directory")]
    NoHome,
    /// `ORT_DYLIB_PATH` points nowhere.
    #[error("ORT_DYLIB_PATH names {path}, which is no file; correct it, or unset it to use our own library")]
    NoSuchRuntime {
        /// Its value.
        path: PathBuf,
    },
    /// No pinned library for this kind of machine.
    #[error(
        "no ONNX Runtime is pinned for {platform}; install one of version 1.22 or newer and name its library \
         (libonnxruntime.so, onnxruntime.dll) in ORT_DYLIB_PATH"
    )]
    NoRuntimeFor {
        /// Operating system and architecture.
        platform: String,
    },
}

/// Disk space that an installation takes at its height: two wheels, and what is made of them.
const NEEDED_MB: u64 = 160;

/// Turns a failed write into the error that names its remedy.
pub(super) fn writing(path: &Path) -> impl FnOnce(io::Error) -> ProvisionError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ProvisionError::DiskFull { path: path.into(), needed_mb: NEEDED_MB }
        }
        _ => ProvisionError::NotWritable { path: path.into(), source },
    }
}

/// Turns a failed read into its error.
pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> ProvisionError + '_ {
    move |source| ProvisionError::NotReadable { path: path.into(), source }
}
