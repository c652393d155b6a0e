//! JSON for browsers and for whatever speaks websocket, served by facetrackd itself.
//!
//! ```json
//! {"frame":0,"t":0.0,"faces":[{"id":0,"tracked":true,"presence":0.99,"head":{"rotation":[[…],[…],[…]],
//! "translation_mm":[x,y,z],"yaw_deg":0,"pitch_deg":0,"roll_deg":0},"gaze":{"left":[x,y,z],"right":[x,y,z]},
//! "blendshapes":{"eyeBlinkLeft":0.0,…52}}]}
//! ```
//!
//! One text message a sample, its fields named and measured as in [`super::jsonl`]; `tracked` is false while a lost face
//! fades. Clients need not send anything. A client that is slow gets the newest sample when it is ready for one, not
//! those it missed.
//!
//! Any page that a browser shows may try to open a websocket to this machine. Hence a page is served only if it comes
//! from this machine itself, or from an origin that the configuration names.

mod origin;
mod server;
#[cfg(test)]
mod tests;

use super::SinkError;
use super::adjust::{Adjust, FaceView};
use super::jsonl::{Coefficients, GazeLine, HeadLine, round};
use super::service::{Batch, Service};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use server::{Limits, Server};

/// Where clients connect.
pub const DEFAULT_PORT: u16 = 9102;
/// Clients that can be allowed at most.
const CLIENTS_LIMIT: usize = 256;

/// The `websocket` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketConfig {
    /// The address to listen on, `HOST:PORT` or `HOST`. Another than this machine's own lets others in.
    pub listen: String,
    /// Origins of web pages that are served beside those of this machine, such as `https://example.org`.
    pub origins: Vec<String>,
    /// Clients at once, 1 to 256.
    pub clients_max: usize,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1".into(), origins: Vec::new(), clients_max: 8, adjust: Adjust::default() }
    }
}

impl WebSocketConfig {
    /// # Errors
    /// [`SinkError::Config`] names the setting and its range.
    pub fn validate(&self) -> Result<(), SinkError> {
        let fail = |problem: String| Err(SinkError::Config { output: "websocket", problem });
        if !(1..=CLIENTS_LIMIT).contains(&self.clients_max) {
            return fail(format!(
                "clients_max is {}, but it lies between 1 and {CLIENTS_LIMIT}",
                self.clients_max
            ));
        }
        if let Some(bad) = self.origins.iter().find(|o| !origin::is_well_formed(o)) {
            return fail(format!(
                "origins names `{bad}`; an origin looks like https://example.org or http://10.0.0.2:8000"
            ));
        }
        self.adjust.validate("websocket")
    }
}

/// Starts to listen.
pub(super) fn open(config: &WebSocketConfig) -> Result<Service, SinkError> {
    open_with(config, Limits::default())
}

fn open_with(config: &WebSocketConfig, limits: Limits) -> Result<Service, SinkError> {
    let (listener, address) = super::listen::tcp(&config.listen, DEFAULT_PORT)?;
    let (origins, clients_max) = (config.origins.clone(), config.clients_max);
    tracing::info!("websocket clients connect to ws://{address}");
    Service::open("websocket", &config.adjust, Some(address), move |ears| {
        match Server::new(ears, listener, origins, clients_max, limits) {
            Ok(server) => server.run(),
            Err(error) => tracing::error!("the websocket output serves nobody: {error}"),
        }
    })
}

/// One message.
#[derive(Serialize)]
struct Message<'a> {
    frame: u64,
    t: f64,
    #[serde(serialize_with = "faces")]
    faces: &'a Batch,
}

fn faces<S: Serializer>(batch: &Batch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(batch.faces().map(FaceMessage::new))
}

#[derive(Serialize)]
struct FaceMessage<'a> {
    id: u32,
    tracked: bool,
    presence: f64,
    head: HeadLine,
    gaze: GazeLine,
    blendshapes: Coefficients<'a>,
}

impl<'a> FaceMessage<'a> {
    fn new(face: &'a FaceView) -> Self {
        Self {
            id: face.id,
            tracked: face.tracked,
            presence: round::<4>(face.presence),
            head: HeadLine::new(&face.head),
            gaze: GazeLine::new(&face.gaze),
            blendshapes: Coefficients(&face.blendshapes),
        }
    }
}

/// What clients are told of a sample.
fn text(batch: &Batch) -> Result<String, serde_json::Error> {
    let t = round::<6>(batch.stream_time.as_secs_f64());
    serde_json::to_string(&Message { frame: batch.frame, t, faces: batch })
}
