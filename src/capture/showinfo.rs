//! What `ffmpeg` says on its standard error: size, timestamp and colour of every frame (its `showinfo` filter), the
//! frame rate, and its errors. Raw video on its standard output carries none of these.

use super::video::guess_matrix;
use crate::frame::{ColorSpace, PixelFormat};
use std::collections::VecDeque;
use std::time::Duration;

/// Last lines of complaint that are kept for the error message.
const ERRORS_MAX: usize = 4;

/// Longest line that is kept whole; the rest of a longer one is dropped.
const LINE_MAX: usize = 4096;

/// A frame that is about to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FrameInfo {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: PixelFormat,
    /// Presentation time in seconds, where the file tells it.
    pub(super) time_s: Option<f64>,
    pub(super) color: ColorSpace,
}

impl FrameInfo {
    pub(super) fn len(&self) -> usize {
        self.format.frame_len(self.width, self.height)
    }
}

/// Follows the lines.
#[derive(Debug, Default)]
pub(super) struct ShowInfo {
    line: Vec<u8>,
    time_base: Option<(f64, f64)>,
    interval: Option<Duration>,
    frames: VecDeque<FrameInfo>,
    errors: VecDeque<String>,
    is_cut_short: bool,
    lacks_option: bool,
}

impl ShowInfo {
    /// Takes what came on standard error.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                let line = std::mem::take(&mut self.line);
                self.take_line(&String::from_utf8_lossy(&line));
                self.line = line;
                self.line.clear();
            } else if self.line.len() < LINE_MAX {
                self.line.push(byte);
            }
        }
    }

    /// The frame whose pixels come next.
    pub(super) fn front(&self) -> Option<&FrameInfo> {
        self.frames.front()
    }

    /// That frame has come whole.
    pub(super) fn pop(&mut self) -> Option<FrameInfo> {
        self.frames.pop_front()
    }

    pub(super) fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Its complaints, the last few, in one line.
    pub(super) fn errors(&self) -> String {
        self.errors.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether a complaint says that the file ends before it should.
    pub(super) fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    /// Whether this `ffmpeg` is too old for one of our options.
    pub(super) fn lacks_option(&self) -> bool {
        self.lacks_option
    }

    fn take_line(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once("showinfo").and_then(|(_, l)| l.split_once("[info] ")) {
            self.take_showinfo(rest.trim_start());
        } else if let Some(text) = ["[error] ", "[fatal] "].iter().find_map(|tag| line.split_once(tag)) {
            let text = text.1.trim();
            self.is_cut_short |= ["partial file", "runcat", "remature end", "end of file"]
                .iter()
                .any(|sign| text.contains(sign));
            self.lacks_option |= text.contains("Unrecognized option");
            if self.errors.len() == ERRORS_MAX {
                self.errors.pop_front();
            }
            self.errors.push_back(text.to_owned());
        }
    }

    fn take_showinfo(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("config in ") {
            self.time_base = field(rest, "time_base:").and_then(ratio);
            let rate = field(rest, "frame_rate:").and_then(ratio);
            self.interval =
                rate.filter(|(n, _)| *n > 0.0).map(|(n, d)| Duration::from_secs_f64((d / n).min(3600.0)));
        } else if line.starts_with("n:") {
            self.frames.extend(self.parse_frame(line));
        } else if line.starts_with("color_range:")
            && let Some(frame) = self.frames.back_mut()
        {
            let space = field(line, "color_space:").unwrap_or("unknown");
            frame.color.full_range |= matches!(field(line, "color_range:"), Some("pc" | "jpeg" | "full"));
            match space {
                "bt709" => frame.color.bt709 = true,
                "unknown" => {}
                _ => frame.color.bt709 = false,
            }
        }
    }

    fn parse_frame(&self, line: &str) -> Option<FrameInfo> {
        let (width, height) = field(line, " s:")?.split_once('x')?;
        let (width, height) = (width.parse().ok()?, height.parse().ok()?);
        let (format, full_range) = pixel_format(field(line, " fmt:")?)?;
        let time_s = match (field(line, " pts:"), self.time_base) {
            (Some(pts), Some((num, den))) => pts.parse::<f64>().ok().map(|pts| pts * num / den),
            _ => None,
        };
        let color = ColorSpace { bt709: guess_matrix(height), full_range };
        Some(FrameInfo { width, height, format, time_s, color })
    }
}

/// The word after `key`, with blanks allowed between.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(key)?;
    rest.split_ascii_whitespace().next().map(|word| word.trim_end_matches(','))
}

fn ratio(text: &str) -> Option<(f64, f64)> {
    let (n, d) = text.split_once('/')?;
    Some((n.parse().ok()?, d.parse::<f64>().ok().filter(|d| *d > 0.0)?))
}

/// The formats that `video.rs` lets `ffmpeg` choose from.
fn pixel_format(name: &str) -> Option<(PixelFormat, bool)> {
    let planar = |x_shift, y_shift| PixelFormat::Planar { x_shift, y_shift };
    Some(match name {
        "yuv420p" => (planar(1, 1), false),
        "yuvj420p" => (planar(1, 1), true),
        "yuv422p" => (planar(1, 0), false),
        "yuvj422p" => (planar(1, 0), true),
        "yuv444p" => (planar(0, 0), false),
        "yuvj444p" => (planar(0, 0), true),
        "nv12" => (PixelFormat::Nv12, false),
        "gray" => (PixelFormat::Gray8, true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
[Parsed_showinfo_1 @ 0x563111cca840] [info] config in time_base: 1/12800, frame_rate: 25/1
[Parsed_showinfo_1 @ 0x563111cca840] [info] config out time_base: 0/0, frame_rate: 0/0
[Parsed_showinfo_1 @ 0x563111cca840] [info] n:   0 pts:    512 pts_time:0.04    pos:       48 fmt:yuv420p sar:1/1 s:1280x720 i:P iskey:1 type:I 
[Parsed_showinfo_1 @ 0x563111cca840] [info] color_range:tv color_space:bt709 color_primaries:bt709 color_trc:bt709
[Parsed_showinfo_1 @ 0x563111cca840] [info] n:   1 pts: NOPTS pts_time:NOPTS pos:       48 fmt:gray sar:1/1 s:3x1 i:P iskey:1 type:I 
[mov @ 0x55] [error] stream 0, offset 0x24c33: partial file
";

    #[test]
    fn size_time_and_colour_are_read_however_the_lines_are_cut() {
        for cut in [1, 7, 1000] {
            let mut info = ShowInfo::default();
            LINES.as_bytes().chunks(cut).for_each(|piece| info.push(piece));
            let first = info.pop().unwrap();
            assert_eq!((first.width, first.height, first.format), (1280, 720, PixelFormat::I420));
            assert_eq!(first.time_s, Some(0.04));
            assert_eq!(first.color, ColorSpace { bt709: true, full_range: false });
            let second = info.pop().unwrap();
            assert_eq!((second.len(), second.time_s), (3, None));
            assert_eq!(info.interval(), Some(Duration::from_millis(40)));
            assert!(info.is_cut_short() && info.errors().contains("partial file"));
        }
    }
}
