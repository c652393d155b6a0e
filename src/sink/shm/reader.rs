//! The other end of the ring, for programs in Rust and for tests.

use super::RingError;
use super::file::{self, DIRECTORY, Mapping};
use super::layout::decode_slot;
use super::ring::Ring;
use crate::clock::MonoTime;
use crate::face::FaceSample;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reads a ring, in its own time and without the writer's knowledge.
///
/// The file is trusted to keep its length: whoever may write to it can crash its readers by cutting it short.
pub struct Reader {
    path: PathBuf,
    ring: Open,
    /// Number of the sample after the last one taken.
    next: u64,
    slot: Vec<u8>,
}

struct Open {
    mapping: Mapping,
    geometry: super::layout::Geometry,
}

impl Open {
    fn new(path: &Path) -> Result<Self, RingError> {
        let (file, geometry) = file::open(path)?;
        let mapping = Mapping::new(&file, geometry.file_size(), false)
            .map_err(|source| RingError::Open { path: path.to_owned(), source })?;
        Ok(Self { mapping, geometry })
    }

    fn ring(&self) -> Result<Ring<'_>, RingError> {
        Ring::new(self.mapping.words(), self.geometry).ok_or(RingError::NotARing)
    }
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A sample that was not taken before.
    New {
        /// Its number since the writer's start, from 0.
        number: u64,
        /// Samples published since the one taken before, and not taken.
        missed: u64,
    },
    /// Nothing since the last read.
    Nothing,
}

/// What a reader knows of the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Its heart beat so long ago. It beats with every sample; with no face and no camera too, several times a second.
    Beating {
        /// Time since the last beat.
        age: Duration,
    },
    /// It has said goodbye, or another has taken its name.
    Closed,
}

impl Writer {
    /// Whether nothing more is to be expected: closed, or silent for longer than `patience`.
    pub fn is_gone(self, patience: Duration) -> bool {
        match self {
            Self::Beating { age } => age > patience,
            Self::Closed => true,
        }
    }
}

impl Reader {
    /// Opens the ring called `name`.
    ///
    /// # Errors
    /// There is no such ring, or it has another layout.
    pub fn open(name: &str) -> Result<Self, RingError> {
        Self::open_path(&file::path_of(Path::new(DIRECTORY), name)?)
    }

    /// Opens the ring in this file.
    ///
    /// # Errors
    /// There is no such file, or it is no ring.
    pub fn open_path(path: &Path) -> Result<Self, RingError> {
        let ring = Open::new(path)?;
        let slot = vec![0; ring.geometry.slot_size()];
        Ok(Self { path: path.to_owned(), ring, next: 0, slot })
    }

    /// Takes the newest sample.
    ///
    /// # Errors
    /// None in practice: the ring was checked when it was opened.
    pub fn latest(&mut self, out: &mut FaceSample) -> Result<Taken, RingError> {
        let ring = self.ring.ring()?;
        // A reader that is put to sleep for a whole turn of the ring reads again; the newest is then another one.
        for _ in 0..64 {
            let Some(newest) = ring.published().checked_sub(1) else { return Ok(Taken::Nothing) };
            if newest.wrapping_add(1) == self.next {
                return Ok(Taken::Nothing);
            }
            if ring.read(newest, &mut self.slot) {
                return Ok(Self::take(newest, &mut self.next, &self.slot, out));
            }
        }
        Ok(Taken::Nothing)
    }

    /// Takes the oldest sample that was not taken yet and is still there.
    ///
    /// # Errors
    /// None in practice: the ring was checked when it was opened.
    pub fn next(&mut self, out: &mut FaceSample) -> Result<Taken, RingError> {
        let ring = self.ring.ring()?;
        let mut wanted = self.next;
        for _ in 0..2 * u64::from(ring.geometry().slot_count) {
            let published = ring.published();
            if wanted >= published {
                return Ok(Taken::Nothing);
            }
            // The writer may be at work in the slot of the oldest.
            let oldest = published.saturating_sub(u64::from(ring.geometry().slot_count) - 1);
            wanted = wanted.max(oldest);
            if ring.read(wanted, &mut self.slot) {
                return Ok(Self::take(wanted, &mut self.next, &self.slot, out));
            }
            wanted += 1;
        }
        Ok(Taken::Nothing)
    }

    fn take(number: u64, next: &mut u64, slot: &[u8], out: &mut FaceSample) -> Taken {
        let missed = number.saturating_sub(*next);
        *next = number.wrapping_add(1);
        decode_slot(slot, out);
        Taken::New { number, missed }
    }

    /// Whether the writer is there, as of `now`.
    pub fn writer(&self, now: MonoTime) -> Writer {
        match self.ring.ring() {
            Ok(ring) if !ring.is_closed() => {
                Writer::Beating { age: now.since(MonoTime::from_nanos(ring.heartbeat())) }
            }
            _ => Writer::Closed,
        }
    }

    /// Tells one run of the writer from another.
    pub fn generation(&self) -> u64 {
        self.ring.ring().map_or(0, |r| r.generation())
    }

    /// Turns to the ring's new file if a writer has started anew under its name. Gives whether it has.
    ///
    /// # Errors
    /// There is a new file, and it is no ring of this layout. The old one stays open.
    pub fn follow(&mut self) -> Result<bool, RingError> {
        let fresh = match Open::new(&self.path) {
            Err(RingError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(false);
            }
            other => other?,
        };
        if fresh.ring()?.generation() == self.generation() {
            return Ok(false);
        }
        self.slot.resize(fresh.geometry.slot_size(), 0);
        (self.ring, self.next) = (fresh, 0);
        Ok(true)
    }
}
