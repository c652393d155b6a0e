//! Packs on disk: made in a temporary folder, recorded with hashes, moved into place in one step.
//!
//! A pack is a folder whose `pack.json` lists every file with its hash. The record is written last, everything reaches the
//! disk before the folder gets its name, and a folder whose files differ from its record does not load: an interrupted
//! installation leaves nothing but a temporary folder, which the next one removes. One lock per data directory.

use super::convert::convert;
use super::error::{ProvisionError, reading, writing};
use super::manifest::Manifest;
use super::package::{self, Package, Pip};
use super::{Event, Progress};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

const RECORD: &str = "pack.json";
const LOCK: &str = ".lock";
/// Folders of an installation that is under way, or was interrupted.
const TEMPORARY: &str = ".installing-";

/// A set of files out of one package.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Folder in the data directory; changes whenever the contents do.
    pub folder: String,
    /// Where the files come from.
    pub package: Package,
    /// What is taken.
    pub items: Vec<Item>,
}

/// One file of a pack.
#[derive(Debug, Clone)]
pub struct Item {
    /// Path within the wheel.
    pub entry: String,
    /// SHA-256 of that.
    pub sha256: String,
    /// Name in the pack.
    pub name: String,
    /// Where the file is a network to be converted.
    pub network: Option<Manifest>,
}

/// `pack.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    package: String,
    licence: String,
    files: Vec<RecordedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecordedFile {
    name: String,
    bytes: u64,
    sha256: String,
}

/// How a pack, or a file of it, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There, and its hash is right.
    Whole,
    /// There and of the right size; its hash was not looked at.
    Present,
    /// Not there.
    Missing,
    /// Not what was installed.
    Damaged,
}

impl State {
    /// Whether nothing is known to be wrong.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Whole | Self::Present)
    }
}

/// One file's standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// Its size, where it is there.
    pub bytes: Option<u64>,
    /// How it stands.
    pub state: State,
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct Store {
    /// The directory. Made when something is installed.
    pub data: PathBuf,
    /// How packages are fetched.
    pub pip: Pip,
}

impl Store {
    /// Where a pack is, or would be.
    pub fn path(&self, pack: &Pack) -> PathBuf {
        self.data.join(&pack.folder)
    }

    /// The standing of each of a pack's files; `hashes` says whether the contents are read.
    pub fn examine(&self, pack: &Pack, hashes: bool) -> Vec<FileReport> {
        let folder = self.path(pack);
        let record = fs::read(folder.join(RECORD)).ok();
        let record: Option<Record> = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let report = |item: &Item| {
            let path = folder.join(&item.name);
            let bytes = fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|m| m.len());
            let recorded = record.as_ref().and_then(|r| r.files.iter().find(|f| f.name == item.name));
            let state = match (bytes, recorded) {
                (None, _) => State::Missing,
                (Some(bytes), Some(file)) if bytes == file.bytes => match hashes {
                    false => State::Present,
                    true if package::hash_of_file(&path).is_ok_and(|h| h == file.sha256) => State::Whole,
                    true => State::Damaged,
                },
                // A file without a record was never completed, or the record is gone: either way it is not trusted.
                (Some(_), _) => State::Damaged,
            };
            FileReport { name: item.name.clone(), bytes, state }
        };
        pack.items.iter().map(report).collect()
    }

    /// Whether the pack is installed and every file's hash is right.
    pub fn is_whole(&self, pack: &Pack) -> bool {
        self.examine(pack, true).iter().all(|f| f.state == State::Whole)
    }

    /// The pack's folder, installed first where it is missing, mended where it is damaged.
    pub fn ensure(&self, pack: &Pack, progress: &dyn Progress) -> Result<PathBuf, ProvisionError> {
        if self.is_whole(pack) { Ok(self.path(pack)) } else { self.install(pack, progress) }
    }

    /// Installs the pack unless it is whole by the time that this process may.
    pub fn install(&self, pack: &Pack, progress: &dyn Progress) -> Result<PathBuf, ProvisionError> {
        let _lock = self.lock(progress)?;
        let target = self.path(pack);
        if self.is_whole(pack) {
            return Ok(target);
        }
        self.remove_remains()?;
        let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&self.data);
        let temporary = temporary.map_err(writing(&self.data))?;
        let made = temporary.path().join("pack");
        fs::create_dir(&made).map_err(writing(&made))?;
        let wheel = self.pip.fetch(&pack.package, temporary.path(), progress)?;
        let mut files = Vec::new();
        for item in &pack.items {
            let bytes = produce(item, &wheel, progress)?;
            write_durably(&made.join(&item.name), &bytes)?;
            let (name, sha256) = (item.name.clone(), package::hash(&bytes));
            files.push(RecordedFile { name, bytes: bytes.len() as u64, sha256 });
        }
        let package = pack.package.requirement();
        let record = Record { package, licence: pack.package.licence.into(), files };
        let record =
            serde_json::to_vec_pretty(&record).expect("a record has no map with keys that JSON refuses");
        write_durably(&made.join(RECORD), &record)?;
        sync_folder(&made)?;
        progress.note(Event::Commit { folder: &target });
        self.replace(&target, &made)?;
        progress.note(Event::Installed { folder: &target });
        Ok(target)
    }

    /// Gives `made` the name `target`. What stood there before is moved away first and goes with the next clean-up.
    fn replace(&self, target: &Path, made: &Path) -> Result<(), ProvisionError> {
        if fs::symlink_metadata(target).is_ok() {
            let aside = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&self.data);
            let aside = aside.map_err(writing(&self.data))?;
            fs::rename(target, aside.path().join("old")).map_err(writing(target))?;
        }
        fs::rename(made, target).map_err(writing(target))?;
        sync_folder(&self.data)
    }

    /// Held until it is dropped or the process ends, however it ends.
    fn lock(&self, progress: &dyn Progress) -> Result<File, ProvisionError> {
        fs::create_dir_all(&self.data).map_err(writing(&self.data))?;
        let path = self.data.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(writing(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => {
                progress.note(Event::Waiting);
                lock.lock().map_err(writing(&path))?;
                Ok(lock)
            }
            Err(TryLockError::Error(source)) => Err(writing(&path)(source)),
        }
    }

    /// Removes what interrupted installations left. The lock is held, so none of it is in use.
    fn remove_remains(&self) -> Result<(), ProvisionError> {
        for entry in fs::read_dir(&self.data).map_err(reading(&self.data))? {
            let entry = entry.map_err(reading(&self.data))?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                fs::remove_dir_all(entry.path()).map_err(writing(&entry.path()))?;
            }
        }
        Ok(())
    }
}

/// The contents of one file of a pack.
fn produce(item: &Item, wheel: &Path, progress: &dyn Progress) -> Result<Vec<u8>, ProvisionError> {
    let bytes = package::take(wheel, &item.entry, &item.sha256)?;
    let Some(manifest) = &item.network else {
        progress.note(Event::Unpack { file: &item.name });
        return Ok(bytes);
    };
    progress.note(Event::Convert { network: &manifest.name });
    let (input, outputs) = (manifest.input_port(), manifest.output_ports());
    convert(&bytes, &manifest.name, &input, manifest.source.outputs, &outputs)
        .map_err(|reason| ProvisionError::Convert { network: manifest.name.clone(), reason })
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), ProvisionError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(writing(path))
}

/// Makes names in a folder durable. Windows cannot, and does not need to.
fn sync_folder(path: &Path) -> Result<(), ProvisionError> {
    if cfg!(unix) { File::open(path).and_then(|f| f.sync_all()).map_err(writing(path)) } else { Ok(()) }
}
