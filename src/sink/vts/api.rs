//! Requests and responses, one after the other, over a connection that may be anybody's.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use crate::clock::MonoTime;

const PLUGIN: &str = "facetrackd";
const DEVELOPER: &str = "facetrackd developers";
/// VTube Studio's number for a user who said no.
const DENIED: i64 = 50;
/// The longest answer is the list of parameters, some 150 bytes each of a few hundred.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Messages that nobody asked for, before the answer that was.
const STRAY_MESSAGES_MAX: usize = 100;
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// The user has to find the window first.
const USER_PATIENCE: Duration = Duration::from_mins(10);
/// How long a read waits before it looks whether the output is closed.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is nothing to talk to.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(
        "VTube Studio cannot be reached at {target}: {source}; is its plugin API switched on, with this port?"
    )]
    Unreachable { target: SocketAddr, source: io::Error },
    #[error("what listens at {target} is not VTube Studio: {problem}")]
    Handshake { target: SocketAddr, problem: String },
    #[error("the connection to VTube Studio ended: {0}")]
    Lost(#[source] Box<Error>),
    #[error("VTube Studio did not answer a {request}")]
    Silent { request: &'static str },
    #[error("VTube Studio's answer to a {request} makes no sense: {source}")]
    Nonsense { request: &'static str, source: serde_json::Error },
    #[error("VTube Studio refused a {request}: {message} (error {id})")]
    Refused { request: &'static str, id: i64, message: String },
    #[error("VTube Studio's user did not allow facetrackd; allow it there, then start this output again")]
    Denied,
    #[error("VTube Studio does not take the token that it gave")]
    TokenRefused,
    /// The output is being closed.
    #[error("the output is closed")]
    Stopped,
}

/// A connection past the websocket's handshake.
pub(super) struct Session {
    socket: WebSocket<TcpStream>,
    requests: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T> {
    api_name: &'static str,
    api_version: &'static str,
    #[serde(rename = "requestID")]
    request_id: String,
    message_type: &'a str,
    data: T,
}

/// What every answer has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(rename = "requestID")]
    request_id: String,
    message_type: String,
}

#[derive(Deserialize)]
struct Body<T> {
    data: T,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "errorID")]
    error_id: i64,
    #[serde(default)]
    message: String,
}

#[derive(Serialize)]
struct Plugin<'a> {
    #[serde(rename = "pluginName")]
    name: &'static str,
    #[serde(rename = "pluginDeveloper")]
    developer: &'static str,
    #[serde(rename = "authenticationToken", skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// An answer, read: ours or not, and its data.
fn read<T: DeserializeOwned>(text: &str, id: &str, request: &'static str) -> Option<Result<T, ApiError>> {
    let nonsense = |source| ApiError::Nonsense { request, source };
    let head: Head = match serde_json::from_str(text) {
        Ok(head) => head,
        Err(error) => return Some(Err(nonsense(error))),
    };
    if head.request_id != id {
        return None;
    }
    if head.message_type == "APIError" {
        let fault = serde_json::from_str::<Body<Fault>>(text).map_err(nonsense);
        return Some(fault.and_then(|Body { data: Fault { error_id, message } }| {
            Err(if error_id == DENIED {
                ApiError::Denied
            } else {
                ApiError::Refused { request, id: error_id, message }
            })
        }));
    }
    Some(serde_json::from_str::<Body<T>>(text).map(|body| body.data).map_err(nonsense))
}

/// Whether bytes are an answer that means something here, for the fuzzer.
#[doc(hidden)]
pub fn parses(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let list = read::<super::parameters::List>(text, "1", "fuzz");
    let token = read::<TokenGiven>(text, "1", "fuzz");
    matches!(list, Some(Ok(_))) || matches!(token, Some(Ok(_)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenGiven {
    authentication_token: String,
}

#[derive(Deserialize)]
struct Authenticated {
    authenticated: bool,
}

impl Session {
    pub fn connect(target: SocketAddr, stopped: &dyn Fn() -> bool) -> Result<Self, ApiError> {
        let unreachable = |source| ApiError::Unreachable { target, source };
        let handshake = |error: Error| ApiError::Handshake { target, problem: error.to_string() };
        let stream = TcpStream::connect_timeout(&target, CONNECT_PATIENCE).map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        stream.set_read_timeout(Some(LOOK)).map_err(unreachable)?;
        stream.set_write_timeout(Some(CONNECT_PATIENCE)).map_err(unreachable)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(ANSWER_BYTES_MAX))
            .max_frame_size(Some(ANSWER_BYTES_MAX));
        let request = format!("ws://{target}/").into_client_request().map_err(handshake)?;
        let until = MonoTime::now() + ANSWER_PATIENCE;
        let mut step = ClientHandshake::start(stream, request, Some(config)).map_err(handshake)?.handshake();
        loop {
            match step {
                Ok((socket, _)) => return Ok(Self { socket, requests: 0 }),
                Err(HandshakeError::Failure(error)) => return Err(handshake(error)),
                Err(HandshakeError::Interrupted(_)) if stopped() => return Err(ApiError::Stopped),
                Err(HandshakeError::Interrupted(_)) if MonoTime::now() > until => {
                    return Err(unreachable(io::ErrorKind::TimedOut.into()));
                }
                Err(HandshakeError::Interrupted(half)) => step = half.handshake(),
            }
        }
    }

    /// Asks, and waits for the answer to just that.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        request: &'static str,
        data: &impl Serialize,
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(T, usize), ApiError> {
        self.requests += 1;
        let id = self.requests.to_string();
        let (api_name, api_version) = ("VTubeStudioPublicAPI", "1.0");
        let envelope =
            Envelope { api_name, api_version, request_id: id.clone(), message_type: request, data };
        let text =
            serde_json::to_string(&envelope).map_err(|source| ApiError::Nonsense { request, source })?;
        let bytes = text.len();
        self.socket.send(Message::text(text)).map_err(|e| ApiError::Lost(Box::new(e)))?;
        let until = MonoTime::now() + patience;
        let mut strays = 0;
        while MonoTime::now() < until && strays < STRAY_MESSAGES_MAX {
            match self.socket.read() {
                Ok(Message::Text(answer)) => {
                    if let Some(outcome) = read(&answer, &id, request) {
                        return outcome.map(|data| (data, bytes));
                    }
                    strays += 1;
                }
                Ok(_) => strays += 1,
                Err(Error::Io(error)) if is_waiting(&error) => {
                    if stopped() {
                        return Err(ApiError::Stopped);
                    }
                }
                Err(error) => return Err(ApiError::Lost(Box::new(error))),
            }
        }
        Err(ApiError::Silent { request })
    }

    /// Asks with the patience that a program deserves.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        request: &'static str,
        data: &impl Serialize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(T, usize), ApiError> {
        self.call(request, data, ANSWER_PATIENCE, stopped)
    }

    /// Has VTube Studio ask its user.
    pub fn ask_for_token(&mut self, stopped: &dyn Fn() -> bool) -> Result<String, ApiError> {
        let plugin = Plugin { name: PLUGIN, developer: DEVELOPER, token: None };
        let (given, _): (TokenGiven, _) =
            self.call("AuthenticationTokenRequest", &plugin, USER_PATIENCE, stopped)?;
        Ok(given.authentication_token)
    }

    /// Shows a token; whether it was taken.
    pub fn authenticate(&mut self, token: &str, stopped: &dyn Fn() -> bool) -> Result<bool, ApiError> {
        let plugin = Plugin { name: PLUGIN, developer: DEVELOPER, token: Some(token) };
        let (outcome, _): (Authenticated, _) = self.ask("AuthenticationRequest", &plugin, stopped)?;
        Ok(outcome.authenticated)
    }
}

fn is_waiting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
