//! `facetrackd render-faces` from outside: what it says without a device, and what an interrupted run leaves.
#![cfg(all(feature = "render", unix))]

use facetrackd::gpu::shard::verify;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn assets() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/assets");
    if dir.join("ict_light.npz").is_file() {
        return Some(dir);
    }
    eprintln!("SKIPPED: the head asset pack is not at {}", dir.display());
    None
}

fn command(assets: &Path, out: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_facetrackd"));
    c.arg("render-faces").arg("--assets").arg(assets).arg("--out").arg(out);
    c.args(["--size", "64", "--shard", "8", "--count", "24", "--workers", "1"]).stdout(Stdio::null());
    c
}

#[test]
fn without_a_vulkan_device_it_says_what_to_install_and_writes_nothing() {
    let Some(assets) = assets() else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("faces");
    let run = command(&assets, &out)
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && said.contains("no Vulkan device") && said.contains("install"), "{said}");
    assert!(!out.exists());
}

#[test]
fn turns_that_leave_nothing_between_them_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("faces");
    let run = command(dir.path(), &out).args(["--yaw-min", "80", "--yaw-max", "60"]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(
        !run.status.success() && said.contains("--yaw-min 80 leaves no turn up to --yaw-max 60"),
        "{said}"
    );
    assert!(!out.exists());
}

#[test]
fn a_killed_run_leaves_whole_shards_only_and_is_continued() {
    let Some(assets) = assets() else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("faces");
    let mut child = command(&assets, &out).stderr(Stdio::piped()).spawn().unwrap();
    // Killed as soon as it has written something, wherever it is then.
    while child.try_wait().unwrap().is_none() {
        if out.join("faces-00000.ftfaces").exists() {
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            std::thread::yield_now();
        }
    }
    if !out.exists() {
        let said = child.wait_with_output().map(|o| String::from_utf8_lossy(&o.stderr).into_owned()).unwrap();
        assert!(said.contains("no Vulkan device"), "{said}");
        eprintln!("SKIPPED: no Vulkan device (Debian: mesa-vulkan-drivers)");
        return;
    }
    let shards = || -> Vec<PathBuf> {
        let all = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path());
        all.filter(|p| p.extension().is_some_and(|e| e == "ftfaces")).collect()
    };
    assert!(!shards().is_empty() && shards().iter().all(|p| verify(p).is_ok()));
    assert!(command(&assets, &out).status().unwrap().success());
    assert_eq!(shards().len(), 3);
    assert!(shards().iter().all(|p| verify(p).is_ok_and(|h| h["count"] == 8)));
    let names = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|n| !n.starts_with(".unfinished")));
}

#[test]
fn a_clip_tells_the_truth_of_every_frame_and_is_the_same_again() {
    let Some(assets) = assets() else { return };
    let dir = tempfile::tempdir().unwrap();
    let clip = |name: &str| {
        let out = dir.path().join(name);
        let mut c = Command::new(env!("CARGO_BIN_EXE_facetrackd"));
        c.arg("render-faces").arg("--assets").arg(&assets).arg("--out").arg(&out);
        c.args(["--clip", "motion", "--count", "5", "--size", "96", "--seed", "4"]).stdout(Stdio::null());
        (c.stderr(Stdio::piped()).output().unwrap(), out)
    };
    let (run, out) = clip("first");
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(said.contains("no Vulkan device"), "{said}");
        eprintln!("SKIPPED: no Vulkan device (Debian: mesa-vulkan-drivers)");
        return;
    }
    let truth: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("truth.json")).unwrap()).unwrap();
    let frames = truth["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 5);
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!(frame["index"], i);
        assert_eq!(frame["blendshapes"].as_array().unwrap().len(), 52);
        let points = frame["landmarks"].as_array().unwrap();
        assert_eq!(points.len(), 478);
        let inside = |p: &&serde_json::Value| {
            let at = |k: usize| p[k].as_f64().unwrap();
            (0.0..96.0).contains(&at(0)) && (0.0..72.0).contains(&at(1))
        };
        assert!(points.iter().filter(inside).count() > 400, "frame {i}: the head is in the picture");
    }
    assert!(frames[0]["landmarks"] != frames[4]["landmarks"], "the head moves");
    // Five pictures are in the clip, and a player finds them.
    let avi = std::fs::read(out.join("clip.avi")).unwrap();
    assert!(avi.starts_with(b"RIFF") && avi.windows(3).filter(|w| *w == [0xFF, 0xD8, 0xFF]).count() == 5);
    let (_, again) = clip("again");
    assert!(avi == std::fs::read(again.join("clip.avi")).unwrap(), "the same seed gives the same clip");
}
