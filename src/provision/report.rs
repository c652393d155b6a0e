//! What `facetrackd models list` and `verify` print.

use super::install::{FileReport, Pack, State, Store};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The standing of everything that is provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The library that would be loaded; `None` where there is none yet, or where what was asked for is missing.
    pub runtime: Option<PathBuf>,
    /// The packs.
    pub packs: Vec<PackReport>,
}

/// One pack's standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackReport {
    /// Name and version of the package that it comes from.
    pub package: String,
    /// SPDX name of the licence.
    pub licence: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether tracking does without it: the packaged networks, and our own runtime where another one is found first.
    pub optional: bool,
    /// Its files.
    pub files: Vec<FileReport>,
}

impl Report {
    pub(super) fn of(store: &Store, hashes: bool) -> Self {
        let runtime = super::find_runtime_in(store).ok().flatten();
        let pack_report = |pack: &Pack| PackReport {
            package: pack.package.requirement(),
            licence: pack.package.licence.into(),
            folder: store.path(pack),
            optional: !pack.folder.starts_with("onnxruntime")
                || runtime.as_ref().is_some_and(|r| !r.starts_with(store.path(pack))),
            files: store.examine(pack, hashes),
        };
        let packs = super::runtime_pack().into_iter().chain([super::networks()]);
        let packs = packs.map(|p| pack_report(&p)).collect();
        Self { data_dir: store.data.clone(), runtime, packs }
    }

    /// Whether nothing that is needed is missing, and nothing damaged.
    pub fn is_whole(&self) -> bool {
        let sound =
            |pack: &PackReport, state: State| state.is_usable() || pack.optional && state == State::Missing;
        self.runtime.is_some() && self.packs.iter().all(|p| p.files.iter().all(|f| sound(p, f.state)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.runtime {
            Some(path) => writeln!(f, "runtime  {}", path.display())?,
            None => writeln!(f, "runtime  none")?,
        }
        for pack in &self.packs {
            let note = match (pack.optional, pack.package.starts_with("onnxruntime")) {
                (true, true) => ", not needed: another runtime comes first",
                (true, false) => ", for --models packaged",
                (false, _) => "",
            };
            writeln!(f, "{} ({}{note})  {}", pack.package, pack.licence, pack.folder.display())?;
            for file in &pack.files {
                let state = match file.state {
                    State::Whole => "whole",
                    State::Present => "present",
                    State::Missing => "missing",
                    State::Damaged => "damaged",
                };
                let size = file.bytes.map_or(String::new(), |b| format!("{:.1} MB", b as f64 * 1e-6));
                writeln!(f, "  {state:8} {size:>8}  {}", file.name)?;
            }
        }
        Ok(())
    }
}
