//! Recording as glTF: a head with ARKit's 52 morph targets, and the animation that moves it, in one `.glb`.
//!
//! Space is glTF's own: right-handed, x to the subject's left, y up, z out of the face, metres; the head stands where the
//! camera saw it, the camera in the origin looking along -z. Animation time is the stream's, from the first frame with a
//! face. Frames without a face have no key; players go straight from the last before to the first after.
//!
//! The sink's thread fills buffers made beforehand; a thread of its own keeps them (17 kB a second at 60 Hz) and writes
//! the file.

mod file;
mod writer;

use super::SinkError;
use super::adjust::{Adjust, Adjuster, FaceView};
use super::udp::Traffic;
use crate::clock::MonoTime;
use crate::face::{BLENDSHAPE_COUNT, FaceSample};
use file::Template;
use glam::{Mat3, Quat, Vec3};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use writer::Writer;

/// The `gltf` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GltfConfig {
    /// File to write, with the ending `.glb`; replaced at the start.
    pub path: PathBuf,
    /// Mirroring, gain, rate.
    #[serde(default)]
    pub adjust: Adjust,
}

impl GltfConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        let fail = |problem: String| Err(SinkError::Config { output: "gltf", problem });
        if self.path.extension().is_none_or(|e| e != "glb") {
            return fail(format!("path is `{}`, but what is written is a .glb", self.path.display()));
        }
        // A whole file is put in the place of the old one: a device would be lost by it.
        if self.path.exists() && !self.path.is_file() {
            return fail(format!("{} exists and is no file", self.path.display()));
        }
        self.adjust.validate("gltf")
    }
}

/// Numbers of one frame: time, weights, turn of the head, its place, turns of the left and the right eye.
const FRAME: usize = 1 + BLENDSHAPE_COUNT + 4 + 3 + 4 + 4;

/// Least time from key to key, in seconds. Keys must rise, also where a source's time stands still.
const LEAST_STEP: f32 = 0.001;

/// One moment of the animation.
#[derive(Debug, Clone, Copy)]
struct Key([f32; FRAME]);

impl Default for Key {
    fn default() -> Self {
        Self([0.0; FRAME])
    }
}

impl Key {
    fn new(seconds: f32, view: &FaceView, before: &Self) -> Self {
        let mut key = [0.0; FRAME];
        key[0] = seconds;
        for (place, (_, weight)) in key[1..].iter_mut().zip(view.blendshapes.iter()) {
            *place = weight;
        }
        let [left, right] = view.gaze_in_head().map(|gaze| Quat::from_rotation_arc(Vec3::Z, gaze));
        let head = turn(view.head_from_neutral());
        let t = view.head.translation_mm * 0.001;
        // The camera's y is down and its z away from it.
        key[57..60].copy_from_slice(&[t.x, 0.0 - t.y, 0.0 - t.z]);
        for (at, q) in [(53, head), (60, left), (64, right)] {
            // q and -q are one turn; some players blend components and want neighbours near each other.
            let last = Quat::from_slice(&before.0[at..at + 4]);
            let q = if q.dot(last) < 0.0 { -q } else { q };
            key[at..at + 4].copy_from_slice(&q.to_array());
        }
        Self(key)
    }

    fn seconds(&self) -> f32 {
        self.0[0]
    }

    fn weights(&self) -> &[f32] {
        &self.0[1..53]
    }

    fn head_turn(&self) -> &[f32] {
        &self.0[53..57]
    }

    fn head_place(&self) -> &[f32] {
        &self.0[57..60]
    }

    fn left_eye(&self) -> &[f32] {
        &self.0[60..64]
    }

    fn right_eye(&self) -> &[f32] {
        &self.0[64..68]
    }
}

fn turn(head_axes: Mat3) -> Quat {
    Quat::from_mat3(&head_axes).normalize()
}

/// Records.
pub struct GltfSink {
    adjuster: Adjuster,
    start: Option<MonoTime>,
    last: Key,
    writer: Writer,
    traffic: Traffic,
}

impl GltfSink {
    /// Writes the head, as yet without an animation, and starts the writing thread.
    ///
    /// # Errors
    /// A setting that makes no sense, a folder that cannot be written to, or no thread.
    pub fn open(config: &GltfConfig) -> Result<Self, SinkError> {
        config.validate()?;
        let writer = Writer::start(config.path.clone(), Template::embedded())?;
        let adjuster = Adjuster::new(&config.adjust);
        Ok(Self { adjuster, start: None, last: Key::default(), writer, traffic: Traffic::default() })
    }

    /// Records one frame, if there is a face.
    ///
    /// # Errors
    /// The writing thread is gone.
    pub fn send(&mut self, sample: &FaceSample, now: MonoTime) -> Result<(), SinkError> {
        if !self.adjuster.is_due(now) {
            return Ok(());
        }
        let Some(view) = self.adjuster.primary(sample) else { return Ok(()) };
        let is_first = self.start.is_none();
        let start = *self.start.get_or_insert(sample.stream_time);
        let mut seconds = sample.stream_time.since(start).as_secs_f32();
        if !is_first {
            seconds = seconds.max(self.last.seconds() + LEAST_STEP);
        }
        self.last = Key::new(seconds, &view, &self.last);
        self.writer.push(&self.last)?;
        self.traffic.sent += 1;
        self.traffic.bytes += 4 * FRAME as u64;
        Ok(())
    }

    /// Writes the whole recording.
    ///
    /// # Errors
    /// The file could not be written: it is as it was when that last succeeded.
    pub fn close(&mut self) -> Result<(), SinkError> {
        self.writer.finish()
    }

    /// Frames recorded, and bytes of them.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }
}
