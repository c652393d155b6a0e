//! Faces in a picture without knowing where to look: MediaPipe's `BlazeFace` networks, and facetrackd's own.
//!
//! Input: R, G, B planes of a square, -1 to 1, black outside of the image. Outputs: for each anchor a box and six
//! points relative to the anchor's centre, in input pixels, and the logit of a face. Source of all constants: the
//! graphs `face_detection_short_range` and `face_detection_full_range` in mediapipe 0.10.21. Our own speaks the same
//! language; see `models/detector.md`.

use super::preprocess::{Border, Sampler, Target};
use super::session::{Session, TensorSpec};
use super::{InferError, Runtime};
use crate::frame::Frame;
use crate::geom::{Rect, Roi};
use glam::Vec2;
use std::path::Path;

const OWN: &[u8] = include_bytes!("../../models/detector.onnx");

/// Our own takes hair for a part of the face: on photographs its boxes are 1.1 to 1.3 times as large as the landmarks'.
const OWN_FACE_IN_BOX: f32 = 0.8;

/// Which of the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Input of 128 pixels; faces that fill about a tenth of the square or more.
    Short,
    /// Input of 192 pixels; smaller faces too.
    Full,
    /// facetrackd's own, input of 256 pixels; faces from 9 pixels of these up.
    Own,
}

impl Range {
    /// The network's name in a model pack.
    pub fn model(self) -> &'static str {
        match self {
            Self::Short => "face_detection_short_range",
            Self::Full => "face_detection_full_range",
            Self::Own => "detector",
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Short => 128,
            Self::Full => 192,
            Self::Own => 256,
        }
    }

    fn specs(self) -> (TensorSpec, [TensorSpec; 2]) {
        let spec = |name, shape| TensorSpec { name, shape };
        match self {
            Self::Short => {
                (spec("image", &[1, 3, 128, 128]), [spec("boxes", &[1, 896, 16]), spec("scores", &[1, 896])])
            }
            Self::Full => (
                spec("image", &[1, 3, 192, 192]),
                [spec("boxes", &[1, 2304, 16]), spec("scores", &[1, 2304])],
            ),
            Self::Own => (
                spec("image", &[1, 3, 256, 256]),
                [spec("boxes", &[1, 1024, 16]), spec("scores", &[1, 1024])],
            ),
        }
    }

    /// (stride, anchors in a cell) of the feature maps, in the order of the outputs.
    fn maps(self) -> &'static [(usize, usize)] {
        match self {
            Self::Short => &[(8, 2), (16, 6)],
            Self::Full => &[(4, 1)],
            Self::Own => &[(8, 1)],
        }
    }
}

/// Centres of the anchors in the unit square, in the order of the network's outputs.
fn anchors(range: Range) -> Vec<Vec2> {
    let mut anchors = Vec::new();
    for &(stride, in_cell) in range.maps() {
        let cells = range.size() / stride;
        for (y, x) in (0..cells).flat_map(|y| (0..cells).map(move |x| (y, x))) {
            let center = (Vec2::new(x as f32, y as f32) + 0.5) / cells as f32;
            anchors.extend(std::iter::repeat_n(center, in_cell));
        }
    }
    anchors
}

/// A face as the detector sees it, in image pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Belief that this is a face, 0 to 1.
    pub score: f32,
    /// The middle of the box.
    pub center: Vec2,
    /// Size of the box, along the axes of the region that was searched.
    pub size: Vec2,
    /// Right eye, left eye, nose tip, middle of the mouth, right ear, left ear (the subject's sides).
    pub keypoints: [Vec2; 6],
}

impl Detection {
    /// The box as if the region that was searched had been upright.
    pub fn bounds(&self) -> Rect {
        Rect { min: self.center - self.size * 0.5, max: self.center + self.size * 0.5 }
    }

    /// The region for the landmark network: one and a half times the box's longer side, the eyes level.
    pub fn roi(&self) -> Roi {
        let eyes = self.keypoints[1] - self.keypoints[0];
        Roi { center: self.center, side: 1.5 * self.size.max_element(), rotation_rad: eyes.y.atan2(eyes.x) }
    }

    /// Mean of the same face found by several anchors, by weight of score.
    fn blend(&mut self, weight: f32, other: &Self) {
        let total = weight + other.score;
        let mix = |a: Vec2, b: Vec2| (a * weight + b * other.score) / total;
        self.center = mix(self.center, other.center);
        self.size = mix(self.size, other.size);
        for (a, &b) in self.keypoints.iter_mut().zip(&other.keypoints) {
            *a = mix(*a, b);
        }
    }
}

/// Anchors that overlap by more than this are the same face.
const SAME_FACE_IOU: f32 = 0.3;
/// More anchors than this never speak for faces at once; the rest of a picture that excites them all is left out.
const CANDIDATES_MAX: usize = 256;

/// One of the networks with its buffers.
pub struct Detector {
    session: Session,
    sampler: Sampler,
    anchors: Vec<Vec2>,
    size: f32,
    /// Size of the face in that of the network's box.
    face_in_box: f32,
    candidates: Vec<Detection>,
    found: Vec<Detection>,
}

impl Detector {
    /// Loads the network of `range` from `path`.
    ///
    /// # Errors
    /// As [`Session::from_file`].
    pub fn from_file(runtime: &Runtime, path: &Path, range: Range) -> Result<Self, InferError> {
        let (input, outputs) = range.specs();
        Ok(Self::new(Session::from_file(runtime, path, 1, &[input], &outputs)?, range))
    }

    /// Loads the network that is part of the program.
    ///
    /// # Errors
    /// As [`Session::from_bytes`].
    pub fn own(runtime: &Runtime) -> Result<Self, InferError> {
        let (input, outputs) = Range::Own.specs();
        let session = Session::from_bytes(runtime, Range::Own.model(), OWN, 1, &[input], &outputs)?;
        Ok(Self::new(session, Range::Own))
    }

    fn new(session: Session, range: Range) -> Self {
        let target = Target { size: range.size(), range: (-1.0, 1.0), border: Border::Black };
        Self {
            session,
            sampler: Sampler::new(target),
            anchors: anchors(range),
            size: range.size() as f32,
            face_in_box: if range == Range::Own { OWN_FACE_IN_BOX } else { 1.0 },
            candidates: Vec::with_capacity(CANDIDATES_MAX),
            found: Vec::with_capacity(CANDIDATES_MAX),
        }
    }

    /// Faces in the square `region` whose score is `score_min` or more, the surest first.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn detect(
        &mut self,
        frame: &Frame,
        region: &Roi,
        score_min: f32,
    ) -> Result<&[Detection], InferError> {
        self.sampler.sample(frame, region, self.session.input_mut(0));
        self.session.run()?;
        self.candidates.clear();
        let image_from_unit = region.image_from_unit();
        let logit_min = (score_min / (1.0 - score_min)).ln();
        let (boxes, scores) = (self.session.output(0), self.session.output(1));
        for ((values, &logit), &anchor) in boxes.chunks_exact(16).zip(scores).zip(&self.anchors) {
            if logit < logit_min || self.candidates.len() == CANDIDATES_MAX {
                continue;
            }
            let vector = |i: usize| Vec2::new(values[i], values[i + 1]) / self.size;
            let point = |i: usize| image_from_unit.transform_point2(anchor + vector(i));
            self.candidates.push(Detection {
                score: sigmoid(logit),
                center: point(0),
                size: vector(2) * region.side,
                keypoints: [4, 6, 8, 10, 12, 14].map(point),
            });
        }
        suppress(&mut self.candidates, &mut self.found);
        for face in &mut self.found {
            face.size *= self.face_in_box;
        }
        Ok(&self.found)
    }
}

/// Weighted non-maximum suppression: each best candidate becomes the mean of those that it overlaps with.
fn suppress(candidates: &mut Vec<Detection>, found: &mut Vec<Detection>) {
    found.clear();
    candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    while let Some(&best) = candidates.first() {
        let bounds = best.bounds();
        let (mut face, mut weight) = (best, best.score);
        let mut is_best = true;
        candidates.retain(|other| {
            if std::mem::take(&mut is_best) {
                return false;
            }
            let same = bounds.iou(&other.bounds()) > SAME_FACE_IOU;
            if same {
                face.blend(weight, other);
                weight += other.score;
            }
            !same
        });
        found.push(face);
    }
}

/// Logistic function; the argument is clamped as the graphs do.
pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit.clamp(-100.0, 100.0)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::tests::assert_is_of_manifest;

    fn detection(x: f32, y: f32, side: f32, score: f32) -> Detection {
        let center = Vec2::new(x, y);
        let eye = Vec2::new(side * 0.2, 0.0);
        let keypoints = [center - eye, center + eye, center, center, center - eye, center + eye];
        Detection { score, center, size: Vec2::splat(side), keypoints }
    }

    #[test]
    fn anchors_are_as_many_as_the_outputs_and_fill_the_square_evenly() {
        for (range, count) in [(Range::Short, 896), (Range::Full, 2304), (Range::Own, 1024)] {
            let anchors = anchors(range);
            assert_eq!(anchors.len(), count);
            assert_eq!(range.specs().1[0].shape[1] as usize, count);
            let mean = anchors.iter().sum::<Vec2>() / count as f32;
            assert!(mean.distance(Vec2::splat(0.5)) < 1e-5);
        }
        assert_eq!(anchors(Range::Short)[0], anchors(Range::Short)[1]);
        assert!(anchors(Range::Short)[2].distance(Vec2::new(1.5, 0.5) / 16.0) < 1e-6);
    }

    #[test]
    fn the_weights_are_those_of_the_manifest() {
        assert_is_of_manifest(OWN, include_str!("../../models/detector.toml"));
    }

    #[test]
    fn overlapping_candidates_become_their_weighted_mean_and_distant_ones_stay() {
        let mut candidates = vec![
            detection(104.0, 100.0, 50.0, 0.3),
            detection(100.0, 100.0, 50.0, 0.9),
            detection(300.0, 90.0, 40.0, 0.6),
        ];
        let mut found = Vec::new();
        suppress(&mut candidates, &mut found);
        assert_eq!(found.len(), 2);
        assert!((found[0].center.x - 101.0).abs() < 1e-4 && (found[0].score - 0.9).abs() < 1e-6);
        assert!(found[0].keypoints[0].distance(Vec2::new(91.0, 100.0)) < 1e-3);
        assert_eq!(found[1], detection(300.0, 90.0, 40.0, 0.6));
    }

    #[test]
    fn the_region_turns_with_the_eyes() {
        let mut tilted = detection(50.0, 60.0, 40.0, 0.8);
        tilted.keypoints[0] = Vec2::new(40.0, 50.0);
        tilted.keypoints[1] = Vec2::new(60.0, 70.0);
        let roi = tilted.roi();
        assert!((roi.rotation_rad - std::f32::consts::FRAC_PI_4).abs() < 1e-5);
        assert!((roi.side - 60.0).abs() < 1e-4);
    }
}
