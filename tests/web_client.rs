//! clients/web as a person meets it: in Chromium, beside the daemon that plays the demo clip.
//!
//! Needs Chromium, Node.js and npm; three.js and playwright-core come from npm into the target folder. Without them it
//! says so and passes, but not where `CI` is set.
#![cfg(unix)]

#[expect(dead_code, reason = "a part of what the tests share")]
mod common;

use common::{Running, demo_clip, repository};
use glam::{Mat3, Quat, Vec3};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PLAYWRIGHT: &str = "playwright-core@1.65.1";
/// Frames to look at.
const FRAMES: usize = 40;

/// The page with its packages; `None`, and the reason on standard error, where they cannot be had.
fn page() -> Option<PathBuf> {
    let prepare = || -> Result<PathBuf, String> {
        let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
        if !Path::new(&chromium).exists() {
            return Err(format!("no {chromium}; install chromium"));
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("web-client");
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        for entry in fs::read_dir(repository("clients/web")).expect("the client is in the repository") {
            let file = entry.expect("readable").path();
            if file.is_file() {
                fs::copy(&file, folder.join(file.file_name().expect("a file"))).map_err(|e| e.to_string())?;
            }
        }
        let npm = Command::new("npm")
            .current_dir(&folder)
            .args([
                "install",
                "--no-save",
                "--no-package-lock",
                "--no-audit",
                "--no-fund",
                "--silent",
                PLAYWRIGHT,
            ])
            .output()
            .map_err(|e| format!("npm: {e}"))?;
        let installed = npm.status.success();
        installed.then_some(folder).ok_or_else(|| String::from_utf8_lossy(&npm.stderr).into_owned())
    };
    match prepare() {
        Ok(folder) => Some(folder),
        Err(why) if std::env::var_os("CI").is_some() => panic!("the page cannot be shown: {why}"),
        Err(why) => {
            eprintln!("SKIPPED: the page cannot be shown: {why}");
            None
        }
    }
}

/// A port that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").to_string()
}

/// The demo clip six times over: a busy machine may draw few frames a second.
fn long_clip(folder: &Path) -> PathBuf {
    let path = folder.join("long.avi");
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-stream_loop", "5", "-i"])
        .arg(demo_clip())
        .args(["-c", "copy"])
        .arg(&path)
        .status()
        .expect("ffmpeg, which other tests need too");
    assert!(ffmpeg.success());
    path
}

/// What Chromium drew, a value a frame, while the daemon played the clip; and the daemon's own lines by frame.
fn shown_and_told(page: &Path, screenshot: &Path) -> (Vec<Value>, HashMap<u64, Value>) {
    let (address, folder) = (free_address(), tempfile::tempdir().expect("a folder"));
    let (config, lines) = (folder.path().join("config.toml"), folder.path().join("told.jsonl"));
    let output = format!("[[output]]\ntype = \"websocket\"\nlisten = \"{address}\"\n");
    fs::write(&config, output).expect("written");

    let mut browser = Command::new("node")
        .arg(repository("tests/receivers/web_page.mjs"))
        .args([page.as_os_str(), format!("ws://{address}").as_ref()])
        .args([FRAMES.to_string().as_ref(), screenshot.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut said = BufReader::new(browser.stdout.take().expect("piped")).lines();
    assert_eq!(said.next().expect("the page loads").expect("UTF-8"), "ready");

    let clip = long_clip(folder.path());
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let daemon = Running::start(&[
        "--config",
        &text(&config),
        "--source",
        &text(&clip),
        "--pace",
        "realtime",
        "--jsonl",
        &text(&lines),
        "--jsonl-landmarks",
        "none",
    ]);
    let shown = said.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON")).collect();
    assert!(browser.wait().expect("ends").success());
    drop(daemon);

    let told = fs::read_to_string(lines).expect("written");
    // The daemon was killed in the middle of a line.
    let told = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    (shown, told.map(|line| (line["frame"].as_u64().expect("a number"), line)).collect())
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

fn vector(value: &Value) -> Vec3 {
    Vec3::from_slice(&floats(value))
}

/// From camera space to three.js's, which is y up, z backward.
const VIEW: Mat3 = Mat3::from_cols(Vec3::X, Vec3::NEG_Y, Vec3::NEG_Z);

/// Holds the head in the page against the daemon's own line of that frame.
fn assert_follows(shown: &Value, told: &Value) {
    let face = &told["faces"][0];
    let weights = shown["blendshapes"].as_object().expect("by name");
    assert_eq!(weights.len(), 52);
    for (name, weight) in weights {
        // JavaScript writes 0 for 0.0.
        let wanted = face["blendshapes"][name].as_f64();
        assert_eq!(weight.as_f64(), wanted, "{name} in frame {}", told["frame"]);
    }
    let matrix = floats(&shown["matrix"]);
    let rows: Vec<Vec3> = face["head"]["rotation"].as_array().expect("rows").iter().map(vector).collect();
    let turned = VIEW * Mat3::from_cols(rows[0], rows[1], rows[2]).transpose();
    let columns = [0, 4, 8].map(|at| Vec3::from_slice(&matrix[at..at + 3]));
    assert!(
        Mat3::from_cols_array_2d(&columns.map(|c| c.to_array())).abs_diff_eq(turned, 1e-5),
        "{matrix:?} {turned}"
    );
    let place = VIEW * vector(&face["head"]["translation_mm"]);
    assert!(Vec3::from_slice(&matrix[12..15]).abs_diff_eq(place, 1e-2), "{matrix:?} {place}");
    for side in ["left", "right"] {
        let eye = Quat::from_slice(&floats(&shown["eyes"][side]));
        let looks = turned * (eye * Vec3::Z);
        assert!(looks.abs_diff_eq(VIEW * vector(&face["gaze"][side]), 1e-3), "{side} eye: {looks}");
    }
}

#[test]
fn the_page_shows_what_the_daemon_tracks() {
    let Some(page) = page() else { return };
    let screenshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("web-client.png");
    let (shown, told) = shown_and_told(&page, &screenshot);
    assert!(shown.len() >= FRAMES);
    for head in &shown {
        let frame = head["frame"].as_u64().expect("a number");
        assert_follows(head, told.get(&frame).unwrap_or_else(|| panic!("frame {frame} was never told")));
    }
    let course = |name: &str| {
        shown.iter().map(|s| s["blendshapes"][name].as_f64().expect("a number")).collect::<Vec<_>>()
    };
    let range = |name: &str| {
        course(name).into_iter().fold((1.0, 0.0), |(low, high): (f64, f64), v| (low.min(v), high.max(v)))
    };
    let widest =
        shown[0]["blendshapes"].as_object().expect("by name").keys().map(|n| range(n)).map(|(l, h)| h - l);
    assert!(widest.fold(0.0, f64::max) > 0.3, "the face hardly moved");

    // The head is drawn, not merely computed: its skin covers a good part of the picture.
    let picture = image::open(&screenshot).expect("a picture").to_rgb8();
    let is_skin = |p: &image::Rgb<u8>| p[0] > 110 && p[0].saturating_sub(p[2]) > 25 && p[1] > p[2];
    let share =
        picture.pixels().filter(|p| is_skin(p)).count() as f32 / (picture.width() * picture.height()) as f32;
    assert!(share > 0.03, "{share} of the picture is skin: {}", screenshot.display());
}
