//! Where to look for a face when there is none to follow.

use super::detector::Range;
use crate::frame::Frame;
use crate::geom::Roi;
use glam::Vec2;
use std::f32::consts::FRAC_PI_2;

/// One run of a detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The network.
    pub range: Range,
    /// The square to search.
    pub region: Roi,
    /// Whether weak detections count too.
    pub weak: bool,
    /// Whether a head is looked for that lies on its side.
    pub lying: bool,
}

impl Step {
    /// The whole image.
    pub fn whole(frame: &Frame, range: Range) -> Self {
        let size = Vec2::new(frame.width as f32, frame.height as f32);
        let region = Roi { center: size * 0.5, side: size.max_element(), rotation_rad: 0.0 };
        Self { range, region, weak: false, lying: false }
    }

    /// The whole image, turned so that a head which lies on this side is upright in it: 1 or -1.
    fn lying(frame: &Frame, side: f32) -> Self {
        let whole = Self::whole(frame, Range::Short);
        let region = Roi { rotation_rad: side * FRAC_PI_2, ..whole.region };
        Self { region, lying: true, ..whole }
    }

    /// Whether what is found must convince the landmark network all the more. Turned pictures show faces where there are none: of 211
    /// without one, one had a presence of 0.72; heads that lie on stills of AFLW2000-3D have 0.93 at the least.
    pub fn is_doubtful(&self) -> bool {
        self.weak || self.lying
    }

    /// Around a region where a face is or was.
    pub fn around(roi: &Roi) -> Self {
        // Half a face of room at each side: as far as a head gets in a frame or two.
        let region = Roi { side: roi.side * 1.5, ..*roi };
        Self { range: Range::Short, region, weak: false, lying: false }
    }
}

/// A smaller tile would only be enlarged, and shows what the whole image shows.
const TILE_SIDE_MIN: f32 = 128.0;
/// A film's frames share the further steps between so many.
const TURNS: usize = 6;
/// The most tiles that an image is cut into.
const TILES_MAX: usize = 16;

/// The steps for one frame: in a still all of them, in a film the first few and some of the others in turn, so that a
/// frame without a face costs little and a hard one is still found soon.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    next: usize,
    /// Frames searched in vain, one after the other.
    turn: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { steps: Vec::with_capacity(6 + TILES_MAX), next: 0, turn: 0 }
    }
}

impl Plan {
    /// Plans for a frame; `last` is where a face was lost a moment ago.
    pub fn begin(&mut self, frame: &Frame, last: Option<Roi>) {
        self.steps.clear();
        self.next = 0;
        self.steps.extend(last.map(|roi| Step::around(&roi)));
        self.steps.push(Step::whole(frame, Range::Short));
        let always = self.steps.len();
        self.steps.push(Step::whole(frame, Range::Full));
        self.steps.push(Step { weak: true, ..Step::whole(frame, Range::Short) });
        self.steps.extend([1.0, -1.0].map(|side| Step::lying(frame, side)));
        self.add_tiles(frame);
        if !frame.starts_sequence {
            let others = self.steps.len() - always;
            let per_frame = others.div_ceil(TURNS);
            self.steps[always..].rotate_left(self.turn * per_frame % others);
            self.steps.truncate(always + per_frame);
        }
        self.turn += 1;
    }

    /// Small faces: overlapping squares, so that a face at a seam lies whole in the next.
    fn add_tiles(&mut self, frame: &Frame) {
        let size = Vec2::new(frame.width as f32, frame.height as f32);
        let side = 0.67 * size.min_element();
        if side < TILE_SIDE_MIN {
            return;
        }
        let count = (((size - side) / (0.5 * side)).ceil() + 1.0).min(Vec2::new(4.0, 4.0));
        let span = (size - side).max(Vec2::ZERO);
        for y in 0..count.y as usize {
            for x in 0..count.x as usize {
                let share = Vec2::new(x as f32, y as f32) / (count - 1.0).max(Vec2::ONE);
                let region = Roi { center: share * span + 0.5 * side, side, rotation_rad: 0.0 };
                self.steps.push(Step { range: Range::Full, region, weak: false, lying: false });
            }
        }
    }

    /// The next step, if there is one.
    pub fn next_step(&mut self) -> Option<Step> {
        let step = self.steps.get(self.next).copied();
        self.next += 1;
        step
    }

    /// A face was found, or a new sequence begins.
    pub fn reset(&mut self) {
        self.turn = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32, starts_sequence: bool) -> Frame {
        Frame { starts_sequence, width, height, ..Frame::default() }
    }

    fn steps(plan: &mut Plan, frame: &Frame) -> Vec<Step> {
        plan.begin(frame, None);
        std::iter::from_fn(|| plan.next_step()).collect()
    }

    #[test]
    fn a_few_frames_of_a_film_search_as_far_as_one_still() {
        for (width, height) in [(1280, 720), (480, 640), (1, 1), (7680, 4320)] {
            let still = steps(&mut Plan::default(), &frame(width, height, true));
            let mut plan = Plan::default();
            let film: Vec<_> =
                (0..TURNS).flat_map(|_| steps(&mut plan, &frame(width, height, false))).collect();
            assert!(still.iter().all(|s| film.contains(s)), "{width}x{height}");
            assert!(film.len() <= still.len() + 2 * TURNS);
        }
    }

    #[test]
    fn tiles_cover_the_whole_image() {
        let frame = frame(1280, 720, true);
        let steps = steps(&mut Plan::default(), &frame);
        for (x, y) in [(1.0, 1.0), (1279.0, 719.0), (640.0, 360.0), (1279.0, 1.0), (900.0, 500.0)] {
            let inside = |s: &&Step| {
                s.region.side < 700.0
                    && (Vec2::new(x, y) - s.region.center).abs().max_element() <= s.region.side * 0.5
            };
            assert!(steps.iter().any(|s| inside(&s)), "({x}, {y})");
        }
    }

    #[test]
    fn planning_allocates_nothing() {
        let mut plan = Plan::default();
        let before = plan.steps.capacity();
        for (w, h) in [(1280, 720), (10, 9000), (7680, 4320)] {
            plan.begin(&frame(w, h, true), Some(Roi { center: Vec2::ONE, side: 9.0, rotation_rad: 0.0 }));
        }
        assert_eq!(plan.steps.capacity(), before);
    }
}
