//! Where ONNX Runtime's library is looked for.

use super::error::ProvisionError;
use super::install::{Pack, Store};
use std::fs;
use std::path::{Path, PathBuf};

/// ONNX Runtime 1.22 and newer offer the C interface that this crate asks for (`ort`'s feature `api-22`).
const MINOR_MIN: u32 = 22;

/// The places, in order.
#[derive(Debug, Clone)]
pub struct Search<'a> {
    /// The value of `ORT_DYLIB_PATH`.
    pub named: Option<PathBuf>,
    /// The folder of the program.
    pub beside: Option<PathBuf>,
    /// Our data directory with the pack of the runtime, where one is pinned for this platform.
    pub data: Option<(&'a Store, &'a Pack)>,
    /// Folders of the system's libraries.
    pub system: Vec<PathBuf>,
}

/// The system's library folders. Distributions put versions beside each other: the name tells which.
pub fn system_folders() -> Vec<PathBuf> {
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    let folders =
        ["/usr/local/lib".into(), format!("/usr/lib/{triple}"), "/usr/lib64".into(), "/usr/lib".into()];
    if cfg!(unix) { folders.map(PathBuf::from).into() } else { Vec::new() }
}

impl Search<'_> {
    /// The first library found; `None` where there is none.
    ///
    /// # Errors
    /// [`ProvisionError::NoSuchRuntime`] where `ORT_DYLIB_PATH` names no file: what was asked for is not replaced.
    pub fn find(&self) -> Result<Option<PathBuf>, ProvisionError> {
        if let Some(path) = &self.named {
            return if path.is_file() {
                Ok(Some(path.clone()))
            } else {
                Err(ProvisionError::NoSuchRuntime { path: path.clone() })
            };
        }
        let beside = self.beside.iter().flat_map(|folder| libraries(folder)).map(|l| l.path).next();
        let installed = || {
            let (store, pack) = self.data?;
            let library = pack.items.first()?;
            store.is_whole(pack).then(|| store.path(pack).join(&library.name))
        };
        let system = || {
            let found = self.system.iter().flat_map(|folder| libraries(folder));
            found.filter(|l| l.minor.is_some_and(|m| m >= MINOR_MIN)).map(|l| l.path).next()
        };
        Ok(beside.or_else(installed).or_else(system))
    }
}

/// A library whose name is ONNX Runtime's.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Library {
    /// What its name, or the name that it links to, says; `None` where neither says anything.
    minor: Option<u32>,
    path: PathBuf,
}

/// ONNX Runtime libraries in a folder, the newest first.
fn libraries(folder: &Path) -> Vec<Library> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().filter_map(|e| library(e.path())).collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

fn library(path: PathBuf) -> Option<Library> {
    let version = version_in_name(&path).filter(|_| path.is_file())?;
    let linked = || fs::canonicalize(&path).ok().and_then(|p| minor_of(&version_in_name(&p)?));
    Some(Library { minor: minor_of(&version).or_else(linked), path })
}

/// `.1.22.0` out of `libonnxruntime.so.1.22.0` or `libonnxruntime.1.22.0.dylib`, empty where there is none; `None` where
/// the file is another library.
fn version_in_name(path: &Path) -> Option<String> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    let rest = path.file_name()?.to_str()?.strip_prefix(DLL_PREFIX)?.strip_prefix("onnxruntime")?;
    let version = rest.strip_suffix(DLL_SUFFIX).or_else(|| rest.strip_prefix(DLL_SUFFIX))?;
    (version.is_empty() || version.starts_with('.')).then(|| version.into())
}

fn minor_of(version: &str) -> Option<u32> {
    version.strip_prefix(".1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        folder
    }

    fn nowhere() -> Search<'static> {
        Search { named: None, beside: None, data: None, system: Vec::new() }
    }

    #[test]
    fn what_ort_dylib_path_names_comes_first() {
        let (a, b) = (folder_with(&["anything.so"]), folder_with(&["libonnxruntime.so"]));
        let named = a.path().join("anything.so");
        let search = Search { named: Some(named.clone()), beside: Some(b.path().into()), ..nowhere() };
        assert_eq!(search.find().unwrap(), Some(named));
    }

    #[test]
    fn an_ort_dylib_path_that_names_nothing_is_an_error_even_with_a_library_beside_the_program() {
        let beside = folder_with(&["libonnxruntime.so"]);
        let search =
            Search { named: Some("/nowhere.so".into()), beside: Some(beside.path().into()), ..nowhere() };
        let message = search.find().unwrap_err().to_string();
        assert!(message.contains("ORT_DYLIB_PATH") && message.contains("/nowhere.so"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_program_s_folder_comes_before_the_system() {
        let (beside, system) =
            (folder_with(&["libonnxruntime.so"]), folder_with(&["libonnxruntime.so.1.30.0"]));
        let search =
            Search { beside: Some(beside.path().into()), system: vec![system.path().into()], ..nowhere() };
        assert_eq!(search.find().unwrap(), Some(beside.path().join("libonnxruntime.so")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn of_the_system_s_libraries_the_newest_is_taken_and_none_that_is_too_old_or_another() {
        let names = [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.30.1",
            "libonnxruntime.so.1.22.0",
            "libonnxruntime_x.so",
        ];
        let system = folder_with(&names);
        let search = Search { system: vec![system.path().into()], ..nowhere() };
        assert_eq!(search.find().unwrap(), Some(system.path().join("libonnxruntime.so.1.30.1")));
        let old = folder_with(&["libonnxruntime.so.1.21.0", "libonnxruntime_providers_shared.so"]);
        let search = Search { system: vec![old.path().into()], ..nowhere() };
        assert_eq!(search.find().unwrap(), None);
    }
}
