//! From samples to whoever wants them: one module a protocol, each with its own signs, names and units.
//!
//! A receiver that is not there is no error: datagrams to it are counted and the log says so once. What is an error is
//! said by [`SinkError`]: at the start what the person has to change, later what ends an output.

mod adjust;
pub mod babble;
pub mod csv;
mod error;
pub mod gltf;
pub mod ifacialmocap;
pub mod jsonl;
mod listen;
pub mod livelink;
pub mod openseeface;
pub mod opentrack;
mod osc;
pub mod plain_osc;
mod service;
#[cfg(target_os = "linux")]
pub mod shm;
mod stream;
mod udp;
pub mod vmc;
pub mod vrchat;
pub mod vts;
pub mod vts_phone;
pub mod websocket;

pub use adjust::Adjust;
pub use csv::CsvConfig;
pub use error::SinkError;
pub use gltf::GltfConfig;
pub use ifacialmocap::IFacialMocapConfig;
pub use jsonl::JsonlConfig;
pub use livelink::LiveLinkConfig;
pub use plain_osc::OscConfig;
pub use service::Service;
#[cfg(target_os = "linux")]
pub use shm::ShmConfig;
pub use stream::{DatagramConfig, Stream};
pub use udp::Traffic;
pub use vmc::VmcConfig;
pub use vrchat::VrchatConfig;
pub use vts::VtsConfig;
pub use vts_phone::VtsPhoneConfig;
pub use websocket::WebSocketConfig;

use crate::clock::MonoTime;
use crate::face::FaceSample;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// One `[[output]]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum OutputConfig {
    /// VMC protocol: OSC over UDP, understood by most avatar programs.
    Vmc(VmcConfig),
    /// OpenSeeFace's packets, for VSeeFace and its like.
    #[serde(rename = "openseeface")]
    OpenSeeFace(DatagramConfig),
    /// The stream of the phone apps iFacialMocap and Facemotion3d.
    #[serde(rename = "ifacialmocap")]
    IFacialMocap(IFacialMocapConfig),
    /// Live Link Face's packets, for Unreal Engine.
    LiveLink(LiveLinkConfig),
    /// opentrack's UDP input: the head alone.
    Opentrack(DatagramConfig),
    /// Project Babble's OSC.
    Babble(DatagramConfig),
    /// VRChat: eye tracking, and avatar parameters.
    Vrchat(VrchatConfig),
    /// OSC in facetrackd's own schema.
    Osc(OscConfig),
    /// VTube Studio's plugin API.
    Vts(VtsConfig),
    /// The stream of VTube Studio's phone app.
    VtsPhone(VtsPhoneConfig),
    /// JSON to websocket clients, such as a page in a browser.
    #[serde(rename = "websocket")]
    WebSocket(WebSocketConfig),
    /// JSON, one line a frame.
    Jsonl(JsonlConfig),
    /// A recording in Live Link Face's CSV.
    Csv(CsvConfig),
    /// A recording as a glTF animation.
    Gltf(GltfConfig),
    /// A ring in shared memory.
    #[cfg(target_os = "linux")]
    Shm(ShmConfig),
}

impl fmt::Display for OutputConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut to =
            |name: &str, address: Option<&str>| write!(f, "{name} {}", address.unwrap_or("to this machine"));
        match self {
            Self::Vmc(config) => to("VMC", Some(&config.address)),
            Self::OpenSeeFace(config) => to("OpenSeeFace", config.address.as_deref()),
            Self::IFacialMocap(IFacialMocapConfig { listen: Some(listen), .. }) => {
                write!(f, "iFacialMocap listening on {listen}")
            }
            Self::IFacialMocap(config) => to("iFacialMocap", config.address.as_deref()),
            Self::LiveLink(config) => to("Live Link Face", config.address.as_deref()),
            Self::Opentrack(config) => to("opentrack", config.address.as_deref()),
            Self::Babble(config) => to("Babble", config.address.as_deref()),
            Self::Vrchat(config) => to("VRChat", config.address.as_deref()),
            Self::Osc(config) => to("OSC", config.address.as_deref()),
            Self::Vts(config) => to("VTube Studio", config.address.as_deref()),
            Self::VtsPhone(config) => write!(f, "VTube Studio's phone stream on {}", config.listen),
            Self::WebSocket(config) => write!(f, "websocket on {}", config.listen),
            Self::Jsonl(config) => write!(f, "JSON lines {}", config.path.display()),
            Self::Csv(config) => write!(f, "CSV {}", config.path.display()),
            Self::Gltf(config) => write!(f, "glTF {}", config.path.display()),
            #[cfg(target_os = "linux")]
            Self::Shm(config) => write!(f, "shared memory {}", config.name),
        }
    }
}

impl OutputConfig {
    /// Checks what can be checked without touching the network or the disk.
    ///
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        match self {
            Self::Vmc(config) => config.validate(),
            Self::OpenSeeFace(config) => config.adjust.validate("openseeface"),
            Self::IFacialMocap(config) => config.validate(),
            Self::LiveLink(config) => config.validate(),
            Self::Opentrack(config) => config.adjust.validate("opentrack"),
            Self::Babble(config) => config.adjust.validate("babble"),
            Self::Vrchat(config) => config.validate(),
            Self::Osc(config) => config.validate(),
            Self::Vts(config) => config.adjust.validate("vts"),
            Self::VtsPhone(config) => config.adjust.validate("vts-phone"),
            Self::WebSocket(config) => config.validate(),
            Self::Jsonl(_) => Ok(()),
            Self::Csv(config) => config.validate(),
            Self::Gltf(config) => config.validate(),
            #[cfg(target_os = "linux")]
            Self::Shm(config) => Ok(config.validate()?),
        }
    }
}

/// An open output.
pub enum Sink {
    /// Any of the protocols that push datagrams to a receiver.
    Stream(Box<Stream>),
    /// Any of those whose receivers come, go and talk back.
    Service(Box<Service>),
    /// See [`ifacialmocap`].
    IFacialMocap(Box<ifacialmocap::Answers>),
    /// See [`jsonl`].
    Jsonl(jsonl::JsonlSink),
    /// See [`csv`].
    Csv(Box<csv::CsvSink>),
    /// See [`gltf`].
    Gltf(Box<gltf::GltfSink>),
    /// See [`shm`].
    #[cfg(target_os = "linux")]
    Shm(shm::ShmSink),
}

impl Sink {
    /// Opens what `config` describes. Names are resolved and files are emptied here.
    ///
    /// # Errors
    /// A setting, an address or a file that cannot work; never a receiver that is not there yet.
    pub fn open(config: &OutputConfig) -> Result<Self, SinkError> {
        config.validate()?;
        match config {
            OutputConfig::WebSocket(c) => websocket::open(c).map(Self::service),
            OutputConfig::Vts(c) => vts::open(c).map(Self::service),
            OutputConfig::VtsPhone(c) => vts_phone::open(c).map(Self::service),
            OutputConfig::Jsonl(c) => jsonl::JsonlSink::open(c).map(Self::Jsonl),
            OutputConfig::Csv(c) => csv::CsvSink::open(c).map(|sink| Self::Csv(Box::new(sink))),
            OutputConfig::Gltf(c) => gltf::GltfSink::open(c).map(|sink| Self::Gltf(Box::new(sink))),
            #[cfg(target_os = "linux")]
            OutputConfig::Shm(c) => Ok(Self::Shm(shm::ShmSink::open(c, MonoTime::now())?)),
            OutputConfig::IFacialMocap(c @ IFacialMocapConfig { listen: Some(listen), .. }) => {
                ifacialmocap::Answers::open(c, listen).map(|sink| Self::IFacialMocap(Box::new(sink)))
            }
            other => Self::open_stream(other).map(|stream| Self::Stream(Box::new(stream))),
        }
    }

    fn service(service: Service) -> Self {
        Self::Service(Box::new(service))
    }

    fn open_stream(config: &OutputConfig) -> Result<Stream, SinkError> {
        match config {
            OutputConfig::Vmc(c) => {
                Stream::open("vmc", Some(&c.address), vmc::DEFAULT_PORT, &c.adjust, vmc::Encoder::new(c))
            }
            OutputConfig::OpenSeeFace(c) => {
                c.open("openseeface", openseeface::DEFAULT_PORT, openseeface::Encoder::new())
            }
            OutputConfig::IFacialMocap(c) => {
                let (to, encoder) = (c.address.as_deref(), ifacialmocap::Encoder::new(c.format));
                Stream::open("ifacialmocap", to, c.format.port(), &c.adjust, encoder)
            }
            OutputConfig::LiveLink(c) => {
                let (to, encoder) = (c.address.as_deref(), livelink::Encoder::new(c));
                Stream::open("live-link", to, livelink::DEFAULT_PORT, &c.adjust, encoder)
            }
            OutputConfig::Opentrack(c) => c.open("opentrack", opentrack::DEFAULT_PORT, opentrack::Encoder),
            OutputConfig::Babble(c) => c.open("babble", babble::DEFAULT_PORT, babble::Encoder::new()),
            OutputConfig::Vrchat(c) => {
                let (to, encoder) = (c.address.as_deref(), vrchat::Encoder::new(c)?);
                Stream::open("vrchat", to, vrchat::DEFAULT_PORT, &c.adjust, encoder)
            }
            OutputConfig::Osc(c) => {
                let (to, encoder) = (c.address.as_deref(), plain_osc::Encoder::new(c));
                Stream::open("osc", to, plain_osc::DEFAULT_PORT, &c.adjust, encoder)
            }
            OutputConfig::Jsonl(_) | OutputConfig::Csv(_) | OutputConfig::Gltf(_) => {
                unreachable!("files are no streams")
            }
            OutputConfig::Vts(_) | OutputConfig::VtsPhone(_) | OutputConfig::WebSocket(_) => {
                unreachable!("they have threads of their own")
            }
            #[cfg(target_os = "linux")]
            OutputConfig::Shm(_) => unreachable!("a ring is no stream"),
        }
    }

    /// Sends one sample. Allocates nothing after the first few.
    ///
    /// # Errors
    /// [`SinkError::NotFinite`] spoils this sample only; after any other the output is of no further use.
    pub fn send(&mut self, sample: &FaceSample, now: MonoTime) -> Result<(), SinkError> {
        if !sample.faces.iter().all(|f| f.face.is_finite()) {
            return Err(SinkError::NotFinite { frame: sample.index });
        }
        match self {
            Self::Stream(sink) => sink.send(sample, now),
            Self::Service(sink) => sink.send(sample, now),
            Self::IFacialMocap(sink) => sink.send(sample, now),
            // Recordings have a line for each frame; that a source is silent is for those who listen now.
            Self::Jsonl(_) | Self::Csv(_) | Self::Gltf(_) if !sample.from_frame => {}
            Self::Jsonl(sink) => sink.send(sample)?,
            Self::Csv(sink) => sink.send(sample, now)?,
            Self::Gltf(sink) => sink.send(sample, now)?,
            #[cfg(target_os = "linux")]
            Self::Shm(sink) => sink.send(sample, now),
        }
        Ok(())
    }

    /// Tells the receiver that nothing more comes. Call once, before dropping.
    ///
    /// # Errors
    /// A glTF recording that could not be written. Other files have every line as soon as it is sent, and a receiver that
    /// is gone is no error.
    pub fn close(&mut self, now: MonoTime) -> Result<(), SinkError> {
        match self {
            Self::Stream(sink) => sink.close(now),
            Self::Service(sink) => sink.close(),
            Self::IFacialMocap(_) | Self::Jsonl(_) | Self::Csv(_) => {}
            Self::Gltf(sink) => sink.close()?,
            #[cfg(target_os = "linux")]
            Self::Shm(sink) => sink.close(now),
        }
        Ok(())
    }

    /// The addresses it listens on, where it does.
    pub fn listens_on(&self) -> Vec<SocketAddr> {
        match self {
            Self::Stream(sink) => sink.listens_on(),
            Self::Service(sink) => sink.listens_on().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What was sent since the start.
    pub fn traffic(&self) -> Traffic {
        match self {
            Self::Stream(sink) => sink.traffic(),
            Self::Service(sink) => sink.traffic(),
            Self::IFacialMocap(sink) => sink.traffic(),
            Self::Jsonl(sink) => sink.traffic(),
            Self::Csv(sink) => sink.traffic(),
            Self::Gltf(sink) => sink.traffic(),
            #[cfg(target_os = "linux")]
            Self::Shm(sink) => sink.traffic(),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::clock::MonoTime;
    use crate::face::{Face, FaceSample, Gaze, HeadPose, Presence, TrackedFace};
    use crate::geom::Angles;
    use glam::{Vec2, Vec3};

    /// A face with the head turned like this and the eyes straight ahead in it.
    pub fn face(angles: Angles) -> Face {
        let head = HeadPose { rotation: angles.to_rotation(), ..HeadPose::default() };
        let ahead = head.rotation * Vec3::Z;
        Face { presence: 1.0, head, gaze: Gaze { left: ahead, right: ahead }, ..Face::default() }
    }

    /// A sample of measured faces.
    pub fn sample_of(faces: impl IntoIterator<Item = Face>) -> FaceSample {
        let tracked = |face| TrackedFace { presence: Presence::Tracked, face };
        FaceSample {
            from_frame: true,
            image_size: Vec2::new(640.0, 480.0),
            captured_at: MonoTime::from_secs_f64(1.0),
            faces: faces.into_iter().map(tracked).collect(),
            ..FaceSample::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{face, sample_of};
    use super::*;
    use crate::geom::Angles;

    #[derive(Deserialize)]
    struct Document {
        output: Vec<OutputConfig>,
    }

    fn parse(text: &str) -> Result<Vec<OutputConfig>, String> {
        toml::from_str::<Document>(text).map(|d| d.output).map_err(|e| e.to_string())
    }

    #[test]
    fn output_tables_are_read_by_their_type() {
        let outputs = parse(
            "[[output]]\ntype = 'vmc'\naddress = '127.0.0.1:39540'\nadjust = { mirror = true }\n\
             [[output]]\ntype = 'jsonl'\npath = '-'\nlandmarks = '68'\n",
        )
        .unwrap();
        let [OutputConfig::Vmc(vmc), OutputConfig::Jsonl(jsonl)] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(vmc.address, "127.0.0.1:39540");
        assert!(vmc.adjust.mirror);
        assert_eq!(jsonl.landmarks, jsonl::LandmarkDetail::Ibug68);
    }

    #[test]
    fn an_unknown_key_or_type_is_an_error_that_names_it() {
        let typo = parse("[[output]]\ntype = 'vmc'\nadress = '127.0.0.1'\n").unwrap_err();
        assert!(typo.contains("adress"), "{typo}");
        let nested = parse("[[output]]\ntype = 'vmc'\nadjust = { mirorr = true }\n").unwrap_err();
        assert!(nested.contains("mirorr"), "{nested}");
        let kind = parse("[[output]]\ntype = 'vnc'\n").unwrap_err();
        assert!(kind.contains("vnc"), "{kind}");
    }

    #[test]
    fn a_nan_reaches_no_output() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let config =
            OutputConfig::Jsonl(JsonlConfig { path: path.clone(), landmarks: jsonl::LandmarkDetail::None });
        let mut sink = Sink::open(&config).unwrap();
        let mut sick = face(Angles::default());
        sick.gaze.left.y = f32::NAN;
        let error = sink.send(&sample_of([sick]), MonoTime::default()).unwrap_err();
        assert!(error.is_transient());
        assert_eq!(std::fs::read(path).unwrap(), b"");
    }
}
