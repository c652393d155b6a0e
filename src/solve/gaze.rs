//! Gaze from the iris and the eye's corners, and the eyeLook coefficients that follow from it.

use super::canonical::{CanonicalEye, CanonicalHead};
use crate::face::{Blendshape, Blendshapes, Gaze, HeadPose, Landmarks};
use crate::geom::Intrinsics;
use glam::{Quat, Vec3};

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

/// Where each eye looks, from the iris' place on an eyeball that hangs on the eye's corners. As an eye closes its gaze
/// goes over to straight ahead.
pub fn gaze(landmarks: &Landmarks, head: &HeadPose, intrinsics: &Intrinsics) -> Gaze {
    let eyes = CanonicalHead::get().eyes;
    Gaze {
        left: LEFT.gaze(&eyes.left, landmarks, head, intrinsics),
        right: RIGHT.gaze(&eyes.right, landmarks, head, intrinsics),
    }
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
    fn gaze(
        &self,
        eye: &CanonicalEye,
        landmarks: &Landmarks,
        head: &HeadPose,
        intrinsics: &Intrinsics,
    ) -> Vec3 {
        let canonical = CanonicalHead::get();
        let forward = head.rotation * Vec3::Z;
        let ray =
            |i: usize| ((landmarks[i].truncate() - intrinsics.center) / intrinsics.focal_px).extend(1.0);
        let depth_mm = |i: usize| (head.rotation * canonical.points[i] + head.translation_mm).z.max(1.0);
        let corners = (canonical.points[self.inner] + canonical.points[self.outer]) * 0.5;
        let seen_corners =
            (ray(self.inner) * depth_mm(self.inner) + ray(self.outer) * depth_mm(self.outer)) * 0.5;
        let eyeball = seen_corners + head.rotation * (eye.centre - corners);
        let iris = near_point_on_sphere(ray(self.iris), eyeball, canonical.rotation_to_iris_mm);
        let optical_axis = head.rotation.transpose() * (iris - eyeball);
        // The line of sight stands beside the eye's optical axis; it turns as that one does.
        let turn =
            Quat::from_rotation_arc(eye.axis.normalize(), optical_axis.try_normalize().unwrap_or(eye.axis));
        let seen = head.rotation * (turn * Vec3::Z);

        let opening_mm = (ray(self.upper_lid) - ray(self.lower_lid)).length() * depth_mm(self.lower_lid);
        let open = ((opening_mm - CLOSED_MM) / (OPEN_MM - CLOSED_MM)).clamp(0.0, 1.0);
        forward.lerp(seen, open).try_normalize().unwrap_or(forward)
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
    use super::super::synthetic::{CAMERA, degrees_apart, nobody_special, photograph, pose};
    use super::*;
    use crate::face::LANDMARK_COUNT;
    use glam::Mat3;
    use proptest::prelude::*;

    /// The mean person looking `yaw` degrees to their left and `pitch` down, relative to the head.
    fn looking(yaw: f32, pitch: f32) -> (Landmarks, Vec3) {
        let turn = Mat3::from_rotation_y(yaw.to_radians()) * Mat3::from_rotation_x(pitch.to_radians());
        let canonical = CanonicalHead::get();
        let mut head = nobody_special();
        for (eye, iris) in [(canonical.eyes.left, 473), (canonical.eyes.right, 468)] {
            head[iris] = eye.centre + turn * eye.axis * canonical.rotation_to_iris_mm;
        }
        (head, turn * Vec3::Z)
    }

    fn close_eyes(head: &mut Landmarks) {
        for eye in [LEFT, RIGHT] {
            head[eye.upper_lid] = head[eye.lower_lid];
        }
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
            let found = gaze(&photograph(&head, &at, &CAMERA), &at.into(), &CAMERA);
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
            let found = gaze(&photograph(&head, &at, &CAMERA), &at.into(), &CAMERA);
            prop_assert!(degrees_between(found.left, at.rotation * Vec3::Z) < 0.1);
            prop_assert!(degrees_between(found.right, at.rotation * Vec3::Z) < 0.1);
        }

        #[test]
        fn any_landmarks_give_unit_vectors(seed in prop::collection::vec(-1e4f32..1e4, 12)) {
            let seen: Landmarks = std::array::from_fn(|i| Vec3::new(seed[i % 12], seed[(i / 12) % 12], seed[(i / 7) % 12]));
            let found = gaze(&seen, &HeadPose::default(), &CAMERA);
            prop_assert!((found.left.length() - 1.0).abs() < 1e-3 && (found.right.length() - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn landmarks_in_one_point_give_unit_vectors() {
        let found = gaze(&[Vec3::ZERO; LANDMARK_COUNT], &HeadPose::default(), &CAMERA);
        assert!((found.left.length() - 1.0).abs() < 1e-3 && (found.right.length() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_look_to_the_left_is_out_for_the_left_eye_and_in_for_the_right() {
        let at = pose(20.0, 0.0, 0.0, [0.0, 0.0, 600.0]);
        let (head, _) = looking(17.0, 0.0);
        let found = gaze(&photograph(&head, &at, &CAMERA), &at.into(), &CAMERA);
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
    fn rotations_apart_are_told_in_degrees() {
        let d = degrees_apart(Mat3::IDENTITY, Mat3::from_rotation_y(0.5));
        assert!((d - 0.5f32.to_degrees()).abs() < 0.01);
    }
}
