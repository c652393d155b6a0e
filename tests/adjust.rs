//! Every output's own mirroring, gain, rate and naming: what an output says with a setting is what it says without it of
//! a face that was mirrored, strengthened or left out by hand.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, Face, FaceSample, Gaze, HeadPose, TrackedFace};
use facetrackd::geom::Angles;
use facetrackd::sink::{OutputConfig, Sink};
use glam::{Mat3, Vec2, Vec3};
use std::net::UdpSocket;
use std::time::Duration;

/// Each output to an address that has `adjust`, by its `type`, with further settings.
const STREAMS: [&str; 9] = [
    "vmc'\npresets = 'vrm1'\neyes = 'both",
    "openseeface",
    "ifacialmocap",
    "ifacialmocap'\nformat = 'facemotion3d",
    "live-link",
    "opentrack",
    "babble",
    "vrchat",
    "osc",
];

fn subject() -> FaceSample {
    let rotation = Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.125 }.to_rotation();
    let look = |x: f32, y: f32| rotation * Vec3::new(x, y, 1.0).normalize();
    let head = HeadPose { rotation, translation_mm: Vec3::new(40.0, -20.0, 550.0) };
    let gaze = Gaze { left: look(0.3, 0.1), right: look(0.2, 0.1) };
    let mut face = Face { presence: 1.0, head, gaze, ..Face::default() };
    for (n, (_, value)) in face.blendshapes.values_mut().enumerate() {
        *value = (n as f32).mul_add(0.007, 0.01);
    }
    sample(face, 0)
}

fn sample(face: Face, n: u32) -> FaceSample {
    let at = MonoTime::from_secs_f64(5.0 + f64::from(n) / 60.0);
    FaceSample {
        index: u64::from(n),
        from_frame: true,
        image_size: Vec2::new(640.0, 480.0),
        captured_at: at,
        stream_time: at,
        faces: vec![TrackedFace { face, ..TrackedFace::default() }],
    }
}

/// As in a looking glass, done by hand.
fn mirrored(sample: &FaceSample) -> FaceSample {
    let (mut out, glass) = (sample.clone(), Mat3::from_diagonal(Vec3::new(-1.0, 1.0, 1.0)));
    let face = &mut out.faces[0].face;
    face.head.rotation = glass * face.head.rotation * glass;
    face.head.translation_mm = glass * face.head.translation_mm;
    face.gaze = Gaze { left: glass * face.gaze.right, right: glass * face.gaze.left };
    for shape in Blendshape::ALL {
        face.blendshapes[shape] = sample.faces[0].face.blendshapes[shape.mirrored()];
    }
    out
}

/// Datagrams that an output sends for each of some samples, a sixtieth of a second apart.
fn said(settings: &str, adjust: &str, samples: &[FaceSample]) -> Vec<Vec<Vec<u8>>> {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_nonblocking(true).unwrap();
    let to = receiver.local_addr().unwrap();
    let text = format!("type = '{settings}'\naddress = '{to}'\nadjust = {{ {adjust} }}\n");
    let mut sink = Sink::open(&toml::from_str::<OutputConfig>(&text).unwrap()).unwrap();
    let mut buffer = vec![0; 65536];
    let mut next = || {
        let n = receiver.recv(&mut buffer).ok()?;
        // OpenSeeFace's points lie in the picture, which is mirrored about its middle; its own tests see to them.
        let points = if settings == "openseeface" { 345..1729 } else { 0..0 };
        Some([&buffer[..points.start], &buffer[points.end..n]].concat())
    };
    let mut drain = || -> Vec<Vec<u8>> { std::iter::from_fn(&mut next).collect() };
    // Loopback delivers before send returns.
    let mut send = |sample: &FaceSample| {
        sink.send(sample, sample.captured_at + Duration::from_millis(1)).unwrap();
        drain()
    };
    samples.iter().map(&mut send).collect()
}

#[test]
fn every_output_mirrors_and_strengthens_as_it_is_told() {
    let subject = subject();
    let mut strong = subject.clone();
    for (shape, value) in strong.faces[0].face.blendshapes.values_mut() {
        let gain = if shape == Blendshape::JawOpen { 1.5 * 2.0 } else { 1.5 };
        *value = (*value * gain).min(1.0);
    }
    for output in STREAMS {
        let plain = said(output, "", std::slice::from_ref(&subject));
        assert!(!plain[0].is_empty(), "{output} says nothing");
        let glass = said(output, "mirror = true", std::slice::from_ref(&subject));
        assert!(glass == said(output, "", &[mirrored(&subject)]), "{output} mirrors");
        assert!(glass != plain, "{output}");
        let louder = said(output, "gain = 1.5, gains = { jawOpen = 2.0 }", std::slice::from_ref(&subject));
        assert!(louder == said(output, "", std::slice::from_ref(&strong)), "{output} strengthens");
    }
}

#[test]
fn every_output_keeps_its_own_rate() {
    let samples: Vec<FaceSample> = (0..60)
        .map(|n| {
            let mut face = subject().faces.remove(0).face;
            // VRChat's output says nothing of what does not move.
            face.gaze.left.x += 0.001 * n as f32;
            sample(face, n)
        })
        .collect();
    for output in STREAMS {
        let passed =
            |adjust| said(output, adjust, &samples).iter().filter(|datagrams| !datagrams.is_empty()).count();
        assert_eq!(passed(""), 60, "{output}");
        assert!((29..=31).contains(&passed("max_rate_hz = 30.0")), "{output}");
        assert!((9..=11).contains(&passed("max_rate_hz = 10.0")), "{output}");
    }
}

#[test]
fn two_outputs_of_one_kind_have_their_own_names_and_rates() {
    let text = |output: &[Vec<Vec<u8>>]| String::from_utf8_lossy(&output[0].concat()).into_owned();
    let pascal = text(&said("vmc", "", &[subject()]));
    let camel = text(&said("vmc'\nnames = 'camel", "mirror = true", &[subject()]));
    assert!(pascal.contains("\0JawOpen\0") && !pascal.contains("\0jawOpen\0"));
    assert!(camel.contains("\0jawOpen\0") && !camel.contains("\0JawOpen\0"));
}

#[test]
fn recordings_in_csv_are_adjusted_too() {
    let folder = tempfile::tempdir().unwrap();
    let record = |name: &str, adjust: &str, samples: &[FaceSample]| {
        let path = folder.path().join(name);
        let text = format!("type = 'csv'\npath = '{}'\nadjust = {{ {adjust} }}\n", path.display());
        let mut sink = Sink::open(&toml::from_str(&text).unwrap()).unwrap();
        for s in samples {
            sink.send(s, s.captured_at).unwrap();
        }
        std::fs::read_to_string(path).unwrap()
    };
    let subject = subject();
    assert_eq!(
        record("a", "mirror = true", std::slice::from_ref(&subject)),
        record("b", "", &[mirrored(&subject)])
    );
    let frames: Vec<FaceSample> = (0..60).map(|n| sample(subject.faces[0].face.clone(), n)).collect();
    assert!((30..=32).contains(&record("c", "max_rate_hz = 30.0", &frames).lines().count()));
}
