//! iFacialMocap as its receivers ask for it: by datagrams, over TCP, and among hostile ones. Lines are read by the
//! crate `ifacialmocap`, which nobody here wrote.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use facetrackd::clock::MonoTime;
use facetrackd::face::{Blendshape, Face, FaceSample, HeadPose, TrackedFace};
use facetrackd::geom::Angles;
use facetrackd::sink::{Adjust, IFacialMocapConfig, OutputConfig, Sink};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

const ASK: &str = "iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719";
const ASK_TCP: &str = "iFacialMocap_UDPTCP_sahuasouryya9218sauhuiayeta91555dy3719";
const STOP_TCP: &str = "iFacialMocap_UDPTCPSTOP_sahuasouryya9218sauhuiayeta91555dy3719";

/// Turns left, looks up, winks with the left eye.
fn subject() -> FaceSample {
    let rotation = Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.0 }.to_rotation();
    let mut face = Face { head: HeadPose { rotation, ..HeadPose::default() }, ..Face::default() };
    face.blendshapes[Blendshape::EyeBlinkLeft] = 0.75;
    let faces = vec![TrackedFace { face, ..TrackedFace::default() }];
    FaceSample { from_frame: true, faces, ..FaceSample::default() }
}

/// The tracker, and where it listens.
struct Tracker {
    sink: Sink,
    address: SocketAddr,
    frames: u32,
}

impl Tracker {
    fn new(reply_port: Option<u16>, adjust: Adjust) -> Self {
        // A port that was free a moment ago.
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listen = Some(address.to_string());
        let config = IFacialMocapConfig { listen, reply_port, adjust, ..IFacialMocapConfig::default() };
        let sink = Sink::open(&OutputConfig::IFacialMocap(config)).unwrap();
        Self { sink, address, frames: 0 }
    }

    fn frame(&mut self) {
        self.frames += 1;
        self.sink.send(&subject(), MonoTime::from_secs_f64(f64::from(self.frames) / 60.0)).unwrap();
    }

    /// Frames go on until this socket has heard one.
    fn heard_by(&mut self, receiver: &UdpSocket) -> String {
        receiver.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut buffer = [0; 4096];
        loop {
            self.frame();
            if let Ok(n) = receiver.recv(&mut buffer) {
                return String::from_utf8(buffer[..n].to_vec()).unwrap();
            }
        }
    }

    /// Frames go on until datagrams were counted as no request.
    fn until_ignored(&mut self, n: u64) {
        while self.sink.traffic().ignored < n {
            self.frame();
            std::thread::yield_now();
        }
    }
}

fn receiver() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Head's x, y, z in degrees, and the wink, as somebody else's reader has them.
fn read_by_the_crate(line: &str, wink: &str) -> ([f32; 3], i32) {
    let value = ifacialmocap::Value::parse_str(line).unwrap();
    // One first entry of ours and the 52.
    assert_eq!(value.int_keys.len(), 53, "{line}");
    assert_eq!((value.coord_keys.len(), value.xyz_keys.len()), (1, 2), "{line}");
    (value.coord_keys["=head"].0, value.int_keys[wink])
}

#[test]
fn a_receiver_that_asks_hears_the_subject_turn_left_and_wink() {
    for (mirror, side, wink) in [(false, 1.0, "eyeBlink_L"), (true, -1.0, "eyeBlink_R")] {
        let mut tracker = Tracker::new(None, Adjust { mirror, ..Adjust::default() });
        let receiver = receiver();
        receiver.send_to(ASK.as_bytes(), tracker.address).unwrap();
        let (head, wink) = read_by_the_crate(&tracker.heard_by(&receiver), wink);
        assert_eq!(wink, 75);
        assert!((head[0] + 14.3239).abs() < 1e-3, "up is x < 0: {head:?}");
        assert!((head[1] - side * 28.6479).abs() < 1e-3, "left is y > 0: {head:?}");
    }
}

#[test]
fn each_receiver_is_answered_in_the_version_it_asked_for() {
    let mut tracker = Tracker::new(None, Adjust::default());
    let (old, new, other) = (receiver(), receiver(), receiver());
    old.send_to(ASK.as_bytes(), tracker.address).unwrap();
    new.send_to(format!("{ASK}|sendDataVersion=v2").as_bytes(), tracker.address).unwrap();
    other.send_to(b"FACEMOTION3D_OtherStreaming", tracker.address).unwrap();
    assert!(tracker.heard_by(&old).contains("|eyeLookDown_L-0|"));
    assert!(tracker.heard_by(&new).contains("|eyeLookDown_L&0|"));
    assert!(tracker.heard_by(&other).contains("|eyeLookDownLeft&0|"));
}

#[test]
fn answers_go_to_the_port_that_was_configured_whichever_asked() {
    let (asker, receiver) = (receiver(), receiver());
    let mut tracker = Tracker::new(Some(receiver.local_addr().unwrap().port()), Adjust::default());
    asker.send_to(ASK.as_bytes(), tracker.address).unwrap();
    tracker.heard_by(&receiver);
    asker.set_nonblocking(true).unwrap();
    assert!(asker.recv(&mut [0; 64]).is_err(), "the asking socket hears nothing");
}

#[test]
fn over_tcp_frames_end_with_the_apps_mark_until_the_receiver_stops_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut tracker = Tracker::new(Some(listener.local_addr().unwrap().port()), Adjust::default());
    let asker = receiver();
    asker.send_to(format!("{ASK_TCP}|sendDataVersion=v2").as_bytes(), tracker.address).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while String::from_utf8_lossy(&text).matches("___iFacialMocap").count() < 3 {
        tracker.frame();
        if let Ok(n) = stream.read(&mut buffer) {
            text.extend_from_slice(&buffer[..n]);
        }
    }
    let text = String::from_utf8(text).unwrap();
    for frame in text.split("___iFacialMocap").take(3) {
        assert!(frame.contains("|eyeBlink_L&75|") && frame.ends_with('|'), "{frame}");
    }
    asker.send_to(STOP_TCP.as_bytes(), tracker.address).unwrap();
    // The end of the stream comes when the tracker has let the connection go.
    while !matches!(stream.read(&mut buffer), Ok(0)) {
        tracker.frame();
    }
}

#[test]
fn a_connection_that_takes_nothing_delays_no_frame_and_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut tracker = Tracker::new(Some(listener.local_addr().unwrap().port()), Adjust::default());
    receiver().send_to(ASK_TCP.as_bytes(), tracker.address).unwrap();
    let (_stream, _) = listener.accept().unwrap();
    // Once the buffers between are full, frames count as failed; after five seconds of that, nothing is tried any more.
    let mut failed_at = None;
    loop {
        tracker.frame();
        let traffic = tracker.sink.traffic();
        match failed_at {
            None if traffic.failed > 0 => failed_at = Some(tracker.frames),
            Some(at) if tracker.frames > at + 400 => {
                assert!(traffic.failed <= 302, "{traffic:?}");
                break;
            }
            _ => {}
        }
    }
}

/// A small generator, so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn a_hundred_thousand_hostile_datagrams_cost_no_frame() {
    let mut tracker = Tracker::new(None, Adjust::default());
    let receiver = receiver();
    receiver.send_to(ASK.as_bytes(), tracker.address).unwrap();
    tracker.heard_by(&receiver);
    receiver.set_nonblocking(true).unwrap();
    while receiver.recv(&mut [0; 4096]).is_ok() {}

    let to = tracker.address;
    let flood = std::thread::spawn(move || {
        let (socket, mut random, mut noise) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), Random(7), vec![0; 65000]);
        noise.fill_with(|| random.next() as u8);
        for n in 0..100_000u32 {
            let datagram = match n % 4 {
                // Noise of any length, an own line with a byte changed, a request that is too long, nothing.
                0 => noise[..(random.next() % if n % 1000 == 0 { 65000 } else { 400 }) as usize].to_vec(),
                1 => {
                    let mut line = ASK.as_bytes().to_vec();
                    line[(random.next() % 51) as usize] ^= 1 + (random.next() % 255) as u8;
                    line
                }
                2 => [ASK.as_bytes(), &noise[..200]].concat(),
                _ => Vec::new(),
            };
            socket.send_to(&datagram, to).unwrap();
        }
    });
    receiver.set_nonblocking(false).unwrap();
    receiver.set_read_timeout(None).unwrap();
    let (mut heard, mut buffer) = (0, [0; 4096]);
    while !flood.is_finished() || heard < 600 {
        tracker.frame();
        let n = receiver.recv(&mut buffer).unwrap();
        assert!(buffer[..n].starts_with(b"facetrackd-0|eyeBlink_L-75|"));
        heard += 1;
    }
    flood.join().unwrap();
    let ignored = tracker.sink.traffic().ignored;
    assert!(ignored > 100, "{ignored}");
    // What is left of the flood may crowd a request out of the kernel's queue: who is not heard asks again.
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    while asker.recv(&mut buffer).is_err() {
        asker.send_to(ASK.as_bytes(), to).unwrap();
        tracker.frame();
    }
    // All that was left came before the request.
    let now = tracker.sink.traffic().ignored;
    asker.send_to(b"hello", to).unwrap();
    tracker.until_ignored(now + 1);
    println!("{ignored} of 100000 hostile datagrams were seen and ignored; {heard} of {heard} frames came");
}

#[test]
fn who_asks_first_makes_way_when_there_are_too_many() {
    let mut tracker = Tracker::new(None, Adjust::default());
    let receivers: Vec<UdpSocket> = (0..9).map(|_| receiver()).collect();
    for receiver in &receivers {
        receiver.send_to(ASK.as_bytes(), tracker.address).unwrap();
        tracker.heard_by(receiver);
    }
    receivers[0].set_nonblocking(true).unwrap();
    while receivers[0].recv(&mut [0; 4096]).is_ok() {}
    tracker.frame();
    tracker.heard_by(&receivers[8]);
    assert!(receivers[0].recv(&mut [0; 4096]).is_err(), "the ninth took the first one's place");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = receiver();
    let listen = taken.local_addr().unwrap().to_string();
    let config = IFacialMocapConfig { listen: Some(listen.clone()), ..IFacialMocapConfig::default() };
    let error = Sink::open(&OutputConfig::IFacialMocap(config)).err().unwrap().to_string();
    assert!(error.contains(&listen), "{error}");
}
