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
    /// There are cameras, and none is the one that is meant.
    #[error("no camera is called `{wanted}`; there is {offered}")]
    NoSuchCamera {
        /// As given.
        wanted: String,
        /// The cameras there are.
        offered: String,
    },
    /// More than one camera fits the name.
    #[error("`{wanted}` could be any of {matches}; name one by its path, or by `facetrackd cameras`'s id")]
    Ambiguous {
        /// As given.
        wanted: String,
        /// Those that fit.
        matches: String,
    },
    /// The camera is there, and another program streams from it.
    #[error("camera {device} is in use by {holder}; close that first")]
    Busy {
        /// Its node.
        device: String,
        /// Who, as far as the system tells us.
        holder: String,
    },
    /// The camera is there, and not ours to open.
    #[error(
        "camera {device} may not be opened by you; join its group: sudo usermod -aG {group} $USER, then log in again"
    )]
    Permission {
        /// Its node.
        device: String,
        /// The group that may.
        group: String,
    },
    /// The camera vanished while it was being opened.
    #[error("camera {device} was unplugged")]
    Gone {
        /// Its node.
        device: String,
    },
    /// All its formats are foreign to us.
    #[error(
        "camera {device} offers no format that we decode (mjpeg, yuyv, uyvy, nv12, yu12, grey), only {offered}"
    )]
    NoUsableFormat {
        /// Its node.
        device: String,
        /// What it offers.
        offered: String,
    },
    /// It does not offer what was asked for.
    #[error("camera {device} cannot do {request}; it offers {offered}")]
    CannotMeet {
        /// Its node.
        device: String,
        /// What was asked for.
        request: String,
        /// What it offers.
        offered: String,
    },
    /// It has no such control.
    #[error("camera {device} has no control `{name}`; it has {offered}")]
    UnknownControl {
        /// Its node.
        device: String,
        /// As given.
        name: String,
        /// The controls it has.
        offered: String,
    },
    /// The control does not go that far.
    #[error("camera {device}: control `{name}` takes {min} to {max}, not {value}")]
    ControlRange {
        /// Its node.
        device: String,
        /// As given.
        name: String,
        /// As given.
        value: i64,
        /// Lowest.
        min: i32,
        /// Highest.
        max: i32,
    },
    /// The driver refused.
    #[error("camera {device}: cannot {doing}: {source}; unplug it and plug it in again")]
    Device {
        /// Its node.
        device: String,
        /// What was tried.
        doing: String,
        /// The system's word.
        source: io::Error,
    },
}

impl CaptureError {
    /// Whether waiting may help: the camera is missing, in use, or not itself, and nothing is wrong with the request.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NoCamera
                | Self::NoSuchCamera { .. }
                | Self::Busy { .. }
                | Self::Gone { .. }
                | Self::Device { .. }
        )
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            Self::NoSuchFile { path: path.into() }
        } else {
            Self::Io { path: path.into(), source }
        }
    }
}
