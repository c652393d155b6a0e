//! From landmarks to head pose and gaze, in millimetres and radians.

mod align;
mod calibration;
mod canonical;
mod cholesky;
mod gaze;
mod head_pose;
#[cfg(test)]
mod head_pose_tests;
mod identity;
mod observations;
mod resting;
#[cfg(test)]
mod synthetic;

pub use align::{AlignedLandmarks, align, tilt, tilt_of_keypoints};
pub use calibration::Calibration;
pub use canonical::landmark_mirror;
pub use gaze::eye_look;
pub use head_pose::{DepthAlong, HeadPoseSolver};
pub use resting::{ExpressionConfig, RestingExpression};

use crate::within::within;
use serde::{Deserialize, Deserializer, Serialize};
use std::ops::RangeInclusive;

/// The `[pose]` table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoseConfig {
    /// Field of view across the image's longer side, degrees. A wrong one scales depth and leaves the rest nearly as it is.
    #[serde(deserialize_with = "fov_in_range")]
    pub fov_deg: f32,
    /// Whether head shape and size settle on the person in the first seconds.
    pub adapt: bool,
}

impl PoseConfig {
    /// What a pinhole camera can have and still see a face without much distortion.
    pub const FOV_DEG: RangeInclusive<f32> = 5.0..=150.0;
}

impl Default for PoseConfig {
    fn default() -> Self {
        Self {
            // Webcams are sold with 55 (720p, 60 diagonal) to 70 degrees (1080p, 78 diagonal) across; built-in ones lie
            // at 60 to 65. 60 is off by at most a fifth in depth on any of them.
            fov_deg: 60.0,
            adapt: true,
        }
    }
}

fn fov_in_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    within(
        deserializer,
        "a field of view in degrees",
        *PoseConfig::FOV_DEG.start(),
        *PoseConfig::FOV_DEG.end(),
    )
}
