//! Outputs as programs that nobody here wrote receive them: python-osc, oscdump (liblo), `PyLiveLinkFace`, Zenoh,
//! Blender; and our own
//! clients: Godot's in Godot's server build, Unity's in Mono.
//!
//! Python packages go to a virtual environment under the target folder. What cannot be installed is skipped, loudly.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "receivers/gltf.rs"]
mod gltf;
#[path = "common/mono.rs"]
mod mono;
#[path = "receivers/unity.rs"]
mod unity;
#[path = "receivers/zenoh.rs"]
mod zenoh;

use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, Face, FaceSample, Gaze, HeadPose, Presence, TrackedFace};
use facetrackd::geom::Angles;
use facetrackd::sink::{Adjust, CsvConfig, LiveLinkConfig, OscConfig, OutputConfig, Sink, VmcConfig};
use glam::{Quat, Vec2, Vec3};
use serde_json::Value;
use std::io::{BufRead, BufReader, Lines};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

const PACKAGES: [&str; 3] = ["python-osc==1.9.3", "pylivelinkface==0.1", "eclipse-zenoh==1.10.2"];

/// The Python with the packages; `None`, and the reason on standard error, where there is none.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("receivers-venv");
        let python = venv.join("bin/python");
        let run = |program: &Path, args: &[&str]| -> Result<(), String> {
            let out = Command::new(program).args(args).output().map_err(|e| e.to_string())?;
            if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
        };
        let install = || {
            if run(&python, &["-c", "import pythonosc, pylivelinkface, zenoh"]).is_ok() {
                return Ok(());
            }
            run(Path::new("python3"), &["-m", "venv", &venv.to_string_lossy()])?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            run(&python, &[&pip[..], &PACKAGES[..]].concat())
        };
        install()
            .map_err(|e| eprintln!("SKIPPED: no python-osc, PyLiveLinkFace and Zenoh to receive with: {e}"))
            .ok()?;
        Some(python)
    };
    PYTHON.get_or_init(install).as_deref()
}

/// A receiving program; ends with the test.
struct Receiver {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Receiver {
    /// Starts a script that says its port first.
    fn python(script: &str) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers").join(script);
        let mut child = Command::new(python()?).arg(path).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().expect("the receiver ended at once").unwrap();
        Some(Self { child, lines, address: format!("127.0.0.1:{port}") })
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("the receiver ended").unwrap()).unwrap()
    }

    /// Messages up to the one to this address.
    fn until(&mut self, address: &str) -> Vec<Value> {
        let mut all = vec![self.next()];
        while all.last().is_some_and(|m| m[0] != address) {
            all.push(self.next());
        }
        all
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_else(|e| eprintln!("{e}"));
        self.child.wait().map_or_else(|e| eprintln!("{e}"), |_| ());
    }
}

/// Turns left, looks up, raises the left ear, winks with the left eye, looks to the left with both.
fn subject() -> FaceSample {
    let rotation = Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.125 }.to_rotation();
    let aside = rotation * Vec3::new(0.3f32.sin(), 0.0, 0.3f32.cos());
    let mut face = Face {
        presence: 1.0,
        head: HeadPose { rotation, ..HeadPose::default() },
        gaze: Gaze { left: aside, right: aside },
        ..Face::default()
    };
    face.blendshapes[Blendshape::EyeBlinkLeft] = 0.75;
    face.blendshapes[Blendshape::JawOpen] = 0.5;
    FaceSample {
        image_size: Vec2::new(640.0, 480.0),
        captured_at: MonoTime::from_secs_f64(5.0),
        faces: vec![TrackedFace { presence: Presence::Tracked, face }],
        ..FaceSample::default()
    }
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn floats(message: &Value, from: usize) -> Vec<f32> {
    message.as_array().unwrap()[from..].iter().map(number).collect()
}

fn named<'a>(messages: &'a [Value], address: &str, name: &str) -> &'a Value {
    messages.iter().find(|m| m[0] == address && m[1] == name).unwrap_or_else(|| panic!("no {address} {name}"))
}

#[test]
fn python_osc_takes_vmc_and_sees_the_subject_turn_in_unitys_space() {
    let Some(mut receiver) = Receiver::python("osc_messages.py") else { return };
    for mirror in [false, true] {
        let adjust = Adjust { mirror, ..Adjust::default() };
        let config = VmcConfig { address: receiver.address.clone(), adjust, ..VmcConfig::default() };
        let mut sink = Sink::open(&OutputConfig::Vmc(config)).unwrap();
        sink.send(&subject(), MonoTime::from_secs_f64(5.0)).unwrap();
        let messages = receiver.until("/VMC/Ext/Blend/Apply");
        assert_eq!(messages[0], serde_json::json!(["/VMC/Ext/OK", 1, 3, 0, 1]));
        let blends = messages.iter().filter(|m| m[0] == "/VMC/Ext/Blend/Val").count();
        assert_eq!(blends, 52);
        let wink = if mirror { "EyeBlinkRight" } else { "EyeBlinkLeft" };
        assert!((number(&named(&messages, "/VMC/Ext/Blend/Val", wink)[2]) - 0.75).abs() < 1e-6);
        let bone = |name| Quat::from_slice(&floats(named(&messages, "/VMC/Ext/Bone/Pos", name), 5));
        let (nose, ear) = (bone("Neck") * bone("Head") * Vec3::Z, bone("Neck") * bone("Head") * Vec3::X);
        let side = if mirror { 1.0 } else { -1.0 };
        assert!(nose.x * side > 0.3, "the avatar's left is -x: {nose}");
        assert!(nose.y > 0.2, "up is +y: {nose}");
        assert!(ear.y * side > 0.05, "the left ear is up, the right one down: {ear}");
        assert!((bone("LeftEye") * Vec3::Z).x * side > 0.2);
    }
}

#[test]
fn python_osc_takes_every_message_of_our_own_schema() {
    let Some(mut receiver) = Receiver::python("osc_messages.py") else { return };
    let config = OscConfig { address: Some(receiver.address.clone()), ..OscConfig::default() };
    let mut sink = Sink::open(&OutputConfig::Osc(config)).unwrap();
    sink.send(&subject(), MonoTime::from_secs_f64(5.0)).unwrap();
    let messages = receiver.until("/facetrackd/0/blendshape/tongueOut");
    assert_eq!(messages.len(), 1 + 5 + 52);
    let head = floats(messages.iter().find(|m| m[0] == "/facetrackd/0/head").unwrap(), 1);
    assert!(
        (head[0] - 28.648).abs() < 0.01 && (head[1] + 14.324).abs() < 0.01 && (head[5] - 600.0).abs() < 0.01
    );
}

#[test]
fn py_live_link_face_decodes_our_packets() {
    let Some(mut receiver) = Receiver::python("live_link.py") else { return };
    let config = LiveLinkConfig { address: Some(receiver.address.clone()), ..LiveLinkConfig::default() };
    let mut sink = Sink::open(&OutputConfig::LiveLink(config)).unwrap();
    sink.send(&subject(), MonoTime::from_secs_f64(5.0)).unwrap();
    let face = receiver.next();
    let value = |name: &str| number(&face["values"][name]);
    assert_eq!(face["fps"], 60);
    for (name, want) in [("EyeBlinkLeft", 0.75), ("EyeBlinkRight", 0.0), ("JawOpen", 0.5), ("JawLeft", 0.0)] {
        assert!((value(name) - want).abs() < 1e-6, "{name}");
    }
    for (name, want) in [("HeadYaw", 0.5), ("HeadPitch", -0.25), ("HeadRoll", 0.125), ("LeftEyeYaw", 0.3)] {
        assert!((value(name) - want).abs() < 1e-4, "{name} is {}", value(name));
    }
    sink.close(MonoTime::from_secs_f64(6.0)).unwrap();
    assert_eq!(receiver.next(), Value::Null, "a closed stream says that there is no face");
}

/// The first line of the app's own files.
const CSV_HEADER: &str = "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,\
    EyeSquintLeft,EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,\
    EyeSquintRight,EyeWideRight,JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,\
    MouthLeft,MouthSmileLeft,MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,\
    MouthStretchLeft,MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,\
    MouthPressRight,MouthLowerDownLeft,MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,\
    BrowDownRight,BrowInnerUp,BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,\
    NoseSneerLeft,NoseSneerRight,TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,\
    RightEyePitch,RightEyeRoll";

#[test]
fn python_reads_the_csv_by_the_apps_columns() {
    let (Some(python), folder) = (python(), tempfile::tempdir().unwrap()) else { return };
    let path = folder.path().join("take.csv");
    let config = CsvConfig { path: path.clone(), fps: 60, adjust: Adjust::default() };
    let mut sink = Sink::open(&OutputConfig::Csv(config)).unwrap();
    for n in 0..3 {
        let stream_time = MonoTime::from_secs_f64(3661.0 + f64::from(n) * 0.5);
        sink.send(&FaceSample { stream_time, from_frame: true, ..subject() }, stream_time).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers/live_link_csv.py");
    let out = Command::new(python).arg(script).arg(&path).output().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().next(), Some(CSV_HEADER));
    let times: Vec<&str> = rows.iter().map(|r| r["Timecode"].as_str().unwrap()).collect();
    assert_eq!(
        times,
        ["01:01:01:00.000", "01:01:01:30.000", "01:01:02:00.000"],
        "hours:minutes:seconds:frames.part"
    );
    let value = |name: &str| rows[0][name].as_str().unwrap().parse::<f32>().unwrap();
    for (name, want) in [
        ("BlendShapeCount", 61.0),
        ("EyeBlinkLeft", 0.75),
        ("EyeBlinkRight", 0.0),
        ("JawOpen", 0.5),
        ("HeadYaw", 0.5),
        ("HeadPitch", -0.25),
        ("HeadRoll", 0.125),
        ("LeftEyeYaw", 0.3),
    ] {
        assert!((value(name) - want).abs() < 1e-4, "{name} is {}", value(name));
    }
}

#[test]
fn oscdump_prints_52_blends() {
    // A port that was free a moment ago; oscdump takes none of its own choice.
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started =
        Command::new("oscdump").args(["-L", &address.port().to_string()]).stdout(Stdio::piped()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return eprintln!("SKIPPED: no oscdump ({error}); install liblo-tools"),
    };
    let (said, heard) = channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| said.send(line)));
    let config = VmcConfig { address: address.to_string(), ..VmcConfig::default() };
    let mut sink = Sink::open(&OutputConfig::Vmc(config)).unwrap();
    let (mut dump, mut now) = (Vec::new(), 0);
    while !dump.iter().any(|l: &String| l.contains("/VMC/Ext/Blend/Apply")) {
        match heard.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => dump.push(line),
            // Nothing is heard before oscdump listens; it does not say when that is.
            Err(RecvTimeoutError::Timeout) => {
                now += 1;
                sink.send(&subject(), MonoTime::from_secs_f64(f64::from(now))).unwrap();
            }
            Err(RecvTimeoutError::Disconnected) => panic!("oscdump ended: {dump:?}"),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap().unwrap_or_else(|e| eprintln!("{e}"));
    let first_sample = dump.split_inclusive(|l| l.contains("/VMC/Ext/Blend/Apply")).next().unwrap();
    assert_eq!(first_sample.iter().filter(|l| l.contains("/VMC/Ext/Blend/Val sf")).count(), 52, "{dump:#?}");
    assert!(first_sample.iter().any(|l| l.contains("\"EyeBlinkLeft\" 0.750000")));
}

#[test]
fn the_godot_client_turns_a_head_and_hears_52_blend_shapes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A port that was free a moment ago; Godot 3 cannot say which one it took.
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Godot writes its logs into the folder it is started in.
    let folder = tempfile::tempdir().unwrap();
    let started = Command::new("godot3-server")
        .current_dir(folder.path())
        .arg("--script")
        .arg(root.join("tests/receivers/godot_main.gd"))
        .env("FACETRACKD_RECEIVER", root.join("clients/godot/addons/facetrackd/receiver.gd"))
        .env("FACETRACKD_PORT", address.port().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return eprintln!("SKIPPED: no Godot ({error}); install godot3-server"),
    };
    let (said, heard) = channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| said.send(line)));
    let config = VmcConfig { address: address.to_string(), ..VmcConfig::default() };
    let mut sink = Sink::open(&OutputConfig::Vmc(config)).unwrap();
    let (mut text, mut now) = (String::new(), 0);
    // It quits after three frames, and does not say when it listens.
    loop {
        match heard.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => text = text + &line + "\n",
            Err(RecvTimeoutError::Timeout) => {
                now += 1;
                sink.send(&subject(), MonoTime::from_secs_f64(f64::from(now))).unwrap();
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    child.wait().unwrap();
    reader.join().unwrap().unwrap();
    let said: Vec<Vec<&str>> = text.lines().map(|l| l.split(' ').collect()).collect();
    assert!(said.iter().any(|l| l[..] == ["tracking", "True"]), "{text}");
    let blends: std::collections::BTreeSet<_> =
        said.iter().filter(|l| l[0] == "blend").map(|l| l[1]).collect();
    assert_eq!(blends.len(), 52, "{text}");
    let three = |name: &str| -> Vec3 {
        let line = said.iter().rfind(|l| l[0] == name).unwrap();
        Vec3::from_slice(&line[1..].iter().map(|v| v.parse().unwrap()).collect::<Vec<f32>>())
    };
    // Godot's x is to the avatar's left: as head space has it.
    let wanted = Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.125 };
    let turn = facetrackd::geom::NEUTRAL_ROTATION * wanted.to_rotation();
    assert!(three("nose").distance(turn.z_axis) < 1e-3, "{text}");
    assert!(three("left_ear").distance(turn.x_axis) < 1e-3, "{text}");
}
