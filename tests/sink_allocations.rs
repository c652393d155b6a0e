//! Outputs allocate while they are opened and warmed up, and never again.

use facetrackd::alloc::{CountingAllocator, thread_allocations};
use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, Face, FaceSample, Presence, TrackedFace};
use facetrackd::sink::jsonl::LandmarkDetail;
use facetrackd::sink::{
    Adjust, CsvConfig, DatagramConfig, GltfConfig, IFacialMocapConfig, JsonlConfig, LiveLinkConfig,
    OscConfig, OutputConfig, Sink, VmcConfig, VrchatConfig, VtsConfig, VtsPhoneConfig, WebSocketConfig,
};
use std::net::UdpSocket;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const AVATAR: &str = r#"{"parameters": [
    {"input": {"address": "/avatar/parameters/v2/JawOpen", "type": "Float"}},
    {"input": {"address": "/avatar/parameters/v2/JawX1", "type": "Bool"}},
    {"input": {"address": "/avatar/parameters/EyeTrackingActive", "type": "Bool"}}]}"#;

fn outputs(to: &str, folder: &Path) -> Vec<OutputConfig> {
    let address = Some(to.to_owned());
    let adjust = Adjust { mirror: true, ..Adjust::default() };
    let datagrams = || DatagramConfig { address: Some(to.to_owned()), adjust: adjust.clone() };
    let jsonl = JsonlConfig { path: folder.join("out.jsonl"), landmarks: LandmarkDetail::All };
    let vrchat = VrchatConfig {
        address: address.clone(),
        avatar: Some(folder.join("avatar.json")),
        ..VrchatConfig::default()
    };
    let ifacialmocap = IFacialMocapConfig { address: address.clone(), ..IFacialMocapConfig::default() };
    // A port that was free a moment ago.
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let asked = IFacialMocapConfig { listen: Some(free.to_string()), ..ifacialmocap.clone() };
    let live_link = LiveLinkConfig { address: address.clone(), ..LiveLinkConfig::default() };
    vec![
        OutputConfig::Vmc(VmcConfig { address: to.to_owned(), ..VmcConfig::default() }),
        OutputConfig::OpenSeeFace(datagrams()),
        OutputConfig::IFacialMocap(ifacialmocap),
        OutputConfig::IFacialMocap(asked),
        OutputConfig::LiveLink(live_link),
        OutputConfig::Opentrack(datagrams()),
        OutputConfig::Babble(datagrams()),
        OutputConfig::Vrchat(vrchat),
        OutputConfig::Osc(OscConfig { address: address.clone(), ..OscConfig::default() }),
        OutputConfig::Vts(VtsConfig { address: address.clone(), ..VtsConfig::default() }),
        OutputConfig::VtsPhone(VtsPhoneConfig { listen: "127.0.0.1:0".into(), ..VtsPhoneConfig::default() }),
        OutputConfig::WebSocket(WebSocketConfig {
            listen: "127.0.0.1:0".into(),
            ..WebSocketConfig::default()
        }),
        OutputConfig::Jsonl(jsonl),
        OutputConfig::Csv(CsvConfig { path: folder.join("take.csv"), fps: 60, adjust }),
        OutputConfig::Gltf(GltfConfig { path: folder.join("take.glb"), adjust: Adjust::default() }),
        #[cfg(target_os = "linux")]
        OutputConfig::Shm(facetrackd::sink::ShmConfig::new(ring_name())),
    ]
}

fn ring_name() -> String {
    format!("test-allocations-{}", std::process::id())
}

#[test]
fn no_output_allocates_for_a_frame() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("avatar.json"), AVATAR).unwrap();
    let face = TrackedFace { presence: Presence::Tracked, face: Face::default() };
    let mut sample = FaceSample { from_frame: true, faces: vec![face], ..FaceSample::default() };
    for config in outputs(&to, folder.path()) {
        let mut sink = Sink::open(&config).unwrap();
        let mut send = |n: u16| {
            sample.index = u64::from(n);
            sample.faces[0].face.blendshapes[Blendshape::JawOpen] = f32::from(n) / 100.0;
            sample.faces[0].presence = if n.is_multiple_of(7) { Presence::Fading } else { Presence::Tracked };
            sink.send(&sample, MonoTime::from_secs_f64(f64::from(n) / 60.0)).unwrap();
        };
        (0..10).for_each(&mut send);
        let before = thread_allocations().unwrap();
        (10..100).for_each(&mut send);
        assert_eq!(thread_allocations().unwrap() - before, 0, "{config}");
        sink.close(MonoTime::from_secs_f64(2.0)).unwrap();
    }
    #[cfg(target_os = "linux")]
    std::fs::remove_file(format!("/dev/shm/facetrackd.{}", ring_name())).unwrap();
}
