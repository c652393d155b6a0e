//! What can go wrong on the way to a frame. Each message says what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The path leads nowhere.
    #[error("there is no {}; check the path", path.display())]
    NoSuchFile {
        /// As given.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// As given.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file of no bytes.
    #[error("{} is empty: nothing was ever written to it", path.display())]
    EmptyFile {
        /// As given.
        path: PathBuf,
    },
    /// A folder without a single image.
    #[error("{} holds no image (JPEG, PNG, BMP or WebP)", path.display())]
    NoImages {
        /// As given.
        path: PathBuf,
    },
    /// A still that cannot be decoded.
    #[error("cannot decode the image {}: {why}; repair it or take it out of the folder", path.display())]
    BrokenImage {
        /// The image.
        path: PathBuf,
        /// The decoder's word.
        why: String,
    },
    /// A video that is damaged, or ends before it should.
    #[error("{what} is broken at frame {frame}: {why}; the frames before it are good")]
    BrokenVideo {
        /// File or stream.
        what: String,
        /// Number of the first frame that could not be had.
        frame: u64,
        /// The reader's word.
        why: String,
    },
    /// A container whose video is not ours to decode.
    #[error("{} holds {codec} video, not Motion-JPEG", path.display())]
    OtherCodec {
        /// As given.
        path: PathBuf,
        /// Its four-letter code.
        codec: String,
    },
    /// The `ffmpeg` program is missing.
    #[error(
        "{what} needs the ffmpeg program, which is not installed; install it (apt install ffmpeg, brew install \
         ffmpeg), or convert the video elsewhere: ffmpeg -i IN -c:v mjpeg -q:v 3 -an OUT.avi"
    )]
    NoFfmpeg {
        /// File or stream.
        what: String,
    },
    /// The `ffmpeg` program could not make anything of it.
    #[error("ffmpeg cannot read {what}: {message}")]
    Ffmpeg {
        /// File or stream.
        what: String,
        /// The last lines of its own words.
        message: String,
    },
    /// Bytes that are no stream we know.
    #[error(
        "{what} is neither YUV4MPEG2 nor Motion-JPEG (it starts with {start}); pipe one in: \
         ffmpeg -i IN -f yuv4mpegpipe - | facetrackd --source -"
    )]
    UnknownStream {
        /// File or stream.
        what: String,
        /// The first bytes, printable.
        start: String,
    },
    /// There is no camera at all.
    #[error("no camera was found; plug one in, then look at `facetrackd cameras`")]
    NoCamera,
}

impl CaptureError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            Self::NoSuchFile { path: path.into() }
        } else {
            Self::Io { path: path.into(), source }
        }
    }
}
