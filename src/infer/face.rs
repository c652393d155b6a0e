//! All of a face from one look: facetrackd's own network, from a crop to landmarks, expression, pose, gaze and light.
//!
//! Input: R, G, B planes of the region, -2 to 2, the image's edge repeated outside; the person at rest, where known.
//! Rotation and gaze come out as seen by the crop's own camera, which looks along the ray through the region's middle and
//! is turned with it: [`CropView`] is the way back. `training/face/crops.py` is the way there, `models/face.md` the card.

mod looks;
mod mirror;

use super::detector::sigmoid;
use super::landmarker;
use super::preprocess::{Border, Sampler, Target};
use super::session::{Session, TensorSpec};
use super::{InferError, Runtime};
use crate::face::{BLENDSHAPE_COUNT, Blendshape, Blendshapes, Gaze, HeadPose, LANDMARK_COUNT, Landmarks};
use crate::frame::Frame;
use crate::geom::{Intrinsics, Roi, orthonormal};
use crate::solve::{AlignedLandmarks, tilt};
use glam::{Mat3, Quat, Vec2, Vec3};
use looks::Looks;

const ONNX: &[u8] = include_bytes!("../../models/face.onnx");
const SIZE: usize = 192;
/// Side of the region over the longer side of the landmarks' box.
pub const MARGIN: f32 = 1.35;
/// Coefficients of the head model that the network tells people apart by.
pub const IDENTITY_MODES: usize = 100;
/// Spherical harmonics of the light, in order 1, y, z, x, xy, yz, 3z²-1, xz, x²-y², each R, G, B.
pub const LIGHT_TERMS: usize = 9;

const POINTS: &[i64] = &[1, LANDMARK_COUNT as i64, 3];
const INPUTS: [TensorSpec; 3] = [
    TensorSpec { name: "image", shape: &[1, 3, SIZE as i64, SIZE as i64] },
    TensorSpec { name: "neutral", shape: POINTS },
    TensorSpec { name: "neutral_known", shape: &[1, 1] },
];
const OUTPUTS: [TensorSpec; 10] = [
    TensorSpec { name: "landmarks", shape: POINTS },
    TensorSpec { name: "deviation", shape: &[1, LANDMARK_COUNT as i64] },
    TensorSpec { name: "blendshapes", shape: &[1, BLENDSHAPE_COUNT as i64] },
    TensorSpec { name: "rotation", shape: &[1, 6] },
    TensorSpec { name: "place", shape: &[1, 3] },
    TensorSpec { name: "gaze", shape: &[1, 2, 3] },
    TensorSpec { name: "openness", shape: &[1, 2] },
    TensorSpec { name: "light", shape: &[1, LIGHT_TERMS as i64, 3] },
    TensorSpec { name: "identity", shape: &[1, IDENTITY_MODES as i64] },
    TensorSpec { name: "presence", shape: &[1, 1] },
];
/// Logit of presence at which a face is as likely as none. Nine crops in ten that it learnt from had a face; of a
/// detector's guesses fewer do.
const PRESENCE_EVEN: f32 = 4.0;
/// Mean logarithm of the landmarks' deviation, in regions, at which they are as likely right as wrong. Of 300 stills, looked at
/// from nine sides each, 99 % of the frontal faces that were read right lie below -3.4, 95 % of profiles below -3.2, and of
/// those that were read wrong 95 % above -2.9 to -3.2.
const DOUBT_EVEN: f32 = -2.95;
const DOUBT_STEP: f32 = 0.08;
/// Real eyes that are shut read 0.25 to 0.65: the dark line that they leave passes for a slit. Those that are open read up to
/// [`BLINK_OPEN`] and are left where they are, or an eye at rest would flutter.
const BLINK_GAIN: f32 = 3.4;
const BLINK_OPEN: f32 = 0.15;
/// Corners of an eye, and points of its upper lid with those below; left, right.
const LIDS: [([usize; 2], [[usize; 2]; 3]); 2] =
    [([362, 263], [[386, 374], [385, 380], [387, 373]]), ([33, 133], [[159, 145], [158, 153], [160, 144]])];
/// How far blinks, not yet stretched, are apart where the lids' gaps are apart by an eye's width: an eye is about 0.3 of its
/// width open.
const BLINK_OF_GAP: f32 = 1.3;
const IMAGE: usize = 0;
const NEUTRAL: usize = 1;
const NEUTRAL_KNOWN: usize = 2;

/// What the network says beside the landmarks.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// The region that was looked at.
    pub roi: Roi,
    /// Expression.
    pub blendshapes: Blendshapes,
    /// Of the head, as the crop's camera sees it.
    pub rotation: Mat3,
    /// Where the head's origin is seen, 0 to 1 across the region.
    pub origin: Vec2,
    /// Side of the region at the head's depth, millimetres.
    pub side_mm: f32,
    /// Left and right eye, unit vectors as the crop's camera sees them.
    pub gaze: [Vec3; 2],
    /// Between the lids' rims, millimetres; left, right.
    pub openness_mm: [f32; 2],
    /// Irradiance over pi as the crop's camera sees it; 1 is the sensor's white for a white surface.
    pub light: [Vec3; LIGHT_TERMS],
    /// Shape of the head, unit variance.
    pub identity: [f32; IDENTITY_MODES],
    /// Standard deviation of each landmark, image pixels.
    pub deviation_px: [f32; LANDMARK_COUNT],
}

/// The network with its buffers.
pub struct FaceNet {
    session: Session,
    sampler: Sampler,
    looks: Looks,
}

impl FaceNet {
    /// Loads the network that is part of the program, on one thread.
    ///
    /// # Errors
    /// Where ONNX Runtime refuses it: [`InferError::Network`], [`InferError::Unexpected`].
    pub fn new(runtime: &Runtime) -> Result<Self, InferError> {
        let session = Session::from_bytes(runtime, "face", ONNX, 1, &INPUTS, &OUTPUTS)?;
        let target = Target { size: SIZE, range: (-2.0, 2.0), border: Border::Replicate };
        Ok(Self { session, sampler: Sampler::new(target), looks: Looks::new() })
    }

    /// Writes the landmarks (image pixels) of the face in `roi` and returns the belief that there is one, 0 to 1.
    /// [`Self::parameters`] tells the rest.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn landmarks(
        &mut self,
        frame: &Frame,
        roi: &Roi,
        neutral: Option<&AlignedLandmarks>,
        out: &mut Landmarks,
    ) -> Result<f32, InferError> {
        self.sampler.sample(frame, roi, self.session.input_mut(IMAGE));
        if let Some(neutral) = neutral {
            for (xyz, point) in self.session.input_mut(NEUTRAL).chunks_exact_mut(3).zip(&neutral.points) {
                xyz.copy_from_slice(&point.to_array());
            }
        }
        self.session.input_mut(NEUTRAL_KNOWN)[0] = if neutral.is_some() { 1.0 } else { 0.0 };
        self.session.run()?;
        Ok(self.tell(roi, out))
    }

    /// As [`Self::landmarks`], of a person who is not known: the mean of looks at regions of three sides, each also in a mirror.
    /// Six times the time, and nearer by some percent.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn landmarks_of_looks(
        &mut self,
        frame: &Frame,
        roi: &Roi,
        out: &mut Landmarks,
    ) -> Result<f32, InferError> {
        self.session.input_mut(NEUTRAL_KNOWN)[0] = 0.0;
        self.looks.clear();
        for share in looks::SIDES {
            let region = Roi { side: share * roi.side, ..*roi };
            self.sampler.sample(frame, &region, self.session.input_mut(IMAGE));
            self.session.run()?;
            self.looks.add(&mut self.session, share, false);
            mirror::flip(self.session.input_mut(IMAGE), SIZE);
            self.session.run()?;
            self.looks.add(&mut self.session, share, true);
        }
        self.looks.write(&mut self.session);
        Ok(self.tell(roi, out))
    }

    /// Writes the landmarks of the last run, and returns the belief in them.
    fn tell(&self, roi: &Roi, out: &mut Landmarks) -> f32 {
        let image_from_unit = roi.image_from_unit();
        for (point, unit) in out.iter_mut().zip(self.session.output(0).chunks_exact(3)) {
            let at = image_from_unit.transform_point2(Vec2::new(unit[0], unit[1]));
            *point = at.extend(unit[2] * roi.side);
        }
        sigmoid(self.session.output(9)[0] - PRESENCE_EVEN) * self.sharpness()
    }

    /// Whether the landmarks are where they are said to be, 0 to 1: seen askew or from too near a face is one, too, but its
    /// points are anywhere, and the network knows.
    fn sharpness(&self) -> f32 {
        let deviation = self.session.output(1);
        let doubt = deviation.iter().map(|d| d.ln()).sum::<f32>() / deviation.len() as f32;
        sigmoid((DOUBT_EVEN - doubt) / DOUBT_STEP)
    }

    /// What else was seen in the last run, which looked at `roi`.
    pub fn parameters(&self, roi: &Roi) -> Parameters {
        let row = |output: usize| self.session.output(output);
        let mut blendshapes = Blendshapes::default();
        for ((_, value), predicted) in blendshapes.values_mut().zip(row(2)) {
            *value = *predicted;
        }
        let [left, right] = [Blendshape::EyeBlinkLeft, Blendshape::EyeBlinkRight];
        (blendshapes[left], blendshapes[right]) =
            told_apart(blendshapes[left], blendshapes[right], lid_gaps(row(0)));
        let place = row(4);
        let vectors = |output: usize, i: usize| Vec3::from_slice(&row(output)[3 * i..]);
        Parameters {
            roi: *roi,
            blendshapes,
            rotation: orthonormal(vectors(3, 0), vectors(3, 1)),
            origin: Vec2::new(place[0], place[1]),
            side_mm: 1000.0 * place[2].exp(),
            gaze: [0, 1].map(|i| vectors(5, i)),
            openness_mm: [0, 1].map(|i| 10.0 * row(6)[i]),
            light: std::array::from_fn(|i| vectors(7, i)),
            identity: std::array::from_fn(|i| row(8)[i]),
            deviation_px: std::array::from_fn(|i| roi.side * row(1)[i]),
        }
    }
}

/// The region that holds these landmarks with the head upright: where to look in the next frame.
pub fn roi_around(landmarks: &Landmarks) -> Roi {
    Roi { rotation_rad: tilt(landmarks), ..landmarker::roi_around(landmarks, MARGIN) }
}

/// Between the lids, in widths of the eye; left, right.
fn lid_gaps(landmarks: &[f32]) -> [f32; 2] {
    let point = |i: usize| Vec3::from_slice(&landmarks[3 * i..]);
    let apart = |[a, b]: [usize; 2]| point(a).distance(point(b));
    LIDS.map(|(corners, lids)| lids.map(apart).iter().sum::<f32>() / 3.0 / apart(corners).max(1e-6))
}

/// The blinks, left and right: how far both eyes are shut as the network says, and how far one is more than the other as it
/// says and as its landmarks lie. Its coefficients draw the other eye along with one that winks, its lids follow them less.
/// Only then is each stretched: stretched together, the open eye of a wink would be half shut.
fn told_apart(left: f32, right: f32, gaps: [f32; 2]) -> (f32, f32) {
    let more_left = 0.5 * BLINK_OF_GAP * (gaps[1] - gaps[0]);
    (stretched(left + more_left), stretched(right - more_left))
}

fn stretched(blink: f32) -> f32 {
    (blink + (BLINK_GAIN - 1.0) * (blink - BLINK_OPEN).max(0.0)).clamp(0.0, 1.0)
}

/// The crop's camera in the frame's.
#[derive(Debug, Clone, Copy)]
pub struct CropView {
    camera_from_crop: Mat3,
    /// Focal length at the crop's middle over the crop's side.
    focal: f32,
}

impl CropView {
    /// The camera that looks at `roi`.
    pub fn new(roi: &Roi, intrinsics: &Intrinsics) -> Self {
        let ray = ((roi.center - intrinsics.center) / intrinsics.focal_px).extend(1.0);
        let onto_axis = Quat::from_rotation_arc(ray.normalize(), Vec3::Z);
        let crop_from_camera = Quat::from_rotation_z(-roi.rotation_rad) * onto_axis;
        Self {
            camera_from_crop: Mat3::from_quat(crop_from_camera.inverse()),
            focal: intrinsics.focal_px * ray.length() / roi.side,
        }
    }

    /// The head in the frame's camera, as the network has it. The pipeline takes [`crate::solve`]'s from the same network's
    /// landmarks, which came closer on real stills.
    pub fn head(&self, seen: &Parameters) -> HeadPose {
        let depth = seen.side_mm * self.focal;
        let place = ((seen.origin - 0.5) / self.focal).extend(1.0) * depth;
        HeadPose {
            rotation: self.camera_from_crop * seen.rotation,
            translation_mm: self.camera_from_crop * place,
        }
    }

    /// The gaze in the frame's camera.
    pub fn gaze(&self, seen: &Parameters) -> Gaze {
        let [left, right] = seen.gaze.map(|g| (self.camera_from_crop * g).normalize_or(Vec3::NEG_Z));
        Gaze { left, right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::tests::{assert_is_of_manifest, runtime};
    use serde::Deserialize;

    /// Written by `training/face/export.py`: what the trained network says of a picture of stripes.
    #[derive(Deserialize)]
    struct Fixture {
        landmarks: Vec<f32>,
        blendshapes: Vec<f32>,
        rotation: Vec<f32>,
        place: Vec<f32>,
        gaze: Vec<f32>,
        presence: Vec<f32>,
    }

    #[test]
    fn it_says_what_the_trained_network_says() {
        let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/face.json")).unwrap();
        let mut net = FaceNet::new(&runtime()).unwrap();
        let image = net.session.input_mut(IMAGE);
        for (i, value) in image.iter_mut().enumerate() {
            let (channel, y, x) = (i / (SIZE * SIZE), i / SIZE % SIZE, i % SIZE);
            *value = ((7 * channel + 5 * y + 3 * x) % 64) as f32 / 63.0 * 4.0 - 2.0;
        }
        net.session.input_mut(NEUTRAL_KNOWN)[0] = 0.0;
        net.session.run().unwrap();
        let near = |output: usize, expected: &[f32]| {
            for (ours, theirs) in net.session.output(output).iter().zip(expected) {
                assert!((ours - theirs).abs() < 1e-4, "{}: {ours} {theirs}", OUTPUTS[output].name);
            }
        };
        near(0, &fixture.landmarks);
        near(2, &fixture.blendshapes);
        near(3, &fixture.rotation);
        near(4, &fixture.place);
        near(5, &fixture.gaze);
        near(9, &fixture.presence);
    }

    #[test]
    fn a_wink_is_told_by_the_lids_where_the_network_draws_both_eyes_shut() {
        let mut landmarks = vec![0.0; 3 * LANDMARK_COUNT];
        let mut put = |i: usize, x: f32, y: f32| landmarks[3 * i..3 * i + 2].copy_from_slice(&[x, y]);
        for ((corners, lids), gap) in LIDS.into_iter().zip([0.02, 0.08]) {
            put(corners[0], 0.0, 0.0);
            put(corners[1], 0.2, 0.0);
            for [upper, lower] in lids {
                put(upper, 0.1, -0.5 * gap);
                put(lower, 0.1, 0.5 * gap);
            }
        }
        let gaps = lid_gaps(&landmarks);
        assert!((gaps[0] - 0.1).abs() < 1e-5 && (gaps[1] - 0.4).abs() < 1e-5, "{gaps:?}");
        let (left, right) = told_apart(0.34, 0.24, gaps);
        assert!(left > 0.9 && right < 0.1, "{left} {right}");
        let (left, right) = told_apart(0.6, 0.6, [0.2, 0.2]);
        assert!(left.min(right) > 0.99);
        let (left, right) = told_apart(0.12, 0.1, [0.3, 0.3]);
        assert!(
            (left - 0.12).abs().max((right - 0.1).abs()) < 1e-6,
            "open eyes are stretched: {left} {right}"
        );
        let (left, right) = told_apart(0.3, 0.2, [0.3, 0.3]);
        assert!(left - right > 0.1, "the coefficients' difference is lost: {left} {right}");
    }

    #[test]
    fn the_weights_are_those_of_the_manifest() {
        assert_is_of_manifest(ONNX, include_str!("../../models/face.toml"));
    }

    /// A head that the crop's camera sees straight from the front, at the crop's middle.
    fn frontal(roi: Roi) -> Parameters {
        Parameters {
            roi,
            blendshapes: Blendshapes::default(),
            rotation: crate::geom::NEUTRAL_ROTATION,
            origin: Vec2::splat(0.5),
            side_mm: 250.0,
            gaze: [Vec3::NEG_Z; 2],
            openness_mm: [9.0; 2],
            light: [Vec3::ZERO; LIGHT_TERMS],
            identity: [0.0; IDENTITY_MODES],
            deviation_px: [0.0; LANDMARK_COUNT],
        }
    }

    #[test]
    fn a_face_that_is_seen_straight_looks_at_the_camera_wherever_it_stands() {
        let intrinsics = Intrinsics::from_fov(1.2, 1280, 720);
        for (x, y) in [(640.0, 360.0), (100.0, 100.0), (1200.0, 600.0)] {
            let roi = Roi { center: Vec2::new(x, y), side: 200.0, rotation_rad: 0.4 };
            let (view, seen) = (CropView::new(&roi, &intrinsics), frontal(roi));
            let head = view.head(&seen);
            assert!(intrinsics.project(head.translation_mm).distance(roi.center) < 0.01);
            let to_camera = -head.translation_mm.normalize();
            assert!(head.rotation.z_axis.distance(to_camera) < 1e-5, "the face looks at the camera");
            assert!(view.gaze(&seen).left.distance(to_camera) < 1e-5, "and so do the eyes");
            // The region is 250 mm wide at the head's depth, whatever the angle.
            let size = head.translation_mm.length() * roi.side / (intrinsics.focal_px * 250.0);
            let away = (roi.center - intrinsics.center) / intrinsics.focal_px;
            assert!((size - (1.0 + away.length_squared()).sqrt()).abs() < 1e-4, "{size}");
        }
    }

    #[test]
    fn a_turned_crop_turns_the_head_back() {
        let intrinsics = Intrinsics::from_fov(1.2, 1280, 720);
        let roi = Roi { center: intrinsics.center, side: 200.0, rotation_rad: 0.3 };
        let head = CropView::new(&roi, &intrinsics).head(&frontal(roi));
        // The image's axes turn clockwise for the viewer: the subject's left ear, at the picture's right, sinks.
        assert!(head.rotation.x_axis.distance(Vec3::new(0.3f32.cos(), 0.3f32.sin(), 0.0)) < 1e-5);
    }
}
