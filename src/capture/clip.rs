//! Motion-JPEG AVI files as frames.

use super::avi::{AviError, AviReader};
use super::mjpeg::{JpegDecoder, JpegError};
use super::{CaptureError, Next};
use crate::clock::MonoTime;
use crate::frame::Frame;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct AviClip {
    path: PathBuf,
    reader: AviReader<BufReader<File>>,
    decoder: JpegDecoder,
    jpeg: Vec<u8>,
    index: u64,
}

impl AviClip {
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let broken =
            |why: String| CaptureError::BrokenVideo { what: path.display().to_string(), frame: 0, why };
        let file = File::open(path).map_err(|e| CaptureError::io(path, e))?;
        let reader = AviReader::new(BufReader::with_capacity(1 << 18, file)).map_err(|e| match e {
            AviError::OtherCodec(codec) => CaptureError::OtherCodec { path: path.into(), codec },
            e => broken(e.to_string()),
        })?;
        let decoder = JpegDecoder::new().map_err(|e| broken(e.to_string()))?;
        Ok(Self { path: path.into(), reader, decoder, jpeg: Vec::new(), index: 0 })
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
        CaptureError::BrokenVideo { what: self.path.display().to_string(), frame: self.index, why }
    }
}
