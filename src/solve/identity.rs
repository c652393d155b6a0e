//! The person's own head: shape and size, settling while they are watched.
//!
//! Unknown are the coefficients of the canonical head's modes and the logarithm of a size factor. Each frame tells
//! something about them once its pose is taken out of the equations (Schur complement); what it tells is added to a sum
//! that forgets slowly, and the estimate is where sum and prior agree. Reprojection says nothing of absolute size: that
//! comes from the iris, which is 11.7 mm wide in nearly everyone.

use super::canonical::{CanonicalHead, MODES};
use super::cholesky;
use super::observations::{Observations, Pose};
use crate::face::LANDMARK_COUNT;
use glam::{Vec2, Vec3};

/// Modes and size.
const UNKNOWNS: usize = MODES + 1;
const SIZE: usize = MODES;
/// Standard deviation of the size factor's logarithm, beyond the size that is in the modes (4.4 % in the model).
const SIZE_PRIOR: f64 = 0.07;
/// Standard deviation of the logarithm of an iris' measured width: 4 % between people (11.7 ± 0.5 mm), and less than that
/// of measurement.
const IRIS_ERROR: f32 = 0.05;
/// An iris that is this far from what is known of the person is no measurement but a lid or a failure.
const IRIS_OUTLIER: f32 = 0.35;
/// Errors of neighbouring landmarks go together: that many count as one independent one. Guess.
const LANDMARKS_AS_ONE: f32 = 20.0;
/// What a person can at most be known by, in independent looks, and the time in which looks are forgotten. The network
/// errs alike in like pictures: a minute of them is no better than a few seconds.
const LOOKS: f32 = 4.0;
const MEMORY_S: f32 = 8.0;
/// The first look counts as this many.
const FIRST_LOOK: f32 = 1.0;
/// Each frame takes every third landmark, another third each time: a third of the time, the same sum.
const STRIDE: usize = 3;

/// Pose, unknowns, residual: a row of the linear system.
const POSE: usize = 6;
const WIDTH: usize = POSE + UNKNOWNS + 1;
type Row = [f32; WIDTH];

/// What is known of one person's head.
#[derive(Debug)]
pub(super) struct Identity {
    /// Landmarks of this person at rest, head space, millimetres.
    pub shape: Box<[Vec3; LANDMARK_COUNT]>,
    coefficients: [f64; UNKNOWNS],
    information: [[f64; UNKNOWNS]; UNKNOWNS],
    evidence: [f64; UNKNOWNS],
    system: Box<[Row; WIDTH]>,
    turn: usize,
}

impl Identity {
    /// The mean person.
    pub fn new() -> Self {
        let mut shape = Box::new([Vec3::ZERO; LANDMARK_COUNT]);
        shape.copy_from_slice(&CanonicalHead::get().points);
        Self {
            shape,
            coefficients: [0.0; UNKNOWNS],
            information: [[0.0; UNKNOWNS]; UNKNOWNS],
            evidence: [0.0; UNKNOWNS],
            system: Box::new([[0.0; WIDTH]; WIDTH]),
            turn: 0,
        }
    }

    /// How large the person is beside the mean head of their shape.
    pub fn scale(&self) -> f32 {
        (self.coefficients[SIZE] as f32).exp()
    }

    /// Learns from a frame whose pose has been found; `dt_s` since the last one, none for the first.
    pub fn observe(&mut self, observations: &Observations, pose: &Pose, dt_s: Option<f32>) {
        let (keep, looks, stride) = match dt_s {
            None => (1.0, FIRST_LOOK, 1),
            Some(dt_s) => {
                let share = dt_s.clamp(0.0, 0.2) / MEMORY_S;
                (f64::from((-share).exp()), LOOKS * share, STRIDE)
            }
        };
        self.turn = (self.turn + 1) % STRIDE;
        self.gather(observations, pose, stride, looks);
        self.add_irises(observations, pose, looks);
        if self.absorb(keep) {
            self.reshape();
        }
    }

    /// Sums the equations of the landmarks.
    fn gather(&mut self, observations: &Observations, pose: &Pose, stride: usize, looks: f32) {
        let canonical = CanonicalHead::get();
        let scale = self.scale();
        *self.system = [[0.0; WIDTH]; WIDTH];
        let share = looks * stride as f32 / LANDMARKS_AS_ONE;
        for i in (self.turn % stride..LANDMARK_COUNT).step_by(stride) {
            let weight = observations.shape_weights()[i];
            let Some(view) = observations.view(i, pose, self.shape[i], weight, 1.0) else { continue };
            let modes = &canonical.modes[i];
            for (to_image, residual) in view.rows.iter().zip(view.residual.to_array()) {
                let mut row = [0.0; WIDTH];
                let turned = view.arm.cross(*to_image);
                row[..3].copy_from_slice(&turned.to_array());
                row[3..POSE].copy_from_slice(&to_image.to_array());
                let in_head = pose.rotation.transpose() * *to_image * scale;
                for k in 0..MODES {
                    row[POSE + k] = in_head.x * modes.x[k] + in_head.y * modes.y[k] + in_head.z * modes.z[k];
                }
                row[POSE + SIZE] = to_image.dot(view.arm);
                row[WIDTH - 1] = residual;
                accumulate(&mut self.system, &row, view.weight * share);
            }
        }
    }

    /// Adds what the irises' width says of the distance, and so of the size.
    fn add_irises(&mut self, observations: &Observations, pose: &Pose, looks: f32) {
        let canonical = CanonicalHead::get();
        for (eye, rim, lids) in
            [(canonical.eyes.left, 474, [386, 374]), (canonical.eyes.right, 469, [159, 145])]
        {
            let arm = pose.rotation * (eye.centre * self.scale());
            let depth = arm.z + pose.translation.z;
            let Some(width) = observations.iris_width(rim, lids, &eye, pose) else { continue };
            let measured = 2.0 * canonical.iris_radius_mm / width;
            let residual = (depth / measured).ln();
            if residual.abs() > IRIS_OUTLIER {
                continue;
            }
            let mut row = [0.0; WIDTH];
            row[POSE - 1] = 1.0 / depth;
            row[POSE + SIZE] = arm.z / depth;
            row[WIDTH - 1] = residual;
            // Two irises of one person are one measurement.
            accumulate(&mut self.system, &row, 0.5 * looks / (IRIS_ERROR * IRIS_ERROR));
        }
    }

    /// Takes the pose out of the summed equations, adds the rest to what is known, and solves. False where this frame
    /// cannot be used.
    fn absorb(&mut self, keep: f64) -> bool {
        let s = &self.system;
        let at = |i: usize, j: usize| f64::from(if i <= j { s[i][j] } else { s[j][i] });
        let pose: [[f64; POSE]; POSE] = std::array::from_fn(|i| {
            std::array::from_fn(|j| at(i, j) * if i == j { 1.0 + 1e-6 } else { 1.0 })
        });
        let mut taken: [[f64; UNKNOWNS + 1]; POSE] =
            std::array::from_fn(|i| std::array::from_fn(|j| at(i, POSE + j)));
        if !cholesky::solve(&pose, &mut taken) {
            return false;
        }
        let rest = |i: usize, j: usize| {
            at(POSE + i, POSE + j) - (0..POSE).map(|k| at(k, POSE + i) * taken[k][j]).sum::<f64>()
        };
        for i in 0..UNKNOWNS {
            let mut evidence = -rest(i, UNKNOWNS);
            for j in 0..UNKNOWNS {
                let told = rest(i, j);
                evidence += told * self.coefficients[j];
                self.information[i][j] = self.information[i][j] * keep + told;
            }
            self.evidence[i] = self.evidence[i] * keep + evidence;
        }
        let mut with_prior = self.information;
        for (i, row) in with_prior.iter_mut().enumerate() {
            row[i] += if i == SIZE { 1.0 / (SIZE_PRIOR * SIZE_PRIOR) } else { 1.0 };
        }
        let mut solution = self.evidence.map(|e| [e]);
        let solved = cholesky::solve(&with_prior, &mut solution) && solution.iter().all(|s| s[0].is_finite());
        if solved {
            // Beyond three standard deviations there are no people, and the modes draw no faces.
            self.coefficients = std::array::from_fn(|i| {
                if i == SIZE { solution[i][0].clamp(-0.4, 0.4) } else { solution[i][0].clamp(-3.0, 3.0) }
            });
        }
        solved
    }

    /// Draws the shape that the coefficients stand for.
    fn reshape(&mut self) {
        let canonical = CanonicalHead::get();
        let coefficients: [f32; MODES] = std::array::from_fn(|k| self.coefficients[k] as f32);
        let scale = self.scale();
        let dot = |m: &[f32; MODES]| m.iter().zip(coefficients).map(|(m, c)| m * c).sum::<f32>();
        for ((shape, mean), modes) in self.shape.iter_mut().zip(&canonical.points).zip(&canonical.modes) {
            *shape = (*mean + Vec3::new(dot(&modes.x), dot(&modes.y), dot(&modes.z))) * scale;
        }
    }
}

/// Adds `weight * rowᵀ row`.
fn accumulate(system: &mut [Row; WIDTH], row: &Row, weight: f32) {
    for (i, sums) in system.iter_mut().enumerate() {
        let scaled = row[i] * weight;
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += scaled * value;
        }
    }
}

/// The longer axis of the ellipse of which `a` and `b` are conjugate diameters: how wide a circle seen from aside is.
pub(super) fn longer_axis(a: Vec2, b: Vec2) -> f32 {
    let (sum, det) = (a.length_squared() + b.length_squared(), a.perp_dot(b));
    (0.5 * (sum + (sum * sum - 4.0 * det * det).max(0.0).sqrt())).sqrt()
}
