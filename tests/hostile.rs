//! Whatever comes in at the sockets that read, samples go out: not one is lost, and whoever asks properly is still served.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use facetrackd::clock::MonoTime;
use facetrackd::face::{Face, FaceSample, Presence, TrackedFace};
use facetrackd::sink::vrchat::Discovery;
use facetrackd::sink::{
    IFacialMocapConfig, OscConfig, OutputConfig, Sink, VrchatConfig, VtsPhoneConfig, WebSocketConfig,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tungstenite::Message;

const DATAGRAMS: usize = 100_000;
const CONNECTIONS: usize = 300;

/// What each socket takes, to be spoilt.
const SEEDS: [&[u8]; 4] = [
    br#"{"messageType":"iOSTrackingDataRequest","time":10,"sentBy":"x","ports":[9]}"#,
    b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719|sendDataVersion=v2",
    b"/avatar/change\0\0,s\0\0avtr_12345678\0\0\0\0",
    b"GET /?HOST_INFO HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
];

/// Xorshift: the same storm each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// Noise, or something sound with a few bytes changed, cut off or repeated.
    fn packet(&mut self, longest: usize) -> Vec<u8> {
        if self.below(2) == 0 {
            let length = self.below(longest);
            return (0..length).map(|_| self.below(256) as u8).collect();
        }
        let mut packet = SEEDS[self.below(SEEDS.len())].to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(packet.len());
            packet[at] = self.below(256) as u8;
        }
        match self.below(3) {
            0 => packet.truncate(self.below(packet.len())),
            1 => packet.resize(1 + self.below(longest), b'{'),
            _ => {}
        }
        packet
    }
}

fn storm_of_datagrams(targets: &[SocketAddr], seed: u64, count: usize, done: &AtomicUsize) {
    let (socket, mut random) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Random(seed));
    for n in 0..count {
        let packet = random.packet(2000);
        // What does not fit into a full buffer is dropped there, or refused here; both are the receiver's good right.
        drop(socket.send_to(&packet, targets[n % targets.len()]));
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn storm_of_connections(targets: &[SocketAddr], seed: u64, done: &AtomicUsize) {
    let mut random = Random(seed);
    for n in 0..CONNECTIONS {
        let target = targets[n % targets.len()];
        let Ok(mut stream) = TcpStream::connect(target) else { continue };
        stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        if n % 3 == 0 {
            // Past the handshake first.
            stream.write_all(SEEDS[3]).unwrap_or(());
            drop(stream.read(&mut [0; 1000]));
        }
        for _ in 0..random.below(4) {
            stream.write_all(&random.packet(20_000)).unwrap_or(());
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn outputs(receiver: &UdpSocket, mocap: SocketAddr) -> Vec<Sink> {
    let free = || "127.0.0.1:0".to_owned();
    let to = Some(receiver.local_addr().unwrap().to_string());
    let configs = [
        OutputConfig::Osc(OscConfig { address: to, ..OscConfig::default() }),
        OutputConfig::WebSocket(WebSocketConfig { listen: free(), ..WebSocketConfig::default() }),
        OutputConfig::VtsPhone(VtsPhoneConfig { listen: free(), ..VtsPhoneConfig::default() }),
        OutputConfig::IFacialMocap(IFacialMocapConfig {
            listen: Some(mocap.to_string()),
            ..IFacialMocapConfig::default()
        }),
        OutputConfig::Vrchat(VrchatConfig { oscquery: Discovery::Loopback, ..VrchatConfig::default() }),
    ];
    configs.iter().map(|config| Sink::open(config).unwrap()).collect()
}

fn sample(n: u64) -> FaceSample {
    let face = TrackedFace { presence: Presence::Tracked, face: Face { presence: 1.0, ..Face::default() } };
    FaceSample { index: n, from_frame: true, faces: vec![face], ..FaceSample::default() }
}

/// Sends a sample to all, and has the receiver's datagrams of it: the number that its first message says.
fn send_and_receive(sinks: &mut [Sink], receiver: &UdpSocket, n: u64) -> i32 {
    for sink in sinks {
        sink.send(&sample(n), MonoTime::now()).unwrap();
    }
    let (mut buffer, mut number) = ([0; 4096], -1);
    // A sample's bundles; the first begins with the frame's number.
    loop {
        let length = receiver.recv(&mut buffer).expect("a sample was lost");
        let (_, packet) = rosc::decoder::decode_udp(&buffer[..length]).unwrap();
        let rosc::OscPacket::Bundle(bundle) = packet else { panic!("{packet:?}") };
        for part in &bundle.content {
            let rosc::OscPacket::Message(message) = part else { panic!("{part:?}") };
            if message.addr == "/facetrackd/frame" {
                number = message.args[0].clone().int().unwrap();
            }
            if message.addr == "/facetrackd/0/blendshape/tongueOut" {
                return number;
            }
        }
    }
}

#[test]
fn samples_go_on_through_100_000_random_datagrams_and_whoever_asks_is_still_served() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A port that was free a moment ago.
    let mocap = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut sinks = outputs(&receiver, mocap);
    let at = |k: usize| sinks[k].listens_on();
    let (web, phone, vrchat) = (at(1)[0], at(2)[0], at(4));
    let (datagram_targets, stream_targets) = (vec![phone, mocap, vrchat[1]], vec![web, vrchat[0], mocap]);
    let done = Arc::new(AtomicUsize::new(0));
    let storms: Vec<_> = [1u64, 2]
        .into_iter()
        .map(|seed| {
            let (targets, done) = (datagram_targets.clone(), Arc::clone(&done));
            std::thread::spawn(move || storm_of_datagrams(&targets, seed, DATAGRAMS / 2, &done))
        })
        .chain([3u64].into_iter().map(|seed| {
            let (targets, done) = (stream_targets.clone(), Arc::clone(&done));
            std::thread::spawn(move || storm_of_connections(&targets, seed, &done))
        }))
        .collect();

    // As many samples as the storm leaves time for, and no fewer than ten seconds of them.
    let mut n = 0;
    while n < 600 || storms.iter().any(|storm| !storm.is_finished()) {
        n += 1;
        assert_eq!(
            send_and_receive(&mut sinks, &receiver, n),
            n as i32,
            "after {} packets",
            done.load(Ordering::Relaxed)
        );
    }
    for storm in storms {
        storm.join().unwrap();
    }
    assert!(done.load(Ordering::Relaxed) >= DATAGRAMS);

    // And everybody else is still served: a phone's receiver, a browser, VRChat.
    let app = UdpSocket::bind("127.0.0.1:0").unwrap();
    app.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let request = String::from_utf8(SEEDS[0].to_vec()).unwrap();
    let request = request.replace("[9]", &format!("[{}]", app.local_addr().unwrap().port()));
    let stream = TcpStream::connect(web).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut browser, _) = tungstenite::client(format!("ws://{web}/"), stream).unwrap();
    browser.get_mut().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (mut heard, mut seen) = (false, false);
    while !(heard && seen) {
        n += 1;
        app.send_to(request.as_bytes(), phone).unwrap();
        assert_eq!(send_and_receive(&mut sinks, &receiver, n), n as i32);
        heard |= app.recv(&mut [0; 8192]).is_ok();
        seen |= matches!(browser.read(), Ok(Message::Text(_)));
    }
    let mut vrchat = TcpStream::connect(vrchat[0]).unwrap();
    vrchat.write_all(b"GET /?HOST_INFO HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    vrchat.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("OSC_PORT"), "{answer}");
}
