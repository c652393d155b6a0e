//! Which of a camera's formats suits a face tracker.
//!
//! The highest rate at about 640x360 to 1280x720, then the larger picture: the networks look at crops of 192 to 256
//! pixels, which a face at arm's length fills at 720p and its eyes need; more pixels only cost decoding. Among equals
//! raw comes before Motion-JPEG (no decoding, no block noise), and colour before grey.
//!
//! A raw format counts with the rate that the bus can carry, not with the one that is promised: the USB 2.0
//! specification (5.6.4) allows an isochronous endpoint three transactions of 1024 bytes in each of 8000 microframes
//! a second, 24.6 MB/s, and cameras behind a hub or in pairs do promise more than that.

use crate::capture::{CaptureConfig, CaptureError, Resolution};
use std::fmt;

/// A four-letter code of a pixel format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::capture) struct FourCc(pub(in crate::capture) [u8; 4]);

impl FourCc {
    /// The name that a person uses, or the code itself.
    fn from_name(name: &str) -> Option<[Self; 2]> {
        let pair = |a: &[u8; 4], b: &[u8; 4]| Some([Self(*a), Self(*b)]);
        match name.to_ascii_lowercase().as_str() {
            "mjpeg" | "mjpg" | "jpeg" => pair(b"MJPG", b"JPEG"),
            "yuyv" | "yuy2" => pair(b"YUYV", b"YUYV"),
            "uyvy" => pair(b"UYVY", b"UYVY"),
            "nv12" => pair(b"NV12", b"NV12"),
            "yu12" | "i420" => pair(b"YU12", b"YU12"),
            "grey" | "gray" => pair(b"GREY", b"GREY"),
            _ => None,
        }
    }

    pub(in crate::capture) fn is_jpeg(self) -> bool {
        matches!(&self.0, b"MJPG" | b"JPEG")
    }

    /// Bits of a pixel where it is a raw format that we take.
    fn raw_bits(self) -> Option<u32> {
        match &self.0 {
            b"YUYV" | b"UYVY" => Some(16),
            b"NV12" | b"YU12" => Some(12),
            b"GREY" => Some(8),
            _ => None,
        }
    }

    pub(in crate::capture) fn is_decodable(self) -> bool {
        self.is_jpeg() || self.raw_bits().is_some()
    }

    /// Raw colour, then Motion-JPEG, then grey.
    fn rank(self) -> u32 {
        match &self.0 {
            b"GREY" => 0,
            _ if self.is_jpeg() => 1,
            _ => 2,
        }
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// One way to run a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) struct Mode {
    pub(in crate::capture) format: FourCc,
    pub(in crate::capture) width: u32,
    pub(in crate::capture) height: u32,
    /// Seconds from frame to frame, as a fraction.
    pub(in crate::capture) interval: (u32, u32),
}

impl Mode {
    pub(in crate::capture) fn fps(&self) -> f64 {
        f64::from(self.interval.1) / f64::from(self.interval.0.max(1))
    }

    pub(in crate::capture) fn resolution(&self) -> Resolution {
        Resolution { width: self.width, height: self.height }
    }

    fn raw_bytes(&self) -> Option<f64> {
        Some(f64::from(self.width) * f64::from(self.height) * f64::from(self.format.raw_bits()?) / 8.0)
    }

    /// The rate that gets through.
    fn fps_on(&self, bus: Bus) -> f64 {
        match (self.raw_bytes(), bus.bytes_per_s()) {
            (Some(bytes), Some(limit)) => self.fps().min(limit / bytes),
            _ => self.fps(),
        }
    }

    /// About 640x360 to 1280x720, in either orientation.
    fn suits(&self) -> bool {
        let (long, short) = (self.width.max(self.height), self.width.min(self.height));
        (600..=1300).contains(&long) && (340..=800).contains(&short)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fps = (self.fps() * 100.0).round() / 100.0;
        write!(f, "{} {}x{} at {fps}", self.format, self.width, self.height)
    }
}

/// What the camera hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) enum Bus {
    /// USB at 12, 480 or 5000 and more megabits a second.
    Usb(u32),
    /// Anything else, which we do not second-guess.
    Other,
}

impl Bus {
    /// Bytes that one camera's stream can count on. See the module's head for USB 2; USB 1 carries one packet of 1023
    /// bytes each millisecond; of USB 3's 500 MB/s about 80 % is payload.
    fn bytes_per_s(self) -> Option<f64> {
        match self {
            Self::Usb(..100) => Some(1023.0 * 1000.0),
            Self::Usb(..1000) => Some(3.0 * 1024.0 * 8000.0),
            Self::Usb(_) => Some(400e6),
            Self::Other => None,
        }
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usb(..100) => "USB 1",
            Self::Usb(..1000) => "USB 2",
            Self::Usb(_) => "USB 3",
            Self::Other => "no USB",
        })
    }
}

/// A choice and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capture) struct Choice {
    pub(in crate::capture) mode: Mode,
    pub(in crate::capture) why: String,
}

/// Why nothing could be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capture) enum NoChoice {
    /// It offers nothing that we can decode.
    NothingDecodable,
    /// What was asked for, in words.
    CannotMeet(String),
}

impl NoChoice {
    /// As an error of `device`, which offers `offered`.
    pub(in crate::capture) fn explain(self, device: &str, offered: String) -> CaptureError {
        let device = device.to_owned();
        match self {
            Self::NothingDecodable => CaptureError::NoUsableFormat { device, offered },
            Self::CannotMeet(request) => CaptureError::CannotMeet { device, request, offered },
        }
    }
}

/// Rates above this bring nothing: the tracker is done with a frame in less, and filters are made for 30 to 60.
const FPS_ENOUGH: f64 = 60.0;

/// 29.97 counts as 30.
const FPS_TOLERANCE: f64 = 0.005;

/// Picks one of `modes`, all of which must fulfil what `config` asks for.
pub(in crate::capture) fn choose(
    modes: &[Mode],
    bus: Bus,
    config: &CaptureConfig,
) -> Result<Choice, NoChoice> {
    let wanted_format = match &config.format {
        None => None,
        Some(name) => Some(FourCc::from_name(name).ok_or_else(|| {
            NoChoice::CannotMeet(format!("format {name} (known: mjpeg, yuyv, uyvy, nv12, yu12, grey)"))
        })?),
    };
    if !modes.iter().any(|m| m.format.is_decodable()) {
        return Err(NoChoice::NothingDecodable);
    }
    let meets = |m: &&Mode| {
        m.format.is_decodable()
            && wanted_format.is_none_or(|names| names.contains(&m.format))
            && config.resolution.is_none_or(|r| r == m.resolution())
            && config.fps.is_none_or(|fps| (m.fps() - fps).abs() <= fps * FPS_TOLERANCE)
    };
    let best = modes.iter().filter(meets).max_by_key(|m| rank(m, bus));
    match best {
        Some(mode) => Ok(Choice { mode: *mode, why: explain(mode, modes, bus, config) }),
        None => Err(NoChoice::CannotMeet(request(config))),
    }
}

/// In this order: about the right size, the rate to the nearest frame, the size, the format.
fn rank(mode: &Mode, bus: Bus) -> (bool, u32, i64, u32) {
    let rate = mode.fps_on(bus).min(FPS_ENOUGH).round() as u32;
    let area = i64::from(mode.width) * i64::from(mode.height);
    // Outside the window the nearest to 720p; inside it the larger.
    let size = if mode.suits() { area } else { -(area - 1280 * 720).abs() };
    (mode.suits(), rate, size, mode.format.rank())
}

fn request(config: &CaptureConfig) -> String {
    let resolution = config.resolution.map(|r| r.to_string());
    let fps = config.fps.map(|f| format!("{f} fps"));
    let words: Vec<_> = [config.format.clone(), resolution, fps].into_iter().flatten().collect();
    words.join(" ")
}

fn explain(mode: &Mode, modes: &[Mode], bus: Bus, config: &CaptureConfig) -> String {
    let fps = mode.fps_on(bus);
    if config.resolution.is_some() && config.fps.is_some() && config.format.is_some() {
        return "asked for".into();
    }
    let mut why = if mode.suits() {
        format!("the highest rate ({fps:.0} fps) at about 640x360 to 1280x720")
    } else {
        "the nearest to 1280x720 that it offers".into()
    };
    let raw = modes
        .iter()
        .filter(|m| m.resolution() == mode.resolution() && m.format.rank() == 2)
        .max_by(|a, b| a.fps_on(bus).total_cmp(&b.fps_on(bus)));
    if let (true, Some(raw)) = (mode.format.is_jpeg(), raw) {
        let megabytes = raw.raw_bytes().unwrap_or(0.0) * mode.fps() / 1e6;
        let carries = bus.bytes_per_s().unwrap_or(f64::INFINITY) / 1e6;
        let limit = if raw.fps_on(bus) < raw.fps() || carries < megabytes {
            format!("would need {megabytes:.0} MB/s for that and {bus} carries {carries:.0}")
        } else {
            format!("comes at {:.0} fps only", raw.fps())
        };
        why = format!("{why}; {} {limit}", raw.format);
    }
    why
}

/// The modes in words, for an error message: each format and size once, with its rates.
pub(in crate::capture) fn describe(modes: &[Mode]) -> String {
    let mut lines: Vec<(FourCc, Resolution, Vec<String>)> = Vec::new();
    for mode in modes {
        let rate = format!("{}", (mode.fps() * 100.0).round() / 100.0);
        match lines.iter_mut().find(|(f, r, _)| (*f, *r) == (mode.format, mode.resolution())) {
            Some((_, _, rates)) => rates.push(rate),
            None => lines.push((mode.format, mode.resolution(), vec![rate])),
        }
    }
    if lines.is_empty() {
        return "nothing".into();
    }
    let words: Vec<_> = lines.iter().map(|(f, r, rates)| format!("{f} {r} at {}", rates.join("/"))).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const USB2: Bus = Bus::Usb(480);

    fn mode(format: [u8; 4], width: u32, height: u32, fps: u32) -> Mode {
        Mode { format: FourCc(format), width, height, interval: (1, fps) }
    }

    fn pick(modes: &[Mode], bus: Bus) -> Choice {
        choose(modes, bus, &CaptureConfig::default()).unwrap()
    }

    #[test]
    fn a_usual_webcam_runs_motion_jpeg_at_720p() {
        let modes = [
            mode(*b"YUYV", 640, 480, 30),
            mode(*b"YUYV", 1280, 720, 10),
            mode(*b"MJPG", 640, 480, 30),
            mode(*b"MJPG", 1280, 720, 30),
            mode(*b"MJPG", 1920, 1080, 30),
        ];
        let choice = pick(&modes, USB2);
        assert_eq!(choice.mode, modes[3]);
        assert!(
            choice.why.contains("YUYV would need 55 MB/s for that and USB 2 carries 25"),
            "{}",
            choice.why
        );
    }

    #[test]
    fn a_promise_that_the_bus_cannot_keep_is_not_believed() {
        let modes = [mode(*b"YUYV", 1280, 720, 30), mode(*b"MJPG", 1280, 720, 30)];
        assert_eq!(pick(&modes, USB2).mode, modes[1]);
        assert_eq!(pick(&modes, Bus::Usb(5000)).mode, modes[0]);
        assert_eq!(pick(&modes, Bus::Other).mode, modes[0]);
    }

    #[test]
    fn rate_comes_before_size_and_sixty_is_enough() {
        let modes =
            [mode(*b"MJPG", 1280, 720, 30), mode(*b"MJPG", 640, 480, 60), mode(*b"MJPG", 640, 360, 120)];
        assert_eq!(pick(&modes, USB2).mode, modes[1]);
    }

    #[test]
    fn a_camera_with_only_large_pictures_gives_the_smallest() {
        let modes = [mode(*b"MJPG", 3840, 2160, 30), mode(*b"MJPG", 1920, 1080, 30)];
        assert_eq!(pick(&modes, USB2).mode, modes[1]);
    }

    #[test]
    fn what_was_asked_for_is_had_or_refused() {
        let modes = [mode(*b"MJPG", 1280, 720, 30), mode(*b"YUYV", 640, 480, 30)];
        let config = |r: Option<&str>, fps, format: Option<&str>| CaptureConfig {
            resolution: r.map(|r| r.parse().unwrap()),
            fps,
            format: format.map(Into::into),
            ..CaptureConfig::default()
        };
        assert_eq!(choose(&modes, USB2, &config(Some("640x480"), None, None)).unwrap().mode, modes[1]);
        assert_eq!(choose(&modes, USB2, &config(None, Some(29.97), Some("jpeg"))).unwrap().mode, modes[0]);
        assert_eq!(
            choose(&modes, USB2, &config(Some("640x480"), Some(60.0), None)),
            Err(NoChoice::CannotMeet("640x480 60 fps".into()))
        );
        assert!(matches!(
            choose(&modes, USB2, &config(None, None, Some("h264"))),
            Err(NoChoice::CannotMeet(words)) if words.contains("known: mjpeg")
        ));
    }

    #[test]
    fn an_odd_format_alone_is_no_choice() {
        let modes = [mode(*b"RGGB", 1280, 720, 30)];
        assert_eq!(choose(&modes, USB2, &CaptureConfig::default()), Err(NoChoice::NothingDecodable));
        assert_eq!(describe(&modes), "RGGB 1280x720 at 30");
    }
}
