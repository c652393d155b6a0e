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

/// The clip as one set of networks sees it.
struct Seen {
    whose: &'static str,
    output: String,
    /// The first face of each frame.
    faces: Vec<FaceLine>,
}

static OWN: LazyLock<Seen> = LazyLock::new(|| Seen::by("own", &[]));
static PACKAGED: LazyLock<Seen> = LazyLock::new(|| Seen::by("packaged", &[]));

fn both() -> [&'static Seen; 2] {
    [&OWN, &PACKAGED]
}

impl Seen {
    fn by(whose: &'static str, more: &[&str]) -> Self {
        let output = output(whose, more);
        let lines = output.lines().map(|l| serde_json::from_str::<Line>(l).expect("a line of JSON"));
        let first = |(i, l): (usize, Line)| {
            l.faces.into_iter().next().unwrap_or_else(|| panic!("no face in frame {i}"))
        };
        let faces = lines.enumerate().map(first).collect();
        Self { whose, output, faces }
    }

    fn settled(&self) -> impl Iterator<Item = (&'static TrueFrame, &FaceLine)> {
        TRUTH.frames.iter().zip(&self.faces).skip(SETTLED_AFTER)
    }

    /// The true course of a coefficient and the one the program tells.
    fn courses(&self, name: &str) -> (Vec<f32>, Vec<f32>) {
        let k = TRUTH.names.iter().position(|n| n == name).expect("an ARKit name");
        (
            TRUTH.frames.iter().map(|f| f.coefficients[k]).collect(),
            self.faces.iter().map(|f| f.blendshapes[name]).collect(),
        )
    }
}

fn output(whose: &str, more: &[&str]) -> String {
    let clip = demo_clip();
    let clip = clip.to_str().expect("UTF-8");
    let output = run(&[&["--source", clip, "--models", whose, "--fov", "60", "--jsonl", "-"], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Frames whose filter and calibration have seen the person for half a second.
const SETTLED_AFTER: usize = 15;

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
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

/// Asserts that the median over the frames stays below a bound, for our own networks and for the packaged ones.
fn assert_below(bounds: [f32; 2], what: &str, error: impl Fn(&TrueFrame, &FaceLine) -> f32) {
    for (seen, bound) in both().into_iter().zip(bounds) {
        let reached = median(seen.settled().map(|(truth, told)| error(truth, told)));
        assert!(reached < bound, "{}: {reached} {what}", seen.whose);
    }
}

#[test]
fn every_frame_has_its_face() {
    assert!(both().iter().all(|seen| seen.faces.len() == TRUTH.frames.len()));
}

#[test]
fn landmarks_lie_where_they_were_drawn() {
    assert_below([0.015, 0.022], "distances of the outer eye corners", |truth, told| {
        let told = TRUTH.ibug68_landmarks.iter().map(|&i| told.landmarks[i]);
        let off: f32 =
            truth.ibug68.chunks_exact(2).zip(told).map(|(t, p)| (t[0] - p[0]).hypot(t[1] - p[1])).sum();
        let eyes = (truth.ibug68[90] - truth.ibug68[72]).hypot(truth.ibug68[91] - truth.ibug68[73]);
        off / 68.0 / eyes
    });
}

#[test]
fn head_rotation_is_within_two_and_a_half_degrees() {
    assert_below([1.8, 2.5], "degrees", |truth, told| {
        // Both are given row by row; two transposes turn as far apart as what they are of.
        let (t, p) = (Mat3::from_cols_array(&truth.rotation), Mat3::from_cols_array_2d(&told.head.rotation));
        let cosine = ((t.transpose() * p).diagonal().element_sum() - 1.0) / 2.0;
        cosine.clamp(-1.0, 1.0).acos().to_degrees()
    });
}

#[test]
fn the_head_is_within_three_percent_of_its_distance_from_where_it_is() {
    assert_below([0.021, 0.03], "of the distance", |truth, told| {
        truth.translation_mm.distance(told.head.translation_mm) / truth.translation_mm.length()
    });
}

#[test]
fn gaze_follows_the_eyes() {
    assert_below([6.7, 6.5], "degrees", |truth, told| {
        let (t, p) = (truth.gaze_left + truth.gaze_right, told.gaze.left + told.gaze.right);
        t.angle_between(p).to_degrees()
    });
}

#[test]
fn what_the_face_shows_at_rest_is_taken_off_unless_told_otherwise() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), "[expression]\nadapt = false\n").expect("room for a line");
    let path = file.path().to_str().expect("UTF-8");
    let left_in = Seen::by("own", &["--config", path]);
    // Two seconds in, rest is known; brows are raised in a fifth of the clip.
    let rest = |seen: &Seen| median(seen.faces.iter().skip(60).map(|f| f.blendshapes["browInnerUp"]));
    let (off, on) = (rest(&left_in), rest(&OWN));
    assert!(off > 0.1 && on < 0.6 * off, "{off} as it is seen, {on} with rest taken off");
}

#[test]
fn expressions_follow_the_truth() {
    // The least correlations, of our own networks and of the packaged ones.
    let floors = [
        ("jawOpen", 0.96, 0.87),
        ("mouthSmileLeft", 0.98, 0.93),
        ("mouthSmileRight", 0.98, 0.93),
        ("eyeBlinkLeft", 0.98, 0.98),
        ("eyeBlinkRight", 0.97, 0.97),
        ("mouthPucker", 0.91, 0.89),
        ("browInnerUp", 0.96, 0.96),
        ("browOuterUpLeft", 0.96, 0.96),
        ("browOuterUpRight", 0.96, 0.96),
        ("browDownLeft", 0.15, 0.28),
        ("browDownRight", 0.22, 0.31),
        ("mouthClose", 0.76, -1.0),
        ("mouthUpperUpLeft", 0.88, 0.7),
    ];
    let reached = floors.map(|(name, own, packaged)| {
        let reach = |seen: &Seen| {
            let (truth, told) = seen.courses(name);
            correlation(&truth, &told)
        };
        (name, [(reach(&OWN), own), (reach(&PACKAGED), packaged)])
    });
    assert!(reached.iter().flat_map(|(_, both)| both).all(|(r, floor)| r >= floor), "{reached:?}");
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
    for seen in both() {
        let off: Vec<_> = TRUTH
            .eyes_shut
            .iter()
            .map(|c| {
                let name = if c.eye == "left" { "eyeBlinkLeft" } else { "eyeBlinkRight" };
                let (truth, told) = seen.courses(name);
                let (from, to) = (c.first.saturating_sub(6), (c.last + 6).min(told.len() - 1));
                (&c.eye, c.first, middle(&told, from, to) - middle(&truth, from, to))
            })
            .collect();
        assert!(off.iter().all(|(.., frames)| frames.abs() <= 1.0), "{}: {off:?}", seen.whose);
    }
}

#[test]
fn a_wink_shuts_the_right_eye() {
    let shut = |eye: &str, frame: usize| {
        TRUTH.eyes_shut.iter().any(|c| c.eye == eye && (c.first..=c.last).contains(&frame))
    };
    for (seen, bound) in both().into_iter().zip([0.95, 0.9]) {
        let (left, right) = (seen.courses("eyeBlinkLeft").1, seen.courses("eyeBlinkRight").1);
        for (eye, other, sign) in [("left", "right", 1.0), ("right", "left", -1.0)] {
            let winks = (0..left.len()).filter(|&k| shut(eye, k) && !shut(other, k));
            let apart = median(winks.map(|k| sign * (left[k] - right[k])));
            assert!(apart > bound, "{}: {eye} wink: eyes {apart} apart", seen.whose);
        }
    }
}

#[test]
fn two_runs_tell_the_same_to_the_last_digit() {
    for seen in both() {
        assert!(seen.output == output(seen.whose, &[]), "a second run gave other lines");
    }
}
