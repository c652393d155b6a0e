//! A small AVI (RIFF) reader and writer for Motion-JPEG, so that the demo needs no codec of the system.
//!
//! The reader walks the chunks in file order and needs no index: `RIFF AVI ` with `hdrl` and `movi`, nested `rec `
//! lists, and the further `RIFF AVIX` parts of files above 1 GB. It reads bytes from outside: sizes are checked
//! against the file before anything is allocated.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// Why an AVI gave no (more) frames.
#[derive(Debug, thiserror::Error)]
pub enum AviError {
    /// The file ends inside a chunk that it promises.
    #[error("the file ends {missing} bytes too early")]
    Truncated {
        /// Bytes that the chunk promises and the file lacks.
        missing: u64,
    },
    /// It is no AVI, or its headers contradict themselves.
    #[error("its headers are wrong: {0}")]
    Malformed(&'static str),
    /// Its video is compressed with something else than Motion-JPEG.
    #[error("its video is {0}, not Motion-JPEG")]
    OtherCodec(String),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the headers say of the video stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AviInfo {
    /// Pixels in a row, as the header says; the JPEGs have the last word.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames in `scale` seconds.
    pub rate: u32,
    /// See `rate`.
    pub scale: u32,
}

impl AviInfo {
    /// Time of frame `n`, in nanoseconds from the first.
    pub fn time_ns(&self, n: u64) -> u64 {
        (u128::from(n) * u128::from(self.scale) * 1_000_000_000 / u128::from(self.rate)) as u64
    }

    /// Time from one frame to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.time_ns(1))
    }
}

/// Lists inside lists, at most; real files have two levels.
const DEPTH_MAX: usize = 8;

/// Reads the frames of an AVI in order.
#[derive(Debug)]
pub struct AviReader<R> {
    file: R,
    info: AviInfo,
    /// Chunk id of our stream's frames: its number in two digits, then `dc` or `db`.
    stream_digits: [u8; 2],
    len: u64,
    at: u64,
    /// Ends of the lists that we are in.
    open_lists: Vec<u64>,
    /// The headers are behind us.
    in_frames: bool,
}

impl<R: Read + Seek> AviReader<R> {
    /// Reads the headers and stops before the first frame.
    ///
    /// # Errors
    /// [`AviError`].
    pub fn new(mut file: R) -> Result<Self, AviError> {
        let len = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut reader = Self {
            file,
            info: AviInfo { width: 0, height: 0, rate: 0, scale: 0 },
            stream_digits: *b"00",
            len,
            at: 0,
            open_lists: Vec::new(),
            in_frames: false,
        };
        reader.read_headers()?;
        Ok(reader)
    }

    /// What the headers say.
    pub fn info(&self) -> AviInfo {
        self.info
    }

    /// Puts the next frame's bytes into `jpeg`; `false` at the end. A chunk of no bytes means that the frame before
    /// is shown again: `jpeg` then keeps what it holds.
    ///
    /// # Errors
    /// [`AviError::Truncated`] where the file ends inside a frame, [`AviError::Io`].
    pub fn next_frame(&mut self, jpeg: &mut Vec<u8>) -> Result<bool, AviError> {
        while let Some((id, size)) = self.next_chunk()? {
            if id[..2] != self.stream_digits || (id[2..] != *b"dc" && id[2..] != *b"db") {
                self.skip(size)?;
                continue;
            }
            if size > 0 {
                self.read_body(size, jpeg)?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn read_headers(&mut self) -> Result<(), AviError> {
        let mut streams = 0u8;
        let mut header: Option<[u8; 8]> = None;
        let mut body = Vec::new();
        let mut found = false;
        while let Some((id, size)) = self.next_chunk()? {
            match &id {
                b"strh" => {
                    self.read_body(size, &mut body)?;
                    let is_video = body.get(..4) == Some(b"vids");
                    header = match (found, is_video, body.get(20..28)) {
                        (false, true, Some(b)) => b.try_into().ok(),
                        _ => None,
                    };
                    streams = streams.saturating_add(1);
                }
                b"strf" => {
                    self.read_body(size, &mut body)?;
                    if let Some(timing) = header.take() {
                        self.info = read_format(timing, &body)?;
                        let number = streams - 1;
                        self.stream_digits = [b'0' + number / 10 % 10, b'0' + number % 10];
                        found = true;
                    }
                }
                // The list of frames: leave it open and stop before its first chunk.
                b"movi" if found => {
                    self.in_frames = true;
                    return Ok(());
                }
                b"movi" => return Err(AviError::Malformed("it holds no video stream")),
                _ => self.skip(size)?,
            }
        }
        Err(AviError::Malformed("it holds no frames"))
    }

    /// Steps into lists and over their ends; returns the next chunk that is no list, or `movi` when entering that.
    fn next_chunk(&mut self) -> Result<Option<([u8; 4], u64)>, AviError> {
        loop {
            while self.open_lists.last().is_some_and(|&end| self.at >= end) {
                self.open_lists.pop();
            }
            let end = self.open_lists.last().copied().unwrap_or(self.len);
            if self.at + 8 > self.len {
                // What the lists promise beyond the file's end was never written.
                let promised = self.open_lists.iter().copied().max().unwrap_or(0);
                return match promised.saturating_sub(self.len) {
                    0 | 1 => Ok(None),
                    missing => Err(AviError::Truncated { missing }),
                };
            }
            if self.at + 8 > end {
                self.seek_to(end)?;
                continue;
            }
            let (id, size) = self.read_chunk_head()?;
            if id != *b"RIFF" && id != *b"LIST" {
                return Ok(Some((id, size)));
            }
            if self.open_lists.is_empty() && id == *b"LIST" {
                return Err(AviError::Malformed("it does not start with RIFF"));
            }
            let kind = self.read_four()?;
            // A recorder that was killed leaves 0 here: the list then runs to the end of the file.
            let list_end = if size < 4 { self.len } else { self.at + size - 4 };
            if self.open_lists.is_empty() && kind != *b"AVI " && kind != *b"AVIX" {
                return Err(AviError::Malformed("it is RIFF, but no AVI"));
            }
            if self.open_lists.len() >= DEPTH_MAX {
                return Err(AviError::Malformed("its lists nest too deep"));
            }
            self.open_lists.push(list_end);
            if kind == *b"movi" && !self.in_frames {
                return Ok(Some((kind, 0)));
            }
        }
    }

    fn read_chunk_head(&mut self) -> Result<([u8; 4], u64), AviError> {
        let id = self.read_four()?;
        if self.open_lists.is_empty() && id != *b"RIFF" {
            return Err(AviError::Malformed("it does not start with RIFF"));
        }
        Ok((id, u64::from(u32::from_le_bytes(self.read_four()?))))
    }

    fn read_four(&mut self) -> Result<[u8; 4], AviError> {
        let mut four = [0; 4];
        self.file.read_exact(&mut four).map_err(|_| AviError::Truncated { missing: 4 })?;
        self.at += 4;
        Ok(four)
    }

    fn read_body(&mut self, size: u64, into: &mut Vec<u8>) -> Result<(), AviError> {
        let have = self.len.saturating_sub(self.at);
        if size > have {
            return Err(AviError::Truncated { missing: size - have });
        }
        into.resize(size as usize, 0);
        self.file.read_exact(into)?;
        self.at += size;
        self.pad(size)
    }

    fn skip(&mut self, size: u64) -> Result<(), AviError> {
        let have = self.len.saturating_sub(self.at);
        if size > have {
            return Err(AviError::Truncated { missing: size - have });
        }
        self.seek_to(self.at + size)?;
        self.pad(size)
    }

    /// Chunks start at even offsets.
    fn pad(&mut self, size: u64) -> Result<(), AviError> {
        if size % 2 == 1 && self.at < self.len {
            self.seek_to(self.at + 1)?;
        }
        Ok(())
    }

    fn seek_to(&mut self, to: u64) -> Result<(), AviError> {
        // Relative, so that a buffered reader keeps its buffer.
        self.file.seek_relative(to.wrapping_sub(self.at).cast_signed())?;
        self.at = to;
        Ok(())
    }
}

/// `timing` is scale and rate of the stream header, `format` a `BITMAPINFOHEADER`.
fn read_format(timing: [u8; 8], format: &[u8]) -> Result<AviInfo, AviError> {
    let u32_at = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
    };
    let short = AviError::Malformed("its stream format is too short");
    let (Some(width), Some(height), Some(codec)) = (u32_at(format, 4), u32_at(format, 8), format.get(16..20))
    else {
        return Err(short);
    };
    if !codec.eq_ignore_ascii_case(b"MJPG") && !codec.eq_ignore_ascii_case(b"JPEG") {
        return Err(AviError::OtherCodec(codec.escape_ascii().to_string()));
    }
    let (scale, rate) = (u32_at(&timing, 0).unwrap_or(0), u32_at(&timing, 4).unwrap_or(0));
    if rate == 0 || scale == 0 {
        return Err(AviError::Malformed("its frame rate is zero"));
    }
    Ok(AviInfo { width, height: height.cast_signed().unsigned_abs(), rate, scale })
}

/// Bytes that one RIFF part may hold; readers take the sizes as signed 32-bit numbers.
const RIFF_BYTES_MAX: u64 = 0x7fff_0000;

/// Writes a Motion-JPEG AVI with an index. Call [`AviWriter::finish`]: without it the file has no sizes.
#[derive(Debug)]
pub struct AviWriter<W> {
    file: W,
    info: AviInfo,
    /// Offset from `movi` and size of each frame.
    index: Vec<(u32, u32)>,
    at: u64,
    largest: u32,
}

/// Where the list of frames starts: at the fourcc `movi` that index offsets count from.
const MOVI_AT: u64 = 12 + 8 + 4 + 8 + 56 + 8 + 4 + 8 + 56 + 8 + 40 + 8;

impl<W: Write + Seek> AviWriter<W> {
    /// Starts a file; sizes and counts are filled in by [`AviWriter::finish`].
    ///
    /// # Errors
    /// Of the file.
    pub fn new(mut file: W, info: AviInfo) -> Result<Self, AviError> {
        file.write_all(&headers(&info, 0, 0, 0))?;
        Ok(Self { file, info, index: Vec::new(), at: MOVI_AT + 4, largest: 0 })
    }

    /// Appends one JPEG.
    ///
    /// # Errors
    /// Of the file; [`AviError::Malformed`] where it would pass 2 GB.
    pub fn write_frame(&mut self, jpeg: &[u8]) -> Result<(), AviError> {
        let index_bytes = 16 * (self.index.len() as u64 + 1);
        if self.at + jpeg.len() as u64 + 16 + index_bytes > RIFF_BYTES_MAX {
            return Err(AviError::Malformed("an AVI holds 2 GB at most; split the recording"));
        }
        let size = jpeg.len() as u32;
        self.index.push(((self.at - MOVI_AT) as u32, size));
        self.largest = self.largest.max(size);
        self.file.write_all(b"00dc")?;
        self.file.write_all(&size.to_le_bytes())?;
        self.file.write_all(jpeg)?;
        if size % 2 == 1 {
            self.file.write_all(&[0])?;
        }
        self.at += 8 + u64::from(size) + u64::from(size % 2);
        Ok(())
    }

    /// Writes the index and the sizes, and gives the file back.
    ///
    /// # Errors
    /// Of the file.
    pub fn finish(mut self) -> Result<W, AviError> {
        let movi_bytes = (self.at - MOVI_AT) as u32;
        self.file.write_all(b"idx1")?;
        self.file.write_all(&(self.index.len() as u32 * 16).to_le_bytes())?;
        for (offset, size) in &self.index {
            // 0x10: a key frame, as every JPEG is.
            for field in [u32::from_le_bytes(*b"00dc"), 0x10, *offset, *size] {
                self.file.write_all(&field.to_le_bytes())?;
            }
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&headers(&self.info, self.index.len() as u32, movi_bytes, self.largest))?;
        self.file.seek(SeekFrom::End(0))?;
        self.file.flush()?;
        Ok(self.file)
    }
}

/// All bytes up to the first frame.
fn headers(info: &AviInfo, frames: u32, movi_bytes: u32, largest: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(MOVI_AT as usize + 4);
    let riff_bytes = MOVI_AT as u32 - 8 + movi_bytes + 8 + frames * 16;
    let mut words = |fields: &[[u8; 4]]| out.extend(fields.iter().flatten());
    let n = |v: u32| v.to_le_bytes();
    let frame_us = (info.time_ns(1) / 1000) as u32;
    let bytes_per_s = (u64::from(largest) * u64::from(info.rate) / u64::from(info.scale)) as u32;
    words(&[*b"RIFF", n(riff_bytes), *b"AVI ", *b"LIST", n(4 + 8 + 56 + 8 + 4 + 8 + 56 + 8 + 40), *b"hdrl"]);
    // 0x10: has an index.
    words(&[*b"avih", n(56), n(frame_us), n(bytes_per_s), n(0), n(0x10), n(frames), n(0), n(1), n(largest)]);
    words(&[n(info.width), n(info.height), n(0), n(0), n(0), n(0)]);
    words(&[
        *b"LIST",
        n(4 + 8 + 56 + 8 + 40),
        *b"strl",
        *b"strh",
        n(56),
        *b"vids",
        *b"MJPG",
        n(0),
        n(0),
        n(0),
    ]);
    words(&[n(info.scale), n(info.rate), n(0), n(frames), n(largest), n(u32::MAX), n(0), n(0)]);
    let [w, h] = [info.width, info.height].map(|v| (v as u16).to_le_bytes());
    words(&[[w[0], w[1], h[0], h[1]]]);
    words(&[*b"strf", n(40), n(40), n(info.width), n(info.height), [1, 0, 24, 0], *b"MJPG"]);
    words(&[n(info.width.saturating_mul(info.height).saturating_mul(3)), n(0), n(0), n(0), n(0)]);
    words(&[*b"LIST", n(movi_bytes), *b"movi"]);
    out
}
