//! Spaces and the shapes in them. DESIGN in one paragraph:
//!
//! `image` is pixels, x right, y down. `crop` is a network's input square. `camera` is millimetres, x right, y down,
//! z forward, right-handed. `head` is millimetres, origin midway between the eyes' outer corners, x to the subject's
//! left, y up, z out of the face, right-handed. A transform is named `to_from`: `camera_from_head`.

use glam::{Affine2, Mat2, Mat3, Vec2, Vec3};

/// Rotation of a head that faces the camera: `camera_from_head` = diag(1, -1, -1).
pub const NEUTRAL_ROTATION: Mat3 =
    Mat3::from_cols(Vec3::new(1.0, 0.0, 0.0), Vec3::new(0.0, -1.0, 0.0), Vec3::new(0.0, 0.0, -1.0));

/// The rotation by two columns made orthonormal, the third their cross product (Zhou et al. 2019).
pub(crate) fn orthonormal(x: Vec3, y: Vec3) -> Mat3 {
    let x = x.normalize_or(Vec3::X);
    let y = (y - x * x.dot(y)).normalize_or(x.any_orthonormal_vector());
    Mat3::from_cols(x, y, x.cross(y))
}

/// An axis-aligned box in image pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    /// Left, top.
    pub min: Vec2,
    /// Right, bottom.
    pub max: Vec2,
}

impl Rect {
    /// The smallest box that holds all points; `None` for no points.
    pub fn bounding(points: impl IntoIterator<Item = Vec2>) -> Option<Self> {
        points.into_iter().fold(None, |acc: Option<Self>, p| {
            Some(acc.map_or(Self { min: p, max: p }, |r| Self { min: r.min.min(p), max: r.max.max(p) }))
        })
    }

    /// Width and height.
    pub fn size(&self) -> Vec2 {
        (self.max - self.min).max(Vec2::ZERO)
    }

    /// The middle.
    pub fn center(&self) -> Vec2 {
        (self.min + self.max) * 0.5
    }

    /// Width times height.
    pub fn area(&self) -> f32 {
        let s = self.size();
        s.x * s.y
    }

    /// Intersection over union with `other`, 0 to 1.
    pub fn iou(&self, other: &Self) -> f32 {
        let inter = Self { min: self.min.max(other.min), max: self.max.min(other.max) }.area();
        let union = self.area() + other.area() - inter;
        if union > 0.0 { inter / union } else { 0.0 }
    }
}

/// A square region of interest in the image, turned so that the face in it is upright.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roi {
    /// Centre in image pixels.
    pub center: Vec2,
    /// Side in image pixels.
    pub side: f32,
    /// Angle of the crop's x axis in the image, clockwise as seen (y points down).
    pub rotation_rad: f32,
}

impl Roi {
    /// Maps a point of the unit square ((0,0) top left, (1,1) bottom right of the crop) to image pixels.
    pub fn image_from_unit(&self) -> Affine2 {
        let linear = Mat2::from_angle(self.rotation_rad) * self.side;
        Affine2::from_mat2_translation(linear, self.center - linear * Vec2::splat(0.5))
    }

    /// Whether the roi is usable: finite, and at least a pixel wide.
    pub fn is_sane(&self) -> bool {
        self.center.is_finite() && self.side.is_finite() && self.side >= 1.0 && self.rotation_rad.is_finite()
    }
}

/// Portraits are taken from about here.
const STILL_DISTANCE_MM: f32 = 1000.0;
/// The longer side of the landmarks' box on most faces.
const FACE_MM: f32 = 170.0;

/// A pinhole camera without distortion: image = focal * (x/z, y/z) + centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intrinsics {
    /// Focal length in pixels, the same on both axes.
    pub focal_px: f32,
    /// Principal point in pixels.
    pub center: Vec2,
}

impl Intrinsics {
    /// A camera with this field of view across the image's longer side, its axis through the middle of the image.
    pub fn from_fov(fov_rad: f32, width: u32, height: u32) -> Self {
        let long = width.max(height) as f32;
        Self {
            focal_px: 0.5 * long / (0.5 * fov_rad).tan(),
            center: Vec2::new(width as f32, height as f32) * 0.5,
        }
    }

    /// The camera of a picture by itself, which was cut out of a larger one as often as not: it looks straight at the head that
    /// fills `face`, and from no nearer than people are photographed. So rotations are those to the line of sight, as the
    /// literature has them (Zhu et al. 2016, 300W-LP and AFLW2000-3D).
    #[must_use]
    pub fn of_still(&self, face: &Rect) -> Self {
        let least = face.size().max_element() * STILL_DISTANCE_MM / FACE_MM;
        Self { focal_px: self.focal_px.max(least), center: face.center() }
    }

    /// Where in this camera's space a point lies that another of the same image has at `point`: in the same direction as seen in
    /// the image, of the same size.
    pub fn place(&self, point: Vec3, other: &Self) -> Vec3 {
        let depth = point.z * self.focal_px / other.focal_px;
        ((other.project(point) - self.center) / self.focal_px).extend(1.0) * depth
    }

    /// Where a point in camera space lands in the image. `z` must be positive.
    pub fn project(&self, point: Vec3) -> Vec2 {
        point.truncate() / point.z * self.focal_px + self.center
    }
}

/// Head angles as DESIGN defines them: rotation = neutral · Ry(yaw) · Rx(pitch) · Rz(roll), radians, right-handed
/// about the head's own axes. yaw > 0 turns to the subject's left, pitch > 0 looks down, roll > 0 raises the left ear.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Angles {
    /// Turn about the head's y axis.
    pub yaw_rad: f32,
    /// Turn about the head's x axis, within ±90 degrees.
    pub pitch_rad: f32,
    /// Turn about the head's z axis.
    pub roll_rad: f32,
}

impl Angles {
    /// Takes a `camera_from_head` rotation apart.
    pub fn from_rotation(camera_from_head: Mat3) -> Self {
        let a = NEUTRAL_ROTATION * camera_from_head;
        Self {
            yaw_rad: a.z_axis.x.atan2(a.z_axis.z),
            pitch_rad: (-a.z_axis.y).clamp(-1.0, 1.0).asin(),
            roll_rad: a.x_axis.y.atan2(a.y_axis.y),
        }
    }

    /// The `camera_from_head` rotation.
    pub fn to_rotation(self) -> Mat3 {
        NEUTRAL_ROTATION
            * Mat3::from_rotation_y(self.yaw_rad)
            * Mat3::from_rotation_x(self.pitch_rad)
            * Mat3::from_rotation_z(self.roll_rad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn angles_survive_the_round_trip(yaw in -3.0f32..3.0, pitch in -1.5f32..1.5, roll in -3.0f32..3.0) {
            let angles = Angles { yaw_rad: yaw, pitch_rad: pitch, roll_rad: roll };
            let back = Angles::from_rotation(angles.to_rotation());
            prop_assert!((back.yaw_rad - yaw).abs() < 1e-3);
            prop_assert!((back.pitch_rad - pitch).abs() < 1e-3);
            prop_assert!((back.roll_rad - roll).abs() < 1e-3);
        }

        #[test]
        fn a_roi_maps_its_middle_to_its_centre(x in -50f32..50.0, y in -50f32..50.0, side in 1f32..500.0, a in -3f32..3.0) {
            let roi = Roi { center: Vec2::new(x, y), side, rotation_rad: a };
            let middle = roi.image_from_unit().transform_point2(Vec2::splat(0.5));
            prop_assert!(middle.distance(roi.center) < 1e-2);
        }

        #[test]
        fn iou_is_symmetric_and_bounded(a in 0f32..9.0, b in 0f32..9.0, c in 0f32..9.0, d in 0f32..9.0) {
            let r = Rect { min: Vec2::new(a, b), max: Vec2::new(a + c, b + d) };
            let s = Rect { min: Vec2::new(b, a), max: Vec2::new(b + d, a + c) };
            prop_assert!((r.iou(&s) - s.iou(&r)).abs() < 1e-6);
            prop_assert!((0.0..=1.0 + 1e-6).contains(&r.iou(&s)));
        }
    }

    #[test]
    fn a_still_is_taken_for_a_portrait_and_its_head_stays_where_it_is_seen() {
        let camera = Intrinsics::from_fov(1.0, 450, 450);
        let face = Rect { min: Vec2::new(250.0, 100.0), max: Vec2::new(400.0, 300.0) };
        let portrait = camera.of_still(&face);
        assert_eq!(portrait.center, face.center());
        // 170 mm in 200 pixels.
        let distance = portrait.focal_px * 170.0 / 200.0;
        assert!((distance - 1000.0).abs() < 1.0, "{distance}");
        let there = camera.place(Vec3::new(30.0, -20.0, distance), &portrait);
        assert!(camera.project(there).distance(portrait.project(Vec3::new(30.0, -20.0, distance))) < 1e-3);
        assert!((there.z / camera.focal_px - distance / portrait.focal_px).abs() < 1e-3, "of the same size");
        // A head that is far away as it is needs no longer lens.
        let small = Rect { min: Vec2::new(250.0, 100.0), max: Vec2::new(280.0, 140.0) };
        assert!((camera.of_still(&small).focal_px - camera.focal_px).abs() < 1e-3);
    }

    #[test]
    fn a_head_turned_to_its_left_looks_to_the_image_right() {
        let r = Angles { yaw_rad: 0.5, ..Angles::default() }.to_rotation();
        let nose_direction = r * Vec3::Z;
        assert!(nose_direction.x > 0.4, "the subject's left is the image's right");
    }

    #[test]
    fn a_head_that_looks_down_points_its_nose_down() {
        let r = Angles { pitch_rad: 0.5, ..Angles::default() }.to_rotation();
        assert!((r * Vec3::Z).y > 0.4, "camera y points down");
    }

    #[test]
    fn a_raised_left_ear_is_higher_in_the_image() {
        let r = Angles { roll_rad: 0.5, ..Angles::default() }.to_rotation();
        assert!((r * Vec3::X).y < -0.4, "camera y points down");
    }
}
