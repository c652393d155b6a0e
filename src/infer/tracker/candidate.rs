//! Whether what a detector saw is a face, and from where it is looked at best.

use super::{PRESENCE_SURE, Track, Tracker, is_plausible, same_face};
use crate::frame::Frame;
use crate::geom::Roi;
use crate::infer::{InferError, landmarker};

/// How far the detector stands back to confirm: the view at which it tells faces from other things best. There real
/// faces of any yaw score 0.64 or more (95 %), what fooled both networks in 108 crops of panoramas and a title
/// sequence 0.68 at most ...
const CONFIRM_ZOOM: f32 = 2.2;
/// Our own detector, which takes hair for a part of small faces, sees them best from here.
const CONFIRM_ZOOM_OWN: f32 = 1.6;
const CONFIRM_SCORE: f32 = 0.7;
/// ... and eyes, nose and mouth of the two networks lie 0.13 faces apart at least, in real ones up to 60 degrees of yaw
/// 0.09 at most.
const CONFIRM_APART: f32 = 0.11;
/// Our own detector believes in round letters (0.74 to 0.85), but places a face in them 0.23 faces from where the landmarks lie or
/// further; in 95 % of real stills it is 0.18 at most, the rest are profiles.
const CONFIRM_APART_OWN: f32 = 0.2;
/// A face of this presence is believed where the detector sees one at the same place. On 50 stills of profiles this
/// finds two thirds instead of half; below it the landmarks are no longer those of the face.
pub(super) const PRESENCE_BACKED: f32 = 0.05;
/// Turns and zooms of further tries. The detector's eyes are unsure in profiles: a slightly turned region often convinces. The
/// smaller ones are for stills alone: our own detector takes hair for a part of some faces.
const SIDES: [(f32, f32); 5] = [(0.43, 1.0), (-0.43, 1.0), (0.0, 0.75), (0.43, 0.75), (-0.43, 0.75)];

impl Tracker {
    /// Presence, `least` or more, and next region of a face that is not tracked yet; its landmarks are left in `trial`.
    pub(super) fn try_face(
        &mut self,
        frame: &Frame,
        detected: &Roi,
        doubtful: bool,
        least: f32,
    ) -> Result<Option<(f32, Roi)>, InferError> {
        let known = |roi: &Roi, tracks: &[Track]| tracks.iter().any(|t| same_face(&t.roi, roi));
        if !is_plausible(detected, frame) || known(detected, &self.tracks) {
            return Ok(None);
        }
        let mut presence = self.reader.read(frame, detected, None, &mut self.trial)?;
        let sides = self.sides(frame, doubtful);
        if presence < least && !sides.is_empty() {
            let next = self.reader.next_roi(&self.trial);
            let again = self.look_on(frame, &next, 0.0)?;
            presence = self.surer(presence, again);
        }
        for (turn, zoom) in sides {
            if presence >= least {
                break;
            }
            let (side, rotation_rad) = (detected.side * zoom, detected.rotation_rad + turn);
            let start = Roi { side, rotation_rad, ..*detected };
            let first = self.reader.read(frame, &start, None, &mut self.second)?;
            let next = self.reader.next_roi(&self.second);
            let other = self.look_on(frame, &next, first)?;
            presence = self.surer(presence, other);
        }
        if presence < least {
            // A reader that knows its doubt has none without reason: what it then reads is no face, or not the whole of one.
            let perhaps = !doubtful && presence >= PRESENCE_BACKED && !self.reader.knows_its_doubt();
            let backed = perhaps && self.is_confirmed(frame, detected, Side::Trial)?;
            return Ok(backed.then_some((presence, *detected)));
        }
        // Once more: a region from landmarks fits the network better than one from the detector's box.
        let roi = self.reader.next_roi(&self.trial);
        if !is_plausible(&roi, frame) || known(&roi, &self.tracks) {
            return Ok(None);
        }
        let again = self.reader.read(frame, &roi, None, &mut self.second)?;
        if again >= least {
            presence = again;
            std::mem::swap(&mut self.trial, &mut self.second);
        }
        let roi = self.reader.next_roi(&self.trial);
        let sure = !doubtful || presence >= PRESENCE_SURE;
        if !sure || !is_plausible(&roi, frame) || !self.is_confirmed(frame, &roi, Side::Trial)? {
            return Ok(None);
        }
        Ok(Some((presence, roi)))
    }

    /// From where else to look.
    fn sides(&self, frame: &Frame, doubtful: bool) -> &'static [(f32, f32)] {
        match (frame.still && self.reader.knows_its_doubt(), doubtful) {
            (true, _) => &SIDES,
            (false, true) => &[],
            (false, false) => &SIDES[..2],
        }
    }

    /// Presence of a face looked at from where the last landmarks lie, `before` where that is not the reader's way; what was read is
    /// left in `second`.
    fn look_on(&mut self, frame: &Frame, next: &Roi, before: f32) -> Result<f32, InferError> {
        if !self.reader.knows_its_doubt() || !is_plausible(next, frame) {
            return Ok(before);
        }
        self.reader.read(frame, next, None, &mut self.second)
    }

    /// Keeps the surer of two readings in `trial`, and gives its presence.
    fn surer(&mut self, trial: f32, second: f32) -> f32 {
        if second > trial {
            std::mem::swap(&mut self.trial, &mut self.second);
        }
        trial.max(second)
    }

    /// Whether the detector, looking closely, sees the same face as the landmark network. Either is taken in by a
    /// letter or a cloud now and then, but they do not see the same face in it.
    pub(super) fn is_confirmed(
        &mut self,
        frame: &Frame,
        roi: &Roi,
        landmarks: Side,
    ) -> Result<bool, InferError> {
        let zoom = if self.full.is_none() { CONFIRM_ZOOM_OWN } else { CONFIRM_ZOOM };
        let region = Roi { side: roi.side * zoom, ..*roi };
        let seen = self.short.detect(frame, &region, self.config.detection_min)?;
        let new = matches!(landmarks, Side::Trial);
        let landmarks = match landmarks {
            Side::Trial => &self.trial.landmarks,
            Side::Observed(i) => &self.observations[i].reading.landmarks,
        };
        let keypoints = landmarker::keypoints(landmarks);
        let face = roi.side / self.reader.margin();
        // A still is looked at once, and a face that is followed was one before: profiles pass there.
        let doubly = self.full.is_none() && new && !frame.still;
        Ok(seen.iter().any(|d| {
            let apart = d.keypoints.iter().zip(keypoints).map(|(a, b)| a.distance(b)).sum::<f32>() / 4.0;
            let agreed = if doubly {
                d.score >= CONFIRM_SCORE && apart <= CONFIRM_APART_OWN * face
            } else {
                d.score >= CONFIRM_SCORE || apart <= CONFIRM_APART * face
            };
            agreed && same_face(&self.reader.first_roi(d), roi)
        }))
    }
}

/// Where the landmarks of a face lie.
#[derive(Clone, Copy)]
pub(super) enum Side {
    /// In `trial`.
    Trial,
    /// In the observation of this index.
    Observed(usize),
}
