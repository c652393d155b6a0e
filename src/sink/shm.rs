//! A ring of samples in shared memory, `/dev/shm/facetrackd.<name>`, for programs on this machine.
//!
//! The layout is a contract: `docs/shm.md` describes it, `clients/c/facetrackd_shm.h` reads it. The writer never waits,
//! readers are unknown to it, and a sample that is being overwritten is never taken for a whole one.

mod file;
mod layout;
mod reader;
mod ring;
#[cfg(test)]
mod tests;

pub use reader::{Reader, Taken, Writer};

use super::Traffic;
use crate::clock::MonoTime;
use crate::face::FaceSample;
use file::{DIRECTORY, Mapping};
use layout::{Geometry, MAX_FACES, MAX_SLOTS};
use ring::Ring;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The `shm` output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShmConfig {
    /// Name of the ring: letters, digits, `_`, `-` and `.`, at most 64.
    pub name: String,
    /// Samples kept, 2 to 1024. A reader that comes by less often misses some.
    #[serde(default = "default_slots")]
    pub slots: u32,
    /// Faces kept of each sample, 1 to 16. One takes 6 kB.
    #[serde(default = "default_faces")]
    pub faces: u32,
}

const fn default_slots() -> u32 {
    16
}

const fn default_faces() -> u32 {
    4
}

impl ShmConfig {
    /// A ring of the usual size.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), slots: default_slots(), faces: default_faces() }
    }

    /// # Errors
    /// [`RingError::Name`] or [`RingError::Size`].
    pub fn validate(&self) -> Result<(), RingError> {
        file::path_of(Path::new(DIRECTORY), &self.name)?;
        let is_sane = (2..=MAX_SLOTS).contains(&self.slots) && (1..=MAX_FACES).contains(&self.faces);
        if is_sane { Ok(()) } else { Err(RingError::Size { slots: self.slots, faces: self.faces }) }
    }
}

/// What can be wrong with a ring.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The name would not make a file name.
    #[error("`{name}` cannot name a ring; use 1 to 64 letters, digits, `_`, `-` or `.`")]
    Name {
        /// As it was given.
        name: String,
    },
    /// The size makes no sense.
    #[error("a ring of {slots} slots with {faces} faces cannot be; give 2 to 1024 slots and 1 to 16 faces")]
    Size {
        /// As it was given.
        slots: u32,
        /// As it was given.
        faces: u32,
    },
    /// Another process writes to a ring of this name.
    #[error("the ring {} is in use by process {pid}; stop that or give this ring another name", path.display())]
    InUse {
        /// The ring's file.
        path: PathBuf,
        /// The writer; 0 where it could not be told.
        pid: u32,
    },
    /// Something else has the file's name.
    #[error("{} exists and is no ring of ours; remove it or give the ring another name", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Shared memory is full.
    #[error("no room for the ring {}: it takes {needed} bytes; look at `df /dev/shm` and free some, or ask for fewer slots and faces", path.display())]
    NoSpace {
        /// The ring's file.
        path: PathBuf,
        /// Bytes it takes.
        needed: u64,
    },
    /// The file cannot be made.
    #[error("cannot make the ring {}: {source}", path.display())]
    Create {
        /// The ring's file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot open the ring {}: {source}; is facetrackd running with --shm?", path.display())]
    Open {
        /// The ring's file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file is no ring, or it is damaged.
    #[error("the file is no ring of facetrackd, or it is damaged")]
    NotARing,
    /// The ring was made by another version.
    #[error("the ring has layout {found}; this program reads layout {}", layout::VERSION)]
    Version {
        /// The layout's number.
        found: u32,
    },
}

/// Writes a ring.
pub struct ShmSink {
    /// Keeps the lock that says that the writer lives.
    _lock: File,
    mapping: Mapping,
    geometry: Geometry,
    published: u64,
    slot: Vec<u8>,
    bytes: u64,
}

impl ShmSink {
    /// Makes the ring, in place of a dead writer's of the same name.
    ///
    /// # Errors
    /// The name is in use or no name, or there is no room.
    pub fn open(config: &ShmConfig, now: MonoTime) -> Result<Self, RingError> {
        Self::open_in(Path::new(DIRECTORY), config, now)
    }

    fn open_in(directory: &Path, config: &ShmConfig, now: MonoTime) -> Result<Self, RingError> {
        config.validate()?;
        let path = file::path_of(directory, &config.name)?;
        let geometry = Geometry { slot_count: config.slots, face_capacity: config.faces };
        let file = file::create(&path, geometry, now.as_nanos())?;
        let mapping = Mapping::new(&file, geometry.file_size(), true)
            .map_err(|source| RingError::Create { path, source })?;
        let slot = vec![0; geometry.slot_size()];
        Ok(Self { _lock: file, mapping, geometry, published: 0, slot, bytes: 0 })
    }

    /// Publishes one sample. Takes the same time whoever reads.
    pub fn send(&mut self, sample: &FaceSample, now: MonoTime) {
        let used = layout::encode_slot(sample, now, &mut self.slot);
        if let Some(ring) = Ring::new(self.mapping.words(), self.geometry) {
            ring.set_heartbeat(now.as_nanos());
            ring.publish(self.published, &self.slot[..used]);
            self.published += 1;
            self.bytes += used as u64;
        }
    }

    /// Tells readers that nothing more comes. The file stays, for those who come late.
    pub fn close(&mut self, now: MonoTime) {
        if let Some(ring) = Ring::new(self.mapping.words(), self.geometry) {
            ring.set_heartbeat(now.as_nanos());
            ring.set_closed();
        }
    }

    /// Samples and bytes published.
    pub fn traffic(&self) -> Traffic {
        Traffic { sent: self.published, bytes: self.bytes, ..Traffic::default() }
    }
}
