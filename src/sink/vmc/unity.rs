//! Unity's space, and a skeleton to hang a head on.
//!
//! Unity is left-handed: x right, y up, z forward, metres. An avatar looks along +z, so that its left is -x: head space
//! with x reversed. Reversing one axis keeps turns about it and reverses those about the two others.
//!
//! | the subject | our angle | about Unity's axis |
//! |---|---|---|
//! | turns to their left | yaw > 0 | y, negative |
//! | looks down | pitch > 0 | x, positive |
//! | raises their left ear | roll > 0 | z, negative |

use glam::{Mat3, Quat, Vec3};

/// x, y, z, w of a rotation in head axes, as Unity has it.
pub(crate) fn rotation(head_axes: Mat3) -> [f32; 4] {
    let q = Quat::from_mat3(&head_axes).normalize();
    // q and -q are one turn; receivers that blend components want neighbours near each other.
    let q = if q.w < 0.0 { -q } else { q };
    [q.x, 0.0 - q.y, 0.0 - q.z, q.w]
}

/// A direction in head axes, as Unity has it.
pub(crate) fn direction(head_axes: Vec3) -> [f32; 3] {
    [0.0 - head_axes.x, head_axes.y, head_axes.z]
}

/// A bone at rest.
pub(super) struct Bone {
    /// Unity's `HumanBodyBones` name.
    pub name: &'static str,
    /// From its parent's joint, in metres.
    pub position: [f32; 3],
    /// Turn about z in degrees: arms that hang instead of standing out.
    pub lowered_deg: f32,
}

const fn bone(name: &'static str, position: [f32; 3]) -> Bone {
    Bone { name, position, lowered_deg: 0.0 }
}

/// Neck, head and eyes of [`BODY`]'s person.
pub(super) const NECK: Bone = bone("Neck", [0.0, 0.13, 0.0]);
pub(super) const HEAD: Bone = bone("Head", [0.0, 0.09, 0.01]);
pub(super) const LEFT_EYE: Bone = bone("LeftEye", [-0.032, 0.07, 0.08]);
pub(super) const RIGHT_EYE: Bone = bone("RightEye", [0.032, 0.07, 0.08]);

/// A grown person of 1.65 m, without fingers. Proportions are a guess; receivers take turns from it, seldom places.
#[rustfmt::skip]
pub(super) const BODY: [Bone; 18] = [
    bone("Hips", [0.0, 0.93, 0.0]),
    bone("Spine", [0.0, 0.08, 0.0]),
    bone("Chest", [0.0, 0.12, 0.0]),
    bone("UpperChest", [0.0, 0.12, 0.0]),
    bone("LeftShoulder", [-0.03, 0.10, 0.0]),
    Bone { name: "LeftUpperArm", position: [-0.11, 0.0, 0.0], lowered_deg: 70.0 },
    bone("LeftLowerArm", [-0.25, 0.0, 0.0]),
    bone("LeftHand", [-0.23, 0.0, 0.0]),
    bone("RightShoulder", [0.03, 0.10, 0.0]),
    Bone { name: "RightUpperArm", position: [0.11, 0.0, 0.0], lowered_deg: -70.0 },
    bone("RightLowerArm", [0.25, 0.0, 0.0]),
    bone("RightHand", [0.23, 0.0, 0.0]),
    bone("LeftUpperLeg", [-0.09, -0.04, 0.0]),
    bone("LeftLowerLeg", [0.0, -0.40, 0.0]),
    bone("LeftFoot", [0.0, -0.41, 0.0]),
    bone("RightUpperLeg", [0.09, -0.04, 0.0]),
    bone("RightLowerLeg", [0.0, -0.40, 0.0]),
    bone("RightFoot", [0.0, -0.41, 0.0]),
];

impl Bone {
    /// Position and rotation at rest, as a bone message says them.
    pub fn rest(&self) -> [f32; 7] {
        let [x, y, z] = self.position;
        let (sin, cos) = (self.lowered_deg.to_radians() * 0.5).sin_cos();
        [x, y, z, 0.0, 0.0, sin, cos]
    }

    /// Position at rest, and this rotation.
    pub fn turned(&self, rotation: [f32; 4]) -> [f32; 7] {
        let ([x, y, z], [qx, qy, qz, qw]) = (self.position, rotation);
        [x, y, z, qx, qy, qz, qw]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::{Angles, NEUTRAL_ROTATION};

    fn turned(yaw: f32, pitch: f32, roll: f32) -> Quat {
        let angles = Angles { yaw_rad: yaw, pitch_rad: pitch, roll_rad: roll };
        Quat::from_array(rotation(NEUTRAL_ROTATION * angles.to_rotation()))
    }

    // glam's quaternion product has no handedness of its own: v' = q v q⁻¹ reads the same in Unity.
    #[test]
    fn the_nose_points_where_the_subject_looks() {
        let nose = Vec3::Z;
        assert!((turned(0.5, 0.0, 0.0) * nose).x < -0.4, "the avatar's left is -x");
        assert!((turned(0.0, 0.5, 0.0) * nose).y < -0.4, "down is -y");
        let left_ear = Vec3::NEG_X;
        assert!((turned(0.0, 0.0, 0.5) * left_ear).y > 0.4, "up is +y");
    }

    #[test]
    fn arms_hang_down_on_both_sides() {
        for bone in BODY.iter().filter(|b| b.lowered_deg != 0.0) {
            let [_, _, _, x, y, z, w] = bone.rest();
            let along_the_arm = Vec3::new(bone.position[0].signum(), 0.0, 0.0);
            assert!((Quat::from_xyzw(x, y, z, w) * along_the_arm).y < -0.9, "{}", bone.name);
        }
    }
}
