//! What the filter promises.

#![expect(clippy::float_cmp, reason = "what passes through, and what is held, is the same to the bit")]

use super::*;
use crate::face::{Blendshapes, Gaze};
use crate::geom::{Angles, NEUTRAL_ROTATION};
use glam::Vec2;

const SMILE: Blendshape = Blendshape::MouthSmileLeft;
const BLINK: Blendshape = Blendshape::EyeBlinkLeft;
const FRAME_S: f64 = 1.0 / 30.0;

/// A stream of samples through one filter.
struct Stream {
    filter: Filter,
    spare: Vec<TrackedFace>,
    now_s: f64,
}

impl Stream {
    fn new() -> Self {
        Self { filter: Filter::new(&FilterConfig::default()), spare: Vec::new(), now_s: 10.0 }
    }

    /// The next frame, `dt_s` later.
    fn step(&mut self, dt_s: f64, faces: &[Face]) -> FaceSample {
        self.now_s += dt_s;
        let faces =
            faces.iter().map(|f| TrackedFace { presence: Presence::Tracked, face: f.clone() }).collect();
        let mut sample =
            FaceSample { stream_time: MonoTime::from_secs_f64(self.now_s), faces, ..FaceSample::default() };
        self.filter.apply(&mut sample, &mut self.spare);
        sample
    }

    fn smile(&mut self, dt_s: f64, value: f32) -> f32 {
        self.step(dt_s, &[with(SMILE, value)]).faces[0].face.blendshapes[SMILE]
    }
}

fn with(blendshape: Blendshape, value: f32) -> Face {
    let mut face = Face { id: 3, presence: 0.9, ..Face::default() };
    face.landmarks[0] = Vec3::new(200.0, 200.0, 0.0);
    face.bounds = Rect { min: Vec2::ZERO, max: Vec2::splat(200.0) };
    face.blendshapes[blendshape] = value;
    face
}

fn turned(yaw_rad: f32) -> Face {
    let mut face = with(SMILE, 0.8);
    face.head.rotation = Angles { yaw_rad, ..Angles::default() }.to_rotation();
    face.gaze = Gaze { left: face.head.rotation * Vec3::Z, right: face.head.rotation * Vec3::Z };
    face
}

#[test]
fn the_first_sample_passes_through() {
    let mut stream = Stream::new();
    let face = turned(0.4);
    assert_eq!(stream.step(0.0, std::slice::from_ref(&face)).faces[0].face, face);
}

#[test]
fn a_repeated_timestamp_passes_through() {
    let mut stream = Stream::new();
    stream.smile(FRAME_S, 0.0);
    assert_eq!(stream.smile(0.0, 0.7), 0.7);
}

#[test]
fn an_earlier_timestamp_passes_through_and_smoothing_goes_on_from_there() {
    let mut stream = Stream::new();
    stream.smile(FRAME_S, 0.0);
    assert_eq!(stream.smile(-5.0, 0.7), 0.7);
    let next = stream.smile(FRAME_S, 0.0);
    assert!(next > 0.1 && next < 0.7, "{next}");
}

#[test]
fn after_a_pause_smoothing_starts_anew() {
    let mut stream = Stream::new();
    stream.smile(FRAME_S, 0.0);
    assert_eq!(stream.smile(0.5, 0.9), 0.9);
}

#[test]
fn a_blink_is_nearly_raw() {
    // Down in 3 frames, closed for 2, up in 4: the peak must be there, and no frame late.
    let mut stream = Stream::new();
    let raw = [0.0, 0.0, 0.0, 0.33, 0.67, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0];
    let shown: Vec<f32> = raw
        .iter()
        .map(|v| stream.step(FRAME_S, &[with(BLINK, *v)]).faces[0].face.blendshapes[BLINK])
        .collect();
    let above = |values: &[f32]| values.iter().position(|v| *v > 0.5);
    assert_eq!(above(&shown), above(&raw));
    assert!(shown.iter().copied().fold(0.0, f32::max) > 0.93, "{shown:?}");
}

#[test]
fn irregular_frames_give_nearly_the_same_curve() {
    let curve = |t: f64| (0.5 - 0.5 * (t * 6.0).cos()) as f32;
    let (mut even, mut uneven) = (Stream::new(), Stream::new());
    let mut worst = 0f32;
    for i in 0..40 {
        let t = f64::from(i) * 2.0 * FRAME_S;
        let a = (0..2).map(|k| even.smile(FRAME_S, curve(t + f64::from(k) * FRAME_S))).last().unwrap_or(0.0);
        let b =
            [(0.3, 0.0), (1.7, 1.0)].map(|(dt, at)| uneven.smile(dt * FRAME_S, curve(t + at * FRAME_S)))[1];
        worst = worst.max((a - b).abs());
    }
    assert!(worst < 0.08, "{worst}");
}

#[test]
fn noise_on_a_still_head_is_at_least_halved() {
    let mut stream = Stream::new();
    let (mut raw_sum, mut shown_sum) = (0.0, 0.0);
    for i in 0..200 {
        let raw = 0.004 * [1.0, -0.6, 0.2, -1.0, 0.7, -0.3, 0.9][i % 7];
        let yaw = stream.step(FRAME_S, &[turned(raw)]).faces[0].face.head.angles().yaw_rad;
        if i > 20 {
            raw_sum += raw * raw;
            shown_sum += yaw * yaw;
        }
    }
    assert!(shown_sum < 0.25 * raw_sum, "{shown_sum} of {raw_sum}");
}

#[test]
fn a_turning_head_lags_less_than_two_frames() {
    let mut stream = Stream::new();
    let speed = 2.0 * FRAME_S as f32;
    let yaw = (0..30)
        .map(|i| stream.step(FRAME_S, &[turned(i as f32 * speed)]).faces[0].face.head.angles().yaw_rad);
    let behind = 29.0 * speed - yaw.last().unwrap_or(0.0);
    assert!(behind < 2.0 * speed, "{} frames", behind / speed);
}

#[test]
fn eyes_that_keep_still_in_a_turning_head_turn_exactly_with_it() {
    let mut stream = Stream::new();
    for i in 0..30 {
        let face = &stream.step(FRAME_S, &[turned(i as f32 * 0.05)]).faces[0].face;
        assert!((face.gaze.left - face.head.rotation * Vec3::Z).length() < 1e-3);
    }
}

#[test]
fn a_lost_face_is_held_then_fades_to_exact_neutral_then_is_gone() {
    let mut stream = Stream::new();
    stream.step(FRAME_S, &[turned(0.6)]);
    for _ in 0..3 {
        let held = stream.step(0.099, &[]);
        assert_eq!(held.faces[0].presence, Presence::Fading);
        assert_eq!((held.faces[0].face.id, held.faces[0].face.blendshapes[SMILE]), (3, 0.8));
        assert!((held.faces[0].face.head.angles().yaw_rad - 0.6).abs() < 1e-4);
    }
    let half = stream.step(0.253, &[]);
    assert!((half.faces[0].face.blendshapes[SMILE] - 0.4).abs() < 0.01);
    assert!((half.faces[0].face.head.angles().yaw_rad - 0.3).abs() < 0.01);
    let neutral = stream.step(0.3, &[]);
    assert_eq!(neutral.faces[0].face.blendshapes, Blendshapes::default());
    assert_eq!(neutral.faces[0].face.head.rotation, NEUTRAL_ROTATION);
    assert!((neutral.faces[0].face.gaze.left - Vec3::NEG_Z).length() < 1e-5);
    assert!(stream.step(FRAME_S, &[]).faces.is_empty());
}

#[test]
fn a_face_that_comes_back_while_held_moves_by_one_filter_step() {
    let mut stream = Stream::new();
    stream.smile(FRAME_S, 0.2);
    for _ in 0..8 {
        stream.step(FRAME_S, &[]);
    }
    let mut uninterrupted = Stream::new();
    uninterrupted.smile(FRAME_S, 0.2);
    assert!((stream.smile(FRAME_S, 0.9) - uninterrupted.smile(FRAME_S, 0.9)).abs() < 1e-3);
}

#[test]
fn a_face_that_comes_back_while_it_fades_goes_on_from_what_was_shown() {
    let mut stream = Stream::new();
    stream.smile(FRAME_S, 1.0);
    let mut shown = 1.0;
    for _ in 0..16 {
        shown = stream.step(FRAME_S, &[]).faces[0].face.blendshapes[SMILE];
    }
    let back = stream.smile(FRAME_S, 1.0);
    assert!(shown < 0.7 && back >= shown && back < 1.0, "{shown} then {back}");
}

#[test]
fn a_fading_face_is_dropped_where_time_runs_backwards() {
    let mut stream = Stream::new();
    stream.smile(FRAME_S, 1.0);
    stream.step(0.2, &[]);
    assert!(stream.step(-5.0, &[]).faces.is_empty());
}

#[test]
fn faces_do_not_touch_each_other_and_stay_in_order() {
    let mut stream = Stream::new();
    let other = Face { id: 1, ..with(SMILE, 0.5) };
    stream.step(FRAME_S, &[with(SMILE, 0.0), other.clone()]);
    let sample = stream.step(FRAME_S, std::slice::from_ref(&other));
    let ids: Vec<_> = sample.faces.iter().map(|f| (f.face.id, f.presence)).collect();
    assert_eq!(ids, [(1, Presence::Tracked), (3, Presence::Fading)]);
    assert_eq!(sample.faces[0].face.blendshapes[SMILE], 0.5);
}

#[test]
fn after_a_reset_nothing_of_the_past_is_left() {
    let mut stream = Stream::new();
    stream.smile(FRAME_S, 1.0);
    stream.filter.reset();
    assert!(stream.step(FRAME_S, &[]).faces.is_empty());
    assert_eq!(stream.smile(FRAME_S, 0.3), 0.3);
}

#[test]
fn bad_numbers_in_the_table_are_refused() {
    let parse = |text: &str| toml::from_str::<FilterConfig>(text).map_err(|e| e.to_string());
    assert_eq!(parse(""), Ok(FilterConfig::default()));
    assert_eq!(
        parse("mouth = { cutoff_hz_min = 3, beta = 1 }").map(|c| c.mouth),
        Ok(Smoothing::new(3.0, 1.0))
    );
    for bad in [
        "hold_s = -1",
        "hold_s = nan",
        "fades = 1",
        "mouth = { cutoff_hz_min = 0, beta = 1 }",
        "mouth = { cutoff_hz_min = 1, beta = -1 }",
        "mouth = { cutoff_hz_min = 1, beta = 1, speed_cutoff_hz = 0 }",
        "mouth = { cutoff_hz_min = 1, beta = 1, gamma = 0 }",
    ] {
        let error = parse(bad).expect_err(bad);
        assert!(error.contains("line 1"), "{error}");
    }
}
