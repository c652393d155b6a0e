//! VRChat over OSC: its own eye tracking, and face tracking parameters in the Unified Expressions of `VRCFaceTracking`.
//!
//! VRChat takes eyes at `/tracking/eye/LeftRightPitchYaw` (degrees; pitch positive down, yaw positive to the right) and
//! lids at `/tracking/eye/EyesClosedAmount` (0 open to 1 closed), and forgets them after ten seconds. Parameters are sent
//! only where the avatar declares them, and only when they change. VRChat tells by `OSCQuery` what the loaded avatar
//! declares, or the file that it writes for each avatar (`OSC/usr_…/Avatars/avtr_….json`).

mod avatar;
mod http;
mod oscquery;
mod tree;
mod unified;

use super::SinkError;
use super::adjust::{Adjust, Adjuster, FaceView};
use super::osc::{Slot, Template, floats};
use super::stream::Encode;
use super::udp::resolve;
use crate::face::{Blendshape, FaceSample};
use avatar::Avatar;
use oscquery::{Find, Search};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

pub use oscquery::Discovery;

/// Where VRChat listens.
pub const DEFAULT_PORT: u16 = 9000;

/// The `vrchat` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VrchatConfig {
    /// The receiver, `HOST:PORT` or `HOST`.
    pub address: Option<String>,
    /// Send VRChat's own eye tracking.
    pub eyes: bool,
    /// The avatar's file; without it, and without `oscquery`, no parameters are sent.
    pub avatar: Option<PathBuf>,
    /// Where VRChat is asked for its avatar.
    pub oscquery: Discovery,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl Default for VrchatConfig {
    fn default() -> Self {
        Self { address: None, eyes: true, avatar: None, oscquery: Discovery::Off, adjust: Adjust::default() }
    }
}

impl VrchatConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        if self.avatar.is_some() && self.oscquery != Discovery::Off {
            let problem =
                "avatar names one avatar, and oscquery asks for another; leave one of them out".to_owned();
            return Err(SinkError::Config { output: "vrchat", problem });
        }
        self.adjust.validate("vrchat")
    }
}

/// Encodes faces.
pub(super) struct Encoder {
    eyes: Option<Eyes>,
    avatar: Option<Avatar>,
    search: Option<Search>,
    /// Whether the configuration says where to send, whatever VRChat says.
    is_fixed: bool,
}

struct Eyes {
    template: Template,
    look: Slot,
    closed: Slot,
}

impl Eyes {
    fn new() -> Self {
        let mut template = Template::new(false);
        let look = template.push("/tracking/eye/LeftRightPitchYaw", floats(4).collect());
        let closed = template.push("/tracking/eye/EyesClosedAmount", floats(1).collect());
        Self { template, look, closed }
    }

    fn set(&mut self, view: &FaceView) {
        let [left, right] = view.eye_angles();
        let four = [left.pitch_rad, 0.0 - left.yaw_rad, right.pitch_rad, 0.0 - right.yaw_rad];
        self.template.set_floats(self.look, 0, &four.map(f32::to_degrees));
        let b = &view.blendshapes;
        let closed = 0.5 * (b[Blendshape::EyeBlinkLeft] + b[Blendshape::EyeBlinkRight]);
        self.template.set_floats(self.closed, 0, &[closed]);
    }
}

impl Encoder {
    /// # Errors
    /// The avatar's file cannot be read, or is not one.
    pub fn new(config: &VrchatConfig) -> Result<Self, SinkError> {
        let avatar = config.avatar.as_deref().map(Avatar::from_file).transpose()?;
        let search = match (config.oscquery, config.address.as_deref()) {
            (Discovery::Off, _) => None,
            (discovery, None) => Some(Search::begin(discovery, oscquery::THIS_MACHINE)?),
            (discovery, Some(to)) => Some(Search::begin(discovery, resolve(to, DEFAULT_PORT)?.ip())?),
        };
        Ok(Self { eyes: config.eyes.then(Eyes::new), avatar, search, is_fixed: config.address.is_some() })
    }
}

impl Encode for Encoder {
    fn retarget(&mut self) -> Option<SocketAddr> {
        let search = self.search.as_ref()?;
        let Find { avatar, target } = search.take()?;
        if let Some(old) = self.avatar.replace(avatar) {
            search.give_back(old);
        }
        (!self.is_fixed).then_some(target)
    }

    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        let view = adjuster.primary(sample);
        if let (Some(eyes), Some(view)) = (&mut self.eyes, &view) {
            eyes.set(view);
            eyes.template.datagrams().for_each(&mut *send);
        }
        if let Some(avatar) = &mut self.avatar {
            avatar.update(view.as_ref(), send);
        }
    }

    fn listens_on(&self) -> Vec<SocketAddr> {
        self.search.as_ref().map(|search| search.listens_on().to_vec()).unwrap_or_default()
    }

    fn encode_end(&mut self, send: &mut dyn FnMut(&[u8])) {
        if let Some(avatar) = &mut self.avatar {
            avatar.update(None, send);
        }
    }
}

/// What the fuzzer calls.
#[doc(hidden)]
pub mod fuzz {
    use super::super::adjust::{Adjust, Adjuster};
    use super::{Avatar, http, oscquery, tree};
    use crate::face::{Face, FaceSample, Presence, TrackedFace};

    /// An answer of what calls itself VRChat; an avatar is made of it, and sends twice: what it declares, then nothing.
    pub fn tree(bytes: &[u8]) {
        // Each of them is another question's answer; all must bear all answers.
        let (_, _) = (tree::osc_port(bytes).is_ok(), tree::value_of_change(bytes).is_ok());
        let Ok(inputs) = tree::inputs(bytes) else { return };
        let declared = inputs.len();
        let mut avatar = Avatar::new(&inputs);
        let face = TrackedFace { presence: Presence::Tracked, face: Face::default() };
        let sample = FaceSample { faces: vec![face], ..FaceSample::default() };
        let view = Adjuster::new(&Adjust::default()).primary(&sample);
        for most in [declared, 0] {
            let mut sent = 0;
            avatar.update(view.as_ref(), &mut |_| sent += 1);
            assert!(sent <= most, "{sent} messages for {most} parameters");
        }
    }

    /// A request to our web server.
    pub fn request(bytes: &[u8]) {
        http::try_request(bytes);
    }

    /// A datagram to our OSC port.
    pub fn change(bytes: &[u8]) -> bool {
        oscquery::is_avatar_change(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::osc::testing::{float_args, messages};
    use super::super::stream::testing::datagrams;
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::geom::Angles;
    use glam::Vec3;

    // VRChat's own example: looking 15 degrees up and 20 degrees to the right is -15, 20.
    #[test]
    fn eyes_that_look_up_and_right_have_negative_pitch_and_positive_yaw() {
        let mut subject = face(Angles { yaw_rad: 0.4, ..Angles::default() });
        let (up, right) = (15f32.to_radians(), 20f32.to_radians());
        let aside = Vec3::new(-right.sin() * up.cos(), up.sin(), right.cos() * up.cos());
        subject.gaze.left = subject.head.rotation * aside;
        subject.gaze.right = subject.gaze.left;
        subject.blendshapes[Blendshape::EyeBlinkLeft] = 1.0;
        let mut encoder = Encoder::new(&VrchatConfig::default()).unwrap();
        let all = datagrams(&mut encoder, &sample_of([subject]), &Adjust::default());
        let all: Vec<_> = all.iter().flat_map(|d| messages(d)).collect();
        assert_eq!(all[0].addr, "/tracking/eye/LeftRightPitchYaw");
        let look = float_args(&all[0]);
        assert!(
            look.iter().zip([-15.0, 20.0, -15.0, 20.0]).all(|(g, w): (&f32, f32)| (g - w).abs() < 0.01),
            "{look:?}"
        );
        assert_eq!(all[1].addr, "/tracking/eye/EyesClosedAmount");
        assert!((float_args(&all[1])[0] - 0.5).abs() < 1e-6);
        assert!(datagrams(&mut encoder, &FaceSample::default(), &Adjust::default()).is_empty());
    }
}
