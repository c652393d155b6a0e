//! glTF recordings as Khronos' validator and Blender read them, and what is left of one whose program dies.

use super::subject;
use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, FaceSample};
use facetrackd::sink::{Adjust, GltfConfig, OutputConfig, Sink};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VALIDATOR: &str = "gltf-validator@2.0.0-dev.3.10";

/// Khronos' report; `None`, and the reason on standard error, where npm does not give the validator.
fn validate(file: &Path) -> Option<Value> {
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gltf-validator");
    if !packages.join("node_modules/gltf-validator").exists() {
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
            .args([packages.as_os_str(), VALIDATOR.as_ref()])
            .output();
        match npm {
            Ok(out) if out.status.success() => {}
            Ok(out) => return skip(&String::from_utf8_lossy(&out.stderr)),
            Err(error) => return skip(&format!("npm: {error}")),
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers/validate_gltf.mjs");
    let out = Command::new("node").env("PACKAGES", &packages).arg(script).arg(file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(serde_json::from_slice(&out.stdout).unwrap())
}

fn skip(why: &str) -> Option<Value> {
    eprintln!("SKIPPED: {why}");
    None
}

/// No error, warning, information or hint; `animations` of them.
fn must_be_flawless(report: &Value, animations: u64) {
    let issues = &report["issues"];
    let count: u64 = ["numErrors", "numWarnings", "numInfos", "numHints"]
        .iter()
        .map(|k| issues[k].as_u64().unwrap())
        .sum();
    assert_eq!(count, 0, "{issues:#}");
    assert_eq!(
        (&report["info"]["animationCount"], &report["info"]["hasMorphTargets"]),
        (&animations.into(), &true.into())
    );
}

/// Two seconds at 30 Hz: the jaw opens more and more.
fn record(path: &Path, mirror: bool) {
    let adjust = Adjust { mirror, ..Adjust::default() };
    let mut sink = Sink::open(&OutputConfig::Gltf(GltfConfig { path: path.to_owned(), adjust })).unwrap();
    for n in 0..=60u32 {
        let stream_time = MonoTime::from_secs_f64(7.0 + f64::from(n) / 30.0);
        let mut sample = FaceSample { stream_time, from_frame: true, ..subject() };
        sample.faces[0].face.blendshapes[Blendshape::JawOpen] = n as f32 / 60.0;
        sink.send(&sample, stream_time).unwrap();
    }
    sink.close(MonoTime::from_secs_f64(10.0)).unwrap();
}

#[test]
fn khronos_validator_finds_nothing_in_a_recording_nor_in_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let (take, empty) = (folder.path().join("take.glb"), folder.path().join("empty.glb"));
    record(&take, false);
    Sink::open(&OutputConfig::Gltf(GltfConfig { path: empty.clone(), adjust: Adjust::default() })).unwrap();
    let Some(report) = validate(&take) else { return };
    must_be_flawless(&report, 1);
    must_be_flawless(&validate(&empty).unwrap(), 0);
}

#[test]
fn blender_imports_52_shapes_and_sees_the_subject_turn_left_and_open_the_mouth() {
    let folder = tempfile::tempdir().unwrap();
    let take = folder.path().join("take.glb");
    for mirror in [false, true] {
        record(&take, mirror);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers/blender_gltf.py");
        let args = ["--background", "--factory-startup", "--python-exit-code", "1", "--python"];
        let started = Command::new("blender").args(args).arg(script).arg("--").arg(&take).output();
        let out = match started {
            Ok(out) => out,
            Err(error) => {
                return eprintln!("SKIPPED: no Blender ({error}); install blender and python3-numpy");
            }
        };
        let text = String::from_utf8_lossy(&out.stdout);
        let said = text.lines().find_map(|l| l.strip_prefix("RESULT "));
        let said = said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&out.stderr)));
        let said: Value = serde_json::from_str(said).unwrap();
        let names: Vec<&str> = Blendshape::ALL.iter().map(|b| b.name()).collect();
        let shapes: Vec<&str> =
            said["shapes"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        assert_eq!((shapes[0], &shapes[1..]), ("Basis", &names[..]));
        let frames = said["frames"].as_array().unwrap();
        assert_eq!(frames.len(), 61, "two seconds at 30 frames");
        let side = if mirror { -1.0 } else { 1.0 };
        let number = |v: &Value| v.as_f64().unwrap();
        for (n, frame) in frames.iter().enumerate() {
            assert!((number(&frame["jawOpen"]) - n as f64 / 60.0).abs() < 1e-4, "frame {n}: {frame}");
            let wink = if mirror { 0.0 } else { 0.75 };
            assert!((number(&frame["eyeBlinkLeft"]) - wink).abs() < 1e-4);
            let nose: Vec<f64> = frame["nose"].as_array().unwrap().iter().map(number).collect();
            assert!((nose[0] - side * 0.4645).abs() < 1e-3 && (nose[2] - 0.2474).abs() < 1e-3, "{nose:?}");
            let place: Vec<f64> = frame["place"].as_array().unwrap().iter().map(number).collect();
            assert!((place[1] - 0.6).abs() < 1e-4, "0.6 m from the camera: {place:?}");
        }
        let chin = |n: usize| number(&frames[n]["chin_z"]);
        assert!(chin(60) < chin(0) - 0.005, "the chin goes down: {} to {}", chin(0), chin(60));
    }
}

/// The daemon on the demo clip, recording; what it says of frames goes to standard output.
fn daemon(take: &Path, limits: &str) -> Command {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.avi");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_facetrackd")]);
    command.arg("--source").arg(clip).args(["--jsonl", "-", "--jsonl-landmarks", "none", "--gltf"]).arg(take);
    command.env("XDG_CONFIG_HOME", take.parent().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_recording_whose_program_is_killed_is_valid_and_has_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let take: PathBuf = folder.path().join("take.glb");
    let mut child = daemon(&take, "").args(["--pace", "realtime"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let empty = std::fs::metadata(&take).unwrap().len();
    // Frames go by until the first second is in the file.
    while std::fs::metadata(&take).unwrap().len() == empty {
        lines.next().expect("the clip is longer").unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(std::fs::metadata(&take).unwrap().len() > empty + 60 * 4 * 60);
    if let Some(report) = validate(&take) {
        must_be_flawless(&report, 1);
    }
}

#[test]
fn a_recording_that_no_longer_fits_stays_as_it_was_and_the_run_tells() {
    let folder = tempfile::tempdir().unwrap();
    let take = folder.path().join("take.glb");
    // No file may grow beyond 160 kB, which the head and some 100 frames take.
    let out = daemon(&take, "trap '' XFSZ; ulimit -f 320;").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("take.glb"), "{said}");
    assert_eq!(String::from_utf8_lossy(&out.stdout).lines().count(), 300, "other outputs go on");
    if let Some(report) = validate(&take) {
        must_be_flawless(&report, 1);
    }
}
