//! Gaze from the irises, and the eyeLook coefficients that follow from it.
//!
//! An eyeball hangs on the eye's corners, which are nearer than the rest of the head and share the network's errors with
//! the iris. The price: the network moves the corners along when an eye turns, so that what is left of the iris' way is
//! shorter than the eye's own radius.

use super::canonical::{CanonicalEye, CanonicalHead};
use super::observations::{Observations, Pose};
use crate::face::{Blendshape, Blendshapes, Gaze, HeadPose, LANDMARK_COUNT};
use glam::{Quat, Vec2, Vec3};

/// How far an iris moves beside the corners as the eye turns by a radian, and how much deeper it lies beside them than on
/// the canonical head, millimetres. Fitted on the demonstration clip, whose gaze is known, for the least error: the true
/// radius is 10.3 mm, of which the network shows about 8.
const IRIS_WAY_MM: f32 = 7.5;
const IRIS_DEEPER_MM: f32 = 2.0;
/// Where an iris rests beside the corners in people, standard deviation in millimetres; and how far a gaze that wanders
/// takes it from there. Guesses.
const REST_ERROR_MM: f32 = 2.0;
const WANDER_MM: f32 = 2.0;
/// Gaze stays for so long before it has gone somewhere else: one independent look at where it rests.
const LOOK_S: f32 = 0.5;
/// Looks beyond which old ones are forgotten: a minute.
const LOOKS: f32 = 120.0;
/// A head turned farther than this, as a cosine, tells nothing of where the eyes rest.
const FRONTAL: f32 = 0.85;
/// Lids nearer to each other than this hide the eye, those farther apart than [`OPEN_MM`] show it; guessed from 2 mm that
/// the mesh leaves between closed lids and 10 mm between open ones.
const CLOSED_MM: f32 = 2.0;
const OPEN_MM: f32 = 4.5;

/// What `eyeLook*` = 1 stands for, radians. Slopes fitted to the eye angles of an ARKit recording.
const OUT_IN_RAD: f32 = 0.60;
const UP_RAD: f32 = 0.43;
const DOWN_RAD: f32 = 0.61;

/// An eye's landmarks in MediaPipe's indexing.
struct Eye {
    inner: usize,
    outer: usize,
    upper_lid: usize,
    lower_lid: usize,
    iris: usize,
}

const LEFT: Eye = Eye { inner: 362, outer: 263, upper_lid: 386, lower_lid: 374, iris: 473 };
const RIGHT: Eye = Eye { inner: 133, outer: 33, upper_lid: 159, lower_lid: 145, iris: 468 };

/// What is known of one person's eyes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Eyes {
    /// Sum over looks of where the irises were found beside where the shape has them, head space, millimetres; left, right.
    strayed: [Vec2; 2],
    looks: f32,
    gaze: Gaze,
}

impl Eyes {
    /// The gaze of the frame observed last.
    pub fn gaze(&self) -> Gaze {
        self.gaze
    }

    /// Takes a frame whose pose is known. People mostly look where their head points: the mean gaze of the last minute is
    /// taken for straight ahead, as far as the shape leaves it open.
    pub fn observe(
        &mut self,
        observations: &Observations,
        pose: &Pose,
        shape: &[Vec3; LANDMARK_COUNT],
        dt_s: f32,
    ) {
        let canonical = CanonicalHead::get();
        let look = dt_s.clamp(0.0, 0.2) / LOOK_S;
        let doubt = (WANDER_MM / REST_ERROR_MM).powi(2);
        let view = |k: usize, eye: Eye, of: &CanonicalEye| {
            eye.view(of, observations, pose, shape, self.strayed[k] / (self.looks + doubt))
        };
        let seen = [view(0, LEFT, &canonical.eyes.left), view(1, RIGHT, &canonical.eyes.right)];
        self.gaze = Gaze { left: seen[0].direction, right: seen[1].direction };

        let frontal = -pose.rotation.z_axis.z > FRONTAL;
        if frontal && seen.iter().all(|s| s.open >= 1.0) {
            let keep = if self.looks > LOOKS { LOOKS / self.looks } else { 1.0 };
            self.looks = self.looks * keep + look;
            for (sum, s) in self.strayed.iter_mut().zip(seen) {
                *sum = *sum * keep + s.strayed * look;
            }
        }
    }
}

/// One eye in one frame.
struct EyeView {
    /// Line of sight in camera space.
    direction: Vec3,
    /// The iris beside where the shape has it when the eye looks straight ahead.
    strayed: Vec2,
    /// 0 for a hidden eye, 1 for one that shows its iris.
    open: f32,
}

/// Writes the eight `eyeLook*` coefficients that stand for this gaze.
pub fn eye_look(gaze: &Gaze, head: &HeadPose, blendshapes: &mut Blendshapes) {
    use Blendshape as B;
    let eyes = [
        (gaze.left, 1.0, [B::EyeLookOutLeft, B::EyeLookInLeft, B::EyeLookUpLeft, B::EyeLookDownLeft]),
        (gaze.right, -1.0, [B::EyeLookOutRight, B::EyeLookInRight, B::EyeLookUpRight, B::EyeLookDownRight]),
    ];
    for (direction, side, [out, inward, up, down]) in eyes {
        let d = head.rotation.transpose() * direction;
        let outward_rad = side * d.x.atan2(d.z);
        let up_rad = d.y.clamp(-1.0, 1.0).asin();
        blendshapes[out] = (outward_rad / OUT_IN_RAD).clamp(0.0, 1.0);
        blendshapes[inward] = (-outward_rad / OUT_IN_RAD).clamp(0.0, 1.0);
        blendshapes[up] = (up_rad / UP_RAD).clamp(0.0, 1.0);
        blendshapes[down] = (-up_rad / DOWN_RAD).clamp(0.0, 1.0);
    }
}

impl Eye {
    /// `rest` is where the iris rests beside where the shape has it.
    fn view(
        &self,
        eye: &CanonicalEye,
        observations: &Observations,
        pose: &Pose,
        shape: &[Vec3; LANDMARK_COUNT],
        rest: Vec2,
    ) -> EyeView {
        let axis = eye.axis.normalize();
        let forward = pose.rotation * Vec3::Z;
        let ray = |i: usize| observations.points()[i].truncate().extend(1.0);
        let place = |i: usize| pose.rotation * shape[i] + pose.translation;
        let corners = (ray(self.inner) * place(self.inner).z + ray(self.outer) * place(self.outer).z) * 0.5;
        let from_corners = shape[self.iris] - (shape[self.inner] + shape[self.outer]) * 0.5;
        let resting = from_corners + rest.extend(-IRIS_DEEPER_MM);
        let eyeball = corners + pose.rotation * (resting - axis * IRIS_WAY_MM);
        let iris = near_point_on_sphere(ray(self.iris), eyeball, IRIS_WAY_MM);
        let from_center = pose.rotation.transpose() * (iris - eyeball);
        // The line of sight stands beside the eye's optical axis; it turns as that one does.
        let turn = Quat::from_rotation_arc(axis, from_center.try_normalize().unwrap_or(axis));
        let seen = pose.rotation * (turn * Vec3::Z);

        let opening_mm = (ray(self.upper_lid) - ray(self.lower_lid)).length() * eyeball.z.max(1.0);
        let open = ((opening_mm - CLOSED_MM) / (OPEN_MM - CLOSED_MM)).clamp(0.0, 1.0);
        EyeView {
            direction: forward.lerp(seen, open).try_normalize().unwrap_or(forward),
            strayed: (from_center - axis * IRIS_WAY_MM).truncate() + rest,
            open,
        }
    }
}

/// Where a ray from the camera first meets a sphere; where it misses, the sphere's point nearest to it.
fn near_point_on_sphere(ray: Vec3, center: Vec3, radius: f32) -> Vec3 {
    let along = ray.normalize();
    let nearest = along * along.dot(center);
    let off = nearest - center;
    let inside = radius * radius - off.length_squared();
    if inside > 0.0 { nearest - along * inside.sqrt() } else { center + off.normalize() * radius }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{CAMERA, nobody_special, photograph, pose};
    use super::*;
    use crate::face::Landmarks;
    use glam::Mat3;
    use proptest::prelude::*;

    /// The mean person looking `yaw` degrees to their left and `pitch` down, relative to the head, as the network sees it.
    fn looking(yaw: f32, pitch: f32) -> (Landmarks, Vec3) {
        let turn = Mat3::from_rotation_y(yaw.to_radians()) * Mat3::from_rotation_x(pitch.to_radians());
        let canonical = CanonicalHead::get();
        let mut head = nobody_special();
        for (eye, iris) in [(canonical.eyes.left, 473), (canonical.eyes.right, 468)] {
            let axis = eye.axis.normalize();
            head[iris] += (turn * axis - axis) * IRIS_WAY_MM - Vec3::Z * IRIS_DEEPER_MM;
        }
        (head, turn * Vec3::Z)
    }

    fn close_eyes(head: &mut Landmarks) {
        for eye in [LEFT, RIGHT] {
            head[eye.upper_lid] = head[eye.lower_lid];
        }
    }

    /// What a new pair of eyes says of these landmarks at this pose.
    fn gaze_in(seen: &Landmarks, at: &Pose) -> Gaze {
        let mut observations = Observations::new();
        observations.take(seen, &CAMERA);
        let mut eyes = Eyes::default();
        eyes.observe(&observations, at, &nobody_special(), 0.0);
        eyes.gaze()
    }

    fn straight() -> Pose {
        pose(0.0, 0.0, 0.0, [0.0, 0.0, 600.0])
    }

    fn degrees_between(a: Vec3, b: Vec3) -> f32 {
        a.angle_between(b).to_degrees()
    }

    proptest! {
        #[test]
        fn gaze_is_found_at_any_pose(
            yaw in -30f32..30.0, pitch in -25f32..25.0, head_yaw in -35f32..35.0, head_pitch in -20f32..20.0, roll in -90f32..90.0
        ) {
            let (head, direction) = looking(yaw, pitch);
            let at = pose(head_yaw, head_pitch, roll, [40.0, -30.0, 600.0]);
            let found = gaze_in(&photograph(&head, &at, &CAMERA), &at);
            for eye in [found.left, found.right] {
                prop_assert!((eye.length() - 1.0).abs() < 1e-4);
                prop_assert!(degrees_between(eye, at.rotation * direction) < 3.0, "{} off", degrees_between(eye, at.rotation * direction));
            }
        }

        #[test]
        fn a_closed_eye_looks_where_the_head_does(yaw in -30f32..30.0, head_yaw in -35f32..35.0) {
            let (mut head, _) = looking(yaw, 0.0);
            close_eyes(&mut head);
            let at = pose(head_yaw, 0.0, 0.0, [0.0, 0.0, 600.0]);
            let found = gaze_in(&photograph(&head, &at, &CAMERA), &at);
            prop_assert!(degrees_between(found.left, at.rotation * Vec3::Z) < 0.1);
            prop_assert!(degrees_between(found.right, at.rotation * Vec3::Z) < 0.1);
        }

        #[test]
        fn any_landmarks_give_unit_vectors(seed in prop::collection::vec(-1e4f32..1e4, 12)) {
            let seen: Landmarks = std::array::from_fn(|i| Vec3::new(seed[i % 12], seed[(i / 12) % 12], seed[(i / 7) % 12]));
            let found = gaze_in(&seen, &straight());
            prop_assert!((found.left.length() - 1.0).abs() < 1e-3 && (found.right.length() - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn landmarks_in_one_point_give_unit_vectors() {
        let found = gaze_in(&[Vec3::ZERO; LANDMARK_COUNT], &straight());
        assert!((found.left.length() - 1.0).abs() < 1e-3 && (found.right.length() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_look_to_the_left_is_out_for_the_left_eye_and_in_for_the_right() {
        let at = pose(20.0, 0.0, 0.0, [0.0, 0.0, 600.0]);
        let (head, _) = looking(17.0, 0.0);
        let found = gaze_in(&photograph(&head, &at, &CAMERA), &at);
        let mut blendshapes = Blendshapes::default();
        eye_look(&found, &at.into(), &mut blendshapes);
        assert!((blendshapes[Blendshape::EyeLookOutLeft] - 0.5).abs() < 0.1);
        assert!((blendshapes[Blendshape::EyeLookInRight] - 0.5).abs() < 0.1);
        assert!(blendshapes[Blendshape::EyeLookInLeft].abs() < 1e-6);
        assert!(blendshapes[Blendshape::EyeLookOutRight].abs() < 1e-6);
    }

    #[test]
    fn up_and_down_have_their_own_slopes() {
        let head = HeadPose::default();
        for (pitch_rad, up, down) in [(-UP_RAD, 1.0, 0.0), (DOWN_RAD, 0.0, 1.0), (0.0, 0.0, 0.0)] {
            let direction = head.rotation * (Mat3::from_rotation_x(pitch_rad) * Vec3::Z);
            let mut blendshapes = Blendshapes::default();
            eye_look(&Gaze { left: direction, right: direction }, &head, &mut blendshapes);
            assert!((blendshapes[Blendshape::EyeLookUpLeft] - up).abs() < 1e-3);
            assert!((blendshapes[Blendshape::EyeLookDownRight] - down).abs() < 1e-3);
        }
    }

    #[test]
    fn irises_that_rest_elsewhere_are_straight_ahead_after_a_while() {
        let at = pose(5.0, 0.0, 0.0, [0.0, 0.0, 600.0]);
        let mut head = nobody_special();
        for iris in [468, 473] {
            head[iris] += Vec3::new(0.5, -1.0, -IRIS_DEEPER_MM);
        }
        let mut observations = Observations::new();
        observations.take(&photograph(&head, &at, &CAMERA), &CAMERA);
        let mut eyes = Eyes::default();
        let mut off = Vec::new();
        for _ in 0..600 {
            eyes.observe(&observations, &at, &nobody_special(), 1.0 / 30.0);
            off.push(degrees_between(eyes.gaze().left, at.rotation * Vec3::Z));
        }
        assert!(off[0] > 6.0 && off[599] < 1.5, "{} then {}", off[0], off[599]);
    }
}
