//! What the tracker says of a face, and the sample that carries it to every output.

use crate::clock::MonoTime;
use crate::geom::{Angles, NEUTRAL_ROTATION, Rect};
use glam::{Mat3, Vec2, Vec3};
use std::ops::{Index, IndexMut};

/// Landmarks of a face, in MediaPipe's indexing: 468 of the mesh, 5 of the right iris, 5 of the left.
pub const LANDMARK_COUNT: usize = 478;

/// The landmarks of one face: x, y in image pixels, z in the same scale, smaller is nearer to the camera.
pub type Landmarks = [Vec3; LANDMARK_COUNT];

/// Where the 68 iBUG (300-W) points lie: so much of the way from one landmark to another, before the first where that is negative.
/// Annotators put them elsewhere than the mesh has its points, the jaw's beyond its rim. Fitted to annotated stills by
/// `training/correspondence/ibug.py`.
#[rustfmt::skip]
const IBUG68: [(u16, u16, f32); 68] = [
    // jaw, from the subject's right ear to the left
    (234, 177, -0.6), (93, 215, -0.5), (93, 227, -0.4), (132, 137, -0.45), (58, 177, -0.55), (136, 135, -0.55),
    (150, 214, -0.2), (176, 170, -0.15), (152, 199, -0.2), (400, 395, -0.15), (379, 434, -0.2), (365, 364, -0.55),
    (288, 401, -0.55), (361, 366, -0.45), (323, 447, -0.4), (323, 435, -0.5), (454, 401, -0.6),
    // brows, right then left
    (70, 68, 0.15), (63, 105, 0.3), (52, 69, 0.3), (66, 53, -0.15), (107, 66, 0.2),
    (336, 296, 0.2), (296, 283, -0.15), (282, 299, 0.3), (293, 334, 0.3), (300, 298, 0.15),
    // nose: bridge, then base
    (168, 197, 0.25), (197, 195, 0.25), (5, 4, 0.05), (4, 1, 0.3), (99, 203, 0.2), (97, 238, 0.15),
    (2, 164, 0.1), (326, 458, 0.15), (328, 423, 0.2),
    // eyes, right then left
    (33, 27, 0.15), (159, 30, 0.15), (158, 56, 0.15), (133, 222, 0.2), (153, 28, 0.15), (144, 159, 0.2),
    (362, 442, 0.2), (385, 286, 0.15), (386, 260, 0.15), (263, 257, 0.15), (373, 386, 0.2), (380, 258, 0.15),
    // mouth: outer, then inner contour
    (62, 57, 0.15), (39, 146, 0.15), (72, 2, 0.2), (11, 164, 0.2), (302, 2, 0.2), (269, 375, 0.15),
    (292, 287, 0.15), (404, 335, 0.2), (315, 421, 0.2), (16, 200, 0.2), (85, 201, 0.2), (180, 106, 0.2),
    (62, 191, 0.1), (38, 82, 0.2), (12, 13, 0.2), (268, 312, 0.2), (292, 415, 0.1), (317, 402, 0.2),
    (14, 11, 0.05), (87, 178, 0.2),
];

/// The 68 points of the iBUG (300-W) annotation, in its order, in image pixels with their depth.
pub fn ibug68(landmarks: &Landmarks) -> [Vec3; 68] {
    IBUG68.map(|(first, second, share)| {
        landmarks[usize::from(first)].lerp(landmarks[usize::from(second)], share)
    })
}

/// The one of the 68 points on the other side of the face.
pub(crate) const fn mirrored_ibug(i: usize) -> usize {
    match i {
        0..=16 => 16 - i,
        17..=26 => 43 - i,
        31..=35 => 66 - i,
        36..=39 | 42..=45 => 81 - i,
        40 | 41 | 46 | 47 => 87 - i,
        48..=54 => 102 - i,
        55..=59 => 114 - i,
        60..=64 => 124 - i,
        65..=67 => 132 - i,
        _ => i,
    }
}

macro_rules! blendshapes {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// The 52 expression coefficients, named and ordered as ARKit's `ARFaceAnchor.BlendShapeLocation` documents them.
        /// Left and right are the subject's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are the documentation")]
        pub enum Blendshape { $($variant),+ }

        impl Blendshape {
            /// All of them, in ARKit's order.
            pub const ALL: [Self; BLENDSHAPE_COUNT] = [$(Self::$variant),+];

            /// ARKit's own name, such as `jawOpen`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

/// Number of blendshapes.
pub const BLENDSHAPE_COUNT: usize = 52;

blendshapes! {
    EyeBlinkLeft = "eyeBlinkLeft", EyeLookDownLeft = "eyeLookDownLeft", EyeLookInLeft = "eyeLookInLeft",
    EyeLookOutLeft = "eyeLookOutLeft", EyeLookUpLeft = "eyeLookUpLeft", EyeSquintLeft = "eyeSquintLeft",
    EyeWideLeft = "eyeWideLeft", EyeBlinkRight = "eyeBlinkRight", EyeLookDownRight = "eyeLookDownRight",
    EyeLookInRight = "eyeLookInRight", EyeLookOutRight = "eyeLookOutRight", EyeLookUpRight = "eyeLookUpRight",
    EyeSquintRight = "eyeSquintRight", EyeWideRight = "eyeWideRight", JawForward = "jawForward",
    JawLeft = "jawLeft", JawRight = "jawRight", JawOpen = "jawOpen", MouthClose = "mouthClose",
    MouthFunnel = "mouthFunnel", MouthPucker = "mouthPucker", MouthLeft = "mouthLeft", MouthRight = "mouthRight",
    MouthSmileLeft = "mouthSmileLeft", MouthSmileRight = "mouthSmileRight", MouthFrownLeft = "mouthFrownLeft",
    MouthFrownRight = "mouthFrownRight", MouthDimpleLeft = "mouthDimpleLeft", MouthDimpleRight = "mouthDimpleRight",
    MouthStretchLeft = "mouthStretchLeft", MouthStretchRight = "mouthStretchRight",
    MouthRollLower = "mouthRollLower", MouthRollUpper = "mouthRollUpper", MouthShrugLower = "mouthShrugLower",
    MouthShrugUpper = "mouthShrugUpper", MouthPressLeft = "mouthPressLeft", MouthPressRight = "mouthPressRight",
    MouthLowerDownLeft = "mouthLowerDownLeft", MouthLowerDownRight = "mouthLowerDownRight",
    MouthUpperUpLeft = "mouthUpperUpLeft", MouthUpperUpRight = "mouthUpperUpRight", BrowDownLeft = "browDownLeft",
    BrowDownRight = "browDownRight", BrowInnerUp = "browInnerUp", BrowOuterUpLeft = "browOuterUpLeft",
    BrowOuterUpRight = "browOuterUpRight", CheekPuff = "cheekPuff", CheekSquintLeft = "cheekSquintLeft",
    CheekSquintRight = "cheekSquintRight", NoseSneerLeft = "noseSneerLeft", NoseSneerRight = "noseSneerRight",
    TongueOut = "tongueOut",
}

impl Blendshape {
    /// The blendshape of this ARKit name, its case taken exactly.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.name() == name)
    }

    /// ARKit's name with a capital, `JawOpen`, as many protocols write it.
    pub fn pascal_name(self) -> String {
        let (first, rest) = self.name().split_at(1);
        first.to_ascii_uppercase() + rest
    }

    /// The same movement of the other half of the face; itself where it has no side.
    #[must_use]
    pub fn mirrored(self) -> Self {
        let other_side = |from: &str, to: &str| {
            let stem = self.name().strip_suffix(from)?;
            Self::ALL.into_iter().find(|b| b.name().strip_suffix(to) == Some(stem))
        };
        other_side("Left", "Right").or_else(|| other_side("Right", "Left")).unwrap_or(self)
    }
}

/// One value, 0 to 1, for each [`Blendshape`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blendshapes([f32; BLENDSHAPE_COUNT]);

impl Default for Blendshapes {
    fn default() -> Self {
        Self([0.0; BLENDSHAPE_COUNT])
    }
}

impl Blendshapes {
    /// Each blendshape with its value, in ARKit's order.
    pub fn iter(&self) -> impl Iterator<Item = (Blendshape, f32)> + '_ {
        Blendshape::ALL.into_iter().zip(self.0)
    }

    /// Mutable values, in ARKit's order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = (Blendshape, &mut f32)> {
        Blendshape::ALL.into_iter().zip(self.0.iter_mut())
    }

    /// Whether no value is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.0.iter().all(|v| v.is_finite())
    }
}

impl Index<Blendshape> for Blendshapes {
    type Output = f32;

    fn index(&self, b: Blendshape) -> &f32 {
        &self.0[b as usize]
    }
}

impl IndexMut<Blendshape> for Blendshapes {
    fn index_mut(&mut self, b: Blendshape) -> &mut f32 {
        &mut self.0[b as usize]
    }
}

/// Where the head is and how it is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadPose {
    /// `camera_from_head`.
    pub rotation: Mat3,
    /// The head's origin, midway between the eyes' outer corners, in camera space.
    pub translation_mm: Vec3,
}

impl HeadPose {
    /// Yaw, pitch and roll of the rotation.
    pub fn angles(&self) -> Angles {
        Angles::from_rotation(self.rotation)
    }
}

impl Default for HeadPose {
    /// Facing the camera from 0.6 m.
    fn default() -> Self {
        Self { rotation: NEUTRAL_ROTATION, translation_mm: Vec3::new(0.0, 0.0, 600.0) }
    }
}

/// Where each eye looks: unit vectors in camera space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gaze {
    /// The subject's left eye.
    pub left: Vec3,
    /// The subject's right eye.
    pub right: Vec3,
}

impl Default for Gaze {
    /// Both eyes look into the camera's plane.
    fn default() -> Self {
        Self { left: Vec3::NEG_Z, right: Vec3::NEG_Z }
    }
}

/// All that is known of one face in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// Stays with the person while they are tracked; never given to another within a run.
    pub id: u32,
    /// The network's belief that this is a face, 0 to 1.
    pub presence: f32,
    /// Box of the landmarks in image pixels.
    pub bounds: Rect,
    /// The mesh.
    pub landmarks: Box<Landmarks>,
    /// Head pose in camera space.
    pub head: HeadPose,
    /// Gaze in camera space.
    pub gaze: Gaze,
    /// Expression.
    pub blendshapes: Blendshapes,
}

impl Default for Face {
    fn default() -> Self {
        Self {
            id: 0,
            presence: 0.0,
            bounds: Rect::default(),
            landmarks: Box::new([Vec3::ZERO; LANDMARK_COUNT]),
            head: HeadPose::default(),
            gaze: Gaze::default(),
            blendshapes: Blendshapes::default(),
        }
    }
}

impl Face {
    /// Copies all of `other` into this one without allocating.
    pub fn copy_from(&mut self, other: &Self) {
        let Self { id, presence, bounds, landmarks, head, gaze, blendshapes } = self;
        **landmarks = *other.landmarks;
        (*id, *presence, *bounds) = (other.id, other.presence, other.bounds);
        (*head, *gaze, *blendshapes) = (other.head, other.gaze, other.blendshapes);
    }

    /// Whether every number in it is finite. A face that is not must never reach an output.
    pub fn is_finite(&self) -> bool {
        self.presence.is_finite()
            && self.landmarks.iter().all(|p| p.is_finite())
            && self.head.rotation.is_finite()
            && self.head.translation_mm.is_finite()
            && self.gaze.left.is_finite()
            && self.gaze.right.is_finite()
            && self.blendshapes.is_finite()
    }
}

/// What the outputs are told of one face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Measured in this frame.
    Tracked,
    /// Lost a moment ago: values are held, then fade to neutral. See the filter stage.
    Fading,
}

/// One face with its standing.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedFace {
    /// Measured or fading.
    pub presence: Presence,
    /// The values.
    pub face: Face,
}

/// One source frame's result, as it travels to every output. Recycled like [`crate::frame::Frame`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FaceSample {
    /// [`crate::frame::Frame::index`].
    pub index: u64,
    /// [`crate::frame::Frame::captured_at`]; latency is always `now - captured_at`.
    pub captured_at: MonoTime,
    /// [`crate::frame::Frame::stream_time`].
    pub stream_time: MonoTime,
    /// Whether a frame was measured for it. Else the source is silent, and this only says that time goes on.
    pub from_frame: bool,
    /// Size of the image in pixels.
    pub image_size: Vec2,
    /// Faces, by id. Empty where there is none. Spare faces beyond the list are kept by the pipeline, not here.
    pub faces: Vec<TrackedFace>,
}

impl Default for TrackedFace {
    fn default() -> Self {
        Self { presence: Presence::Tracked, face: Face::default() }
    }
}

impl FaceSample {
    /// The faces measured in this very frame, without those that only fade.
    pub fn tracked(&self) -> impl Iterator<Item = &Face> {
        self.faces.iter().filter(|f| f.presence == Presence::Tracked).map(|f| &f.face)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solve::landmark_mirror;

    #[test]
    fn every_name_finds_its_blendshape() {
        for b in Blendshape::ALL {
            assert_eq!(Blendshape::from_name(b.name()), Some(b));
        }
        assert_eq!(Blendshape::from_name("JawOpen"), None);
    }

    #[test]
    fn mirroring_twice_changes_nothing_and_sides_change_once() {
        for b in Blendshape::ALL {
            assert_eq!(b.mirrored().mirrored(), b);
        }
        assert_eq!(Blendshape::MouthSmileLeft.mirrored(), Blendshape::MouthSmileRight);
        assert_eq!(Blendshape::JawLeft.mirrored(), Blendshape::JawRight);
        assert_eq!(Blendshape::JawOpen.mirrored(), Blendshape::JawOpen);
    }

    #[test]
    fn ibug_points_of_both_sides_are_mirror_images() {
        let mirror = landmark_mirror();
        for (i, (first, second, share)) in IBUG68.into_iter().enumerate() {
            let [first, second] =
                [first, second].map(|l| u16::try_from(mirror[usize::from(l)]).expect("of 478"));
            assert_eq!(IBUG68[mirrored_ibug(i)], (first, second, share), "point {i}");
        }
    }

    #[test]
    fn one_nan_anywhere_makes_a_face_unfit() {
        let mut face = Face::default();
        assert!(face.is_finite());
        face.landmarks[477].z = f32::NAN;
        assert!(!face.is_finite());
    }
}
