//! The `[camera]` table.

use super::SourceSpec;
use crate::within::within;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// How frames are taken. `Default` is what suits a face tracker; all of it can be left out of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureConfig {
    /// Which camera: an index, `/dev/videoN`, a by-id path, or a part of its name. The first where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Exact size to ask the camera for; chosen where absent (see `facetrackd cameras`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Frames a second to ask the camera for; also the rate of files that do not know their own (image sequences, bare
    /// Motion-JPEG), 30 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Pixel format to ask the camera for: `mjpeg`, `yuyv`, `uyvy`, `nv12`, `yu12` or `grey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Turn of the picture, clockwise, for a camera mounted on its side. Comes before `flip`.
    pub rotate: Rotation,
    /// Mirror the picture, for a camera that delivers it mirrored.
    pub flip: Flip,
    /// Forbid auto-exposure to lower the frame rate in the dark, where the camera offers that control.
    pub lock_fps: bool,
    /// Seconds without a frame after which a camera counts as frozen and is reopened. 0.2 to 60.
    #[serde(deserialize_with = "freeze_timeout")]
    pub freeze_timeout_s: f64,
    /// Start although the camera is missing or busy, and take it when it is there.
    pub wait: bool,
    /// A camera's Motion-JPEG wider than this is decoded at 1/2, 1/4 or 1/8 of its size, which is cheaper and leaves
    /// a face more pixels than the networks look at. 0 decodes at full size. Files are never shrunk.
    pub decode_width_max: u32,
    /// V4L2 controls by the names that `v4l2-ctl -l` prints, such as `brightness = 128`; restored at exit.
    pub controls: BTreeMap<String, i64>,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            device: None,
            resolution: None,
            fps: None,
            format: None,
            rotate: Rotation::default(),
            flip: Flip::default(),
            lock_fps: false,
            freeze_timeout_s: 2.0,
            wait: false,
            decode_width_max: 1280,
            controls: BTreeMap::new(),
        }
    }
}

impl CaptureConfig {
    /// The camera that is configured, or the first.
    pub fn source(&self) -> SourceSpec {
        SourceSpec::Camera(self.device.clone().unwrap_or_else(|| "0".to_owned()))
    }

    /// Frames a second of files that do not know their own rate.
    pub(super) fn file_fps(&self) -> f64 {
        self.fps.filter(|f| f.is_finite() && *f > 0.0).unwrap_or(30.0)
    }
}

fn freeze_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "the time after which a camera counts as frozen, in seconds,", 0.2, 60.0)
}

/// A picture size, written `1280x720`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolution {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Resolution {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        s.split_once(['x', 'X'])
            .and_then(|(w, h)| Some(Self { width: w.trim().parse().ok()?, height: h.trim().parse().ok()? }))
            .filter(|r| (1..=16_384).contains(&r.width) && (1..=16_384).contains(&r.height))
            .ok_or_else(|| format!("`{s}` is no resolution; write it like 1280x720"))
    }
}

impl Serialize for Resolution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Resolution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A turn of the picture, clockwise. Written as degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Rotation {
    /// As it comes.
    #[default]
    None,
    /// A quarter turn clockwise.
    Cw90,
    /// Upside down.
    Half,
    /// Three quarters clockwise, one counter-clockwise.
    Cw270,
}

impl TryFrom<u32> for Rotation {
    type Error = String;

    fn try_from(degrees: u32) -> Result<Self, String> {
        match degrees {
            0 => Ok(Self::None),
            90 => Ok(Self::Cw90),
            180 => Ok(Self::Half),
            270 => Ok(Self::Cw270),
            _ => Err(format!("cannot turn by {degrees} degrees; use 0, 90, 180 or 270")),
        }
    }
}

impl From<Rotation> for u32 {
    fn from(rotation: Rotation) -> Self {
        match rotation {
            Rotation::None => 0,
            Rotation::Cw90 => 90,
            Rotation::Half => 180,
            Rotation::Cw270 => 270,
        }
    }
}

impl FromStr for Rotation {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::try_from(s.parse::<u32>().map_err(|_| format!("`{s}` is no number of degrees"))?)
    }
}

/// Which way the picture is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flip {
    /// As it comes.
    #[default]
    None,
    /// Left and right change places.
    Horizontal,
    /// Top and bottom change places.
    Vertical,
}

impl FromStr for Flip {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "none" => Ok(Self::None),
            "horizontal" => Ok(Self::Horizontal),
            "vertical" => Ok(Self::Vertical),
            _ => Err(format!("cannot flip `{s}`; use none, horizontal or vertical")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_camera_is_opened_where_none_is_named() {
        assert_eq!(CaptureConfig::default().source(), SourceSpec::Camera("0".into()));
        let named = CaptureConfig { device: Some("brio".into()), ..CaptureConfig::default() };
        assert_eq!(named.source(), SourceSpec::Camera("brio".into()));
    }

    #[test]
    fn the_table_reads_back_as_it_was_written() {
        let config = CaptureConfig {
            resolution: Some(Resolution { width: 1280, height: 720 }),
            rotate: Rotation::Cw90,
            flip: Flip::Horizontal,
            controls: BTreeMap::from([("brightness".into(), 3)]),
            ..CaptureConfig::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert!(text.contains("resolution = \"1280x720\"") && text.contains("rotate = 90"), "{text}");
        assert_eq!(toml::from_str::<CaptureConfig>(&text).unwrap(), config);
    }

    #[test]
    fn nonsense_is_refused_with_the_right_spelling() {
        for (text, hint) in [
            ("resolution = \"big\"", "1280x720"),
            ("rotate = 45", "0, 90, 180 or 270"),
            ("resolutoin = \"1x1\"", "unknown field"),
        ] {
            let error = toml::from_str::<CaptureConfig>(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
