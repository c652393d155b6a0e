use super::super::osc::testing::{float_args, messages};
use super::super::stream;
use super::super::testing::{face, sample_of};
use super::*;
use crate::face::{Blendshape, Presence};
use crate::geom::Angles;
use glam::{Quat, Vec3};
use rosc::{OscMessage, OscType};

fn datagrams(config: &VmcConfig, sample: &FaceSample) -> Vec<Vec<u8>> {
    stream::testing::datagrams(&mut Encoder::new(config), sample, &config.adjust)
}

fn sent(config: &VmcConfig, sample: &FaceSample) -> Vec<OscMessage> {
    datagrams(config, sample).iter().flat_map(|d| messages(d)).collect()
}

fn named<'a>(messages: &'a [OscMessage], addr: &str, name: &str) -> Option<&'a OscMessage> {
    let first = OscType::String(name.to_owned());
    messages.iter().find(|m| m.addr == addr && m.args.first() == Some(&first))
}

fn bone(messages: &[OscMessage], name: &str) -> Quat {
    let args = float_args(named(messages, "/VMC/Ext/Bone/Pos", name).unwrap());
    Quat::from_slice(&args[3..7])
}

fn head_as_seen(messages: &[OscMessage]) -> Quat {
    bone(messages, "Neck") * bone(messages, "Head")
}

fn looking(yaw: f32, pitch: f32, roll: f32) -> FaceSample {
    sample_of([face(Angles { yaw_rad: yaw, pitch_rad: pitch, roll_rad: roll })])
}

/// The datagram of a neutral face, written out by hand from the specification: what stands before the blendshapes.
#[test]
fn the_first_bytes_are_the_protocols() {
    let config = VmcConfig { names: Names::None, eyes: Eyes::None, ..VmcConfig::default() };
    let datagrams = datagrams(&config, &looking(0.0, 0.0, 0.0));
    let mut golden = b"#bundle\0\0\0\0\0\0\0\0\x01".to_vec();
    let mut message = |bytes: &[u8]| {
        golden.extend((bytes.len() as u32).to_be_bytes());
        golden.extend(bytes);
    };
    message(b"/VMC/Ext/OK\0,iiii\0\0\0\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\x01");
    message(b"/VMC/Ext/T\0\0,f\0\0\0\0\0\0");
    let root = b"/VMC/Ext/Root/Pos\0\0\0,sfffffff\0\0\0root\0\0\0\0";
    let identity = b"\0\0\0\0\0\0\0\0\0\0\0\0\x3f\x80\0\0";
    message(&[&root[..], &[0; 12], identity].concat());
    let place = |p: [f32; 3]| p.map(f32::to_be_bytes).concat();
    let bone = b"/VMC/Ext/Bone/Pos\0\0\0,sfffffff\0\0\0";
    message(&[&bone[..], b"Neck\0\0\0\0", &place([0.0, 0.13, 0.0]), identity].concat());
    message(&[&bone[..], b"Head\0\0\0\0", &place([0.0, 0.09, 0.01]), identity].concat());
    assert_eq!(datagrams, [golden]);
}

#[test]
fn all_52_are_said_once_under_their_perfect_sync_names_and_then_applied() {
    let mut talking = face(Angles::default());
    for (i, (_, v)) in talking.blendshapes.values_mut().enumerate() {
        *v = i as f32 / 64.0;
    }
    let expected = talking.blendshapes;
    let messages = sent(&VmcConfig::default(), &sample_of([talking]));
    for (b, value) in expected.iter() {
        let name = b.name()[..1].to_uppercase() + &b.name()[1..];
        let said: Vec<_> =
            messages.iter().filter(|m| m.args.first() == Some(&OscType::String(name.clone()))).collect();
        assert_eq!(said.len(), 1, "{name}");
        assert_eq!(said[0].addr, "/VMC/Ext/Blend/Val");
        assert_eq!(said[0].args[1..], [OscType::Float(value)]);
    }
    let last = messages.last().unwrap();
    assert_eq!((last.addr.as_str(), last.args.len()), ("/VMC/Ext/Blend/Apply", 0));
}

#[test]
fn datagrams_stay_under_1500_bytes_and_carry_only_ints_floats_strings() {
    let everything = VmcConfig {
        skeleton: Skeleton::Full,
        eyes: Eyes::Both,
        presets: Presets::Vrm0,
        ..VmcConfig::default()
    };
    for bundled in [true, false] {
        let datagrams = datagrams(&VmcConfig { bundled, ..everything.clone() }, &looking(0.1, 0.2, 0.3));
        assert!(datagrams.iter().all(|d| d.len() < 1500));
        assert_eq!(bundled, datagrams.len() < 10);
        for m in datagrams.iter().flat_map(|d| messages(d)) {
            assert!(
                m.args.iter().all(|a| matches!(a, OscType::Int(_) | OscType::Float(_) | OscType::String(_)))
            );
        }
    }
}

#[test]
fn neck_and_head_together_make_the_subjects_turn_in_unity() {
    for neck_share in [0.0, 0.4, 1.0] {
        let config = VmcConfig { neck_share, ..VmcConfig::default() };
        let nose = |s: &FaceSample| head_as_seen(&sent(&config, s)) * Vec3::Z;
        let left_ear = |s: &FaceSample| head_as_seen(&sent(&config, s)) * Vec3::NEG_X;
        assert!((nose(&looking(0.5, 0.0, 0.0)).x + 0.5f32.sin()).abs() < 1e-4, "turned left is -x");
        assert!((nose(&looking(0.0, -0.5, 0.0)).y - 0.5f32.sin()).abs() < 1e-4, "looking up is +y");
        assert!((left_ear(&looking(0.0, 0.0, 0.5)).y - 0.5f32.sin()).abs() < 1e-4, "left ear up is +y");
    }
    let mirrored = VmcConfig { adjust: Adjust { mirror: true, ..Adjust::default() }, ..VmcConfig::default() };
    let nose = head_as_seen(&sent(&mirrored, &looking(0.5, 0.0, 0.0))) * Vec3::Z;
    assert!((nose.x - 0.5f32.sin()).abs() < 1e-4, "mirrored, turned left is +x");
}

#[test]
fn eyes_turn_relative_to_the_head() {
    let mut subject = face(Angles { yaw_rad: 0.3, pitch_rad: 0.1, roll_rad: 0.2 });
    // Left eye 0.4 rad to the subject's left, right eye 0.2 rad up, both as seen from the head.
    subject.gaze.left = subject.head.rotation * Vec3::new(0.4f32.sin(), 0.0, 0.4f32.cos());
    subject.gaze.right = subject.head.rotation * Vec3::new(0.0, 0.2f32.sin(), 0.2f32.cos());
    let messages = sent(&VmcConfig { eyes: Eyes::Both, ..VmcConfig::default() }, &sample_of([subject]));
    let (left, right) = (bone(&messages, "LeftEye") * Vec3::Z, bone(&messages, "RightEye") * Vec3::Z);
    assert!((left - Vec3::new(-0.4f32.sin(), 0.0, 0.4f32.cos())).length() < 1e-4);
    assert!((right - Vec3::new(0.0, 0.2f32.sin(), 0.2f32.cos())).length() < 1e-4);
    let target = messages.iter().find(|m| m.addr == "/VMC/Ext/Set/Eye").unwrap();
    assert_eq!(target.args[0], OscType::Int(1));
    let [x, y, z] = float_args(target)[..] else { panic!() };
    assert!(x < -0.1 && y > 0.05 && z > 0.9, "left, up, ahead");
}

#[test]
fn status_follows_the_face_and_closing_says_not_loaded() {
    let status = |messages: &[OscMessage]| -> Vec<i32> {
        let ok = messages.iter().find(|m| m.addr == "/VMC/Ext/OK").unwrap();
        ok.args.iter().filter_map(|a| a.clone().int()).collect()
    };
    let config = VmcConfig::default();
    assert_eq!(status(&sent(&config, &looking(0.0, 0.0, 0.0))), [1, 3, 0, 1]);
    let mut fading = looking(0.0, 0.0, 0.0);
    fading.faces[0].presence = Presence::Fading;
    let messages_of_fading = sent(&config, &fading);
    assert_eq!(status(&messages_of_fading), [1, 3, 0, 0]);
    assert!(
        named(&messages_of_fading, "/VMC/Ext/Blend/Val", "JawOpen").is_some(),
        "a fading face still moves"
    );
    let nobody = sent(&config, &FaceSample::default());
    assert_eq!(status(&nobody), [1, 3, 0, 0]);
    assert_eq!(nobody.len(), 2, "nothing but status and time without a face");

    let mut end = Vec::new();
    Encoder::new(&config).encode_end(&mut |d| end.extend(messages(d)));
    assert_eq!(status(&end), [0, 3, 0, 0]);
}

#[test]
fn options_choose_names_bones_and_status() {
    let sample = looking(0.0, 0.0, 0.0);
    let camel = sent(&VmcConfig { names: Names::Camel, ..VmcConfig::default() }, &sample);
    assert!(named(&camel, "/VMC/Ext/Blend/Val", "jawOpen").is_some());
    let vrm1 =
        sent(&VmcConfig { presets: Presets::Vrm1, names: Names::None, ..VmcConfig::default() }, &sample);
    assert_eq!(vrm1.iter().filter(|m| m.addr == "/VMC/Ext/Blend/Val").count(), 11);
    let blends_only = sent(&VmcConfig { skeleton: Skeleton::None, ..VmcConfig::default() }, &sample);
    assert!(!blends_only.iter().any(|m| m.addr.ends_with("/Pos")));
    let full = sent(&VmcConfig { skeleton: Skeleton::Full, ..VmcConfig::default() }, &sample);
    assert_eq!(full.iter().filter(|m| m.addr == "/VMC/Ext/Bone/Pos").count(), 22);
    let loaded = sent(&VmcConfig { status: Status::Loaded, ..VmcConfig::default() }, &sample);
    assert_eq!(loaded[0].args, [OscType::Int(1)]);
}

#[test]
fn time_runs_with_the_frames_from_the_first_on() {
    let mut encoder = Encoder::new(&VmcConfig::default());
    let mut at = |seconds: f64| {
        let all: Vec<_> =
            encoder.fill(None, MonoTime::from_secs_f64(seconds)).datagrams().flat_map(messages).collect();
        float_args(all.iter().find(|m| m.addr == "/VMC/Ext/T").unwrap())[0]
    };
    assert_eq!(at(1000.0), 0.0);
    assert_eq!(at(1001.5), 1.5);
}

#[test]
fn a_mirrored_wink_changes_eyes() {
    let mut winking = face(Angles::default());
    winking.blendshapes[Blendshape::EyeBlinkLeft] = 1.0;
    let adjust = Adjust { mirror: true, ..Adjust::default() };
    let messages = sent(&VmcConfig { adjust, ..VmcConfig::default() }, &sample_of([winking]));
    let value = |name| float_args(named(&messages, "/VMC/Ext/Blend/Val", name).unwrap())[0];
    assert_eq!((value("EyeBlinkLeft"), value("EyeBlinkRight")), (0.0, 1.0));
}
