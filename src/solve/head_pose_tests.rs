//! What the head pose solver promises.

use super::head_pose::{DepthAlong, HeadPoseSolver};
use super::observations::Pose;
use super::synthetic::{CAMERA, Noise, degrees_apart, nobody_special, person, photograph, pose};
use super::{PoseConfig, canonical::MODES};
use crate::clock::MonoTime;
use crate::face::{HeadPose, Landmarks};
use glam::{Mat3, Vec3};
use proptest::prelude::*;

/// The upper lids' edges, right then left.
const UPPER_LIDS: [usize; 14] = [246, 161, 160, 159, 158, 157, 173, 466, 388, 387, 386, 385, 384, 398];

fn fixed() -> HeadPoseSolver {
    HeadPoseSolver::new(&PoseConfig { adapt: false, ..PoseConfig::default() }, DepthAlong::Axis)
}

fn adapting() -> HeadPoseSolver {
    HeadPoseSolver::new(&PoseConfig::default(), DepthAlong::Axis)
}

fn frame(i: u32) -> MonoTime {
    MonoTime::from_secs_f64(1.0 + f64::from(i) / 30.0)
}

fn errors(found: &HeadPose, truth: &Pose) -> (f32, f32) {
    let moved = (found.translation_mm - truth.translation).length();
    (degrees_apart(found.rotation, truth.rotation), moved)
}

/// A mouth opened by `degrees`: what lies below the lip line turns about the jaw's joints, before the ears; towards the ears
/// the skin stays. 14 degrees take the chin 25 mm down, as far as most people can.
fn open_jaw(head: &mut Landmarks, degrees: f32) {
    let joint = Vec3::new(0.0, -20.0, -70.0);
    for p in head.iter_mut() {
        let share = ((-70.0 - p.y) / 15.0).clamp(0.0, 1.0) * ((p.z + 30.0) / 40.0).clamp(0.0, 1.0);
        *p = joint + Mat3::from_rotation_x((degrees * share).to_radians()) * (*p - joint);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_pose_is_found_from_nothing(
        yaw in -90f32..90.0, pitch in -40f32..40.0, roll in -180f32..180.0,
        x in -150f32..150.0, y in -100f32..100.0, z in 350f32..1500.0,
    ) {
        let truth = pose(yaw, pitch, roll, [x, y, z]);
        let found = fixed().solve(&photograph(&nobody_special(), &truth, &CAMERA), &CAMERA, frame(0));
        let (degrees, mm) = errors(&found, &truth);
        prop_assert!(degrees < 0.1 && mm < 0.002 * z, "{degrees} degrees, {mm} mm of {z}");
    }

    #[test]
    fn any_pose_is_found_by_depth_along_the_ray(
        yaw in -90f32..90.0, pitch in -40f32..40.0, x in -150f32..150.0, y in -100f32..100.0, z in 350f32..1500.0,
    ) {
        let (head, truth) = (nobody_special(), pose(yaw, pitch, 10.0, [x, y, z]));
        let mut seen = photograph(&head, &truth, &CAMERA);
        for (p, at) in seen.iter_mut().zip(&head) {
            p.z = (truth.rotation * *at).dot(truth.translation.normalize()) * CAMERA.focal_px / z;
        }
        let mut solver = HeadPoseSolver::new(&PoseConfig { adapt: false, ..PoseConfig::default() }, DepthAlong::Ray);
        let (degrees, mm) = errors(&solver.solve(&seen, &CAMERA, frame(0)), &truth);
        prop_assert!(degrees < 0.1 && mm < 0.002 * z, "{degrees} degrees, {mm} mm of {z}");
    }

    #[test]
    fn noise_of_a_pixel_costs_a_degree_at_most(yaw in -60f32..60.0, pitch in -25f32..25.0, roll in -40f32..40.0, seed: u64) {
        let truth = pose(yaw, pitch, roll, [30.0, -20.0, 600.0]);
        let mut seen = photograph(&nobody_special(), &truth, &CAMERA);
        Noise(seed).shake(&mut seen, 1.7);
        let (degrees, mm) = errors(&fixed().solve(&seen, &CAMERA, frame(0)), &truth);
        prop_assert!(degrees < 1.0 && mm < 6.0, "{degrees} degrees, {mm} mm");
    }

    #[test]
    fn a_fifth_of_the_landmarks_may_be_anywhere(yaw in -60f32..60.0, pitch in -25f32..25.0, roll in -60f32..60.0, seed: u64) {
        let truth = pose(yaw, pitch, roll, [30.0, -20.0, 600.0]);
        let mut seen = photograph(&nobody_special(), &truth, &CAMERA);
        let mut noise = Noise(seed);
        for p in &mut seen {
            if noise.next() > 0.6 {
                *p += Vec3::new(noise.next(), noise.next(), noise.next()) * 80.0;
            }
        }
        let (degrees, mm) = errors(&fixed().solve(&seen, &CAMERA, frame(0)), &truth);
        prop_assert!(degrees < 1.5 && mm < 9.0, "{degrees} degrees, {mm} mm");
    }

    #[test]
    fn a_start_from_the_last_pose_ends_where_a_start_from_nothing_does(yaw in -60f32..60.0, turn in -15f32..15.0) {
        let (before, after) = (pose(yaw, 5.0, 0.0, [0.0, 0.0, 600.0]), pose(yaw + turn, 0.0, 8.0, [10.0, 5.0, 580.0]));
        let head = nobody_special();
        let mut warm = fixed();
        warm.solve(&photograph(&head, &before, &CAMERA), &CAMERA, frame(0));
        let seen = photograph(&head, &after, &CAMERA);
        let (a, b) = (warm.solve(&seen, &CAMERA, frame(1)), fixed().solve(&seen, &CAMERA, frame(0)));
        prop_assert!(degrees_apart(a.rotation, b.rotation) < 0.05);
        prop_assert!((a.translation_mm - b.translation_mm).length() < 0.5);
    }

    #[test]
    fn an_opening_jaw_hardly_moves_the_pose(yaw in -45f32..45.0, degrees in 0f32..14.0) {
        let truth = pose(yaw, 0.0, 0.0, [0.0, 0.0, 600.0]);
        let mut head = nobody_special();
        open_jaw(&mut head, degrees);
        let (turned, mm) = errors(&fixed().solve(&photograph(&head, &truth, &CAMERA), &CAMERA, frame(0)), &truth);
        prop_assert!(turned < 0.5 && mm < 2.0, "{turned} degrees, {mm} mm");
    }

    #[test]
    fn a_blink_hardly_moves_the_pose(yaw in -45f32..45.0) {
        let truth = pose(yaw, 0.0, 0.0, [0.0, 0.0, 600.0]);
        let mut head = nobody_special();
        for lid in UPPER_LIDS {
            head[lid].y -= 9.0;
        }
        let (turned, mm) = errors(&fixed().solve(&photograph(&head, &truth, &CAMERA), &CAMERA, frame(0)), &truth);
        prop_assert!(turned < 0.5 && mm < 2.0, "{turned} degrees, {mm} mm");
    }
}

#[test]
fn a_large_person_is_placed_by_their_irises() {
    let head = person(&[0.0; MODES], 1.15);
    let mut solver = adapting();
    let mut last = (0.0, 0.0);
    for i in 0..300 {
        let truth = pose(10.0 * (i as f32 * 0.05).sin(), 0.0, 0.0, [0.0, 0.0, 700.0]);
        last = errors(&solver.solve(&photograph(&head, &truth, &CAMERA), &CAMERA, frame(i)), &truth);
    }
    assert!(last.0 < 1.0 && last.1 < 0.04 * 700.0, "{last:?}: without the irises it would be off by 90 mm");
}

#[test]
fn the_shape_of_a_person_settles_within_five_seconds() {
    let mut coefficients = [0.0; MODES];
    coefficients[..6].copy_from_slice(&[0.5, -1.5, 1.2, 1.0, -1.0, 0.8]);
    let head = person(&coefficients, 1.0);
    let (mut known, mut mean) = (adapting(), fixed());
    let (mut worst_known, mut worst_mean) = (0f32, 0f32);
    for i in 0..210 {
        let angle = i as f32 * 0.07;
        let truth = pose(25.0 * angle.sin(), 10.0 * (1.3 * angle).cos(), 0.0, [0.0, 0.0, 600.0]);
        let seen = photograph(&head, &truth, &CAMERA);
        let (a, b) = (known.solve(&seen, &CAMERA, frame(i)), mean.solve(&seen, &CAMERA, frame(i)));
        if i >= 150 {
            worst_known = worst_known.max(errors(&a, &truth).0);
            worst_mean = worst_mean.max(errors(&b, &truth).0);
        }
    }
    assert!(
        worst_known < 1.0 && worst_known < 0.5 * worst_mean,
        "{worst_known:.2} against {worst_mean} degrees"
    );
}

#[test]
fn a_settling_shape_never_makes_the_pose_jump() {
    let mut coefficients = [0.0; MODES];
    coefficients[..4].copy_from_slice(&[1.0, 1.5, -1.5, 1.0]);
    let seen = photograph(&person(&coefficients, 1.08), &pose(20.0, 5.0, 0.0, [0.0, 0.0, 600.0]), &CAMERA);
    let mut solver = adapting();
    let mut before = solver.solve(&seen, &CAMERA, frame(0));
    for i in 1..120 {
        let now = solver.solve(&seen, &CAMERA, frame(i));
        assert!(degrees_apart(before.rotation, now.rotation) < 0.3, "frame {i}");
        assert!((before.translation_mm - now.translation_mm).length() < 5.0, "frame {i}");
        before = now;
    }
}

#[test]
fn a_landmark_that_is_no_number_leaves_the_pose_as_it_was() {
    let mut solver = fixed();
    let mut seen = photograph(&nobody_special(), &pose(20.0, 0.0, 0.0, [0.0, 0.0, 600.0]), &CAMERA);
    let before = solver.solve(&seen, &CAMERA, frame(0));
    seen[7].x = f32::NAN;
    assert_eq!(solver.solve(&seen, &CAMERA, frame(1)), before);
    assert_eq!(fixed().solve(&seen, &CAMERA, frame(0)), HeadPose::default());
}

#[test]
fn time_that_runs_backwards_or_stands_still_is_survived() {
    let mut solver = adapting();
    for (i, yaw) in [(9, 0.0), (9, 5.0), (3, -70.0), (3, 70.0)] {
        let truth = pose(yaw, 0.0, 0.0, [0.0, 0.0, 600.0]);
        let found = solver.solve(&photograph(&nobody_special(), &truth, &CAMERA), &CAMERA, frame(i));
        assert!(errors(&found, &truth).0 < 1.0);
    }
}

#[test]
fn landmarks_that_are_no_face_give_a_finite_pose() {
    let places: [fn(usize) -> Vec3; 3] =
        [|_| Vec3::ZERO, |_| Vec3::new(320.0, 240.0, 0.0), |i| Vec3::splat(i as f32 * 1e6)];
    for place in places {
        let found = adapting().solve(&std::array::from_fn(place), &CAMERA, frame(0));
        assert!(found.rotation.is_finite() && found.translation_mm.is_finite());
    }
}
