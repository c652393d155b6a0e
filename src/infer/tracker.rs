//! The loop that follows faces: each frame's landmarks say where to look in the next, the detector is asked only where
//! there is nobody to follow, and now and then to check.

use super::detector::{Detection, Detector, Range};
use super::landmarker::{self, Landmarker, roi_around};
use super::search::{Plan, Step};
use super::{InferError, Runtime};
use crate::clock::MonoTime;
use crate::face::{LANDMARK_COUNT, Landmarks};
use crate::frame::Frame;
use crate::geom::{Rect, Roi};
use glam::{Vec2, Vec3};
use std::path::PathBuf;
use std::time::Duration;

/// How faces are found and kept: the `[tracking]` table.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackerConfig {
    /// How many faces are tracked at most, 1 to 8.
    pub faces: usize,
    /// A face is lost when the landmark network's belief in it falls below this, 0 to 1.
    pub presence_min: f32,
    /// Belief of the detector from which on a face is tried, 0 to 1. Whether it is one, the landmark network says.
    pub detection_min: f32,
    /// Seconds between looks for further faces, and at whether what is tracked is a face at all.
    pub look_interval_s: f32,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self { faces: 1, presence_min: 0.5, detection_min: 0.5, look_interval_s: 1.0 }
    }
}

/// A face in the last frame.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Stays with the person while they are tracked; never given to another within a run.
    pub id: u32,
    /// The landmark network's belief that this is a face, 0 to 1.
    pub presence: f32,
    /// In image pixels.
    pub landmarks: Box<Landmarks>,
}

impl Observation {
    fn empty() -> Self {
        Self { id: 0, presence: 0.0, landmarks: Box::new([Vec3::ZERO; LANDMARK_COUNT]) }
    }
}

/// A person who is tracked, or was a moment ago.
#[derive(Debug, Clone, Copy)]
struct Track {
    id: u32,
    roi: Roi,
    seen_at: MonoTime,
    /// Looks in a row at which the detector saw nothing here.
    doubts: u32,
}

/// A person who comes back within this time, near where they left, keeps their id.
const MEMORY: Duration = Duration::from_secs(2);
/// Regions that overlap by more than this show the same face.
const SAME_FACE_IOU: f32 = 0.3;
/// Looks without a detection after which a face of weak presence is let go.
const DOUBTS_MAX: u32 = 3;
/// A face of this presence is believed without the detector, which is blind to profiles.
const PRESENCE_SURE: f32 = 0.9;
/// Regions smaller than this hold nothing that the network could read.
const ROI_SIDE_MIN: f32 = 12.0;

/// Finds and follows faces.
pub struct Tracker {
    config: TrackerConfig,
    short: Detector,
    full: Detector,
    landmarker: Landmarker,
    /// One for each track, in the same order, then spares.
    observations: Vec<Observation>,
    tracks: Vec<Track>,
    lost: Vec<Track>,
    found: Vec<Detection>,
    /// Landmarks of a face that may turn out to be none.
    trial: Box<Landmarks>,
    plan: Plan,
    next_id: u32,
    looked_at: Option<MonoTime>,
}

impl Tracker {
    /// Loads the networks; `model` gives the file of a network by its name in the pack.
    ///
    /// # Errors
    /// As [`super::session::Session::from_file`].
    pub fn from_files(
        runtime: &Runtime,
        model: impl Fn(&str) -> PathBuf,
        config: &TrackerConfig,
    ) -> Result<Self, InferError> {
        let detector = |range: Range| Detector::from_file(runtime, &model(range.model()), range);
        let faces = config.faces.clamp(1, 8);
        Ok(Self {
            config: TrackerConfig { faces, ..config.clone() },
            short: detector(Range::Short)?,
            full: detector(Range::Full)?,
            landmarker: Landmarker::from_file(runtime, &model(landmarker::MODEL))?,
            observations: (0..faces).map(|_| Observation::empty()).collect(),
            tracks: Vec::with_capacity(faces),
            lost: Vec::with_capacity(2 * faces),
            found: Vec::with_capacity(32),
            trial: Observation::empty().landmarks,
            plan: Plan::default(),
            next_id: 0,
            looked_at: None,
        })
    }

    /// Takes over another configuration. Faces beyond its number are let go, the newest first.
    pub fn reconfigure(&mut self, config: &TrackerConfig) {
        let faces = config.faces.clamp(1, 8);
        self.config = TrackerConfig { faces, ..config.clone() };
        self.tracks.truncate(faces);
        self.tracks.reserve(faces);
        self.observations.resize_with(faces, Observation::empty);
    }

    /// The faces in this frame, oldest id first. Frames come in order; one that starts a sequence is looked at as if
    /// it were the first, and searched harder, for there will be no next.
    ///
    /// # Errors
    /// [`InferError::NotFinite`] drops the frame and leaves the tracks as they were; [`InferError::Run`] is a fault.
    pub fn track(&mut self, frame: &Frame) -> Result<&[Observation], InferError> {
        if !frame.is_whole() {
            return Err(InferError::BrokenFrame { width: frame.width, height: frame.height });
        }
        if frame.starts_sequence {
            self.forget();
        }
        let now = frame.stream_time;
        self.follow(frame)?;
        self.lost.retain(|t| now.since(t.seen_at) <= MEMORY);
        if self.tracks.is_empty() {
            self.search(frame)?;
        } else if self.looked_at.is_none_or(|t| now.since(t).as_secs_f32() >= self.config.look_interval_s) {
            self.look_again(frame)?;
        }
        Ok(&self.observations[..self.tracks.len()])
    }

    /// Drops all tracks. Ids go on, so that none is used twice.
    fn forget(&mut self) {
        self.tracks.clear();
        self.lost.clear();
        self.looked_at = None;
        self.plan = Plan::default();
    }

    /// Looks where each face was.
    fn follow(&mut self, frame: &Frame) -> Result<(), InferError> {
        let mut i = 0;
        while i < self.tracks.len() {
            let roi = self.tracks[i].roi;
            let presence = self.landmarker.landmarks(frame, &roi, &mut self.trial)?;
            let next = roi_around(&self.trial);
            let twin = self.tracks[..i].iter().any(|t| square(&t.roi).iou(&square(&next)) > SAME_FACE_IOU);
            if presence < self.config.presence_min || twin || !is_plausible(&next, frame) {
                self.let_go(i, !twin);
                continue;
            }
            let track = &mut self.tracks[i];
            (track.roi, track.seen_at) = (next, frame.stream_time);
            let observation = &mut self.observations[i];
            (observation.id, observation.presence) = (track.id, presence);
            std::mem::swap(&mut observation.landmarks, &mut self.trial);
            i += 1;
        }
        Ok(())
    }

    /// Ends a track; the observations behind it move up.
    fn let_go(&mut self, index: usize, remember: bool) {
        let track = self.tracks.remove(index);
        self.observations[index..].rotate_left(1);
        if remember {
            if self.lost.len() == self.lost.capacity() {
                self.lost.remove(0);
            }
            self.lost.push(track);
        }
    }

    /// Nobody is tracked: looks around where faces were lost, then over the image, in a still by every means.
    fn search(&mut self, frame: &Frame) -> Result<(), InferError> {
        let last = self.lost.last().map(|t| t.roi);
        self.plan.begin(frame, last);
        while let Some(step) = self.plan.next_step() {
            self.take_step(frame, &step)?;
            if !self.tracks.is_empty() {
                break;
            }
        }
        self.looked_at = Some(frame.stream_time);
        Ok(())
    }

    /// Runs the detector on one region and tries what it finds.
    fn take_step(&mut self, frame: &Frame, step: &Step) -> Result<(), InferError> {
        self.detect(frame, step)?;
        for i in 0..self.found.len() {
            if self.tracks.len() == self.config.faces {
                break;
            }
            let roi = self.found[i].roi();
            self.try_face(frame, &roi, step.presence_min.max(self.config.presence_min))?;
        }
        Ok(())
    }

    fn detect(&mut self, frame: &Frame, step: &Step) -> Result<(), InferError> {
        let detector = match step.range {
            Range::Short => &mut self.short,
            Range::Full => &mut self.full,
        };
        let score_min = step.score_min.unwrap_or(self.config.detection_min);
        let found = detector.detect(frame, &step.region, score_min)?;
        self.found.clear();
        self.found.extend(found.iter().take(self.found.capacity()));
        Ok(())
    }

    /// Starts a track if there is a face that is not tracked yet. Two passes: the first region comes from the
    /// detector's box, which fits the network's training less well than one from landmarks.
    fn try_face(&mut self, frame: &Frame, roi: &Roi, presence_min: f32) -> Result<(), InferError> {
        let known = |tracks: &[Track], roi: &Roi| {
            tracks.iter().any(|t| square(&t.roi).iou(&square(roi)) > SAME_FACE_IOU)
        };
        let mut roi = *roi;
        let mut presence = 0.0;
        for _ in 0..2 {
            if !is_plausible(&roi, frame) || known(&self.tracks, &roi) {
                return Ok(());
            }
            presence = self.landmarker.landmarks(frame, &roi, &mut self.trial)?;
            if presence < presence_min {
                return Ok(());
            }
            roi = roi_around(&self.trial);
        }
        if !is_plausible(&roi, frame) || known(&self.tracks, &roi) {
            return Ok(());
        }
        let id = self.recall(&roi);
        let track = Track { id, roi, seen_at: frame.stream_time, doubts: 0 };
        let at = self.tracks.partition_point(|t| t.id < id);
        self.tracks.insert(at, track);
        let last = self.tracks.len() - 1;
        let observation = &mut self.observations[last];
        (observation.id, observation.presence) = (id, presence);
        std::mem::swap(&mut observation.landmarks, &mut self.trial);
        self.observations[at..=last].rotate_right(1);
        Ok(())
    }

    /// The id of the person who was lost here, or a new one.
    fn recall(&mut self, roi: &Roi) -> u32 {
        let near = |t: &Track| t.roi.center.distance(roi.center) < 0.5 * t.roi.side.max(roi.side);
        if let Some(i) = self.lost.iter().rposition(near) {
            return self.lost.remove(i).id;
        }
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// With faces tracked: looks for more, and doubts what the detector does not see.
    fn look_again(&mut self, frame: &Frame) -> Result<(), InferError> {
        self.looked_at = Some(frame.stream_time);
        let step = Step::whole(frame, Range::Short);
        self.detect(frame, &step)?;
        let mut i = 0;
        while i < self.tracks.len() {
            let bounds = square(&self.tracks[i].roi);
            let seen = self.found.iter().any(|d| square(&d.roi()).iou(&bounds) > SAME_FACE_IOU);
            let doubts = if seen { 0 } else { self.tracks[i].doubts + 1 };
            self.tracks[i].doubts = doubts;
            if doubts >= DOUBTS_MAX && self.observations[i].presence < PRESENCE_SURE {
                self.let_go(i, false);
            } else {
                i += 1;
            }
        }
        for i in 0..self.found.len() {
            if self.tracks.len() == self.config.faces {
                break;
            }
            let roi = self.found[i].roi();
            self.try_face(frame, &roi, self.config.presence_min)?;
        }
        Ok(())
    }
}

/// The region without its turn.
fn square(roi: &Roi) -> Rect {
    let half = Vec2::splat(0.5 * roi.side);
    Rect { min: roi.center - half, max: roi.center + half }
}

/// Whether a face could be there: of some size, its middle in the image, not much larger than the image.
fn is_plausible(roi: &Roi, frame: &Frame) -> bool {
    let size = Vec2::new(frame.width as f32, frame.height as f32);
    roi.is_sane()
        && roi.side >= ROI_SIDE_MIN
        && roi.side <= 4.0 * size.max_element()
        && roi.center.cmpge(Vec2::ZERO).all()
        && roi.center.cmple(size).all()
}
