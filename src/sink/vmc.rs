//! VMC protocol (specification V3.1): OSC over UDP for avatar programs.
//!
//! Bones are local turns in Unity's space, on a skeleton of our own; only the head, the neck with a share of its turn, and
//! the eyes move. Without a measured face `Ext/OK` says so, and no pose is sent once the face has faded.

mod layout;
mod presets;
#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values compared are copied, not computed")]
mod tests;
pub(crate) mod unity;

use super::SinkError;
use super::adjust::{Adjust, Adjuster, FaceView};
use super::osc::Template;
use super::stream::Encode;
use crate::clock::MonoTime;
use crate::face::FaceSample;
use layout::Layout;
use serde::{Deserialize, Serialize};

/// Port of a program that shows an avatar ("marionette"). One that also tracks ("performer") listens on 39540.
pub const DEFAULT_PORT: u16 = 39539;

/// The `vmc` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VmcConfig {
    /// The receiver, `HOST:PORT` or `HOST`.
    pub address: String,
    /// How the 52 blendshapes are named.
    pub names: Names,
    /// VRM expression presets sent beside the 52.
    pub presets: Presets,
    /// Which bones are sent.
    pub skeleton: Skeleton,
    /// How gaze is sent.
    pub eyes: Eyes,
    /// Share of the head's turn that the neck takes, 0 to 1.
    pub neck_share: f32,
    /// Several messages to a datagram. Some receivers know single messages only.
    pub bundled: bool,
    /// How much `/VMC/Ext/OK` says.
    pub status: Status,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl Default for VmcConfig {
    fn default() -> Self {
        Self {
            address: format!("127.0.0.1:{DEFAULT_PORT}"),
            names: Names::Pascal,
            presets: Presets::None,
            skeleton: Skeleton::Head,
            eyes: Eyes::Bones,
            // A guess: about what the neck's joints take of a turn when the head leads it.
            neck_share: 0.4,
            bundled: true,
            status: Status::Tracking,
            adjust: Adjust::default(),
        }
    }
}

/// How the 52 blendshapes are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Names {
    /// `JawOpen`, as Perfect Sync avatars have it.
    Pascal,
    /// `jawOpen`, as ARKit has it.
    Camel,
    /// The 52 are not sent.
    None,
}

/// VRM expression presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presets {
    /// None. Perfect Sync avatars that get both move twice.
    None,
    /// `A`, `Blink_L`, `Joy`, …
    Vrm0,
    /// `aa`, `blinkLeft`, `happy`, …
    Vrm1,
}

/// Which bones are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skeleton {
    /// Root, neck and head.
    Head,
    /// A whole body at rest too, for receivers that collapse joints they hear nothing of.
    Full,
    /// None: blendshapes only.
    None,
}

/// How gaze is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eyes {
    /// Turns of the bones `LeftEye` and `RightEye`.
    Bones,
    /// `/VMC/Ext/Set/Eye`, a point before the head, as performers take it.
    Target,
    /// Both.
    Both,
    /// Neither.
    None,
}

/// How much `/VMC/Ext/OK` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Loaded (V2.0).
    Loaded,
    /// Loaded, calibration state and mode (V2.5).
    Calibration,
    /// Loaded, calibration state and mode, tracking (V2.7).
    Tracking,
}

impl VmcConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        if !(0.0..=1.0).contains(&self.neck_share) {
            let problem = format!("neck_share is {}, but it lies between 0 and 1", self.neck_share);
            return Err(SinkError::Config { output: "vmc", problem });
        }
        self.adjust.validate("vmc")
    }
}

/// From values to datagrams.
pub(super) struct Encoder {
    layout: Layout,
    neck_share: f32,
    started: Option<MonoTime>,
}

impl Encoder {
    pub fn new(config: &VmcConfig) -> Self {
        Self { layout: Layout::new(config), neck_share: config.neck_share, started: None }
    }

    fn fill(&mut self, view: Option<&FaceView>, captured_at: MonoTime) -> &Template {
        let started = *self.started.get_or_insert(captured_at);
        let seconds = captured_at.since(started).as_secs_f32();
        let Layout { with_face, without_face, places } = &mut self.layout;
        let template = if view.is_some() { with_face } else { without_face };
        places.set_time(template, seconds);
        places.set_status(template, true, view.is_some_and(|v| v.tracked));
        if let Some(view) = view {
            places.set_bones(template, view, self.neck_share);
            places.set_blends(template, view);
        }
        template
    }
}

impl Encode for Encoder {
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        let view = adjuster.primary(sample);
        self.fill(view.as_ref(), sample.captured_at).datagrams().for_each(send);
    }

    /// "Not loaded, not tracking".
    fn encode_end(&mut self, send: &mut dyn FnMut(&[u8])) {
        let Layout { without_face, places, .. } = &mut self.layout;
        places.set_status(without_face, false, false);
        without_face.datagrams().for_each(send);
    }
}
