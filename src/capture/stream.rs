//! Raw frames as bytes: standard input, named pipes, bare `.mjpeg` and `.y4m` files. Every frame counts: the writer
//! waits for us.

use super::mjpeg::{JpegDecoder, JpegSplitter, START_OF_IMAGE};
use super::pipe::{Bytes, PATIENCE, Pipe};
use super::y4m::{self, Y4m};
use super::{CaptureConfig, CaptureError, Next};
use crate::clock::MonoTime;
use crate::frame::Frame;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct ByteStream {
    what: String,
    pipe: Pipe,
    chunk: Vec<u8>,
    kind: Kind,
    /// Of Motion-JPEG, which does not know its rate.
    interval: Duration,
    index: u64,
    ended: bool,
}

#[derive(Debug)]
enum Kind {
    /// The first bytes have yet to come.
    Unknown(Vec<u8>),
    Jpegs(JpegSplitter, JpegDecoder),
    Raw(Y4m),
}

impl ByteStream {
    pub(super) fn from_stdin(config: &CaptureConfig) -> Result<Self, CaptureError> {
        let what = "standard input";
        let pipe = Pipe::stdin().map_err(|e| CaptureError::io(Path::new(what), e))?;
        Ok(Self::new(what.into(), pipe, config))
    }

    /// A regular file: its kind and rate are known at once.
    pub(super) fn from_file(path: &Path, config: &CaptureConfig) -> Result<Self, CaptureError> {
        let mut stream = Self::from_special_file(path, config)?;
        while matches!(stream.kind, Kind::Unknown(_)) && !stream.ended {
            stream.fill(PATIENCE)?;
        }
        Ok(stream)
    }

    /// A named pipe or the like: nothing is read yet, since its writer may be slow.
    pub(super) fn from_special_file(path: &Path, config: &CaptureConfig) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|e| CaptureError::io(path, e))?;
        Ok(Self::new(path.display().to_string(), Pipe::file(file), config))
    }

    fn new(what: String, pipe: Pipe, config: &CaptureConfig) -> Self {
        let interval = Duration::from_secs_f64(config.file_fps().recip());
        let kind = Kind::Unknown(Vec::new());
        Self { what, pipe, chunk: vec![0; 1 << 18], kind, interval, index: 0, ended: false }
    }

    pub(super) fn frame_interval(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Unknown(_) => None,
            Kind::Jpegs(..) => Some(self.interval),
            Kind::Raw(y4m) => y4m.header().map(y4m::Header::interval),
        }
    }

    pub(super) fn next(&mut self, frame: &mut Frame) -> Result<Next, CaptureError> {
        let start = MonoTime::now();
        loop {
            if self.take_frame(frame)? {
                frame.index = self.index;
                frame.captured_at = MonoTime::now();
                frame.stream_time = self.time_of(self.index);
                frame.starts_sequence = self.index == 0;
                self.index += 1;
                return Ok(Next::Frame);
            }
            if self.ended {
                return self.end();
            }
            let patience = PATIENCE.saturating_sub(MonoTime::now().since(start));
            if patience.is_zero() || !self.fill(patience)? {
                return Ok(Next::Waiting);
            }
        }
    }

    fn time_of(&self, index: u64) -> MonoTime {
        MonoTime::from_nanos(match &self.kind {
            Kind::Raw(y4m) => y4m.header().map_or(0, |h| h.time_ns(index)),
            _ => self.interval.as_nanos() as u64 * index,
        })
    }

    fn take_frame(&mut self, frame: &mut Frame) -> Result<bool, CaptureError> {
        let index = self.index;
        let broken = |why: String| CaptureError::BrokenVideo { what: self.what.clone(), frame: index, why };
        match &mut self.kind {
            Kind::Unknown(_) => Ok(false),
            Kind::Raw(y4m) => y4m.next_frame(frame).map_err(broken),
            Kind::Jpegs(splitter, decoder) => {
                let Some(jpeg) = splitter.next_picture().map_err(|e| broken(e.to_string()))? else {
                    return Ok(false);
                };
                decoder.decode(jpeg, None, frame).map_err(|e| broken(e.to_string()))?;
                Ok(true)
            }
        }
    }

    /// Reads one chunk; `false` where none came in time.
    fn fill(&mut self, patience: Duration) -> Result<bool, CaptureError> {
        let read = self.pipe.read(&mut self.chunk, patience);
        let bytes = match read.map_err(|e| CaptureError::io(Path::new(&self.what), e))? {
            Bytes::Some(n) => &self.chunk[..n],
            Bytes::NoneYet => return Ok(false),
            Bytes::End => {
                self.ended = true;
                return Ok(true);
            }
        };
        match &mut self.kind {
            Kind::Jpegs(splitter, _) => splitter.push(bytes),
            Kind::Raw(y4m) => y4m.push(bytes),
            Kind::Unknown(head) => {
                head.extend_from_slice(bytes);
                if head.len() >= y4m::MAGIC.len() {
                    let head = std::mem::take(head);
                    self.kind = self.recognise(&head)?;
                }
            }
        }
        Ok(true)
    }

    fn recognise(&self, head: &[u8]) -> Result<Kind, CaptureError> {
        if head.starts_with(y4m::MAGIC) {
            let mut y4m = Y4m::default();
            y4m.push(head);
            return Ok(Kind::Raw(y4m));
        }
        if !head.starts_with(START_OF_IMAGE) {
            return Err(self.unknown(head));
        }
        let decoder = JpegDecoder::new().map_err(|e| CaptureError::BrokenVideo {
            what: self.what.clone(),
            frame: 0,
            why: e.to_string(),
        })?;
        let mut splitter = JpegSplitter::default();
        splitter.push(head);
        Ok(Kind::Jpegs(splitter, decoder))
    }

    fn unknown(&self, head: &[u8]) -> CaptureError {
        let start = match head {
            [] => "nothing at all".into(),
            head => format!("\"{}\"", head[..head.len().min(16)].escape_ascii()),
        };
        CaptureError::UnknownStream { what: self.what.clone(), start }
    }

    fn end(&self) -> Result<Next, CaptureError> {
        let cut = match &self.kind {
            Kind::Unknown(head) => return Err(self.unknown(head)),
            Kind::Jpegs(splitter, _) => splitter.is_inside_picture(),
            Kind::Raw(y4m) => y4m.is_inside_frame(),
        };
        if !cut && self.index > 0 {
            return Ok(Next::End);
        }
        let why = if cut { "it ends inside a frame" } else { "it holds no frame" };
        Err(CaptureError::BrokenVideo { what: self.what.clone(), frame: self.index, why: why.into() })
    }
}
