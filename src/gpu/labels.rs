//! What is known of a rendered face, and how a record of the data set lays it out.

use super::camera::Camera;
use super::light::rotated;
use super::pack::{HeadAsset, IDENTITY_MODES};
use super::seal::{EYELIDS, MARGIN_POINTS, nearest};
use super::shape::Shape;
use super::spec::{FaceSpec, Thing};
use crate::face::{BLENDSHAPE_COUNT, LANDMARK_COUNT};
use glam::{Affine2, Mat3, Vec2, Vec3};
use half::f16;

/// Points whose visibility is labelled: the 478 landmarks.
pub const POINT_COUNT: usize = LANDMARK_COUNT;

/// Bits of [`Label::flags`].
pub mod flag {
    /// Wears spectacles.
    pub const GLASSES: u32 = 1;
    /// Their glass is tinted by more than a tenth.
    pub const TINTED: u32 = 2;
    /// Wears headphones.
    pub const HEADPHONES: u32 = 4;
    /// Wears a cap.
    pub const CAP: u32 = 8;
    /// A microphone stands before the face.
    pub const MICROPHONE: u32 = 16;
    /// A hand is held to the face.
    pub const HAND: u32 = 32;
    /// Has a beard or moustache.
    pub const BEARD: u32 = 64;
    /// Wears lipstick, eye shadow or blush.
    pub const MAKE_UP: u32 = 128;
}

/// Regions with a visibility of their own: the mean over these landmarks.
pub const REGIONS: [(&str, &[usize]); 12] = [
    ("left_eye", &[263, 466, 388, 387, 386, 385, 384, 398, 362, 249, 390, 373, 374, 380, 381, 382]),
    ("right_eye", &[33, 246, 161, 160, 159, 158, 157, 173, 133, 7, 163, 144, 145, 153, 154, 155]),
    ("left_iris", &[473, 474, 475, 476, 477]),
    ("right_iris", &[468, 469, 470, 471, 472]),
    ("left_brow", &[336, 296, 334, 293, 300, 285, 295, 282, 283, 276]),
    ("right_brow", &[107, 66, 105, 63, 70, 55, 65, 52, 53, 46]),
    ("nose", &[168, 197, 5, 4, 1, 2, 98, 327, 129, 358]),
    ("mouth", &[61, 291, 0, 17, 37, 267, 39, 269, 84, 314, 181, 405, 13, 14, 78, 308]),
    ("left_cheek", &[425, 411, 280, 352, 347, 330, 266, 423]),
    ("right_cheek", &[205, 187, 50, 123, 118, 101, 36, 203]),
    ("jaw", &[152, 377, 400, 378, 379, 148, 176, 149, 150, 199, 175]),
    ("forehead", &[10, 151, 9, 109, 338, 67, 297, 69, 299, 108, 337]),
];

/// All labels of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Number of the face in its data set.
    pub index: u64,
    /// 478 points: x, y in pixels of the picture, z in the same scale, smaller is nearer, 0 at the head's origin.
    pub landmarks: Vec<Vec3>,
    /// Distance of each along the camera's axis, millimetres.
    depth_mm: Vec<f32>,
    /// Share of each that is seen, 0 to 1.
    pub visible: Vec<f32>,
    /// The iBUG 68 on the head model, pixels of the picture.
    pub ibug68: Vec<Vec2>,
    /// The 478 in head space, millimetres.
    pub head_mm: Vec<Vec3>,
    /// The 478 of the person at rest, head space, millimetres.
    pub neutral_mm: Vec<Vec3>,
    /// Coefficients in ARKit's order.
    pub blendshapes: [f32; BLENDSHAPE_COUNT],
    /// Rotation of `camera_from_head`.
    pub rotation: Mat3,
    /// Translation of it.
    pub translation_mm: Vec3,
    /// Left, right.
    pub eye_openness_mm: [f32; 2],
    /// Unit vectors in camera space, left, right.
    pub gaze: [Vec3; 2],
    /// Irradiance over pi in camera space, times the exposure.
    pub light_sh: [Vec3; 9],
    /// Direction to the key light in camera space and its colour times the exposure.
    pub key: [Vec3; 2],
    /// Identity coefficients.
    pub identity: [f32; IDENTITY_MODES],
    /// The camera.
    pub camera: Camera,
    /// See [`flag`].
    pub flags: u32,
    /// Opacity of the spectacles' glass.
    pub lens_opacity: f32,
    /// Skin, hair (255 for none), environment.
    pub looks: [u8; 3],
    /// Pixels of the picture over pixels of the frame.
    pub faults_scale: f32,
}

/// Labels a shaped face; visibility is zero until it is drawn.
pub fn label(
    spec: &FaceSpec,
    shape: &Shape,
    head: &HeadAsset,
    camera: &Camera,
    neutral: &[Vec3],
    posed: &[Vec3],
) -> Label {
    let to_camera = |p: Vec3| spec.pose.rotation * p + spec.pose.translation_mm;
    let origin_depth = spec.pose.translation_mm.z;
    let px_per_mm = camera.picture_px_per_mm(origin_depth);
    let seen: Vec<Vec3> = posed.iter().map(|p| to_camera(*p)).collect();
    let camera_from_head = spec.pose.rotation;
    Label {
        index: 0,
        landmarks: seen.iter().map(|p| camera.project(*p).extend((p.z - origin_depth) * px_per_mm)).collect(),
        depth_mm: seen.iter().map(|p| p.z).collect(),
        visible: vec![0.0; POINT_COUNT],
        ibug68: head
            .landmarks68
            .iter()
            .map(|v| camera.project(to_camera(shape.head_point(*v as usize))))
            .collect(),
        head_mm: posed.to_vec(),
        neutral_mm: neutral.to_vec(),
        blendshapes: std::array::from_fn(|i| spec.expression[crate::face::Blendshape::ALL[i]]),
        rotation: spec.pose.rotation,
        translation_mm: spec.pose.translation_mm,
        eye_openness_mm: EYELIDS.map(|lids| openness(&lids, neutral, posed)),
        gaze: [0, 1].map(|side| camera_from_head * shape.gaze(side)),
        light_sh: rotated(&spec.light.sh, camera_from_head).map(|c| c * spec.light.exposure),
        key: [camera_from_head * spec.light.key.direction, spec.light.key.color * spec.light.exposure],
        identity: spec.identity,
        camera: *camera,
        flags: flags(spec),
        lens_opacity: spec.things.iter().map(glass_opacity).fold(0.0, f32::max),
        looks: [
            spec.look.skin as u8,
            spec.look.hair.map_or(255, |h| h as u8),
            spec.backdrop.environment as u8,
        ],
        faults_scale: 1.0,
    }
}

/// Millimetres between the lids' margins: from the upper lid's three middle landmarks to the lower lid's contour. Lids that
/// slide along each other, or pass each other by a hair, do not count as open.
fn openness(lids: &[[usize; MARGIN_POINTS]; 2], neutral: &[Vec3], posed: &[Vec3]) -> f32 {
    let [upper, lower] = lids;
    let open = |k: usize| {
        let rest = neutral[upper[k]] - neutral[lower[k]];
        let (_, foot) = nearest(&lower.map(|i| posed[i]), posed[upper[k]]);
        let way = posed[upper[k]] - foot;
        if way.dot(rest) > 0.0 { way.length() } else { 0.0 }
    };
    (open(3) + open(4) + open(5)) / 3.0
}

fn glass_opacity(thing: &Thing) -> f32 {
    if let Thing::Glasses { glass, .. } = thing { glass[3] } else { 0.0 }
}

fn flags(spec: &FaceSpec) -> u32 {
    let thing = |t: &Thing| match t {
        Thing::Glasses { glass, .. } => flag::GLASSES | if glass[3] > 0.1 { flag::TINTED } else { 0 },
        Thing::Headphones { .. } => flag::HEADPHONES,
        Thing::Cap { .. } => flag::CAP,
        Thing::Microphone { .. } => flag::MICROPHONE,
        Thing::Hand { .. } => flag::HAND,
    };
    let look = &spec.look;
    let beard = look.beard_paint[3] > 0.3 && look.beard_shape[0].max(look.beard_shape[1]) > 0.0;
    let made_up = look.lips[3].max(look.eye_shadow[3]).max(look.blush[3]) > 0.1;
    let mut bits = spec.things.iter().map(thing).fold(0, |a, b| a | b);
    bits |= if beard { flag::BEARD } else { 0 };
    bits | if made_up { flag::MAKE_UP } else { 0 }
}

impl Label {
    /// Points whose visibility is to be measured: pixels and depth in millimetres.
    pub fn image_points(&self) -> impl Iterator<Item = (Vec2, f32)> + '_ {
        self.landmarks.iter().zip(&self.depth_mm).map(|(p, d)| (p.truncate(), *d))
    }

    /// Mean visibility of each region.
    pub fn regions(&self) -> [f32; REGIONS.len()] {
        REGIONS.map(|(_, points)| points.iter().map(|i| self.visible[*i]).sum::<f32>() / points.len() as f32)
    }

    /// What makes it unfit for a data set, if anything.
    pub fn fault(&self) -> Option<String> {
        let limit = 4.0 * self.camera.picture.max_element();
        let far = |p: &Vec3| !p.is_finite() || p.abs().max_element() > limit;
        if let Some(i) = self.landmarks.iter().position(far) {
            return Some(format!("landmark {i} is out of range: {}", self.landmarks[i]));
        }
        if let Some(i) = self.blendshapes.iter().position(|v| !(0.0..=1.0).contains(v)) {
            return Some(format!("coefficient {i} is out of range: {}", self.blendshapes[i]));
        }
        if self.gaze.iter().any(|g| (g.length() - 1.0).abs() > 1e-3) {
            return Some("gaze is no unit vector".to_owned());
        }
        if (self.rotation.determinant() - 1.0).abs() > 1e-3 || !self.translation_mm.is_finite() {
            return Some("the pose is no rigid motion".to_owned());
        }
        let openness = self.eye_openness_mm.iter().all(|v| (0.0..25.0).contains(v));
        let seen = self.visible.iter().all(|v| (0.0..=1.0).contains(v));
        if openness && seen { None } else { Some("eye openness or visibility is out of range".to_owned()) }
    }
}

/// One field of a record.
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// `NumPy`'s type.
    pub kind: &'static str,
    /// Shape; empty for one number.
    pub shape: &'static [usize],
    write: fn(&Label, &mut Vec<u8>),
}

fn put_f32(out: &mut Vec<u8>, values: impl IntoIterator<Item = f32>) {
    out.extend(values.into_iter().flat_map(f32::to_le_bytes));
}

fn put_f16(out: &mut Vec<u8>, values: impl IntoIterator<Item = f32>) {
    out.extend(values.into_iter().flat_map(|v| f16::from_f32(v).to_le_bytes()));
}

fn put_share(out: &mut Vec<u8>, values: impl IntoIterator<Item = f32>) {
    out.extend(values.into_iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8));
}

fn affine_rows(a: &Affine2) -> [f32; 6] {
    let (m, t) = (a.matrix2, a.translation);
    [m.x_axis.x, m.y_axis.x, t.x, m.x_axis.y, m.y_axis.y, t.y]
}

fn xyz(points: &[Vec3]) -> impl Iterator<Item = f32> + '_ {
    points.iter().flat_map(Vec3::to_array)
}

/// The record, field after field without gaps.
pub const FIELDS: [Field; 25] = [
    Field { name: "index", kind: "<u8", shape: &[], write: |l, o| o.extend(l.index.to_le_bytes()) },
    Field { name: "landmarks", kind: "<f4", shape: &[478, 3], write: |l, o| put_f32(o, xyz(&l.landmarks)) },
    Field {
        name: "ibug68",
        kind: "<f4",
        shape: &[68, 2],
        write: |l, o| put_f32(o, l.ibug68.iter().flat_map(Vec2::to_array)),
    },
    Field { name: "blendshapes", kind: "<f4", shape: &[52], write: |l, o| put_f32(o, l.blendshapes) },
    Field {
        name: "rotation",
        kind: "<f4",
        shape: &[3, 3],
        write: |l, o| put_f32(o, l.rotation.transpose().to_cols_array()),
    },
    Field {
        name: "translation_mm",
        kind: "<f4",
        shape: &[3],
        write: |l, o| put_f32(o, l.translation_mm.to_array()),
    },
    Field { name: "eye_openness_mm", kind: "<f4", shape: &[2], write: |l, o| put_f32(o, l.eye_openness_mm) },
    Field { name: "gaze", kind: "<f4", shape: &[2, 3], write: |l, o| put_f32(o, xyz(&l.gaze)) },
    Field { name: "light_sh", kind: "<f4", shape: &[9, 3], write: |l, o| put_f32(o, xyz(&l.light_sh)) },
    Field { name: "key_light", kind: "<f4", shape: &[2, 3], write: |l, o| put_f32(o, xyz(&l.key)) },
    Field { name: "identity", kind: "<f4", shape: &[100], write: |l, o| put_f32(o, l.identity) },
    Field {
        name: "focal_px",
        kind: "<f4",
        shape: &[],
        write: |l, o| put_f32(o, [l.camera.intrinsics.focal_px]),
    },
    Field {
        name: "principal_px",
        kind: "<f4",
        shape: &[2],
        write: |l, o| put_f32(o, l.camera.intrinsics.center.to_array()),
    },
    Field { name: "distortion", kind: "<f4", shape: &[2], write: |l, o| put_f32(o, l.camera.distortion) },
    Field {
        name: "rolling_px",
        kind: "<f4",
        shape: &[2],
        write: |l, o| put_f32(o, l.camera.rolling_px.to_array()),
    },
    Field { name: "frame_px", kind: "<f4", shape: &[2], write: |l, o| put_f32(o, l.camera.frame.to_array()) },
    Field {
        name: "picture_from_frame",
        kind: "<f4",
        shape: &[2, 3],
        write: |l, o| put_f32(o, affine_rows(&l.camera.picture_from_frame)),
    },
    Field { name: "lens_opacity", kind: "<f4", shape: &[], write: |l, o| put_f32(o, [l.lens_opacity]) },
    Field { name: "flags", kind: "<u4", shape: &[], write: |l, o| o.extend(l.flags.to_le_bytes()) },
    Field { name: "head_mm", kind: "<f2", shape: &[478, 3], write: |l, o| put_f16(o, xyz(&l.head_mm)) },
    Field { name: "neutral_mm", kind: "<f2", shape: &[478, 3], write: |l, o| put_f16(o, xyz(&l.neutral_mm)) },
    Field {
        name: "visible",
        kind: "|u1",
        shape: &[478],
        write: |l, o| put_share(o, l.visible.iter().copied()),
    },
    Field { name: "regions_visible", kind: "|u1", shape: &[12], write: |l, o| put_share(o, l.regions()) },
    Field { name: "looks", kind: "|u1", shape: &[3], write: |l, o| o.extend(l.looks) },
    Field { name: "reserved", kind: "|u1", shape: &[3], write: |_, o| o.extend([0; 3]) },
];

impl Field {
    /// Bytes of the field.
    pub fn size(&self) -> usize {
        let item: usize = self.kind[2..].parse().unwrap_or(0);
        item * self.shape.iter().product::<usize>()
    }
}

/// Bytes of a record.
pub fn record_size() -> usize {
    FIELDS.iter().map(Field::size).sum()
}

/// Appends a record.
pub fn write_record(label: &Label, out: &mut Vec<u8>) {
    for field in &FIELDS {
        (field.write)(label, out);
    }
}
