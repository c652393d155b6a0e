//! Landmarks in a frame that is tied to the head: turning, moving and the distance to the camera are taken out, so that
//! what is left is the person's shape and their expression.

use crate::face::{LANDMARK_COUNT, Landmarks};
use glam::{DMat3, DQuat, DVec2, DVec3, Vec2, Vec3};
use std::sync::LazyLock;

/// Landmarks of a head that faces the reader of this line: x to the subject's left, y up, z out of the face. The middle
/// of the eyes' outer corners is near the origin and their distance near 1; both exactly so only for the mean head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlignedLandmarks {
    /// The points, in the indexing of [`Landmarks`].
    pub points: [Vec3; LANDMARK_COUNT],
    /// How far the head is turned away from facing the camera, radians, 0 to π. Its zero is the mean head's, which is
    /// some degrees from the person's own; good for weighing frames, not for output.
    pub turn_rad: f32,
}

impl Default for AlignedLandmarks {
    fn default() -> Self {
        Self { points: [Vec3::ZERO; LANDMARK_COUNT], turn_rad: 0.0 }
    }
}

/// Points that expressions move little, with their weight and their place on the mean head.
///
/// Bridge of the nose, inner and outer eye corners, forehead, temples and the ears' roots; no brow, lip, cheek or jaw.
/// Places: median over the calm faces of 50 rendered heads. Weights: 1 over the standard deviation between the frames
/// of one head under all expressions and turns up to 40 degrees, largest set to 1. `training/expression/align.py`
/// reads this table.
#[expect(clippy::approx_constant, reason = "measured places; that two of them are near 1/π means nothing")]
#[rustfmt::skip]
const STABLE: [(u16, f64, [f64; 3]); 48] = [
    (6, 1.00, [0.000, -0.024, 0.294]),
    (8, 1.00, [0.000, 0.140, 0.238]),
    (9, 0.94, [0.000, 0.232, 0.245]),
    (10, 0.46, [0.000, 0.557, 0.147]),
    (21, 0.40, [-0.688, 0.214, -0.312]),
    (33, 0.60, [-0.500, 0.000, 0.000]),
    (34, 0.53, [-0.712, -0.082, -0.318]),
    (54, 0.36, [-0.633, 0.344, -0.188]),
    (68, 0.41, [-0.594, 0.288, -0.046]),
    (69, 0.48, [-0.343, 0.393, 0.136]),
    (71, 0.46, [-0.654, 0.183, -0.160]),
    (93, 0.36, [-0.706, -0.395, -0.576]),
    (104, 0.41, [-0.496, 0.361, 0.050]),
    (108, 0.57, [-0.182, 0.398, 0.186]),
    (122, 1.00, [-0.064, -0.043, 0.268]),
    (127, 0.44, [-0.723, -0.090, -0.541]),
    (128, 1.00, [-0.154, -0.094, 0.147]),
    (133, 0.85, [-0.194, -0.017, 0.061]),
    (139, 0.55, [-0.685, 0.060, -0.258]),
    (151, 0.65, [0.000, 0.397, 0.201]),
    (162, 0.45, [-0.715, 0.075, -0.441]),
    (168, 1.00, [0.000, 0.057, 0.239]),
    (193, 1.00, [-0.088, 0.047, 0.194]),
    (195, 0.92, [0.000, -0.162, 0.421]),
    (197, 1.00, [0.000, -0.096, 0.355]),
    (234, 0.40, [-0.719, -0.242, -0.581]),
    (244, 1.00, [-0.135, -0.031, 0.114]),
    (245, 1.00, [-0.115, -0.040, 0.163]),
    (251, 0.40, [0.688, 0.214, -0.312]),
    (263, 0.60, [0.500, 0.000, 0.000]),
    (264, 0.53, [0.712, -0.082, -0.318]),
    (284, 0.36, [0.633, 0.344, -0.188]),
    (298, 0.41, [0.594, 0.288, -0.046]),
    (299, 0.48, [0.343, 0.393, 0.136]),
    (301, 0.46, [0.654, 0.183, -0.160]),
    (323, 0.36, [0.706, -0.395, -0.576]),
    (333, 0.41, [0.496, 0.361, 0.050]),
    (337, 0.57, [0.182, 0.398, 0.186]),
    (351, 1.00, [0.064, -0.043, 0.268]),
    (356, 0.44, [0.723, -0.090, -0.541]),
    (357, 1.00, [0.154, -0.094, 0.147]),
    (362, 0.85, [0.194, -0.017, 0.061]),
    (368, 0.55, [0.685, 0.060, -0.258]),
    (389, 0.45, [0.715, 0.075, -0.441]),
    (417, 1.00, [0.088, 0.047, 0.194]),
    (454, 0.40, [0.719, -0.242, -0.581]),
    (464, 1.00, [0.135, -0.031, 0.114]),
    (465, 1.00, [0.115, -0.040, 0.163]),
];

/// A stable point this far from its place, in distances of the outer eye corners, counts half: the spread of the
/// points over all heads is 0.02 to 0.06.
const OUTLIER_SCALE: f64 = 0.04;

/// Rounds of alignment; each weighs the points anew by how badly they fitted. The third moves points by less than the
/// landmarks' own noise.
const ROUNDS: usize = 3;

/// Takes the head's rotation, place and size out of `landmarks` (image pixels, z in the same scale).
///
/// A similarity transform in least squares (Horn 1987, unit quaternions; the size is the ratio of the spreads, so that
/// it does not shrink with noise), repeated with the points that fit badly weighed down. Landmarks without any extent
/// all come out at one point; landmarks that are not finite come out not finite.
pub fn align(landmarks: &Landmarks) -> AlignedLandmarks {
    // Image axes are x right, y down, z away from the camera: two signs make them the head's.
    let upright = |p: Vec3| DVec3::new(f64::from(p.x), -f64::from(p.y), -f64::from(p.z));
    let points = STABLE.map(|(i, _, _)| upright(landmarks[usize::from(i)]));
    let places = STABLE.map(|(_, _, place)| DVec3::from_array(place));
    let mut weights = STABLE.map(|(_, weight, _)| weight);
    let mut fit = Similarity::IDENTITY;
    for _ in 0..ROUNDS {
        fit = Similarity::least_squares(&points, &places, &weights);
        for (k, weight) in weights.iter_mut().enumerate() {
            let miss = fit.apply(points[k]).distance_squared(places[k]);
            *weight = STABLE[k].1 / (1.0 + miss / (OUTLIER_SCALE * OUTLIER_SCALE));
        }
    }
    AlignedLandmarks {
        points: landmarks.map(|p| fit.apply(upright(p)).as_vec3()),
        turn_rad: fit.rotation.z_axis.z.clamp(-1.0, 1.0).acos() as f32,
    }
}

/// The head's turn in the picture, radians, clockwise: how far from level the axis is that runs through both eyes, and how
/// far from upright the one that runs up. Seen from the side the eyes' line tells nothing, the other one all.
///
/// Both axes as the affine map has them that fits the stable points best; of the landmarks depth is not asked. Landmarks
/// without any extent have some finite one.
pub fn tilt(landmarks: &Landmarks) -> f32 {
    tilt_of(STABLE.iter().map(|(i, _, _)| landmarks[usize::from(*i)].truncate()), &*AXES)
}

/// As [`tilt`], of a detector's six points: right eye, left eye, nose tip, mouth, right ear, left ear.
pub fn tilt_of_keypoints(keypoints: &[Vec2; 6]) -> f32 {
    tilt_of(keypoints.iter().copied(), &*KEYPOINT_AXES)
}

fn tilt_of(points: impl Iterator<Item = Vec2>, shares: &[DVec2]) -> f32 {
    let (mut across, mut up) = (DVec2::ZERO, DVec2::ZERO);
    for (point, share) in points.zip(shares) {
        across += point.as_dvec2() * share.x;
        up += point.as_dvec2() * share.y;
    }
    (across.y + up.x).atan2(across.x - up.y) as f32
}

/// How much of each stable point goes into the axis across and into the one up.
static AXES: LazyLock<[DVec2; STABLE.len()]> =
    LazyLock::new(|| shares(STABLE.map(|(_, weight, place)| (weight, DVec3::from_array(place)))));

/// The same of a detector's points, where `models/canonical_head.json` has them.
static KEYPOINT_AXES: LazyLock<[DVec2; 6]> = LazyLock::new(|| {
    let places = [
        [-0.347, 0.006, 0.082],
        [0.347, 0.006, 0.082],
        [0.000, -0.372, 0.478],
        [0.000, -0.704, 0.301],
        [-0.769, -0.236, -0.506],
        [0.769, -0.236, -0.506],
    ];
    shares(places.map(|place| (1.0, DVec3::from_array(place))))
});

/// Each point's share in the least squares fit of the head's axes, across and up, from weights and places.
fn shares<const N: usize>(points: [(f64, DVec3); N]) -> [DVec2; N] {
    let total: f64 = points.iter().map(|(weight, _)| weight).sum();
    let middle = points.iter().map(|(weight, place)| *weight * *place).sum::<DVec3>() / total;
    let away = points.map(|(weight, place)| (weight, place - middle));
    let mut spread = DMat3::ZERO;
    for (weight, a) in away {
        spread += DMat3::from_cols(a * a.x, a * a.y, a * a.z) * weight;
    }
    let fit = spread.inverse();
    away.map(|(weight, a)| (fit * a).truncate() * weight)
}

/// `x ↦ scale · rotation · (x - from) + to`.
struct Similarity {
    rotation: DMat3,
    scale: f64,
    from: DVec3,
    to: DVec3,
}

impl Similarity {
    const IDENTITY: Self = Self { rotation: DMat3::IDENTITY, scale: 1.0, from: DVec3::ZERO, to: DVec3::ZERO };

    fn apply(&self, point: DVec3) -> DVec3 {
        self.scale * (self.rotation * (point - self.from)) + self.to
    }

    fn least_squares<const N: usize>(points: &[DVec3; N], places: &[DVec3; N], weights: &[f64; N]) -> Self {
        let total: f64 = weights.iter().sum();
        let mean = |v: &[DVec3; N]| v.iter().zip(weights).map(|(p, w)| *p * *w).sum::<DVec3>() / total;
        let (from, to) = (mean(points), mean(places));
        let (mut spread_from, mut spread_to) = (0.0, 0.0);
        // Column j of this is the sum of place times component j of point.
        let mut covariance = DMat3::ZERO;
        for k in 0..N {
            let (p, q) = (points[k] - from, places[k] - to);
            spread_from += weights[k] * p.length_squared();
            spread_to += weights[k] * q.length_squared();
            covariance += DMat3::from_cols(q * p.x, q * p.y, q * p.z) * weights[k];
        }
        let scale = if spread_from == 0.0 { 0.0 } else { (spread_to / spread_from).sqrt() };
        Self { rotation: best_rotation(&covariance), scale, from, to }
    }
}

/// The rotation R with the largest trace of `Rᵀ · covariance`: the eigenvector of Horn's symmetric 4 x 4 matrix with the
/// largest eigenvalue is its quaternion.
fn best_rotation(covariance: &DMat3) -> DMat3 {
    let s = |row: usize, col: usize| covariance.col(row)[col];
    let (yz, zx, xy) = (s(1, 2) - s(2, 1), s(2, 0) - s(0, 2), s(0, 1) - s(1, 0));
    let (both_xy, both_zx, both_yz) = (s(0, 1) + s(1, 0), s(2, 0) + s(0, 2), s(1, 2) + s(2, 1));
    let mut m = [
        [s(0, 0) + s(1, 1) + s(2, 2), yz, zx, xy],
        [yz, s(0, 0) - s(1, 1) - s(2, 2), both_xy, both_zx],
        [zx, both_xy, s(1, 1) - s(0, 0) - s(2, 2), both_yz],
        [xy, both_zx, both_yz, s(2, 2) - s(0, 0) - s(1, 1)],
    ];
    let vectors = jacobi(&mut m);
    let largest = (1..4).fold(0, |best, k| if m[k][k] > m[best][best] { k } else { best });
    let [w, x, y, z] = vectors.map(|row| row[largest]);
    DMat3::from_quat(DQuat::from_xyzw(x, y, z, w).normalize())
}

/// Cyclic Jacobi: makes `m` diagonal and gives the eigenvectors as columns. Six sweeps reach the last bit of a 4 x 4.
fn jacobi(m: &mut [[f64; 4]; 4]) -> [[f64; 4]; 4] {
    let mut v = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    for _ in 0..6 {
        for (p, q) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            if m[p][q] == 0.0 {
                continue;
            }
            let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
            let t = 1.0_f64.copysign(theta) / (theta.abs() + theta.hypot(1.0));
            let cos = 1.0 / t.hypot(1.0);
            let sin = t * cos;
            for row in m.iter_mut().chain(&mut v) {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
            let (row_p, row_q) = (m[p], m[q]);
            m[p] = std::array::from_fn(|k| cos * row_p[k] - sin * row_q[k]);
            m[q] = std::array::from_fn(|k| sin * row_p[k] + cos * row_q[k]);
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{EulerRot, Quat};
    use proptest::prelude::*;
    use serde::Deserialize;

    /// Landmarks of two rendered heads as the Python side aligned them; made by `training/expression/fixture.py`.
    #[derive(Deserialize)]
    struct Fixture {
        landmarks: Vec<[f32; 3]>,
        aligned: Vec<[f32; 3]>,
        tilt_rad: f32,
    }

    fn fixtures() -> Vec<Fixture> {
        serde_json::from_str(include_str!("../../tests/fixtures/aligned_landmarks.json")).unwrap()
    }

    fn landmarks(rows: &[[f32; 3]]) -> Landmarks {
        std::array::from_fn(|i| Vec3::from_array(rows[i]))
    }

    fn worst(a: &AlignedLandmarks, b: &AlignedLandmarks) -> f32 {
        a.points.iter().zip(&b.points).map(|(p, q)| p.distance(*q)).fold(0.0, f32::max)
    }

    #[test]
    fn training_and_tracking_align_alike() {
        for fixture in fixtures() {
            let face = landmarks(&fixture.landmarks);
            assert!((tilt(&face) - fixture.tilt_rad).abs() < 2e-5, "{} {}", tilt(&face), fixture.tilt_rad);
            let aligned = align(&face);
            for (ours, theirs) in aligned.points.iter().zip(&fixture.aligned) {
                assert!(ours.distance(Vec3::from_array(*theirs)) < 2e-5, "{ours} {theirs:?}");
            }
        }
    }

    #[test]
    fn one_stable_point_astray_hardly_moves_the_rest() {
        let mut face = landmarks(&fixtures()[0].landmarks);
        let before = align(&face);
        let eyes = face[33].distance(face[263]);
        face[10].y -= eyes;
        let mut after = align(&face);
        after.points[10] = before.points[10];
        assert!(worst(&before, &after) < 0.015, "{}", worst(&before, &after));
    }

    #[test]
    fn landmarks_without_extent_stay_finite() {
        let aligned = align(&[Vec3::splat(7.0); LANDMARK_COUNT]);
        assert!(aligned.points.iter().all(|p| p.is_finite()));
        assert!(tilt(&[Vec3::splat(7.0); LANDMARK_COUNT]).is_finite());
    }

    #[test]
    fn a_head_that_turns_aside_stays_upright() {
        let face = landmarks(&fixtures()[1].landmarks);
        // Level itself, then turned as far as heads turn, and then leant in the picture.
        let level = face.map(|p| Quat::from_rotation_z(-tilt(&face)) * p);
        for yaw in [-1.6f32, -1.2, -0.6, 0.0, 0.6, 1.2, 1.6] {
            for lean in [-1.0f32, 0.0, 0.7] {
                let turned = level.map(|p| Quat::from_rotation_z(lean) * Quat::from_rotation_y(yaw) * p);
                let off = (tilt(&turned) - lean).abs();
                assert!(off < 0.06, "yaw {yaw}, lean {lean}: {off} radians off");
                let [right_eye, left_eye, nose, mouth] = crate::infer::landmarker::keypoints(&turned);
                let [right_ear, left_ear] = [234, 454].map(|i| turned[i].truncate());
                let few = tilt_of_keypoints(&[right_eye, left_eye, nose, mouth, right_ear, left_ear]);
                assert!((few - lean).abs() < 0.1, "yaw {yaw}, lean {lean}: a detector's points say {few}");
            }
        }
    }

    proptest! {
        #[test]
        fn turning_moving_and_scaling_change_nothing(
            yaw in -0.8f32..0.8, pitch in -0.6f32..0.6, roll in -3.0f32..3.0,
            x in -2000f32..2000.0, y in -2000f32..2000.0, scale in 0.05f32..20.0,
        ) {
            let face = landmarks(&fixtures()[1].landmarks);
            let turn = Quat::from_euler(EulerRot::YXZ, yaw, pitch, roll);
            let moved = face.map(|p| turn * p * scale + Vec3::new(x, y, 0.0));
            let (a, b) = (align(&face), align(&moved));
            // Positions of some thousand pixels carry about 1e-4 pixels of rounding.
            prop_assert!(worst(&a, &b) < 1e-4 / scale.min(1.0) + 1e-4, "{}", worst(&a, &b));
        }
    }
}
