//! facetrackd's own OSC schema, for people who write their receiver themselves. `docs/protocols.md` lists it.
//!
//! Each face has a number from 0, by its place in the sample, and says in one or two bundles:
//!
//! | address | arguments |
//! |---|---|
//! | `/facetrackd/<n>/face` | i id, i tracked (1, or 0 while it fades), f presence |
//! | `/facetrackd/<n>/head` | f yaw, pitch, roll in degrees; f x, y, z in millimetres, camera space |
//! | `/facetrackd/<n>/rotation` | f x, y, z, w: quaternion, `camera_from_head` |
//! | `/facetrackd/<n>/gaze/left`, `…/right` | f x, y, z: unit vector, camera space |
//! | `/facetrackd/<n>/blendshape/<name>` | f 0 to 1, by ARKit's name |
//!
//! and once a frame `/facetrackd/frame`: i number of the frame, i faces that follow. Signs are
//! those of the library: yaw to the subject's left, pitch down, roll left ear up are positive; camera x right, y down, z
//! forward. The bundles' time tag is the frame's own time since the start of the stream, counted from 0.

use super::SinkError;
use super::adjust::{Adjust, Adjuster, FaceView};
use super::osc::{Slot, Template, floats};
use super::stream::Encode;
use crate::face::{BLENDSHAPE_COUNT, Blendshape, FaceSample};
use glam::Quat;
use rosc::OscType;
use serde::{Deserialize, Serialize};

/// Where examples listen.
pub const DEFAULT_PORT: u16 = 9101;

/// The `osc` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OscConfig {
    /// The receiver, `HOST:PORT` or `HOST`.
    pub address: Option<String>,
    /// What addresses begin with.
    pub prefix: String,
    /// Faces spoken of, 1 to 16.
    pub faces: usize,
    /// Several messages to a datagram.
    pub bundled: bool,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl Default for OscConfig {
    fn default() -> Self {
        let (prefix, adjust) = ("/facetrackd".to_owned(), Adjust::default());
        Self { address: None, prefix, faces: 1, bundled: true, adjust }
    }
}

impl OscConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting.
    pub fn validate(&self) -> Result<(), SinkError> {
        let fail = |problem: String| Err(SinkError::Config { output: "osc", problem });
        // The characters that OSC 1.0 keeps for patterns.
        let is_plain = |c: char| c.is_ascii_graphic() && !"#*,?[]{}".contains(c);
        if !self.prefix.starts_with('/') || self.prefix.ends_with('/') || !self.prefix.chars().all(is_plain) {
            let problem = format!("prefix is `{}`, but an OSC address looks like `/facetrackd`", self.prefix);
            return fail(problem);
        }
        if !(1..=16).contains(&self.faces) {
            return fail(format!("faces is {}, but it lies between 1 and 16", self.faces));
        }
        self.adjust.validate("osc")
    }
}

/// Encodes faces.
pub(super) struct Encoder {
    frame: (Template, Slot),
    faces: Vec<FacePlan>,
}

struct FacePlan {
    template: Template,
    face: Slot,
    head: Slot,
    rotation: Slot,
    gaze: [Slot; 2],
    blendshapes: [Slot; BLENDSHAPE_COUNT],
}

impl Encoder {
    pub fn new(config: &OscConfig) -> Self {
        let mut template = Template::new(config.bundled);
        let args = vec![OscType::Int(0), OscType::Int(0)];
        let slot = template.push(&format!("{}/frame", config.prefix), args);
        let plan = |n| FacePlan::new(&format!("{}/{n}", config.prefix), config.bundled);
        Self { frame: (template, slot), faces: (0..config.faces).map(plan).collect() }
    }
}

impl FacePlan {
    fn new(base: &str, bundled: bool) -> Self {
        let mut t = Template::new(bundled);
        let args = vec![OscType::Int(0), OscType::Int(0), OscType::Float(0.0)];
        let face = t.push(&format!("{base}/face"), args);
        let head = t.push(&format!("{base}/head"), floats(6).collect());
        let rotation = t.push(&format!("{base}/rotation"), floats(4).collect());
        let gaze = ["left", "right"].map(|side| t.push(&format!("{base}/gaze/{side}"), floats(3).collect()));
        let mut push =
            |b: Blendshape| t.push(&format!("{base}/blendshape/{}", b.name()), floats(1).collect());
        let blendshapes = Blendshape::ALL.map(&mut push);
        Self { template: t, face, head, rotation, gaze, blendshapes }
    }

    fn set(&mut self, view: &FaceView) {
        let t = &mut self.template;
        t.set_int(self.face, 0, view.id.cast_signed());
        t.set_int(self.face, 1, i32::from(view.tracked));
        t.set_floats(self.face, 2, &[view.presence]);
        let angles = view.head.angles();
        let degrees = [angles.yaw_rad, angles.pitch_rad, angles.roll_rad].map(f32::to_degrees);
        t.set_floats(self.head, 0, &degrees);
        t.set_floats(self.head, 3, &view.head.translation_mm.to_array());
        t.set_floats(self.rotation, 0, &Quat::from_mat3(&view.head.rotation).to_array());
        for (slot, gaze) in self.gaze.iter().zip([view.gaze.left, view.gaze.right]) {
            t.set_floats(*slot, 0, &gaze.to_array());
        }
        for (slot, (_, value)) in self.blendshapes.iter().zip(view.blendshapes.iter()) {
            t.set_floats(*slot, 0, &[value]);
        }
    }
}

/// Seconds and 2^-32 seconds, as OSC's time tags have them.
fn time_tag(nanoseconds: u64) -> (u32, u32) {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    (seconds as u32, ((rest << 32) / 1_000_000_000) as u32)
}

impl Encode for Encoder {
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        let (seconds, fraction) = time_tag(sample.stream_time.as_nanos());
        let shown = sample.faces.len().min(self.faces.len());
        let (template, slot) = &mut self.frame;
        template.set_int(*slot, 0, (sample.index as u32).cast_signed());
        template.set_int(*slot, 1, i32::try_from(shown).unwrap_or(i32::MAX));
        template.set_time_tag(seconds, fraction);
        template.datagrams().for_each(&mut *send);
        for (plan, face) in self.faces.iter_mut().zip(&sample.faces) {
            plan.set(&adjuster.view(&face.face, face.presence));
            plan.template.set_time_tag(seconds, fraction);
            plan.template.datagrams().for_each(&mut *send);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::osc::testing::{float_args, messages};
    use super::super::stream::testing::datagrams;
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::clock::MonoTime;
    use crate::face::Face;
    use crate::geom::Angles;

    #[test]
    fn every_address_of_the_schema_is_said_for_each_face() {
        let config = OscConfig { faces: 2, ..OscConfig::default() };
        let first = face(Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.125 });
        let mut second = Face { id: 9, ..face(Angles::default()) };
        second.blendshapes[Blendshape::TongueOut] = 0.5;
        let mut sample = sample_of([first, second]);
        sample.stream_time = MonoTime::from_secs_f64(2.5);
        let all = datagrams(&mut Encoder::new(&config), &sample, &Adjust::default());
        assert!(all.iter().all(|d| d.len() < 1500 && d[8..16] == [0, 0, 0, 2, 0x80, 0, 0, 0]));
        let messages: Vec<_> = all.iter().flat_map(|d| messages(d)).collect();
        assert_eq!(messages.len(), 1 + 2 * (5 + BLENDSHAPE_COUNT));
        let floats_of = |addr: &str| float_args(messages.iter().find(|m| m.addr == addr).unwrap());
        let head = floats_of("/facetrackd/0/head");
        let expected = [28.6479, -14.3239, 7.162, 0.0, 0.0, 600.0];
        assert!(head.iter().zip(expected).all(|(g, w): (&f32, f32)| (g - w).abs() < 1e-3), "{head:?}");
        assert_eq!(floats_of("/facetrackd/1/blendshape/tongueOut"), [0.5]);
        let id = messages.iter().find(|m| m.addr == "/facetrackd/1/face").unwrap().args[0].clone();
        assert_eq!(id, OscType::Int(9));
    }

    #[test]
    fn a_prefix_that_is_no_address_is_refused() {
        for prefix in ["facetrackd", "/a b", "/a/", "/a*", ""] {
            let config = OscConfig { prefix: prefix.to_owned(), ..OscConfig::default() };
            assert!(config.validate().is_err(), "{prefix}");
        }
        assert!(OscConfig { prefix: "/avatar/face".to_owned(), ..OscConfig::default() }.validate().is_ok());
    }
}
