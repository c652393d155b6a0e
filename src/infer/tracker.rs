//! The loop that follows faces: each frame's landmarks say where to look in the next, the detector is asked only where
//! there is nobody to follow, and now and then to check.

mod candidate;
mod config;

pub use config::TrackerConfig;

use super::detector::{Detection, Detector, Range};
use super::reader::{Models, Reader, Reading};
use super::search::{Plan, Step};
use super::{InferError, Runtime};
use crate::clock::MonoTime;
use crate::frame::Frame;
use crate::geom::{Rect, Roi};
use crate::solve::AlignedLandmarks;
use candidate::{PRESENCE_BACKED, Side};
use glam::Vec2;
use std::path::PathBuf;
use std::time::Duration;

/// A face in the last frame.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Stays with the person while they are tracked; never given to another within a run.
    pub id: u32,
    /// The landmark network's belief that this is a face, 0 to 1.
    pub presence: f32,
    /// What was read.
    pub reading: Reading,
}

impl Observation {
    fn empty() -> Self {
        Self { id: 0, presence: 0.0, reading: Reading::empty() }
    }
}

/// Faces at rest, by id.
type Neutrals<'a> = &'a dyn Fn(u32) -> Option<&'a AlignedLandmarks>;

/// A person who is tracked, or was a moment ago.
#[derive(Debug, Clone, Copy)]
struct Track {
    id: u32,
    roi: Roi,
    seen_at: MonoTime,
    /// Rises with each look at which the detector confirms the face, falls with each at which it does not; a face
    /// that is trusted no more is let go.
    trust: u32,
}

/// A person who comes back within this time, near where they left, keeps their id.
const MEMORY: Duration = Duration::from_secs(2);
/// Regions that overlap by more than this show the same face.
const SAME_FACE_IOU: f32 = 0.3;
/// A new face: one look without confirmation ends it. Letters in motion pass for a face now and then, not twice.
const TRUST_NEW: u32 = 1;
/// A face of so much trust is looked at at the configured interval.
const TRUST_CALM: u32 = 3;
/// A face that was confirmed so often may hide behind a hand for seconds.
const TRUST_MAX: u32 = 5;
/// Seconds between looks at a face of little trust.
const LOOK_INTERVAL_DOUBT_S: f32 = 0.2;
/// What is found by a weak detection, or lying, needs this presence.
const PRESENCE_SURE: f32 = 0.9;
/// Presences that are looked for in a still, one after the other: without the first, 290 stills' heads are .01 to .05 degrees
/// further off.
const PRESENCES_STILL: [f32; 2] = [0.98, PRESENCE_SURE];
/// Score of a weak detection: 285 of 300 stills have others besides the face, nearly all refused by the landmarks.
const SCORE_WEAK: f32 = 0.25;
/// Detections that are tried in one step.
const FOUND_MAX: usize = 8;
/// Regions smaller than this hold nothing that the network could read.
const ROI_SIDE_MIN: f32 = 12.0;

/// Finds and follows faces.
pub struct Tracker {
    config: TrackerConfig,
    short: Detector,
    /// Facetrackd's own detector sees near and far faces alike and has no second beside it.
    full: Option<Detector>,
    reader: Reader,
    /// One for each track, in the same order, then spares.
    observations: Vec<Observation>,
    tracks: Vec<Track>,
    lost: Vec<Track>,
    found: Vec<Detection>,
    /// What was read of a face that may turn out to be none.
    trial: Reading,
    /// The same face from another region.
    second: Reading,
    plan: Plan,
    next_id: u32,
    looked_at: Option<MonoTime>,
    /// Looks for further faces take turns between the detectors.
    look_full: bool,
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
        let packaged = |range: Range| Detector::from_file(runtime, &model(range.model()), range);
        let (short, full) = match config.detector {
            Models::Packaged => (packaged(Range::Short)?, Some(packaged(Range::Full)?)),
            Models::Own => (Detector::own(runtime)?, None),
        };
        let faces = config.faces.clamp(1, 8);
        Ok(Self {
            config: TrackerConfig { faces, ..config.clone() },
            short,
            full,
            reader: Reader::new(runtime, &model, config.models)?,
            observations: (0..faces).map(|_| Observation::empty()).collect(),
            tracks: Vec::with_capacity(faces),
            lost: Vec::with_capacity(2 * faces),
            found: Vec::with_capacity(FOUND_MAX),
            trial: Reading::empty(),
            second: Reading::empty(),
            plan: Plan::default(),
            next_id: 0,
            looked_at: None,
            look_full: false,
        })
    }

    /// Takes over another configuration. Faces beyond its number are let go, the newest first.
    pub fn reconfigure(&mut self, config: &TrackerConfig) {
        let faces = config.faces.clamp(1, 8);
        let TrackerConfig { models, detector, .. } = self.config;
        if (config.models, config.detector) != (models, detector) {
            tracing::warn!("other networks are taken at the next start");
        }
        self.config = TrackerConfig { models, detector, faces, ..config.clone() };
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
        self.track_knowing(frame, &|_| None)
    }

    /// As [`Self::track`]; `neutral` gives the face at rest of the person with an id, where it is known.
    ///
    /// # Errors
    /// As [`Self::track`].
    pub fn track_knowing(
        &mut self,
        frame: &Frame,
        neutral: Neutrals<'_>,
    ) -> Result<&[Observation], InferError> {
        if !frame.is_whole() {
            return Err(InferError::BrokenFrame { width: frame.width, height: frame.height });
        }
        if frame.starts_sequence {
            self.forget();
        }
        let now = frame.stream_time;
        self.follow(frame, neutral)?;
        self.lost.retain(|t| now.since(t.seen_at) <= MEMORY);
        if self.tracks.is_empty() {
            self.search(frame)?;
        } else if self.is_look_due(now) {
            self.look_again(frame)?;
        }
        if frame.still {
            self.look_closely(frame)?;
        }
        Ok(&self.observations[..self.tracks.len()])
    }

    /// Reads each face once more, with care.
    fn look_closely(&mut self, frame: &Frame) -> Result<(), InferError> {
        for (track, observation) in self.tracks.iter().zip(&mut self.observations) {
            let presence = self.reader.read_closely(frame, &track.roi, &mut self.trial)?;
            if let Some(presence) =
                presence.filter(|p| *p >= observation.presence.min(self.config.presence_min))
            {
                observation.presence = presence;
                std::mem::swap(&mut observation.reading, &mut self.trial);
            }
        }
        Ok(())
    }

    fn is_look_due(&self, now: MonoTime) -> bool {
        let doubt = self.tracks.iter().any(|t| t.trust < TRUST_CALM);
        let interval = if doubt {
            self.config.look_interval_s.min(LOOK_INTERVAL_DOUBT_S)
        } else {
            self.config.look_interval_s
        };
        self.looked_at.is_none_or(|t| now.since(t).as_secs_f32() >= interval)
    }

    /// Drops all tracks. Ids go on, so that none is used twice.
    fn forget(&mut self) {
        self.tracks.clear();
        self.lost.clear();
        self.looked_at = None;
        self.plan.reset();
    }

    /// Looks where each face was.
    fn follow(&mut self, frame: &Frame, neutral: Neutrals<'_>) -> Result<(), InferError> {
        let mut i = 0;
        while i < self.tracks.len() {
            let Track { roi, id, .. } = self.tracks[i];
            let presence = self.reader.read(frame, &roi, neutral(id), &mut self.trial)?;
            let mut seen =
                (presence >= self.config.presence_min).then(|| (presence, self.reader.next_roi(&self.trial)));
            if seen.is_none() {
                seen = self.second_opinion(frame, &roi, presence)?;
            }
            let known = |roi: &Roi| self.tracks[..i].iter().any(|t| same_face(&t.roi, roi));
            let twin = seen.is_some_and(|(_, next)| known(&next));
            let Some((presence, next)) = seen.filter(|(_, next)| !twin && is_plausible(next, frame)) else {
                self.let_go(i, !twin);
                continue;
            };
            let track = &mut self.tracks[i];
            (track.roi, track.seen_at) = (next, frame.stream_time);
            let observation = &mut self.observations[i];
            (observation.id, observation.presence) = (track.id, presence);
            std::mem::swap(&mut observation.reading, &mut self.trial);
            i += 1;
        }
        Ok(())
    }

    /// The landmark network hardly believes in profiles. Where the detector sees a face, less belief will do, and the
    /// next region comes from the surer of the two networks.
    fn second_opinion(
        &mut self,
        frame: &Frame,
        roi: &Roi,
        presence: f32,
    ) -> Result<Option<(f32, Roi)>, InferError> {
        self.detect(frame, &Step::around(roi))?;
        let seen = self.found.iter().map(|d| self.reader.first_roi(d)).find(|d| same_face(d, roi));
        let Some(detected) = seen else { return Ok(None) };
        let fresh = self.reader.read(frame, &detected, None, &mut self.second)?;
        let presence = if fresh > presence {
            std::mem::swap(&mut self.trial, &mut self.second);
            fresh
        } else {
            presence
        };
        let next =
            if presence >= self.config.presence_min { self.reader.next_roi(&self.trial) } else { detected };
        Ok((presence >= PRESENCE_BACKED).then_some((presence, next)))
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

    /// Nobody is tracked: looks around where a face was lost, then over the image, in a still by every means.
    fn search(&mut self, frame: &Frame) -> Result<(), InferError> {
        // A still has no later look at which others are found.
        let enough = if frame.starts_sequence { self.config.faces } else { 1 };
        // A region that shows a face askew convinces a little; in a still there is time to look for a better one first.
        let careful: &[f32] =
            if frame.still && self.reader.knows_its_doubt() { &PRESENCES_STILL } else { &[] };
        for least in careful.iter().copied().chain([self.config.presence_min]) {
            if self.tracks.len() < enough {
                self.search_for(frame, enough, least)?;
            }
        }
        if !self.tracks.is_empty() {
            self.plan.reset();
        }
        self.looked_at = Some(frame.stream_time);
        Ok(())
    }

    /// Searches for faces of so much presence, until there are enough.
    fn search_for(&mut self, frame: &Frame, enough: usize, least: f32) -> Result<(), InferError> {
        let last = self.lost.last().map(|t| t.roi);
        self.plan.begin(frame, last);
        while let Some(step) = self.plan.next_step() {
            if self.full.is_none() && step == Step::whole(frame, Range::Full) {
                // The one detector has looked there.
                continue;
            }
            self.detect(frame, &step)?;
            self.try_found(frame, step.is_doubtful(), least)?;
            if self.tracks.len() >= enough {
                break;
            }
        }
        Ok(())
    }

    /// Runs the detector on one region. Who is nearest to the camera comes first: the person at the desk, not the one
    /// in the door.
    fn detect(&mut self, frame: &Frame, step: &Step) -> Result<(), InferError> {
        let detector = match step.range {
            Range::Short | Range::Own => &mut self.short,
            Range::Full => self.full.as_mut().unwrap_or(&mut self.short),
        };
        let score_min = if step.weak { SCORE_WEAK } else { self.config.detection_min };
        let found = detector.detect(frame, &step.region, score_min)?;
        self.found.clear();
        self.found.extend(found.iter().take(FOUND_MAX));
        let weight = |d: &Detection| d.score * d.size.max_element();
        self.found.sort_unstable_by(|a, b| weight(b).total_cmp(&weight(a)));
        Ok(())
    }

    /// Starts a track for each detection that turns out to be a face, as long as there is room.
    fn try_found(&mut self, frame: &Frame, doubtful: bool, least: f32) -> Result<(), InferError> {
        for i in 0..self.found.len() {
            if self.tracks.len() == self.config.faces {
                break;
            }
            let roi = self.reader.first_roi(&self.found[i]);
            if let Some((presence, roi)) = self.try_face(frame, &roi, doubtful, least)? {
                self.start(frame, presence, roi);
            }
        }
        Ok(())
    }

    /// Starts a track with the landmarks in `trial`, at its place in the order of ids.
    fn start(&mut self, frame: &Frame, presence: f32, roi: Roi) {
        let id = self.recall(&roi);
        let track = Track { id, roi, seen_at: frame.stream_time, trust: TRUST_NEW };
        let at = self.tracks.partition_point(|t| t.id < id);
        self.tracks.insert(at, track);
        let last = self.tracks.len() - 1;
        let observation = &mut self.observations[last];
        (observation.id, observation.presence) = (id, presence);
        std::mem::swap(&mut observation.reading, &mut self.trial);
        self.observations[at..=last].rotate_right(1);
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

    /// With faces tracked: checks that they still are faces, and looks for more.
    fn look_again(&mut self, frame: &Frame) -> Result<(), InferError> {
        self.looked_at = Some(frame.stream_time);
        let mut i = 0;
        while i < self.tracks.len() {
            let roi = self.tracks[i].roi;
            let confirmed = self.is_confirmed(frame, &roi, Side::Observed(i))?;
            let trust = &mut self.tracks[i].trust;
            *trust = if confirmed { (*trust + 1).min(TRUST_MAX) } else { *trust - 1 };
            if *trust == 0 {
                self.let_go(i, false);
            } else {
                i += 1;
            }
        }
        if self.tracks.len() < self.config.faces {
            self.look_full = !self.look_full;
            let range = if self.look_full { Range::Full } else { Range::Short };
            self.detect(frame, &Step::whole(frame, range))?;
            self.try_found(frame, false, self.config.presence_min)?;
        }
        Ok(())
    }
}

/// The region without its turn.
fn square(roi: &Roi) -> Rect {
    let half = Vec2::splat(0.5 * roi.side);
    Rect { min: roi.center - half, max: roi.center + half }
}

/// Whether two regions show the same face.
fn same_face(a: &Roi, b: &Roi) -> bool {
    square(a).iou(&square(b)) > SAME_FACE_IOU
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

#[cfg(test)]
mod tests;
