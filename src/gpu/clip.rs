//! Moving heads, frame by frame, with their truth: `clip.avi` (Motion-JPEG) and `truth.json`.

use super::RenderError;
use super::command::{RenderFacesArgs, Renderer, picture_size, progress};
use super::labels::Label;
use super::rng::Rng;
use super::run::Worker;
use super::sampler::{Sampler, SamplerOptions, from_motion, identity, tidy};
use super::shard;
use super::spec::{Cut, FaceSpec};
use crate::capture::avi::{AviInfo, AviWriter};
use crate::face::{Blendshape, HeadPose};
use crate::geom::{Angles, Intrinsics};
use glam::Vec3;
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::Path;

/// The recorded motion has 60 frames in a second; every other one is rendered.
const RATE: u32 = 30;
const STEP: usize = 2;

/// Writes a clip of one person who moves as the recording has it, from a place that the seed draws.
///
/// # Errors
/// Where rendering or writing fails.
pub fn write(renderer: &Renderer, args: &RenderFacesArgs, out: &Path) -> Result<(), RenderError> {
    let size = picture_size(args);
    let mut worker = Worker::new(&renderer.studio, &renderer.gpu, size, renderer.slots())?;
    let scene = Scene::new(renderer, args, size);
    let info = AviInfo { width: size.0, height: size.1, rate: RATE, scale: 1 };
    let mut avi = AviWriter::new(Cursor::new(Vec::new()), info)?;
    let mut truth = Vec::new();
    let bar = progress(args.count, 0);
    for start in (0..args.count).step_by(worker.slots()) {
        let end = (start + worker.slots() as u64).min(args.count);
        let specs: Vec<_> = (start..end).map(|i| (i, scene.frame(i))).collect();
        for rendered in worker.render(&specs, |_, _, _| ())? {
            truth.push(frame_truth(&rendered.label));
            avi.write_frame(&worker.record(rendered)?.jpeg)?;
            bar.inc(1);
        }
    }
    bar.finish();
    let intrinsics = scene.spec.view.intrinsics;
    let summary = json!({
        "rate": RATE, "size": [size.0, size.1], "seed": args.seed, "focal_px": intrinsics.focal_px,
        "principal_px": intrinsics.center.to_array(), "blendshapes": Blendshape::ALL.map(Blendshape::name).to_vec(),
        "frames": truth,
    });
    std::fs::create_dir_all(out)
        .map_err(|source| shard::ShardError::Write { path: out.to_path_buf(), source })?;
    shard::write_whole(out, "truth.json", summary.to_string().as_bytes())?;
    Ok(shard::write_whole(out, "clip.avi", avi.finish()?.get_ref())?)
}

struct Scene<'a> {
    renderer: &'a Renderer,
    spec: FaceSpec,
    first_row: usize,
}

impl<'a> Scene<'a> {
    /// One person, place, camera and light; sharp enough to be a demonstration.
    fn new(renderer: &'a Renderer, args: &RenderFacesArgs, (width, height): (u32, u32)) -> Self {
        let pack = &renderer.studio.pack;
        let options = SamplerOptions { whole_frame: true, size: args.size, ..SamplerOptions::default() };
        let sampler = Sampler::new(pack, &renderer.studio.environments, options);
        let mut rng = Rng::new(args.seed, u64::MAX);
        let person = identity(&mut rng);
        let first_row = rng.below(pack.motion.len());
        let resting = HeadPose { translation_mm: Vec3::new(0.0, 20.0, 560.0), ..HeadPose::default() };
        let mut spec = sampler.around(rng, person, crate::face::Blendshapes::default(), Some(resting));
        spec.view.frame = glam::Vec2::new(width as f32, height as f32);
        spec.view.intrinsics = Intrinsics::from_fov(60.0f32.to_radians(), width, height);
        spec.view.rolling_px = glam::Vec2::ZERO;
        spec.view.distortion = [0.0; 2];
        spec.view.cut = Cut::Frame;
        spec.faults.motion_px = glam::Vec2::ZERO;
        spec.faults.defocus_px = spec.faults.defocus_px.min(0.5);
        if args.no_faults {
            spec.faults = super::spec::Faults::default();
        }
        Self { renderer, spec, first_row }
    }

    /// Frame `i`: coefficients and head angles of the recording; light stays with the room, not with the head.
    fn frame(&self, i: u64) -> FaceSpec {
        let motion = &self.renderer.studio.pack.motion;
        let row = (self.first_row + STEP * i as usize) % motion.len();
        let mut spec = self.spec.clone();
        spec.expression = from_motion(motion, row);
        tidy(&mut spec.expression);
        let angle = |name: &str| {
            let column = motion.names.iter().position(|n| n == name);
            column.map_or(0.0, |c| motion.row(row)[c]).clamp(-0.8, 0.8)
        };
        let turned =
            Angles { yaw_rad: angle("HeadYaw"), pitch_rad: angle("HeadPitch"), roll_rad: angle("HeadRoll") };
        spec.pose.rotation = turned.to_rotation();
        let t = i as f32 / RATE as f32;
        spec.pose.translation_mm +=
            Vec3::new(25.0 * (0.7 * t).sin(), 8.0 * (1.1 * t).sin(), 35.0 * (0.4 * t).sin());
        let head_from_old_head = spec.pose.rotation.transpose() * self.spec.pose.rotation;
        spec.light.sh = super::light::rotated(&spec.light.sh, head_from_old_head);
        for lamp in [&mut spec.light.key, &mut spec.light.fill] {
            lamp.direction = head_from_old_head * lamp.direction;
        }
        spec.faults.seed = spec.faults.seed.wrapping_add(i);
        spec
    }
}

fn frame_truth(label: &Label) -> Value {
    let points: Vec<[f32; 3]> = label.landmarks.iter().map(Vec3::to_array).collect();
    json!({
        "index": label.index, "rotation_rows": label.rotation.transpose().to_cols_array_2d(),
        "translation_mm": label.translation_mm.to_array(), "blendshapes": label.blendshapes.to_vec(),
        "gaze": label.gaze.map(|g| g.to_array()), "eye_openness_mm": label.eye_openness_mm, "landmarks": points,
    })
}
