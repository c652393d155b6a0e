//! One frame's landmarks as the equations of pose and identity see them.

use super::canonical::{CanonicalEye, CanonicalHead};
use super::identity::longer_axis;
use crate::face::{HeadPose, LANDMARK_COUNT, Landmarks};
use crate::geom::Intrinsics;
use glam::{Mat3, Vec2, Vec3};

/// Standard deviation of a landmark that no expression moves, millimetres on the face. Measured against the MediaPipe mesh
/// on renders: 1 to 2 mm.
const LANDMARK_ERROR_MM: f32 = 1.5;
/// An expression moves whole regions at once, so within a frame its errors do not average out as the network's do: to the
/// pose they count this much more. Over time they do, so to the shape they count as they are. Chosen as the least that
/// keeps a wide open mouth from moving the head by more than 2 mm.
const EXPRESSION_TOGETHER: f32 = 3.0;
/// Cauchy's constant: 2.385 leaves 95 % efficiency on clean data.
const CAUCHY: f32 = 2.385;
/// How much the network's own z counts beside x and y. Measured on 270 real faces: without it the median error of the
/// rotation is 5.6 degrees, with 0.3 it is 5.2, with 1 it is 5.0 but pitch is worse.
pub(super) const DEPTH_WEIGHT: f32 = 0.3;

/// Where the head is; the same as [`HeadPose`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pose {
    /// `camera_from_head`.
    pub rotation: Mat3,
    /// Head's origin in camera space, millimetres.
    pub translation: Vec3,
}

impl From<Pose> for HeadPose {
    fn from(pose: Pose) -> Self {
        Self { rotation: pose.rotation, translation_mm: pose.translation }
    }
}

/// Landmarks on the plane at distance 1 from the camera, and what each is worth.
#[derive(Debug)]
pub(super) struct Observations {
    points: Box<[Vec3; LANDMARK_COUNT]>,
    /// One over the variance of each landmark, 1/mm², for the pose and for the shape.
    pose_weights: Box<[f32; LANDMARK_COUNT]>,
    shape_weights: Box<[f32; LANDMARK_COUNT]>,
}

/// One landmark's equation.
pub(super) struct View {
    /// From the head's origin to the landmark, camera space.
    pub arm: Vec3,
    /// How the two residuals change as the landmark moves in camera space.
    pub rows: [Vec3; 2],
    /// Predicted less measured, millimetres at the head's distance.
    pub residual: Vec2,
    /// Robust weight over variance, 1/mm².
    pub weight: f32,
    /// The residual's square over that at which it counts for half. The logarithm of one more, times [`limit`], is its cost.
    pub excess: f32,
    /// Measured depth beyond the head's origin, millimetres, up to a constant.
    pub depth: f32,
}

impl Observations {
    pub fn new() -> Self {
        Self {
            points: Box::new([Vec3::ZERO; LANDMARK_COUNT]),
            pose_weights: weights(EXPRESSION_TOGETHER),
            shape_weights: weights(1.0),
        }
    }

    /// Takes a frame's landmarks. False where one is not finite.
    pub fn take(&mut self, landmarks: &Landmarks, intrinsics: &Intrinsics) -> bool {
        let per_px = 1.0 / intrinsics.focal_px;
        for (point, landmark) in self.points.iter_mut().zip(landmarks) {
            *point = (*landmark - intrinsics.center.extend(0.0)) * per_px;
        }
        self.points.iter().all(|p| p.is_finite())
    }

    /// The points on the plane at distance 1; z in the same scale.
    pub fn points(&self) -> &[Vec3; LANDMARK_COUNT] {
        &self.points
    }

    /// One over each landmark's variance, 1/mm², as it counts for the pose.
    pub fn pose_weights(&self) -> &[f32; LANDMARK_COUNT] {
        &self.pose_weights
    }

    /// One over each landmark's variance, 1/mm², as it counts for the shape.
    pub fn shape_weights(&self) -> &[f32; LANDMARK_COUNT] {
        &self.shape_weights
    }

    /// The equation of landmark `i`, which lies at `at` in head space and is worth `weight`. None where that is nothing or
    /// the landmark is behind the camera.
    pub fn view(&self, i: usize, pose: &Pose, at: Vec3, weight: f32, softness: f32) -> Option<View> {
        let arm = pose.rotation * at;
        let p = arm + pose.translation;
        if weight <= 0.0 || p.z < 1.0 {
            return None;
        }
        let distance = pose.translation.z;
        let toward = distance / p.z;
        let (x, y) = (p.x / p.z, p.y / p.z);
        let residual = (Vec2::new(x, y) - self.points[i].truncate()) * distance;
        let squared = residual.length_squared() * weight;
        let excess = squared / limit(softness);
        Some(View {
            arm,
            rows: [Vec3::new(toward, 0.0, -toward * x), Vec3::new(0.0, toward, -toward * y)],
            residual,
            weight: weight / (1.0 + excess),
            excess,
            depth: self.points[i].z * distance,
        })
    }

    /// The width of an iris on the plane at distance 1, as if seen straight on; `rim` is the first of its four points, `lids`
    /// are the middles of the lids' edges. None where the eye is seen from aside or half closed: then the network guesses.
    pub fn iris_width(&self, rim: usize, lids: [usize; 2], eye: &CanonicalEye, pose: &Pose) -> Option<f32> {
        let center = pose.rotation * eye.centre + pose.translation;
        let facing = -(pose.rotation * eye.axis).dot(center) / center.length();
        let between = |a: usize, b: usize| (self.points[b] - self.points[a]).truncate();
        let width = longer_axis(between(rim, rim + 2), between(rim + 1, rim + 3));
        let open = between(lids[0], lids[1]).length() > 0.5 * width;
        (facing > 0.7 && open && width > 0.0).then_some(width)
    }
}

/// Cauchy's scale, in standard deviations squared.
pub(super) fn limit(softness: f32) -> f32 {
    CAUCHY * CAUCHY * softness * softness
}

fn weights(expression: f32) -> Box<[f32; LANDMARK_COUNT]> {
    let mut weights = Box::new([0.0; LANDMARK_COUNT]);
    // The irises turn in the head: they tell gaze and size, not pose.
    for (weight, moved) in weights.iter_mut().zip(&CanonicalHead::get().expression_mm).take(468) {
        let moved = moved * expression;
        *weight = 1.0 / (LANDMARK_ERROR_MM * LANDMARK_ERROR_MM + moved * moved);
    }
    weights
}
