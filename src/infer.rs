//! From pixels to landmarks: the networks and the loop that follows faces from frame to frame.
//!
//! ```text
//! Frame ─► preprocess ─► detector ───► Roi ─┐
//!      └─► preprocess ◄─ Roi ◄──────────────┤
//!              └─► landmarker ─► Landmarks ─┴─► next frame's Roi
//! ```

pub mod detector;
pub mod expression;
pub mod face;
pub mod landmarker;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod operators;
pub mod preprocess;
mod reader;
mod search;
pub mod session;
pub mod tracker;

pub use expression::ExpressionNet;
pub use face::{CropView, FaceNet};
pub use reader::{Models, Reading};
pub use tracker::{Observation, Tracker, TrackerConfig};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Why inference cannot start or has no result for a frame.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The library is missing, too old or no ONNX Runtime.
    #[error(
        "cannot load ONNX Runtime from {}: {reason}; run `facetrackd models install`, or set ORT_DYLIB_PATH to a \
         libonnxruntime of version 1.22 or newer", path.display()
    )]
    Runtime {
        /// The library that was tried.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A process can load one ONNX Runtime only.
    #[error("ONNX Runtime is already loaded from {}; restart to load it from {}", loaded.display(), wanted.display())]
    RuntimeLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        wanted: PathBuf,
    },
    /// The file is missing, truncated or no ONNX.
    #[error(
        "network {network} cannot be loaded: {reason}; run `facetrackd models verify`, then `facetrackd models install`"
    )]
    Network {
        /// File or name of the network.
        network: Arc<str>,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// It is ONNX, but its inputs or outputs are not those that the code was written for.
    #[error(
        "network {network} is another one than this version needs: {what}; run `facetrackd models install`"
    )]
    Unexpected {
        /// File or name of the network.
        network: Arc<str>,
        /// The difference.
        what: String,
    },
    /// ONNX Runtime refused to run the network.
    #[error("network {network} failed: {reason}; please report this with your model pack's version")]
    Run {
        /// File or name of the network.
        network: Arc<str>,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// A source handed over fewer or more bytes than size and format promise.
    #[error("a frame of {width}x{height} has not the bytes it promises; please report this with your source")]
    BrokenFrame {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// NaN or infinity came out. The frame has no result; the next may have one.
    #[error("network {network} gave a number that is not finite in output {output}; the frame is dropped")]
    NotFinite {
        /// File or name of the network.
        network: Arc<str>,
        /// Name of the output.
        output: &'static str,
    },
}

/// ONNX Runtime, loaded once for the life of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: ort::environment::Environment,
    path: Arc<Path>,
}

/// The one environment that ONNX Runtime allows in a process; `ort` refuses to build a second, even after the first
/// was dropped.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads `libonnxruntime` from `path`, or hands out the one that an earlier call loaded from there.
    ///
    /// # Errors
    /// [`InferError::Runtime`] where the library cannot be used, [`InferError::RuntimeLoaded`] where another one is
    /// in use.
    pub fn load(path: &Path) -> Result<Self, InferError> {
        let unusable = |reason: String| InferError::Runtime { path: path.to_owned(), reason };
        let resolved = path.canonicalize().map_err(|e| unusable(e.to_string()))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return if *runtime.path == *resolved {
                Ok(runtime.clone())
            } else {
                Err(InferError::RuntimeLoaded { loaded: runtime.path.to_path_buf(), wanted: resolved })
            };
        }
        let environment = ort::init_from(&resolved)
            .map_err(|e| unusable(e.to_string()))?
            .with_name("facetrackd")
            .with_telemetry(false)
            .build()
            .map_err(|e| unusable(e.to_string()))?;
        let runtime = Self { environment, path: resolved.into() };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library in use, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::provision::{self, Event, InstalledPack};
    use sha2::{Digest, Sha256};
    use std::fmt::Write;

    /// The runtime that all tests share.
    pub(crate) fn runtime() -> Runtime {
        Runtime::load(&pack().runtime).unwrap()
    }

    /// The networks that all tests share, installed by the first that asks.
    pub(crate) fn pack() -> InstalledPack {
        provision::ensure(&|_: Event<'_>| ()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// That a network's weights are those that its card and manifest speak of.
    pub(crate) fn assert_is_of_manifest(onnx: &[u8], manifest: &str) {
        let manifest: toml::Table = toml::from_str(manifest).unwrap();
        let mut digest = String::new();
        for byte in Sha256::digest(onnx) {
            write!(digest, "{byte:02x}").unwrap();
        }
        assert_eq!(manifest["sha256"].as_str(), Some(digest.as_str()));
        assert_eq!(manifest["bytes"].as_integer(), Some(onnx.len() as i64));
    }

    #[test]
    fn a_runtime_that_is_missing_or_no_library_is_told_with_the_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [Path::new("/nowhere/libonnxruntime.so"), file.path()] {
            let error = Runtime::load(path).err().unwrap();
            let message = error.to_string();
            assert!(message.contains("ORT_DYLIB_PATH") || message.contains("restart"), "{message}");
        }
    }

    #[test]
    fn a_second_load_of_the_same_library_shares_the_first() {
        let first = runtime();
        assert_eq!(Runtime::load(first.path()).unwrap().path(), first.path());
    }
}
