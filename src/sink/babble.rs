//! Project Babble's face tracking stream: OSC, one float a message, one message a datagram (its receivers ignore
//! bundles).
//!
//! Mouth, jaw, cheeks, nose and tongue under ARKit's names; eyes as `/LeftEyeX`, `/LeftEyeY` (1 = 45 degrees to the
//! subject's right, or up) and `/LeftEyeLid` (1 = open).

use super::adjust::{Adjuster, FaceView};
use super::osc::{Slot, Template, floats};
use super::stream::Encode;
use crate::face::{Blendshape, FaceSample};
use std::f32::consts::FRAC_PI_4;

/// Where VRCFaceTracking's Babble module listens. oscavmgr listens on 9400.
pub const DEFAULT_PORT: u16 = 8888;

/// Encodes faces.
pub(super) struct Encoder {
    template: Template,
    shapes: Vec<(Blendshape, Slot)>,
    /// X, Y, lid of the left, then of the right eye.
    eyes: [[Slot; 3]; 2],
}

/// Babble's cameras see the lower face; brows and eyes have channels of their own.
fn is_of_the_lower_face(shape: Blendshape) -> bool {
    !["eye", "brow"].iter().any(|start| shape.name().starts_with(start))
}

impl Encoder {
    pub fn new() -> Self {
        let mut template = Template::new(false);
        let mut push = |name: &str| template.push(&format!("/{name}"), floats(1).collect());
        let shapes = Blendshape::ALL.into_iter().filter(|s| is_of_the_lower_face(*s));
        let shapes = shapes.map(|s| (s, push(s.name()))).collect();
        let eyes =
            ["LeftEye", "RightEye"].map(|eye| ["X", "Y", "Lid"].map(|what| push(&format!("{eye}{what}"))));
        Self { template, shapes, eyes }
    }

    fn set(&mut self, view: &FaceView) {
        for &(shape, slot) in &self.shapes {
            self.template.set_floats(slot, 0, &[view.blendshapes[shape]]);
        }
        let lids = [Blendshape::EyeBlinkLeft, Blendshape::EyeBlinkRight].map(|b| 1.0 - view.blendshapes[b]);
        for ((slots, eye), lid) in self.eyes.iter().zip(view.eye_angles()).zip(lids) {
            let share = |radians: f32| (radians / FRAC_PI_4).clamp(-1.0, 1.0);
            let values = [share(-eye.yaw_rad), share(-eye.pitch_rad), lid];
            for (slot, value) in slots.iter().zip(values) {
                self.template.set_floats(*slot, 0, &[value]);
            }
        }
    }
}

impl Encode for Encoder {
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        if let Some(view) = adjuster.primary(sample) {
            self.set(&view);
            self.template.datagrams().for_each(send);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::adjust::Adjust;
    use super::super::osc::testing::{float_args, messages};
    use super::super::stream::testing::datagrams;
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::geom::Angles;
    use glam::Vec3;

    #[test]
    fn one_message_a_datagram_under_arkits_names() {
        let mut subject = face(Angles { yaw_rad: 0.3, ..Angles::default() });
        subject.blendshapes[Blendshape::JawOpen] = 0.5;
        subject.blendshapes[Blendshape::EyeBlinkLeft] = 0.75;
        // Both eyes look 22.5 degrees to the subject's left, as seen from the head.
        let left =
            subject.head.rotation * Vec3::new(22.5f32.to_radians().sin(), 0.0, 22.5f32.to_radians().cos());
        (subject.gaze.left, subject.gaze.right) = (left, left);
        let all = datagrams(&mut Encoder::new(), &sample_of([subject]), &Adjust::default());
        assert_eq!(all[0], b"/jawForward\0,f\0\0\0\0\0\0");
        let value = |addr: &str| {
            let found: Vec<_> = all.iter().flat_map(|d| messages(d)).filter(|m| m.addr == addr).collect();
            assert_eq!(found.len(), 1, "{addr}");
            float_args(&found[0])[0]
        };
        assert!(all.iter().all(|d| messages(d).len() == 1 && !d.starts_with(b"#bundle")));
        assert!((value("/jawOpen") - 0.5).abs() < 1e-6);
        assert!((value("/LeftEyeLid") - 0.25).abs() < 1e-6 && (value("/RightEyeLid") - 1.0).abs() < 1e-6);
        assert!((value("/LeftEyeX") + 0.5).abs() < 1e-3, "left is negative");
        assert_eq!(all.len(), 33 + 6);
    }
}
