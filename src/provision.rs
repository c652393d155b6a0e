//! The first run: fetches pinned packages, verifies them, converts their networks and installs the result.
//!
//! Nothing third-party lies in the repository. ONNX Runtime and MediaPipe's face networks come out of pinned wheels, by
//! pip; the networks are TFLite and become ONNX here, once. Our own networks are in the program: with them the daemon calls
//! [`ensure_runtime`], with MediaPipe's [`ensure`]. That costs the hashing of 40 MB where everything is installed.
//!
//! Data lies in `$FACETRACKD_DATA`, else in the XDG data home under `facetrackd`.

mod attention;
mod bars;
mod constants;
mod convert;
mod error;
mod flatbuf;
mod install;
mod manifest;
mod onnx;
mod package;
mod report;
mod runtime;
#[cfg(test)]
mod tests;
mod tflite;

pub use bars::Bars;
pub use convert::{Outputs, Port, convert};
pub use error::ProvisionError;
pub use install::{FileReport, State};
pub use manifest::{Anchors, Input, Manifest, Output, Source};
pub use onnx::{Signature, signature};
pub use report::{PackReport, Report};
pub use tflite::ConvertError;

use install::{Item, Pack, Store};
use package::Pip;
use runtime::Search;
use std::path::{Path, PathBuf};

/// Revision of the converter: a pack that another revision made is left alone and a new one made beside it.
const CONVERTER: u32 = 3;

/// A step of an installation, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Another process is installing; this one waits.
    Waiting,
    /// A package is about to be fetched.
    Fetch {
        /// Name and version.
        package: &'a str,
        /// SPDX name of its licence.
        licence: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// So much of it has come.
    Received {
        /// Bytes so far.
        bytes: u64,
    },
    /// A file is taken as it is.
    Unpack {
        /// Its name.
        file: &'a str,
    },
    /// A network is converted.
    Convert {
        /// Its name.
        network: &'a str,
    },
    /// The pack is complete and about to be moved into place.
    Commit {
        /// Where to.
        folder: &'a Path,
    },
    /// The pack is in place.
    Installed {
        /// Where.
        folder: &'a Path,
    },
}

/// Hears of an installation's steps: [`Bars`], or any closure.
pub trait Progress {
    /// Called at every step, from the thread that installs.
    fn note(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>)> Progress for F {
    fn note(&self, event: Event<'_>) {
        self(event);
    }
}

/// What is installed and whole, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPack {
    /// ONNX Runtime's library.
    pub runtime: PathBuf,
    /// The folder of the converted networks; empty or not there where [`ensure_runtime`] gave this.
    pub dir: PathBuf,
}

impl InstalledPack {
    /// The file of a network, by the name in its manifest.
    pub fn model(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.onnx"))
    }
}

/// Runtime and networks, installed first where they are missing, mended where they are damaged.
///
/// # Errors
/// [`ProvisionError`], each with its remedy.
pub fn ensure(progress: &dyn Progress) -> Result<InstalledPack, ProvisionError> {
    let installed = ensure_runtime(progress)?;
    store()?.ensure(&networks(), progress)?;
    Ok(installed)
}

/// The runtime alone, installed first where it is missing: enough for the networks that are in the program.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_runtime(progress: &dyn Progress) -> Result<InstalledPack, ProvisionError> {
    let store = store()?;
    let runtime = match find_runtime_in(&store)? {
        Some(runtime) => runtime,
        None => install_runtime(&store, progress)?,
    };
    Ok(InstalledPack { runtime, dir: store.path(&networks()) })
}

/// Installs or mends both packs, our own runtime too where the system has one.
///
/// # Errors
/// As [`ensure`].
pub fn install(progress: &dyn Progress) -> Result<InstalledPack, ProvisionError> {
    let store = store()?;
    if let Some(pack) = runtime_pack() {
        store.ensure(&pack, progress)?;
    }
    ensure(progress)
}

/// What is installed, by name and size.
///
/// # Errors
/// Where there is no data directory to look into.
pub fn list() -> Result<Report, ProvisionError> {
    Ok(Report::of(&store()?, false))
}

/// What is installed, every file's hash checked.
///
/// # Errors
/// Where there is no data directory to look into.
pub fn verify() -> Result<Report, ProvisionError> {
    Ok(Report::of(&store()?, true))
}

/// ONNX Runtime's library: `ORT_DYLIB_PATH`, beside the program, our data directory, the system, in this order.
///
/// # Errors
/// [`ProvisionError::NoSuchRuntime`] where `ORT_DYLIB_PATH` names no file.
pub fn find_runtime() -> Result<Option<PathBuf>, ProvisionError> {
    find_runtime_in(&store()?)
}

/// The directory that packs are installed in: `$FACETRACKD_DATA`, else the XDG place.
///
/// # Errors
/// [`ProvisionError::NoHome`] where neither is known.
pub fn data_dir() -> Result<PathBuf, ProvisionError> {
    if let Some(dir) = std::env::var_os("FACETRACKD_DATA").filter(|d| !d.is_empty()) {
        return Ok(dir.into());
    }
    let dirs = directories::ProjectDirs::from("", "", "facetrackd").ok_or(ProvisionError::NoHome)?;
    Ok(dirs.data_dir().into())
}

fn store() -> Result<Store, ProvisionError> {
    Ok(Store { data: data_dir()?, pip: Pip::default() })
}

fn find_runtime_in(store: &Store) -> Result<Option<PathBuf>, ProvisionError> {
    let pack = runtime_pack();
    let program = std::env::current_exe().ok();
    let search = Search {
        named: std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()).map(PathBuf::from),
        beside: program.as_deref().and_then(Path::parent).map(PathBuf::from),
        data: pack.as_ref().map(|pack| (store, pack)),
        system: runtime::system_folders(),
    };
    search.find()
}

fn install_runtime(store: &Store, progress: &dyn Progress) -> Result<PathBuf, ProvisionError> {
    let platform = || format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
    let pack = runtime_pack().ok_or_else(|| ProvisionError::NoRuntimeFor { platform: platform() })?;
    Ok(store.ensure(&pack, progress)?.join(&pack.items[0].name))
}

/// The pack of the runtime, its library first; `None` where none is pinned for this platform.
fn runtime_pack() -> Option<Pack> {
    let library = package::runtime_for(std::env::consts::OS, std::env::consts::ARCH)?;
    let name = format!("libonnxruntime.so.{}", library.package.version);
    let item = |entry: String, sha256: &str, name: &str| Item {
        entry,
        sha256: sha256.into(),
        name: name.into(),
        network: None,
    };
    Some(Pack {
        folder: format!("onnxruntime-{}", library.package.version),
        package: library.package,
        items: vec![
            item(format!("onnxruntime/capi/{name}"), library.sha256, &name),
            item("onnxruntime/LICENSE".into(), package::ONNXRUNTIME_LICENSE_SHA256, "LICENSE"),
        ],
    })
}

/// The pack of the converted networks.
fn networks() -> Pack {
    let version = package::MEDIAPIPE.version;
    let network = |manifest: Manifest| Item {
        entry: manifest.source.path.clone(),
        sha256: manifest.source.sha256.clone(),
        name: format!("{}.onnx", manifest.name),
        network: Some(manifest),
    };
    let licence = Item {
        entry: format!("mediapipe-{version}.dist-info/LICENSE"),
        sha256: package::MEDIAPIPE_LICENSE_SHA256.into(),
        name: "LICENSE".into(),
        network: None,
    };
    Pack {
        folder: format!("mediapipe-{version}-{CONVERTER}"),
        package: package::MEDIAPIPE,
        items: Manifest::all().into_iter().map(network).chain([licence]).collect(),
    }
}
