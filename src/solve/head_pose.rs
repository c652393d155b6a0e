//! Head pose in millimetres, and gaze, from landmarks: robust Gauss-Newton on the person's own head.

use super::PoseConfig;
use super::cholesky;
use super::gaze::Eyes;
use super::identity::Identity;
use super::observations::{DEPTH_WEIGHT, Observations, Pose, limit};
use crate::clock::MonoTime;
use crate::face::{Gaze, HeadPose, LANDMARK_COUNT, Landmarks};
use crate::geom::{Angles, Intrinsics};
use glam::{Mat3, Quat, Vec3};

/// A face that was away for longer may be anywhere.
const WARM_S: f32 = 0.5;
const ROUNDS_WARM: usize = 5;
const ROUNDS_COLD: usize = 12;
/// A pose is found when a round turns it by less than this, and moves it by less than this share of its distance.
const SETTLED: f32 = 2e-5;
/// Mean robust cost of a landmark above which a fit is doubted and tried anew from elsewhere. Good fits lie below 1.
const DOUBTFUL: f32 = 2.5;

/// Rotation, translation, the offset of the network's z, and the residual: a row of the linear system.
const UNKNOWNS: usize = 7;
type Row = [f32; UNKNOWNS + 1];

/// What a network measures a landmark's z along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepthAlong {
    /// The camera's axis.
    Axis,
    /// The ray to the face: a crop does not show where in the frame it was cut. Taken for the axis', such depth would turn a
    /// head that moves aside.
    Ray,
}

/// Finds the head pose of one person, frame after frame, and learns the shape and size of their head meanwhile. It is the
/// state of one person in one sequence: where a sequence starts anew, so does the solver.
#[derive(Debug)]
pub struct HeadPoseSolver {
    adapt: bool,
    depth_along: DepthAlong,
    observations: Observations,
    identity: Identity,
    eyes: Eyes,
    last: Option<(MonoTime, Pose)>,
}

/// A pose and how badly it fits.
#[derive(Clone, Copy)]
struct Fit {
    pose: Pose,
    /// Mean robust cost of a landmark, in standard deviations squared.
    cost: f32,
}

impl HeadPoseSolver {
    /// A solver that knows nothing of the person yet.
    pub fn new(config: &PoseConfig, depth_along: DepthAlong) -> Self {
        Self {
            adapt: config.adapt,
            depth_along,
            observations: Observations::new(),
            identity: Identity::new(),
            eyes: Eyes::default(),
            last: None,
        }
    }

    /// The head pose that explains these landmarks best. Where a landmark is not finite the pose stays what it was.
    pub fn solve(&mut self, landmarks: &Landmarks, intrinsics: &Intrinsics, t: MonoTime) -> HeadPose {
        let before = self.last;
        let warm = before.filter(|(at, _)| t >= *at && t.since(*at).as_secs_f32() <= WARM_S);
        if !self.observations.take(landmarks, intrinsics) {
            return before.map_or_else(HeadPose::default, |(_, pose)| pose.into());
        }
        let mut fit = match warm {
            Some((_, pose)) => self.refine(pose, &[1.0; ROUNDS_WARM]),
            None => self.cold(),
        };
        if warm.is_some() && fit.cost > DOUBTFUL {
            let anew = self.cold();
            if anew.cost < 0.8 * fit.cost {
                fit = anew;
            }
        }
        let dt_s = before.map(|(at, _)| t.since(at).as_secs_f32());
        if self.adapt {
            self.identity.observe(&self.observations, &fit.pose, dt_s);
            if before.is_none() {
                fit = self.refine(fit.pose, &[1.0; ROUNDS_WARM]);
            }
        }
        let rest_s = if self.adapt { dt_s.unwrap_or(0.0) } else { 0.0 };
        self.eyes.observe(&self.observations, &fit.pose, &self.identity.shape, rest_s);
        self.last = Some((t, fit.pose));
        fit.pose.into()
    }

    /// Where the eyes looked in the frame that was solved last. As an eye closes its gaze goes over to straight ahead.
    pub fn gaze(&self) -> Gaze {
        self.eyes.gaze()
    }

    /// A pose from nothing: from the network's own depth, and where that fits badly from several sides.
    fn cold(&self) -> Fit {
        // Wide first, so that outliers cannot keep a poor start where it is.
        let mut softness = [1.0; ROUNDS_COLD];
        softness[..4].copy_from_slice(&[16.0, 8.0, 4.0, 2.0]);
        let mut best = self.refine(self.start_from_depth(), &softness);
        if best.cost > DOUBTFUL {
            let roll_rad = self.roll();
            for yaw_rad in [-1.1, 0.0, 1.1] {
                let rotation = Angles { yaw_rad, pitch_rad: 0.0, roll_rad }.to_rotation();
                let fit = self.refine(self.placed(rotation), &softness);
                if fit.cost < best.cost {
                    best = fit;
                }
            }
        }
        best
    }

    /// The rotation that takes the shape to the landmarks with the network's z for depth (orthogonal Procrustes).
    fn start_from_depth(&self) -> Pose {
        let (points, weights) = (self.observations.points(), self.observations.pose_weights());
        let total: f32 = weights.iter().sum();
        let mean =
            |of: &[Vec3; LANDMARK_COUNT]| of.iter().zip(weights).map(|(p, w)| *p * *w).sum::<Vec3>() / total;
        let (image, head) = (mean(points), mean(&self.identity.shape));
        let mut covariance = Mat3::ZERO;
        for ((p, x), w) in points.iter().zip(self.identity.shape.iter()).zip(weights) {
            let (p, x) = ((*p - image) * *w, *x - head);
            covariance += Mat3::from_cols(p * x.x, p * x.y, p * x.z);
        }
        self.placed(
            nearest_rotation(covariance)
                .unwrap_or_else(|| Angles { roll_rad: self.roll(), ..Angles::default() }.to_rotation()),
        )
    }

    /// Roll of the line through the outer eye corners, right where the face is not turned far.
    fn roll(&self) -> f32 {
        let across = self.observations.points()[263] - self.observations.points()[33];
        (-across.y).atan2(across.x)
    }

    /// A pose of this rotation whose distance and place fit the landmarks' extent (weak perspective).
    fn placed(&self, rotation: Mat3) -> Pose {
        let (points, weights) = (self.observations.points(), self.observations.pose_weights());
        let total: f32 = weights.iter().sum();
        let (mut image, mut head) = (Vec3::ZERO, Vec3::ZERO);
        for ((p, x), w) in points.iter().zip(self.identity.shape.iter()).zip(weights) {
            image += *p * (*w / total);
            head += rotation * *x * (*w / total);
        }
        let (mut extent_image, mut extent_head) = (0.0, 0.0);
        for ((p, x), w) in points.iter().zip(self.identity.shape.iter()).zip(weights) {
            extent_image += (*p - image).truncate().length_squared() * w;
            extent_head += (rotation * *x - head).truncate().length_squared() * w;
        }
        let distance = (extent_head / extent_image.max(f32::MIN_POSITIVE)).sqrt().clamp(10.0, 1e5);
        let translation = image.truncate().extend(1.0) * distance - head;
        Pose { rotation, translation }
    }

    /// Gauss-Newton rounds, each with its own softness towards outliers.
    fn refine(&self, start: Pose, softness: &[f32]) -> Fit {
        let mut fit = Fit { pose: start, cost: f32::MAX };
        for (round, softness) in softness.iter().enumerate() {
            let Some((system, cost)) = self.gather(&fit.pose, *softness) else { break };
            fit.cost = cost;
            let Some(step) = step(&system) else { break };
            let turn = Vec3::new(step[0], step[1], step[2]).clamp_length_max(0.5);
            let shift = Vec3::new(step[3], step[4], step[5]).clamp_length_max(0.3 * fit.pose.translation.z);
            let turned = Quat::from_scaled_axis(turn) * Quat::from_mat3(&fit.pose.rotation);
            fit.pose = Pose {
                rotation: Mat3::from_quat(turned.normalize()),
                translation: fit.pose.translation + shift,
            };
            let settled = turn.length() < SETTLED && shift.length() < SETTLED * fit.pose.translation.z;
            if settled && round + 1 >= 4.min(ROUNDS_WARM) {
                break;
            }
        }
        fit
    }

    /// The normal equations at a pose, and the mean cost of a landmark there. None where no landmark can be seen.
    fn gather(&self, pose: &Pose, softness: f32) -> Option<([Row; UNKNOWNS], f32)> {
        let mut system = [[0.0; UNKNOWNS + 1]; UNKNOWNS];
        // The sum of logarithms is that of the product, a few factors at a time.
        let (mut cost, mut product, mut seen) = (0.0, 1.0f64, 0.0f32);
        let along = match self.depth_along {
            DepthAlong::Axis => Vec3::Z,
            DepthAlong::Ray => pose.translation.normalize(),
        };
        for (i, (at, weight)) in self.identity.shape.iter().zip(self.observations.pose_weights()).enumerate()
        {
            let Some(view) = self.observations.view(i, pose, *at, *weight, softness) else { continue };
            let arm = view.arm;
            for (to_image, residual) in view.rows.iter().zip(view.residual.to_array()) {
                let turn = arm.cross(*to_image);
                let row = [turn.x, turn.y, turn.z, to_image.x, to_image.y, to_image.z, 0.0, residual];
                accumulate(&mut system, &row, view.weight);
            }
            let turn = arm.cross(along);
            let row = [turn.x, turn.y, turn.z, 0.0, 0.0, 0.0, -1.0, arm.dot(along) - view.depth];
            accumulate(&mut system, &row, view.weight * DEPTH_WEIGHT);
            product *= 1.0 + f64::from(view.excess);
            if product > 1e200 {
                (cost, product) = (cost + product.ln(), 1.0);
            }
            seen += 1.0;
        }
        let cost = limit(softness) * (cost + product.ln()) as f32;
        (seen > 0.0).then_some((system, cost / seen))
    }
}

/// Adds the upper triangle of `weight * rowᵀ row`.
fn accumulate(system: &mut [Row; UNKNOWNS], row: &Row, weight: f32) {
    for (sums, left) in system.iter_mut().zip(row) {
        let left = left * weight;
        for (sum, right) in sums.iter_mut().zip(row) {
            *sum += left * right;
        }
    }
}

/// The step that solves the linear system, a trace of damping keeping it regular.
fn step(system: &[Row; UNKNOWNS]) -> Option<[f32; UNKNOWNS]> {
    let a: [[f64; UNKNOWNS]; UNKNOWNS] = std::array::from_fn(|i| {
        std::array::from_fn(|j| f64::from(system[i][j]) * if i == j { 1.0 + 1e-6 } else { 1.0 })
    });
    let mut b: [[f64; 1]; UNKNOWNS] = std::array::from_fn(|i| [-f64::from(system[i][UNKNOWNS])]);
    cholesky::solve(&a, &mut b).then(|| b.map(|x| x[0] as f32))
}

/// The rotation nearest to a matrix, by Newton's iteration for the polar decomposition (Higham 1986). None where the
/// matrix mirrors or is nearly singular.
fn nearest_rotation(m: Mat3) -> Option<Mat3> {
    let scale = m.to_cols_array().iter().map(|v| v * v).sum::<f32>().sqrt();
    let mut r = m * (1.0 / scale.max(f32::MIN_POSITIVE));
    if r.determinant() < 1e-5 {
        return None;
    }
    for _ in 0..20 {
        r = (r + r.inverse().transpose()) * 0.5;
    }
    (r.is_finite() && (r.determinant() - 1.0).abs() < 1e-3).then_some(r)
}
