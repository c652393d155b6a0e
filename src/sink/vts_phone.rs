//! What VTube Studio's phone app gives to other programs on request, by UDP.
//!
//! A program asks with `{"messageType":"iOSTrackingDataRequest","time":5.0,"sentBy":"name","ports":[11125]}` and gets a
//! JSON datagram a sample at those ports of its own address, for `time` seconds (0.5 to 10); then it has to ask again.
//! Rotation is degrees, x to the subject's right, y down, z left ear up; place is centimetres from the camera, x to the
//! subject's left as the camera sees it, y up, z away; eyes are degrees, x down, y to the subject's left.
//!
//! Whoever asks only ever gets what is sent to their own address, for ten seconds. The answers are larger than the
//! question: with another `listen` than this machine's, a forged sender's address would be flooded, for as long.

use super::SinkError;
use super::adjust::{Adjust, EyeAngles, FaceView};
use super::jsonl::round;
use super::listen::{self, would_block};
use super::service::{BELL, Ears, Service};
use crate::clock::MonoTime;
use crate::face::Blendshapes;
use mio::net::UdpSocket;
use mio::{Events, Interest, Token};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the app listens.
pub const DEFAULT_PORT: u16 = 21412;
/// Receivers at once.
const RECEIVERS_MAX: usize = 32;
/// Ports that one request may name.
const PORTS_MAX: usize = 32;
/// Requests are some 100 bytes; what is longer is none.
const REQUEST_BYTES_MAX: usize = 1024;
/// Requests looked at between two samples.
const REQUESTS_A_ROUND: usize = 64;
const SECONDS: std::ops::RangeInclusive<f64> = 0.5..=10.0;
const SOCKET: Token = Token(1);

/// The `vts-phone` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VtsPhoneConfig {
    /// The address to listen on, `HOST:PORT` or `HOST`.
    pub listen: String,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl Default for VtsPhoneConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1".into(), adjust: Adjust::default() }
    }
}

/// Starts to listen for requests.
pub(super) fn open(config: &VtsPhoneConfig) -> Result<Service, SinkError> {
    let (socket, address) = listen::udp_polled(&config.listen, DEFAULT_PORT)?;
    Service::open("vts-phone", &config.adjust, Some(address), move |ears| {
        let phone =
            Phone { ears, socket: UdpSocket::from_std(socket), receivers: Vec::new(), line: Vec::new() };
        if let Err(error) = phone.run() {
            tracing::error!("the vts-phone output serves nobody any more: {error}");
        }
    })
}

/// What receivers ask with.
#[derive(Debug, PartialEq, Deserialize)]
struct Request {
    #[serde(rename = "messageType")]
    message_type: String,
    time: f64,
    ports: Vec<u16>,
}

/// How long and where to, if these bytes are a sound request.
fn parse(bytes: &[u8]) -> Option<(Duration, Vec<u16>)> {
    let request: Request = serde_json::from_slice(bytes).ok()?;
    let sound = request.message_type == "iOSTrackingDataRequest"
        && SECONDS.contains(&request.time)
        && request.ports.len() <= PORTS_MAX
        && !request.ports.contains(&0);
    sound.then(|| (Duration::from_secs_f64(request.time), request.ports))
}

/// Whether a datagram asks for the stream, for the fuzzer.
#[doc(hidden)]
pub fn is_request(bytes: &[u8]) -> bool {
    parse(bytes).is_some()
}

struct Phone {
    ears: Ears,
    socket: UdpSocket,
    /// Each with the moment at which it is forgotten.
    receivers: Vec<(SocketAddr, MonoTime)>,
    line: Vec<u8>,
}

impl Phone {
    fn run(mut self) -> io::Result<()> {
        self.ears.poll.registry().register(&mut self.socket, SOCKET, Interest::READABLE)?;
        let mut events = Events::with_capacity(8);
        while !self.ears.is_closing() {
            match self.ears.poll.poll(&mut events, None) {
                Err(error) if !would_block(&error) => return Err(error),
                _ => {}
            }
            let now = MonoTime::now();
            if events.iter().any(|e| e.token() != BELL) {
                self.hear(now)?;
            }
            if let Some(batch) = self.ears.newest() {
                self.tell(batch.primary.as_ref(), now);
            }
        }
        Ok(())
    }

    fn hear(&mut self, now: MonoTime) -> io::Result<()> {
        let mut bytes = [0; REQUEST_BYTES_MAX + 1];
        for _ in 0..REQUESTS_A_ROUND {
            match self.socket.recv_from(&mut bytes) {
                Ok((n, from)) if n <= REQUEST_BYTES_MAX => {
                    if let Some((time, ports)) = parse(&bytes[..n]) {
                        for port in ports {
                            self.admit((from.ip(), port).into(), now, time);
                        }
                    }
                }
                Err(error) if would_block(&error) => return Ok(()),
                // Too long; or a receiver that is gone has answered with a refusal, which the next call is told.
                Ok(_) | Err(_) => {}
            }
        }
        // There may be more; asking to be told again tells so at once, after the sample that may wait.
        self.ears.poll.registry().reregister(&mut self.socket, SOCKET, Interest::READABLE)
    }

    fn admit(&mut self, receiver: SocketAddr, now: MonoTime, time: Duration) {
        self.receivers.retain(|(_, until)| *until > now);
        let until = now + time;
        if let Some((_, old)) = self.receivers.iter_mut().find(|(known, _)| *known == receiver) {
            *old = until.max(*old);
        } else if self.receivers.len() < RECEIVERS_MAX {
            tracing::info!(%receiver, "asks for the face as VTube Studio's phone app gives it");
            self.receivers.push((receiver, until));
        } else {
            tracing::debug!(%receiver, "turned away: {RECEIVERS_MAX} receivers are served already");
        }
    }

    fn tell(&mut self, view: Option<&FaceView>, now: MonoTime) {
        self.receivers.retain(|(_, until)| *until > now);
        if self.receivers.is_empty() {
            return;
        }
        self.line.clear();
        let message = message(view, unix_ms());
        if let Err(error) = serde_json::to_writer(&mut self.line, &message) {
            return tracing::error!("a sample could not be put into JSON: {error}");
        }
        for (receiver, _) in &self.receivers {
            match self.socket.send_to(&self.line, *receiver) {
                Ok(n) => self.ears.count_sent(n),
                Err(_) => self.ears.count_failed(),
            }
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    timestamp: u64,
    hotkey: i32,
    face_found: bool,
    rotation: Triple,
    position: Triple,
    #[serde(serialize_with = "pairs")]
    blend_shapes: Blendshapes,
    eye_left: Triple,
    eye_right: Triple,
}

#[derive(Debug, Default, Serialize)]
struct Triple {
    x: f64,
    y: f64,
    z: f64,
}

#[derive(Serialize)]
struct Pair {
    k: String,
    v: f64,
}

fn pairs<S: Serializer>(shapes: &Blendshapes, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for (shape, value) in shapes.iter() {
        list.serialize_element(&Pair { k: shape.pascal_name(), v: round::<4>(value) })?;
    }
    list.end()
}

fn message(view: Option<&FaceView>, timestamp: u64) -> Message {
    let Some(view) = view else {
        let (rotation, position) = (Triple::default(), Triple::default());
        let (eye_left, eye_right, blend_shapes) =
            (Triple::default(), Triple::default(), Blendshapes::default());
        return Message {
            timestamp,
            hotkey: -1,
            face_found: false,
            rotation,
            position,
            blend_shapes,
            eye_left,
            eye_right,
        };
    };
    let (angles, place) = (view.head.angles(), view.head.translation_mm * 0.1);
    let degrees = |radians: f32| round::<4>(f64::from(radians).to_degrees());
    let [eye_left, eye_right] = view.eye_angles().map(|EyeAngles { yaw_rad, pitch_rad }| Triple {
        x: degrees(pitch_rad),
        y: degrees(yaw_rad),
        z: 0.0,
    });
    Message {
        timestamp,
        hotkey: -1,
        face_found: view.tracked,
        rotation: Triple {
            x: degrees(-angles.yaw_rad),
            y: degrees(angles.pitch_rad),
            z: degrees(angles.roll_rad),
        },
        position: Triple { x: round::<4>(place.x), y: round::<4>(-place.y), z: round::<4>(place.z) },
        blend_shapes: view.blendshapes,
        eye_left,
        eye_right,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{face, sample_of};
    use super::*;
    use crate::face::Blendshape;
    use crate::geom::Angles;
    use serde_json::Value;
    use std::net::UdpSocket;

    fn subject() -> crate::face::FaceSample {
        let mut subject = face(Angles { yaw_rad: 0.5, pitch_rad: -0.25, roll_rad: 0.125 });
        subject.blendshapes[Blendshape::EyeBlinkLeft] = 0.75;
        sample_of([subject])
    }

    fn receiver() -> UdpSocket {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        receiver
    }

    /// Asks, and sends samples until one comes.
    fn ask(service: &mut Service, receiver: &UdpSocket, request: &str) -> Value {
        let mut bytes = [0; 8192];
        receiver.send_to(request.as_bytes(), service.listens_on().unwrap()).unwrap();
        let start = MonoTime::now();
        loop {
            assert!(MonoTime::now().since(start) < Duration::from_mins(1), "nothing came");
            service.send(&subject(), MonoTime::now());
            if let Ok(n) = receiver.recv(&mut bytes) {
                return serde_json::from_slice(&bytes[..n]).unwrap();
            }
        }
    }

    fn request(receiver: &UdpSocket) -> String {
        let port = receiver.local_addr().unwrap().port();
        format!(r#"{{"messageType":"iOSTrackingDataRequest","time":10,"sentBy":"test","ports":[{port}]}}"#)
    }

    #[test]
    fn whoever_asks_gets_the_apps_message() {
        let config = VtsPhoneConfig { listen: "127.0.0.1:0".into(), ..VtsPhoneConfig::default() };
        let mut service = open(&config).unwrap();
        let receiver = receiver();
        let ask_for = request(&receiver);
        let message = ask(&mut service, &receiver, &ask_for);
        assert_eq!((&message["FaceFound"], &message["Hotkey"]), (&true.into(), &(-1).into()));
        let degrees = |key: &str| ["x", "y", "z"].map(|axis| message[key][axis].as_f64().unwrap());
        let [x, y, z] = degrees("Rotation");
        assert!((x + 28.6479).abs() < 1e-3 && (y + 14.3239).abs() < 1e-3 && (z - 7.162).abs() < 1e-3);
        assert!((degrees("Position")[2] - 60.0).abs() < 1e-3);
        let shapes = message["BlendShapes"].as_array().unwrap();
        assert_eq!(shapes.len(), 52);
        assert!(shapes.contains(&serde_json::json!({ "k": "EyeBlinkLeft", "v": 0.75 })));
        assert!(message["Timestamp"].as_u64().unwrap() > 1_600_000_000_000);
    }

    #[test]
    fn what_is_no_request_is_none() {
        let sound = r#"{"messageType":"iOSTrackingDataRequest","time":0.5,"sentBy":"x","ports":[1,65535]}"#;
        assert_eq!(parse(sound.as_bytes()), Some((Duration::from_millis(500), vec![1, 65535])));
        for (from, to) in [
            ("iOSTrackingDataRequest", "iosTrackingDataRequest"),
            ("0.5", "0.4"),
            ("0.5", "1e300"),
            ("0.5", "-1"),
            ("[1,65535]", "[0]"),
            ("[1,65535]", "[65536]"),
            ("[1,65535]", "{}"),
            ("}", ""),
        ] {
            assert!(!is_request(sound.replace(from, to).as_bytes()), "{from} -> {to}");
        }
        let many = vec!["9"; 33].join(",");
        assert!(!is_request(sound.replace("1,65535", &many).as_bytes()));
        assert!(!is_request(&[b'['; 1000]), "deep nesting is an error, not a full stack");
    }

    #[test]
    fn nobody_is_served_longer_than_they_asked_for() {
        let config = VtsPhoneConfig { listen: "127.0.0.1:0".into(), ..VtsPhoneConfig::default() };
        let mut service = open(&config).unwrap();
        let brief = receiver();
        let ask_for = request(&brief).replace("\"time\":10", "\"time\":0.5");
        ask(&mut service, &brief, &ask_for);
        // Another that is served for longer shows that samples go on when none comes here for half a second.
        let long = receiver();
        let ask_for = request(&long);
        let (mut bytes, mut quiet_since) = ([0; 8192], MonoTime::now());
        while MonoTime::now().since(quiet_since) < Duration::from_millis(600) {
            ask(&mut service, &long, &ask_for);
            while brief.recv(&mut bytes).is_ok() {
                quiet_since = MonoTime::now();
            }
        }
    }
}
