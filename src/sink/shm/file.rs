//! The ring's file: made whole or not at all, locked by its writer for as long as that lives, mapped.

use super::RingError;
use super::layout::{Geometry, HEADER_SIZE, header};
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Where rings live on Linux: memory that looks like files.
pub const DIRECTORY: &str = "/dev/shm";

/// The file of ring `name`.
pub fn path_of(directory: &Path, name: &str) -> Result<PathBuf, RingError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        return Err(RingError::Name { name: name.to_owned() });
    }
    Ok(directory.join(format!("facetrackd.{name}")))
}

/// Makes the file of a new ring at `path`, in place of a dead writer's. The returned file holds the writer's lock.
pub fn create(path: &Path, geometry: Geometry, generation: u64) -> Result<File, RingError> {
    // Each turn lost to another writer that came or went in between; who loses that often is told so.
    for _ in 0..16 {
        let Some(old) = open_existing(path)? else {
            let (new, staged) = stage(path, geometry, generation)?;
            match rustix::fs::renameat_with(CWD, &staged.0, CWD, path, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(new),
                Err(Errno::EXIST) => continue,
                Err(e) => return Err(RingError::Create { path: path.to_owned(), source: e.into() }),
            }
        };
        lock(&old, path)?;
        if !is_same_file(&old, path) {
            continue;
        }
        if header_of(&old).is_none_or(|h| h[..8] != super::layout::MAGIC) {
            return Err(RingError::Foreign { path: path.to_owned() });
        }
        let (new, staged) = stage(path, geometry, generation)?;
        rustix::fs::rename(&staged.0, path)
            .map_err(|e| RingError::Create { path: path.to_owned(), source: e.into() })?;
        // Readers that still map the dead writer's file shall not wait for its heartbeat.
        old.write_all_at(&1u64.to_le_bytes(), header::STATE as u64)
            .map_err(|source| RingError::Create { path: path.to_owned(), source })?;
        return Ok(new);
    }
    Err(RingError::InUse { path: path.to_owned(), pid: 0 })
}

fn open_existing(path: &Path) -> Result<Option<File>, RingError> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::ISDIR) => Err(RingError::Foreign { path: path.to_owned() }),
        Err(e) => Err(RingError::Create { path: path.to_owned(), source: e.into() }),
    }
}

fn lock(file: &File, path: &Path) -> Result<(), RingError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let pid = header_of(file).map_or(0, |h| {
                let at = header::WRITER_PID;
                u32::from_le_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]])
            });
            Err(RingError::InUse { path: path.to_owned(), pid })
        }
        Err(TryLockError::Error(source)) => Err(RingError::Create { path: path.to_owned(), source }),
    }
}

fn header_of(file: &File) -> Option<[u8; HEADER_SIZE]> {
    let mut bytes = [0; HEADER_SIZE];
    file.read_exact_at(&mut bytes, 0).ok().map(|()| bytes)
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let (Ok(opened), Ok(named)) = (file.metadata(), std::fs::symlink_metadata(path)) else { return false };
    (opened.dev(), opened.ino()) == (named.dev(), named.ino())
}

/// A file on its way to its name; removed if it does not get there.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove; and a leftover of some kilobytes harms nobody.
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(path = %self.0.display(), %error, "could not remove a temporary file");
        }
    }
}

/// Writes an empty, locked ring beside `path`.
fn stage(path: &Path, geometry: Geometry, generation: u64) -> Result<(File, Staged), RingError> {
    let failed = |source| RingError::Create { path: path.to_owned(), source };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = Staged(path.with_file_name(format!(".{name}.{}.{generation}", std::process::id())));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&staged.0, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?;
    let file = File::from(fd);
    let size = geometry.file_size();
    // Without pages of its own behind every byte, a full file system would kill the writer with SIGBUS later.
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size).map_err(|e| match e {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
            RingError::NoSpace { path: path.to_owned(), needed: size }
        }
        e => failed(e.into()),
    })?;
    file.write_all_at(&geometry.encode_header(std::process::id(), generation), 0).map_err(failed)?;
    lock(&file, path)?;
    Ok((file, staged))
}

/// Opens a ring's file for reading and checks it.
pub fn open(path: &Path) -> Result<(File, Geometry), RingError> {
    let failed = |source| RingError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let header = header_of(&file).ok_or(RingError::NotARing)?;
    let geometry = Geometry::decode_header(&header, size)?;
    Ok((file, geometry))
}

/// A ring's file in memory, shared with other processes.
pub struct Mapping {
    start: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the memory is reached through atomics only, and belongs to no thread.
#[expect(unsafe_code, reason = "the mapping is a pointer, and stays valid wherever it is moved")]
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of `file`, which has at least as many.
    #[expect(unsafe_code, reason = "memory shared between processes can only be mapped so")]
    pub fn new(file: &File, bytes: u64, writable: bool) -> std::io::Result<Self> {
        let length = usize::try_from(bytes).map_err(std::io::Error::other)?;
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at a place of the kernel's choosing touches no memory that Rust knows of.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes: length })
    }

    /// All whole words of it.
    #[expect(unsafe_code, reason = "a slice over mapped memory")]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, at least so long, and lives as long as `self`. Other processes write to
        // it, but whatever bits they leave are a valid AtomicU64, which promises nothing about staying the same. A
        // mapping without write permission is only read: `Reader` has no path to a store.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes / size_of::<u64>()) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "the counterpart of mmap")]
    fn drop(&mut self) {
        // SAFETY: start and length are mmap's, and no reference outlives `self`.
        if let Err(error) = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) } {
            tracing::debug!(%error, "could not unmap a ring");
        }
    }
}
