//! Pose, camera, cut, and the camera's faults.

use super::SamplerOptions;
use crate::face::HeadPose;
use crate::geom::{Angles, Intrinsics};
use crate::gpu::rng::Rng;
use crate::gpu::spec::{Cut, Faults, View};
use glam::{Quat, Vec2, Vec3};

/// Frame sizes of webcams, with how often they are met.
const FRAMES: [(f32, f32, f32); 3] = [(640.0, 480.0, 0.35), (1280.0, 720.0, 0.45), (1920.0, 1080.0, 0.2)];

/// Who is at rest turns the head by so much of what it would be else.
const AT_REST: f32 = 0.25;

/// A head turned within the largest yaw, 45 degrees of pitch and roll, most of them near the middle.
fn angles(rng: &mut Rng, options: &SamplerOptions) -> Angles {
    let (least, limit) = (options.yaw_min_rad, options.yaw_max_rad);
    let yaw = if least > 0.0 {
        let turn = rng.range(least, limit);
        if rng.chance(0.5) { turn } else { -turn }
    } else if rng.chance(0.5) {
        0.26 * rng.normal()
    } else {
        rng.range(-limit, limit)
    };
    let pitch = if rng.chance(0.3) { 0.18 * rng.normal() } else { rng.range(-0.785, 0.785) };
    let roll = if rng.chance(0.65) { 0.14 * rng.normal() } else { rng.range(-0.785, 0.785) };
    // Far turns of all three at once leave nothing to see.
    let ease = (1.0 - 0.45 * (yaw.abs() / 1.309)).max(0.4);
    let share = if options.at_rest { AT_REST } else { 1.0 };
    Angles {
        yaw_rad: share * yaw.clamp(-limit, limit),
        pitch_rad: share * (pitch * ease).clamp(-0.785, 0.785),
        roll_rad: share * roll.clamp(-0.785, 0.785),
    }
}

/// A camera and where the head stands before it.
pub fn sample(rng: &mut Rng, options: &SamplerOptions) -> (View, HeadPose) {
    let (width, height, _) = FRAMES[rng.weighted(&FRAMES.map(|f| f.2))];
    let fov = rng.range(40.0f32, 95.0).to_radians();
    let intrinsics = Intrinsics::from_fov(fov, width as u32, height as u32);
    // Most sit at a desk; 0.3 to 4 m.
    let distance = (650.0 * (0.5 * rng.normal()).exp()).clamp(300.0, 4000.0);
    let distance = if rng.chance(0.25) { rng.log_range(300.0, 4000.0) } else { distance };
    let radius = 115.0 * intrinsics.focal_px / distance;
    let mut place = |size: f32| {
        let room = (0.5 * size - radius).max(0.08 * size);
        (0.45 * room * rng.normal()).clamp(-room, room)
    };
    let offset = Vec2::new(place(width), place(height));
    let ray = (offset / intrinsics.focal_px).extend(1.0).normalize();
    let view_turn = Quat::from_rotation_arc(Vec3::Z, ray);
    let rotation = glam::Mat3::from_quat(view_turn) * angles(rng, options).to_rotation();
    let distortion =
        if rng.chance(0.5) { [rng.range(-0.14, 0.05), rng.range(-0.01, 0.02)] } else { [0.0; 2] };
    let rolling = if rng.chance(0.2) {
        Vec2::new(rng.normal(), 0.4 * rng.normal()) * 0.02 * height
    } else {
        Vec2::ZERO
    };
    let cut = if options.whole_frame {
        Cut::Frame
    } else {
        let aligned = rng.chance(0.75);
        Cut::Crop {
            scale: 1.5 * rng.log_range(0.84, 1.22),
            shift: Vec2::new(rng.normal(), rng.normal()) * 0.035,
            turn_rad: if aligned { 0.07 * rng.normal() } else { rng.range(-0.5, 0.5) },
        }
    };
    let view = View { frame: Vec2::new(width, height), intrinsics, distortion, rolling_px: rolling, cut };
    (view, HeadPose { rotation, translation_mm: ray * distance })
}

/// What a camera does wrong, most of it a little, some of it a lot. `dimness` is 0 in good light, 1 in the dark.
pub fn faults(rng: &mut Rng, dimness: f32) -> Faults {
    let mut f = Faults { seed: rng.next_u64(), ..Faults::default() };
    f.defocus_px = if rng.chance(0.35) { rng.log_range(0.3, 2.6) } else { rng.range(0.0, 0.6) };
    if rng.chance(0.15 + 0.2 * dimness) {
        let (s, c) = rng.range(0.0, std::f32::consts::PI).sin_cos();
        f.motion_px = Vec2::new(c, s) * rng.log_range(1.5, 14.0);
    }
    let iso = rng.log_range(0.15, 1.5) * (1.0 + 5.0 * dimness * dimness);
    f.shot_noise = 0.0009 * iso * iso;
    f.read_noise = 0.004 * iso;
    f.gain = (0.28 * rng.normal()).exp();
    if rng.chance(0.06) {
        f.gain *= if rng.chance(0.5) { rng.range(0.25, 0.5) } else { rng.range(1.7, 2.6) };
    }
    f.vignette = if rng.chance(0.4) { rng.range(0.0, 0.4) } else { 0.0 };
    f.contrast = rng.range(0.0, 0.8);
    f.saturation = if rng.chance(0.04) { 0.0 } else { (1.0 + 0.2 * rng.normal()).clamp(0.3, 1.35) };
    f.sharpen = if rng.chance(0.35) { rng.range(0.1, 0.9) } else { 0.0 };
    f.jpeg_quality =
        rng.chance(0.8).then(|| if rng.chance(0.2) { 22 + rng.below(35) } else { 55 + rng.below(41) } as i32);
    f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_stand_before_the_camera_within_the_limits() {
        let options = SamplerOptions::default();
        let mut rng = Rng::new(2, 0);
        for _ in 0..1000 {
            let (view, pose) = sample(&mut rng, &options);
            let distance = pose.translation_mm.length();
            assert!((299.0..4001.0).contains(&distance) && pose.translation_mm.z > 150.0);
            let p = view.intrinsics.project(pose.translation_mm);
            assert!(p.x >= 0.0 && p.x <= view.frame.x && p.y >= 0.0 && p.y <= view.frame.y);
            let facing = (pose.rotation * Vec3::Z).dot(-pose.translation_mm.normalize());
            assert!(facing > 0.1, "the face must look at the camera's side: {facing}");
        }
    }
}
