//! Smoothing, and what happens when a face is lost.
//!
//! Each group of signals has its own one-euro filter (`one_euro`), because each has its own speed: a blink is over in
//! 150 ms, a smile takes half a second. Time is the sample's `stream_time`, so a file gives the same numbers at any
//! pace; where that time stands still, runs backwards or pauses, a face starts anew at its raw values.
//! A lost face is held, fades to neutral and goes (`hold`).

mod hold;
mod one_euro;
#[cfg(test)]
mod tests;

pub use one_euro::Smoothing;

use crate::clock::MonoTime;
use crate::face::{Blendshape, Face, FaceSample, HeadPose, LANDMARK_COUNT, Presence, TrackedFace};
use crate::geom::Rect;
use crate::within::within;
use glam::{Mat3, Quat, Vec3};
use serde::{Deserialize, Deserializer, Serialize};

/// The `[filter]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// Seconds for which a lost face keeps its last values.
    #[serde(deserialize_with = "seconds")]
    pub hold_s: f32,
    /// Seconds in which it then fades to neutral.
    #[serde(deserialize_with = "seconds")]
    pub fade_s: f32,
    /// Seconds without a sample after which smoothing starts anew.
    #[serde(deserialize_with = "seconds")]
    pub pause_s: f32,
    /// `eyeBlink*`. Speed in coefficients a second.
    pub blinks: Smoothing,
    /// `eyeSquint*`, `eyeWide*`. Speed in coefficients a second.
    pub eyes: Smoothing,
    /// `brow*`. Speed in coefficients a second.
    pub brows: Smoothing,
    /// Jaw, mouth, cheeks, nose and tongue. Speed in coefficients a second.
    pub mouth: Smoothing,
    /// Gaze, relative to the head, and `eyeLook*`. Speed in radians (coefficients) a second.
    pub gaze: Smoothing,
    /// Head position. Speed in distances from the camera a second.
    pub head_position: Smoothing,
    /// Head rotation. Speed in radians a second.
    pub head_rotation: Smoothing,
    /// The mesh. Speed in face sizes a second.
    pub landmarks: Smoothing,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            // Bridges a blink of the detector or a hand across the face, and is too short to look frozen.
            hold_s: 0.3,
            // Slow enough not to snap, over before someone else sits down.
            fade_s: 0.5,
            // Longer than `hold_s`, so that a face that comes back while held is never started anew.
            pause_s: 0.4,
            // A blink moves at 10 coefficients a second and opens the filter wide. Measured on 22 blinks of real clips: 0.3
            // frames later than raw, with fewer false ones; half of these numbers cost 0.5 frames.
            blinks: Smoothing::new(6.0, 10.0),
            eyes: Smoothing::new(2.0, 1.5),
            brows: Smoothing::new(1.5, 1.5),
            // Speech moves the lips at 3 to 5 coefficients a second.
            mouth: Smoothing::new(2.5, 3.0),
            // A saccade moves at 3 rad/s and more.
            gaze: Smoothing::new(1.5, 5.0),
            head_position: Smoothing::new(0.8, 20.0),
            head_rotation: Smoothing::new(0.8, 6.0),
            // MediaPipe's own graph takes 0.05 Hz and 80 in the same unit.
            landmarks: Smoothing::new(0.1, 80.0),
        }
    }
}

impl FilterConfig {
    /// The group that a blendshape belongs to.
    fn of(&self, blendshape: Blendshape) -> &Smoothing {
        let name = blendshape.name();
        if name.starts_with("eyeBlink") {
            &self.blinks
        } else if name.starts_with("eyeLook") {
            &self.gaze
        } else if name.starts_with("eye") {
            &self.eyes
        } else if name.starts_with("brow") {
            &self.brows
        } else {
            &self.mouth
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    within(deserializer, "a time in seconds", 0.0, 60.0)
}

/// Smooths every tracked face and lets lost ones fade. One for a stream; keeps a little state for each face.
#[derive(Debug)]
pub struct Filter {
    config: FilterConfig,
    /// The group of each blendshape, in ARKit's order.
    of_blendshape: [Smoothing; Blendshape::ALL.len()],
    tracks: Vec<Track>,
    /// Tracks of faces that are gone, for the next ones.
    idle: Vec<Track>,
}

/// People for whom there is room without allocating.
const PEOPLE: usize = 16;

/// One person: what was last shown of them, and how fast each value moves.
#[derive(Debug)]
struct Track {
    shown: Face,
    /// When the face was last measured.
    seen: MonoTime,
    /// When `shown` was last brought up to date.
    updated: MonoTime,
    speeds: Speeds,
}

#[derive(Debug)]
struct Speeds {
    landmarks: Box<[Vec3; LANDMARK_COUNT]>,
    blendshapes: [f32; Blendshape::ALL.len()],
    gaze: [Vec3; 2],
    position: Vec3,
    rotation: Vec3,
}

impl Default for Speeds {
    fn default() -> Self {
        Self {
            landmarks: Box::new([Vec3::ZERO; LANDMARK_COUNT]),
            blendshapes: [0.0; Blendshape::ALL.len()],
            gaze: [Vec3::ZERO; 2],
            position: Vec3::ZERO,
            rotation: Vec3::ZERO,
        }
    }
}

impl Speeds {
    fn clear(&mut self) {
        self.landmarks.fill(Vec3::ZERO);
        self.blendshapes.fill(0.0);
        (self.gaze, self.position, self.rotation) = ([Vec3::ZERO; 2], Vec3::ZERO, Vec3::ZERO);
    }
}

impl Filter {
    /// A filter that has seen nothing.
    pub fn new(config: &FilterConfig) -> Self {
        Self {
            of_blendshape: Blendshape::ALL.map(|b| *config.of(b)),
            config: config.clone(),
            tracks: Vec::with_capacity(PEOPLE),
            idle: Vec::with_capacity(PEOPLE),
        }
    }

    /// Smooths the sample's faces in place and appends those that were lost as [`Presence::Fading`]; the list is by id
    /// afterwards. Call it for every sample, empty ones too: they are how a face comes to fade. Lost faces travel in
    /// what lies in `spare`, and allocate only where it is empty.
    pub fn apply(&mut self, sample: &mut FaceSample, spare: &mut Vec<TrackedFace>) {
        let now = sample.stream_time;
        for tracked in &mut sample.faces {
            debug_assert!(
                tracked.face.is_finite(),
                "a face that is not finite must have been dropped before"
            );
            if let Some(track) = self.tracks.iter_mut().find(|t| t.shown.id == tracked.face.id) {
                track.follow(&tracked.face, now, &self.config, &self.of_blendshape);
                tracked.face.copy_from(&track.shown);
            } else {
                // What has no past passes through.
                let mut track = self.idle.pop().unwrap_or_else(Track::empty);
                track.start(&tracked.face, now);
                self.tracks.push(track);
            }
            tracked.presence = Presence::Tracked;
        }
        let mut i = 0;
        while i < self.tracks.len() {
            let track = &mut self.tracks[i];
            if sample.faces.iter().any(|f| f.face.id == track.shown.id) {
                i += 1;
            } else if track.fade(now, &self.config) {
                let mut fading = spare
                    .pop()
                    .unwrap_or_else(|| TrackedFace { presence: Presence::Fading, face: Face::default() });
                fading.presence = Presence::Fading;
                fading.face.copy_from(&track.shown);
                sample.faces.push(fading);
                i += 1;
            } else {
                self.idle.push(self.tracks.swap_remove(i));
            }
        }
        sample.faces.sort_unstable_by_key(|f| f.face.id);
    }

    /// Forgets every face: the next sample has nothing to do with the last.
    pub fn reset(&mut self) {
        self.idle.append(&mut self.tracks);
    }
}

impl Track {
    fn empty() -> Self {
        Self {
            shown: Face::default(),
            seen: MonoTime::default(),
            updated: MonoTime::default(),
            speeds: Speeds::default(),
        }
    }

    /// Shows `raw` as it is.
    fn start(&mut self, raw: &Face, now: MonoTime) {
        self.shown.copy_from(raw);
        self.speeds.clear();
        (self.seen, self.updated) = (now, now);
    }

    /// One step towards `raw`.
    fn follow(&mut self, raw: &Face, now: MonoTime, config: &FilterConfig, of: &[Smoothing; 52]) {
        let dt_s = now.since(self.updated).as_secs_f32();
        if dt_s <= 0.0 || dt_s > config.pause_s {
            self.start(raw, now);
            return;
        }
        (self.seen, self.updated) = (now, now);
        let Self { shown, speeds, .. } = self;
        shown.presence = raw.presence;
        step_landmarks(shown, speeds, raw, config.landmarks, dt_s);
        for (((_, shown), speed), ((_, raw), smoothing)) in
            shown.blendshapes.values_mut().zip(&mut speeds.blendshapes).zip(raw.blendshapes.iter().zip(of))
        {
            smoothing.step(shown, speed, raw, dt_s);
        }
        step_head_and_gaze(shown, speeds, raw, config, dt_s);
    }
}

/// The mesh, in face sizes: a face twice as near moves twice as many pixels.
fn step_landmarks(shown: &mut Face, speeds: &mut Speeds, raw: &Face, smoothing: Smoothing, dt_s: f32) {
    let scale = smoothing.beta / raw.bounds.size().max_element().max(1.0);
    let in_pixels = Smoothing { beta: scale, ..smoothing };
    for ((shown, speed), raw) in
        shown.landmarks.iter_mut().zip(speeds.landmarks.iter_mut()).zip(raw.landmarks.iter())
    {
        in_pixels.step_vec3(shown, speed, *raw, dt_s);
    }
    if let Some(bounds) = Rect::bounding(shown.landmarks.iter().map(|p| p.truncate())) {
        shown.bounds = bounds;
    }
}

/// Gaze is smoothed relative to the head, so that eyes do not lag behind a turning head twice.
fn step_head_and_gaze(shown: &mut Face, speeds: &mut Speeds, raw: &Face, config: &FilterConfig, dt_s: f32) {
    let (head_was, head_raw) = (shown.head.rotation, raw.head.rotation);
    let mut rotation = Quat::from_mat3(&head_was).normalize();
    config.head_rotation.step_rotation(&mut rotation, &mut speeds.rotation, Quat::from_mat3(&head_raw), dt_s);
    let mut polar = polar_from_camera(shown.head.translation_mm);
    config.head_position.step_vec3(
        &mut polar,
        &mut speeds.position,
        polar_from_camera(raw.head.translation_mm),
        dt_s,
    );
    shown.head = HeadPose { rotation: Mat3::from_quat(rotation), translation_mm: camera_from_polar(polar) };

    let eyes =
        [(&mut shown.gaze.left, raw.gaze.left, "left"), (&mut shown.gaze.right, raw.gaze.right, "right")];
    for ((shown_eye, raw_eye, side), speed) in eyes.into_iter().zip(&mut speeds.gaze) {
        let blink = if side == "left" { Blendshape::EyeBlinkLeft } else { Blendshape::EyeBlinkRight };
        // A closed eye tells nothing of gaze: it stands still instead of swinging to the front and back.
        let open = (1.0 - raw.blendshapes[blink]).clamp(0.0, 1.0);
        let smoothing = Smoothing {
            cutoff_hz_min: config.gaze.cutoff_hz_min * open.max(0.05),
            beta: config.gaze.beta * open,
            ..config.gaze
        };
        let mut relative = head_was.transpose() * *shown_eye;
        smoothing.step_vec3(&mut relative, speed, head_raw.transpose() * raw_eye, dt_s);
        *shown_eye = (shown.head.rotation * relative).try_normalize().unwrap_or(*shown_eye);
    }
}

/// Bearing (x/z, y/z) and the logarithm of depth: noise along the line of sight is many times the noise across it,
/// and here it stays in one coordinate.
fn polar_from_camera(p: Vec3) -> Vec3 {
    let z = p.z.max(1.0);
    Vec3::new(p.x / z, p.y / z, z.ln())
}

fn camera_from_polar(p: Vec3) -> Vec3 {
    let z = p.z.exp();
    Vec3::new(p.x * z, p.y * z, z)
}
