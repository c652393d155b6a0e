//! The mesh of a face that is known to be near: MediaPipe's attention mesh.
//!
//! Input: R, G, B planes of the region, 0 to 1, the image's edge repeated outside. Outputs: 478 points in input pixels
//! and the logit of there being a face.

use super::detector::sigmoid;
use super::preprocess::{Border, Sampler, Target};
use super::session::{Session, TensorSpec};
use super::{InferError, Runtime};
use crate::face::Landmarks;
use crate::frame::Frame;
use crate::geom::{Rect, Roi};
use glam::{Vec2, Vec3};
use std::path::Path;

/// The network's name in a model pack.
pub const MODEL: &str = "face_landmark_with_attention";

const SIZE: usize = 192;
/// Outer corners of the subject's right and left eye.
const EYE_CORNERS: [usize; 2] = [33, 263];
/// Side of the region over the longer side of the landmarks' box (mediapipe's graph `face_landmark_landmarks_to_roi`).
pub const MARGIN: f32 = 1.5;

/// The landmark network with its buffers.
pub struct Landmarker {
    session: Session,
    sampler: Sampler,
}

impl Landmarker {
    /// Loads the network from `path`.
    ///
    /// # Errors
    /// As [`Session::from_file`].
    pub fn from_file(runtime: &Runtime, path: &Path) -> Result<Self, InferError> {
        let input = TensorSpec { name: "image", shape: &[1, 3, SIZE as i64, SIZE as i64] };
        let outputs = [
            TensorSpec { name: "landmarks", shape: &[1, 478, 3] },
            TensorSpec { name: "presence", shape: &[1, 1] },
        ];
        let session = Session::from_file(runtime, path, 1, &[input], &outputs)?;
        let target = Target { size: SIZE, range: (0.0, 1.0), border: Border::Replicate };
        Ok(Self { session, sampler: Sampler::new(target) })
    }

    /// Writes the landmarks of the face in `roi` and returns the belief that there is one, 0 to 1.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn landmarks(&mut self, frame: &Frame, roi: &Roi, out: &mut Landmarks) -> Result<f32, InferError> {
        self.sampler.sample(frame, roi, self.session.input_mut(0));
        self.session.run()?;
        let image_from_unit = roi.image_from_unit();
        for (point, crop) in out.iter_mut().zip(self.session.output(0).chunks_exact(3)) {
            let unit = Vec3::new(crop[0], crop[1], crop[2]) / SIZE as f32;
            *point = image_from_unit.transform_point2(unit.truncate()).extend(unit.z * roi.side);
        }
        Ok(sigmoid(self.session.output(1)[0]))
    }
}

/// The region that holds these landmarks upright, `margin` times as large as they are: where to look in the next frame.
pub fn roi_around(landmarks: &Landmarks, margin: f32) -> Roi {
    let [right, left] = EYE_CORNERS.map(|i| landmarks[i].truncate());
    let eyes = left - right;
    let rotation_rad = eyes.y.atan2(eyes.x);
    let bounds = Rect::bounding(landmarks.iter().map(|p| p.truncate())).unwrap_or_default();
    Roi { center: bounds.center(), side: margin * bounds.size().max_element(), rotation_rad }
}

/// The points that the detector gives too: right eye, left eye, nose tip, middle of the mouth (the subject's sides).
pub fn keypoints(landmarks: &Landmarks) -> [Vec2; 4] {
    let mean = |points: &[usize]| {
        points.iter().map(|&i| landmarks[i].truncate()).sum::<Vec2>() / points.len() as f32
    };
    [mean(&[33, 133, 159, 145]), mean(&[263, 362, 386, 374]), mean(&[1]), mean(&[13, 14])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::LANDMARK_COUNT;

    #[test]
    fn the_next_region_is_upright_and_holds_every_landmark() {
        let turn = glam::Mat2::from_angle(0.4);
        let mut landmarks = [Vec3::ZERO; LANDMARK_COUNT];
        for (i, p) in landmarks.iter_mut().enumerate() {
            let angle = i as f32;
            *p = (turn * Vec2::new(60.0 * angle.cos(), 80.0 * angle.sin()) + Vec2::new(300.0, 200.0))
                .extend(0.0);
        }
        landmarks[33] = (turn * Vec2::new(-30.0, -20.0) + Vec2::new(300.0, 200.0)).extend(0.0);
        landmarks[263] = (turn * Vec2::new(30.0, -20.0) + Vec2::new(300.0, 200.0)).extend(0.0);
        let roi = roi_around(&landmarks, MARGIN);
        assert!((roi.rotation_rad - 0.4).abs() < 1e-4);
        let unit_from_image = roi.image_from_unit().inverse();
        for p in &landmarks {
            let unit = unit_from_image.transform_point2(p.truncate());
            assert!(unit.cmpgt(Vec2::splat(0.05)).all() && unit.cmplt(Vec2::splat(0.95)).all(), "{unit}");
        }
    }
}
