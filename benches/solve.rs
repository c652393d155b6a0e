//! Head pose, gaze, expression at rest and filter on one core: a head that turns, talks and shakes by a pixel.

mod common;

use common::{Stage, print_machine};
use facetrackd::clock::MonoTime;
use facetrackd::face::{Face, FaceSample, Landmarks, Presence, TrackedFace};
use facetrackd::filter::{Filter, FilterConfig};
use facetrackd::geom::{Angles, Intrinsics, Rect};
use facetrackd::solve::{DepthAlong, HeadPoseSolver, PoseConfig, RestingExpression, eye_look};
use glam::Vec3;

const FRAMES: u32 = 3000;
const HEAD: &str = include_str!("../models/canonical_head.json");

#[derive(serde::Deserialize)]
struct Head {
    points: Vec<Vec3>,
}

/// What a network would see of the mean head in frame `i`.
fn landmarks(head: &[Vec3], i: u32, camera: &Intrinsics) -> Landmarks {
    let t = f64::from(i) / 30.0;
    let angles = Angles {
        yaw_rad: 0.6 * (t * 1.3).sin() as f32,
        pitch_rad: 0.2 * (t * 1.7).sin() as f32,
        roll_rad: 0.1 * t.sin() as f32,
    };
    let at = Vec3::new(40.0 * (t * 0.7).sin() as f32, 10.0, 600.0);
    let mut state = u64::from(i) + 1;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::array::from_fn(|k| {
        let p = angles.to_rotation() * head[k] + at;
        let px = camera.project(p);
        Vec3::new(px.x + noise(), px.y + noise(), (p.z - at.z) * camera.focal_px / at.z)
    })
}

fn main() {
    print_machine();
    let head: Head = serde_json::from_str(HEAD).expect("the canonical head is valid JSON");
    let camera = Intrinsics::from_fov(60f32.to_radians(), 1280, 720);
    let mut solver = HeadPoseSolver::new(&PoseConfig::default(), DepthAlong::Axis);
    let mut resting = RestingExpression::new();
    let mut filter = Filter::new(&FilterConfig::default());
    let mut spare = Vec::with_capacity(4);
    let mut sample = FaceSample::default();
    sample.faces.push(TrackedFace { presence: Presence::Tracked, face: Face::default() });

    let names =
        ["head pose, first frame", "head pose, identity, gaze", "expression at rest", "eyeLook", "filter"];
    let [mut first, mut pose, mut rest, mut eyes, mut smoothing] = names.map(Stage::new);
    for i in 0..FRAMES {
        let seen = landmarks(&head.points, i, &camera);
        sample.stream_time = MonoTime::from_secs_f64(f64::from(i) / 30.0);
        let face = &mut sample.faces[0].face;
        *face.landmarks = seen;
        face.bounds = Rect::bounding(seen.iter().map(|p| p.truncate())).unwrap_or_default();
        if i % 30 == 0 {
            let mut fresh = HeadPoseSolver::new(&PoseConfig::default(), DepthAlong::Axis);
            first.measure(|| fresh.solve(&seen, &camera, sample.stream_time));
        }
        face.head = pose.measure(|| solver.solve(&seen, &camera, sample.stream_time));
        let wave = 0.5 + 0.5 * (i as f32 * 0.1).sin();
        face.blendshapes.values_mut().enumerate().for_each(|(k, (_, v))| *v = wave / (1 + k % 3) as f32);
        rest.measure(|| resting.settle(&mut face.blendshapes, 0.1, sample.stream_time));
        eyes.measure(|| {
            face.gaze = solver.gaze();
            eye_look(&face.gaze, &face.head, &mut face.blendshapes);
        });
        smoothing.measure(|| filter.apply(&mut sample, &mut spare));
    }
    for stage in [&mut first, &mut pose, &mut rest, &mut eyes, &mut smoothing] {
        stage.print();
    }
}
