//! Motion-JPEG AVI files as frames.

use super::avi::{AviError, AviReader};
use super::mjpeg::{JpegDecoder, JpegError};
use super::{CaptureError, Next};
use crate::clock::MonoTime;
use crate::frame::Frame;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct AviClip<R> {
    /// How errors call it.
    name: String,
    reader: AviReader<R>,
    decoder: JpegDecoder,
    jpeg: Vec<u8>,
    index: u64,
}

impl AviClip<BufReader<File>> {
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|e| CaptureError::io(path, e))?;
        Self::new(path.display().to_string(), BufReader::with_capacity(1 << 18, file))
    }
}

impl AviClip<Cursor<&'static [u8]>> {
    pub(super) fn from_bytes(bytes: &'static [u8]) -> Result<Self, CaptureError> {
        Self::new("the clip in memory".into(), Cursor::new(bytes))
    }
}

impl<R: Read + Seek> AviClip<R> {
    fn new(name: String, file: R) -> Result<Self, CaptureError> {
        let broken = |why: String| CaptureError::BrokenVideo { what: name.clone(), frame: 0, why };
        let reader = AviReader::new(file).map_err(|e| match e {
            AviError::OtherCodec(codec) => CaptureError::OtherCodec { path: name.clone().into(), codec },
            e => broken(e.to_string()),
        })?;
        let decoder = JpegDecoder::new().map_err(|e| broken(e.to_string()))?;
        Ok(Self { name, reader, decoder, jpeg: Vec::new(), index: 0 })
    }

    pub(super) fn frame_interval(&self) -> Duration {
        self.reader.info().interval()
    }

    pub(super) fn next(&mut self, frame: &mut Frame) -> Result<Next, CaptureError> {
        if !self.reader.next_frame(&mut self.jpeg).map_err(|e| self.broken(e.to_string()))? {
            return if self.index == 0 {
                Err(self.broken("it holds no frame".into()))
            } else {
                Ok(Next::End)
            };
        }
        self.decoder.decode(&self.jpeg, None, frame).map_err(|e: JpegError| self.broken(e.to_string()))?;
        frame.index = self.index;
        frame.stream_time = MonoTime::from_nanos(self.reader.info().time_ns(self.index));
        frame.captured_at = MonoTime::now();
        frame.starts_sequence = self.index == 0;
        self.index += 1;
        Ok(Next::Frame)
    }

    fn broken(&self, why: String) -> CaptureError {
        CaptureError::BrokenVideo { what: self.name.clone(), frame: self.index, why }
    }
}
