//! The whole program on the demonstration clip, whose truth is known: every number here is a distance from that truth.
//!
//! The bounds are what the program reached when they were written, rounded in its favour; a change that lets them slip
//! made tracking worse.
#![cfg(unix)]

#[expect(dead_code, reason = "each test file uses a part of what the tests share")]
mod common;

use common::{demo_clip, repository, run, stderr};
use glam::{Mat3, Vec3};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::LazyLock;

/// A part of truth.json; its card tells the rest.
#[derive(Deserialize)]
struct Truth {
    names: Vec<String>,
    ibug68_landmarks: Vec<usize>,
    eyes_shut: Vec<Closing>,
    frames: Vec<TrueFrame>,
}

/// An eye's closing: first and last frame with its coefficient at 0.5 or more.
#[derive(Deserialize)]
struct Closing {
    eye: String,
    first: usize,
    last: usize,
}

#[derive(Deserialize)]
struct TrueFrame {
    coefficients: Vec<f32>,
    rotation: [f32; 9],
    translation_mm: Vec3,
    gaze_left: Vec3,
    gaze_right: Vec3,
    ibug68: Vec<f32>,
}

/// A line of the program's output.
#[derive(Deserialize)]
struct Line {
    faces: Vec<FaceLine>,
}

#[derive(Deserialize)]
struct FaceLine {
    landmarks: Vec<[f32; 3]>,
    head: Head,
    gaze: Eyes,
    blendshapes: HashMap<String, f32>,
}

#[derive(Deserialize)]
struct Head {
    rotation: [[f32; 3]; 3],
    translation_mm: Vec3,
}

#[derive(Deserialize)]
struct Eyes {
    left: Vec3,
    right: Vec3,
}

static TRUTH: LazyLock<Truth> = LazyLock::new(|| {
    let file = File::open(repository("assets/demo/truth.json")).expect("truth.json is in the repository");
    serde_json::from_reader(BufReader::new(file)).expect("truth.json is as its card says")
});

/// The first face of each frame, as the program tells it with its defaults.
static TOLD: LazyLock<Vec<FaceLine>> = LazyLock::new(|| {
    let lines = OUTPUT.lines().map(|l| serde_json::from_str::<Line>(l).expect("a line of JSON"));
    lines
        .enumerate()
        .map(|(i, l)| l.faces.into_iter().next().unwrap_or_else(|| panic!("no face in frame {i}")))
        .collect()
});

static OUTPUT: LazyLock<String> = LazyLock::new(output);

fn output() -> String {
    let clip = demo_clip();
    let output = run(&["--source", clip.to_str().expect("UTF-8"), "--fov", "60", "--jsonl", "-"]);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Frames whose filter and calibration have seen the person for half a second.
const SETTLED_AFTER: usize = 15;

fn settled() -> impl Iterator<Item = (&'static TrueFrame, &'static FaceLine)> {
    TRUTH.frames.iter().zip(TOLD.iter()).skip(SETTLED_AFTER)
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

/// The true course of a coefficient and the one the program tells.
fn courses(name: &str) -> (Vec<f32>, Vec<f32>) {
    let k = TRUTH.names.iter().position(|n| n == name).expect("an ARKit name");
    (
        TRUTH.frames.iter().map(|f| f.coefficients[k]).collect(),
        TOLD.iter().map(|f| f.blendshapes[name]).collect(),
    )
}

/// Pearson's.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    let (ma, mb) = (mean(a), mean(b));
    let dot = |x: &[f32], mx: f32, y: &[f32], my: f32| {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f32>()
    };
    dot(a, ma, b, mb) / (dot(a, ma, a, ma) * dot(b, mb, b, mb)).sqrt().max(f32::MIN_POSITIVE)
}

#[test]
fn every_frame_has_its_face() {
    assert_eq!(TOLD.len(), TRUTH.frames.len());
}

#[test]
fn landmarks_lie_where_they_were_drawn() {
    let error = median(settled().map(|(truth, told)| {
        let told = TRUTH.ibug68_landmarks.iter().map(|&i| told.landmarks[i]);
        let off: f32 =
            truth.ibug68.chunks_exact(2).zip(told).map(|(t, p)| (t[0] - p[0]).hypot(t[1] - p[1])).sum();
        let eyes = (truth.ibug68[90] - truth.ibug68[72]).hypot(truth.ibug68[91] - truth.ibug68[73]);
        off / 68.0 / eyes
    }));
    assert!(error < 0.022, "mean distance by the distance of the outer eye corners: {error}");
}

#[test]
fn head_rotation_is_within_two_and_a_half_degrees() {
    let error = median(settled().map(|(truth, told)| {
        // Both are given row by row; two transposes turn as far apart as what they are of.
        let (t, p) = (Mat3::from_cols_array(&truth.rotation), Mat3::from_cols_array_2d(&told.head.rotation));
        let cosine = ((t.transpose() * p).diagonal().element_sum() - 1.0) / 2.0;
        cosine.clamp(-1.0, 1.0).acos().to_degrees()
    }));
    assert!(error < 2.5, "{error} degrees");
}

#[test]
fn the_head_is_within_three_percent_of_its_distance_from_where_it_is() {
    let error = median(settled().map(|(truth, told)| {
        truth.translation_mm.distance(told.head.translation_mm) / truth.translation_mm.length()
    }));
    assert!(error < 0.03, "{error}");
}

#[test]
fn gaze_follows_the_eyes() {
    let error = median(settled().map(|(truth, told)| {
        let (t, p) = (truth.gaze_left + truth.gaze_right, told.gaze.left + told.gaze.right);
        t.angle_between(p).to_degrees()
    }));
    assert!(error < 6.5, "{error} degrees");
}

#[test]
fn expressions_follow_the_truth() {
    let floors = [
        ("jawOpen", 0.87),
        ("mouthSmileLeft", 0.93),
        ("mouthSmileRight", 0.93),
        ("eyeBlinkLeft", 0.98),
        ("eyeBlinkRight", 0.97),
        ("mouthPucker", 0.89),
        ("browInnerUp", 0.96),
        ("browOuterUpLeft", 0.96),
        ("browOuterUpRight", 0.96),
        ("browDownLeft", 0.32),
        ("browDownRight", 0.34),
    ];
    let reached = floors.map(|(name, floor)| {
        let (truth, told) = courses(name);
        (name, correlation(&truth, &told), floor)
    });
    assert!(reached.iter().all(|(_, r, floor)| r >= floor), "{reached:?}");
}

/// The middle of the frames around `from..=to` in which a course is above half of its highest there.
fn middle(course: &[f32], from: usize, to: usize) -> f32 {
    let window = &course[from..=to];
    let low = window.iter().copied().fold(f32::INFINITY, f32::min);
    let high = window.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let above = |v: &&(usize, &f32)| *v.1 >= f32::midpoint(low, high);
    let frames: Vec<(usize, &f32)> = window.iter().enumerate().collect();
    let (first, last) = (frames.iter().find(above), frames.iter().rev().find(above));
    from as f32 + (first.expect("the highest").0 + last.expect("the highest").0) as f32 / 2.0
}

#[test]
fn every_blink_and_wink_comes_within_a_frame_of_its_time() {
    let off: Vec<_> = TRUTH
        .eyes_shut
        .iter()
        .map(|c| {
            let name = if c.eye == "left" { "eyeBlinkLeft" } else { "eyeBlinkRight" };
            let (truth, told) = courses(name);
            let (from, to) = (c.first.saturating_sub(6), (c.last + 6).min(told.len() - 1));
            (&c.eye, c.first, middle(&told, from, to) - middle(&truth, from, to))
        })
        .collect();
    assert!(off.iter().all(|(.., frames)| frames.abs() <= 1.0), "{off:?}");
}

#[test]
fn a_wink_shuts_the_right_eye() {
    let shut = |eye: &str, frame: usize| {
        TRUTH.eyes_shut.iter().any(|c| c.eye == eye && (c.first..=c.last).contains(&frame))
    };
    let (left, right) = (courses("eyeBlinkLeft").1, courses("eyeBlinkRight").1);
    for (eye, other, sign) in [("left", "right", 1.0), ("right", "left", -1.0)] {
        let winks = (0..left.len()).filter(|&k| shut(eye, k) && !shut(other, k));
        let apart = median(winks.map(|k| sign * (left[k] - right[k])));
        assert!(apart > 0.9, "{eye} wink: eyes {apart} apart");
    }
}

#[test]
fn two_runs_tell_the_same_to_the_last_digit() {
    assert!(*OUTPUT == output(), "a second run gave other lines");
}
