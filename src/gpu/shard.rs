//! The data set on disk: shards of labels and pictures, each written under a temporary name and renamed when whole.
//! `docs/dataset.md` describes the layout; `training/dataset.py` reads it.

use super::labels::{self, FIELDS, Label, REGIONS};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// First bytes of a shard.
pub const MAGIC: &[u8; 8] = b"FTFACES1";
/// Ending of a shard's name.
pub const EXTENSION: &str = "ftfaces";
const TEMPORARY: &str = ".unfinished-";

/// Why a data set could not be written or continued.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The disk refuses.
    #[error("cannot write {path}: {source}; make room or choose another --out, then run the same command to continue", path = path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds another data set.
    #[error("{dir} holds a data set made with other settings ({difference}); choose another --out or the same settings", dir = dir.display())]
    OtherSettings {
        /// The folder.
        dir: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A label is out of range, so the data would be poisoned.
    #[error("face {index}: {fault}; this is a bug of the renderer, nothing of its shard was written")]
    BadLabel {
        /// The face.
        index: u64,
        /// What is wrong.
        fault: String,
    },
}

/// One face of the data set.
pub struct Record {
    /// Its labels.
    pub label: Label,
    /// Its picture, a JPEG.
    pub jpeg: Vec<u8>,
}

/// A folder of shards.
pub struct DataSet {
    dir: PathBuf,
    settings: Value,
    per_shard: u64,
}

impl DataSet {
    /// Opens or continues the data set in `dir`; leftovers of an interrupted run are removed.
    ///
    /// # Errors
    /// Where the folder cannot be written or holds a data set with other settings.
    pub fn open(dir: &Path, settings: Value, per_shard: u64) -> Result<Self, ShardError> {
        let fail = |source| ShardError::Write { path: dir.to_path_buf(), source };
        fs::create_dir_all(dir).map_err(fail)?;
        for entry in fs::read_dir(dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                fs::remove_file(entry.path()).map_err(fail)?;
            }
        }
        let this = Self { dir: dir.to_path_buf(), settings, per_shard };
        let path = dir.join("dataset.json");
        match fs::read_to_string(&path) {
            Ok(text) => this.compare(&text)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                write_whole(dir, "dataset.json", format!("{:#}\n", this.settings).as_bytes())?;
            }
            Err(source) => return Err(ShardError::Write { path, source }),
        }
        Ok(this)
    }

    fn compare(&self, text: &str) -> Result<(), ShardError> {
        let there: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let keys = self.settings.as_object().into_iter().flatten();
        let differing: Vec<&str> =
            keys.filter(|(k, v)| there.get(k) != Some(v)).map(|(k, _)| k.as_str()).collect();
        if differing.is_empty() {
            return Ok(());
        }
        Err(ShardError::OtherSettings { dir: self.dir.clone(), difference: differing.join(", ") })
    }

    /// Path of shard `number`.
    pub fn path(&self, number: u64) -> PathBuf {
        self.dir.join(Self::name(number))
    }

    fn name(number: u64) -> String {
        format!("faces-{number:05}.{EXTENSION}")
    }

    /// Faces of shard `number` in a data set of `count`.
    pub fn faces(&self, number: u64, count: u64) -> std::ops::Range<u64> {
        number * self.per_shard..((number + 1) * self.per_shard).min(count)
    }

    /// Whether shard `number` is there, whole, with this many faces.
    pub fn is_done(&self, number: u64, faces: u64) -> bool {
        verify(&self.path(number)).is_ok_and(|header| header["count"] == json!(faces))
    }

    /// Writes a shard, all of it or nothing.
    ///
    /// # Errors
    /// Where a label is out of range or the disk refuses.
    pub fn write(&self, number: u64, records: &[Record]) -> Result<(), ShardError> {
        if let Some((index, fault)) = records.iter().find_map(|r| Some((r.label.index, r.label.fault()?))) {
            return Err(ShardError::BadLabel { index, fault });
        }
        write_whole(&self.dir, &Self::name(number), &self.encode(records))
    }

    fn encode(&self, records: &[Record]) -> Vec<u8> {
        let mut header = self.header(records.len());
        // The header tells where the data starts, so its own length must not depend on the numbers in it.
        let room = (header.to_string().len() + 16 + 64).next_multiple_of(64) + 64;
        let records_at = room;
        let offsets_at = (records_at + records.len() * labels::record_size()).next_multiple_of(8);
        let images_at = offsets_at + 8 * (records.len() + 1);
        header["records_at"] = json!(records_at);
        header["offsets_at"] = json!(offsets_at);
        header["images_at"] = json!(images_at);
        let mut out =
            Vec::with_capacity(images_at + records.iter().map(|r| r.jpeg.len()).sum::<usize>() + 32);
        out.extend(MAGIC);
        out.extend((room as u64 - 16).to_le_bytes());
        out.extend(header.to_string().bytes());
        out.resize(room, b' ');
        for record in records {
            labels::write_record(&record.label, &mut out);
        }
        out.resize(offsets_at, 0);
        let mut offset = 0u64;
        for record in records {
            out.extend(offset.to_le_bytes());
            offset += record.jpeg.len() as u64;
        }
        out.extend(offset.to_le_bytes());
        for record in records {
            out.extend(&record.jpeg);
        }
        let sum = Sha256::digest(&out);
        out.extend(sum);
        out
    }

    fn header(&self, count: usize) -> Value {
        let mut offset = 0;
        let fields: Vec<Value> = FIELDS
            .iter()
            .map(|f| {
                let field = json!({ "name": f.name, "dtype": f.kind, "shape": f.shape, "offset": offset });
                offset += f.size();
                field
            })
            .collect();
        json!({
            "count": count,
            "encoding": "jpeg",
            "record_size": labels::record_size(),
            "fields": fields,
            "regions": REGIONS.map(|r| r.0),
            "flags": ["glasses", "tinted", "headphones", "cap", "microphone", "hand", "beard", "make_up"],
            "blendshapes": crate::face::Blendshape::ALL.map(crate::face::Blendshape::name).to_vec(),
            "settings": self.settings,
            "records_at": 0, "offsets_at": 0, "images_at": 0,
        })
    }
}

/// Reads a shard through and returns its header.
///
/// # Errors
/// Where it is missing, cut short, or its checksum is wrong.
pub fn verify(path: &Path) -> io::Result<Value> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if bytes.len() < 48 || &bytes[..8] != MAGIC {
        return Err(bad("not a shard"));
    }
    let (body, sum) = bytes.split_at(bytes.len() - 32);
    if Sha256::digest(body).as_slice() != sum {
        return Err(bad("its checksum is wrong"));
    }
    let length = u64::from_le_bytes(body[8..16].try_into().map_err(|_| bad("not a shard"))?) as usize;
    let text = body.get(16..16 + length).ok_or_else(|| bad("its header is cut short"))?;
    serde_json::from_slice(text).map_err(|e| bad(&e.to_string()))
}

/// Writes a file under a temporary name, then renames it.
///
/// # Errors
/// Where the disk refuses; the temporary file is gone then.
pub fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ShardError> {
    let path = dir.join(name);
    let fail = |source| ShardError::Write { path: path.clone(), source };
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(fail)?;
    fill(file.as_file_mut(), bytes).map_err(fail)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private; a data set is not.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(fail)?;
    }
    file.persist(&path).map_err(|e| fail(e.error))?;
    Ok(())
}

fn fill(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_that_says_so() {
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(fill(&mut full, &[0; 10]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        let error = ShardError::Write { path: "faces".into(), source: io::ErrorKind::StorageFull.into() };
        assert!(error.to_string().contains("make room"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        // A folder stands where the file should: the rename fails after the bytes were written.
        fs::create_dir_all(dir.path().join("x/y")).unwrap();
        assert!(write_whole(dir.path(), "x", b"data").is_err());
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
    }

    #[test]
    fn leftovers_are_removed_and_other_settings_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".unfinished-abc"), b"half").unwrap();
        let set = DataSet::open(dir.path(), json!({ "seed": 1 }), 4).unwrap();
        assert!(!dir.path().join(".unfinished-abc").exists());
        set.write(0, &[]).unwrap();
        assert!(set.is_done(0, 0) && !set.is_done(0, 4) && !set.is_done(1, 0));
        assert!(matches!(
            DataSet::open(dir.path(), json!({ "seed": 2 }), 4),
            Err(ShardError::OtherSettings { .. })
        ));
    }

    #[test]
    fn a_shard_cut_short_or_changed_does_not_pass_for_whole() {
        let dir = tempfile::tempdir().unwrap();
        let set = DataSet::open(dir.path(), json!({}), 4).unwrap();
        set.write(0, &[]).unwrap();
        let whole = fs::read(set.path(0)).unwrap();
        fs::write(set.path(0), &whole[..whole.len() - 1]).unwrap();
        assert!(!set.is_done(0, 0));
        let mut changed = whole.clone();
        changed[100] ^= 1;
        fs::write(set.path(0), &changed).unwrap();
        assert!(!set.is_done(0, 0));
    }
}
