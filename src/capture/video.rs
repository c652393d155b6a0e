//! Video that is not ours to decode, by a supervised `ffmpeg` child.
//!
//! The child writes raw planes to its standard output in whatever 8-bit layout it decodes to (no colour conversion),
//! and tells each frame's size and time on its standard error. One decoding thread: it costs the least CPU time, and
//! 720p comes at several hundred frames a second. Files give every frame; a network stream is restarted when it ends
//! or falls silent.

use super::pipe::{Bytes, PATIENCE, Pipe, wait_either};
use super::showinfo::{FrameInfo, ShowInfo};
use super::{CaptureConfig, CaptureError, Next};
use crate::clock::MonoTime;
use crate::frame::Frame;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest wait for the first frame of a file or stream.
const FIRST_FRAME: Duration = Duration::from_secs(20);

/// Layouts that pass as they are; all else is converted to the nearest of them.
const LAYOUTS: &str = "format=pix_fmts=yuv420p|yuvj420p|yuv422p|yuvj422p|yuv444p|yuvj444p|nv12|gray";

/// Waits between attempts to reach a stream again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(4);

/// Whether video of this height is BT.709 where the file does not say: broadcast convention since high definition.
pub(super) fn guess_matrix(height: u32) -> bool {
    height >= 720
}

#[derive(Debug)]
pub(super) struct Video {
    what: String,
    input: OsString,
    live: Option<Live>,
    child: Option<Decoder>,
    index: u64,
    /// Nominal, from the last child that said one.
    interval: Option<Duration>,
    /// Media time of the first frame, in seconds: stream time starts at 0.
    first_s: Option<f64>,
    stream_time: MonoTime,
    starts_sequence: bool,
}

/// What a network stream needs beyond a file.
#[derive(Debug)]
struct Live {
    freeze: Duration,
    last_frame: MonoTime,
    started: MonoTime,
    retry_at: MonoTime,
    retry: Duration,
    reported: bool,
    /// Stream time at which the present connection's first frame stands.
    base: Duration,
}

impl Video {
    pub(super) fn open_file(path: &Path) -> Result<Self, CaptureError> {
        // Spelt so that ffmpeg takes no name for a protocol or an option.
        let mut input = OsString::from("file:");
        input.push(path);
        Self::open(path.display().to_string(), input, None)
    }

    pub(super) fn open_url(url: &str, config: &CaptureConfig) -> Result<Self, CaptureError> {
        let now = MonoTime::now();
        let live = Live {
            freeze: Duration::from_secs_f64(config.freeze_timeout_s.clamp(0.2, 60.0)),
            last_frame: now,
            started: now,
            retry_at: now,
            retry: RETRY_FIRST,
            reported: false,
            base: Duration::ZERO,
        };
        Self::open(url.to_owned(), url.into(), Some(live))
    }

    fn open(what: String, input: OsString, live: Option<Live>) -> Result<Self, CaptureError> {
        let mut child = Decoder::spawn(&what, &input, live.is_some(), true)?;
        if child.wait_for_first(FIRST_FRAME, &what)?.lacks_option() {
            child = Decoder::spawn(&what, &input, live.is_some(), false)?;
            child.wait_for_first(FIRST_FRAME, &what)?;
        }
        if child.info.front().is_none() {
            let message = child.last_words();
            return Err(CaptureError::Ffmpeg { what, message });
        }
        let interval = child.info.interval();
        Ok(Self {
            what,
            input,
            live,
            child: Some(child),
            index: 0,
            interval,
            first_s: None,
            stream_time: MonoTime::default(),
            starts_sequence: true,
        })
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    pub(super) fn frame_interval(&self) -> Option<Duration> {
        self.interval
    }

    pub(super) fn next(&mut self, frame: &mut Frame) -> Result<Next, CaptureError> {
        let Some(child) = &mut self.child else { return self.reconnect() };
        match child.read_frame(&self.what, frame)? {
            Progress::Frame(info) => {
                self.stamp(frame, &info);
                Ok(Next::Frame)
            }
            Progress::Waiting => Ok(self.check_silence()),
            Progress::End if self.live.is_some() => {
                let why = child.last_words();
                self.lose(&why);
                Ok(Next::Waiting)
            }
            Progress::End => self.end(),
        }
    }

    fn stamp(&mut self, frame: &mut Frame, info: &FrameInfo) {
        let now = MonoTime::now();
        let media_s = info.time_s.unwrap_or_else(|| {
            // No timestamp: one nominal interval after the frame before.
            let step = self.interval.map_or(1.0 / 30.0, |i| i.as_secs_f64());
            self.first_s.unwrap_or(0.0)
                + self.stream_time.as_secs_f64()
                + if self.index > 0 { step } else { 0.0 }
        });
        let first_s = *self.first_s.get_or_insert(media_s);
        let base = self.live.as_ref().map_or(Duration::ZERO, |l| l.base);
        let time = MonoTime::from_secs_f64(media_s - first_s) + base;
        self.stream_time = self.stream_time.max(time);
        frame.index = self.index;
        frame.stream_time = self.stream_time;
        frame.captured_at = now;
        frame.starts_sequence = std::mem::take(&mut self.starts_sequence);
        self.index += 1;
        if let Some(live) = &mut self.live {
            if live.reported {
                tracing::info!("{} is back", self.what);
            }
            (live.last_frame, live.retry, live.reported) = (now, RETRY_FIRST, false);
        }
    }

    /// A file came to its end: honestly, or not.
    fn end(&mut self) -> Result<Next, CaptureError> {
        let Some(mut child) = self.child.take() else { return Ok(Next::End) };
        let failed = child.process.wait().map_or(true, |status| !status.success());
        let (frame, what) = (self.index, self.what.clone());
        if failed || child.filled > 0 || child.info.is_cut_short() {
            return Err(CaptureError::BrokenVideo { what, frame, why: child.last_words() });
        }
        if child.info.has_errors() {
            tracing::warn!(
                "{what}: ffmpeg complained, but gave {frame} frames to the end: {}",
                child.last_words()
            );
        }
        Ok(Next::End)
    }

    fn check_silence(&mut self) -> Next {
        let silence = self.live.as_ref().map(|l| {
            // A fresh connection is given longer.
            let limit = if l.last_frame < l.started { l.freeze.max(FIRST_FRAME) } else { l.freeze };
            (MonoTime::now().since(l.last_frame.max(l.started)), limit)
        });
        if silence.is_some_and(|(silence, limit)| silence > limit) {
            self.lose("no frame came for too long");
        }
        Next::Waiting
    }

    fn lose(&mut self, why: &str) {
        self.child = None;
        if let Some(live) = &mut self.live {
            if !std::mem::replace(&mut live.reported, true) {
                tracing::warn!("{} is lost: {why}; trying to reach it again", self.what);
            }
            live.retry_at = MonoTime::now() + live.retry;
            live.retry = (live.retry * 2).min(RETRY_MAX);
        }
    }

    fn reconnect(&mut self) -> Result<Next, CaptureError> {
        let Some(live) = &mut self.live else { return Ok(Next::End) };
        let now = MonoTime::now();
        if now < live.retry_at {
            std::thread::sleep(live.retry_at.since(now).min(PATIENCE));
            return Ok(Next::Waiting);
        }
        // Stream time goes on by the wall while there is no stream.
        live.base = self.stream_time.since(MonoTime::default()) + now.since(live.last_frame);
        (live.started, self.first_s, self.starts_sequence) = (now, None, true);
        self.child = Some(Decoder::spawn(&self.what, &self.input, true, true)?);
        Ok(Next::Waiting)
    }
}

enum Progress {
    Frame(FrameInfo),
    Waiting,
    End,
}

/// The child and its two pipes. Dropping it ends the child.
#[derive(Debug)]
struct Decoder {
    process: Child,
    pixels: Pipe,
    words: Pipe,
    words_ended: bool,
    info: ShowInfo,
    pending: Vec<u8>,
    filled: usize,
}

impl Decoder {
    fn spawn(what: &str, input: &OsString, live: bool, modern: bool) -> Result<Self, CaptureError> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-threads", "1"]);
        if live {
            command.args(["-fflags", "nobuffer", "-flags", "low_delay"]);
            if input.to_string_lossy().starts_with("rtsp") {
                // Over UDP a lost packet is a smeared face.
                command.args(["-rtsp_transport", "tcp"]);
            }
        }
        command.arg("-i").arg(input);
        command.args([
            "-map",
            "0:v:0",
            "-filter_threads",
            "1",
            "-vf",
            &format!("{LAYOUTS},showinfo=checksum=0"),
        ]);
        // Every decoded frame once, at its own size. ffmpeg before 5.1 spells it otherwise.
        command.args(if modern {
            ["-fps_mode", "passthrough", "-autoscale", "0"].as_slice()
        } else {
            &["-vsync", "passthrough"]
        });
        command.args(["-c:v", "rawvideo", "-f", "rawvideo", "pipe:1"]);
        let (pixels, end) = Pipe::for_child().map_err(|e| CaptureError::io(Path::new(what), e))?;
        command.stdin(Stdio::null()).stdout(end).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => CaptureError::NoFfmpeg { what: what.into() },
            _ => CaptureError::Ffmpeg { what: what.into(), message: format!("it does not start: {e}") },
        })?;
        let Some(words) = process.stderr.take().map(Pipe::new) else {
            return Err(CaptureError::Ffmpeg {
                what: what.into(),
                message: "it has no standard error".into(),
            });
        };
        let info = ShowInfo::default();
        Ok(Self { process, pixels, words, words_ended: false, info, pending: Vec::new(), filled: 0 })
    }

    /// Waits until the first frame is announced, or the child has ended.
    fn wait_for_first(&mut self, patience: Duration, what: &str) -> Result<&ShowInfo, CaptureError> {
        let start = MonoTime::now();
        while self.info.front().is_none() && !self.words_ended {
            if MonoTime::now().since(start) > patience {
                let message = format!("no frame came in {} s", patience.as_secs());
                return Err(CaptureError::Ffmpeg { what: what.into(), message });
            }
            self.listen(PATIENCE, what)?;
        }
        Ok(&self.info)
    }

    /// Reads what the child says, waiting at most `patience`; whether anything came.
    fn listen(&mut self, patience: Duration, what: &str) -> Result<bool, CaptureError> {
        let mut buffer = [0; 4096];
        match self.words.read(&mut buffer, patience).map_err(|e| CaptureError::io(Path::new(what), e))? {
            Bytes::Some(n) => self.info.push(&buffer[..n]),
            Bytes::NoneYet => return Ok(false),
            Bytes::End => {
                self.words_ended = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_frame(&mut self, what: &str, frame: &mut Frame) -> Result<Progress, CaptureError> {
        let io = |e| CaptureError::io(Path::new(what), e);
        let start = MonoTime::now();
        loop {
            // A frame is announced before its pixels are written.
            while !self.words_ended && self.listen(Duration::ZERO, what)? {}
            let patience = PATIENCE.saturating_sub(MonoTime::now().since(start));
            if let Some(&info) = self.info.front() {
                self.pending.resize(info.len(), 0);
                match self.pixels.read(&mut self.pending[self.filled..], patience).map_err(io)? {
                    Bytes::Some(n) => self.filled += n,
                    Bytes::NoneYet => return Ok(Progress::Waiting),
                    Bytes::End => return Ok(Progress::End),
                }
                if self.filled == self.pending.len() {
                    self.filled = 0;
                    std::mem::swap(&mut frame.data, &mut self.pending);
                    (frame.width, frame.height) = (info.width, info.height);
                    frame.format = info.format;
                    // Its line on colour may have come after the first look.
                    while !self.words_ended && self.listen(Duration::ZERO, what)? {}
                    let info = self.info.pop().unwrap_or(info);
                    frame.color = info.color;
                    return Ok(Progress::Frame(info));
                }
            } else if self.words_ended {
                return Ok(Progress::End);
            } else {
                wait_either(&self.words, &self.pixels, patience).map_err(io)?;
            }
            if patience.is_zero() {
                return Ok(Progress::Waiting);
            }
        }
    }

    fn last_words(&self) -> String {
        if self.info.has_errors() { self.info.errors() } else { "it holds no video".into() }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        if self.process.kill().is_err() || self.process.wait().is_err() {
            tracing::trace!("ffmpeg had ended before it was told to");
        }
    }
}
