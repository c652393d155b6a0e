//! People and pictures of them whose truth is known, for tests.

use super::canonical::{CanonicalHead, MODES};
use super::observations::Pose;
use crate::face::{LANDMARK_COUNT, Landmarks};
use crate::geom::{Angles, Intrinsics};
use glam::{Mat3, Vec2, Vec3};

pub(super) const CAMERA: Intrinsics = Intrinsics { focal_px: 554.0, center: Vec2::new(320.0, 240.0) };

/// A head with these coefficients, `size` times as large, with the irises that everyone has.
pub(super) fn person(coefficients: &[f32; MODES], size: f32) -> Landmarks {
    let canonical = CanonicalHead::get();
    let mut head = [Vec3::ZERO; LANDMARK_COUNT];
    for (i, at) in head.iter_mut().enumerate() {
        let m = &canonical.modes[i];
        let dot = |of: &[f32; MODES]| of.iter().zip(coefficients).map(|(a, b)| a * b).sum::<f32>();
        *at = (canonical.points[i] + Vec3::new(dot(&m.x), dot(&m.y), dot(&m.z))) * size;
    }
    for iris in [468, 473] {
        for rim in iris + 1..iris + 5 {
            let out = (head[rim] - head[iris]).normalize() * canonical.iris_radius_mm;
            head[rim] = head[iris] + out;
        }
    }
    head
}

/// The mean person.
pub(super) fn nobody_special() -> Landmarks {
    person(&[0.0; MODES], 1.0)
}

/// What the landmark network would say of this head if it made no errors.
pub(super) fn photograph(head: &Landmarks, pose: &Pose, camera: &Intrinsics) -> Landmarks {
    head.map(|at| {
        let p = pose.rotation * at + pose.translation;
        let depth_px = (p.z - pose.translation.z) * camera.focal_px / pose.translation.z;
        camera.project(p).extend(depth_px)
    })
}

/// A pose from degrees and millimetres.
pub(super) fn pose(yaw: f32, pitch: f32, roll: f32, translation: [f32; 3]) -> Pose {
    let rotation =
        Angles { yaw_rad: yaw.to_radians(), pitch_rad: pitch.to_radians(), roll_rad: roll.to_radians() };
    Pose { rotation: rotation.to_rotation(), translation: translation.into() }
}

/// Degrees between two rotations.
pub(super) fn degrees_apart(a: Mat3, b: Mat3) -> f32 {
    // From the chord between them: the trace's arccosine is blind below 0.03 degrees.
    let chord = (a - b).to_cols_array().iter().map(|v| v * v).sum::<f32>().sqrt();
    2.0 * (chord / 8f32.sqrt()).clamp(0.0, 1.0).asin().to_degrees()
}

/// Repeatable noise, uniform in -1..1.
pub(super) struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f32 {
        // Knuth's MMIX constants.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Moves every landmark by up to `px` along each axis.
    pub fn shake(&mut self, landmarks: &mut Landmarks, px: f32) {
        for p in landmarks {
            *p += Vec3::new(self.next(), self.next(), self.next()) * px;
        }
    }
}
