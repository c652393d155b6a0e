//! What one output does to the numbers before it speaks them: mirroring, gain, a rate limit, and which face it follows.

use super::SinkError;
use crate::clock::MonoTime;
use crate::face::{BLENDSHAPE_COUNT, Blendshape, Blendshapes, Face, FaceSample, Gaze, HeadPose, Presence};
use crate::geom::NEUTRAL_ROTATION;
use glam::{Mat3, Vec3};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings that every output to a receiver has, as `adjust = { mirror = true, gain = 1.2 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adjust {
    /// Swap left and right, as in a looking glass.
    pub mirror: bool,
    /// Factor on every blendshape, 0 to 10. The result is kept within 0 to 1.
    pub gain: f32,
    /// Further factors by ARKit name, 0 to 10, such as `{ jawOpen = 1.5 }`. Names are the receiver's, after mirroring.
    pub gains: BTreeMap<String, f32>,
    /// At most this many samples a second, 0.1 to 1000; every sample where it is not given.
    pub max_rate_hz: Option<f64>,
}

impl Default for Adjust {
    fn default() -> Self {
        Self { mirror: false, gain: 1.0, gains: BTreeMap::new(), max_rate_hz: None }
    }
}

impl Adjust {
    /// Says what is wrong with the settings, for the output called `output`.
    pub(super) fn validate(&self, output: &'static str) -> Result<(), SinkError> {
        let fail = |problem: String| Err(SinkError::Config { output, problem });
        let gain_is_sane = |g: f32| (0.0..=10.0).contains(&g);
        if !gain_is_sane(self.gain) {
            return fail(format!("adjust.gain is {}, but a gain lies between 0 and 10", self.gain));
        }
        for (name, &gain) in &self.gains {
            if Blendshape::from_name(name).is_none() {
                return fail(format!(
                    "adjust.gains names `{name}`, which is not one of ARKit's 52, such as `jawOpen`"
                ));
            }
            if !gain_is_sane(gain) {
                return fail(format!("adjust.gains.{name} is {gain}, but a gain lies between 0 and 10"));
            }
        }
        match self.max_rate_hz {
            Some(rate) if !(0.1..=1000.0).contains(&rate) => {
                fail(format!("adjust.max_rate_hz is {rate}, but it lies between 0.1 and 1000"))
            }
            _ => Ok(()),
        }
    }
}

/// The values of one face as an output speaks them: mirrored and with gain where that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FaceView {
    pub id: u32,
    /// Measured in this frame, not merely fading out.
    pub tracked: bool,
    pub presence: f32,
    pub head: HeadPose,
    pub gaze: Gaze,
    pub blendshapes: Blendshapes,
}

/// Where an eye looks, relative to the head.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct EyeAngles {
    /// Towards the subject's left.
    pub yaw_rad: f32,
    /// Downwards.
    pub pitch_rad: f32,
}

impl FaceView {
    /// Rotation of the head away from facing the camera, in head axes (x to the subject's left, y up, z out of the face).
    pub fn head_from_neutral(&self) -> Mat3 {
        NEUTRAL_ROTATION * self.head.rotation
    }

    /// Directions of the left and the right eye, in head axes. Unit vectors.
    pub fn gaze_in_head(&self) -> [Vec3; 2] {
        let head_from_camera = self.head.rotation.transpose();
        [self.gaze.left, self.gaze.right].map(|g| (head_from_camera * g).normalize_or(Vec3::Z))
    }

    /// Angles of the left and the right eye, relative to the head.
    pub fn eye_angles(&self) -> [EyeAngles; 2] {
        self.gaze_in_head()
            .map(|g| EyeAngles { yaw_rad: g.x.atan2(g.z), pitch_rad: (-g.y).atan2(g.x.hypot(g.z)) })
    }
}

/// Applies an [`Adjust`] to samples.
#[derive(Debug)]
pub(super) struct Adjuster {
    mirror: bool,
    /// By receiver's blendshape.
    gains: [f32; BLENDSHAPE_COUNT],
    /// For each of the receiver's blendshapes the subject's that feeds it.
    sources: [Blendshape; BLENDSHAPE_COUNT],
    min_interval: Option<Duration>,
    next_due: MonoTime,
    followed: Option<u32>,
}

impl Adjuster {
    pub fn new(adjust: &Adjust) -> Self {
        let gain_of = |b: Blendshape| adjust.gain * adjust.gains.get(b.name()).copied().unwrap_or(1.0);
        Self {
            mirror: adjust.mirror,
            gains: Blendshape::ALL.map(gain_of),
            sources: Blendshape::ALL.map(|b| if adjust.mirror { b.mirrored() } else { b }),
            min_interval: adjust.max_rate_hz.map(|hz| Duration::from_secs_f64(1.0 / hz)),
            next_due: MonoTime::default(),
            followed: None,
        }
    }

    /// Whether left and right are swapped.
    pub fn is_mirroring(&self) -> bool {
        self.mirror
    }

    /// Whether the rate limit lets a sample pass now. Counts it as passed.
    pub fn is_due(&mut self, now: MonoTime) -> bool {
        let Some(interval) = self.min_interval else { return true };
        if now < self.next_due {
            return false;
        }
        // Keep the beat, so that 30 Hz out of 60 is every second frame; start a new one after a pause.
        let on_the_beat = self.next_due + interval;
        self.next_due = if on_the_beat > now { on_the_beat } else { now + interval };
        true
    }

    /// The face to speak of where a protocol knows only one: the one spoken of before while it is there, else the first.
    pub fn primary(&mut self, sample: &FaceSample) -> Option<FaceView> {
        let same = sample.faces.iter().find(|f| Some(f.face.id) == self.followed);
        let measured = || sample.faces.iter().find(|f| f.presence == Presence::Tracked);
        let chosen = match same {
            Some(face) if face.presence == Presence::Tracked => Some(face),
            // The followed face fades while another is measured: a person in view beats one who left.
            _ => measured().or(same).or_else(|| sample.faces.first()),
        };
        self.followed = chosen.map(|f| f.face.id);
        chosen.map(|f| self.view(&f.face, f.presence))
    }

    /// One face as this output speaks it.
    pub fn view(&self, face: &Face, presence: Presence) -> FaceView {
        let mut blendshapes = Blendshapes::default();
        for (((_, out), source), gain) in blendshapes.values_mut().zip(self.sources).zip(self.gains) {
            *out = (face.blendshapes[source] * gain).clamp(0.0, 1.0);
        }
        let (head, gaze) = if self.mirror {
            (mirrored_head(&face.head), mirrored_gaze(&face.gaze))
        } else {
            (face.head, face.gaze)
        };
        let tracked = presence == Presence::Tracked;
        FaceView { id: face.id, tracked, presence: face.presence, head, gaze, blendshapes }
    }
}

/// Reflection in the plane x = 0, which both camera space and head space have between left and right.
const REFLECTION: Mat3 =
    Mat3::from_cols(Vec3::new(-1.0, 0.0, 0.0), Vec3::new(0.0, 1.0, 0.0), Vec3::new(0.0, 0.0, 1.0));

fn mirrored_head(head: &HeadPose) -> HeadPose {
    HeadPose {
        rotation: REFLECTION * head.rotation * REFLECTION,
        translation_mm: REFLECTION * head.translation_mm,
    }
}

fn mirrored_gaze(gaze: &Gaze) -> Gaze {
    Gaze { left: REFLECTION * gaze.right, right: REFLECTION * gaze.left }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values compared are copied, not computed")]
mod tests {
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::geom::Angles;

    fn adjuster(adjust: &Adjust) -> Adjuster {
        adjust.validate("test").unwrap();
        Adjuster::new(adjust)
    }

    #[test]
    fn mirroring_swaps_sides_and_turns_of_everything() {
        let mut turned = face(Angles { yaw_rad: 0.4, pitch_rad: 0.2, roll_rad: -0.3 });
        turned.head.translation_mm = Vec3::new(50.0, 10.0, 600.0);
        turned.blendshapes[Blendshape::EyeBlinkLeft] = 0.8;
        turned.gaze.left = turned.head.rotation * Vec3::new(0.6, 0.0, 0.8);
        let view = adjuster(&Adjust { mirror: true, ..Adjust::default() }).view(&turned, Presence::Tracked);
        let a = view.head.angles();
        assert!((a.yaw_rad + 0.4).abs() < 1e-5 && (a.pitch_rad - 0.2).abs() < 1e-5);
        assert!((a.roll_rad - 0.3).abs() < 1e-5);
        assert_eq!(view.head.translation_mm, Vec3::new(-50.0, 10.0, 600.0));
        assert_eq!(view.blendshapes[Blendshape::EyeBlinkRight], 0.8);
        assert_eq!(view.blendshapes[Blendshape::EyeBlinkLeft], 0.0);
        let [_, right] = view.eye_angles();
        assert!(
            (right.yaw_rad + 0.643_5).abs() < 1e-3,
            "the left eye's look left is the right one's look right"
        );
    }

    #[test]
    fn gains_multiply_and_stay_within_one() {
        let mut smiling = face(Angles::default());
        smiling.blendshapes[Blendshape::JawOpen] = 0.3;
        smiling.blendshapes[Blendshape::MouthPucker] = 0.9;
        let gains = BTreeMap::from([("jawOpen".to_owned(), 2.0)]);
        let view =
            adjuster(&Adjust { gain: 1.5, gains, ..Adjust::default() }).view(&smiling, Presence::Tracked);
        assert!((view.blendshapes[Blendshape::JawOpen] - 0.9).abs() < 1e-6);
        assert_eq!(view.blendshapes[Blendshape::MouthPucker], 1.0);
    }

    #[test]
    fn half_the_rate_is_every_second_frame() {
        let mut a = adjuster(&Adjust { max_rate_hz: Some(30.0), ..Adjust::default() });
        let start = MonoTime::from_secs_f64(100.0);
        // A little jitter, as cameras have it.
        let passed = (0..60)
            .filter(|i| {
                let jitter = if i % 3 == 0 { 300 } else { 0 };
                a.is_due(start + Duration::from_micros(i * 16_667 + jitter))
            })
            .count();
        assert!((29..=31).contains(&passed), "{passed} of 60 passed");
    }

    #[test]
    fn the_followed_face_stays_until_it_leaves() {
        let mut a = adjuster(&Adjust::default());
        let with_id = |id| Face { id, ..face(Angles::default()) };
        assert_eq!(a.primary(&sample_of([with_id(2)])).unwrap().id, 2);
        assert_eq!(
            a.primary(&sample_of([with_id(1), with_id(2)])).unwrap().id,
            2,
            "a newcomer changes nothing"
        );
        assert_eq!(a.primary(&sample_of([with_id(1)])).unwrap().id, 1);
        assert!(a.primary(&sample_of([])).is_none());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let says = |adjust: Adjust| adjust.validate("vmc").unwrap_err().to_string();
        assert!(says(Adjust { gain: -1.0, ..Adjust::default() }).contains("adjust.gain is -1"));
        assert!(says(Adjust { gain: f32::NAN, ..Adjust::default() }).contains("adjust.gain"));
        assert!(says(Adjust { max_rate_hz: Some(0.0), ..Adjust::default() }).contains("max_rate_hz"));
        let gains = BTreeMap::from([("JawOpen".to_owned(), 1.0)]);
        assert!(says(Adjust { gains, ..Adjust::default() }).contains("`JawOpen`"));
    }
}
