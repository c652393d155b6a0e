//! JPEG: decoding into planar YUV, and cutting a byte stream into pictures.
//!
//! libjpeg-turbo decodes straight to the planes that the file stores: no colour conversion, no upsampling. Frames
//! without Huffman tables, which some webcams send, get the standard ones inside libjpeg-turbo.

use crate::frame::{ColorSpace, Frame, PixelFormat};
use turbojpeg::{Colorspace, Decompressor, Image, ScalingFactor, Subsamp, YuvImage};

/// First bytes of every JPEG.
pub(super) const START_OF_IMAGE: &[u8] = &[0xff, 0xd8, 0xff];

/// Pixels of the largest picture we decode: 16384 x 16384. A header can claim 65500 x 65500, which would take 12 GB.
const PIXELS_MAX: usize = 1 << 28;

/// Padding that an encoder may leave before a marker. Some webcams leave a few bytes in every frame; a frame that lost
/// a USB packet leaves hundreds. The bound is a guess between the two.
const HARMLESS_EXTRA_BYTES: u32 = 64;

/// Why a JPEG gave no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// It ends too early.
    #[error("the JPEG is truncated")]
    Truncated,
    /// It is damaged, or no JPEG.
    #[error("the JPEG is damaged: {0}")]
    Damaged(String),
    /// It is well formed and beyond us.
    #[error("the JPEG cannot be decoded: {0}")]
    Unsupported(String),
}

/// Decodes JPEGs into frames, keeping its state between them.
#[derive(Debug)]
pub struct JpegDecoder {
    inner: Decompressor,
}

impl JpegDecoder {
    /// A decoder.
    ///
    /// # Errors
    /// [`JpegError::Unsupported`] where libjpeg-turbo cannot be set up (out of memory).
    pub fn new() -> Result<Self, JpegError> {
        Ok(Self { inner: Decompressor::new().map_err(|e| JpegError::Unsupported(e.to_string()))? })
    }

    /// Decodes `jpeg` into `frame`'s pixels (size, format, colour and data; times are left alone).
    ///
    /// A picture wider than `width_max` is decoded at 1/2, 1/4 or 1/8 of its size (libjpeg-turbo has SIMD for these
    /// alone), the first that fits.
    ///
    /// # Errors
    /// [`JpegError`]; the frame's pixels are then undefined.
    pub fn decode(
        &mut self,
        jpeg: &[u8],
        width_max: Option<u32>,
        frame: &mut Frame,
    ) -> Result<(), JpegError> {
        self.scale(ScalingFactor::ONE)?;
        let header = self.inner.read_header(jpeg).map_err(|e| explain(&e))?;
        if header.width.saturating_mul(header.height) > PIXELS_MAX {
            return Err(JpegError::Unsupported(format!("{}x{} is too large", header.width, header.height)));
        }
        let factor = width_max.map_or(ScalingFactor::ONE, |max| scale_for(header.width, max as usize));
        self.scale(factor)?;
        let (width, height) = (factor.scale(header.width), factor.scale(header.height));
        (frame.width, frame.height, frame.color) = (width as u32, height as u32, ColorSpace::JPEG);
        match (header.colorspace, planar(header.subsamp)) {
            (Colorspace::YCbCr | Colorspace::Gray, Some(format)) => {
                frame.format = format;
                self.decode_planes(jpeg, header.subsamp, frame)
            }
            (Colorspace::CMYK | Colorspace::YCCK, _) => self.decode_cmyk(jpeg, frame),
            _ => self.decode_packed(jpeg, turbojpeg::PixelFormat::RGB, frame),
        }
    }

    fn scale(&mut self, factor: ScalingFactor) -> Result<(), JpegError> {
        if self.inner.scaling_factor() == factor {
            return Ok(());
        }
        self.inner.set_scaling_factor(factor).map_err(|e| explain(&e))
    }

    fn decode_planes(&mut self, jpeg: &[u8], subsamp: Subsamp, frame: &mut Frame) -> Result<(), JpegError> {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let len = turbojpeg::yuv_pixels_len(width, 1, height, subsamp).map_err(|e| explain(&e))?;
        frame.data.resize(len, 0);
        let output = YuvImage { pixels: &mut frame.data[..], width, align: 1, height, subsamp };
        tolerate(self.inner.decompress_to_yuv(jpeg, output))?;
        // TurboJPEG rounds the luma plane up to whole chroma samples; ours is tight.
        let (padded_w, padded_h) =
            (width.next_multiple_of(subsamp.width()), height.next_multiple_of(subsamp.height()));
        if (padded_w, padded_h) != (width, height) {
            for row in 1..height {
                frame.data.copy_within(row * padded_w..row * padded_w + width, row * width);
            }
            frame.data.copy_within(padded_w * padded_h.., width * height);
            frame.data.truncate(frame.format.frame_len(frame.width, frame.height));
        }
        Ok(())
    }

    fn decode_packed(
        &mut self,
        jpeg: &[u8],
        format: turbojpeg::PixelFormat,
        frame: &mut Frame,
    ) -> Result<(), JpegError> {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let pitch = width * format.size();
        frame.data.resize(pitch * height, 0);
        frame.format = PixelFormat::Rgb8;
        let output = Image { pixels: &mut frame.data[..], width, pitch, height, format };
        tolerate(self.inner.decompress(jpeg, output))
    }

    fn decode_cmyk(&mut self, jpeg: &[u8], frame: &mut Frame) -> Result<(), JpegError> {
        self.decode_packed(jpeg, turbojpeg::PixelFormat::CMYK, frame)?;
        // Adobe stores ink inverted, and every writer of such files follows: 255 is no ink.
        let pixels = frame.width as usize * frame.height as usize;
        for i in 0..pixels {
            let [c, m, y, k] = [0, 1, 2, 3].map(|j| u16::from(frame.data[i * 4 + j]));
            for (j, ink) in [c, m, y].into_iter().enumerate() {
                frame.data[i * 3 + j] = (ink * k / 255) as u8;
            }
        }
        frame.data.truncate(pixels * 3);
        Ok(())
    }
}

/// The first of 1, 1/2, 1/4, 1/8 that brings `width` to `max` or below.
fn scale_for(width: usize, max: usize) -> ScalingFactor {
    let factors =
        [ScalingFactor::ONE, ScalingFactor::ONE_HALF, ScalingFactor::ONE_QUARTER, ScalingFactor::ONE_EIGHTH];
    factors.into_iter().find(|f| f.scale(width) <= max).unwrap_or(ScalingFactor::ONE_EIGHTH)
}

fn planar(subsamp: Subsamp) -> Option<PixelFormat> {
    let (x_shift, y_shift) = match subsamp {
        Subsamp::None => (0, 0),
        Subsamp::Sub2x1 => (1, 0),
        Subsamp::Sub2x2 => (1, 1),
        Subsamp::Sub1x2 => (0, 1),
        Subsamp::Sub4x1 => (2, 0),
        Subsamp::Sub1x4 => (0, 2),
        Subsamp::Gray => return Some(PixelFormat::Gray8),
        // Unknown, and what a later libjpeg-turbo may add: those go through RGB.
        _ => return None,
    };
    Some(PixelFormat::Planar { x_shift, y_shift })
}

/// `TurboJPEG` reports warnings as errors after decoding all it could; those that leave the picture whole are let pass.
fn tolerate(result: turbojpeg::Result<()>) -> Result<(), JpegError> {
    let Err(error) = result else { return Ok(()) };
    let text = error.to_string();
    let harmless = text.contains("unknown JFIF revision")
        || text.contains("Invalid SOS parameters")
        || text.split_once(" extraneous bytes before marker").is_some_and(|(before, _)| {
            before
                .rsplit(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .is_some_and(|n: u32| n <= HARMLESS_EXTRA_BYTES)
        });
    if harmless { Ok(()) } else { Err(explain(&error)) }
}

fn explain(error: &turbojpeg::Error) -> JpegError {
    let text = error.to_string();
    if text.contains("Premature end")
        || text.contains("premature end")
        || text.contains("Input file read error")
    {
        JpegError::Truncated
    } else {
        JpegError::Damaged(text)
    }
}

/// Cuts a stream of JPEGs, back to back or with bytes between them, into pictures by walking their markers.
#[derive(Debug, Default)]
pub struct JpegSplitter {
    buffer: Vec<u8>,
    /// Everything before is handed out.
    start: usize,
    /// Everything before is walked.
    walked: usize,
    in_scan: bool,
    started: bool,
}

/// Longest picture a splitter collects. A lossless 8K JPEG stays below.
const PICTURE_BYTES_MAX: usize = 128 << 20;

impl JpegSplitter {
    /// Takes more bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.walked -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole picture, or `None` until more bytes have come.
    ///
    /// # Errors
    /// [`JpegError::Damaged`] where markers do not follow each other; the walk goes on at the next picture's start.
    pub fn next_picture(&mut self) -> Result<Option<&[u8]>, JpegError> {
        if !self.started && !self.find_start() {
            return Ok(None);
        }
        while let Some(step) = self.step() {
            match step {
                Step::On(to) => self.walked = to,
                Step::End(to) => {
                    let picture = self.start..to;
                    (self.start, self.walked, self.started, self.in_scan) = (to, to, false, false);
                    return Ok(Some(&self.buffer[picture]));
                }
                Step::Lost => {
                    (self.start, self.started, self.in_scan) = (self.walked, false, false);
                    return Err(JpegError::Damaged("a segment does not start with a marker".into()));
                }
            }
        }
        if self.buffer.len() - self.start > PICTURE_BYTES_MAX {
            (self.start, self.walked, self.started) = (self.buffer.len(), self.buffer.len(), false);
            return Err(JpegError::Damaged("a picture does not end".into()));
        }
        Ok(None)
    }

    /// Whether the stream so far ends inside a picture.
    pub fn is_inside_picture(&self) -> bool {
        self.started
    }

    fn find_start(&mut self) -> bool {
        let rest = &self.buffer[self.start..];
        if let Some(at) = rest.windows(3).position(|w| w == START_OF_IMAGE) {
            self.start += at;
            self.walked = self.start + 2;
            self.started = true;
        } else {
            self.start += rest.len().saturating_sub(2);
            self.walked = self.start;
        }
        self.started
    }

    fn step(&mut self) -> Option<Step> {
        let at = self.walked;
        if self.in_scan {
            let rest = &self.buffer[at..];
            let Some(ff) = rest.iter().position(|&b| b == 0xff) else { return stay_or(rest.len(), at) };
            return Some(match rest.get(ff + 1)? {
                0x00 | 0xd0..=0xd7 => Step::On(at + ff + 2),
                0xff => Step::On(at + ff + 1),
                _ => {
                    self.in_scan = false;
                    Step::On(at + ff)
                }
            });
        }
        let (&first, &kind) = (self.buffer.get(at)?, self.buffer.get(at + 1)?);
        if first != 0xff {
            return Some(Step::Lost);
        }
        match kind {
            0xff => Some(Step::On(at + 1)),
            0x01 | 0xd0..=0xd8 => Some(Step::On(at + 2)),
            0xd9 => Some(Step::End(at + 2)),
            _ => {
                let len =
                    usize::from(u16::from_be_bytes([*self.buffer.get(at + 2)?, *self.buffer.get(at + 3)?]));
                let end = at + 2 + len;
                if len < 2 {
                    return Some(Step::Lost);
                }
                (end <= self.buffer.len()).then(|| {
                    self.in_scan = kind == 0xda;
                    Step::On(end)
                })
            }
        }
    }
}

enum Step {
    On(usize),
    End(usize),
    Lost,
}

fn stay_or(walked: usize, at: usize) -> Option<Step> {
    (walked > 0).then_some(Step::On(at + walked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A JPEG of a colour gradient.
    fn gradient(width: usize, height: usize, subsamp: Subsamp) -> Vec<u8> {
        let pixels: Vec<u8> = (0..width * height)
            .flat_map(|i| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 90])
            .collect();
        let image = Image {
            pixels: &pixels[..],
            width,
            pitch: width * 3,
            height,
            format: turbojpeg::PixelFormat::RGB,
        };
        turbojpeg::compress(image, 95, subsamp).unwrap().to_vec()
    }

    fn without_huffman_tables(jpeg: &[u8]) -> Vec<u8> {
        let mut out = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != 0xda {
            let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != 0xc4 {
                out.extend_from_slice(&jpeg[at..end]);
            }
            at = end;
        }
        out.extend_from_slice(&jpeg[at..]);
        out
    }

    fn decode(jpeg: &[u8], width_max: Option<u32>) -> Result<Frame, JpegError> {
        let mut frame = Frame::default();
        JpegDecoder::new().unwrap().decode(jpeg, width_max, &mut frame)?;
        assert!(frame.is_whole(), "{:?} {}x{}", frame.format, frame.width, frame.height);
        Ok(frame)
    }

    #[test]
    fn every_subsampling_and_odd_size_gives_tight_planes() {
        for (subsamp, format) in [
            (Subsamp::None, PixelFormat::Planar { x_shift: 0, y_shift: 0 }),
            (Subsamp::Sub2x1, PixelFormat::Planar { x_shift: 1, y_shift: 0 }),
            (Subsamp::Sub2x2, PixelFormat::I420),
            (Subsamp::Sub1x2, PixelFormat::Planar { x_shift: 0, y_shift: 1 }),
            (Subsamp::Sub4x1, PixelFormat::Planar { x_shift: 2, y_shift: 0 }),
            (Subsamp::Gray, PixelFormat::Gray8),
        ] {
            for (width, height) in [(1, 1), (33, 17), (64, 48)] {
                let frame = decode(&gradient(width, height, subsamp), None).unwrap();
                assert_eq!(frame.format, format);
                // Luma of the last pixel: brightest red and green of the gradient, whatever lies beside the plane.
                let red = ((width - 1) * 255 / width) as f32;
                let green = ((height - 1) * 255 / height) as f32;
                let want = 0.299 * red + 0.587 * green + 0.114 * 90.0;
                let got = f32::from(frame.data[width * height - 1]);
                assert!((got - want).abs() < 12.0, "{subsamp:?} {width}x{height}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn a_jpeg_without_huffman_tables_decodes_to_the_same_picture() {
        let whole = gradient(64, 48, Subsamp::Sub2x2);
        let stripped = without_huffman_tables(&whole);
        assert!(stripped.len() + 400 < whole.len());
        assert_eq!(decode(&stripped, None).unwrap().data, decode(&whole, None).unwrap().data);
    }

    #[test]
    fn a_truncated_jpeg_is_noticed_at_every_length() {
        let whole = gradient(64, 48, Subsamp::Sub2x2);
        for len in [whole.len() / 4, whole.len() / 2, whole.len() - 20] {
            assert!(decode(&whole[..len], None).is_err(), "{len} of {} bytes passed", whole.len());
        }
        assert_eq!(decode(&whole[..whole.len() - 20], None).unwrap_err(), JpegError::Truncated);
    }

    #[test]
    fn a_few_stray_bytes_before_the_end_marker_are_let_pass() {
        let mut jpeg = gradient(64, 48, Subsamp::Sub2x2);
        let end = jpeg.len() - 2;
        jpeg.splice(end..end, [0x11; 4]);
        decode(&jpeg, None).unwrap();
        jpeg.splice(end..end, [0x11; 300]);
        assert!(decode(&jpeg, None).is_err(), "hundreds of stray bytes are a lost packet");
    }

    #[test]
    fn a_wide_picture_is_decoded_at_half_its_size() {
        let frame = decode(&gradient(1920, 64, Subsamp::Sub2x2), Some(1280)).unwrap();
        assert_eq!((frame.width, frame.height), (960, 32));
        let frame = decode(&gradient(1280, 64, Subsamp::Sub2x2), Some(1280)).unwrap();
        assert_eq!((frame.width, frame.height), (1280, 64));
    }

    proptest! {
        #[test]
        fn pictures_come_whole_however_the_bytes_arrive(cut in 1usize..3000, junk in 0usize..5) {
            let pictures = [gradient(16, 16, Subsamp::None), gradient(33, 5, Subsamp::Sub2x2)];
            let mut stream = Vec::new();
            for picture in &pictures {
                stream.extend_from_slice(picture);
                stream.extend(std::iter::repeat_n(0, junk));
            }
            let (mut splitter, mut seen) = (JpegSplitter::default(), Vec::new());
            for piece in stream.chunks(cut) {
                splitter.push(piece);
                while let Some(picture) = splitter.next_picture().unwrap() {
                    seen.push(picture.to_vec());
                }
            }
            prop_assert_eq!(&seen[..], &pictures[..]);
            prop_assert!(!splitter.is_inside_picture());
        }

        #[test]
        fn arbitrary_bytes_never_stall_the_splitter(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut splitter = JpegSplitter::default();
            splitter.push(START_OF_IMAGE);
            splitter.push(&bytes);
            for _ in 0..bytes.len() + 4 {
                if matches!(splitter.next_picture(), Ok(None)) {
                    return Ok(());
                }
            }
            prop_assert!(false, "the splitter went round in circles");
        }
    }
}
