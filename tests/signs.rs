//! One table: what each output says of a subject who turns left, looks up, raises the left ear and winks with the left eye.
//!
//! `docs/protocols.md` has the same table in words. Here the wire is read back with the least code that can read it; that
//! other programs read the same is for the tests that run them. VTube Studio's plugin API keeps a token, and so its row stands
//! beside its own tests.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, Face, FaceSample, Gaze, HeadPose, Presence, TrackedFace};
use facetrackd::geom::Angles;
use facetrackd::sink::{
    Adjust, CsvConfig, DatagramConfig, IFacialMocapConfig, LiveLinkConfig, OscConfig, OutputConfig, Sink,
    VmcConfig, VrchatConfig, VtsPhoneConfig, WebSocketConfig,
};
use glam::Vec3;
use rosc::{OscPacket, OscType};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;
use tungstenite::Message;

/// Turn, nod, tilt; and how much further the left eye is shut than the right one. Zero: the protocol does not say.
type Said = [f32; 4];

/// What the outputs that record write to.
const RECORDING: &str = "recording";

/// What an output says, as signs.
struct Row {
    name: &'static str,
    signs: Said,
    config: fn(&str, Adjust, &Path) -> OutputConfig,
    read: fn(&[Vec<u8>]) -> Option<Said>,
}

/// The signs that each protocol has for left, up, left ear up, left eye shut.
const TABLE: [Row; 12] = [
    Row { name: "vmc", signs: [-1.0, -1.0, -1.0, 1.0], config: vmc, read: read_vmc },
    Row { name: "openseeface", signs: [1.0, -1.0, 1.0, 1.0], config: openseeface, read: read_openseeface },
    Row {
        name: "ifacialmocap",
        signs: [1.0, -1.0, -1.0, 1.0],
        config: ifacialmocap,
        read: read_ifacialmocap,
    },
    Row { name: "live-link", signs: [1.0, -1.0, 1.0, 1.0], config: live_link, read: read_live_link },
    Row { name: "csv", signs: [1.0, -1.0, 1.0, 1.0], config: csv, read: read_csv },
    Row { name: "opentrack", signs: [-1.0, -1.0, -1.0, 0.0], config: opentrack, read: read_opentrack },
    Row { name: "vrchat eyes", signs: [-1.0, -1.0, 0.0, 0.0], config: vrchat_eyes, read: read_vrchat_eyes },
    Row { name: "vrchat v2", signs: [-1.0, -1.0, -1.0, 1.0], config: vrchat_v2, read: read_vrchat_v2 },
    Row { name: "babble eyes", signs: [-1.0, 1.0, 0.0, 1.0], config: babble, read: read_babble },
    Row { name: "osc", signs: [1.0, -1.0, 1.0, 1.0], config: plain_osc, read: read_plain_osc },
    Row { name: "vts-phone", signs: [-1.0, -1.0, 1.0, 1.0], config: vts_phone, read: read_vts_phone },
    Row { name: "websocket", signs: [1.0, -1.0, 1.0, 1.0], config: websocket, read: read_websocket },
];

/// Head and eyes do the same, so that what speaks of eyes alone says it too.
fn subject() -> FaceSample {
    let rotation = Angles { yaw_rad: 0.3, pitch_rad: -0.2, roll_rad: 0.125 }.to_rotation();
    let aside = rotation * Vec3::new(0.3, 0.2, 0.9).normalize();
    let mut face = Face {
        presence: 1.0,
        head: HeadPose { rotation, ..HeadPose::default() },
        gaze: Gaze { left: aside, right: aside },
        ..Face::default()
    };
    face.blendshapes[Blendshape::EyeBlinkLeft] = 0.75;
    let faces = vec![TrackedFace { presence: Presence::Tracked, face }];
    FaceSample { from_frame: true, image_size: glam::Vec2::new(640.0, 480.0), faces, ..FaceSample::default() }
}

fn vmc(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::Vmc(VmcConfig { address: to.into(), adjust, ..VmcConfig::default() })
}

fn datagrams(to: &str, adjust: Adjust) -> DatagramConfig {
    DatagramConfig { address: Some(to.into()), adjust }
}

fn openseeface(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::OpenSeeFace(datagrams(to, adjust))
}

fn ifacialmocap(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::IFacialMocap(IFacialMocapConfig {
        address: Some(to.into()),
        adjust,
        ..IFacialMocapConfig::default()
    })
}

fn live_link(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::LiveLink(LiveLinkConfig { address: Some(to.into()), adjust, ..LiveLinkConfig::default() })
}

fn csv(_: &str, adjust: Adjust, folder: &Path) -> OutputConfig {
    OutputConfig::Csv(CsvConfig { path: folder.join(RECORDING), fps: 60, adjust })
}

fn opentrack(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::Opentrack(datagrams(to, adjust))
}

fn vrchat_eyes(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::Vrchat(VrchatConfig { address: Some(to.into()), adjust, ..VrchatConfig::default() })
}

fn vrchat_v2(to: &str, adjust: Adjust, folder: &Path) -> OutputConfig {
    let names = ["Head/Yaw", "Head/Pitch", "Head/Roll", "EyeOpenLeft", "EyeOpenRight"];
    let input =
        |name| json!({ "input": { "address": format!("/avatar/parameters/v2/{name}"), "type": "Float" } });
    let avatar = folder.join("avatar.json");
    std::fs::write(&avatar, json!({ "parameters": names.map(input) }).to_string()).unwrap();
    let (address, avatar) = (Some(to.into()), Some(avatar));
    OutputConfig::Vrchat(VrchatConfig { address, avatar, eyes: false, adjust, ..VrchatConfig::default() })
}

fn babble(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::Babble(datagrams(to, adjust))
}

fn plain_osc(to: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::Osc(OscConfig { address: Some(to.into()), adjust, ..OscConfig::default() })
}

fn vts_phone(_: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::VtsPhone(VtsPhoneConfig { listen: "127.0.0.1:0".into(), adjust })
}

fn websocket(_: &str, adjust: Adjust, _: &Path) -> OutputConfig {
    OutputConfig::WebSocket(WebSocketConfig {
        listen: "127.0.0.1:0".into(),
        adjust,
        ..WebSocketConfig::default()
    })
}

/// Float arguments by address, and by the string that comes first where there is one.
fn osc(all: &[Vec<u8>]) -> HashMap<String, Vec<f32>> {
    fn flatten(packet: OscPacket, out: &mut HashMap<String, Vec<f32>>) {
        match packet {
            OscPacket::Bundle(bundle) => bundle.content.into_iter().for_each(|p| flatten(p, out)),
            OscPacket::Message(message) => {
                let name = message.args.first().and_then(|a| a.clone().string());
                let floats = message
                    .args
                    .iter()
                    .filter_map(|a| if let OscType::Float(f) = a { Some(*f) } else { None });
                out.insert(message.addr + &name.unwrap_or_default(), floats.collect());
            }
        }
    }
    let mut out = HashMap::new();
    for datagram in all {
        flatten(rosc::decoder::decode_udp(datagram).unwrap().1, &mut out);
    }
    out
}

fn first(values: &HashMap<String, Vec<f32>>, address: &str) -> Option<f32> {
    values.get(address)?.first().copied()
}

fn read_vmc(all: &[Vec<u8>]) -> Option<Said> {
    let values = osc(all);
    let head = values.get("/VMC/Ext/Bone/PosHead")?;
    let blink = |name: &str| first(&values, &format!("/VMC/Ext/Blend/Val{name}"));
    Some([head[4], head[3], head[5], blink("EyeBlinkLeft")? - blink("EyeBlinkRight")?])
}

/// Little-endian floats of a packet at these places.
fn floats_le<const N: usize>(packet: &[u8], at: [usize; N]) -> [f32; N] {
    at.map(|at| f32::from_le_bytes(packet[at..at + 4].try_into().unwrap()))
}

fn read_openseeface(all: &[Vec<u8>]) -> Option<Said> {
    // Opennesses at 20 (right) and 24 (left), Euler angles from 49; x rests at 180, z at 90.
    let [right, left, x, y, z] = floats_le(all.first()?, [20, 24, 49, 53, 57]);
    Some([y, x.rem_euclid(360.0) - 180.0, z - 90.0, right - left])
}

fn read_ifacialmocap(all: &[Vec<u8>]) -> Option<Said> {
    let text = String::from_utf8(all.first()?.clone()).unwrap();
    let blink = |name: &str| {
        let entry = text.split('|').find_map(|e| e.strip_prefix(name)).unwrap();
        entry.parse::<f32>().unwrap()
    };
    let head = text.split_once("head#").unwrap().1;
    let [x, y, z] = [0, 1, 2].map(|k| head.split(',').nth(k).unwrap().parse::<f32>().unwrap());
    Some([y, x, z, blink("eyeBlink_L-") - blink("eyeBlink_R-")])
}

fn read_live_link(all: &[Vec<u8>]) -> Option<Said> {
    let packet = all.first()?;
    let values = &packet[packet.len() - 4 * 61..];
    let value = |k: usize| f32::from_be_bytes(values[4 * k..4 * k + 4].try_into().unwrap());
    Some([value(52), value(53), value(54), value(0) - value(7)])
}

fn read_csv(all: &[Vec<u8>]) -> Option<Said> {
    let text = std::str::from_utf8(all.last()?).unwrap();
    let (names, values) = text.trim_end().split_once('\n')?;
    let row = values.lines().last()?;
    let value = |name| {
        let (_, value) = names.split(',').zip(row.split(',')).find(|(n, _)| *n == name).unwrap();
        value.parse::<f32>().unwrap()
    };
    let wink = value("EyeBlinkLeft") - value("EyeBlinkRight");
    Some([value("HeadYaw"), value("HeadPitch"), value("HeadRoll"), wink])
}

fn read_opentrack(all: &[Vec<u8>]) -> Option<Said> {
    let packet = all.first()?;
    let value = |k: usize| f64::from_le_bytes(packet[8 * k..8 * k + 8].try_into().unwrap()) as f32;
    Some([value(3), value(4), value(5), 0.0])
}

fn read_vrchat_eyes(all: &[Vec<u8>]) -> Option<Said> {
    let values = osc(all);
    let look = values.get("/tracking/eye/LeftRightPitchYaw")?;
    Some([look[1], look[0], 0.0, 0.0])
}

fn read_vrchat_v2(all: &[Vec<u8>]) -> Option<Said> {
    let values = osc(all);
    let value = |name: &str| first(&values, &format!("/avatar/parameters/v2/{name}"));
    let wink = value("EyeOpenRight")? - value("EyeOpenLeft")?;
    Some([value("Head/Yaw")?, value("Head/Pitch")?, value("Head/Roll")?, wink])
}

fn read_babble(all: &[Vec<u8>]) -> Option<Said> {
    let values = osc(all);
    let value = |name: &str| first(&values, name);
    Some([value("/LeftEyeX")?, value("/LeftEyeY")?, 0.0, value("/RightEyeLid")? - value("/LeftEyeLid")?])
}

fn read_plain_osc(all: &[Vec<u8>]) -> Option<Said> {
    let values = osc(all);
    let head = values.get("/facetrackd/0/head")?;
    let blink = |side: &str| first(&values, &format!("/facetrackd/0/blendshape/eyeBlink{side}"));
    Some([head[0], head[1], head[2], blink("Left")? - blink("Right")?])
}

fn json(all: &[Vec<u8>]) -> Option<Value> {
    Some(serde_json::from_slice(all.first()?).unwrap())
}

fn read_vts_phone(all: &[Vec<u8>]) -> Option<Said> {
    let message = json(all)?;
    let turn = |axis: &str| message["Rotation"][axis].as_f64().unwrap() as f32;
    let shapes = message["BlendShapes"].as_array().unwrap();
    let blink = |name: &str| shapes.iter().find(|s| s["k"] == name).unwrap()["v"].as_f64().unwrap() as f32;
    Some([turn("x"), turn("y"), turn("z"), blink("EyeBlinkLeft") - blink("EyeBlinkRight")])
}

fn read_websocket(all: &[Vec<u8>]) -> Option<Said> {
    let message = json(all)?;
    let face = &message["faces"][0];
    let turn = |name: &str| face["head"][name].as_f64().unwrap() as f32;
    let blink = |name: &str| face["blendshapes"][name].as_f64().unwrap() as f32;
    let wink = blink("eyeBlinkLeft") - blink("eyeBlinkRight");
    Some([turn("yaw_deg"), turn("pitch_deg"), turn("roll_deg"), wink])
}

/// What the output sends of the subject, until it can be read.
fn said(row: &Row, mirror: bool) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let own = receiver.local_addr().unwrap();
    let adjust = Adjust { mirror, ..Adjust::default() };
    let mut sink = Sink::open(&(row.config)(&own.to_string(), adjust, folder.path())).unwrap();
    let mut browser = None;
    if let Some(address) = sink.listens_on().first() {
        let request = json!({ "messageType": "iOSTrackingDataRequest", "time": 10, "ports": [own.port()] });
        if row.name == "websocket" {
            let stream = TcpStream::connect(address).unwrap();
            let (client, _) = tungstenite::client(format!("ws://{address}/"), stream).unwrap();
            client.get_ref().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            browser = Some(client);
        } else {
            receiver.send_to(request.to_string().as_bytes(), address).unwrap();
        }
    }
    let start = MonoTime::now();
    let mut all = Vec::new();
    loop {
        assert!(
            MonoTime::now().since(start) < Duration::from_mins(1),
            "{}: nothing that can be read",
            row.name
        );
        sink.send(&subject(), MonoTime::now()).unwrap();
        if let Ok(file) = std::fs::read(folder.path().join(RECORDING)) {
            all.push(file);
        } else if let Some(client) = &mut browser {
            if let Ok(Message::Text(text)) = client.read() {
                all.push(text.as_bytes().to_vec());
            }
        } else {
            let mut buffer = [0; 4096];
            while let Ok(n) = receiver.recv(&mut buffer) {
                all.push(buffer[..n].to_vec());
            }
        }
        if let Some(said) = (row.read)(&all) {
            return said;
        }
    }
}

fn assert_signs(name: &str, said: Said, signs: Said, mirror: bool) {
    // A looking glass swaps left and right, not up and down.
    let flip = if mirror { -1.0 } else { 1.0 };
    let expected = [signs[0] * flip, signs[1], signs[2] * flip, signs[3] * flip];
    for (what, (value, sign)) in
        ["turns", "nods", "tilts", "winks"].iter().zip(said.into_iter().zip(expected))
    {
        let right = if sign == 0.0 { value == 0.0 } else { value * sign > 0.01 };
        assert!(right, "{name} (mirrored: {mirror}) {what}: {said:?}, and {expected:?} are its signs");
    }
}

#[test]
fn every_output_says_left_up_tilt_and_wink_in_its_own_signs_mirrored_and_not() {
    for row in &TABLE {
        for mirror in [false, true] {
            assert_signs(row.name, said(row, mirror), row.signs, mirror);
        }
    }
}
