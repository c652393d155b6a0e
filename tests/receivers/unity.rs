//! The Unity client, compiled and run by Mono.

use super::{Receiver, mono, number, subject};
use facetrackd::clock::MonoTime;
use facetrackd::sink::{Adjust, OutputConfig, ShmConfig, Sink, VmcConfig};
use glam::Vec3;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

/// Starts the client with a face driver on a head that has axes of its own.
fn start(program: &Path, args: [&str; 2]) -> Receiver {
    let mut child = Command::new("mono").arg(program).args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().expect("the client ended at once").unwrap(), "ready");
    Receiver { child, lines, address: format!("127.0.0.1:{}", args[1]) }
}

fn three(face: &Value, name: &str) -> Vec3 {
    Vec3::from_slice(&face[name].as_array().unwrap().iter().map(number).collect::<Vec<f32>>())
}

/// Turned left, looking up, left ear raised, left eye shut, eyes to the left: in Unity's space, where left is -x.
fn see_the_subject(face: &Value, mirror: bool) {
    let side = if mirror { 1.0 } else { -1.0 };
    let (nose, ear, gaze) = (three(face, "nose"), three(face, "right_ear"), three(face, "gaze"));
    // sin 0.5 cos 0.25, sin 0.25
    assert!((nose - Vec3::new(side * 0.4645, 0.2474, 0.8503)).length() < 1e-3, "{nose}");
    assert!(ear.y * side > 0.05, "one ear is up, the other down: {ear}");
    assert!((gaze - Vec3::new(side * 0.2955, 0.0, 0.9553)).length() < 2e-3, "{gaze}");
    let (shut, open) = ("blendShape1.eyeBlink_L", "EyeBlinkRight");
    let (shut, open) = if mirror { (open, shut) } else { (shut, open) };
    assert_eq!((number(&face[shut]), number(&face[open])), (75.0, 0.0));
    assert!((number(&face["face_jawOpen"]) - 50.0).abs() < 1e-4);
    assert_eq!((&face["tracked"], &face["hair"]), (&Value::Bool(true), &Value::Null));
}

#[test]
fn the_unity_client_turns_a_head_by_vmc_in_unitys_space() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = mono::compile("Drive", folder.path()) else { return };
    for mirror in [false, true] {
        // A port that was free a moment ago.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut client = start(&program, ["vmc", &port.to_string()]);
        assert_eq!(client.next()["tracked"], false, "nothing was received yet");
        let adjust = Adjust { mirror, ..Adjust::default() };
        let config = VmcConfig { address: client.address.clone(), adjust, ..VmcConfig::default() };
        let mut sink = Sink::open(&OutputConfig::Vmc(config)).unwrap();
        let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
        for hostile in [
            &b"#bundle\0\0\0\0\0\0\0\0\x01\x7f\xff\xff\xff"[..],
            b"/VMC/Ext/OK",
            b"/\0\0\0,ffffffffffffffff",
            b"",
        ] {
            noise.send_to(hostile, &client.address).unwrap();
        }
        sink.send(&subject(), MonoTime::from_secs_f64(5.0)).unwrap();
        see_the_subject(&client.next(), mirror);
        sink.close(MonoTime::from_secs_f64(6.0)).unwrap();
        assert_eq!(client.next()["tracked"], false, "facetrackd has said goodbye");
    }
}

/// A ring's name; its file goes with it.
struct Ring(String);

impl Drop for Ring {
    fn drop(&mut self) {
        std::fs::remove_file(format!("/dev/shm/facetrackd.{}", self.0)).unwrap_or_else(|e| eprintln!("{e}"));
    }
}

#[test]
fn the_unity_client_reads_the_ring_and_finds_a_daemon_that_was_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = mono::compile("Drive", folder.path()) else { return };
    let name = Ring(format!("test-unity-{}", std::process::id()));
    let open = || Sink::open(&OutputConfig::Shm(ShmConfig::new(&name.0))).unwrap();
    let mut sink = open();
    let mut client = start(&program, ["ring", &name.0]);
    sink.send(&subject(), MonoTime::now()).unwrap();
    let mut until = |tracked: bool| loop {
        let face = client.next();
        if face["tracked"] == tracked {
            return face;
        }
    };
    let face = until(true);
    see_the_subject(&face, false);
    assert_eq!(three(&face, "place"), Vec3::new(0.0, 0.0, -0.6));
    sink.close(MonoTime::now()).unwrap();
    drop(sink);
    until(false);
    let mut again = subject();
    again.faces[0].face.head.translation_mm = Vec3::new(100.0, 50.0, 500.0);
    let mut sink = open();
    sink.send(&again, MonoTime::now()).unwrap();
    assert!((three(&until(true), "place") - Vec3::new(-0.1, -0.05, -0.5)).length() < 1e-6);
}

#[test]
fn the_unity_client_follows_the_daemon_through_the_demo_clip() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = mono::compile("Drive", folder.path()) else { return };
    let name = Ring(format!("test-unity-clip-{}", std::process::id()));
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.avi");
    let clients = [start(&program, ["vmc", &port]), start(&program, ["ring", &name.0])];
    let address = clients[0].address.clone();
    let readers = clients.map(|mut client| {
        let lines = std::mem::replace(&mut client.lines, BufReader::new(empty()).lines());
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
        (client, reader)
    });
    let daemon = Command::new(env!("CARGO_BIN_EXE_facetrackd"))
        .env("XDG_CONFIG_HOME", folder.path())
        .args([
            "--source",
            &clip.to_string_lossy(),
            "--pace",
            "realtime",
            "--jsonl",
            "-",
            "--jsonl-landmarks",
            "none",
        ])
        .args(["--vmc", &address, "--shm", &name.0])
        .output()
        .unwrap();
    assert!(daemon.status.success(), "{}", String::from_utf8_lossy(&daemon.stderr));
    let jaw_and_eye = |line: &str| -> Option<[f32; 2]> {
        let frame: Value = serde_json::from_str(line).unwrap();
        let shapes = &frame["faces"].get(0)?["blendshapes"];
        Some(["jawOpen", "eyeBlinkLeft"].map(|name| number(&shapes[name])))
    };
    let said: Vec<[f32; 2]> =
        String::from_utf8(daemon.stdout).unwrap().lines().filter_map(jaw_and_eye).collect();
    assert!(said.len() > 100, "the clip has a face: {}", said.len());
    for (client, reader) in readers {
        drop(client);
        let (mut known, mut unknown) = (0, 0);
        for line in reader.join().unwrap() {
            let Ok(face) = serde_json::from_str::<Value>(&line) else { continue };
            if face["tracked"] == true && face["face_jawOpen"].is_number() {
                let [jaw, eye] =
                    ["face_jawOpen", "blendShape1.eyeBlink_L"].map(|name| number(&face[name]) * 0.01);
                let is_it = |s: &&[f32; 2]| (s[0] - jaw).abs() < 2e-4 && (s[1] - eye).abs() < 2e-4;
                *if said.iter().any(|s| is_it(&s)) { &mut known } else { &mut unknown } += 1;
            }
        }
        println!("{known} of {} frames reached the Unity client, {unknown} others did", said.len());
        // A frame may be taken while its second datagram is still on its way.
        assert!(known > 50 && unknown * 20 < known, "{known} and {unknown} of {}", said.len());
    }
}

/// The standard output of a process that says nothing.
pub fn empty() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    child.wait().unwrap();
    stdout
}
