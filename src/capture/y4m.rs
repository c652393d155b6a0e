//! YUV4MPEG2: raw frames that say their own size, rate and layout; what `ffmpeg -f yuv4mpegpipe` writes.

use super::video::guess_matrix;
use crate::frame::{ColorSpace, Frame, PixelFormat};
use std::time::Duration;

/// First bytes of such a stream.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// Longest header line we read. The format has no limit; real ones stay below 200 bytes.
const LINE_MAX: usize = 4096;

/// Pixels of the largest frame: 16384 x 16384.
const PIXELS_MAX: u64 = 1 << 28;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Frames in `.1` seconds.
    pub(super) rate: (u32, u32),
    pub(super) format: PixelFormat,
    pub(super) color: ColorSpace,
}

impl Header {
    /// Time of frame `n`, in nanoseconds from the first.
    pub(super) fn time_ns(&self, n: u64) -> u64 {
        (u128::from(n) * u128::from(self.rate.1) * 1_000_000_000 / u128::from(self.rate.0)) as u64
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_nanos(self.time_ns(1))
    }
}

/// Takes bytes, gives frames.
#[derive(Debug, Default)]
pub(super) struct Y4m {
    header: Option<Header>,
    buffer: Vec<u8>,
    at: usize,
}

impl Y4m {
    pub(super) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes are left over that make no whole frame.
    pub(super) fn is_inside_frame(&self) -> bool {
        self.at < self.buffer.len()
    }

    /// Fills in the next frame's pixels; `false` until more bytes have come.
    pub(super) fn next_frame(&mut self, frame: &mut Frame) -> Result<bool, String> {
        let header = match self.header {
            Some(header) => header,
            None => match self.line(0)? {
                None => return Ok(false),
                Some(line) => {
                    let header = parse_header(&self.buffer[self.at..self.at + line])?;
                    self.at += line + 1;
                    *self.header.insert(header)
                }
            },
        };
        let Some(line) = self.line(0)? else { return Ok(false) };
        if !self.buffer[self.at..].starts_with(b"FRAME") {
            return Err("a frame does not start with FRAME".into());
        }
        let start = self.at + line + 1;
        let end = start + header.format.frame_len(header.width, header.height);
        let Some(pixels) = self.buffer.get(start..end) else { return Ok(false) };
        frame.data.clear();
        frame.data.extend_from_slice(pixels);
        (frame.width, frame.height, frame.format, frame.color) =
            (header.width, header.height, header.format, header.color);
        self.at = end;
        Ok(true)
    }

    /// Length of the line that starts at `self.at + from`, without its end.
    fn line(&self, from: usize) -> Result<Option<usize>, String> {
        let rest = &self.buffer[(self.at + from).min(self.buffer.len())..];
        match rest.iter().take(LINE_MAX).position(|&b| b == b'\n') {
            None if rest.len() >= LINE_MAX => Err("a header line does not end".into()),
            at => Ok(at),
        }
    }
}

fn parse_header(line: &[u8]) -> Result<Header, String> {
    let line = std::str::from_utf8(line).map_err(|_| "its header is no text".to_owned())?;
    let (mut width, mut height, mut rate, mut chroma, mut full_range) = (0, 0, (30, 1), "420", false);
    for field in line.split_ascii_whitespace().skip(1) {
        let Some((kind, value)) = field.split_at_checked(1) else { continue };
        match kind {
            "W" => width = value.parse().unwrap_or(0),
            "H" => height = value.parse().unwrap_or(0),
            "F" => {
                let ratio = value.split_once(':').and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)));
                rate = ratio.filter(|&(n, d)| n > 0 && d > 0).unwrap_or(rate);
            }
            "C" => chroma = value,
            "X" => full_range |= value == "COLORRANGE=FULL",
            _ => {}
        }
    }
    if width == 0 || height == 0 || u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(format!("its header claims {width}x{height} pixels"));
    }
    let planar = |x_shift, y_shift| PixelFormat::Planar { x_shift, y_shift };
    let format = match chroma {
        "420" | "420jpeg" | "420paldv" | "420mpeg2" => planar(1, 1),
        "422" => planar(1, 0),
        "444" => planar(0, 0),
        "440" => planar(0, 1),
        "411" => planar(2, 0),
        "mono" => PixelFormat::Gray8,
        other => return Err(format!("its pixels are C{other}; make them 8-bit with -pix_fmt yuv420p")),
    };
    let color = ColorSpace { bt709: guess_matrix(height), full_range };
    Ok(Header { width, height, rate, format, color })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn two_frames() -> Vec<u8> {
        let mut stream = b"YUV4MPEG2 W3 H1 F25:1 Ip A1:1 C420jpeg XCOLORRANGE=FULL\n".to_vec();
        for n in 0..2u8 {
            stream.extend_from_slice(b"FRAME\n");
            stream.extend((0..7).map(|i| n * 10 + i));
        }
        stream
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_the_bytes_arrive(cut in 1usize..70) {
            let (mut y4m, mut frame, mut seen) = (Y4m::default(), Frame::default(), Vec::new());
            for piece in two_frames().chunks(cut) {
                y4m.push(piece);
                while y4m.next_frame(&mut frame).unwrap() {
                    prop_assert!(frame.is_whole());
                    seen.push(frame.data.clone());
                }
            }
            prop_assert_eq!(seen, vec![(0..7).collect::<Vec<u8>>(), (10..17).collect()]);
            prop_assert!(frame.color.full_range && !y4m.is_inside_frame());
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut y4m = Y4m::default();
            y4m.push(MAGIC);
            y4m.push(&bytes);
            prop_assert!(y4m.next_frame(&mut Frame::default()).is_ok_and(|whole| !whole) || y4m.at <= y4m.buffer.len());
        }
    }

    #[test]
    fn ten_bit_pixels_are_refused_with_the_remedy() {
        let error = parse_header(b"YUV4MPEG2 W2 H2 C420p10").unwrap_err();
        assert!(error.contains("-pix_fmt yuv420p"), "{error}");
    }
}
