//! OpenSeeFace's UDP packets, for VSeeFace and all that take its tracker.
//!
//! Little-endian, packed, 1785 bytes a face, the faces of a frame in one datagram. OpenSeeFace solves the pose in a
//! picture with rows and columns swapped, with a left-handed face (x to the subject's right, y up, z out of the face, in
//! units of about 136 mm from the tip of the nose), and lands on the solution behind the camera. Receivers expect what
//! comes out of that:
//!
//! | the subject | Euler angles (x, y, z) in degrees | |
//! |---|---|---|
//! | faces the camera | ±180, 0, 90 | |
//! | turns to their left | y > 0 | |
//! | looks down | x from -180 up: -170 is 10 degrees down | |
//! | raises their left ear | z > 90 | |
//! | moves left, down, away | | translation y < 0, x < 0, z < 0 |
//!
//! It was compared with OpenCV's `solvePnP` and `RQDecomp3x3` on OpenSeeFace's published face model. The 14 features are
//! made from blendshapes, not from landmarks and their median as OpenSeeFace does.

use super::adjust::{Adjuster, FaceView};
use super::stream::Encode;
use crate::face::Blendshape::{
    BrowDownLeft, BrowDownRight, BrowInnerUp, BrowOuterUpLeft, BrowOuterUpRight, EyeBlinkLeft, EyeBlinkRight,
    EyeWideLeft, EyeWideRight, JawOpen, MouthClose, MouthDimpleLeft, MouthDimpleRight, MouthFrownLeft,
    MouthFrownRight, MouthFunnel, MouthPucker, MouthSmileLeft, MouthSmileRight, MouthStretchLeft,
    MouthStretchRight,
};
use crate::face::{Blendshape, Face, FaceSample, ibug68, mirrored_ibug};
use glam::{Mat3, Quat, Vec2, Vec3};

/// OpenSeeFace's default.
pub const DEFAULT_PORT: u16 = 11573;

/// Bytes of one face.
const FACE_SIZE: usize = 1785;

/// Receivers are written for fewer than 40; a datagram holds 36.
const MAX_FACES: usize = 36;

/// Millimetres of one unit: the face model's outer eye corners are 0.66 apart, a grown person's about 90 mm.
const UNIT_MM: f32 = 136.0;

/// Middle of the outer eye corners in the face model, from the tip of the nose.
const MODEL_EYES: Vec3 = Vec3::new(0.0, 0.2827, -0.2594);

/// Half the distance of the model's outer eye corners.
const MODEL_HALF_EYES: f32 = 0.3298;

/// The model's eyeball centres, right then left, and their radius.
const EYEBALLS: [Vec3; 2] = [Vec3::new(0.258, 0.276, -0.3246), Vec3::new(-0.258, 0.276, -0.3246)];
const EYEBALL_RADIUS: f32 = 0.1046;

/// For each of OpenSeeFace's first 66 points the one of iBUG's 68: the mouth has its corners elsewhere, and one less.
const IBUG_OF_POINT: [usize; 66] = {
    let mut map = [0; 66];
    let mut i = 0;
    while i < 66 {
        map[i] = match i {
            0..=47 => i,
            48..=52 => i + 1,
            58 => 60,
            62 => 64,
            _ => i + 2,
        };
        i += 1;
    }
    map
};

/// Encodes faces.
pub(super) struct Encoder {
    datagram: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Self {
        Self { datagram: Vec::with_capacity(MAX_FACES * FACE_SIZE) }
    }
}

impl Encode for Encoder {
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        self.datagram.clear();
        for tracked in sample.faces.iter().take(MAX_FACES) {
            let view = adjuster.view(&tracked.face, tracked.presence);
            let points = Points::new(&tracked.face, &view, sample.image_size, adjuster.is_mirroring());
            push_face(&mut self.datagram, sample, &view, &points);
        }
        // As OpenSeeFace does, nothing is sent while there is no face.
        if !self.datagram.is_empty() {
            send(&self.datagram);
        }
    }
}

/// OpenSeeFace's points of one face.
struct Points {
    /// In image pixels; the last two are the pupils, right then left.
    image: [Vec2; 68],
    /// In the face model's space; the last four are pupils and eyeball centres, right then left.
    model: [Vec3; 70],
}

impl Points {
    fn new(face: &Face, view: &FaceView, image_size: Vec2, is_mirrored: bool) -> Self {
        let (ibug, iris) = (ibug68(&face.landmarks), [468, 473].map(|i| face.landmarks[i].truncate()));
        let solid = solid_points(face, &ibug);
        // Mirroring sends each point to the other side, and the sides change names.
        let side = |i: usize| if is_mirrored { mirrored_ibug(i) } else { i };
        let flip = |p: Vec2| if is_mirrored { Vec2::new(image_size.x - p.x, p.y) } else { p };
        let flip_model = |p: Vec3| if is_mirrored { Vec3::new(-p.x, p.y, p.z) } else { p };
        let (mut image, mut model) = ([Vec2::ZERO; 68], [Vec3::ZERO; 70]);
        for (i, ibug_point) in IBUG_OF_POINT.into_iter().enumerate() {
            image[i] = flip(ibug[side(ibug_point)].truncate());
            model[i] = flip_model(solid[side(ibug_point)]);
        }
        let [left, right] = view.gaze_in_head();
        for (i, gaze) in [right, left].into_iter().enumerate() {
            image[66 + i] = flip(iris[if is_mirrored { 1 - i } else { i }]);
            model[68 + i] = EYEBALLS[i];
            model[66 + i] = EYEBALLS[i] + EYEBALL_RADIUS * model_axes(gaze);
        }
        Self { image, model }
    }
}

/// The iBUG points in the face model's space: turned back, and scaled by the eyes' outer corners. Perspective within the
/// face is left out.
fn solid_points(face: &Face, points: &[Vec3; 68]) -> [Vec3; 68] {
    let (right, left) = (points[36], points[45]);
    let (middle, width) = ((right + left) * 0.5, right.distance(left));
    let scale = if width > 0.0 { 2.0 * MODEL_HALF_EYES / width } else { 0.0 };
    let head_from_camera = face.head.rotation.transpose();
    points.map(|p| MODEL_EYES + model_axes(head_from_camera * (p - middle)) * scale)
}

/// From head axes to the face model's: x goes to the subject's right there.
fn model_axes(head_axes: Vec3) -> Vec3 {
    Vec3::new(-head_axes.x, head_axes.y, head_axes.z)
}

/// OpenSeeFace's rotation matrix: rows and columns of the picture swapped, and the first two axes reversed, because its
/// solution lies behind the camera.
fn swapped_rotation(camera_from_head: Mat3) -> Mat3 {
    let swap = Mat3::from_cols(Vec3::NEG_Y, Vec3::NEG_X, Vec3::Z);
    let model = Mat3::from_diagonal(Vec3::new(-1.0, 1.0, 1.0));
    swap * camera_from_head * model
}

/// Euler angles as `RQDecomp3x3` takes them, in degrees.
fn euler_degrees(m: Mat3) -> [f32; 3] {
    let (x, y, z) = (m.x_axis, m.y_axis, m.z_axis);
    [y.z.atan2(z.z), (-x.z).atan2(y.z.hypot(z.z)), x.y.atan2(x.x)].map(f32::to_degrees)
}

fn translation(view: &FaceView) -> [f32; 3] {
    let nose_from_origin = model_axes(-MODEL_EYES) * UNIT_MM;
    let nose = (view.head.rotation * nose_from_origin + view.head.translation_mm) / UNIT_MM;
    [-nose.y, -nose.x, -nose.z]
}

fn push_face(out: &mut Vec<u8>, sample: &FaceSample, view: &FaceView, points: &Points) {
    let b = &view.blendshapes;
    out.extend_from_slice(&sample.captured_at.as_secs_f64().to_le_bytes());
    out.extend_from_slice(&view.id.cast_signed().to_le_bytes());
    let mut put = |values: &[f32]| values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    put(&sample.image_size.to_array());
    put(&[1.0 - b[EyeBlinkRight], 1.0 - b[EyeBlinkLeft]]);
    out.push(1);
    let mut put = |values: &[f32]| values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    put(&[0.0]);
    let rotation = swapped_rotation(view.head.rotation);
    put(&Quat::from_mat3(&rotation.transpose()).to_array());
    put(&euler_degrees(rotation));
    put(&translation(view));
    put(&[view.presence; 68]);
    points.image.iter().for_each(|p| put(&p.to_array()));
    points.model.iter().for_each(|p| put(&[p.x, -p.y, -p.z]));
    put(&features(view));
}

/// The 14 features, -1 to 1, in their order.
fn features(view: &FaceView) -> [f32; 14] {
    let b = &view.blendshapes;
    let [left, right] = [
        Side {
            eye: [EyeWideLeft, EyeBlinkLeft],
            brow: [BrowOuterUpLeft, BrowDownLeft],
            corner: [MouthSmileLeft, MouthFrownLeft, MouthStretchLeft, MouthDimpleLeft],
        },
        Side {
            eye: [EyeWideRight, EyeBlinkRight],
            brow: [BrowOuterUpRight, BrowDownRight],
            corner: [MouthSmileRight, MouthFrownRight, MouthStretchRight, MouthDimpleRight],
        },
    ]
    .map(|side| side.features(view));
    let wide = 0.5 * (left.inout + right.inout);
    [
        left.eye,
        right.eye,
        left.steepness,
        left.up,
        left.quirk,
        right.steepness,
        right.up,
        right.quirk,
        left.corner_down,
        left.inout,
        right.corner_down,
        right.inout,
        (b[JawOpen] - b[MouthClose]).clamp(0.0, 1.0),
        wide,
    ]
}

/// The blendshapes that make one side's features.
struct Side {
    eye: [Blendshape; 2],
    brow: [Blendshape; 2],
    corner: [Blendshape; 4],
}

struct SideFeatures {
    /// 0 is open, -1 closed, 1 wide.
    eye: f32,
    /// The brow's outer end above its inner one.
    steepness: f32,
    up: f32,
    quirk: f32,
    /// OpenSeeFace measures how far the corner hangs below the lip: positive is down.
    corner_down: f32,
    /// Positive is outwards.
    inout: f32,
}

impl Side {
    fn features(&self, view: &FaceView) -> SideFeatures {
        let b = &view.blendshapes;
        let [wide, blink] = self.eye.map(|s| b[s]);
        let [outer_up, down] = self.brow.map(|s| b[s]);
        let [smile, frown, stretch, dimple] = self.corner.map(|s| b[s]);
        let inner_up = b[BrowInnerUp];
        let unit = |v: f32| v.clamp(-1.0, 1.0);
        SideFeatures {
            eye: unit(wide - blink),
            steepness: unit(outer_up + 0.5 * down - inner_up),
            up: unit(0.5 * (outer_up + inner_up) - down),
            quirk: unit(outer_up - 0.5 * down),
            corner_down: unit(frown - smile),
            inout: unit(0.5 * smile + stretch + 0.5 * dimple - b[MouthPucker] - 0.5 * b[MouthFunnel]),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values compared are copied, not computed")]
mod tests {
    use super::super::adjust::Adjust;
    use super::super::stream::testing::datagrams;
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::geom::Angles;

    /// Offsets in a face: Euler angles, translation, points in the image and in 3D, features.
    const EULER: usize = 49;
    const TRANSLATION: usize = 61;
    const IMAGE: usize = 345;
    const MODEL: usize = 889;
    const FEATURES: usize = 1729;

    fn packet(face: Face, mirror: bool) -> Vec<u8> {
        let adjust = Adjust { mirror, ..Adjust::default() };
        let mut all = datagrams(&mut Encoder::new(), &sample_of([face]), &adjust);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn floats<const N: usize>(packet: &[u8], at: usize) -> [f32; N] {
        std::array::from_fn(|i| f32::from_le_bytes(packet[at + 4 * i..][..4].try_into().unwrap()))
    }

    fn turned(yaw: f32, pitch: f32, roll: f32) -> Face {
        face(Angles { yaw_rad: yaw, pitch_rad: pitch, roll_rad: roll })
    }

    fn near<const N: usize>(got: [f32; N], want: [f32; N], tolerance: f32) {
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < tolerance), "{got:?}, not {want:?}");
    }

    #[test]
    fn faces_of_a_frame_follow_each_other_in_one_datagram() {
        let two = sample_of([turned(0.0, 0.0, 0.0), Face { id: 1, ..turned(0.0, 0.0, 0.0) }]);
        let all = datagrams(&mut Encoder::new(), &two, &Adjust::default());
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [2 * FACE_SIZE]);
        assert_eq!(all[0][FACE_SIZE + 8..][..4], [1, 0, 0, 0]);
        assert!(datagrams(&mut Encoder::new(), &FaceSample::default(), &Adjust::default()).is_empty());
    }

    #[test]
    fn the_first_bytes_are_time_id_size_eyes_and_the_flag() {
        let mut winking = turned(0.0, 0.0, 0.0);
        winking.blendshapes[EyeBlinkLeft] = 1.0;
        let mut golden = 1.0f64.to_le_bytes().to_vec();
        golden.extend([0, 0, 0, 0]);
        golden.extend([640.0f32, 480.0, 1.0, 0.0].into_iter().flat_map(f32::to_le_bytes));
        golden.push(1);
        assert_eq!(packet(winking, false)[..29], golden);
    }

    // Values of OpenCV's solvePnP and RQDecomp3x3 on OpenSeeFace's face model, its picture swapped as OpenSeeFace does:
    // (-179.8, 0, 90), (180, 24.0, 90.1), (-164.4, 0, 90), (-179.8, 0, 107.2) for 0 and 0.4, 0.3, 0.3 radians.
    #[test]
    fn turns_come_out_as_opencv_has_them() {
        let euler = |f: Face| {
            let [x, y, z] = floats(&packet(f, false), EULER);
            // The two halves of a turn meet here.
            [x.rem_euclid(360.0), y, z]
        };
        near(euler(turned(0.0, 0.0, 0.0)), [180.0, 0.0, 90.0], 0.1);
        near(euler(turned(0.4, 0.0, 0.0)), [180.0, 22.9, 90.0], 0.1);
        near(euler(turned(0.0, 0.3, 0.0)), [197.2, 0.0, 90.0], 0.1);
        near(euler(turned(0.0, 0.0, 0.3)), [180.0, 0.0, 107.2], 0.1);
        let [_, mirrored, _] = floats::<3>(&packet(turned(0.4, 0.0, 0.0), true), EULER);
        assert!((mirrored + 22.9).abs() < 0.1);
    }

    #[test]
    fn places_are_behind_the_camera_with_rows_and_columns_swapped() {
        let mut moved = turned(0.0, 0.0, 0.0);
        moved.head.translation_mm = Vec3::new(136.0, 68.0, 900.0);
        let [row, column, depth] = floats::<3>(&packet(moved, false), TRANSLATION);
        assert!((column + 1.0).abs() < 1e-3 && row < -0.5 && depth < -6.0, "{row} {column} {depth}");
    }

    /// Unity's side of it: points are read with y negated, and the gaze is pupil less eyeball, with x negated again.
    #[test]
    fn gaze_is_where_the_pupils_stand_before_the_eyeballs() {
        let mut subject = turned(0.3, 0.2, 0.0);
        subject.gaze.left = subject.head.rotation * Vec3::new(0.6, 0.0, 0.8);
        subject.gaze.right = subject.head.rotation * Vec3::new(0.0, 0.6, 0.8);
        let all: [f32; 210] = floats(&packet(subject, false), MODEL);
        let point = |i: usize| Vec3::new(all[3 * i], all[3 * i + 1], all[3 * i + 2]);
        let [right, left] = [point(66) - point(68), point(67) - point(69)].map(Vec3::normalize);
        near(left.to_array(), [-0.6, 0.0, -0.8], 1e-4);
        near(right.to_array(), [0.0, -0.6, -0.8], 1e-4);
    }

    #[test]
    fn mirrored_points_lie_on_the_other_side_of_the_image() {
        let mut lopsided = turned(0.0, 0.0, 0.0);
        for (i, p) in lopsided.landmarks.iter_mut().enumerate() {
            *p = Vec3::new(i as f32, 2.0 * i as f32, 0.0);
        }
        let (plain, mirrored) = (packet(lopsided.clone(), false), packet(lopsided, true));
        let point = |p: &[u8], i: usize| floats::<2>(p, IMAGE + 8 * i);
        let [x, y] = point(&plain, 16);
        assert_eq!(point(&mirrored, 0), [640.0 - x, y]);
        let [x, y] = point(&plain, 67);
        assert_eq!(point(&mirrored, 66), [640.0 - x, y], "pupils change sides too");
    }

    #[test]
    fn features_follow_the_expression() {
        let mut smiling = turned(0.0, 0.0, 0.0);
        for (shape, value) in
            [(MouthSmileLeft, 0.8), (EyeBlinkRight, 1.0), (JawOpen, 0.5), (BrowDownLeft, 0.6)]
        {
            smiling.blendshapes[shape] = value;
        }
        let f: [f32; 14] = floats(&packet(smiling, false), FEATURES);
        assert_eq!((f[0], f[1]), (0.0, -1.0), "left eye open, right eye closed");
        assert!(f[3] < -0.5 && f[6] == 0.0, "left brow down");
        assert!(f[8] < -0.7 && f[10] == 0.0, "the left corner is up");
        assert_eq!(f[12], 0.5);
    }
}
