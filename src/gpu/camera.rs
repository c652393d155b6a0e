//! The camera: pinhole, radial distortion, rolling shutter, and the crop cut from its frame.
//!
//! [`Camera::project`] is the CPU twin of `clip_position` in `shaders/common.wgsl`.

use crate::geom::Intrinsics;
use glam::{Affine2, Vec2, Vec3};

/// Nearest distance that is drawn, millimetres.
pub const NEAR_MM: f32 = 40.0;

/// A camera and the picture cut from its frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// The frame's pinhole.
    pub intrinsics: Intrinsics,
    /// The frame's size in pixels.
    pub frame: Vec2,
    /// Radial distortion of second and fourth order over x/z, y/z.
    pub distortion: [f32; 2],
    /// Movement of the image in pixels while the shutter rolls from the top row to the bottom.
    pub rolling_px: Vec2,
    /// Maps frame pixels to pixels of the picture that is drawn.
    pub picture_from_frame: Affine2,
    /// The picture's size in pixels.
    pub picture: Vec2,
}

impl Camera {
    /// Where a point in camera space (millimetres, z positive) lands in the picture, in pixels.
    pub fn project(&self, point: Vec3) -> Vec2 {
        self.picture_from_frame.transform_point2(self.project_to_frame(point))
    }

    /// Where a point in camera space lands in the camera's frame, in pixels.
    pub fn project_to_frame(&self, point: Vec3) -> Vec2 {
        let n = point.truncate() / point.z;
        let r2 = n.length_squared().min(2.0);
        let n = n * (1.0 + r2 * (self.distortion[0] + r2 * self.distortion[1]));
        let p = n * self.intrinsics.focal_px + self.intrinsics.center;
        p + self.rolling_px * (p.y / self.frame.y - 0.5)
    }

    /// Pixels of the picture that a millimetre at this depth covers.
    pub fn picture_px_per_mm(&self, depth_mm: f32) -> f32 {
        let scale = self.picture_from_frame.matrix2.x_axis.length();
        self.intrinsics.focal_px / depth_mm * scale
    }
}
