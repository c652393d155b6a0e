//! Stills: one image, or a folder of them.
//!
//! A folder is one frame per image, sorted by file name (byte order). What does not have the name of an image is
//! passed over with one warning; a file that has it and cannot be decoded is an error that names the file, because
//! one line of output belongs to every still and an invented one would be a lie.

use super::mjpeg::{JpegDecoder, START_OF_IMAGE};
use super::orient::Orientation;
use super::{CaptureConfig, CaptureError, Flip, Next, Rotation};
use crate::clock::MonoTime;
use crate::frame::{ColorSpace, Frame, PixelFormat};
use image::{ColorType, DynamicImage, ImageReader};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp"];

#[derive(Debug)]
pub(super) struct Images {
    paths: Vec<PathBuf>,
    /// `Some` where the folder is a film of this interval.
    interval: Option<Duration>,
    decoder: Option<JpegDecoder>,
    bytes: Vec<u8>,
    scratch: Vec<u8>,
    index: usize,
}

/// Whether a file that starts like this is a still that we decode.
pub(super) fn is_image(head: &[u8]) -> bool {
    head.starts_with(START_OF_IMAGE)
        || head.starts_with(b"\x89PNG\r\n\x1a\n")
        || head.starts_with(b"BM")
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

impl Images {
    pub(super) fn open_file(path: &Path) -> Self {
        Self::new(vec![path.into()], None)
    }

    pub(super) fn open_folder(
        path: &Path,
        config: &CaptureConfig,
        sequence: bool,
    ) -> Result<Self, CaptureError> {
        let io = |e| CaptureError::io(path, e);
        let mut paths = Vec::new();
        let mut passed_over = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io)? {
            let file = entry.map_err(io)?.path();
            let known =
                file.extension().is_some_and(|e| EXTENSIONS.iter().any(|k| e.eq_ignore_ascii_case(k)));
            if known && file.is_file() {
                paths.push(file);
            } else {
                passed_over.push(file);
            }
        }
        if paths.is_empty() {
            return Err(CaptureError::NoImages { path: path.into() });
        }
        if let Some(first) = passed_over.iter().min() {
            tracing::warn!(
                "{}: passing over {} that {} no image by name, such as {}",
                path.display(),
                passed_over.len(),
                if passed_over.len() == 1 { "is" } else { "are" },
                first.display()
            );
        }
        paths.sort_unstable();
        Ok(Self::new(paths, sequence.then(|| Duration::from_secs_f64(config.file_fps().recip()))))
    }

    fn new(paths: Vec<PathBuf>, interval: Option<Duration>) -> Self {
        Self { paths, interval, decoder: None, bytes: Vec::new(), scratch: Vec::new(), index: 0 }
    }

    /// Stills have no rate of their own; a sequence has.
    pub(super) fn frame_interval(&self) -> Option<Duration> {
        self.interval
    }

    pub(super) fn next(&mut self, frame: &mut Frame) -> Result<Next, CaptureError> {
        let Some(path) = self.paths.get(self.index) else { return Ok(Next::End) };
        let broken = |why: String| CaptureError::BrokenImage { path: path.clone(), why };
        self.bytes.clear();
        let read =
            std::fs::File::open(path).and_then(|mut f| std::io::Read::read_to_end(&mut f, &mut self.bytes));
        read.map_err(|e| CaptureError::io(path, e))?;
        if self.bytes.is_empty() {
            return Err(CaptureError::EmptyFile { path: path.clone() });
        }
        if self.bytes.starts_with(START_OF_IMAGE) {
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                none => none.insert(JpegDecoder::new().map_err(|e| broken(e.to_string()))?),
            };
            decoder.decode(&self.bytes, None, frame).map_err(|e| broken(e.to_string()))?;
            exif_orientation(&self.bytes).apply(frame, &mut self.scratch);
        } else {
            decode_other(&self.bytes, frame).map_err(broken)?;
        }
        let interval = self.interval.unwrap_or(Duration::from_millis(33));
        frame.index = self.index as u64;
        frame.stream_time = MonoTime::default() + interval * self.index as u32;
        frame.captured_at = MonoTime::now();
        frame.still = self.interval.is_none();
        frame.starts_sequence = frame.still || self.index == 0;
        self.index += 1;
        Ok(Next::Frame)
    }
}

fn decode_other(bytes: &[u8], frame: &mut Frame) -> Result<(), String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let picture = reader.decode().map_err(|e| e.to_string())?;
    (frame.width, frame.height, frame.color) = (picture.width(), picture.height(), ColorSpace::JPEG);
    let is_grey =
        matches!(picture.color(), ColorType::L8 | ColorType::L16 | ColorType::La8 | ColorType::La16);
    (frame.format, frame.data) = match picture {
        DynamicImage::ImageRgb8(rgb) => (PixelFormat::Rgb8, rgb.into_raw()),
        grey if is_grey => (PixelFormat::Gray8, grey.into_luma8().into_raw()),
        other => (PixelFormat::Rgb8, other.into_rgb8().into_raw()),
    };
    Ok(())
}

/// Reads tag 0x0112 of a JPEG's Exif segment; as it comes where there is none. Values 1 to 8 as Exif 2.3 defines them.
fn exif_orientation(jpeg: &[u8]) -> Orientation {
    let (rotation, flip) = match find_exif_orientation(jpeg) {
        Some(2) => (Rotation::None, Flip::Horizontal),
        Some(3) => (Rotation::Half, Flip::None),
        Some(4) => (Rotation::None, Flip::Vertical),
        Some(5) => (Rotation::Cw90, Flip::Horizontal),
        Some(6) => (Rotation::Cw90, Flip::None),
        Some(7) => (Rotation::Cw270, Flip::Horizontal),
        Some(8) => (Rotation::Cw270, Flip::None),
        _ => (Rotation::None, Flip::None),
    };
    Orientation { rotation, flip }
}

fn find_exif_orientation(jpeg: &[u8]) -> Option<u16> {
    let mut at = 2;
    let exif = loop {
        let head = jpeg.get(at..at + 4)?;
        let body = jpeg.get(at + 4..at + 2 + usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        match (head[0], head[1]) {
            (0xff, 0xe1) if body.starts_with(b"Exif\0\0") => break &body[6..],
            (0xff, 0xda) | (0..=0xfe, _) => return None,
            _ => at += 4 + body.len(),
        }
    };
    let big = exif.starts_with(b"MM");
    let two = |at: usize| {
        let b: [u8; 2] = exif.get(at..at + 2)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    };
    let four = |at: usize| {
        let (first, second) = (u32::from(two(at)?), u32::from(two(at + 2)?));
        Some(if big { first << 16 | second } else { second << 16 | first })
    };
    let directory = four(4)? as usize;
    (0..usize::from(two(directory)?))
        .map(|i| directory + 2 + i * 12)
        .find(|&entry| two(entry) == Some(0x0112))
        .and_then(|entry| two(entry + 8))
}
