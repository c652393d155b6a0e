//! What this person looks like at rest, learnt while tracking runs.
//!
//! Expressions are read as movement away from the neutral face, so whatever goes into the neutral disappears from the
//! output. Frames are therefore weighed before they count: a frame teaches the eyes only where the eyes are open, and
//! the rest of the face only where brows and mouth are calm, both judged by the expression that was just read from it.
//! A smile or closed lids weigh nothing for as long as they last.

use super::AlignedLandmarks;
use crate::clock::MonoTime;
use crate::face::{Blendshape, Blendshapes, LANDMARK_COUNT};
use glam::Vec3;

/// Points around both eyes, from the lower edge of the brow to the cheek, irises included.
#[rustfmt::skip]
const EYES: [u16; 102] = [
    7, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, 56, 110, 112, 113, 130, 133, 144, 145, 153, 154, 155, 157,
    158, 159, 160, 161, 163, 173, 190, 221, 222, 223, 224, 225, 226, 228, 229, 230, 231, 232, 233, 243, 246,
    247, 249, 252, 253, 254, 255, 256, 257, 258, 259, 260, 261, 263, 286, 339, 341, 342, 359, 362, 373, 374,
    380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 414, 441, 442, 443, 444, 445, 446, 448, 449, 450, 451,
    452, 453, 463, 466, 467, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
];

/// Weighted seconds of calm frames that make a neutral. A blink or a word must not be all that was seen.
const READY_S: f32 = 0.5;

/// Memory, in weighted seconds: the neutral follows slow change, such as a slumping posture, with this time constant.
const MEMORY_S: f32 = 30.0;

/// A pause between frames counts as no longer than this.
pub(super) const STEP_S_MAX: f32 = 0.1;

/// Seconds that a retake averages.
pub(super) const RETAKE_S: f32 = 0.8;

/// Within a retake, a frame whose lids are less open than this share of the widest counts as a blink.
const RETAKE_OPEN: f32 = 0.7;

/// Half weight at this turn of the head: landmarks shift with the view, and the neutral is to hold for all views.
const HALF_WEIGHT_TURN_RAD: f32 = 0.26;

/// From which value of a coefficient on a frame teaches nothing; below, the weight grows linearly to 1 at zero.
///
/// Before there is a neutral the network guesses from shape alone and may take narrow eyes for half-closed lids or a
/// full lip for a frown, so the limits are wider at first. Guesses, checked on the clips in `../shared/eval/dev`.
struct Limits {
    blink: f32,
    lower_face: f32,
}

const AT_FIRST: Limits = Limits { blink: 0.65, lower_face: 0.55 };
const ONCE_KNOWN: Limits = Limits { blink: 0.3, lower_face: 0.35 };
const LOOK_DOWN_MAX: f32 = 0.5;

/// The neutral face of one person.
#[derive(Debug, Clone)]
pub struct Calibration {
    mean: AlignedLandmarks,
    is_eye: [bool; LANDMARK_COUNT],
    /// Weighted seconds behind `mean`, for the eyes and for the rest.
    eyes_s: f32,
    rest_s: f32,
    known: bool,
    last: Option<MonoTime>,
    retake: Option<Retake>,
}

#[derive(Debug, Clone)]
struct Retake {
    mean: [Vec3; LANDMARK_COUNT],
    frames: f32,
    openness: f32,
    left_s: f32,
}

impl Default for Calibration {
    fn default() -> Self {
        Self::new()
    }
}

impl Calibration {
    /// Of a person not seen yet.
    pub fn new() -> Self {
        let mut is_eye = [false; LANDMARK_COUNT];
        for i in EYES {
            is_eye[usize::from(i)] = true;
        }
        Self {
            mean: AlignedLandmarks::default(),
            is_eye,
            eyes_s: 0.0,
            rest_s: 0.0,
            known: false,
            last: None,
            retake: None,
        }
    }

    /// The neutral face, once enough calm frames were seen.
    pub fn neutral(&self) -> Option<&AlignedLandmarks> {
        self.known.then_some(&self.mean)
    }

    /// Takes the next 0.8 seconds as they are for the new neutral, blinks left out. The old one holds until then.
    pub fn retake(&mut self) {
        self.retake =
            Some(Retake { mean: [Vec3::ZERO; LANDMARK_COUNT], frames: 0.0, openness: 0.0, left_s: RETAKE_S });
    }

    /// Learns from one frame at stream time `t`: its landmarks, and the expression that the network read from them.
    pub fn observe(&mut self, face: &AlignedLandmarks, expression: &Blendshapes, t: MonoTime) {
        let step_s = self.last.map_or(0.0, |last| t.since(last).as_secs_f32().min(STEP_S_MAX));
        self.last = Some(t);
        if let Some(retake) = &mut self.retake {
            retake.add(face, step_s);
            if retake.left_s <= 0.0 {
                self.mean.points = retake.mean;
                (self.eyes_s, self.rest_s, self.known) = (MEMORY_S, MEMORY_S, true);
                self.retake = None;
            }
            return;
        }
        let seconds = weighted(step_s, face.turn_rad);
        let (eyes, rest) = calm(expression, if self.known { &ONCE_KNOWN } else { &AT_FIRST });
        let eye_share = share(&mut self.eyes_s, seconds * eyes);
        let rest_share = share(&mut self.rest_s, seconds * rest);
        for (i, (mean, point)) in self.mean.points.iter_mut().zip(&face.points).enumerate() {
            *mean += (*point - *mean) * if self.is_eye[i] { eye_share } else { rest_share };
        }
        self.known = self.known || (self.eyes_s >= READY_S && self.rest_s >= READY_S);
    }
}

/// What so long a look at a head so turned counts.
pub(super) fn weighted(step_s: f32, turn_rad: f32) -> f32 {
    let turn = turn_rad / HALF_WEIGHT_TURN_RAD;
    step_s / (1.0 + turn * turn)
}

/// Adds `seconds` to what is known, up to the memory's length, and gives the new frame's share in the mean.
fn share(known_s: &mut f32, seconds: f32) -> f32 {
    *known_s = (*known_s + seconds).min(MEMORY_S);
    if seconds > 0.0 { seconds / *known_s } else { 0.0 }
}

/// How calm the eyes and the rest of the face are, 0 to 1.
fn calm(e: &Blendshapes, limits: &Limits) -> (f32, f32) {
    use Blendshape as B;
    let below = |value: f32, limit: f32| (1.0 - value / limit).max(0.0);
    let blink = e[B::EyeBlinkLeft].max(e[B::EyeBlinkRight]);
    let down = e[B::EyeLookDownLeft].max(e[B::EyeLookDownRight]);
    let moved = e.iter().filter(|(b, _)| is_plain(*b)).map(|(_, v)| v).fold(0.0, f32::max);
    let eyes = below(blink, limits.blink) * below(down, LOOK_DOWN_MAX);
    // Lids that close pull at brows and cheeks.
    let rest = if blink < 0.5 || limits.blink > 0.5 { below(moved, limits.lower_face) } else { 0.0 };
    (eyes, rest)
}

/// Whether landmarks show this movement of brows, mouth or jaw plainly enough to judge calm by it.
fn is_plain(b: Blendshape) -> bool {
    let hidden = ["eye", "cheek", "noseSneer", "jawForward", "mouthClose", "tongueOut"];
    !hidden.iter().any(|stem| b.name().starts_with(stem))
}

impl Retake {
    fn add(&mut self, face: &AlignedLandmarks, step_s: f32) {
        self.left_s -= step_s;
        let openness = openness(face);
        if openness < RETAKE_OPEN * self.openness {
            return;
        }
        if self.openness < RETAKE_OPEN * openness {
            // All frames so far were taken in a blink.
            self.frames = 0.0;
        }
        self.openness = self.openness.max(openness);
        self.frames += 1.0;
        for (mean, point) in self.mean.iter_mut().zip(&face.points) {
            *mean += (*point - *mean) / self.frames;
        }
    }
}

/// Height of the less open eye between the middles of its lids, in distances of the outer eye corners.
fn openness(face: &AlignedLandmarks) -> f32 {
    let gap = |upper: usize, lower: usize| (face.points[upper].y - face.points[lower].y).max(0.0);
    gap(159, 145).min(gap(386, 374))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const FRAME: Duration = Duration::from_millis(33);

    /// A plane face with open eyes.
    fn person(seed: f32) -> AlignedLandmarks {
        let mut face = AlignedLandmarks::default();
        for (i, p) in face.points.iter_mut().enumerate() {
            *p = Vec3::new((i as f32 * 0.7 + seed).sin(), (i as f32 * 1.3 + seed).cos(), 0.1 * seed) * 0.5;
        }
        for (upper, lower) in [(159, 145), (386, 374)] {
            face.points[upper].y = 0.05;
            face.points[lower].y = -0.05;
        }
        face
    }

    fn moved(face: &AlignedLandmarks, by: f32) -> AlignedLandmarks {
        let mut other = *face;
        other.points.iter_mut().for_each(|p| p.y += by);
        other
    }

    fn shut(face: &AlignedLandmarks) -> AlignedLandmarks {
        let mut other = *face;
        for i in [159, 145, 386, 374] {
            other.points[i].y = 0.0;
        }
        other
    }

    fn showing(pairs: &[(Blendshape, f32)]) -> Blendshapes {
        let mut e = Blendshapes::default();
        for &(b, v) in pairs {
            e[b] = v;
        }
        e
    }

    struct Clock(MonoTime);

    impl Clock {
        fn watch(&mut self, c: &mut Calibration, face: &AlignedLandmarks, e: &Blendshapes, seconds: f32) {
            for _ in 0..(seconds / FRAME.as_secs_f32()).ceil() as usize {
                self.0 = self.0 + FRAME;
                c.observe(face, e, self.0);
            }
        }
    }

    fn clock() -> Clock {
        Clock(MonoTime::from_nanos(0))
    }

    fn distance(c: &Calibration, face: &AlignedLandmarks) -> f32 {
        let neutral = c.neutral().expect("a neutral");
        neutral.points.iter().zip(&face.points).map(|(a, b)| a.distance(*b)).fold(0.0, f32::max)
    }

    const CALM: [(Blendshape, f32); 0] = [];

    proptest! {
        #[test]
        fn the_neutral_of_a_calm_noisy_face_is_its_mean(seed in 0f32..6.0, noise in 0f32..0.01) {
            let (face, mut c, mut clock) = (person(seed), Calibration::new(), clock());
            for k in 0..90 {
                let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
                clock.watch(&mut c, &moved(&face, sign * noise), &showing(&CALM), 0.03);
            }
            prop_assert!(distance(&c, &face) < 0.1 * noise + 1e-4);
        }

        #[test]
        fn no_order_of_frames_times_and_retakes_breaks_it(
            steps in prop::collection::vec((0u64..5_000_000_000, 0f32..1.0, 0f32..1.0, prop::bool::weighted(0.05)), 1..200)
        ) {
            let (face, mut c) = (person(1.0), Calibration::new());
            for (t, blink, smile, retake) in steps {
                if retake { c.retake(); }
                let e = showing(&[(Blendshape::EyeBlinkLeft, blink), (Blendshape::MouthSmileLeft, smile)]);
                c.observe(&face, &e, MonoTime::from_nanos(t));
            }
            if c.neutral().is_some() { prop_assert!(distance(&c, &face) < 1e-4); }
        }
    }

    #[test]
    fn there_is_no_neutral_before_half_a_calm_second() {
        let (face, mut c, mut clock) = (person(0.0), Calibration::new(), clock());
        clock.watch(&mut c, &face, &showing(&CALM), 0.4);
        assert!(c.neutral().is_none());
        clock.watch(&mut c, &face, &showing(&CALM), 0.3);
        assert!(c.neutral().is_some());
    }

    #[test]
    fn a_long_smile_is_not_absorbed() {
        let (face, mut c, mut clock) = (person(0.0), Calibration::new(), clock());
        clock.watch(&mut c, &face, &showing(&CALM), 3.0);
        let smile = showing(&[(Blendshape::MouthSmileLeft, 0.6), (Blendshape::MouthSmileRight, 0.6)]);
        clock.watch(&mut c, &moved(&face, 0.1), &smile, 300.0);
        let lower_lip = 17;
        let neutral = c.neutral().unwrap().points[lower_lip];
        assert!(neutral.distance(face.points[lower_lip]) < 1e-4);
    }

    #[test]
    fn closed_eyes_are_not_absorbed_and_are_no_neutral_from_the_start() {
        let (face, mut c, mut clock) = (person(0.0), Calibration::new(), clock());
        let closed = showing(&[(Blendshape::EyeBlinkLeft, 0.9), (Blendshape::EyeBlinkRight, 0.9)]);
        clock.watch(&mut c, &shut(&face), &closed, 60.0);
        assert!(c.neutral().is_none());
        clock.watch(&mut c, &face, &showing(&CALM), 3.0);
        clock.watch(&mut c, &shut(&face), &closed, 60.0);
        assert!(distance(&c, &face) < 1e-4);
    }

    #[test]
    fn a_face_that_changes_slowly_is_followed() {
        let (face, mut c, mut clock) = (person(0.0), Calibration::new(), clock());
        clock.watch(&mut c, &face, &showing(&CALM), 60.0);
        let slumped = moved(&face, 0.02);
        clock.watch(&mut c, &slumped, &showing(&CALM), 120.0);
        assert!(distance(&c, &slumped) < 0.001);
    }

    #[test]
    fn a_turned_head_teaches_less_than_a_frontal_one() {
        let (face, mut c, mut clock) = (person(0.0), Calibration::new(), clock());
        let mut turned = moved(&face, 0.1);
        turned.turn_rad = 0.6;
        clock.watch(&mut c, &turned, &showing(&CALM), 5.0);
        clock.watch(&mut c, &face, &showing(&CALM), 5.0);
        assert!(distance(&c, &face) < 0.02);
    }

    #[test]
    fn a_retake_takes_the_face_as_it_is_but_not_its_blink() {
        let (face, mut c, mut clock) = (person(0.0), Calibration::new(), clock());
        clock.watch(&mut c, &face, &showing(&CALM), 3.0);
        let other = person(2.0);
        let grin = showing(&[(Blendshape::MouthSmileLeft, 0.9)]);
        c.retake();
        clock.watch(&mut c, &shut(&other), &grin, 0.2);
        clock.watch(&mut c, &other, &grin, 0.3);
        assert!(distance(&c, &face) < 1e-4, "the old one holds until the new one is there");
        clock.watch(&mut c, &shut(&other), &grin, 0.1);
        clock.watch(&mut c, &other, &grin, 0.5);
        assert!(distance(&c, &other) < 1e-4);
    }
}
