//! What is shown of a face that was lost: its last values for a while, then a fade to neutral, then nothing.

use super::{FilterConfig, Track};
use crate::clock::MonoTime;
use crate::geom::NEUTRAL_ROTATION;
use glam::{Mat3, Quat, Vec3};

impl Track {
    /// Brings a lost face up to `now`; false where there is nothing left to show.
    ///
    /// The last thing shown is exact neutral: no expression, head and eyes to the front. The place stays where the face
    /// was last seen, and so does the mesh, since no neutral is defined for either.
    pub(super) fn fade(&mut self, now: MonoTime, config: &FilterConfig) -> bool {
        let (before, after) = (self.remaining(self.updated, config), self.remaining(now, config));
        if now < self.updated || before <= 0.0 {
            return false;
        }
        self.updated = now;
        self.speeds.clear();
        if after < before {
            self.towards_neutral(after / before);
        }
        true
    }

    /// What share of the last values is left at `at`: 1 while they are held, 0 when the fade is over.
    fn remaining(&self, at: MonoTime, config: &FilterConfig) -> f32 {
        let fading_s = at.since(self.seen).as_secs_f32() - config.hold_s;
        if fading_s <= 0.0 { 1.0 } else { (1.0 - fading_s / config.fade_s.max(f32::MIN_POSITIVE)).max(0.0) }
    }

    /// Keeps the share `keep` of everything that has a neutral.
    fn towards_neutral(&mut self, keep: f32) {
        let shown = &mut self.shown;
        shown.presence *= keep;
        for (_, value) in shown.blendshapes.values_mut() {
            *value *= keep;
        }
        let was = shown.head.rotation;
        let neutral = Quat::from_mat3(&NEUTRAL_ROTATION);
        let rotation = Mat3::from_quat(neutral.slerp(Quat::from_mat3(&was).normalize(), keep));
        shown.head.rotation = if keep > 0.0 { rotation } else { NEUTRAL_ROTATION };
        for eye in [&mut shown.gaze.left, &mut shown.gaze.right] {
            let relative = Vec3::Z.lerp(was.transpose() * *eye, keep);
            *eye = shown.head.rotation * relative.try_normalize().unwrap_or(Vec3::Z);
        }
    }
}
