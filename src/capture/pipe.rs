//! Reading from pipes without ever waiting for long.

use std::io::{self, Read};
use std::process::Stdio;
use std::time::Duration;

/// Longest wait inside [`super::Source::next`], so that its thread can be stopped.
pub(super) const PATIENCE: Duration = Duration::from_millis(80);

/// Something readable: a pipe, a socket, a file, standard input.
#[derive(Debug)]
pub(super) struct Pipe {
    file: std::fs::File,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bytes {
    Some(usize),
    NoneYet,
    End,
}

impl Pipe {
    /// Takes over a child's pipe.
    #[cfg(unix)]
    pub(super) fn new(fd: impl Into<std::os::fd::OwnedFd>) -> Self {
        Self { file: fd.into().into() }
    }

    #[cfg(windows)]
    pub(super) fn new(handle: impl Into<std::os::windows::io::OwnedHandle>) -> Self {
        Self { file: handle.into().into() }
    }

    /// A way for what a child writes, and the end that it gets: a socket, through which bytes go in larger pieces than a pipe's
    /// pages, which takes the kernel less time.
    #[cfg(target_os = "linux")]
    pub(super) fn for_child() -> io::Result<(Self, Stdio)> {
        let (here, there) = std::os::unix::net::UnixStream::pair()?;
        Ok((Self::new(here), std::os::fd::OwnedFd::from(there).into()))
    }

    /// A way for what a child writes, and the end that it gets. Sockets hold little elsewhere.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn for_child() -> io::Result<(Self, Stdio)> {
        let (here, there) = io::pipe()?;
        Ok((Self::new(here), there.into()))
    }

    /// Standard input, by a descriptor of its own: no buffer of the standard library stands between.
    #[cfg(unix)]
    pub(super) fn stdin() -> io::Result<Self> {
        use std::os::fd::AsFd;
        Ok(Self { file: io::stdin().as_fd().try_clone_to_owned()?.into() })
    }

    #[cfg(windows)]
    pub(super) fn stdin() -> io::Result<Self> {
        use std::os::windows::io::AsHandle;
        Ok(Self { file: io::stdin().as_handle().try_clone_to_owned()?.into() })
    }

    pub(super) fn file(file: std::fs::File) -> Self {
        Self { file }
    }

    /// Reads what is there into `buffer`, waiting at most `patience` for the first byte.
    pub(super) fn read(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Bytes> {
        if wait_readable(&self.file, None, patience)? == 0 {
            return Ok(Bytes::NoneYet);
        }
        loop {
            match self.file.read(buffer) {
                Ok(0) => return Ok(Bytes::End),
                Ok(n) => return Ok(Bytes::Some(n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Waits until one of two pipes has bytes, or has ended.
pub(super) fn wait_either(a: &Pipe, b: &Pipe, patience: Duration) -> io::Result<()> {
    wait_readable(&a.file, Some(&b.file), patience).map(|_| ())
}

/// How many have bytes; 0 where the time ran out.
#[cfg(unix)]
fn wait_readable(a: &std::fs::File, b: Option<&std::fs::File>, patience: Duration) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec {
        tv_sec: patience.as_secs().cast_signed(),
        tv_nsec: i64::from(patience.subsec_nanos()) as _,
    };
    let mut fds = [PollFd::new(a, PollFlags::IN), PollFd::new(b.unwrap_or(a), PollFlags::IN)];
    let count = 1 + usize::from(b.is_some());
    match poll(&mut fds[..count], Some(&timeout)) {
        Ok(n) => Ok(n),
        Err(rustix::io::Errno::INTR) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// Elsewhere a read blocks until bytes come: `ffmpeg` always brings some, or ends.
#[cfg(not(unix))]
fn wait_readable(_a: &std::fs::File, _b: Option<&std::fs::File>, _patience: Duration) -> io::Result<usize> {
    Ok(1)
}
