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
        let corners = (canonical.points[self.inner] + canonical.points[self.outer]) * 0.5;
        let depth_mm = (head.rotation * corners + head.translation_mm).z.max(1.0);
        let ray =
            |i: usize| ((landmarks[i].truncate() - intrinsics.center) / intrinsics.focal_px).extend(1.0);
        let seen_corners = (ray(self.inner) + ray(self.outer)) * 0.5 * depth_mm;
        let eyeball = seen_corners + head.rotation * (eye.centre - corners);
        let iris = near_point_on_sphere(ray(self.iris), eyeball, canonical.rotation_to_iris_mm);
        let optical_axis = head.rotation.transpose() * (iris - eyeball);
        // The line of sight stands beside the eye's optical axis; it turns as that one does.
        let turn =
            Quat::from_rotation_arc(eye.axis.normalize(), optical_axis.try_normalize().unwrap_or(eye.axis));
        let seen = head.rotation * (turn * Vec3::Z);

        let opening_mm = (ray(self.upper_lid) - ray(self.lower_lid)).length() * depth_mm;
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
