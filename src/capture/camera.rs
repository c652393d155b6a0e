//! Cameras: found, opened in the right format, watched, and reopened.
//!
//! On Linux this is V4L2 through the `v4l` crate's bindings, for the driver's timestamps, `bytesused`, the ERROR flag
//! and a timeout, none of which `nokhwa` passes on. Elsewhere `nokhwa` opens the camera (see `portable`).

pub(super) mod choice;

#[cfg(target_os = "linux")]
mod controls;
#[cfg(target_os = "linux")]
mod find;
#[cfg(target_os = "linux")]
mod live;
mod pixels;
#[cfg(any(not(target_os = "linux"), feature = "nokhwa"))]
#[cfg_attr(target_os = "linux", expect(dead_code, reason = "compiled to be checked; V4L2 serves Linux"))]
mod portable;
#[cfg(target_os = "linux")]
mod session;
#[cfg(target_os = "linux")]
mod sys;

#[cfg(target_os = "linux")]
pub use find::list_cameras;
#[cfg(target_os = "linux")]
pub(super) use live::Camera;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::Camera;
#[cfg(not(target_os = "linux"))]
pub use portable::list_cameras;

use super::Resolution;
use choice::{Choice, Mode};
use serde::Serialize;
use std::fmt;

/// A camera as `facetrackd cameras` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraInfo {
    /// What `--camera` takes as a number: on Linux the number of its `/dev/videoN`.
    pub index: u32,
    /// Its device node, or the platform's handle.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Stays with the camera when it is plugged elsewhere (by-id link, USB serial), as far as it tells.
    pub id: String,
    /// What it hangs on, such as `USB 2`.
    pub bus: String,
    /// What it offers.
    pub formats: Vec<FormatInfo>,
    /// What would be opened without overrides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ChosenInfo>,
    /// Why it cannot be opened, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One format and size of a camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormatInfo {
    /// Four-letter code.
    pub format: String,
    /// Size.
    pub resolution: Resolution,
    /// Frames a second, fastest first.
    pub fps: Vec<f64>,
}

/// The format that would be opened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChosenInfo {
    /// Four-letter code.
    pub format: String,
    /// Size.
    pub resolution: Resolution,
    /// Frames a second.
    pub fps: f64,
    /// Why this one.
    pub why: String,
}

impl FormatInfo {
    fn group(modes: &[Mode]) -> Vec<Self> {
        let mut formats: Vec<Self> = Vec::new();
        for mode in modes {
            let (format, resolution) = (mode.format.to_string(), mode.resolution());
            match formats.iter_mut().find(|f| f.format == format && f.resolution == resolution) {
                Some(known) => known.fps.push(mode.fps()),
                None => formats.push(Self { format, resolution, fps: vec![mode.fps()] }),
            }
        }
        for format in &mut formats {
            format.fps.sort_by(|a, b| b.total_cmp(a));
        }
        formats
    }
}

impl From<Choice> for ChosenInfo {
    fn from(Choice { mode, why }: Choice) -> Self {
        Self { format: mode.format.to_string(), resolution: mode.resolution(), fps: mode.fps(), why }
    }
}

impl fmt::Display for CameraInfo {
    /// A few lines for people, without an end of line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}, {})\n   id {}", self.index, self.name, self.path, self.bus, self.id)?;
        for FormatInfo { format, resolution, fps } in &self.formats {
            let rates: Vec<_> = fps.iter().map(|r| format!("{}", (r * 100.0).round() / 100.0)).collect();
            write!(f, "\n   {format} {resolution} at {}", rates.join(", "))?;
        }
        if let Some(ChosenInfo { format, resolution, fps, why }) = &self.chosen {
            write!(f, "\n   would open {format} {resolution} at {fps:.0}: {why}")?;
        }
        if let Some(problem) = &self.problem {
            write!(f, "\n   cannot be opened: {problem}")?;
        }
        Ok(())
    }
}
