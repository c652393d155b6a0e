//! Where frames come from: cameras, video files, stills, standard input and network streams.
//!
//! [`Source::open`] picks the way by what it is given; [`Source::next`] fills one recycled [`Frame`] after the other and
//! returns within 100 ms, so that its thread can always be stopped.
//!
//! | source | read by | frames |
//! |---|---|---|
//! | camera on Linux | V4L2 through the `v4l` crate's bindings | newest wins, driver's timestamps |
//! | camera elsewhere | `nokhwa` | newest wins |
//! | Motion-JPEG AVI, `.mjpeg`, YUV4MPEG2 | our own readers | every one |
//! | other video | an `ffmpeg` child | every one |
//! | `http(s)://`, `rtsp://` and the like | an `ffmpeg` child, restarted when it ends | newest wins |
//! | JPEG, PNG, BMP, WebP, a folder of them | `turbojpeg`, `image` | every one |
//! | `-` | standard input: YUV4MPEG2 or Motion-JPEG | every one |

pub mod avi;
mod camera;
mod clip;
mod config;
mod error;
mod images;
mod mjpeg;
mod orient;
mod pipe;
mod showinfo;
mod stream;
mod video;
mod y4m;

pub use avi::AviReader;
pub use camera::{CameraInfo, ChosenInfo, FormatInfo, list_cameras};
pub use config::{CaptureConfig, Flip, Resolution, Rotation};
pub use error::CaptureError;
pub use mjpeg::{JpegDecoder, JpegError, JpegSplitter};

use crate::frame::Frame;
use orient::Orientation;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a person asked to be tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// A camera: an index, a device path, a stable id, or a part of its name.
    Camera(String),
    /// A video, an image, or a folder of images.
    Path(PathBuf),
    /// Standard input: YUV4MPEG2 or Motion-JPEG, told apart by their first bytes.
    Stdin,
    /// A network stream: whatever `ffmpeg` can open.
    Url(String),
    /// A Motion-JPEG AVI that is part of the program.
    Memory(&'static [u8]),
}

impl SourceSpec {
    /// Reads what follows `--source`: `-` is standard input, `scheme://…` a stream, all else a path.
    pub fn from_source_arg(arg: &str) -> Self {
        let is_url = arg
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
        match arg {
            "-" => Self::Stdin,
            _ if is_url => Self::Url(arg.to_owned()),
            _ => Self::Path(arg.into()),
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Camera(which) => write!(f, "camera {which}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("standard input"),
            Self::Url(url) => f.write_str(url),
            Self::Memory(_) => f.write_str("the built-in clip"),
        }
    }
}

/// What [`Source::next`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The frame is filled.
    Frame,
    /// Nothing yet, or the camera is gone and being reopened: ask again.
    Waiting,
    /// There will be no more frames.
    End,
}

/// An open source of frames.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
    orientation: Orientation,
    scratch: Vec<u8>,
}

#[derive(Debug)]
enum Kind {
    Camera(Box<camera::Camera>),
    Avi(clip::AviClip<BufReader<File>>),
    Memory(clip::AviClip<Cursor<&'static [u8]>>),
    Stream(stream::ByteStream),
    Video(video::Video),
    Images(images::Images),
}

impl Source {
    /// Opens what `spec` names. `sequence` makes a folder of images a film instead of independent stills.
    ///
    /// # Errors
    /// Any [`CaptureError`]: each says what is wrong with the source and what to do about it.
    pub fn open(spec: &SourceSpec, config: &CaptureConfig, sequence: bool) -> Result<Self, CaptureError> {
        let kind = match spec {
            SourceSpec::Camera(which) => Kind::Camera(Box::new(camera::Camera::open(which, config)?)),
            SourceSpec::Path(path) => open_path(path, config, sequence)?,
            SourceSpec::Stdin => Kind::Stream(stream::ByteStream::from_stdin(config)?),
            SourceSpec::Memory(clip) => Kind::Memory(clip::AviClip::from_bytes(clip)?),
            SourceSpec::Url(url) => Kind::Video(video::Video::open_url(url, config)?),
        };
        let orientation = Orientation { rotation: config.rotate, flip: config.flip };
        Ok(Self { kind, orientation, scratch: Vec::new() })
    }

    /// Fills `frame`, a recycled buffer that keeps its capacity. Returns within 100 ms.
    ///
    /// # Errors
    /// What ends the source for good: a file that is broken, a stream that cannot be read. A camera or a network
    /// stream that is lost is not an error here: it is reported once in the log and reopened.
    pub fn next(&mut self, frame: &mut Frame) -> Result<Next, CaptureError> {
        let next = match &mut self.kind {
            Kind::Camera(camera) => Ok(camera.next(frame)),
            Kind::Avi(clip) => clip.next(frame),
            Kind::Memory(clip) => clip.next(frame),
            Kind::Stream(stream) => stream.next(frame),
            Kind::Video(video) => video.next(frame),
            Kind::Images(images) => images.next(frame),
        }?;
        if next == Next::Frame {
            self.orientation.apply(frame, &mut self.scratch);
            debug_assert!(frame.is_whole(), "a source handed over a frame of the wrong size");
        }
        Ok(next)
    }

    /// Whether the newest frame wins (camera, network stream), or every frame counts (files, standard input).
    pub fn is_live(&self) -> bool {
        match &self.kind {
            Kind::Camera(_) => true,
            Kind::Video(video) => video.is_live(),
            Kind::Avi(_) | Kind::Memory(_) | Kind::Stream(_) | Kind::Images(_) => false,
        }
    }

    /// Nominal time between two frames, where the source has one.
    pub fn frame_interval(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Camera(camera) => camera.frame_interval(),
            Kind::Avi(clip) => Some(clip.frame_interval()),
            Kind::Memory(clip) => Some(clip.frame_interval()),
            Kind::Stream(stream) => stream.frame_interval(),
            Kind::Video(video) => video.frame_interval(),
            Kind::Images(images) => images.frame_interval(),
        }
    }

    /// Frames that the source had and that were not handed over: broken ones, and those passed by for a newer one.
    pub fn skipped(&self) -> u64 {
        match &self.kind {
            Kind::Camera(camera) => camera.skipped(),
            Kind::Avi(_) | Kind::Memory(_) | Kind::Stream(_) | Kind::Video(_) | Kind::Images(_) => 0,
        }
    }
}

/// Goes by what the file is, not by what it is called.
fn open_path(path: &Path, config: &CaptureConfig, sequence: bool) -> Result<Kind, CaptureError> {
    let io = |source| CaptureError::io(path, source);
    let meta = std::fs::metadata(path).map_err(io)?;
    if meta.is_dir() {
        return Ok(Kind::Images(images::Images::open_folder(path, config, sequence)?));
    }
    if !meta.is_file() {
        return Ok(Kind::Stream(stream::ByteStream::from_special_file(path, config)?));
    }
    if meta.len() == 0 {
        return Err(CaptureError::EmptyFile { path: path.into() });
    }
    let mut head = Vec::with_capacity(16);
    File::open(path).map_err(io)?.take(16).read_to_end(&mut head).map_err(io)?;
    let is_film =
        path.extension().is_some_and(|e| ["mjpeg", "mjpg"].iter().any(|m| e.eq_ignore_ascii_case(m)));
    if head.starts_with(b"RIFF") && head[8..].starts_with(b"AVI ") {
        return match clip::AviClip::open(path) {
            Ok(clip) => Ok(Kind::Avi(clip)),
            Err(CaptureError::OtherCodec { .. }) => Ok(Kind::Video(video::Video::open_file(path)?)),
            Err(e) => Err(e),
        };
    }
    if head.starts_with(y4m::MAGIC) || (head.starts_with(mjpeg::START_OF_IMAGE) && is_film) {
        return Ok(Kind::Stream(stream::ByteStream::from_file(path, config)?));
    }
    if images::is_image(&head) {
        return Ok(Kind::Images(images::Images::open_file(path)));
    }
    Ok(Kind::Video(video::Video::open_file(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_argument_is_told_apart() {
        let spec = SourceSpec::from_source_arg;
        assert_eq!(spec("-"), SourceSpec::Stdin);
        assert_eq!(spec("rtsp://10.0.0.2/a"), SourceSpec::Url("rtsp://10.0.0.2/a".into()));
        assert_eq!(spec("clips/a.mp4"), SourceSpec::Path("clips/a.mp4".into()));
        assert_eq!(spec("C://a.mp4"), SourceSpec::Path("C://a.mp4".into()));
    }
}
