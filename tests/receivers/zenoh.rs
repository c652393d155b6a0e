//! Two trackers and two listeners meet over Zenoh, by `clients/zenoh` and Eclipse's own library.

use super::{Receiver, python, subject};
use facetrackd::face::FaceSample;
use facetrackd::sink::jsonl::LandmarkDetail;
use facetrackd::sink::{JsonlConfig, OutputConfig, Sink};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What facetrackd says of the subject and, then, of nobody.
fn lines(folder: &Path) -> [String; 2] {
    let path = folder.join("face.jsonl");
    let config = JsonlConfig { path: path.clone(), landmarks: LandmarkDetail::None };
    let mut sink = Sink::open(&OutputConfig::Jsonl(config)).unwrap();
    for faces in [subject().faces, Vec::new()] {
        sink.send(&FaceSample { from_frame: true, faces, ..subject() }, subject().captured_at).unwrap();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| format!("{line}\n"));
    [lines.next().unwrap(), lines.next().unwrap()]
}

#[test]
fn two_trackers_and_two_listeners_meet_over_zenoh() {
    let (Some(python), folder) = (python(), tempfile::tempdir().unwrap()) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/zenoh/facetrackd_zenoh.py");
    let start = |args: &[&str]| {
        let mut command = Command::new(python);
        command.arg(&script).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let (said, heard) = channel();
    // Ports that were free a moment ago.
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let endpoints = ports.map(|port| format!("tcp/{port}"));
    let _listeners = [0, 1].map(|who| {
        let mut child = start(&["subscribe", "--connect", &endpoints[0], "--connect", &endpoints[1]]);
        let (said, lines) = (said.clone(), BufReader::new(child.stdout.take().unwrap()).lines());
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| said.send((who, line))));
        // Ends it with the test; what it says goes through the channel.
        Receiver { child, lines: BufReader::new(super::unity::empty()).lines(), address: String::new() }
    });
    let hosts = ["studio-left", "studio-right"];
    let mut trackers = [0, 1].map(|n| start(&["publish", "--host", hosts[n], "--listen", &endpoints[n]]));
    let mut inputs = [0, 1].map(|n| trackers[n].stdin.take().unwrap());

    let [face, nobody] = lines(folder.path());
    let wanted: Value = serde_json::from_str(&face).unwrap();
    // Frames go on until both listeners have heard both trackers say this.
    let mut until = |line: &str, is_it: &dyn Fn(&Value) -> bool| {
        let mut missing: Vec<(usize, &str)> =
            [0, 1].into_iter().flat_map(|who| hosts.map(|host| (who, host))).collect();
        while !missing.is_empty() {
            match heard.recv_timeout(Duration::from_millis(30)) {
                Ok((who, line)) => {
                    let said: Value = serde_json::from_str(&line).unwrap();
                    missing.retain(|(w, host)| !(*w == who && said["host"] == *host && is_it(&said)));
                }
                Err(RecvTimeoutError::Timeout) => {
                    for input in &mut inputs {
                        input.write_all(line.as_bytes()).unwrap();
                        input.flush().unwrap();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the listeners ended"),
            }
        }
    };
    until(&face, &|said| said["face"] == wanted["faces"][0] && said["t"] == wanted["t"] && said["id"] == 0);
    until(&nobody, &|said| said["gone"] == true);
    drop(inputs);
    for mut tracker in trackers {
        assert!(tracker.wait().unwrap().success());
    }
}
