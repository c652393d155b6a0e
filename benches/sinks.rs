//! What it costs to say a face in every language at once: `cargo bench --bench sinks`.
//!
//! Receivers are sockets of this process that nobody empties; the kernel drops what does not fit. Files go to a
//! temporary folder. Bytes a second are for 60 samples a second.

mod common;

use common::{Stage, peak_resident_mb, print_machine};
use facetrackd::clock::MonoTime;
use facetrackd::face::{Face, FaceSample, Presence, TrackedFace};
use facetrackd::sink::jsonl::LandmarkDetail;
use facetrackd::sink::{
    Adjust, CsvConfig, DatagramConfig, IFacialMocapConfig, JsonlConfig, LiveLinkConfig, OscConfig,
    OutputConfig, ShmConfig, Sink, VmcConfig, VrchatConfig, VtsPhoneConfig, WebSocketConfig,
};
use glam::{Vec2, Vec3};
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

const RUNS: u64 = 3000;
const WARM_UP: u64 = 10;

/// An avatar that has every coefficient as a float and in four bits.
fn vrchat(to: &str, folder: &Path) -> OutputConfig {
    let names = [
        "JawOpen",
        "JawX",
        "MouthClosed",
        "LipFunnel",
        "LipPucker",
        "MouthUpperUp",
        "MouthLowerDown",
        "MouthX",
        "SmileFrown",
        "SmileSad",
        "MouthStretch",
        "TongueOut",
        "MouthDimple",
        "MouthRaiserUpper",
        "MouthRaiserLower",
        "MouthPress",
        "CheekPuff",
        "CheekSquint",
        "NoseSneer",
        "BrowUp",
        "BrowDown",
        "BrowInnerUp",
        "BrowOuterUp",
        "EyeLid",
        "EyeSquint",
        "EyeX",
        "EyeY",
        "JawForward",
        "JawLeft",
        "JawRight",
        "LipSuckUpper",
        "LipSuckLower",
        "EyeWideLeft",
    ];
    let forms =
        [("", "Float"), ("1", "Bool"), ("2", "Bool"), ("4", "Bool"), ("8", "Bool"), ("Negative", "Bool")];
    let input = |name: &str, (suffix, kind): (&str, &str)| {
        format!(r#"{{"input":{{"address":"/avatar/parameters/v2/{name}{suffix}","type":"{kind}"}}}}"#)
    };
    let all: Vec<String> = names.iter().flat_map(|name| forms.map(|form| input(name, form))).collect();
    let avatar = folder.join("avatar.json");
    std::fs::write(&avatar, format!(r#"{{"parameters":[{}]}}"#, all.join(","))).expect("a temporary folder");
    OutputConfig::Vrchat(VrchatConfig {
        address: Some(to.to_owned()),
        avatar: Some(avatar),
        ..VrchatConfig::default()
    })
}

fn listen() -> String {
    "127.0.0.1:0".to_owned()
}

/// Receivers for the outputs that wait for somebody to ask.
fn connect(name: &str, sink: &Sink) {
    let Some(address) = sink.listens_on().first().copied() else { return };
    if name.starts_with("websocket") {
        for _ in 0..2 {
            let (mut client, _) = tungstenite::connect(format!("ws://{address}/")).expect("it listens");
            std::thread::spawn(move || while client.read().is_ok() {});
        }
    } else {
        let receiver = UdpSocket::bind(listen()).expect("a socket on the loopback interface");
        let port = receiver.local_addr().expect("bound").port();
        // It asks again before its ten seconds are over, as receivers do.
        std::thread::spawn(move || {
            loop {
                let request = format!(
                    r#"{{"messageType":"iOSTrackingDataRequest","time":10,"sentBy":"bench","ports":[{port}]}}"#
                );
                if receiver.send_to(request.as_bytes(), address).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_secs(5));
            }
        });
    }
}

fn outputs(to: &str, folder: &Path, ring: &str) -> Vec<(&'static str, OutputConfig)> {
    let address = Some(to.to_owned());
    let datagrams = || DatagramConfig { address: Some(to.to_owned()), ..DatagramConfig::default() };
    let jsonl =
        |name: &str, landmarks| OutputConfig::Jsonl(JsonlConfig { path: folder.join(name), landmarks });
    let csv = CsvConfig { path: folder.join("take.csv"), fps: 60, adjust: Adjust::default() };
    vec![
        ("vmc", OutputConfig::Vmc(VmcConfig { address: to.to_owned(), ..VmcConfig::default() })),
        ("openseeface", OutputConfig::OpenSeeFace(datagrams())),
        (
            "ifacialmocap",
            OutputConfig::IFacialMocap(IFacialMocapConfig {
                address: address.clone(),
                ..IFacialMocapConfig::default()
            }),
        ),
        (
            "live-link",
            OutputConfig::LiveLink(LiveLinkConfig { address: address.clone(), ..LiveLinkConfig::default() }),
        ),
        ("opentrack", OutputConfig::Opentrack(datagrams())),
        ("babble", OutputConfig::Babble(datagrams())),
        ("vrchat, 200 parameters", vrchat(to, folder)),
        ("osc", OutputConfig::Osc(OscConfig { address, ..OscConfig::default() })),
        (
            "websocket, two clients",
            OutputConfig::WebSocket(WebSocketConfig { listen: listen(), ..WebSocketConfig::default() }),
        ),
        (
            "vts-phone, one receiver",
            OutputConfig::VtsPhone(VtsPhoneConfig { listen: listen(), ..VtsPhoneConfig::default() }),
        ),
        ("jsonl, no landmarks", jsonl("short.jsonl", LandmarkDetail::None)),
        ("jsonl, all landmarks", jsonl("long.jsonl", LandmarkDetail::All)),
        ("csv", OutputConfig::Csv(csv)),
        ("shm", OutputConfig::Shm(ShmConfig::new(ring))),
    ]
}

/// A face that moves, so that numbers have all their digits.
fn fill(sample: &mut FaceSample, n: u64) {
    let t = n as f32 / 60.0;
    sample.index = n;
    sample.captured_at = MonoTime::from_secs_f64(1.0 + f64::from(t));
    sample.stream_time = MonoTime::from_secs_f64(f64::from(t));
    for tracked in &mut sample.faces {
        let face = &mut tracked.face;
        face.head.translation_mm = Vec3::new(10.0 * t.sin(), 7.0 * t.cos(), 600.0 + t.sin());
        for (i, (_, v)) in face.blendshapes.values_mut().enumerate() {
            *v = 0.5 + 0.5 * (t + i as f32).sin();
        }
        for (i, p) in face.landmarks.iter_mut().enumerate() {
            *p = Vec3::new(320.0 + i as f32 * 0.1 + t.sin(), 240.0 + i as f32 * 0.1 + t.cos(), t.sin());
        }
    }
}

fn main() {
    print_machine();
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket on the loopback interface");
    let to = receiver.local_addr().expect("a bound socket has an address").to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ring = format!("bench-{}", std::process::id());
    let face = TrackedFace { presence: Presence::Tracked, face: Face::default() };
    let mut sample = FaceSample {
        from_frame: true,
        image_size: Vec2::new(1280.0, 720.0),
        faces: vec![face],
        ..FaceSample::default()
    };

    let (mut sinks, mut all) = (Vec::new(), Stage::new("all at once"));
    for (name, config) in outputs(&to, folder.path(), &ring) {
        let sink = Sink::open(&config).unwrap_or_else(|e| panic!("{name}: {e}"));
        connect(name, &sink);
        sinks.push((Stage::new(name), sink));
    }
    for n in 0..RUNS + WARM_UP {
        fill(&mut sample, n);
        let now = sample.captured_at + Duration::from_millis(20);
        let mut send_all = |stages: bool| {
            for (stage, sink) in &mut sinks {
                let mut send = || sink.send(&sample, now).expect("the sample is sound and the disk has room");
                if stages { stage.measure(send) } else { send() }
            }
        };
        // Each in turn, then all as one.
        send_all(n >= WARM_UP);
        if n >= WARM_UP { all.measure(|| send_all(false)) } else { send_all(false) }
    }
    for (stage, sink) in &mut sinks {
        stage.print();
        let (traffic, samples) = (sink.traffic(), 2 * (RUNS + WARM_UP));
        println!("{:34} {:.0} bytes a second", "", 60.0 * traffic.bytes as f64 / samples as f64);
    }
    all.print();
    println!("peak resident memory {:.1} MB", peak_resident_mb().unwrap_or(f64::NAN));
    sinks.clear();
    std::fs::remove_file(format!("/dev/shm/facetrackd.{ring}")).expect("the ring's file is there");
}
