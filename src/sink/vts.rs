//! VTube Studio's plugin API: we are a plugin that connects by websocket and sets its tracking parameters.
//!
//! On the first connection VTube Studio asks its user whether the plugin may; the token it then gives is kept in the
//! state directory and shown on every later connection. A token that is refused is forgotten and asked for anew.
//! Everything here happens on the output's own thread, and whatever goes wrong is tried again later.

mod api;
mod parameters;
#[cfg(test)]
mod tests;
mod token;

use super::SinkError;
use super::adjust::{Adjust, FaceView};
use super::service::{Ears, Service};
use super::udp::resolve;
use crate::clock::MonoTime;
use api::{ApiError, Session};
use parameters::Parameters;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use token::TokenFile;

pub use api::parses as is_response;

/// Where VTube Studio listens.
pub const DEFAULT_PORT: u16 = 8001;
/// Pauses between attempts to connect: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];

/// The `vts` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VtsConfig {
    /// VTube Studio, `HOST:PORT` or `HOST`.
    pub address: Option<String>,
    /// Create parameters for those of the 52 that VTube Studio has none for.
    pub custom_parameters: bool,
    /// Mirroring, gain, rate.
    pub adjust: Adjust,
}

impl Default for VtsConfig {
    fn default() -> Self {
        Self { address: None, custom_parameters: true, adjust: Adjust::default() }
    }
}

/// Starts to connect.
pub(super) fn open(config: &VtsConfig) -> Result<Service, SinkError> {
    open_in(config, token::state_dir(), PAUSES)
}

fn open_in(config: &VtsConfig, state: Option<PathBuf>, pauses: [Duration; 2]) -> Result<Service, SinkError> {
    let target = resolve(config.address.as_deref().unwrap_or("127.0.0.1"), DEFAULT_PORT)?;
    let plugin = Plugin {
        target,
        token: TokenFile::new(state, target),
        creates: config.custom_parameters,
        pauses,
        was_told: false,
    };
    Service::open("vts", &config.adjust, None, move |mut ears| plugin.run(&mut ears))
}

struct Plugin {
    target: SocketAddr,
    token: TokenFile,
    creates: bool,
    pauses: [Duration; 2],
    /// Whether the log has been told of the present trouble.
    was_told: bool,
}

impl Plugin {
    fn run(mut self, ears: &mut Ears) {
        let [mut pause, longest] = self.pauses;
        while !ears.is_closing() {
            let error = match self.serve(ears, &mut pause) {
                Ok(()) | Err(ApiError::Stopped) => return,
                Err(error) => error,
            };
            ears.count_failed();
            if let ApiError::Denied = error {
                // Asking again would only show its user the same question.
                tracing::error!("{error}");
                return idle_until_closed(ears);
            }
            if self.was_told {
                tracing::debug!("{error}");
            } else {
                tracing::warn!("{error}; it is tried again");
                self.was_told = true;
            }
            wait(ears, pause);
            pause = (pause * 2).min(longest);
        }
    }

    /// One connection, to its end. `Ok` where the output is closed.
    fn serve(&mut self, ears: &mut Ears, pause: &mut Duration) -> Result<(), ApiError> {
        let stopped = || ears.is_closing();
        let mut session = Session::connect(self.target, &stopped)?;
        self.introduce(&mut session, &stopped)?;
        let mut parameters = Parameters::agree(&mut session, self.creates, &stopped)?;
        tracing::info!(target = %self.target, "VTube Studio takes {} parameters", parameters.len());
        (self.was_told, *pause) = (false, self.pauses[0]);
        stream(&mut session, &mut parameters, ears)
    }

    /// Shows the token; asks for one where there is none, or where it is refused.
    fn introduce(&mut self, session: &mut Session, stopped: &dyn Fn() -> bool) -> Result<(), ApiError> {
        if let Some(token) = self.token.read() {
            if session.authenticate(&token, stopped)? {
                return Ok(());
            }
            tracing::warn!("VTube Studio no longer knows this plugin; it asks its user anew");
        }
        tracing::info!("please allow facetrackd in the window that VTube Studio shows");
        let token = session.ask_for_token(stopped)?;
        self.token.write(&token);
        if session.authenticate(&token, stopped)? { Ok(()) } else { Err(ApiError::TokenRefused) }
    }
}

/// Sends samples until the connection or the output ends.
fn stream(session: &mut Session, parameters: &mut Parameters, ears: &mut Ears) -> Result<(), ApiError> {
    let mut last: Option<FaceView> = None;
    while !ears.is_closing() {
        ears.wait(None);
        let Some(batch) = ears.newest() else { continue };
        // Once a lost face has faded, one message says so; after that the parameters are VTube Studio's again.
        let (view, found) = match (batch.primary, last.take()) {
            (Some(view), _) => {
                last = Some(view);
                (view, view.tracked)
            }
            (None, Some(gone)) => (gone, false),
            (None, None) => continue,
        };
        let bytes = parameters.inject(session, &view, found, &|| ears.is_closing())?;
        ears.count_sent(bytes);
    }
    Ok(())
}

fn wait(ears: &mut Ears, time: Duration) {
    let until = MonoTime::now() + time;
    while !ears.is_closing() {
        let left = until.since(MonoTime::now());
        if left.is_zero() {
            return;
        }
        ears.wait(Some(left));
    }
}

fn idle_until_closed(ears: &mut Ears) {
    while !ears.is_closing() {
        ears.wait(None);
    }
}
