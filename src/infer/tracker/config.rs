//! What of the tracker can be set.

use crate::infer::Models;
use crate::within::within;
use serde::Deserializer;
use std::ops::RangeInclusive;

/// How faces are found and kept: the `[tracking]` table.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackerConfig {
    /// Whose networks measure. Changing it takes a restart.
    pub models: Models,
    /// Whose detectors find faces. Changing it takes a restart.
    pub detector: Models,
    /// How many faces are tracked at most, 1 to 8.
    #[serde(deserialize_with = "a_few")]
    pub faces: usize,
    /// A face is lost when the landmark network's belief in it falls below this, 0 to 1.
    #[serde(deserialize_with = "share")]
    pub presence_min: f32,
    /// Belief of the detector from which on a face is tried, 0 to 1. Whether it is one, the landmark network says.
    #[serde(deserialize_with = "share")]
    pub detection_min: f32,
    /// Seconds between looks for further faces, and at whether what is tracked is a face at all.
    #[serde(deserialize_with = "interval_s")]
    pub look_interval_s: f32,
}

impl TrackerConfig {
    /// How many faces may be tracked. Each costs a run of the landmark network a frame.
    pub const FACES: RangeInclusive<usize> = 1..=8;

    /// Whether it takes networks that are not in the program.
    pub fn needs_packaged(&self) -> bool {
        [self.models, self.detector].contains(&Models::Packaged)
    }
}

fn a_few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    within(deserializer, "the number of faces", *TrackerConfig::FACES.start(), *TrackerConfig::FACES.end())
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    within(deserializer, "a belief", 0.0, 1.0)
}

fn interval_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    within(deserializer, "an interval in seconds", 0.0, 3600.0)
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            models: Models::default(),
            detector: Models::default(),
            faces: 1,
            presence_min: 0.5,
            detection_min: 0.5,
            look_interval_s: 1.0,
        }
    }
}
