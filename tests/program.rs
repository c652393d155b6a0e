//! The program as a user meets it: what it takes, how it ends, what it says when something is wrong.
#![cfg(unix)]

mod common;

use common::{Running, demo_clip, facetrackd, json_lines, run, stderr};
use rustix::process::Signal;
use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::path::Path;

fn clip() -> String {
    demo_clip().to_str().expect("UTF-8").to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn an_interrupt_or_a_termination_ends_a_run_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = receiver.local_addr().expect("bound").to_string();
        let mut running =
            Running::start(&["--source", &clip(), "--pace", "realtime", "--jsonl", "-", "--vmc", &to]);
        running.line();
        running.signal(signal);
        assert_eq!(running.child.wait().expect("ends").code(), Some(0), "{signal:?}");

        receiver.set_nonblocking(true).expect("a socket option");
        let (mut buffer, mut last) = ([0; 2048], Vec::new());
        while let Ok(n) = receiver.recv(&mut buffer) {
            last = buffer[..n].to_vec();
        }
        let packet = rosc::decoder::decode_udp(&last).expect("OSC").1;
        let goodbye = format!("{packet:?}");
        assert!(goodbye.contains("/VMC/Ext/OK"), "the last word is on the state: {goodbye}");
        assert!(!goodbye.contains("Blend"), "no expression after the goodbye: {goodbye}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let mut running = Running::start(&["--source", &clip(), "--jsonl", "-"]);
    running.line();
    let Running { child, lines } = &mut running;
    // Closing our end of the pipe is what `head -1` does.
    let (mut stderr, status) = (String::new(), {
        let stolen =
            std::mem::replace(lines, std::io::BufRead::lines(std::io::BufReader::new(empty_stdout())));
        drop(stolen);
        child.wait().expect("ends")
    });
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("ERROR"), "{stderr}");
}

/// The standard output of a process that says nothing.
fn empty_stdout() -> std::process::ChildStdout {
    let mut child =
        std::process::Command::new("true").stdout(std::process::Stdio::piped()).spawn().expect("true");
    let stdout = child.stdout.take().expect("piped");
    child.wait().expect("ends");
    stdout
}

#[test]
fn a_full_disk_is_told_and_fails_the_run() {
    let output = run(&["--source", &clip(), "--jsonl", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the disk is full: /dev/full"), "{}", stderr(&output));
}

#[test]
fn one_output_that_fails_does_not_stop_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.jsonl");
    let output = run(&["--source", &clip(), "--jsonl", "/dev/full", "--jsonl", text(&good)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(good).expect("written").lines().count(), 300);
}

#[test]
fn a_missing_source_is_named() {
    let output = run(&["--source", "no/such/clip.mp4", "--jsonl", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no/such/clip.mp4"), "{}", stderr(&output));
}

#[test]
fn a_bad_configuration_is_a_usage_error_that_points_at_the_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    fs::write(&path, "[tracking]\nfaces = 1\nfase = 3\n").expect("written");
    for args in [vec!["check-config", text(&path)], vec!["--config", text(&path), "--source", "x"]] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("line 3"), "{}", stderr(&output));
    }
}

#[test]
fn a_bad_configuration_on_reload_leaves_the_old_one_and_a_good_one_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, extra) = (folder.path().join("config.toml"), folder.path().join("extra.jsonl"));
    fs::write(&config, "").expect("written");
    let mut running = Running::start(&[
        "--config",
        text(&config),
        "--source",
        &clip(),
        "--pace",
        "realtime",
        "--jsonl",
        "-",
    ]);
    running.line();

    let mut log =
        std::io::BufRead::lines(std::io::BufReader::new(running.child.stderr.take().expect("piped")));
    let mut wait_for = |what: &str| {
        let found = log.by_ref().map_while(Result::ok).any(|line| line.contains(what));
        assert!(found, "the log never said {what:?}");
    };
    fs::write(&config, "[tracking]\nfaces = \"many\"\n").expect("written");
    running.signal(Signal::HUP);
    wait_for("the old configuration stays");
    running.line();

    fs::write(&config, "[filter]\nhold_s = 0.1\n").expect("written");
    running.signal(Signal::HUP);
    wait_for("the configuration is reloaded");
    running.line();
    drop(extra);
}

#[test]
fn a_folder_gives_a_line_for_each_image_with_and_without_a_face() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    image::RgbImage::from_pixel(1, 1, image::Rgb([9, 9, 9])).save(at("a.png")).expect("saved");
    image::RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]))
        .save(at("b.png"))
        .expect("saved");
    image::RgbImage::from_pixel(7680, 4320, image::Rgb([120, 120, 120])).save(at("c.png")).expect("saved");
    fs::write(at("notes.txt"), "not an image").expect("written");

    let output = run(&["--source", text(folder.path()), "--jsonl", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["frame"], n);
        assert_eq!(line["faces"].as_array().map(Vec::len), Some(0), "there is no face in {line}");
    }
}

#[test]
fn our_own_networks_run_where_nothing_can_be_installed() {
    let runtime = facetrackd::provision::ensure_runtime(&facetrackd::provision::Bars::default());
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("own.toml");
    let start = |whose: &str| {
        fs::write(&config, format!("[tracking]\nmodels = \"own\"\ndetector = \"{whose}\"\n"))
            .expect("writes");
        facetrackd(&["--config", text(&config), "--source", &clip(), "--jsonl", "-"])
            .env("FACETRACKD_DATA", folder.path().join("data"))
            .env("ORT_DYLIB_PATH", &runtime.as_ref().expect("the runtime").runtime)
            // No pip here.
            .env("PATH", folder.path())
            .output()
            .expect("the binary runs")
    };
    let own = start("own");
    assert!(own.status.success(), "{}", stderr(&own));
    let tracked = json_lines(&own).iter().filter(|l| l["faces"] != serde_json::json!([])).count();
    assert!(tracked > 290, "{tracked} of 300 frames have a face");

    let packaged = start("packaged");
    assert_eq!(packaged.status.code(), Some(1));
    assert!(stderr(&packaged).contains("pip"), "{}", stderr(&packaged));
}

#[test]
fn a_ring_in_use_is_refused() {
    let name = format!("test-in-use-{}", std::process::id());
    let mut first =
        Running::start(&["--source", &clip(), "--pace", "realtime", "--jsonl", "-", "--shm", &name]);
    first.line();
    let second = run(&["--source", &clip(), "--shm", &name]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains(&name), "{}", stderr(&second));
}

#[test]
fn completions_and_help_name_every_command() {
    for args in [["completions", "bash"], ["--help", "--verbose"]] {
        let output = run(&args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for command in ["demo", "cameras", "models", "check-config", "completions"] {
            assert!(said.contains(command), "{args:?} is silent on {command}");
        }
    }
}

#[test]
fn two_sources_at_once_are_a_usage_error() {
    let output = facetrackd(&["--camera", "0", "--source", "x"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
}
