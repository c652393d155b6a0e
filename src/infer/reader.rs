//! Which networks read a face, and what they read.

use super::detector::Detection;
use super::face::{self, FaceNet, Parameters};
use super::landmarker::{self, Landmarker};
use super::{InferError, Runtime};
use crate::face::{LANDMARK_COUNT, Landmarks};
use crate::frame::Frame;
use crate::geom::Roi;
use crate::solve::{AlignedLandmarks, DepthAlong, tilt_of_keypoints};
use glam::Vec3;
use std::path::PathBuf;

/// Whose networks measure.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Models {
    /// facetrackd's own: a detector, and the network that reads everything from pixels.
    #[default]
    Own,
    /// MediaPipe's detectors and landmarks, and the expression network that reads them.
    Packaged,
}

/// What was read of one face.
#[derive(Debug, Clone)]
pub struct Reading {
    /// In image pixels.
    pub landmarks: Box<Landmarks>,
    /// All else, where the network tells it.
    pub parameters: Option<Parameters>,
}

impl Reading {
    /// Room for a reading.
    pub(super) fn empty() -> Self {
        Self { landmarks: Box::new([Vec3::ZERO; LANDMARK_COUNT]), parameters: None }
    }

    /// What the landmarks' z is measured along: the own network is taught the ray (`training/face/crops.py`).
    pub fn depth_along(&self) -> DepthAlong {
        if self.parameters.is_some() { DepthAlong::Ray } else { DepthAlong::Axis }
    }
}

/// The network that reads faces.
pub(super) enum Reader {
    Packaged(Box<Landmarker>),
    Own(Box<FaceNet>),
}

impl Reader {
    pub fn new(
        runtime: &Runtime,
        model: impl Fn(&str) -> PathBuf,
        models: Models,
    ) -> Result<Self, InferError> {
        Ok(match models {
            Models::Packaged => {
                Self::Packaged(Box::new(Landmarker::from_file(runtime, &model(landmarker::MODEL))?))
            }
            Models::Own => Self::Own(Box::new(FaceNet::new(runtime)?)),
        })
    }

    /// Reads the face in `roi`, of a person whose face at rest may be known. Gives the belief that there is one, 0 to 1.
    ///
    /// # Errors
    /// As [`super::session::Session::run`].
    pub fn read(
        &mut self,
        frame: &Frame,
        roi: &Roi,
        neutral: Option<&AlignedLandmarks>,
        out: &mut Reading,
    ) -> Result<f32, InferError> {
        match self {
            Self::Packaged(net) => net.landmarks(frame, roi, &mut out.landmarks),
            Self::Own(net) => {
                let presence = net.landmarks(frame, roi, neutral, &mut out.landmarks)?;
                out.parameters = Some(net.parameters(roi));
                Ok(presence)
            }
        }
    }

    /// As [`Self::read`], taking six times the time: for a picture that has no next. None where that gains nothing.
    ///
    /// # Errors
    /// As [`super::session::Session::run`].
    pub fn read_closely(
        &mut self,
        frame: &Frame,
        roi: &Roi,
        out: &mut Reading,
    ) -> Result<Option<f32>, InferError> {
        let Self::Own(net) = self else { return Ok(None) };
        let presence = net.landmarks_of_looks(frame, roi, &mut out.landmarks)?;
        out.parameters = Some(net.parameters(roi));
        Ok(Some(presence))
    }

    /// Side of the region over the longer side of the landmarks' box, as the network was trained.
    pub fn margin(&self) -> f32 {
        match self {
            Self::Packaged(_) => landmarker::MARGIN,
            Self::Own(_) => face::MARGIN,
        }
    }

    /// Whether a reading's presence falls where its landmarks are unsure, so that of several the right one is known.
    pub fn knows_its_doubt(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Where to look in the next frame.
    pub fn next_roi(&self, reading: &Reading) -> Roi {
        match self {
            Self::Packaged(_) => landmarker::roi_around(&reading.landmarks, landmarker::MARGIN),
            Self::Own(_) => face::roi_around(&reading.landmarks),
        }
    }

    /// Where to look for the face that a detector saw. MediaPipe's network is trained on faces whose eyes are level, our own
    /// on upright ones: seen from the side the eyes' line points anywhere.
    pub fn first_roi(&self, detection: &Detection) -> Roi {
        let roi = detection.roi();
        match self {
            Self::Packaged(_) => roi,
            Self::Own(_) => Roi {
                side: roi.side * face::MARGIN / landmarker::MARGIN,
                rotation_rad: tilt_of_keypoints(&detection.keypoints),
                ..roi
            },
        }
    }
}
