//! The search for VRChat against python-zeroconf, http.server and python-osc, on the loopback interface.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, Face, FaceSample, Presence, TrackedFace};
use facetrackd::sink::vrchat::Discovery;
use facetrackd::sink::{OutputConfig, Sink, VrchatConfig};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PACKAGES: [&str; 2] = ["zeroconf==0.154.0", "python-osc==1.9.3"];
/// How long anything may take on a busy machine before it counts as not happening.
const PATIENCE: Duration = Duration::from_mins(1);
const FRAME: Duration = Duration::from_millis(20);

/// The Python with the packages.
fn python() -> Result<PathBuf, String> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vrchat-venv");
    let python = venv.join("bin/python");
    let run = |program: &Path, args: &[&str]| -> Result<(), String> {
        let out = Command::new(program).args(args).output().map_err(|e| e.to_string())?;
        if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
    };
    if run(&python, &["-c", "import zeroconf, pythonosc"]).is_err() {
        run(Path::new("python3"), &["-m", "venv", &venv.to_string_lossy()])?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(&python, &[&pip[..], &PACKAGES[..]].concat())?;
    }
    Ok(python)
}

/// A VRChat of Python's; ends with the test.
struct Vrchat {
    child: Child,
    stdin: ChildStdin,
    said: Receiver<Value>,
    /// What came while something else was waited for.
    heard: Vec<Value>,
}

impl Vrchat {
    fn start(python: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers/vrchat.py");
        let mut child =
            Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (say, said) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).try_for_each(|line| say.send(serde_json::from_str(&line).unwrap()))
        });
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin, said, heard: Vec::new() }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// Sends samples, at a camera's pace at most, until something was said that `is` what is waited for; at once
    /// where it was said while something else was waited for.
    fn wait(&mut self, sink: &mut Sink, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        if let Some(value) = self.heard.iter().find(|v| is(v)) {
            return value.clone();
        }
        let start = MonoTime::now();
        for n in 0.. {
            let now = MonoTime::now();
            assert!(now.since(start) < PATIENCE, "{what} did not happen: {:?}", self.heard);
            sink.send(&subject(f32::from(n % 50u16) / 50.0), now).unwrap();
            // A sample's echo must not call for the next: the receiver would have no time for its search.
            while let Some(left) = FRAME.checked_sub(MonoTime::now().since(now)) {
                let Ok(value) = self.said.recv_timeout(left) else { break };
                if is(&value) {
                    return value;
                }
                self.heard.push(value);
            }
        }
        unreachable!("a minute has fewer frames than that")
    }
}

impl Drop for Vrchat {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_else(|e| eprintln!("{e}"));
        self.child.wait().map_or_else(|e| eprintln!("{e}"), |_| ());
    }
}

fn subject(jaw_open: f32) -> FaceSample {
    let mut face = Face { presence: 1.0, ..Face::default() };
    face.blendshapes[Blendshape::JawOpen] = jaw_open;
    face.blendshapes[Blendshape::MouthPucker] = 1.0 - jaw_open;
    FaceSample {
        from_frame: true,
        faces: vec![TrackedFace { presence: Presence::Tracked, face }],
        ..FaceSample::default()
    }
}

fn parameter(value: &Value, name: &str) -> bool {
    value["osc"] == format!("/avatar/parameters/{name}")
}

/// Searches on the loopback interface need it to carry multicast, which some containers forbid.
fn loopback_carries_multicast() -> bool {
    let try_it = || -> std::io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.join_multicast_v4(&[224, 0, 0, 251].into(), &[127, 0, 0, 1].into())?;
        socket.send_to(b"?", "224.0.0.251:9").map(|_| ())
    };
    try_it().map_err(|e| eprintln!("SKIPPED: no multicast on the loopback interface: {e}")).is_ok()
}

#[test]
fn a_vrchat_is_found_its_avatar_is_followed_and_it_finds_us() {
    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("no python-zeroconf: {why}"),
        Err(why) => return eprintln!("SKIPPED: no python-zeroconf to be found by: {why}"),
    };
    if !loopback_carries_multicast() {
        return;
    }
    let mut vrchat = Vrchat::start(&python);
    vrchat.tell("avtr_one v2/JawOpen:f Hat:T v2/Nonsense:f EyeTrackingActive:T");
    let config = VrchatConfig { eyes: false, oscquery: Discovery::Loopback, ..VrchatConfig::default() };
    let mut sink = Sink::open(&OutputConfig::Vrchat(config)).unwrap();

    // At the port that it named, not at 9000, and only what its avatar has.
    vrchat.wait(&mut sink, "a parameter", |v| parameter(v, "v2/JawOpen"));
    vrchat.wait(&mut sink, "our web server's announcement", |v| v["announced"] == "_oscjson._tcp.local.");
    vrchat.wait(&mut sink, "our OSC port's announcement", |v| v["announced"] == "_osc._udp.local.");
    let heard: Vec<&Value> = vrchat.heard.iter().filter(|v| v.get("osc").is_some()).collect();
    let declared = ["v2/JawOpen", "EyeTrackingActive"];
    assert!(heard.iter().all(|v| declared.iter().any(|name| parameter(v, name))), "{heard:?}");
    for announced in vrchat.heard.iter().filter(|v| v.get("announced").is_some()) {
        assert_eq!(announced["address"], "127.0.0.1", "on this machine alone");
    }

    // What VRChat would read of us.
    vrchat.tell("");
    let told = vrchat.wait(&mut sink, "our tree", |v| v.get("tree").is_some());
    let change = &told["tree"]["CONTENTS"]["avatar"]["CONTENTS"]["change"];
    assert_eq!((&change["ACCESS"], &change["TYPE"]), (&json!(2), &json!("s")));
    assert_eq!(told["host_info"]["OSC_PORT"], told["osc_port"]);

    // Another avatar is put on: told by OSC, fetched, and the old one's parameters are sent no more.
    vrchat.tell("avtr_two FT/v2/LipPucker:f");
    vrchat.wait(&mut sink, "the new avatar's parameter", |v| parameter(v, "FT/v2/LipPucker"));
    vrchat.heard.clear();
    for _ in 0..20 {
        vrchat.wait(&mut sink, "further values", |v| parameter(v, "FT/v2/LipPucker"));
    }
    assert!(vrchat.heard.iter().all(|v| v.get("osc").is_none()), "{:?}", vrchat.heard);

    // At the end both services say goodbye.
    drop(sink);
    let start = MonoTime::now();
    while vrchat.heard.iter().filter(|v| v.get("gone").is_some()).count() < 2 {
        assert!(MonoTime::now().since(start) < PATIENCE, "no goodbye: {:?}", vrchat.heard);
        vrchat.heard.extend(vrchat.said.recv_timeout(Duration::from_millis(20)));
    }
}
