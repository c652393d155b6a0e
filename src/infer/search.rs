//! Where to look for a face when there is none to follow.

use super::detector::Range;
use crate::frame::Frame;
use crate::geom::Roi;
use glam::Vec2;

/// One run of a detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The network.
    pub range: Range,
    /// The square to search.
    pub region: Roi,
    /// The least score, where it is not the configured one.
    pub score_min: Option<f32>,
    /// What the landmark network must say at least.
    pub presence_min: f32,
}

impl Step {
    /// The whole image.
    pub fn whole(frame: &Frame, range: Range) -> Self {
        let size = Vec2::new(frame.width as f32, frame.height as f32);
        let region = Roi { center: size * 0.5, side: size.max_element(), rotation_rad: 0.0 };
        Self { range, region, score_min: None, presence_min: 0.0 }
    }
}

/// The steps for one frame: in a still all of them, in a film the first few and one of the others in turn, so that a
/// frame without a face costs little and a hard one is still found soon.
#[derive(Debug, Default)]
pub struct Plan {
    steps: Vec<Step>,
    next: usize,
}

impl Plan {
    /// Plans for a frame; `last` is where a face was lost a moment ago.
    pub fn begin(&mut self, frame: &Frame, last: Option<Roi>) {
        self.steps.clear();
        self.next = 0;
        if let Some(roi) = last {
            let region = Roi { side: roi.side * 1.5, ..roi };
            self.steps.push(Step { region, ..Step::whole(frame, Range::Short) });
        }
        self.steps.push(Step::whole(frame, Range::Short));
        self.steps.push(Step::whole(frame, Range::Full));
    }

    /// The next step, if there is one.
    pub fn next_step(&mut self) -> Option<Step> {
        let step = self.steps.get(self.next).copied();
        self.next += 1;
        step
    }
}
