//! Live Link Face: the packets that Unreal Engine takes from the iPhone app, and the app's CSV.
//!
//! A packet is the version (u32, little-endian), then big-endian: a name of the device, a name of the subject, a frame
//! time, a frame rate, and 61 floats: the 52 by `ORDER`, then yaw, pitch, roll of the head, the left and the right eye
//! in radians. Positive: to the subject's left, down, left ear up. Without a face the packet ends after the names.

use super::SinkError;
use super::adjust::{Adjust, Adjuster, FaceView};
use super::stream::Encode;
use crate::clock::MonoTime;
use crate::face::Blendshape::{self, JawLeft, JawRight};
use crate::face::{BLENDSHAPE_COUNT, FaceSample};
use serde::{Deserialize, Serialize};

/// Where Unreal Engine listens.
pub const DEFAULT_PORT: u16 = 11111;

/// Number of values.
pub(super) const VALUE_COUNT: usize = 61;

/// The `live-link` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveLinkConfig {
    /// The receiver, `HOST:PORT` or `HOST`.
    pub address: Option<String>,
    /// Name of the subject in Unreal Engine, 1 to 64 bytes.
    pub subject: String,
    /// Frames a second that the timecode counts, 1 to 240.
    pub fps: u32,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl Default for LiveLinkConfig {
    fn default() -> Self {
        Self { address: None, subject: "facetrackd".to_owned(), fps: 60, adjust: Adjust::default() }
    }
}

impl LiveLinkConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        let fail = |problem: String| Err(SinkError::Config { output: "live-link", problem });
        if !(1..=64).contains(&self.subject.len()) {
            return fail(format!("subject has {} bytes, but it takes 1 to 64", self.subject.len()));
        }
        if !(1..=240).contains(&self.fps) {
            return fail(format!("fps is {}, but it lies between 1 and 240", self.fps));
        }
        self.adjust.validate("live-link")
    }
}

/// The blendshape at each place of a packet: ARKit's order, as Unreal Engine counts it.
pub(super) const ORDER: [Blendshape; BLENDSHAPE_COUNT] = Blendshape::ALL;

/// The blendshape in each column of the app's CSV, where the jaw's right comes first.
pub(super) const CSV_ORDER: [Blendshape; BLENDSHAPE_COUNT] = {
    let mut order = Blendshape::ALL;
    order[JawLeft as usize] = JawRight;
    order[JawRight as usize] = JawLeft;
    order[Blendshape::MouthLeft as usize] = Blendshape::MouthRight;
    order[Blendshape::MouthRight as usize] = Blendshape::MouthLeft;
    order
};

/// All 61 values, the blendshapes in this order.
pub(super) fn values(view: &FaceView, order: &[Blendshape; BLENDSHAPE_COUNT]) -> [f32; VALUE_COUNT] {
    let (mut out, head) = ([0.0; VALUE_COUNT], view.head.angles());
    let [left, right] = view.eye_angles();
    let turns = [
        [head.yaw_rad, head.pitch_rad, head.roll_rad],
        [left.yaw_rad, left.pitch_rad, 0.0],
        [right.yaw_rad, right.pitch_rad, 0.0],
    ];
    for (out, shape) in out.iter_mut().zip(order) {
        *out = view.blendshapes[*shape];
    }
    out[BLENDSHAPE_COUNT..].copy_from_slice(turns.as_flattened());
    out
}

/// Whole frames since the stream's start, and the part of one.
pub(super) fn frame_time(stream_time: MonoTime, fps: u32) -> (u64, f32) {
    let frames = stream_time.as_secs_f64() * f64::from(fps);
    (frames as u64, frames.fract() as f32)
}

/// A name for this machine's tracker in the form the app uses for a phone's.
const DEVICE: &[u8; 37] = b"$FACE7AC4-D000-4000-8000-000000000001";

/// Encodes faces.
pub(super) struct Encoder {
    fps: u32,
    names: usize,
    packet: Vec<u8>,
}

impl Encoder {
    pub fn new(config: &LiveLinkConfig) -> Self {
        let mut packet = 6u32.to_le_bytes().to_vec();
        packet.extend_from_slice(DEVICE);
        packet.extend_from_slice(&(config.subject.len() as u32).to_be_bytes());
        packet.extend_from_slice(config.subject.as_bytes());
        let names = packet.len();
        packet.reserve_exact(17 + 4 * VALUE_COUNT);
        Self { fps: config.fps, names, packet }
    }
}

impl Encode for Encoder {
    fn encode(&mut self, sample: &FaceSample, adjuster: &mut Adjuster, send: &mut dyn FnMut(&[u8])) {
        self.packet.truncate(self.names);
        if let Some(view) = adjuster.primary(sample) {
            let (frame, part) = frame_time(sample.stream_time, self.fps);
            self.packet.extend_from_slice(&(frame as u32).to_be_bytes());
            self.packet.extend_from_slice(&part.to_be_bytes());
            self.packet.extend_from_slice(&self.fps.to_be_bytes());
            self.packet.extend_from_slice(&1u32.to_be_bytes());
            self.packet.push(VALUE_COUNT as u8);
            for value in values(&view, &ORDER) {
                self.packet.extend_from_slice(&value.to_be_bytes());
            }
        }
        send(&self.packet);
    }

    fn encode_end(&mut self, send: &mut dyn FnMut(&[u8])) {
        send(&self.packet[..self.names]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::testing::datagrams;
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::geom::Angles;
    use glam::Vec3;

    fn subject() -> FaceSample {
        let mut subject = face(Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.125 });
        subject.blendshapes[JawLeft] = 0.5;
        subject.blendshapes[Blendshape::TongueOut] = 0.25;
        subject.gaze.left = subject.head.rotation * Vec3::new(0.0, 0.2f32.sin(), 0.2f32.cos());
        FaceSample { stream_time: MonoTime::from_secs_f64(2.0125), ..sample_of([subject]) }
    }

    #[test]
    fn a_packet_is_the_apps_byte_for_byte() {
        let all = datagrams(&mut Encoder::new(&LiveLinkConfig::default()), &subject(), &Adjust::default());
        let mut golden = vec![6, 0, 0, 0];
        golden.extend(DEVICE);
        golden.extend(b"\0\0\0\x0afacetrackd");
        // 2.0125 s at 60 frames a second: 120.75.
        golden.extend(b"\0\0\0\x78\x3f\x40\0\0\0\0\0\x3c\0\0\0\x01\x3d");
        assert_eq!((all.len(), all[0].len()), (1, 306 + 10));
        assert_eq!(all[0][..72], golden);
        let value = |i: usize| f32::from_be_bytes(all[0][72 + 4 * i..][..4].try_into().unwrap());
        // Places by the published order: JawLeft 15, JawRight 16, TongueOut 51, head 52 to 54, left eye 55 to 57.
        let expected =
            [(15, 0.5), (16, 0.0), (51, 0.25), (52, 0.5), (53, -0.25), (54, 0.125), (55, 0.0), (56, -0.2)];
        for (i, want) in expected {
            assert!((value(i) - want).abs() < 1e-4, "{i}: {}", value(i));
        }
    }

    #[test]
    fn without_a_face_a_packet_ends_after_the_names() {
        let mut encoder = Encoder::new(&LiveLinkConfig::default());
        let with_face = datagrams(&mut encoder, &subject(), &Adjust::default());
        let without = datagrams(&mut encoder, &FaceSample::default(), &Adjust::default());
        assert_eq!(without, [with_face[0][..55].to_vec()]);
    }

    #[test]
    fn mirroring_turns_the_head_the_other_way() {
        let adjust = Adjust { mirror: true, ..Adjust::default() };
        let all = datagrams(&mut Encoder::new(&LiveLinkConfig::default()), &subject(), &adjust);
        let value = |i: usize| f32::from_be_bytes(all[0][72 + 4 * i..][..4].try_into().unwrap());
        assert!((value(52) + 0.5).abs() < 1e-4 && (value(53) + 0.25).abs() < 1e-4);
        assert!((value(16) - 0.5).abs() < 1e-6, "jaw left has become jaw right");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let bad = LiveLinkConfig { fps: 0, ..LiveLinkConfig::default() };
        assert!(bad.validate().unwrap_err().to_string().contains("fps is 0"));
        let bad = LiveLinkConfig { subject: String::new(), ..LiveLinkConfig::default() };
        assert!(bad.validate().unwrap_err().to_string().contains("subject"));
    }
}
