//! The thread that keeps a recording and writes its file.
//!
//! A `.glb` says its length before its content, so that it cannot simply grow. It is written whole beside its place and
//! then renamed: whatever happens, a whole file stands there. That is done again whenever the recording has grown by a
//! tenth, and at the end; a program that is killed loses what came since, at least a second and at most a tenth.

use super::Key;
use super::file::Template;
use crate::sink::SinkError;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use tempfile::{Builder, NamedTempFile};

/// Keys that go to the thread at once: a second at 60 Hz.
const CHUNK: usize = 60;

/// Chunks in all. A disk that does not answer for so many seconds holds up the sink's thread, as any file does; no frame
/// is lost.
const CHUNKS: usize = 16;

/// Recorder's end.
pub(super) struct Writer {
    path: PathBuf,
    chunk: Vec<Key>,
    full: Option<Sender<Vec<Key>>>,
    empty: Receiver<Vec<Key>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    /// Writes the file without keys, and starts the thread.
    pub fn start(path: PathBuf, template: Template) -> Result<Self, SinkError> {
        replace(&path, &template, &[]).map_err(|source| SinkError::Open { path: path.clone(), source })?;
        let ((full, filled), (give_back, empty)) = (bounded(CHUNKS), bounded(CHUNKS));
        for _ in 1..CHUNKS {
            // The channel holds as many as there are.
            give_back.try_send(Vec::with_capacity(CHUNK)).unwrap_or_else(|_| unreachable!("it has room"));
        }
        let keep = Keeper { path: path.clone(), template, filled, give_back };
        let thread = std::thread::Builder::new().name("ft-gltf".into()).spawn(move || keep.run());
        let thread = thread.map_err(|source| SinkError::Thread { output: "gltf", source })?;
        Ok(Self { path, chunk: Vec::with_capacity(CHUNK), full: Some(full), empty, thread: Some(thread) })
    }

    /// Takes one key. Allocates nothing.
    pub fn push(&mut self, key: &Key) -> Result<(), SinkError> {
        self.chunk.push(*key);
        if self.chunk.len() < CHUNK {
            return Ok(());
        }
        match self.empty.recv() {
            Ok(empty) => self.hand_over(empty),
            // The thread ended, which it only does by a panic.
            Err(_) => self.finish(),
        }
    }

    fn hand_over(&mut self, empty: Vec<Key>) -> Result<(), SinkError> {
        let filled = std::mem::replace(&mut self.chunk, empty);
        match self.full.as_ref().map(|full| full.send(filled)) {
            Some(Ok(())) => Ok(()),
            _ => self.finish(),
        }
    }

    /// Hands over the rest and waits until the file is written.
    pub fn finish(&mut self) -> Result<(), SinkError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let rest = std::mem::take(&mut self.chunk);
        let is_taken = self.full.take().is_some_and(|full| full.send(rest).is_ok());
        let lost = || io::Error::other("the thread that writes it has panicked; please report this");
        let outcome = thread.join().unwrap_or_else(|_| Err(lost()));
        outcome
            .and_then(|()| if is_taken { Ok(()) } else { Err(lost()) })
            .map_err(|source| SinkError::Write { path: self.path.clone(), source })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!("{error}");
        }
    }
}

struct Keeper {
    path: PathBuf,
    template: Template,
    filled: Receiver<Vec<Key>>,
    give_back: Sender<Vec<Key>>,
}

impl Keeper {
    fn run(self) -> io::Result<()> {
        let (mut keys, mut saved, mut is_failing) = (Vec::new(), 0, false);
        for mut chunk in &self.filled {
            keys.append(&mut chunk);
            // After the end nobody takes chunks back.
            drop(self.give_back.try_send(chunk));
            if keys.len() < saved + CHUNK.max(saved / 10) {
                continue;
            }
            // A full disk may have room again at the next time, or at the end.
            let outcome = replace(&self.path, &self.template, &keys);
            if let (Err(error), false) = (&outcome, is_failing) {
                tracing::error!("cannot write to {}: {error}; the recording goes on", self.path.display());
            }
            is_failing = outcome.is_err();
            saved = keys.len();
        }
        replace(&self.path, &self.template, &keys)
    }
}

/// Puts a whole file in the place of the one that is there.
fn replace(path: &Path, template: &Template, keys: &[Key]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut out = BufWriter::new(aside(folder)?);
    template.write(keys, &mut out)?;
    out.flush()?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

/// A new file with the rights that any new file has.
fn aside(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".facetrackd-").suffix(".glb.part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of keys that the file's animation has.
    fn keys_in(path: &Path) -> u64 {
        let glb = std::fs::read(path).unwrap();
        let length = u32::from_le_bytes(glb[12..16].try_into().unwrap()) as usize;
        let json: serde_json::Value = serde_json::from_slice(&glb[20..20 + length]).unwrap();
        json["animations"][0]["samplers"][0]["input"]
            .as_u64()
            .map_or(0, |times| json["accessors"][times as usize]["count"].as_u64().unwrap())
    }

    fn push(writer: &mut Writer, from: u16, to: u16) {
        for n in from..to {
            let mut key = Key::default();
            key.0[0] = f32::from(n);
            writer.push(&key).unwrap();
        }
    }

    #[test]
    fn the_file_is_whole_from_the_start_and_has_every_key_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take.glb");
        let mut writer = Writer::start(path.clone(), Template::embedded()).unwrap();
        assert_eq!(keys_in(&path), 0);
        push(&mut writer, 0, 2500);
        writer.finish().unwrap();
        assert_eq!(keys_in(&path), 2500);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn what_is_there_when_the_program_dies_lacks_a_tenth_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take.glb");
        let mut writer = Writer::start(path.clone(), Template::embedded()).unwrap();
        push(&mut writer, 0, 2000);
        while keys_in(&path) < 1800 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_folder_that_is_gone_leaves_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take.glb");
        let mut writer = Writer::start(path.clone(), Template::embedded()).unwrap();
        push(&mut writer, 0, 10);
        std::fs::remove_dir_all(folder.path()).unwrap();
        let error = writer.finish().unwrap_err().to_string();
        assert!(error.contains("take.glb"), "{error}");
    }
}
